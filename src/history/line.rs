//! One line of an export, a sink or the cluster: a record or a checkpoint.
//!
//! Enters: text from anywhere.
//! Leaves: `Line`, or why it is neither.
//! Never: a text that is taken for a record although other bytes would say the same: only the canonical form counts.

use serde_json::{Value, json};

use super::{checkpoint::Signed, record::FORMAT};
use crate::{
    api::RecordHead,
    model::{Digest, canonical_json},
};

/// One chain: the records of one Application by its UID. A name that is used again begins another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId {
    /// Namespace.
    pub namespace: String,
    /// Name of the Application.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl std::fmt::Display for ChainId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let uid: String = self.uid.chars().take(8).collect();
        write!(f, "{}/{}-{uid}", self.namespace, self.name)
    }
}

/// What a record says of its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub sequence: u64,
    /// Hash of its text.
    pub hash: Digest,
    /// Hash of the record before it; None for the first.
    pub previous: Option<Digest>,
    /// Newest record of an earlier Application of the same name: its UID and head.
    pub succeeds: Option<(String, RecordHead)>,
    /// UID of the cluster; empty where it was not known.
    pub cluster: String,
    /// The record.
    pub value: Value,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A record.
    Record(Box<Told>),
    /// A checkpoint with its signature.
    Checkpoint(Signed),
    /// What a sink says of itself: the first line of a file.
    Header,
}

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON object, or lacks what every record has.
    #[error("is no record: {0}")]
    NotARecord(&'static str),
    /// It is of a later format.
    #[error("has format {0}, and this release knows 1 to {FORMAT}")]
    Format(u64),
    /// Other bytes would say the same: it was written by somebody else, or changed.
    #[error("is not in its canonical form: it was changed")]
    NotCanonical,
}

/// Reads one line.
///
/// # Errors
/// It is neither a record nor a checkpoint, of an unknown format, or not canonical.
pub fn read_line(text: &str) -> Result<Line, Unreadable> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Err(Unreadable::NotARecord("no JSON"));
    };
    if let Some(checkpoint) = value.get("checkpoint").and_then(Value::as_str) {
        let signature = value.get("signature").and_then(Value::as_str);
        return Ok(Line::Checkpoint(Signed {
            text: checkpoint.to_owned(),
            signature: signature.unwrap_or_default().to_owned(),
        }));
    }
    if value.get("sink").is_some() {
        return Ok(Line::Header);
    }
    told(text, value).map(|told| Line::Record(Box::new(told)))
}

/// Reads the text of one record.
///
/// # Errors
/// As for `read_line`.
pub fn read_record(text: &str) -> Result<Told, Unreadable> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => told(text, value),
        Err(_) => Err(Unreadable::NotARecord("no JSON")),
    }
}

fn told(text: &str, value: Value) -> Result<Told, Unreadable> {
    let format = value
        .get("format")
        .and_then(Value::as_u64)
        .ok_or(Unreadable::NotARecord("it has no format"))?;
    if format == 0 || format > FORMAT {
        return Err(Unreadable::Format(format));
    }
    if canonical_json(&value) != text {
        return Err(Unreadable::NotCanonical);
    }
    let word = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let need = |pointer: &str, why| {
        word(pointer)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .ok_or(Unreadable::NotARecord(why))
    };
    let digest = |pointer: &str| match value.pointer(pointer) {
        None => Ok(None),
        Some(found) => found
            .as_str()
            .and_then(|found| found.parse::<Digest>().ok())
            .map(Some)
            .ok_or(Unreadable::NotARecord("a hash in it is none")),
    };
    let sequence = value
        .get("sequence")
        .and_then(Value::as_u64)
        .filter(|sequence| *sequence > 0)
        .ok_or(Unreadable::NotARecord("it has no sequence"))?;
    let succeeds = match (word("/succeeds/uid"), digest("/succeeds/hash")?) {
        (Some(uid), Some(hash)) => Some((
            uid.to_owned(),
            RecordHead {
                sequence: value
                    .pointer("/succeeds/sequence")
                    .and_then(Value::as_u64)
                    .ok_or(Unreadable::NotARecord("its predecessor has no sequence"))?,
                hash,
            },
        )),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(Unreadable::NotARecord("its predecessor is half named"));
        }
    };
    Ok(Told {
        chain: ChainId {
            namespace: need("/application/namespace", "it has no namespace")?,
            name: need("/application/name", "it has no Application")?,
            uid: need("/application/uid", "it has no UID")?,
        },
        sequence,
        hash: Digest::of(text.as_bytes()),
        previous: digest("/previous")?,
        succeeds,
        cluster: word("/cluster").unwrap_or_default().to_owned(),
        value,
    })
}

impl Signed {
    /// Returns the line that stands for it.
    pub fn to_line(&self) -> String {
        canonical_json(&json!({"checkpoint": self.text, "signature": self.signature}))
    }
}
