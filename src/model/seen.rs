//! What a watch knows of one object.
//!
//! Enters: watch events.
//! Leaves: `Seen`.
//! Never: a proof of absence: before anything is believed gone it is read as the account.

use serde_json::Value;

use super::Packed;

/// What a watch knows of one object.
#[derive(Clone, Debug)]
pub enum Seen {
    /// No watch covers it, or the watch has not listed yet.
    Unknown,
    /// The watch has listed and does not have it.
    Absent,
    /// The object as last seen, cut to what the set and health need; packed, for there may be very many.
    Present(Packed),
}

impl Seen {
    /// Returns the object, where there is one.
    pub fn value(&self) -> Option<Value> {
        match self {
            Self::Present(live) => live.value(),
            Self::Unknown | Self::Absent => None,
        }
    }
}
