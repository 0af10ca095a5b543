//! What a status is made of.
//!
//! Enters, leaves: nothing; these are words.
//! Never: a sentence for people, but where it comes from elsewhere.

use crate::{
    api::{HealthCounts, Reason, RecordHead},
    model::{ApplicationKey, Revision},
    rollout::{Failure, Rollout},
};

/// What git said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchState {
    /// Not asked yet.
    NotYet,
    /// Read.
    Fetched,
    /// Not read.
    Failed {
        /// Reason from the closed list.
        reason: Reason,
        /// What went wrong, since when is the condition's.
        message: String,
    },
}

/// What the objects that run say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not looked at yet.
    Unknown,
    /// Ready.
    Ready,
    /// On the way.
    Progressing {
        /// What is waited for.
        waiting: String,
    },
    /// Failed.
    Failed(Failure),
}

/// Everything that a status is made of.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The Application.
    pub application: &'a ApplicationKey,
    /// Generation of its spec.
    pub generation: i64,
    /// Where it stands.
    pub rollout: &'a Rollout,
    /// What git said last.
    pub fetch: FetchState,
    /// Newest revision seen.
    pub revision: Option<Revision>,
    /// What the objects say.
    pub health: Health,
    /// The objects by health.
    pub counts: Option<HealthCounts>,
    /// Who paused it and until when, for people.
    pub paused: Option<String>,
    /// Who pinned it to what, for people.
    pub pinned: Option<String>,
    /// Whether what the spec points at was looked at.
    pub is_looked_at: bool,
    /// Drift that policy leaves, for people.
    pub drifted: Option<String>,
    /// What a prune waits for, for people.
    pub prune_waits: Option<String>,
    /// Why an Application that is being deleted is still there.
    pub deleting: Option<Failure>,
    /// Newest record.
    pub record: Option<RecordHead>,
    /// One-time commands that were dealt with.
    pub handled: Vec<String>,
}
