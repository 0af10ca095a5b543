//! The scalar that a generated text is.
//!
//! Enters: a text. Leaves: the scalar, with the quotes that upstream gives it, which stay where a patch writes over it.
//! Never: a key, an object.

use serde_json::Value;

use crate::scalar;
use crate::yaml::{self, ErrorKind, Limits, NodeKind};

/// Writes a text: in quotes where it would be something else as a document of its own.
pub(crate) fn scalar_of(text: &str) -> Value {
    let literal = scalar::literal(text.to_owned());
    if scalar::mark_of(&literal).is_some() {
        literal
    } else if text.is_empty() || text.contains('\n') || is_text_alone(text) {
        scalar::tagged_text(text)
    } else {
        scalar::quoted(text)
    }
}

/// Whether a line is text where it is read as a whole document of settings, or cannot be read at all.
fn is_text_alone(line: &str) -> bool {
    // What begins like a word can only be something else as a whole, or by a colon or a comment.
    let is_word = line.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_word && !line.contains([':', '#', ' ']) {
        return yaml::is_text_in_settings(line);
    }
    match yaml::parse_nodes(line.as_bytes(), &Limits::default()) {
        // Infinity has no place in JSON, but it is no text.
        Err(error) => !matches!(error.kind, ErrorKind::NotFinite(_)),
        Ok(documents) => documents
            .first()
            .is_some_and(|document| matches!(document.value.kind, NodeKind::String(_))),
    }
}
