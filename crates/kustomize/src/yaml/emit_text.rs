//! Text as upstream prints it: which style, and where it folds.
//!
//! Enters: text and the column that it is indented to. Leaves: plain, quoted or block text. Never: keys and values; that is `emit.rs`.
//!
//! Source: the rules of libyaml's emitter as yaml.v2 uses it: width 80, indentation 2, other scripts as they are.

use std::borrow::Cow;

use super::cursor::characters;
use super::emit::UnprintableKind;
use super::resolve::needs_quotes;
use super::source::is_allowed;

/// Text longer than this many characters folds at its next space.
const WIDTH: usize = 80;

/// The style of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// A text with its style.
#[derive(Debug)]
pub(super) struct Text<'t> {
    text: Cow<'t, str>,
    style: Style,
    /// Whether it holds a character that counts as a line break.
    pub(super) has_breaks: bool,
}

/// What the bytes of a text say about its style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing.
    Usual,
    Space,
    /// `:` or `#`, which matter beside blanks.
    Mark,
    /// Anything that has to be looked at as a character.
    Other,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Usual; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' => Class::Space,
            b':' | b'#' => Class::Mark,
            0..0x20 | 0x7F..=0xFF => Class::Other,
            _ => Class::Usual,
        };
        byte += 1;
    }
    table
};

/// What a text allows.
#[derive(Debug, Default)]
struct Findings {
    line_feed: bool,
    breaks: bool,
    special: bool,
    indicator: bool,
    space_break: bool,
    break_space: bool,
}

/// Decides the style of a text.
///
/// # Errors
/// When the text holds a character that upstream cannot read back.
pub(super) fn analyse(text: &str) -> Result<Text<'_>, UnprintableKind> {
    let findings = look_through(text);
    if findings.special
        && let Some(other) = through_json(text)?
    {
        let findings = look_through(&other);
        let style = style(&other, &findings);
        return Ok(Text {
            text: Cow::Owned(other),
            style,
            has_breaks: findings.breaks,
        });
    }
    Ok(Text {
        text: Cow::Borrowed(text),
        style: style(text, &findings),
        has_breaks: findings.breaks,
    })
}

/// What upstream makes of a text by reading it back from JSON, where that is not the same.
fn through_json(text: &str) -> Result<Option<String>, UnprintableKind> {
    if let Some(control) = text
        .chars()
        .find(|character| *character >= '\u{7F}' && !is_allowed(*character))
    {
        return Err(UnprintableKind::ControlCharacter(control));
    }
    if !text.contains('\u{85}') {
        return Ok(None);
    }
    // U+0085 stands as itself in JSON, counts as a line break in YAML, and folds: with the spaces around it to one space, or
    // several of them to one line feed less.
    let mut lines = text.split('\u{85}');
    let mut folded = lines.next().unwrap_or_default().to_owned();
    let mut breaks = 0_usize;
    for line in lines {
        if breaks == 0 {
            folded.truncate(folded.trim_end_matches(' ').len());
        }
        breaks += 1;
        let line = line.trim_start_matches(' ');
        if line.is_empty() {
            continue;
        }
        fold_breaks(&mut folded, breaks);
        breaks = 0;
        folded.push_str(line);
    }
    if breaks > 0 {
        fold_breaks(&mut folded, breaks);
    }
    Ok(Some(folded))
}

fn fold_breaks(text: &mut String, breaks: usize) {
    if breaks == 1 {
        text.push(' ');
    } else {
        (1..breaks).for_each(|_| text.push('\n'));
    }
}

fn look_through(text: &str) -> Findings {
    let bytes = text.as_bytes();
    let at = |position: usize| bytes.get(position).copied();
    let blank_or_end = |position| at(position).is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    let mut findings = Findings {
        indicator: begins_with_indicator(bytes),
        ..Findings::default()
    };
    let mut after_space = false;
    let mut after_break = false;
    for (position, byte) in bytes.iter().enumerate() {
        match CLASSES[usize::from(*byte)] {
            Class::Usual => (after_space, after_break) = (false, false),
            Class::Space => {
                findings.break_space |= after_break;
                (after_space, after_break) = (true, false);
            }
            Class::Mark => {
                let is_indicator = match byte {
                    b':' => blank_or_end(position + 1),
                    _ => {
                        after_space
                            || after_break
                            || (position > 0 && at(position - 1) == Some(b'\t'))
                    }
                };
                findings.indicator |= is_indicator;
                (after_space, after_break) = (false, false);
            }
            Class::Other => {
                let Some(character) = text.get(position..).and_then(|rest| rest.chars().next())
                else {
                    continue;
                };
                findings.special |= !is_printable(character);
                if is_break(character) {
                    findings.breaks = true;
                    findings.line_feed |= character == '\n';
                    findings.space_break |= after_space;
                    (after_space, after_break) = (false, true);
                } else {
                    (after_space, after_break) = (false, false);
                }
            }
        }
    }
    findings
}

/// Whether text cannot be plain because of how it begins.
fn begins_with_indicator(bytes: &[u8]) -> bool {
    match bytes {
        [
            b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
            | b'"' | b'%' | b'@' | b'`',
            ..,
        ] => true,
        [b'-' | b'?' | b':'] | [b'-' | b'?' | b':', b' ' | b'\t', ..] => true,
        [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..] => true,
        _ => false,
    }
}

fn style(text: &str, findings: &Findings) -> Style {
    let is_space_or_break = |character: char| character == ' ' || is_break(character);
    let damaged = findings.space_break || findings.special;
    if findings.line_feed {
        return if damaged || text.ends_with(' ') {
            Style::Double
        } else {
            Style::Literal
        };
    }
    if needs_quotes(text) {
        return Style::Double;
    }
    let is_plain = !damaged
        && !findings.breaks
        && !findings.indicator
        && !text.starts_with(is_space_or_break)
        && !text.ends_with(is_space_or_break);
    if is_plain {
        Style::Plain
    } else if damaged || findings.break_space {
        Style::Double
    } else {
        Style::Single
    }
}

/// Whether a character may be printed as itself.
pub(super) fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{A0}'..='\u{FFFD}') && character != '\u{FEFF}'
}

pub(super) fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

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
        let value = text.text.as_ref();
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
