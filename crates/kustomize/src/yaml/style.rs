//! The style of a text in upstream's output.
//!
//! Enters: text. Leaves: plain, quoted or block; or why upstream cannot print it. Never: the output; that is `writer.rs`.
//!
//! Source: the rules of libyaml's emitter as yaml.v2 uses it.

use std::borrow::Cow;

use super::characters::{is_break, is_printable};
use super::resolve::needs_quotes;
use super::source::is_allowed;
use super::unprintable::UnprintableKind;

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
    pub(super) value: Cow<'t, str>,
    pub(super) style: Style,
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
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match byte {
            b' ' => Class::Space,
            b':' | b'#' => Class::Mark,
            0..0x20 | 0x7F..=0xFF => Class::Other,
            _ => Class::Usual,
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// What a text allows.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what one pass over a text finds, each independent of the others"
)]
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
            value: Cow::Owned(other),
            style,
            has_breaks: findings.breaks,
        });
    }
    Ok(Text {
        value: Cow::Borrowed(text),
        style: style(text, &findings),
        has_breaks: findings.breaks,
    })
}

/// What upstream makes of a text by reading it back from JSON, where that is not the same.
///
/// # Errors
/// When the text holds a character that upstream cannot read back.
pub(crate) fn through_json(text: &str) -> Result<Option<String>, UnprintableKind> {
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
    let (Some(first), rest) = (bytes.first(), bytes.get(1..).unwrap_or_default()) else {
        return false;
    };
    match first {
        b'-' | b'?' | b':' if matches!(rest, [] | [b' ' | b'\t', ..]) => true,
        b'-' => rest.starts_with(b"--"),
        b'.' => rest.starts_with(b".."),
        other => b"#,[]{}&*!|>'\"%@`".contains(other),
    }
}

/// The styles that a text can have.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each style is allowed or not, whatever the others are"
)]
pub(super) struct Allowed {
    pub(super) plain: bool,
    /// Inside of brackets or braces.
    pub(super) plain_inline: bool,
    pub(super) single: bool,
    pub(super) block: bool,
}

/// Finds the styles that a text can have where its meaning does not matter.
pub(super) fn allowed(text: &str) -> Allowed {
    let findings = look_through(text);
    let is_special = |character| character != '\t' && !is_printable(character);
    let damaged = findings.space_break || text.contains(is_special);
    let single = !damaged && !findings.break_space && !text.contains('\t');
    let is_edge = |character: char| character == ' ' || is_break(character);
    let plain = single
        && !findings.breaks
        && !findings.indicator
        && !text.starts_with(is_edge)
        && !text.ends_with(is_edge);
    let plain_inline =
        plain && !text.contains([',', '?', '[', ']', '{', '}', ':']) && !text.is_empty();
    Allowed {
        plain,
        plain_inline,
        single,
        block: !damaged && !text.ends_with(' ') && !text.is_empty(),
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
