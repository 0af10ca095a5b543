//! What a person asks of an Application.
//!
//! Enters: `spec.commands`, written by the command line and guarded by the shipped admission policy.
//! Leaves: typed commands, each with who, when and why.
//! Never: a change by the controller; what it did with a command is in status and in a record.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each struct inside a function"
)]

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Commands of people. One-time lists keep the last 20 elements.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// Stops everything but reading until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Holds a set that a person chose, against newer revisions, until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Approvals of one plan each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub approve: Vec<Approve>,
    /// Releases of quarantined digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub release: Vec<Release>,
    /// Attempts to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub cancel: Vec<Cancel>,
    /// Requests to look at git and reconcile now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub sync: Vec<SyncCommand>,
}

impl Commands {
    /// Says whether nobody asked for anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The end of a command that was in force.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// User name as the API server knows it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,
}

/// Stops everything but reading.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// User name as the API server knows it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Why.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// Set when it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// Holds a set that a person chose: by digest or by the record of the attempt that applied it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.digest) != has(self.record)").message("a pin names a digest or a record"))]
pub struct Pin {
    /// User name as the API server knows it.
    #[schemars(length(min = 1, max = 253))]
    pub by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Render digest, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// Sequence of a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub record: Option<u64>,
    /// Set when it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// Declares a one-time command: who, when, why, and what it names.
macro_rules! one_time {
    ($(#[$doc:meta])* $name:ident, $(#[$field_doc:meta])* $field:ident: $kind:ty) => {
        $(#[$doc])*
        #[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// User name as the API server knows it.
            #[schemars(length(min = 1, max = 253))]
            pub by: String,
            /// When.
            #[schemars(with = "String", extend("format" = "date-time"))]
            pub at: Timestamp,
            /// Why.
            #[serde(default, skip_serializing_if = "String::is_empty")]
            #[schemars(length(max = 1024))]
            pub reason: String,
            $(#[$field_doc])*
            pub $field: $kind,
        }
    };
}

one_time!(
    /// Approval of one plan.
    Approve,
    /// Hash of the plan, whole.
    #[schemars(length(min = 1, max = 71))]
    plan: String
);
one_time!(
    /// Release of a quarantined digest.
    Release,
    /// Render digest, whole.
    #[schemars(length(min = 1, max = 71))]
    digest: String
);
one_time!(
    /// End of one attempt.
    Cancel,
    /// Number of the attempt.
    #[schemars(range(min = 1))]
    attempt: u64
);
one_time!(
    /// Request to look at git and reconcile now.
    SyncCommand,
    /// Identity of the request, so that who asked can wait for it.
    #[schemars(length(min = 1, max = 64))]
    id: String
);
