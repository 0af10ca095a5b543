//! Characters as upstream's emitter sees them.
//!
//! Enters: a character. Leaves: whether it can be printed, or breaks a line. Never: a text.

/// Whether a character may be printed as itself.
pub(super) fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{A0}'..='\u{FFFD}') && character != '\u{FEFF}'
}

pub(super) fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
