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
    peer::Request,
};

/// Commits that we say we have. Git's own client begins with 16 and ends at 256 without an answer.
pub(super) const MAX_HAVES: usize = 256;

/// How a server's answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    side_band: bool,
    /// Most commits that it may name as cut off, before anything else; None where none are named.
    cuts: Option<usize>,
}

/// What a server says that can leave out history.
pub(super) const SHALLOW: &str = "shallow";

/// Returns the request for a pack, and the form of its answer.
///
/// It says `done` at once: with all that we have in one piece there is nothing to negotiate, and one round trip suffices.
pub(super) fn request(advertisement: &Advertisement, request: Request<'_>) -> (Vec<u8>, Form) {
    let Request {
        wants,
        haves,
        shallow,
        tips_only,
    } = request;
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
    for cut in shallow {
        packet::write(&mut body, &format!("shallow {cut}\n"));
    }
    if tips_only {
        packet::write(&mut body, "deepen 1\n");
    }
    body.extend(b"0000");
    for have in haves.iter().take(MAX_HAVES) {
        packet::write(&mut body, &format!("have {have}\n"));
    }
    packet::write(&mut body, "done\n");
    // At a depth of one each cut is at a commit that is wanted.
    let cuts = tips_only.then_some(wants.len());
    (body, Form { side_band, cuts })
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    #[error("the server reported an error instead of a pack")]
    Refused,
    #[error("the answer to a request for a pack is malformed")]
    Malformed,
}

/// Reads the answer and writes the pack in it to `sink`. Returns the commits that came without their parents.
///
/// # Errors
/// When the answer is not one, ends too early, or the sink refuses it.
pub(super) fn receive(
    url: &DisplaySafeUrl,
    stream: impl Read,
    form: Form,
    sink: &mut dyn Write,
) -> Result<Vec<Oid>, Error> {
    let mut packets = Packets::new(stream);
    let read = || {
        let cut = match form.cuts {
            Some(most) => cut_off(&mut packets, most)?,
            None => Vec::new(),
        };
        acknowledged(&mut packets)?;
        if form.side_band {
            copy_side_band(&mut packets, sink)?;
        } else {
            io::copy(&mut packets.into_inner(), sink)?;
        }
        Ok(cut)
    };
    read().map_err(|error| wire_error(url, error))
}

/// Reads which commits come without their parents.
fn cut_off<R: Read>(packets: &mut Packets<R>, most: usize) -> io::Result<Vec<Oid>> {
    let mut cut = Vec::new();
    loop {
        let line = match packets.next()? {
            Some(Packet::Flush) => return Ok(cut),
            Some(Packet::Data(line)) => line,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        if line.starts_with(b"ERR ") {
            return Err(invalid(AnswerError::Refused));
        }
        let commit = line
            .strip_prefix(b"shallow ")
            .map(<[u8]>::trim_ascii_end)
            .and_then(|hash| std::str::from_utf8(hash).ok())
            .and_then(|hash| Oid::from_str(hash).ok())
            .filter(|_| cut.len() < most);
        // We never ask for more of what is cut off, so a server has nothing else to say here.
        cut.push(commit.ok_or_else(|| invalid(AnswerError::Malformed))?);
    }
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
        let form = Form {
            side_band,
            cuts: None,
        };
        whole_answer(parts, form).map(|(pack, _)| pack)
    }

    fn whole_answer(parts: &[&[u8]], form: Form) -> Result<(Vec<u8>, Vec<Oid>), Error> {
        let mut sink = Vec::new();
        let url = DisplaySafeUrl::redacted("https://host/shop");
        let cut = receive(&url, parts.concat().as_slice(), form, &mut sink)?;
        Ok((sink, cut))
    }

    fn plain<'a>(wants: &'a [Oid], haves: &'a [Oid]) -> Request<'a> {
        Request {
            wants,
            haves,
            shallow: &[],
            tips_only: false,
        }
    }

    #[test]
    fn where_history_is_cut_off_is_read_before_the_pack() {
        let oid = Oid::from_str(&"1".repeat(40)).unwrap();
        let cut = format!("0034shallow {oid}");
        let form = Form {
            side_band: false,
            cuts: Some(1),
        };
        let (cut, nak) = (cut.as_bytes(), b"0008NAK\n".as_slice());
        let read = |parts: &[&[u8]]| whole_answer(parts, form);
        assert_eq!(
            read(&[cut, b"0000", nak, b"PACK"]).unwrap(),
            (b"PACK".to_vec(), vec![oid])
        );
        assert_eq!(
            read(&[b"0000", nak, b"PACK"]).unwrap(),
            (b"PACK".to_vec(), vec![])
        );
        for parts in [
            // More than was asked for.
            vec![cut, cut, b"0000", nak, b"PACK"],
            vec![b"0036unshallow 1111111111111111111111111111111111111111"],
            vec![b"0013shallow canary\n"],
            vec![b"0010ERR canary\n"],
            vec![cut],
            vec![nak, b"PACK"],
        ] {
            let error = read(&parts).unwrap_err();
            assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
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
        let (body, form) = request(&advertisement, plain(&[oid], &[]));
        assert_eq!(body, format!("0032want {oid}\n00000009done\n").into_bytes());
        assert!(!form.side_band);
        advertisement.capabilities = ["multi_ack", "side-band-64k", "thin-pack", "include-tag"]
            .map(str::to_owned)
            .into();
        let (body, form) = request(&advertisement, plain(&[oid, oid], &[oid]));
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
        let (body, form) = request(
            &advertisement,
            Request {
                shallow: &[oid],
                tips_only: true,
                ..plain(&[oid], &[])
            },
        );
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.ends_with(&format!("0035shallow {oid}\n000ddeepen 1\n00000009done\n")),
            "{text}"
        );
        assert_eq!(form.cuts, Some(1));
    }
}
