//! The status of an Application, as it is stored.
//!
//! Enters: what `report` worked out.
//! Leaves: a small wire struct; `rollout` parses it into its state.
//! Never: a time that moves although nothing changed: every status write costs (research: API costs).

use jiff::Timestamp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Class, Condition};
use crate::model::{Digest, Revision};

/// Where an Application stands. Written whole by PUT; atomic, which is a third cheaper for the API server.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ApplicationStatus {
    /// Generation of the spec that the rest speaks of.
    pub observed_generation: i64,
    /// Phase of the newest attempt.
    pub phase: Phase,
    /// Number of the newest attempt that this status knows; 0 before the first.
    pub attempt: u64,
    /// Number of the attempt that is under way or ended last; a refusal beside it has a newer one.
    pub under_way: u64,
    /// Set that is being worked on or was tried last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<SetStatus>,
    /// Set that was last written as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<SetStatus>,
    /// Newest set that became Ready and stayed so through the soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_known_good: Option<SetStatus>,
    /// Attempts of the sets that were good before it, oldest first: kept for a rollback, two of them (DESIGN.md, state).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub earlier_good: Vec<u64>,
    /// Attempts whose sets may have objects alive, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub written: Vec<u64>,
    /// Whether a set was begun and neither written whole nor returned from.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Digests that failed and are not tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub quarantine: Vec<Quarantine>,
    /// Seconds of our own time spent in the phase, as of the last write.
    #[serde(skip_serializing_if = "is_zero")]
    pub spent_seconds: u64,
    /// Wave that is being applied.
    #[serde(skip_serializing_if = "is_zero_wave")]
    pub wave: u32,
    /// Newest revision that git was seen at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revision: Option<Revision>,
    /// Objects of the applied set by health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCounts>,
    /// Why the newest attempt failed, is held, or returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureStatus>,
    /// A set that git wants and that is not taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldStatus>,
    /// Whether the last known good runs again after the newest attempt failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// Prune that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneStatus>,
    /// Newest record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordHead>,
    /// One-time commands that were dealt with, as `verb/identity`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub handled: Vec<String>,
    /// Conditions in the shape of kstatus.
    pub conditions: Vec<Condition>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(seconds: &u64) -> bool {
    *seconds == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero_wave(wave: &u32) -> bool {
    *wave == 0
}

/// Phase of the newest attempt: the wire form of the rollout's state.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing to do.
    #[default]
    Idle,
    /// The set is being written.
    Applying,
    /// The set is written and becomes Ready.
    Watching,
    /// The set is Ready and proves it.
    Soaking,
    /// Objects that left git are being deleted, or wait for approval.
    Pruning,
    /// The last known good set is being restored.
    Returning,
    /// The newest attempt failed.
    Failed,
}

impl Phase {
    /// Returns the phase in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Applying => "Applying",
            Self::Watching => "Watching",
            Self::Soaking => "Soaking",
            Self::Pruning => "Pruning",
            Self::Returning => "Returning",
            Self::Failed => "Failed",
        }
    }
}

/// One set: by digest, with the revision that gave it and the attempt that stored it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetStatus {
    /// Revision as `main@sha1:<40 hex>`.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// Render digest.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Attempt that stored the set.
    pub attempt: u64,
}

/// A digest that failed and is not tried again.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    /// Render digest.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// Revision that gave it.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// Reason from the closed list.
    pub reason: String,
    /// Change, Environment or PreExisting.
    pub class: Class,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// When the controller tries again by itself; only for an image that was not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub retry_at: Option<Timestamp>,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it may be tried once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

/// Objects of the applied set by health.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCounts {
    /// Ready.
    pub ready: u32,
    /// On their way.
    pub progressing: u32,
    /// Failed.
    pub failed: u32,
    /// Without a rule.
    pub not_assessed: u32,
}

/// Why the newest attempt failed, is held, or returns.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureStatus {
    /// Reason from the closed list.
    pub reason: String,
    /// Change, Environment or PreExisting.
    pub class: Class,
    /// What happened, to what, and what was not changed.
    pub message: String,
    /// How often the same happened again without a write.
    #[serde(default, skip_serializing_if = "is_zero_wave")]
    pub repeated: u32,
}

/// A set that git wants and that is not taken up; what runs goes on beside it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldStatus {
    /// Revision as `main@sha1:<40 hex>`.
    #[schemars(with = "String")]
    pub revision: Revision,
    /// Render digest; absent where the revision does not render.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub digest: Option<Digest>,
    /// Why.
    pub failure: FailureStatus,
}

/// A prune that waits for approval.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneStatus {
    /// Hash of the plan.
    pub plan: String,
    /// Objects that it would delete.
    pub objects: u32,
    /// Why it needs approval, with the figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The newest record.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordHead {
    /// Its sequence.
    pub sequence: u64,
    /// Its hash.
    #[schemars(with = "String")]
    pub hash: Digest,
}
