//! The chain: is it whole?
//!
//! Enters: records in order of sequence.
//! Leaves: the head, or the first record at which the chain breaks.
//! Never: trust in columns, labels or names; only the text counts.

use serde_json::Value;

use crate::{api::RecordHead, model::Digest};

/// One record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The canonical text.
    pub text: String,
}

/// Where and how a chain breaks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Broken {
    /// The text cannot be read.
    #[error("read record {position}: it is no JSON object of a known format")]
    Unreadable {
        /// Place in what was given, from 1.
        position: usize,
    },
    /// A sequence is missing or stands twice.
    #[error("follow the chain to record {expected}: found {found}")]
    Gap {
        /// Sequence that should follow.
        expected: u64,
        /// Sequence that was found.
        found: u64,
    },
    /// A record does not name its predecessor's hash.
    #[error("follow the chain to record {sequence}: it names another predecessor")]
    Forked {
        /// The record.
        sequence: u64,
    },
}

/// Follows the chain from `from` (None: from its first record).
///
/// # Errors
/// The first record that is unreadable, out of sequence, or names another predecessor.
pub fn verify(links: &[Link], from: Option<&RecordHead>) -> Result<Option<RecordHead>, Broken> {
    let mut head = from.cloned();
    for (position, link) in links.iter().enumerate() {
        let unreadable = Broken::Unreadable {
            position: position + 1,
        };
        let Ok(value) = serde_json::from_str::<Value>(&link.text) else {
            return Err(unreadable);
        };
        let known = value.get("format").and_then(Value::as_u64) == Some(super::record::FORMAT);
        let Some(sequence) = value
            .get("sequence")
            .and_then(Value::as_u64)
            .filter(|_| known)
        else {
            return Err(unreadable);
        };
        let expected = head.as_ref().map_or(1, |head| head.sequence + 1);
        if sequence != expected {
            return Err(Broken::Gap {
                expected,
                found: sequence,
            });
        }
        let previous = value.get("previous").and_then(Value::as_str);
        if previous != head.as_ref().map(|head| head.hash.as_str()) {
            return Err(Broken::Forked { sequence });
        }
        head = Some(RecordHead {
            sequence,
            hash: Digest::of(link.text.as_bytes()),
        });
    }
    Ok(head)
}
