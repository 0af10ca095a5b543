//! What a scalar can mean.
//!
//! Enters, leaves: nothing; these are words. Never: how a text is read.

use super::date::Date;

/// The meaning of a scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// A date.
    Date(Date),
    /// `<<`, which is text unless it is a key.
    Merge,
    /// The text itself.
    Text,
    /// What a `!!binary` holds.
    Binary(String),
}
