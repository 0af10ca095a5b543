//! A guard in front of the object database: reads a pack as it passes and stops what would grow without bound.
//!
//! Enters: the bytes of a pack, in pieces.
//! Leaves: the same bytes, or an error before the harm: too many objects, one too large, not a pack.
//! Never: more memory than a scratch buffer. A delta of a megabyte can stand for terabytes, and git's library
//! makes room for all of it at once; so the size that each object and each delta claims is read here first.

use std::io::{self, Write};

use flate2::{Decompress, FlushDecompress, Status};

/// How much a pack may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackLimits {
    /// Most objects.
    pub(super) objects: u32,
    /// Largest object that is held in memory, unpacked, bytes: everything but a file that is stored as it is.
    pub(super) object_bytes: u64,
    /// Largest file that is stored as it is, unpacked, bytes.
    pub(super) file_bytes: u64,
}

/// Why a pack is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PackError {
    /// It does not begin as a pack of version 2 does, or goes on behind its end.
    #[error("what came is not a pack")]
    NotAPack,
    /// An object's head or its compression is broken, or it is longer than it claims.
    #[error("an object of the pack is damaged")]
    Damaged,
    /// More objects than allowed.
    #[error("the pack holds more than {0} objects")]
    Objects(u32),
    /// An object larger than allowed.
    #[error("an object is larger than {0} bytes")]
    ObjectBytes(u64),
}

/// Passes a pack on to `sink`.
pub(super) struct PackGuard<W> {
    sink: W,
    limits: PackLimits,
    state: State,
    objects_left: u32,
    inflater: Decompress,
    scratch: Box<[u8]>,
}

enum State {
    /// The twelve bytes at the front.
    Head(Vec<u8>),
    /// Type and size of an object.
    Entry { shift: u32, kind: u8, size: u64 },
    /// The distance to the base of a delta.
    BaseOffset { size: u64, length: u8 },
    /// The name of the base of a delta.
    BaseName { size: u64, left: u8 },
    /// The compressed content; of a delta the first bytes are kept.
    Content { left: u64, delta: Option<Vec<u8>> },
    /// The digest at the end.
    Tail(u8),
    /// Nothing may follow.
    End,
}

const FILE: u8 = 3;
const DELTA_BY_OFFSET: u8 = 6;
const DELTA_BY_NAME: u8 = 7;
/// Two sizes of at most ten bytes each stand at the front of a delta.
const DELTA_HEAD: usize = 20;

impl<W: Write> PackGuard<W> {
    pub(super) fn new(sink: W, limits: PackLimits) -> Self {
        Self {
            sink,
            limits,
            state: State::Head(Vec::with_capacity(12)),
            objects_left: 0,
            inflater: Decompress::new(true),
            scratch: vec![0; 64 << 10].into_boxed_slice(),
        }
    }

