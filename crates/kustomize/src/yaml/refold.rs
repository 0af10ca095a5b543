//! What upstream makes of folded text (`>`) by writing it and reading it again.
//!
//! Enters: the text of a `>` scalar. Leaves: the text that upstream goes on with. Never: other styles, which survive the round trip.
//!
//! Upstream's writer looks at the first line of the text where it should look at the next one, to decide whether a line break has to be
//! doubled. Lines that are indented further gain an empty line, and text that begins with a blank loses its line breaks.

use super::block_lines::{BlockLines, Chomping};
use super::characters::{is_break, is_printable};

/// Returns the text after the round trip.
pub(crate) fn refolded(text: &str) -> String {
    let inner = text.strip_suffix('\n').unwrap_or(text);
    if !inner.contains(is_break) && !inner.starts_with([' ', '\t']) || !may_be_block(text) {
        return text.to_owned();
    }
    read(&lines(text), chomping(text))
}

/// Whether upstream writes a text of several lines so that it cannot read it again: its writer says nothing about the indentation of a
/// block that begins with a tab, and its parser does not take a tab for the first character of one.
pub(crate) fn is_lost_in_block(text: &str) -> bool {
    text.starts_with('\t') && text.contains('\n') && may_be_block(text)
}

/// Whether upstream writes the text as a block; otherwise it quotes it, and nothing is lost.
fn may_be_block(text: &str) -> bool {
    let mut after_space = false;
    for character in text.chars() {
        if (character != '\t' && !is_printable(character)) || (after_space && is_break(character)) {
            return false;
        }
        after_space = character == ' ';
    }
    !after_space
}

/// The chomping that upstream's writer chooses for a text.
fn chomping(text: &str) -> Chomping {
    let mut from_end = text.chars().rev();
    match (from_end.next().is_some_and(is_break), from_end.next()) {
        (false, _) => Chomping::Strip,
        (true, Some(before)) if !is_break(before) => Chomping::Clip,
        (true, _) => Chomping::Keep,
    }
}

/// What stands behind the `>`.
pub(super) fn header(text: &str) -> String {
    let indentation = if text.starts_with(|first: char| first == ' ' || is_break(first)) {
        "2"
    } else {
        ""
    };
    let chomping = match chomping(text) {
        Chomping::Strip => "-",
        Chomping::Clip => "",
        Chomping::Keep => "+",
    };
    format!("{indentation}{chomping}")
}

/// The lines that upstream writes, without their indentation.
pub(super) fn lines(text: &str) -> String {
    let first = text.trim_start_matches(is_break).chars().next();
    let doubles = !matches!(first, None | Some(' ' | '\t'));
    let mut lines = String::with_capacity(text.len() + text.len() / 8);
    let (mut after_break, mut is_indented) = (true, true);
    for character in text.chars() {
        if is_break(character) {
            if !after_break && !is_indented && character == '\n' && doubles {
                lines.push('\n');
            }
            after_break = true;
        } else {
            if after_break {
                is_indented = matches!(character, ' ' | '\t');
            }
            after_break = false;
        }
        lines.push(character);
    }
    lines
}

/// What a parser reads from lines of folded text.
fn read(lines: &str, chomping: Chomping) -> String {
    let mut text = BlockLines::new(true);
    for line in lines.split_inclusive(is_break) {
        let content = line.trim_end_matches(is_break);
        let line_break = line.get(content.len()..).unwrap_or_default();
        if content.is_empty() {
            text.empty().push_str(line_break);
        } else {
            text.line(content);
            text.end_line(Some(line_break));
        }
    }
    text.finish(chomping)
}
