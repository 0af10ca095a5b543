//! What can happen to an Application, and what it can ask for: closed enums.
//!
//! Enters: nothing.
//! Leaves: `Event` and `Effect`.
//! Never: a value that only one caller could build.

use std::time::Duration;

use crate::{
    api::{Class, FailureStatus, Reason, SetStatus},
    model::{Digest, Revision},
};

/// A failure that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Reason from the closed list.
    pub reason: Reason,
    /// Whose fault it is.
    pub class: Class,
    /// What happened, to what.
    pub message: String,
}

impl From<&Failure> for FailureStatus {
    fn from(failure: &Failure) -> Self {
        Self {
            reason: failure.reason.as_str().to_owned(),
            class: failure.class,
            message: failure.message.clone(),
            repeated: 0,
        }
    }
}

impl From<&FailureStatus> for Failure {
    fn from(status: &FailureStatus) -> Self {
        Self {
            reason: Reason::parse(&status.reason).unwrap_or(Reason::Internal),
            class: status.class,
            message: status.message.clone(),
        }
    }
}

/// What the objects of the applied set say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All are Ready, but for those without a rule.
    Ready,
    /// Some are on their way.
    Progressing {
        /// What is waited for, for people.
        waiting: String,
        /// Whose fault it would be if the deadline passed now.
        class: Class,
    },
    /// One failed in a way that decides.
    Failed(Failure),
}

/// What became of a planned prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PruneOutcome {
    /// Nothing to delete; older sets can go.
    Nothing,
    /// It waits for approval of its hash.
    NeedsApproval {
        /// Hash of the plan.
        plan: Digest,
        /// Objects that it would delete.
        objects: u32,
        /// Why, with the figures.
        why: String,
    },
    /// Everything is gone.
    Done {
        /// Objects that were deleted.
        objects: u32,
        /// Whether others are left that were not part of it: a prune of their own follows.
        more: bool,
    },
    /// There was news in the midst of it: it goes on after that, or is ended by it.
    Interrupted,
    /// A prune that was begun ends before everything is gone: a person cancelled it, or a newer set takes over. What
    /// is left is deleted by a later one.
    Ended(Ending),
    /// Some objects wait for finalizers or were refused; it goes on later.
    Partly {
        /// What is waited for.
        why: String,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The API server, or our own rules, refused the wanted set before anything was written.
    Refused {
        /// The wanted set; None where the revision does not render.
        digest: Option<Digest>,
        /// The revision that gave it.
        revision: Revision,
        /// Why.
        failure: Failure,
    },
    /// The wanted set stays out for a reason outside of it.
    Held {
        /// The wanted set; None where it is not known yet.
        digest: Option<Digest>,
        /// The revision that gave it.
        revision: Revision,
        /// Why.
        failure: Failure,
    },
    /// The wanted set is what runs: a revert, or a commit that changes nothing.
    Satisfied {
        /// The revision that gave it.
        revision: Revision,
    },
    /// The head of a sync is stored; writes may begin.
    Began {
        /// The set.
        target: SetStatus,
        /// Number of the attempt.
        attempt: u64,
        /// Older attempts whose objects the head carries along: their sets are not needed any more.
        carried: Vec<u64>,
    },
    /// A wave was written and is healthy where that matters.
    WaveDone {
        /// The wave to write next.
        next: u32,
    },
    /// Every object of the set is written.
    Applied,
    /// A write was refused although the dry-run was not.
    ApplyFailed(Failure),
    /// A person ended the attempt.
    Cancelled {
        /// Who.
        by: String,
    },
    /// The objects were assessed.
    Assessed {
        /// What they say.
        verdict: Verdict,
        /// Monotonic time since they were assessed last.
        elapsed: Duration,
    },
    /// The head of a return after Ready is stored.
    ReturnBegan {
        /// Number of the attempt.
        attempt: u64,
    },
    /// An earlier life of the controller wrote this set whole, and could not say so any more.
    FoundWritten {
        /// The set.
        set: SetStatus,
    },
    /// The last known good is written whole.
    Restored,
    /// What the failed attempt created is gone, or is listed as left.
    Removed {
        /// What stays, for people; empty where nothing does.
        left: String,
    },
    /// The return cannot go on.
    ReturnFailed(Failure),
    /// A person approved the prune that waits.
    PruneApproved,
    /// A prune was planned or carried out.
    Prune {
        /// Number of the attempt, where one was begun.
        attempt: Option<u64>,
        /// What became of it.
        outcome: PruneOutcome,
    },
    /// Drifted objects were given back.
    Repaired {
        /// Number of the attempt.
        attempt: u64,
        /// What was given back, for people.
        what: String,
        /// Why some of it was not.
        failure: Option<Failure>,
    },
    /// The retry of a digest is due; how often it was tried stays known.
    RetryDue {
        /// The digest.
        digest: Digest,
    },
    /// A person released a digest from quarantine.
    Released {
        /// The digest.
        digest: Digest,
    },
}

/// What an attempt did, in the words of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Took the cluster to a new set.
    Sync,
    /// Restored the last known good after the failed set had been Ready.
    Return,
    /// Deleted what left git.
    Prune,
    /// Gave back what others changed.
    DriftRepair,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Sync, Self::Return, Self::Prune, Self::DriftRepair];

    /// Returns the action in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "Sync",
            Self::Return => "Return",
            Self::Prune => "Prune",
            Self::DriftRepair => "DriftRepair",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Healthy.
    Ready,
    /// Failed, and what became of the return.
    Failed {
        /// Why.
        failure: Failure,
        /// Set that was restored, if one was.
        returned: Option<SetStatus>,
    },
    /// Refused before the first write.
    Refused(Failure),
    /// A newer revision took over.
    Superseded,
    /// A person ended it.
    Cancelled {
        /// Who.
        by: String,
    },
}

impl Ending {
    /// Every result, as `as_str` says it.
    pub const RESULTS: [&'static str; 5] =
        ["Ready", "Failed", "Refused", "Superseded", "Cancelled"];

    /// Returns the result in `UpperCamelCase`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Failed { .. } => "Failed",
            Self::Refused(_) => "Refused",
            Self::Superseded => "Superseded",
            Self::Cancelled { .. } => "Cancelled",
        }
    }
}

/// Something to be performed after a step, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the record of an attempt that ended.
    Record {
        /// What it did.
        action: Action,
        /// Number of the attempt.
        attempt: u64,
        /// The set that it was about.
        set: Option<SetStatus>,
        /// How it ended.
        ending: Ending,
        /// Details for people; empty where the ending says it all.
        details: String,
    },
    /// Write the status before anything else is written to the cluster.
    Persist,
    /// Tell people.
    Notice {
        /// Whether a person should act.
        warning: bool,
        /// Reason from the closed list.
        reason: Reason,
        /// What happened.
        message: String,
    },
}
