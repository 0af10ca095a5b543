//! The output, and text in it.
//!
//! Enters: texts with their styles, and the columns that they are indented to. Leaves: lines, folded where upstream folds them.
//! Never: keys and values; that is `emit.rs`.
//!
//! Source: the rules of libyaml's emitter as yaml.v2 uses it: width 80, indentation 2, other scripts as they are.

use super::characters::{is_break, is_printable};
use super::cursor::characters;
use super::style::{Style, Text};

/// Text longer than this many characters folds at its next space.
const WIDTH: usize = 80;

/// The output, and where its last line begins.
pub(super) struct Writer<'o> {
    out: &'o mut String,
    line_start: usize,
    /// Whether the last line holds nothing but indicators, so that a collection may begin on it.
    is_open: bool,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut String) -> Self {
        let line_start = out.len();
        Self {
            out,
            line_start,
            is_open: true,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
        self.is_open = false;
    }

    /// Writes a dash, question mark or colon behind which a collection may begin, or the space behind it.
    pub(super) fn indicator(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Characters on the last line.
    fn column(&self) -> usize {
        characters(
            self.out
                .as_bytes()
                .get(self.line_start..)
                .unwrap_or_default(),
        )
    }

    fn line_feed(&mut self) {
        self.out.push('\n');
        self.line_start = self.out.len();
        self.is_open = true;
    }

    /// Ends the line, unless it is empty.
    pub(super) fn break_line(&mut self) {
        if self.out.len() > self.line_start {
            self.line_feed();
        }
    }

    /// Moves to a column: on this line, where only indicators stand before it, else on a new one.
    pub(super) fn indent_to(&mut self, column: usize) {
        if !self.is_open || self.out.len() - self.line_start > column {
            self.line_feed();
        }
        for _ in self.out.len() - self.line_start..column {
            self.out.push(' ');
        }
    }

    fn fold_line(&mut self, indent: usize) {
        self.line_feed();
        self.is_open = false;
        for _ in 0..indent {
            self.out.push(' ');
        }
    }

    /// Writes a text. Lines that it goes on with stand in the column `indent`.
    pub(super) fn text(&mut self, text: &Text<'_>, indent: usize, folds: bool) {
        let value = text.value.as_ref();
        self.is_open = false;
        match text.style {
            Style::Plain if !folds || self.fits(value) => self.out.push_str(value),
            Style::Plain => self.folded(value, indent, true, 0),
            Style::Single => {
                self.out.push('\'');
                self.folded(value, indent, folds, 1);
                self.out.push('\'');
            }
            Style::Double => self.double(value, indent, folds),
            Style::Literal => self.literal(value, indent),
        }
    }

    fn fits(&self, value: &str) -> bool {
        value.len() <= WIDTH && self.column() + value.len() <= WIDTH
    }

    /// Writes plain text, or what stands in single quotes. Single spaces beyond the width become line breaks, but for `edge`
    /// characters at both ends.
    fn folded(&mut self, value: &str, indent: usize, folds: bool, edge: usize) {
        let bytes = value.as_bytes();
        let mut column = self.column();
        let mut after_space = false;
        let mut after_break = false;
        for (position, character) in value.char_indices() {
            if character == ' ' {
                let inside = position >= edge && position + edge < bytes.len();
                if folds
                    && !after_space
                    && column > WIDTH
                    && inside
                    && bytes.get(position + 1) != Some(&b' ')
                {
                    self.fold_line(indent);
                    column = indent;
                } else {
                    self.out.push(' ');
                    column += 1;
                }
                after_space = true;
                continue;
            }
            if is_break(character) {
                self.out.push(character);
                self.line_start = self.out.len();
                column = 0;
                after_break = true;
                continue;
            }
            if after_break {
                for _ in column..indent {
                    self.out.push(' ');
                }
                column = column.max(indent);
            }
            if character == '\'' && edge > 0 {
                self.out.push('\'');
                column += 1;
            }
            self.out.push(character);
            column += 1;
            after_space = false;
            after_break = false;
        }
    }

    fn double(&mut self, value: &str, indent: usize, folds: bool) {
        self.out.push('"');
        let mut column = self.column();
        let mut after_space = false;
        let has_mark = value.starts_with('\u{FEFF}');
        for (position, character) in value.char_indices() {
            let escapes = has_mark
                || !is_printable(character)
                || is_break(character)
                || matches!(character, '"' | '\\');
            if escapes {
                let before = self.out.len();
                self.escape(character);
                column += self.out.len() - before;
                after_space = false;
            } else if character == ' ' {
                let inside = position > 0 && position + 1 < value.len();
                if folds && !after_space && column > WIDTH && inside {
                    self.fold_line(indent);
                    column = indent;
                    if value.as_bytes().get(position + 1) == Some(&b' ') {
                        self.out.push('\\');
                        column += 1;
                    }
                } else {
                    self.out.push(' ');
                    column += 1;
                }
                after_space = true;
            } else {
                self.out.push(character);
                column += 1;
                after_space = false;
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, character: char) {
        let short = match character {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{B}' => 'v',
            '\u{C}' => 'f',
            '\r' => 'r',
            '\u{1B}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{A0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(character);
                let escaped = match code {
                    0..=0xFF => format!("\\x{code:02X}"),
                    0x100..=0xFFFF => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                self.out.push_str(&escaped);
                return;
            }
        };
        self.out.push('\\');
        self.out.push(short);
    }

    fn literal(&mut self, value: &str, indent: usize) {
        self.out.push('|');
        if value.starts_with(|character| character == ' ' || is_break(character)) {
            self.out.push('2');
        }
        let mut from_end = value.chars().rev();
        match (from_end.next().is_some_and(is_break), from_end.next()) {
            (false, _) => self.out.push('-'),
            (true, None) => self.out.push('+'),
            (true, Some(before)) if is_break(before) => self.out.push('+'),
            (true, Some(_)) => {}
        }
        self.line_feed();
        for line in value.split_inclusive(is_break) {
            if !line.starts_with(is_break) {
                for _ in 0..indent {
                    self.out.push(' ');
                }
            }
            self.out.push_str(line);
            if line.ends_with(is_break) {
                self.line_start = self.out.len();
            }
            self.is_open = line.ends_with(is_break);
        }
    }
}
