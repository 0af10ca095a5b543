//! Git's receive-pack protocol (version 0), the client's side.
//!
//! Enters: where a branch is and shall be, a pack; the server's answer.
//! Leaves: a request of one piece; whether the branch was moved.
//! Never: the server's own words in an error; a branch moved from where it was not known to be.

use std::io::{self, Read};

use git2::Oid;

use super::{
    DisplaySafeUrl, Error,
    packet::{self, Packet, Packets},
    upload_pack::wire_error,
};

/// Largest report of a server about one reference, in bytes; what hooks print does not come this way.
pub(super) const MAX_REPORT: u64 = 64 * 1024;
/// Without it nobody hears whether the branch was moved. Every server since 2005 has it.
pub(super) const REPORT: &str = "report-status";

/// Returns the head of a request to move a reference; a pack follows it. `None` stands for a reference that is not there yet.
pub(super) fn request(reference: &str, old: Option<Oid>, new: Oid) -> Vec<u8> {
    let old = old.unwrap_or(Oid::ZERO_SHA1);
    let mut body = Vec::new();
    packet::write(&mut body, &format!("{old} {new} {reference}\0 {REPORT}"));
    body.extend(b"0000");
    body
}

/// Reads the report about one reference.
///
/// # Errors
/// When the server did not take the pack or did not move the reference, or the report is none.
pub(super) fn accepted(
    url: &DisplaySafeUrl,
    stream: impl Read,
    reference: &str,
) -> Result<(), Error> {
    let refused = || Error::PushRefused {
        url: url.clone(),
        reference: reference.to_owned(),
    };
    match moved(&mut Packets::new(stream), reference) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused()),
        Err(error) => Err(wire_error(url, error)),
    }
}

/// What is wrong with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ReportError {
    #[error("the answer to a push is malformed")]
    Malformed,
}

fn moved<R: Read>(packets: &mut Packets<R>, reference: &str) -> io::Result<bool> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, ReportError::Malformed);
    let mut moved = None;
    let mut unpacked = false;
    while let Some(packet) = packets.next()? {
        let line = match packet {
            Packet::Flush => break,
            Packet::Data(line) => line.strip_suffix(b"\n").unwrap_or(line),
        };
        let (word, rest) = match line.iter().position(|&byte| byte == b' ') {
            Some(at) => line.split_at(at),
            None => (line, [].as_slice()),
        };
        let rest = rest.get(1..).unwrap_or_default();
        match word {
            b"unpack" => unpacked = rest == b"ok",
            b"ok" if rest == reference.as_bytes() => moved = Some(true),
            b"ng" => moved = Some(false),
            b"ERR" => return Ok(false),
            _ => return Err(malformed()),
        }
    }
    match moved {
        Some(moved) => Ok(moved && unpacked),
        None if !unpacked => Err(malformed()),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> Result<(), String> {
        let mut bytes = Vec::new();
        for line in lines {
            packet::write(&mut bytes, line);
        }
        bytes.extend(b"0000");
        let url = DisplaySafeUrl::redacted("https://host/audit");
        accepted(&url, bytes.as_slice(), "refs/heads/audit/c").map_err(|error| error.to_string())
    }

    #[test]
    fn a_report_is_believed_only_when_it_says_both() {
        assert_eq!(judged(&["unpack ok\n", "ok refs/heads/audit/c\n"]), Ok(()));
        for lines in [
            vec![
                "unpack ok\n",
                "ng refs/heads/audit/c hook declined canary\n",
            ],
            vec!["unpack canary\n", "ok refs/heads/audit/c\n"],
            vec!["unpack ok\n"],
            vec!["ERR canary\n"],
            vec!["unpack ok\n", "ok refs/heads/other\n"],
            vec!["<html>canary"],
            vec![],
        ] {
            let error = judged(&lines).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_new_branch_comes_from_nowhere() {
        let new = Oid::from_str(&"1".repeat(40)).unwrap();
        let body = request("refs/heads/a", None, new);
        let zero = "0".repeat(40);
        let expected = format!("0071{zero} {new} refs/heads/a\0 report-status0000");
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
