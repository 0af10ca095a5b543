//! Git's upload-pack protocol (version 0), the client's side.
//!
//! Enters: what we want and have; the server's answer.
//! Leaves: a request of one piece; a pack, handed to a sink.
//! Never: the server's own words in an error.

use std::io::{self, Read, Write};

use git2::Oid;

use super::{
    DisplaySafeUrl, Error,
    advertisement::Advertisement,
    packet::{self, Packet, Packets},
};

/// Commits that we say we have. Git's own client begins with 16 and ends at 256 without an answer.
pub(super) const MAX_HAVES: usize = 256;

/// How a server's answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    side_band: bool,
}

/// Returns the request for everything that leads to `wants` and not to `haves`, and the form of its answer.
///
/// It says `done` at once: with all that we have in one piece there is nothing to negotiate, and one round trip suffices.
pub(super) fn request(
    advertisement: &Advertisement,
    wants: &[Oid],
    haves: &[Oid],
) -> (Vec<u8>, Form) {
    let side_band = advertisement.can("side-band-64k");
    let acknowledge = ["multi_ack_detailed", "multi_ack"]
        .into_iter()
        .find(|name| advertisement.can(name));
    let chosen = acknowledge.into_iter().chain(
        ["side-band-64k", "ofs-delta", "thin-pack", "no-progress"]
            .into_iter()
            .filter(|name| advertisement.can(name)),
    );
    let capabilities: String = chosen.flat_map(|name| [" ", name]).collect();
    let mut body = Vec::new();
    for (index, want) in wants.iter().enumerate() {
        let capabilities = if index == 0 {
            capabilities.as_str()
        } else {
            ""
        };
        packet::write(&mut body, &format!("want {want}{capabilities}\n"));
    }
    body.extend(b"0000");
    for have in haves.iter().take(MAX_HAVES) {
        packet::write(&mut body, &format!("have {have}\n"));
    }
    packet::write(&mut body, "done\n");
    (body, Form { side_band })
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    #[error("the server reported an error instead of a pack")]
    Refused,
    #[error("the answer to a request for a pack is malformed")]
    Malformed,
}

/// Reads the answer and writes the pack in it to `sink`.
///
/// # Errors
/// When the answer is not one, ends too early, or the sink refuses it.
pub(super) fn receive(
    url: &DisplaySafeUrl,
    stream: impl Read,
    form: Form,
    sink: &mut dyn Write,
) -> Result<(), Error> {
    let mut packets = Packets::new(stream);
    acknowledged(&mut packets)
        .and_then(|()| {
            if form.side_band {
                copy_side_band(&mut packets, sink)
            } else {
                io::copy(&mut packets.into_inner(), sink).map(|_bytes| ())
            }
        })
        .map_err(|error| wire_error(url, error))
}

/// Turns what broke while reading git's protocol into an error of this room.
pub(super) fn wire_error(url: &DisplaySafeUrl, error: io::Error) -> Error {
    if error.kind() != io::ErrorKind::InvalidData {
        return Error::from_io(url, "read from", error);
    }
    // The problem itself is the whole message; it has no other cause.
    Error::protocol(url, error.to_string())
}

fn acknowledged<R: Read>(packets: &mut Packets<R>) -> io::Result<()> {
    loop {
        let Some(Packet::Data(line)) = packets.next()? else {
            return Err(invalid(AnswerError::Malformed));
        };
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
        match words.as_slice() {
            [b"NAK"] | [b"ACK", _] => return Ok(()),
            [b"ACK", _, _] => {}
            [b"ERR", ..] => return Err(invalid(AnswerError::Refused)),
            _ => return Err(invalid(AnswerError::Malformed)),
        }
    }
}

fn copy_side_band<R: Read>(packets: &mut Packets<R>, sink: &mut dyn Write) -> io::Result<()> {
    loop {
        match packets.next()? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Packet::Flush) => return Ok(()),
            Some(Packet::Data([1, data @ ..])) => sink.write_all(data)?,
            // Progress for people.
            Some(Packet::Data([2, ..] | [])) => {}
            Some(Packet::Data([3, ..])) => return Err(invalid(AnswerError::Refused)),
            Some(Packet::Data(_)) => return Err(invalid(AnswerError::Malformed)),
        }
    }
}

fn invalid(problem: AnswerError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(parts: &[&[u8]], side_band: bool) -> Result<Vec<u8>, Error> {
        let mut sink = Vec::new();
        let url = DisplaySafeUrl::redacted("https://host/shop");
        receive(
            &url,
            parts.concat().as_slice(),
            Form { side_band },
            &mut sink,
        )
        .map(|()| sink)
    }

    #[test]
    fn a_pack_is_taken_out_of_its_answer() {
        let nak = b"0008NAK\n".as_slice();
        let common = b"0038ACK 0123456789012345678901234567890123456789 common\n".as_slice();
        let last = b"0031ACK 0123456789012345678901234567890123456789\n".as_slice();
        for parts in [
            vec![nak, b"0007\x01PA", b"0008\x02hi!", b"0007\x01CK", b"0000"],
            vec![common, common, last, b"0009\x01PACK", b"0000"],
        ] {
            assert_eq!(answer(&parts, true).unwrap(), b"PACK");
        }
        assert_eq!(answer(&[nak, b"PACK"], false).unwrap(), b"PACK");
    }

    #[test]
    fn what_is_not_an_answer_is_an_error_without_the_servers_words() {
        for parts in [
            vec![b"0010ERR canary\n".as_slice()],
            vec![b"0008NAK\n", b"000b\x03canary"],
            vec![b"0008NAK\n", b"000b\x07canary"],
            vec![b"0008NAK\n", b"0009\x01PACK"],
            vec![b"000bcanary\n"],
            vec![b"<html>canary"],
            vec![],
        ] {
            let error = answer(&parts, true).unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn only_offered_capabilities_are_asked_for() {
        let oid = Oid::from_str(&"1".repeat(40)).unwrap();
        let mut advertisement = Advertisement::default();
        let (body, form) = request(&advertisement, &[oid], &[]);
        assert_eq!(body, format!("0032want {oid}\n00000009done\n").into_bytes());
        assert!(!form.side_band);
        advertisement.capabilities = ["multi_ack", "side-band-64k", "thin-pack", "include-tag"]
            .map(str::to_owned)
            .into();
        let (body, form) = request(&advertisement, &[oid, oid], &[oid]);
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.starts_with(&format!(
                "0054want {oid} multi_ack side-band-64k thin-pack\n0032want {oid}\n0000"
            )),
            "{text}"
        );
        assert!(
            text.ends_with(&format!("0032have {oid}\n0009done\n")),
            "{text}"
        );
        assert!(form.side_band);
    }
}
