//! From bytes to the texts of documents.
//!
//! Enters: the bytes of a file. Leaves: its documents' texts with their first lines, or what cannot be text.
//! Never: anything of YAML but the line that separates documents, which upstream finds before it parses.

use std::borrow::Cow;

use super::error::{Error, ErrorKind};
use super::limits::Limits;

/// The text of one document, and the line of the file where it begins, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) text: &'a str,
    pub(super) line: u32,
}

/// Checks the size, decodes to UTF-8, and refuses control characters.
pub(super) fn decode<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, str>, Error> {
    if bytes.len() > limits.bytes {
        return Err(Error {
            line: 1,
            column: 1,
            kind: ErrorKind::Bytes(limits.bytes),
        });
    }
    let text = match bytes {
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(decode_utf16(rest, u16::from_le_bytes)?),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(decode_utf16(rest, u16::from_be_bytes)?),
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(decode_utf8(rest)?),
        _ => Cow::Borrowed(decode_utf8(bytes)?),
    };
    check_characters(&text)?;
    Ok(text)
}

fn decode_utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        place(&String::from_utf8_lossy(valid), ErrorKind::NotUtf8)
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match character {
            Ok(character) => text.push(character),
            Err(_unpaired) => return Err(place(&text, ErrorKind::NotUtf16)),
        }
    }
    if rest.is_empty() {
        Ok(text)
    } else {
        Err(place(&text, ErrorKind::NotUtf16))
    }
}

/// Refuses what YAML does not allow as itself: controls but tab, line feed, carriage return and U+0085, and two non-characters.
fn check_characters(text: &str) -> Result<(), Error> {
    const SUSPECT: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 0x20 {
            table[byte as usize] = !matches!(byte, b'\t' | b'\n' | b'\r');
            byte += 1;
        }
        table[0x7F] = true;
        table[0xC2] = true;
        table[0xEF] = true;
        table
    };
    for (at, byte) in text.bytes().enumerate() {
        if SUSPECT[usize::from(byte)]
            && let Some(character) = text.get(at..).and_then(|rest| rest.chars().next())
            && !is_allowed(character)
        {
            return Err(place(
                text.get(..at).unwrap_or_default(),
                ErrorKind::ControlCharacter(character),
            ));
        }
    }
    Ok(())
}

/// Whether a character may stand in a YAML text as itself.
pub(super) fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | '\u{85}' => true,
        '\u{0}'..'\u{20}' | '\u{7F}'..'\u{A0}' | '\u{FFFE}' | '\u{FFFF}' => false,
        _ => true,
    }
}

/// An error at the place that follows a text.
fn place(before: &str, kind: ErrorKind) -> Error {
    let line = before.matches('\n').count();
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count());
    Error {
        line: to_u32(line + 1),
        column: to_u32(column + 1),
        kind,
    }
}

/// Texts are bounded far below 4 GiB; the conversion saturates all the same.
pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Replaces CR LF by LF, as upstream does before it looks at a resource file.
pub(super) fn normalise(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.as_bytes().contains(&b'\r') && text.contains("\r\n") {
        Cow::Owned(text.replace("\r\n", "\n"))
    } else {
        text
    }
}

/// Splits the text of a resource file at the lines that begin with `---`, wherever they stand; the first line of the file is none.
///
/// Such a line may hold spaces and a comment besides. A last line without a line feed does not separate.
pub(super) fn split<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Chunk<'a>>, Error> {
    let bytes = text.as_bytes();
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut line) = (0, 0_usize, 0_usize);
    let mut search = 0;
    while let Some(found) = find_line_feed(bytes, search) {
        line += 1;
        search = found + 1;
        if !bytes
            .get(search..)
            .is_some_and(|rest| rest.starts_with(b"---"))
        {
            continue;
        }
        let Some(end) = find_line_feed(bytes, search) else {
            break;
        };
        let rest = text.get(search + 3..end).unwrap_or_default().trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            let kind = ErrorKind::DocumentSeparator(rest.chars().take(40).collect());
            return Err(Error {
                line: to_u32(line + 1),
                column: 4,
                kind,
            });
        }
        // The line feed before the separator belongs to the document that it ends.
        chunks.push(chunk(text.get(start..search), start_line));
        if chunks.len() >= limits.documents {
            return Err(Error {
                line: to_u32(line + 1),
                column: 1,
                kind: ErrorKind::Documents(limits.documents),
            });
        }
        // The search goes on behind the separator's own line feed, so that a second separator right after it is not seen here.
        start = end + 1;
        line += 1;
        start_line = line;
        search = start;
    }
    chunks.push(chunk(text.get(start..), start_line));
    Ok(chunks)
}

/// Each document may begin with a byte order mark of its own.
fn chunk(text: Option<&str>, line: usize) -> Chunk<'_> {
    let text = text.unwrap_or_default();
    Chunk {
        text: text.strip_prefix('\u{FEFF}').unwrap_or(text),
        line: to_u32(line),
    }
}

fn find_line_feed(bytes: &[u8], from: usize) -> Option<usize> {
    bytes
        .get(from..)?
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|at| from + at)
}
