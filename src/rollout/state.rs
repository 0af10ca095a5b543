//! Where one Application stands.
//!
//! Enters: the status as it is stored.
//! Leaves: `Rollout`, and the fields of the status that it owns.
//! Never: a combination of fields that means nothing: each state carries only what its next step needs.

use std::time::Duration;

use super::Failure;
use crate::{
    api::{
        ApplicationStatus, FailureStatus, HeldStatus, Phase, PruneStatus, Quarantine, SetStatus,
    },
    model::{Digest, Revision},
};

/// The set that git wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Its render digest.
    pub digest: Digest,
    /// The revision that gave it.
    pub revision: Revision,
}

/// How far a return has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnStage {
    /// The last known good is being written.
    Restoring,
    /// It is written and becomes Ready.
    Watching,
    /// What the failed attempt created is being removed.
    Removing,
}

/// What is going on with one Application. Identity is the render digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The applied set is what is wanted.
    Idle,
    /// The set is being written.
    Applying {
        /// The set.
        target: SetStatus,
        /// Wave to write next.
        wave: u32,
    },
    /// The set is written and becomes Ready.
    Watching {
        /// The set.
        target: SetStatus,
        /// Time spent, on our own clock.
        spent: Duration,
    },
    /// The set is Ready and proves it.
    Soaking {
        /// The set.
        target: SetStatus,
        /// Time that it was Ready without a break, on our own clock.
        spent: Duration,
        /// Time that it was not Ready since it first was; a flapping pod cannot reset it.
        unready: Duration,
    },
    /// Objects that left git are being deleted.
    Pruning,
    /// The last known good is being restored.
    Returning {
        /// The set that is restored.
        to: SetStatus,
        /// The set that failed.
        from: SetStatus,
        /// Why.
        failure: Failure,
        /// How far.
        stage: ReturnStage,
        /// Whether the failed set had been Ready: then the return is an attempt of its own.
        own_attempt: bool,
        /// Time spent in the stage.
        spent: Duration,
    },
    /// The newest attempt failed.
    Failed {
        /// The set that failed.
        target: SetStatus,
        /// Why.
        failure: Failure,
        /// Whether the last known good runs again.
        returned: bool,
    },
}

impl State {
    /// Returns the set that is being written, watched, restored, or that failed.
    pub fn target(&self) -> Option<&SetStatus> {
        match self {
            Self::Applying { target, .. }
            | Self::Watching { target, .. }
            | Self::Soaking { target, .. }
            | Self::Failed { target, .. }
            | Self::Returning { to: target, .. } => Some(target),
            Self::Idle | Self::Pruning => None,
        }
    }
}

/// A set that git wants and that is not taken up: refused, or waiting for something outside.
/// It stands beside the state: what runs is watched, proved and returned from all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The revision that is wanted.
    pub revision: Revision,
    /// The set that it gave; None where it does not render.
    pub digest: Option<Digest>,
    /// Why.
    pub failure: Failure,
    /// How often the same was found again.
    pub repeated: u32,
}

/// One Application: what is going on, and what is known of its sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// What is going on.
    pub state: State,
    /// What git wants and is not taken up.
    pub held: Option<Held>,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: u64,
    /// Number of the attempt that is under way or ended last; a refusal beside it has a newer one.
    pub under_way: u64,
    /// Set that was last written as a whole.
    pub applied: Option<SetStatus>,
    /// Newest set that became Ready and stayed so through the soak.
    pub good: Option<SetStatus>,
    /// Attempts of the sets that were good before it, oldest first; their sets are kept for a rollback.
    pub earlier_good: Vec<u64>,
    /// Attempts whose sets may have objects alive, oldest first.
    pub written: Vec<u64>,
    /// Whether a set was begun and neither written whole nor returned from: nothing can be assumed of what is live.
    pub partial: bool,
    /// Digests that failed.
    pub quarantine: Vec<Quarantine>,
    /// Prune that waits for approval.
    pub prune: Option<PruneStatus>,
}

/// Good sets that are kept beside the newest.
const EARLIER_GOOD: usize = 2;
/// Digests that are remembered as failed; the oldest go first. Enough for a day of failing commits.
pub(super) const QUARANTINE_LIMIT: usize = 16;

impl Rollout {
    /// Returns an Application that nothing is known of.
    pub fn new() -> Self {
        Self {
            state: State::Idle,
            held: None,
            attempt: 0,
            under_way: 0,
            applied: None,
            good: None,
            earlier_good: Vec::new(),
            written: Vec::new(),
            partial: false,
            quarantine: Vec::new(),
            prune: None,
        }
    }

    /// Takes a set for the newest good one; what was it before stays known as an earlier one.
    pub fn prove(&mut self, set: SetStatus) {
        let attempt = set.attempt;
        let before = self.good.replace(set).map(|before| before.attempt);
        self.earlier_good.extend(before);
        self.earlier_good.retain(|earlier| *earlier != attempt);
        let excess = self.earlier_good.len().saturating_sub(EARLIER_GOOD);
        self.earlier_good.drain(..excess);
    }

