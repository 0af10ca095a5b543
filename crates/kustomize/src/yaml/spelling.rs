//! Scalars whose value does not say how they are spelled: `0644`, `1.10`, `2020-01-01`, `~`, or nothing for null.
//!
//! Enters: the text of a scalar. Leaves: what it stands for, and whether that tells the text. Never: a tree.

use serde_json::Value;

use super::build::{Form, Scalar};
use super::limits::Limits;
use super::node::NodeKind;
use super::number;
use super::parser::Dialect;
use super::read::parse_nodes;
use super::resolve::{Meaning, binary, resolve};
use super::value::scalar_value;

/// Whether a scalar is printed otherwise than it is spelled.
pub(super) fn is_unusual(meaning: &Meaning, text: &str) -> bool {
    match meaning {
        Meaning::Null => text != "null",
        Meaning::Bool(true) => text != "true",
        Meaning::Bool(false) => text != "false",
        Meaning::Signed(number) => number.to_string() != text,
        Meaning::Unsigned(number) => number.to_string() != text,
        Meaning::Float(number) => number.fract() == 0.0 || number::general_float(*number) != text,
        Meaning::Date(_) | Meaning::Binary(_) => true,
        Meaning::Merge | Meaning::Text => false,
    }
}

/// What a scalar without quotes stands for in an object. `None` where it is a number or a date that JSON cannot hold.
pub(crate) fn plain(text: &str) -> Option<Value> {
    let scalar = Scalar {
        text: text.into(),
        form: Form::Plain,
        tag: None,
    };
    match resolve(&scalar, Dialect::Objects) {
        Ok(meaning) => scalar_value(meaning, text.to_owned()),
        Err(_) => Some(Value::String(text.to_owned())),
    }
}

/// Whether a scalar without quotes is text in settings.
pub(crate) fn is_text_in_settings(text: &str) -> bool {
    let scalar = Scalar {
        text: text.into(),
        form: Form::Plain,
        tag: None,
    };
    let meaning = resolve(&scalar, Dialect::Settings);
    matches!(
        meaning,
        Ok(Meaning::Text | Meaning::Date(_) | Meaning::Merge | Meaning::Binary(_)) | Err(_)
    )
}

/// Whether a text of one line is text where it is read as a whole document of settings, or cannot be read at all.
pub(crate) fn is_document_of_text(text: &str) -> bool {
    // What begins like a word can only be something else as a whole, or by a colon or a comment.
    if text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !text.contains([':', '#', ' '])
    {
        return is_text_in_settings(text);
    }
    match parse_nodes(text.as_bytes(), &Limits::default()) {
        Err(_) => true,
        Ok(documents) => documents.first().is_some_and(|document| {
            !document.defects.is_empty() || matches!(document.value.kind, NodeKind::String(_))
        }),
    }
}

/// What a `!!binary` scalar holds; `None` where it is no base64.
pub(crate) fn binary_text(text: &str) -> Option<String> {
    match binary(text) {
        Ok(Meaning::Binary(text)) => Some(text),
        Ok(_) | Err(_) => None,
    }
}
