//! One Kubernetes Event about an Application.
//!
//! Enters: what `report` worded.
//! Leaves: an Event of `events.k8s.io/v1`.
//! Never: a name that two different events share, or that one event sent twice does not.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api,
    model::{ApplicationKey, sha256_hex, text},
};

/// Longest note that the API server takes, in bytes.
const NOTE_BYTES: usize = 1024;
/// Longest reason and action that it takes.
const WORD_BYTES: usize = 128;

/// Whether an event is good or bad news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something happened as it should.
    Normal,
    /// A person may want to act.
    Warning,
}

impl EventType {
    /// Returns the type in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One event about an Application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The Application.
    pub application: ApplicationKey,
    /// Its UID.
    pub application_uid: String,
    /// Good or bad news.
    pub kind: EventType,
    /// Reason from the closed list.
    pub reason: String,
    /// What was done, for example `Sync`.
    pub action: String,
    /// What happened; cut at 1 KiB.
    pub note: String,
    /// When.
    pub at: Timestamp,
    /// Which controller says it: the holder of the lease.
    pub instance: String,
}

impl Event {
    pub(super) fn to_value(&self) -> Value {
        let identity = format!(
            "{}/{}/{}/{}/{}",
            self.application_uid, self.reason, self.action, self.note, self.at
        );
        let hash = sha256_hex(identity.as_bytes());
        let short = hash.get(..16).unwrap_or_default();
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": format!("{}.{short}", self.application.name),
                "namespace": self.application.namespace,
            },
            "eventTime": micro_time(self.at),
            "reportingController": format!("{}/controller", api::GROUP),
            "reportingInstance": text::cut(&self.instance, WORD_BYTES),
            "action": text::cut(&self.action, WORD_BYTES),
            "reason": text::cut(&self.reason, WORD_BYTES),
            "regarding": {
                "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
                "kind": "Application",
                "namespace": self.application.namespace,
                "name": self.application.name,
                "uid": self.application_uid,
            },
            "note": text::cut(&self.note, NOTE_BYTES),
            "type": self.kind.as_str(),
        })
    }
}

/// Returns a time as the API server's `MicroTime`.
pub(super) fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_bounded_and_named_by_what_it_says() {
        let event = Event {
            application: ApplicationKey {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
            application_uid: "u".to_owned(),
            kind: EventType::Warning,
            reason: "Returned".to_owned(),
            action: "Sync".to_owned(),
            note: "é".repeat(2_000),
            at: Timestamp::UNIX_EPOCH,
            instance: "a".to_owned(),
        };
        let value = event.to_value();
        assert!(value["note"].as_str().unwrap().len() <= 1024);
        assert_eq!(value["eventTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(event.to_value(), value);
        let other = Event {
            note: "x".to_owned(),
            ..event
        };
        assert_ne!(
            other.to_value()["metadata"]["name"],
            value["metadata"]["name"]
        );
    }
}