    /// Gives the sink back when a whole pack has passed.
    pub(super) fn finish(self) -> io::Result<W> {
        match self.state {
            State::End => Ok(self.sink),
            State::Head(_)
            | State::Entry { .. }
            | State::BaseOffset { .. }
            | State::BaseName { .. }
            | State::Content { .. }
            | State::Tail(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn scan(&mut self, mut bytes: &[u8]) -> Result<(), PackError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Content { .. } => {
                    let used = self.inflate(bytes)?;
                    bytes = bytes.get(used..).unwrap_or_default();
                    continue;
                }
                State::Head(head) => {
                    head.push(byte);
                    if head.len() == 12 {
                        self.objects_left = objects_of(head)?;
                        if self.objects_left > self.limits.objects {
                            return Err(PackError::Objects(self.limits.objects));
                        }
                        self.state = self.next_entry();
                    }
                }
                State::Entry { shift, kind, size } => {
                    if *shift == 0 {
                        *kind = byte >> 4 & 7;
                        *size = u64::from(byte & 15);
                        *shift = 4;
                    } else {
                        *size |= shifted(byte, *shift)?;
                        *shift += 7;
                    }
                    if byte & 0x80 == 0 {
                        let (kind, size) = (*kind, *size);
                        self.state = self.after_entry(kind, size)?;
                    }
                }
                State::BaseOffset { size, length } => {
                    *length += 1;
                    if *length > 10 {
                        return Err(PackError::Damaged);
                    }
                    if byte & 0x80 == 0 {
                        self.state = State::Content {
                            left: *size,
                            delta: Some(Vec::new()),
                        };
                    }
                }
                State::BaseName { size, left } => {
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Content {
                            left: *size,
                            delta: Some(Vec::new()),
                        };
                    }
                }
                State::Tail(left) => {
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::End;
                    }
                }
                State::End => return Err(PackError::NotAPack),
            }
            bytes = rest;
        }
        Ok(())
    }

    fn next_entry(&self) -> State {
        if self.objects_left == 0 {
            State::Tail(20)
        } else {
            State::Entry {
                shift: 0,
                kind: 0,
                size: 0,
            }
        }
    }

    fn after_entry(&mut self, kind: u8, size: u64) -> Result<State, PackError> {
        let limit = if kind == FILE {
            self.limits.file_bytes
        } else {
            self.limits.object_bytes
        };
        if size > limit {
            return Err(PackError::ObjectBytes(limit));
        }
        self.objects_left -= 1;
        match kind {
            1..=4 => Ok(State::Content {
                left: size,
                delta: None,
            }),
            DELTA_BY_OFFSET => Ok(State::BaseOffset { size, length: 0 }),
            DELTA_BY_NAME => Ok(State::BaseName { size, left: 20 }),
            _ => Err(PackError::Damaged),
        }
    }

    fn inflate(&mut self, bytes: &[u8]) -> Result<usize, PackError> {
        let State::Content { left, delta } = &mut self.state else {
            return Ok(0);
        };
        let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
        let Ok(status) = self
            .inflater
            .decompress(bytes, &mut self.scratch, FlushDecompress::None)
        else {
            return Err(PackError::Damaged);
        };
        let used = self.inflater.total_in() - before_in;
        let made = self.inflater.total_out() - before_out;
        *left = left.checked_sub(made).ok_or(PackError::Damaged)?;
        let made = usize::try_from(made).unwrap_or(usize::MAX);
        if let Some(head) = delta
            && head.len() < DELTA_HEAD
        {
            let missing = DELTA_HEAD - head.len();
            head.extend(self.scratch.iter().take(made.min(missing)));
        }
        let used = usize::try_from(used).unwrap_or(usize::MAX);
        match status {
            Status::StreamEnd => {
                if *left > 0 {
                    return Err(PackError::Damaged);
                }
                if let Some(head) = delta {
                    check_delta(head, self.limits.object_bytes)?;
                }
                self.inflater.reset(true);
                self.state = self.next_entry();
            }
            // Without progress the same bytes would come again for ever.
            Status::Ok | Status::BufError if used == 0 && made == 0 => {
                return Err(PackError::Damaged);
            }
            Status::Ok | Status::BufError => {}
        }
        Ok(used)
    }
}

impl<W: Write> Write for PackGuard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scan(bytes)
            .map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn objects_of(head: &[u8]) -> Result<u32, PackError> {
    let count = head
        .strip_prefix(b"PACK\0\0\0\x02")
        .and_then(|rest| rest.try_into().ok());
    count.map(u32::from_be_bytes).ok_or(PackError::NotAPack)
}

fn shifted(byte: u8, shift: u32) -> Result<u64, PackError> {
    let bits = u64::from(byte & 0x7f);
    let value = bits.checked_shl(shift).ok_or(PackError::Damaged)?;
    if value >> shift == bits {
        Ok(value)
    } else {
        Err(PackError::Damaged)
    }
}

