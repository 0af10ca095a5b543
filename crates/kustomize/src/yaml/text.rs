//! Plain and quoted text.
//!
//! Enters: the text at its first character or quote. Leaves: a scalar, borrowed where it stands as it is on one line.
//! Never: what the text means; that is `resolve.rs`.

use std::borrow::Cow;

use super::build::{Build, Form, Scalar, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::parser::Parser;

/// What a byte can mean inside plain text.
const PLAIN_STOPS: [bool; 256] = stops(b"\t\n\r :,?[]{}\0\xC2\xE2");
/// What a byte can mean inside single quotes.
const SINGLE_STOPS: [bool; 256] = stops(b"'\t\n\r \0\xC2\xE2");
/// What a byte can mean inside double quotes.
const DOUBLE_STOPS: [bool; 256] = stops(b"\"\\\t\n\r \0\xC2\xE2");

const fn stops(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// Text that is borrowed as long as it is one piece of the input.
struct Pieces<'a> {
    text: Cow<'a, str>,
}

impl<'a> Pieces<'a> {
    fn new() -> Self {
        Self {
            text: Cow::Borrowed(""),
        }
    }

    fn push(&mut self, piece: &'a str) {
        if piece.is_empty() {
            return;
        }
        if self.text.is_empty() {
            self.text = Cow::Borrowed(piece);
        } else {
            self.text.to_mut().push_str(piece);
        }
    }

    fn push_owned(&mut self, piece: &str) {
        self.text.to_mut().push_str(piece);
    }

    /// Adds what line breaks between two lines of text mean: a space for one, and one break less for several.
    fn fold(&mut self, breaks: &Breaks) {
        match breaks.first {
            Some("\n") if breaks.rest.is_empty() => self.push_owned(" "),
            Some("\n") | None => self.push_owned(&breaks.rest),
            Some(separator) => {
                self.push_owned(separator);
                self.push_owned(&breaks.rest);
            }
        }
    }
}

/// The line breaks between two lines of text.
struct Breaks {
    first: Option<&'static str>,
    rest: String,
}

impl<'a, B: Build> Parser<'a, B> {
    /// Reads plain text, which may go on over lines that are indented further than the collection around it.
    pub(super) fn plain(&mut self) -> Result<Scalar<'a>, Error> {
        let start = self.cursor.mark();
        let mut pieces = Pieces::new();
        let mut crossed = false;
        self.key_allowed = false;
        loop {
            if self.cursor.is_document_marker() || self.cursor.peek(0) == b'#' {
                break;
            }
            let from = self.cursor.position;
            let end = self.plain_line();
            if end > from {
                crossed = false;
            }
            pieces.push(self.cursor.slice(from, end));
            // After blanks, what ends the line of text is a comment, an indicator, or the line's end.
            if !self.cursor.is_separator(self.cursor.position) || self.cursor.is_end() {
                break;
            }
            let Some(breaks) = self.plain_breaks(start)? else {
                break;
            };
            crossed = true;
            if self.flow == 0 && i64::from(self.cursor.column()) <= self.indent {
                break;
            }
            if self.plain_goes_on() {
                pieces.fold(&breaks);
            }
        }
        if crossed {
            self.key_allowed = true;
        }
        Ok(Scalar {
            text: pieces.text,
            form: Form::Plain,
            tag: None,
        })
    }

    /// Moves over the text of a line, and the blanks behind it, and returns where its last character ends.
    fn plain_line(&mut self) -> usize {
        let cursor = &mut self.cursor;
        let mut position = cursor.position;
        let mut end = position;
        loop {
            let byte = cursor.at(position);
            if !PLAIN_STOPS[usize::from(byte)] {
                position += 1;
                end = position;
                continue;
            }
            match byte {
                b' ' | b'\t' => {
                    while cursor.is_blank(position) {
                        position += 1;
                    }
                    if cursor.at(position) == b'#' {
                        break;
                    }
                }
                b':' if !cursor.is_separator(position + 1) => {
                    position += 1;
                    end = position;
                }
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if self.flow == 0 => {
                    position += 1;
                    end = position;
                }
                0xC2 | 0xE2 if cursor.break_width(position) == 0 => {
                    position += 1;
                    end = position;
                }
                _ => break,
            }
        }
        cursor.position = position;
        end
    }

    /// Moves over line breaks and the blanks around them; `None` when there is no break.
    fn plain_breaks(&mut self, start: Mark) -> Result<Option<Breaks>, Error> {
        let Some(first) = self.cursor.take_break() else {
            return Ok(None);
        };
        let mut rest = String::new();
        loop {
            match self.cursor.peek(0) {
                b'\t' if i64::from(self.cursor.column()) <= self.indent => {
                    return Err(fail(start, ErrorKind::Tab));
                }
                b' ' | b'\t' => self.cursor.position += 1,
                _ => match self.cursor.take_break() {
                    Some(meaning) => rest.push_str(meaning),
                    None => {
                        return Ok(Some(Breaks {
                            first: Some(first),
                            rest,
                        }));
                    }
                },
            }
        }
    }

    /// Whether what stands here, on a further line, still belongs to plain text.
    fn plain_goes_on(&self) -> bool {
        let cursor = &self.cursor;
        let separated = cursor.is_separator(cursor.position + 1);
        match cursor.peek(0) {
            0 | b'#' => false,
            b':' => !separated,
            b',' | b'?' | b'[' | b']' | b'{' | b'}' => self.flow == 0,
            _ => !cursor.is_document_marker(),
        }
    }

    /// Reads text in single quotes.
    pub(super) fn single_quoted(&mut self) -> Result<Scalar<'a>, Error> {
        self.quoted(b'\'', &SINGLE_STOPS)
    }

    /// Reads text in double quotes.
    pub(super) fn double_quoted(&mut self) -> Result<Scalar<'a>, Error> {
        self.quoted(b'"', &DOUBLE_STOPS)
    }

    fn quoted(&mut self, quote: u8, stops: &[bool; 256]) -> Result<Scalar<'a>, Error> {
        let start = self.cursor.mark();
        self.cursor.position += 1;
        self.key_allowed = false;
        let mut pieces = Pieces::new();
        let mut from = self.cursor.position;
        loop {
            let position = self.cursor.position;
            let byte = self.cursor.at(position);
            if !stops[usize::from(byte)] {
                self.cursor.position += 1;
                continue;
            }
            match byte {
                b'\'' if quote == b'\'' && self.cursor.peek(1) == b'\'' => {
                    pieces.push(self.cursor.slice(from, position + 1));
                    self.cursor.position += 2;
                    from = self.cursor.position;
                }
                _ if byte == quote => {
                    pieces.push(self.cursor.slice(from, position));
                    self.cursor.position += 1;
                    return Ok(Scalar {
                        text: pieces.text,
                        form: if quote == b'\'' {
                            Form::Single
                        } else {
                            Form::Double
                        },
                        tag: None,
                    });
                }
                b'\\' => {
                    pieces.push(self.cursor.slice(from, position));
                    self.escape(start, &mut pieces)?;
                    from = self.cursor.position;
                }
                0 => return Err(fail(start, ErrorKind::UnclosedQuote)),
                b' ' | b'\t' => {
                    self.cursor.skip_blanks();
                    if self.cursor.break_width(self.cursor.position) > 0 {
                        pieces.push(self.cursor.slice(from, position));
                        self.quoted_breaks(start, &mut pieces, true)?;
                        from = self.cursor.position;
                    }
                }
                _ if self.cursor.break_width(position) > 0 => {
                    pieces.push(self.cursor.slice(from, position));
                    self.quoted_breaks(start, &mut pieces, true)?;
                    from = self.cursor.position;
                }
                _ => self.cursor.position += 1,
            }
        }
    }

    /// Moves over line breaks and the blanks around them. The first break folds, unless it was escaped.
    fn quoted_breaks(
        &mut self,
        start: Mark,
        pieces: &mut Pieces<'a>,
        folds: bool,
    ) -> Result<(), Error> {
        let first = if folds {
            self.cursor.take_break()
        } else {
            None
        };
        let mut rest = String::new();
        loop {
            if self.cursor.is_document_marker() {
                return Err(fail(start, ErrorKind::MarkerInQuote));
            }
            self.cursor.skip_blanks();
            match self.cursor.take_break() {
                Some(meaning) => rest.push_str(meaning),
                None => break,
            }
        }
        pieces.fold(&Breaks { first, rest });
        Ok(())
    }

    /// Reads an escape sequence, from its backslash on.
    fn escape(&mut self, start: Mark, pieces: &mut Pieces<'a>) -> Result<(), Error> {
        if self.cursor.break_width(self.cursor.position + 1) > 0 {
            self.cursor.position += 1;
            self.cursor.take_break();
            return self.quoted_breaks(start, pieces, false);
        }
        let digits = match self.cursor.peek(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let from = self.cursor.position + 2;
            let code = self.cursor.slice(from, from + digits);
            let is_hexadecimal =
                code.len() == digits && code.bytes().all(|digit| digit.is_ascii_hexdigit());
            let character = u32::from_str_radix(code, 16)
                .ok()
                .filter(|_| is_hexadecimal)
                .and_then(char::from_u32);
            let Some(character) = character else {
                return Err(fail(start, ErrorKind::Escape));
            };
            pieces.push_owned(character.encode_utf8(&mut [0; 4]));
            self.cursor.position = from + digits;
            return Ok(());
        }
        let meaning = match self.cursor.peek(1) {
            b'0' => "\0",
            b'a' => "\u{7}",
            b'b' => "\u{8}",
            b't' | b'\t' => "\t",
            b'n' => "\n",
            b'v' => "\u{B}",
            b'f' => "\u{C}",
            b'r' => "\r",
            b'e' => "\u{1B}",
            b' ' => " ",
            b'"' => "\"",
            b'\'' => "'",
            b'\\' => "\\",
            b'N' => "\u{85}",
            b'_' => "\u{A0}",
            b'L' => "\u{2028}",
            b'P' => "\u{2029}",
            _ => return Err(fail(start, ErrorKind::Escape)),
        };
        pieces.push_owned(meaning);
        self.cursor.position += 2;
        Ok(())
    }
}
