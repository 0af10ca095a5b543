//! Text from a tree inside of a message.
//! Enters: text that somebody else wrote. Leaves: the same, harmless to a terminal.

use std::fmt;

/// Text from a tree inside of a message: what a terminal would act upon is written as an escape.
pub(crate) struct Shown<'t>(pub(crate) &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acts = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        for piece in self.0.split_inclusive(acts) {
            let text = piece.trim_end_matches(acts);
            f.write_str(text)?;
            for character in piece.get(text.len()..).unwrap_or_default().chars() {
                write!(f, "{}", character.escape_default())?;
            }
        }
        Ok(())
    }
}