/// A delta begins with the size of its base and the size of its result.
fn check_delta(head: &[u8], limit: u64) -> Result<(), PackError> {
    let mut rest = head.iter();
    for _ in 0..2 {
        let (mut size, mut shift) = (0_u64, 0);
        loop {
            let byte = *rest.next().ok_or(PackError::Damaged)?;
            size |= shifted(byte, shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if size > limit {
            return Err(PackError::ObjectBytes(limit));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};

    const LIMITS: PackLimits = PackLimits {
        objects: 3,
        object_bytes: 1000,
        file_bytes: 2000,
    };

    fn deflated(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn size_bytes(mut size: u64, first_bits: u32, kind: u8) -> Vec<u8> {
        let mut bytes = vec![];
        let mut bits = first_bits;
        loop {
            let low = u8::try_from(size & ((1 << bits) - 1)).unwrap();
            size >>= bits;
            let high = if bytes.is_empty() { kind << 4 } else { 0 };
            bytes.push(low | high | if size > 0 { 0x80 } else { 0 });
            bits = 7;
            if size == 0 {
                return bytes;
            }
        }
    }

    fn entry(kind: u8, claimed: u64, base: &[u8], content: &[u8]) -> Vec<u8> {
        [
            size_bytes(claimed, 4, kind),
            base.to_vec(),
            deflated(content),
        ]
        .concat()
    }

    fn delta(base: u64, result: u64) -> Vec<u8> {
        [
            size_bytes(base, 7, 0),
            size_bytes(result, 7, 0),
            vec![1, b'x'],
        ]
        .concat()
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
        [
            b"PACK\0\0\0\x02".to_vec(),
            count.to_vec(),
            entries.concat(),
            vec![0; 20],
        ]
        .concat()
    }

    fn scan(bytes: &[u8], step: usize) -> Result<Vec<u8>, String> {
        let mut guard = PackGuard::new(Vec::new(), LIMITS);
        for piece in bytes.chunks(step) {
            guard.write_all(piece).map_err(|error| error.to_string())?;
        }
        guard.finish().map_err(|error| error.kind().to_string())
    }

    #[test]
    fn a_pack_passes_unchanged_in_pieces_of_any_size() {
        let delta = delta(11, 900);
        let bytes = pack(&[
            entry(3, 900, &[], &[b'a'; 900]),
            entry(DELTA_BY_OFFSET, delta.len() as u64, &[0x81, 0x02], &delta),
            entry(DELTA_BY_NAME, delta.len() as u64, &[9; 20], &delta),
        ]);
        for step in [1, 2, 7, 64, bytes.len()] {
            assert_eq!(scan(&bytes, step).unwrap(), bytes);
        }
        assert_eq!(scan(&pack(&[]), 5).unwrap().len(), 32);
    }

    #[test]
    fn what_would_grow_is_stopped() {
        let bomb = delta(10, 1 << 40);
        let wide = delta(1 << 40, 10);
        for (bytes, expected) in [
            (
                pack(&vec![entry(3, 1, &[], b"x"); 4]),
                PackError::Objects(3),
            ),
            (
                pack(&[entry(3, 2001, &[], &[0; 2001])]),
                PackError::ObjectBytes(2000),
            ),
            (
                pack(&[entry(2, 1001, &[], &[0; 1001])]),
                PackError::ObjectBytes(1000),
            ),
            (
                pack(&[entry(DELTA_BY_NAME, bomb.len() as u64, &[9; 20], &bomb)]),
                PackError::ObjectBytes(1000),
            ),
            (
                pack(&[entry(DELTA_BY_OFFSET, wide.len() as u64, &[1], &wide)]),
                PackError::ObjectBytes(1000),
            ),
            (pack(&[entry(3, 10, &[], &[0; 5000])]), PackError::Damaged),
            (pack(&[entry(3, 10, &[], &[0; 5])]), PackError::Damaged),
            (pack(&[entry(5, 1, &[], b"x")]), PackError::Damaged),
            (
                pack(&[[size_bytes(4, 4, 3), b"junk".to_vec()].concat()]),
                PackError::Damaged,
            ),
            (
                pack(&[entry(DELTA_BY_OFFSET, 1, &[0xff; 11], b"x")]),
                PackError::Damaged,
            ),
            (
                pack(&[entry(DELTA_BY_NAME, 1, &[9; 20], &[0x80])]),
                PackError::Damaged,
            ),
            (pack(&[vec![0xff; 30]]), PackError::Damaged),
            (b"PACK\0\0\0\x03\0\0\0\0".to_vec(), PackError::NotAPack),
            ([pack(&[]), vec![0]].concat(), PackError::NotAPack),
        ] {
            for step in [1, 100_000] {
                assert_eq!(scan(&bytes, step), Err(expected.to_string()));
            }
        }
    }

    #[test]
    fn half_a_pack_is_not_a_pack() {
        let bytes = pack(&[entry(3, 900, &[], &[b'a'; 900])]);
        for end in 0..bytes.len() {
            assert!(scan(&bytes[..end], 16).is_err(), "{end}");
        }
    }
}
