//! What a process remembers of one Application between reconciles.
//!
//! Enters: what each step learned.
//! Leaves: `Memory`. All of it can be lost: what counts is in status, state and records.
//! Never: a truth of its own; after a restart it is empty and the cluster is looked at anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    api::{ApplicationStatus, HealthCounts, RecordHead},
    health::{Rules, Sightings},
    history::ObjectChange,
    model::{CommitInfo, Credentials, Digest, GroupKind, Object, ObjectId},
    plan::Plan,
    render::{RenderSpec, Rendered},
    report::{FetchState, Health},
    rollout::{Desired, Failure, Rollout},
};

/// What git wants, rendered.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) desired: Desired,
    pub(super) rendered: Arc<Rendered>,
    pub(super) commit: CommitInfo,
    /// What it was rendered from: the tree of the commit, and the spec.
    pub(super) tree: String,
    pub(super) spec: RenderSpec,
}

/// What was learned while an attempt was under way, for its record.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) began: Option<Timestamp>,
    pub(super) changes: Vec<ObjectChange>,
    pub(super) unchanged: usize,
    pub(super) resumed: bool,
    /// Objects that were absent when the attempt was planned.
    pub(super) creates: BTreeSet<ObjectId>,
}

/// What is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// This set.
    Set(Digest),
    /// The deletion of what left git.
    Prune,
    /// Anything: the last reconcile ended in an error.
    Error,
}

/// A set as it is sent, by object.
pub(super) type Placed = Arc<Vec<Object>>;

/// What a process remembers of one Application.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its own name"
)]
pub struct Memory {
    pub(super) loaded: bool,
    pub(super) rollout: Rollout,
    /// Status as the cluster has it, and the version that the next write builds on.
    pub(super) status: ApplicationStatus,
    pub(super) resource_version: String,
    pub(super) status_written: Option<Duration>,
    pub(super) record: Option<RecordHead>,
    /// Records that were found beyond the status at take-up: what they tell is done.
    pub(super) found: Vec<Value>,
    pub(super) handled: Vec<String>,

    pub(super) fetch: Option<FetchState>,
    pub(super) asked: Option<Duration>,
    pub(super) fetch_failures: u32,
    pub(super) credentials: Option<(Duration, Credentials)>,
    pub(super) wanted: Option<Wanted>,
    /// Forces the next reconcile to ask git, for example after a webhook or a command.
    pub(super) ask_now: bool,

    /// Sets by the attempt that stored them.
    pub(super) sets: BTreeMap<u64, Arc<Rendered>>,
    /// The applied set as it is sent, by digest and generation: the spec says what is ignored.
    pub(super) placed: Option<(Digest, i64, Placed)>,
    pub(super) plan: Option<Plan>,
    pub(super) notes: Notes,
    pub(super) return_begun: bool,
    /// Attempts whose sets were good, newest last; the last three are kept.
    pub(super) good_attempts: Vec<u64>,
    pub(super) sweep_due: bool,
    pub(super) prune_attempt: Option<u64>,
    pub(super) drift_attempt: Option<u64>,

    /// What the server answered to our last write of an object: what it must look like since.
    pub(super) expected: BTreeMap<ObjectId, Arc<Value>>,
    /// Generation that the server answered to our last write of an object.
    pub(super) generations: BTreeMap<ObjectId, i64>,
    pub(super) drifted: BTreeSet<ObjectId>,
    pub(super) drift_message: Option<String>,
    pub(super) sightings: Sightings,
    pub(super) rules: Option<(i64, Arc<Rules>)>,
    pub(super) assessed: Option<Duration>,
    pub(super) health: Option<Health>,
    pub(super) counts: Option<HealthCounts>,
    pub(super) next_look: Option<Duration>,
    /// Kinds that the controller itself may not watch.
    pub(super) unwatchable: BTreeSet<GroupKind>,

    /// Why nothing can be done at all: no identity, a reserved namespace, a spec that is not valid.
    pub(super) blocked: Option<Failure>,
    /// What is not tried again before a moment of monotonic time, and how often it failed. A new set is never held.
    pub(super) hold: Option<(Duration, Hold)>,
    pub(super) failures: u32,
}

impl Memory {
    /// Returns an empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks git at the next reconcile, whatever the interval says.
    pub fn ask_git(&mut self) {
        self.ask_now = true;
    }

    /// Notes that a watch saw a change of an object, or that it is gone.
    pub fn touched(&mut self, id: ObjectId) {
        self.drifted.insert(id);
    }

    /// Notes that the controller itself may not watch a kind.
    pub fn cannot_watch(&mut self, kind: GroupKind) {
        self.unwatchable.insert(kind);
    }

    /// Says whether Applications that depend on this one may go on.
    pub fn is_ready(&self) -> bool {
        self.rollout.applied.is_some()
            && matches!(self.health, Some(Health::Ready))
            && matches!(
                self.rollout.state,
                crate::rollout::State::Idle
                    | crate::rollout::State::Soaking { .. }
                    | crate::rollout::State::Pruning
            )
    }

    /// Exponential back-off with a cap: 1 s, 2 s ... 5 min.
    pub(super) fn back_off(&mut self, now: Duration, hold: Hold) -> Duration {
        let same = self.hold.as_ref().is_none_or(|(_, known)| *known == hold);
        self.failures = if same {
            self.failures.saturating_add(1)
        } else {
            1
        };
        let delay = Duration::from_secs(1_u64 << self.failures.min(9).saturating_sub(1))
            .min(Duration::from_secs(300));
        self.hold = Some((now + delay, hold));
        delay
    }

    /// Says whether this is not to be tried again yet.
    pub(super) fn holds(&self, now: Duration, what: &Hold) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|(until, hold)| hold == what && now < *until)
    }

    pub(super) fn settle(&mut self) {
        self.failures = 0;
        self.hold = None;
    }
}
