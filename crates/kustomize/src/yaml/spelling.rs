//! Scalars whose value does not say how they are spelled: `0644`, `1.10`, `2020-01-01`, `~`, or nothing for null.
//!
//! Enters: the text of a scalar. Leaves: what it stands for, and whether that tells the text. Never: a tree.

use super::build::{Form, Scalar};
use super::dialect::Dialect;
use super::meaning::Meaning;
use super::resolve::{binary, resolve};

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

/// What a `!!binary` scalar holds; `None` where it is no base64.
pub(crate) fn binary_text(text: &str) -> Option<String> {
    match binary(text) {
        Ok(Meaning::Binary(text)) => Some(text),
        Ok(_) | Err(_) => None,
    }
}
