//! The SyncRecord: the history entry of one attempt or command.
//!
//! Enters: the canonical record that `history` made.
//! Leaves: the custom resource that carries it in the cluster.
//! Never: a second truth. `record` is what the hash covers; the other fields are copies for columns and selectors.

#![expect(clippy::duplicated_attributes, reason = "each column names its type")]
#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each struct inside a function"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::RecordHead;

/// What a SyncRecord carries.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "SyncRecord",
    plural = "syncrecords",
    shortname = "psr",
    category = "plimsoll",
    namespaced,
    derive = "PartialEq",
    doc = "The history entry of one attempt or command of an Application.",
    selectable = ".spec.application",
    selectable = ".spec.result",
    printcolumn(
        name = "Application",
        type_ = "string",
        json_path = ".spec.application"
    ),
    printcolumn(name = "Sequence", type_ = "integer", json_path = ".spec.sequence"),
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Result", type_ = "string", json_path = ".spec.result"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".spec.revision"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a record does not change"))]
#[serde(rename_all = "camelCase")]
pub struct SyncRecordSpec {
    /// Canonical JSON (RFC 8785) that the hash covers, at most 256 KiB.
    #[schemars(length(min = 2, max = 262_144))]
    pub record: String,
    /// Copy: name of the Application.
    #[schemars(length(min = 1, max = 63))]
    pub application: String,
    /// Copy: number in order of writing, without gaps.
    #[schemars(range(min = 1))]
    pub sequence: u64,
    /// Copy: what was done, for example `Sync`.
    #[schemars(length(max = 32))]
    pub action: String,
    /// Copy: how it ended, for example `Ready`.
    #[schemars(length(max = 32))]
    pub result: String,
    /// Copy: revision, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 320))]
    pub revision: String,
    /// Copy: hash of the record.
    #[schemars(length(max = 71))]
    pub hash: String,
}

/// The newest record of an earlier Application of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// UID of that Application.
    pub uid: String,
    /// Its newest record.
    pub head: RecordHead,
}
