//! Git's packet lines: how both sides frame what they say.
//!
//! Enters: a stream of bytes.
//! Leaves: packets of at most 65,516 bytes.
//! Never: more memory than one packet.

use std::io::{self, Read};

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// `0000`: a section ends.
    Flush,
    /// A line or a piece of data.
    Data(&'a [u8]),
}

/// Reads packets from a stream.
pub(super) struct Packets<R> {
    stream: R,
    buffer: Vec<u8>,
}

/// What stands where a packet should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a packet line of git's protocol")]
pub(super) struct NotAPacket;

impl<R: Read> Packets<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Returns the next packet. A stream that ends where a packet could begin gives `None`.
    ///
    /// # Errors
    /// When the stream breaks, ends inside of a packet (`UnexpectedEof`), or holds something else (`InvalidData`).
    pub(super) fn next(&mut self) -> io::Result<Option<Packet<'_>>> {
        let mut head = [0_u8; 4];
        let first = loop {
            match self.stream.read(&mut head) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if first == 0 {
            return Ok(None);
        }
        self.stream
            .read_exact(head.get_mut(first..).unwrap_or_default())?;
        let length = head.iter().try_fold(0_usize, |length, &digit| {
            let digit = usize::try_from(char::from(digit).to_digit(16)?).ok()?;
            Some(length << 4 | digit)
        });
        match length {
            Some(0) => Ok(Some(Packet::Flush)),
            Some(length @ 4..=65_520) => {
                self.buffer.resize(length - 4, 0);
                self.stream.read_exact(&mut self.buffer)?;
                Ok(Some(Packet::Data(&self.buffer)))
            }
            Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, NotAPacket)),
        }
    }

    /// Gives the stream back, behind the last packet that was read.
    pub(super) fn into_inner(self) -> R {
        self.stream
    }
}

/// Appends one packet with this text.
pub(super) fn write(into: &mut Vec<u8>, text: &str) {
    into.extend(format!("{:04x}{text}", text.len() + 4).into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_framed_both_ways() {
        let mut bytes = Vec::new();
        write(&mut bytes, "want x\n");
        bytes.extend(b"0000");
        let mut packets = Packets::new(bytes.as_slice());
        assert_eq!(packets.next().unwrap(), Some(Packet::Data(b"want x\n")));
        assert_eq!(packets.next().unwrap(), Some(Packet::Flush));
        assert_eq!(packets.next().unwrap(), None);
    }

    #[test]
    fn what_is_not_a_packet_is_an_error() {
        for (bytes, kind) in [
            (b"<html>".as_slice(), io::ErrorKind::InvalidData),
            (b"0001", io::ErrorKind::InvalidData),
            (b"0003", io::ErrorKind::InvalidData),
            (b"fff1", io::ErrorKind::InvalidData),
            (b"+004", io::ErrorKind::InvalidData),
            (b"00", io::ErrorKind::UnexpectedEof),
            (b"0009ab", io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(
                Packets::new(bytes).next().unwrap_err().kind(),
                kind,
                "{bytes:?}"
            );
        }
    }
}
