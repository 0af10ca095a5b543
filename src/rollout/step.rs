//! One step: a state and an event make a state and effects. Total.
//!
//! Enters: `Rollout` by value, `Event`, `Gates`, `Now`.
//! Leaves: `Step`; an event that does not fit the state changes nothing.
//! Never: an arm that swallows a state added later: every match names them all.

use std::time::Duration;

use super::{
    Action, Effect, Ending, Event, Failure, Gates, Held, ReturnStage, Rollout, State,
    failing::{fail, removed, return_failed},
    readiness::assessed,
    upkeep::{pruned, repaired},
};
use crate::{
    api::{Class, Reason, SetStatus},
    model::{Digest, Now, Revision},
};

/// The outcome of one step; must be acted on.
#[must_use = "effects must be performed and the state stored"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    rollout: Rollout,
    effects: Vec<Effect>,
}

impl Step {
    /// Returns where the Application stands now.
    pub fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// Returns what must be performed, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Takes both.
    pub fn into_parts(self) -> (Rollout, Vec<Effect>) {
        (self.rollout, self.effects)
    }

    pub(super) fn new(rollout: Rollout, effects: Vec<Effect>) -> Self {
        Self { rollout, effects }
    }
}

/// Takes one step.
pub fn step(mut rollout: Rollout, event: Event, gates: &Gates, now: Now) -> Step {
    match event {
        Event::Refused {
            digest,
            revision,
            failure,
        } => hold(rollout, digest, revision, failure, true),
        Event::Held {
            digest,
            revision,
            failure,
        } => hold(rollout, digest, revision, failure, false),
        Event::Satisfied { revision } => satisfied(rollout, revision),
        Event::Began {
            target,
            attempt,
            carried,
        } => began(rollout, target, attempt, &carried),
        Event::WaveDone { next } => {
            if let State::Applying { wave, .. } = &mut rollout.state {
                *wave = next;
            }
            Step::new(rollout, Vec::new())
        }
        Event::Applied => applied(rollout),
        Event::FoundWritten { set } => found_written(rollout, set),
        Event::ApplyFailed(failure) => match rollout.state.clone() {
            State::Applying { target, .. } => fail(rollout, target, failure, gates, now, false),
            State::Idle
            | State::Watching { .. }
            | State::Soaking { .. }
            | State::Pruning
            | State::Returning { .. }
            | State::Failed { .. } => Step::new(rollout, Vec::new()),
        },
        Event::Cancelled { by } => end_early(rollout, Ending::Cancelled { by }),
        Event::Assessed { verdict, elapsed } => assessed(rollout, verdict, elapsed, gates, now),
        Event::ReturnBegan { attempt } => {
            rollout.attempt = attempt;
            rollout.under_way = attempt;
            Step::new(rollout, Vec::new())
        }
        Event::Restored => {
            if let State::Returning {
                to, stage, spent, ..
            } = &mut rollout.state
            {
                *stage = ReturnStage::Watching;
                *spent = Duration::ZERO;
                rollout.applied = Some(to.clone());
                rollout.partial = false;
            }
            Step::new(rollout, Vec::new())
        }
        Event::Removed { left } => removed(rollout, &left),
        Event::ReturnFailed(cause) => return_failed(rollout, &cause),
        Event::PruneApproved => {
            if rollout.state == State::Idle && rollout.prune.is_some() {
                rollout.state = State::Pruning;
            }
            Step::new(rollout, Vec::new())
        }
        Event::Prune { attempt, outcome } => pruned(rollout, attempt, outcome),
        Event::Repaired {
            attempt,
            what,
            failure,
        } => repaired(rollout, attempt, &what, failure),
        Event::RetryDue { digest } => retry_due(rollout, &digest),
        Event::Released { digest } => {
            rollout.held = rollout.held.take().filter(|held| {
                held.failure.reason != Reason::Cancelled || held.digest.as_ref() != Some(&digest)
            });
            rollout.quarantine.retain(|entry| entry.digest != digest);
            let cancelled = match &rollout.state {
                State::Failed {
                    target, failure, ..
                } => target.digest == digest && failure.reason == Reason::Cancelled,
                State::Idle
                | State::Applying { .. }
                | State::Watching { .. }
                | State::Soaking { .. }
                | State::Pruning
                | State::Returning { .. } => false,
            };
            if cancelled {
                rollout.state = State::Idle;
            }
            Step::new(rollout, Vec::new())
        }
    }
}

/// The set is written: it has to become Ready now.
fn applied(mut rollout: Rollout) -> Step {
    let state = std::mem::replace(&mut rollout.state, State::Idle);
    rollout.state = match state {
        State::Applying { target, .. } => {
            rollout.applied = Some(target.clone());
            rollout.partial = false;
            State::Watching {
                target,
                spent: Duration::ZERO,
            }
        }
        other => other,
    };
    Step::new(rollout, Vec::new())
}

