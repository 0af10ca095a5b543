//! A position in a text, and the characters around it.
//!
//! Enters: the text of one document. Leaves: bytes, blanks, line breaks, and marks of lines and columns.
//! Never: a decision of grammar.

use std::cell::Cell;

use super::source::{Chunk, to_u32};

/// A place in the text: the line, and the number of characters before it on that line, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A position in a text that counts lines. Bytes beyond the end read as 0, which no text contains.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) position: usize,
    line: u32,
    line_start: usize,
    /// A position on this line, and the characters before it, so that a long line is not counted again for each of its tokens.
    counted: Cell<(usize, u32)>,
}

/// The bytes that can begin a line break: LF, CR, U+0085, U+2028, U+2029.
const BREAK_STARTS: [bool; 256] = {
    let mut table = [false; 256];
    table[b'\n' as usize] = true;
    table[b'\r' as usize] = true;
    table[0xC2] = true;
    table[0xE2] = true;
    table
};

impl<'a> Cursor<'a> {
    pub(super) fn new(chunk: Chunk<'a>) -> Self {
        Self {
            text: chunk.text,
            bytes: chunk.text.as_bytes(),
            position: 0,
            line: chunk.line,
            line_start: 0,
            counted: Cell::new((0, 0)),
        }
    }

    /// The byte at an offset from here.
    pub(super) fn peek(&self, offset: usize) -> u8 {
        self.at(self.position + offset)
    }

    /// The byte at a position.
    pub(super) fn at(&self, position: usize) -> u8 {
        self.bytes.get(position).copied().unwrap_or(0)
    }

    /// The character at the position, for messages.
    pub(super) fn character(&self) -> char {
        self.slice(self.position, self.bytes.len())
            .chars()
            .next()
            .unwrap_or('\0')
    }

    pub(super) fn is_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    /// The text between two positions, which must be boundaries of characters; empty otherwise.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn at_line_start(&self) -> bool {
        self.position == self.line_start
    }

    /// The text of this line before the position.
    pub(super) fn before(&self) -> &'a str {
        self.slice(self.line_start, self.position)
    }

    /// Characters before the position on its line.
    pub(super) fn column(&self) -> u32 {
        let (mut from, mut column) = self.counted.get();
        if from < self.line_start || from > self.position {
            (from, column) = (self.line_start, 0);
        }
        let between = self.bytes.get(from..self.position).unwrap_or_default();
        let column = column.saturating_add(to_u32(characters(between)));
        self.counted.set((self.position, column));
        column
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            line: self.line,
            column: self.column(),
        }
    }

    /// The number of bytes of the line break at a position; 0 for none.
    pub(super) fn break_width(&self, position: usize) -> usize {
        let byte = self.at(position);
        if !BREAK_STARTS[usize::from(byte)] {
            return 0;
        }
        match (byte, self.at(position + 1), self.at(position + 2)) {
            (b'\r', b'\n', _) | (0xC2, 0x85, _) => 2,
            (b'\n' | b'\r', ..) => 1,
            (0xE2, 0x80, 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }

    /// Whether a space or tab stands at a position.
    pub(super) fn is_blank(&self, position: usize) -> bool {
        matches!(self.at(position), b' ' | b'\t')
    }

    /// Whether a line break, or the end, is at a position.
    pub(super) fn is_line_end(&self, position: usize) -> bool {
        self.at(position) == 0 || self.break_width(position) > 0
    }

    /// Whether a blank, a line break, or the end, is at a position.
    pub(super) fn is_separator(&self, position: usize) -> bool {
        self.is_blank(position) || self.is_line_end(position)
    }

    /// Whether a line begins here with `---` or `...`, and nothing else or a blank behind it.
    pub(super) fn is_document_marker(&self) -> bool {
        self.at_line_start()
            && matches!(
                (self.peek(0), self.peek(1), self.peek(2)),
                (b'-', b'-', b'-') | (b'.', b'.', b'.')
            )
            && self.is_separator(self.position + 3)
    }

    /// Moves over spaces and tabs.
    pub(super) fn skip_blanks(&mut self) {
        while self.is_blank(self.position) {
            self.position += 1;
        }
    }

    /// Moves to the end of the line, before its break.
    pub(super) fn skip_to_line_end(&mut self) {
        while let Some(byte) = self.bytes.get(self.position) {
            if BREAK_STARTS[usize::from(*byte)] && self.break_width(self.position) > 0 {
                break;
            }
            self.position += 1;
        }
    }

    /// Moves over the line break here, and returns what it means: LF, or U+2028 and U+2029 themselves. `None` where there is none.
    pub(super) fn take_break(&mut self) -> Option<&'static str> {
        let width = self.break_width(self.position);
        let meaning = match (width, self.peek(2)) {
            (0, _) => return None,
            (3, 0xA8) => "\u{2028}",
            (3, _) => "\u{2029}",
            _ => "\n",
        };
        self.position += width;
        self.line += 1;
        self.line_start = self.position;
        Some(meaning)
    }
}

/// The number of characters in UTF-8 bytes.
pub(super) fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}
