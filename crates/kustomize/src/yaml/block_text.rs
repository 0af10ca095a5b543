//! Block text: `|` and `>`.
//!
//! Enters: the text at its indicator. Leaves: a scalar; the position is at the first line that does not belong to it.
//! Never: quotes or escapes, which mean nothing here.

use std::borrow::Cow;

use super::block_lines::{BlockLines, Chomping};
use super::build::{Build, Form, Scalar, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::parser::Parser;

impl<'a, B: Build> Parser<'a, B> {
    /// Reads block text, from its indicator on.
    pub(super) fn block_scalar(&mut self, is_literal: bool) -> Result<Scalar<'a>, Error> {
        let start = self.cursor.mark();
        let (chomping, increment) = self.block_header(start)?;
        // A key may begin behind block text, because that ends at the beginning of a line.
        self.key_allowed = true;

        let outside = u32::try_from(self.indent).unwrap_or(0);
        let mut lines = BlockLines::new(!is_literal);
        let known = increment.map(|increment| outside + increment);
        let indent = self.block_indentation(start, known, lines.empty())?;
        while self.cursor.column() == indent && !self.cursor.is_end() {
            let from = self.cursor.position;
            self.cursor.skip_to_line_end();
            lines.line(self.cursor.slice(from, self.cursor.position));
            lines.end_line(self.cursor.take_break());
            self.block_indentation(start, Some(indent), lines.empty())?;
        }
        Ok(Scalar {
            text: Cow::Owned(lines.finish(chomping)),
            form: if is_literal {
                Form::Literal
            } else {
                Form::Folded
            },
            tag: None,
        })
    }

    /// Reads the indicators and the rest of their line.
    fn block_header(&mut self, start: Mark) -> Result<(Chomping, Option<u32>), Error> {
        let mut chomping = Chomping::Clip;
        let mut increment = None;
        self.cursor.position += 1;
        for _ in 0..2 {
            match self.cursor.peek(0) {
                b'+' if chomping == Chomping::Clip => chomping = Chomping::Keep,
                b'-' if chomping == Chomping::Clip => chomping = Chomping::Strip,
                b'0' if increment.is_none() => {
                    return Err(fail(start, ErrorKind::BlockIndentation));
                }
                digit @ b'1'..=b'9' if increment.is_none() => {
                    increment = Some(u32::from(digit - b'0'));
                }
                _ => break,
            }
            self.cursor.position += 1;
        }
        self.cursor.skip_blanks();
        if self.cursor.peek(0) == b'#' {
            self.comment(false);
        }
        if !self.cursor.is_line_end(self.cursor.position) {
            return Err(fail(start, ErrorKind::BlockHeader));
        }
        self.cursor.take_break();
        Ok((chomping, increment))
    }

    /// Moves over empty lines and over the indentation of the next line that is not, and returns its column.
    ///
    /// Where the indentation is not known it is that of the longest run of spaces so far, but further right than what is around.
    fn block_indentation(
        &mut self,
        start: Mark,
        indent: Option<u32>,
        breaks: &mut String,
    ) -> Result<u32, Error> {
        let mut longest = 0;
        loop {
            let limit = indent.unwrap_or(u32::MAX);
            let mut column = 0;
            while column < limit && self.cursor.peek(0) == b' ' {
                self.cursor.position += 1;
                column += 1;
            }
            longest = longest.max(column);
            if column < limit && self.cursor.peek(0) == b'\t' {
                return Err(fail(start, ErrorKind::Tab));
            }
            match self.cursor.take_break() {
                Some(meaning) => breaks.push_str(meaning),
                None => break,
            }
        }
        let least = u32::try_from(self.indent + 1).unwrap_or(0).max(1);
        Ok(indent.unwrap_or_else(|| longest.max(least)))
    }
}