    /// Returns the quarantine entry of a digest.
    pub fn quarantined(&self, digest: &Digest) -> Option<&Quarantine> {
        self.quarantine
            .iter()
            .find(|entry| entry.digest == *digest && !entry.released)
    }

    /// Returns the set that drift is measured against: what we last wrote and want to run.
    pub fn running(&self) -> Option<&SetStatus> {
        self.applied.as_ref()
    }

    /// Says whether a sync or a return is under way.
    pub fn is_in_flight(&self) -> bool {
        match self.state {
            State::Applying { .. }
            | State::Watching { .. }
            | State::Returning { .. }
            | State::Pruning => true,
            State::Idle | State::Soaking { .. } | State::Failed { .. } => false,
        }
    }

    /// Returns the phase as it is stored.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Idle => Phase::Idle,
            State::Applying { .. } => Phase::Applying,
            State::Watching { .. } => Phase::Watching,
            State::Soaking { .. } => Phase::Soaking,
            State::Pruning => Phase::Pruning,
            State::Returning { .. } => Phase::Returning,
            State::Failed { .. } => Phase::Failed,
        }
    }

    /// Reads where an Application stands from its stored status.
    ///
    /// A phase whose fields are missing (an older version, a hand-edited status) is read as Idle:
    /// the next look at git decides anew, and `written` still says what may be alive.
    pub fn from_status(status: &ApplicationStatus) -> Self {
        let failure = status.failure.as_ref().map(Failure::from);
        let spent = Duration::from_secs(status.spent_seconds);
        let state = match (status.phase, status.target.clone(), failure) {
            // A plan made anew has other waves: it begins with its first.
            (Phase::Applying, Some(target), _) => State::Applying { target, wave: 0 },
            (Phase::Watching, Some(target), _) => State::Watching { target, spent },
            (Phase::Soaking, Some(target), _) => State::Soaking {
                target,
                spent,
                unready: Duration::ZERO,
            },
            (Phase::Pruning, _, _) => State::Pruning,
            (Phase::Returning, Some(from), Some(failure)) => match status.last_known_good.clone() {
                Some(to) => State::Returning {
                    to,
                    own_attempt: status.wave == RETURN_OF_ITS_OWN,
                    from,
                    failure,
                    stage: ReturnStage::Restoring,
                    spent: Duration::ZERO,
                },
                None => State::Idle,
            },
            (Phase::Failed, Some(target), Some(failure)) => State::Failed {
                returned: status.returned,
                target,
                failure,
            },
            (
                Phase::Idle
                | Phase::Applying
                | Phase::Watching
                | Phase::Soaking
                | Phase::Returning
                | Phase::Failed,
                _,
                _,
            ) => State::Idle,
        };
        let held = status.held.as_ref().map(|held| Held {
            revision: held.revision.clone(),
            digest: held.digest.clone(),
            failure: Failure::from(&held.failure),
            repeated: held.failure.repeated,
        });
        Self {
            state,
            held,
            attempt: status.attempt,
            under_way: status.under_way,
            applied: status.applied.clone(),
            good: status.last_known_good.clone(),
            earlier_good: status.earlier_good.clone(),
            written: status.written.clone(),
            partial: status.partial,
            quarantine: status.quarantine.clone(),
            prune: status.prune.clone(),
        }
    }

    /// Writes what this room owns into a status; the rest of it stays.
    pub fn write_to(&self, status: &mut ApplicationStatus) {
        status.phase = self.phase();
        status.attempt = self.attempt;
        status.under_way = self.under_way;
        status.applied.clone_from(&self.applied);
        status.last_known_good.clone_from(&self.good);
        status.earlier_good.clone_from(&self.earlier_good);
        status.written.clone_from(&self.written);
        status.partial = self.partial;
        status.quarantine.clone_from(&self.quarantine);
        status.prune.clone_from(&self.prune);
        status.spent_seconds = 0;
        status.wave = 0;
        status.failure = None;
        status.held = self.held.as_ref().map(|held| HeldStatus {
            revision: held.revision.clone(),
            digest: held.digest.clone(),
            failure: FailureStatus {
                repeated: held.repeated,
                ..FailureStatus::from(&held.failure)
            },
        });
        match &self.state {
            State::Idle | State::Pruning => status.target.clone_from(&self.applied),
            State::Applying { target, .. } => status.target = Some(target.clone()),
            State::Watching { target, spent } | State::Soaking { target, spent, .. } => {
                status.target = Some(target.clone());
                status.spent_seconds = spent.as_secs();
            }
            State::Returning {
                from,
                failure,
                own_attempt,
                ..
            } => {
                status.target = Some(from.clone());
                status.failure = Some(failure.into());
                status.wave = if *own_attempt { RETURN_OF_ITS_OWN } else { 0 };
            }
            State::Failed {
                target,
                failure,
                returned,
            } => {
                status.returned = *returned;
                status.target = Some(target.clone());
                status.failure = Some(failure.into());
            }
        }
    }

    pub(super) fn remember_written(&mut self, attempt: u64) {
        if !self.written.contains(&attempt) {
            self.written.push(attempt);
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self::new()
    }
}

/// What `wave` says of a return that is an attempt of its own; a return has no waves.
const RETURN_OF_ITS_OWN: u32 = 1;