/// Whether the set proved itself nobody knows any more: where it was under way, it does so once again.
fn found_written(mut rollout: Rollout, set: SetStatus) -> Step {
    let is_known = |known: &SetStatus| known.digest == set.digest;
    if rollout.applied.as_ref().is_some_and(is_known) {
        return Step::new(rollout, Vec::new());
    }
    if matches!(&rollout.state, State::Applying { target, .. } if is_known(target)) {
        return applied(rollout);
    }
    rollout.applied = Some(set);
    rollout.partial = false;
    rollout.state = State::Idle;
    Step::new(rollout, Vec::new())
}

/// A digest may be tried once more; how often it was stays known.
fn retry_due(mut rollout: Rollout, digest: &Digest) -> Step {
    for entry in rollout
        .quarantine
        .iter_mut()
        .filter(|entry| entry.digest == *digest)
    {
        entry.released = true;
        entry.retry_at = None;
    }
    Step::new(rollout, Vec::new())
}

pub(super) fn notice(warning: bool, reason: Reason, message: impl Into<String>) -> Effect {
    Effect::Notice {
        warning,
        reason,
        message: message.into(),
    }
}

/// A set that is not taken up. The same refusal again is counted, not recorded.
fn hold(
    mut rollout: Rollout,
    digest: Option<Digest>,
    revision: Revision,
    failure: Failure,
    is_attempt: bool,
) -> Step {
    if let Some(held) = &mut rollout.held {
        let same_set = match (&held.digest, &digest) {
            (Some(known), Some(digest)) => known == digest,
            (None, None) => held.revision == revision,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if same_set && held.failure.reason == failure.reason {
            held.repeated = held.repeated.saturating_add(1);
            held.revision = revision;
            held.failure.message = failure.message;
            return Step::new(rollout, Vec::new());
        }
    }
    let mut effects = Vec::new();
    if is_attempt {
        rollout.attempt += 1;
        effects.push(Effect::Record {
            action: Action::Sync,
            attempt: rollout.attempt,
            set: digest.clone().map(|digest| SetStatus {
                revision: revision.clone(),
                digest,
                attempt: rollout.attempt,
            }),
            ending: Ending::Refused(failure.clone()),
            details: String::new(),
        });
    }
    effects.push(notice(true, failure.reason, failure.message.clone()));
    rollout.held = Some(Held {
        revision,
        digest,
        failure,
        repeated: 0,
    });
    Step::new(rollout, effects)
}

/// Git wants what runs: after a revert, or after a commit that changes nothing.
fn satisfied(mut rollout: Rollout, revision: Revision) -> Step {
    let mut effects = Vec::new();
    if let Some(applied) = &mut rollout.applied {
        if rollout.held.is_some() || matches!(rollout.state, State::Failed { .. }) {
            effects.push(notice(
                false,
                Reason::Healthy,
                format!("{revision} renders to what runs already; nothing to do"),
            ));
        }
        if let Some(good) = rollout
            .good
            .as_mut()
            .filter(|good| good.digest == applied.digest)
        {
            good.revision = revision.clone();
        }
        applied.revision = revision;
    }
    rollout.held = None;
    if matches!(rollout.state, State::Failed { .. }) {
        rollout.state = State::Idle;
    }
    Step::new(rollout, effects)
}

/// A new attempt begins; what was under way is superseded by it.
fn began(rollout: Rollout, target: SetStatus, attempt: u64, carried: &[u64]) -> Step {
    let (mut rollout, effects) = end_early(rollout, Ending::Superseded).into_parts();
    rollout.attempt = attempt;
    rollout.under_way = attempt;
    rollout.written.retain(|known| !carried.contains(known));
    rollout.remember_written(target.attempt);
    rollout.held = None;
    rollout.prune = None;
    rollout.partial = true;
    rollout.state = State::Applying { target, wave: 0 };
    Step::new(rollout, effects)
}

/// The attempt that is under way ends because of something newer, or of a person.
fn end_early(mut rollout: Rollout, ending: Ending) -> Step {
    let ended = match &rollout.state {
        State::Applying { target, .. } | State::Watching { target, .. } => {
            Some((Action::Sync, target.clone(), String::new()))
        }
        State::Returning {
            to,
            from,
            failure,
            own_attempt,
            ..
        } => {
            let action = if *own_attempt {
                Action::Return
            } else {
                Action::Sync
            };
            Some((
                action,
                from.clone(),
                format!(
                    "while returning to {} after {}: {}",
                    to.revision,
                    failure.reason.as_str(),
                    failure.message
                ),
            ))
        }
        State::Idle | State::Soaking { .. } | State::Pruning | State::Failed { .. } => None,
    };
    let Some((action, set, details)) = ended else {
        return Step::new(rollout, Vec::new());
    };
    let effects = vec![Effect::Record {
        action,
        attempt: rollout.under_way,
        set: Some(set.clone()),
        ending: ending.clone(),
        details,
    }];
    rollout.state = match ending {
        Ending::Cancelled { by } => State::Failed {
            target: set,
            failure: Failure {
                reason: Reason::Cancelled,
                class: Class::Environment,
                message: format!("{by} ended the attempt; what was written stays"),
            },
            returned: false,
        },
        Ending::Ready | Ending::Failed { .. } | Ending::Refused(_) | Ending::Superseded => {
            State::Idle
        }
    };
    Step::new(rollout, effects)
}
