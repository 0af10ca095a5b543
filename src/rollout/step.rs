//! One step: a state and an event make a state and effects. Total.
//!
//! Enters: `Rollout` by value, `Event`, `Gates`, `Now`.
//! Leaves: `Step`; an event that does not fit the state changes nothing.
//! Never: an arm that swallows a state added later: every match names them all.

use std::time::Duration;

use super::{
    Action, Effect, Ending, Event, Failure, Gates, Held, PruneOutcome, ReturnChoice, ReturnStage,
    Rollout, State, Verdict, choose_return, retry_delay, state::QUARANTINE_LIMIT,
};
use crate::{
    api::{Class, PruneStatus, Quarantine, Reason, SetStatus},
    model::{Digest, Now, Revision, text},
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

    fn new(rollout: Rollout, effects: Vec<Effect>) -> Self {
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

fn notice(warning: bool, reason: Reason, message: impl Into<String>) -> Effect {
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

fn assessed(
    mut rollout: Rollout,
    verdict: Verdict,
    elapsed: Duration,
    gates: &Gates,
    now: Now,
) -> Step {
    match rollout.state.clone() {
        State::Watching { target, spent } => {
            let spent = spent.saturating_add(elapsed);
            match verdict {
                Verdict::Ready => became_ready(rollout, target, gates),
                Verdict::Failed(failure) if gates.fail_fast && failure.class == Class::Change => {
                    fail(rollout, target, failure, gates, now, false)
                }
                Verdict::Failed(failure) if spent >= gates.timeout => {
                    fail(rollout, target, failure, gates, now, false)
                }
                Verdict::Progressing { waiting, class } if spent >= gates.timeout => {
                    let failure = timed_out(gates, &waiting, class);
                    fail(rollout, target, failure, gates, now, false)
                }
                Verdict::Failed(_) | Verdict::Progressing { .. } => {
                    rollout.state = State::Watching { target, spent };
                    Step::new(rollout, Vec::new())
                }
            }
        }
        State::Soaking {
            target,
            spent,
            unready,
        } => soaking(
            rollout, target, spent, unready, verdict, elapsed, gates, now,
        ),
        State::Returning {
            to,
            from,
            failure,
            stage: ReturnStage::Watching,
            own_attempt,
            spent,
        } => {
            let spent = spent.saturating_add(elapsed);
            let stage = match verdict {
                Verdict::Ready => ReturnStage::Removing,
                Verdict::Failed(cause) if spent >= gates.timeout => {
                    return return_failed(rollout, &cause);
                }
                Verdict::Progressing { waiting, class } if spent >= gates.timeout => {
                    return return_failed(rollout, &timed_out(gates, &waiting, class));
                }
                Verdict::Failed(_) | Verdict::Progressing { .. } => ReturnStage::Watching,
            };
            rollout.state = State::Returning {
                to,
                from,
                failure,
                stage,
                own_attempt,
                spent,
            };
            Step::new(rollout, Vec::new())
        }
        // A set that failed for the environment's sake, or that had nothing to return to, can come up later.
        State::Failed {
            target,
            failure,
            returned: false,
        } if verdict == Verdict::Ready
            // After a return that failed too, or that a person ended, it stays held: it would be a second return from
            // one digest.
            && failure.reason != Reason::ReturnFailed
            && !(failure.reason == Reason::Cancelled
                && rollout.quarantined(&target.digest).is_some())
            && rollout
                .applied
                .as_ref()
                .is_some_and(|applied| applied.digest == target.digest) =>
        {
            rollout
                .quarantine
                .retain(|entry| entry.digest != target.digest);
            rollout.state = State::Soaking {
                target,
                spent: Duration::ZERO,
                unready: Duration::ZERO,
            };
            let effects = vec![notice(false, Reason::Healthy, "became Ready after all")];
            Step::new(rollout, effects)
        }
        State::Idle
        | State::Applying { .. }
        | State::Pruning
        | State::Returning { .. }
        | State::Failed { .. } => Step::new(rollout, Vec::new()),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the fields of one state and of one event"
)]
fn soaking(
    mut rollout: Rollout,
    target: SetStatus,
    spent: Duration,
    unready: Duration,
    verdict: Verdict,
    elapsed: Duration,
    gates: &Gates,
    now: Now,
) -> Step {
    let (waiting, class) = match verdict {
        Verdict::Ready => {
            let spent = spent.saturating_add(elapsed);
            if spent >= gates.soak {
                return soaked(rollout, target, gates);
            }
            rollout.state = State::Soaking {
                target,
                spent,
                unready,
            };
            return Step::new(rollout, Vec::new());
        }
        Verdict::Failed(failure) if gates.fail_fast && failure.class == Class::Change => {
            return fail(rollout, target, failure, gates, now, true);
        }
        Verdict::Failed(failure) => (failure.message, failure.class),
        Verdict::Progressing { waiting, class } => (waiting, class),
    };
    // Nothing that decides: the soak begins anew when it is Ready again, but not for ever.
    let unready = unready.saturating_add(elapsed);
    if unready >= gates.timeout {
        return fail(
            rollout,
            target,
            timed_out(gates, &waiting, class),
            gates,
            now,
            true,
        );
    }
    rollout.state = State::Soaking {
        target,
        spent: Duration::ZERO,
        unready,
    };
    Step::new(rollout, Vec::new())
}

fn timed_out(gates: &Gates, waiting: &str, class: Class) -> Failure {
    Failure {
        reason: Reason::HealthTimeout,
        class,
        message: format!(
            "not Ready within {}: {waiting}",
            text::duration(gates.timeout)
        ),
    }
}

fn became_ready(mut rollout: Rollout, target: SetStatus, gates: &Gates) -> Step {
    let mut effects = vec![
        Effect::Record {
            action: Action::Sync,
            attempt: rollout.under_way,
            set: Some(target.clone()),
            ending: Ending::Ready,
            details: String::new(),
        },
        notice(
            false,
            Reason::Healthy,
            format!("{} is Ready", target.revision),
        ),
    ];
    if gates.soak.is_zero() {
        let (rollout, more) = soaked(rollout, target, gates).into_parts();
        effects.extend(more);
        return Step::new(rollout, effects);
    }
    rollout.state = State::Soaking {
        target,
        spent: Duration::ZERO,
        unready: Duration::ZERO,
    };
    Step::new(rollout, effects)
}

/// The set is good now. What older sets alone hold may go.
fn soaked(mut rollout: Rollout, target: SetStatus, gates: &Gates) -> Step {
    rollout
        .quarantine
        .retain(|entry| entry.digest != target.digest);
    let older = rollout
        .written
        .iter()
        .any(|attempt| *attempt != target.attempt);
    rollout.good = Some(target);
    rollout.state = if older && gates.prune {
        State::Pruning
    } else {
        State::Idle
    };
    Step::new(rollout, Vec::new())
}

/// A set failed: quarantine it, and return if that is possible.
fn fail(
    mut rollout: Rollout,
    target: SetStatus,
    failure: Failure,
    gates: &Gates,
    now: Now,
    was_ready: bool,
) -> Step {
    let choice = choose_return(&rollout, &target, &failure, gates);
    // The last known good is never quarantined: it is what everything else returns to.
    let is_good = rollout
        .good
        .as_ref()
        .is_some_and(|good| good.digest == target.digest);
    if failure.class == Class::Change && !is_good {
        quarantine(&mut rollout, &target, &failure, now);
    }
    match choice {
        ReturnChoice::To(to) => {
            let message = format!("{}; returning to {}", failure.message, to.revision);
            let effects = vec![notice(true, failure.reason, message), Effect::Persist];
            // Until the last known good is written whole, nothing can be assumed of what is live.
            rollout.partial = true;
            rollout.state = State::Returning {
                to,
                from: target,
                failure,
                stage: ReturnStage::Restoring,
                own_attempt: was_ready,
                spent: Duration::ZERO,
            };
            Step::new(rollout, effects)
        }
        ReturnChoice::Not(why) => {
            let mut failure = failure;
            failure.message = match why {
                Reason::NothingToReturnTo => format!(
                    "{}; there is no earlier good set to return to",
                    failure.message
                ),
                Reason::ReturnBlocked => format!(
                    "{}; {} was written, which is declared as a barrier and blocks the return; push a fix, or go back by hand",
                    failure.message,
                    gates.barrier.as_deref().unwrap_or("an object")
                ),
                _ => failure.message,
            };
            let mut effects = vec![notice(true, failure.reason, failure.message.clone())];
            if !was_ready {
                effects.push(Effect::Record {
                    action: Action::Sync,
                    attempt: rollout.under_way,
                    set: Some(target.clone()),
                    ending: Ending::Failed {
                        failure: failure.clone(),
                        returned: None,
                    },
                    details: why.as_str().to_owned(),
                });
            }
            rollout.state = State::Failed {
                target,
                failure,
                returned: false,
            };
            Step::new(rollout, effects)
        }
    }
}

fn quarantine(rollout: &mut Rollout, target: &SetStatus, failure: &Failure, now: Now) {
    let tries = rollout
        .quarantine
        .iter()
        .find(|entry| entry.digest == target.digest)
        .map_or(0, |entry| entry.tries)
        + 1;
    rollout
        .quarantine
        .retain(|entry| entry.digest != target.digest);
    let retry_at = retry_delay(failure.reason, tries)
        .and_then(|delay| jiff::SignedDuration::try_from(delay).ok())
        .and_then(|delay| now.wall.checked_add(delay).ok());
    rollout.quarantine.push(Quarantine {
        digest: target.digest.clone(),
        revision: target.revision.clone(),
        reason: failure.reason.as_str().to_owned(),
        class: failure.class,
        since: now.wall,
        retry_at,
        tries,
        released: false,
    });
    let excess = rollout.quarantine.len().saturating_sub(QUARANTINE_LIMIT);
    rollout.quarantine.drain(..excess);
}

/// The return is complete: one record for the attempt that it returned from, or one of its own.
fn removed(mut rollout: Rollout, left: &str) -> Step {
    let State::Returning {
        to,
        from,
        failure,
        own_attempt,
        ..
    } = rollout.state.clone()
    else {
        return Step::new(rollout, Vec::new());
    };
    if left.is_empty() {
        let keep = to.attempt;
        let gone = from.attempt;
        rollout
            .written
            .retain(|attempt| *attempt == keep || *attempt != gone);
    }
    let message = format!(
        "{}; returned to {}{}",
        failure.message,
        to.revision,
        if left.is_empty() {
            String::new()
        } else {
            format!("; left: {left}")
        }
    );
    let effects = vec![
        Effect::Record {
            action: if own_attempt {
                Action::Return
            } else {
                Action::Sync
            },
            attempt: rollout.under_way,
            set: Some(from.clone()),
            ending: Ending::Failed {
                failure: failure.clone(),
                returned: Some(to),
            },
            details: left.to_owned(),
        },
        notice(true, Reason::Returned, message),
    ];
    rollout.state = State::Failed {
        target: from,
        failure,
        returned: true,
    };
    Step::new(rollout, effects)
}

/// A return is never returned from: it is held until git or a person says something new.
fn return_failed(mut rollout: Rollout, cause: &Failure) -> Step {
    let State::Returning {
        to,
        from,
        failure,
        own_attempt,
        ..
    } = rollout.state.clone()
    else {
        return Step::new(rollout, Vec::new());
    };
    let failure = Failure {
        reason: Reason::ReturnFailed,
        class: failure.class,
        message: format!(
            "{}; the return to {} failed too: {}; held until a new commit or a person",
            failure.message, to.revision, cause.message
        ),
    };
    let effects = vec![
        Effect::Record {
            action: if own_attempt {
                Action::Return
            } else {
                Action::Sync
            },
            attempt: rollout.under_way,
            set: Some(from.clone()),
            ending: Ending::Failed {
                failure: failure.clone(),
                returned: None,
            },
            details: Reason::ReturnFailed.as_str().to_owned(),
        },
        notice(true, Reason::ReturnFailed, failure.message.clone()),
    ];
    rollout.state = State::Failed {
        target: from,
        failure,
        returned: false,
    };
    Step::new(rollout, effects)
}

fn pruned(mut rollout: Rollout, attempt: Option<u64>, outcome: PruneOutcome) -> Step {
    if let Some(attempt) = attempt {
        rollout.attempt = rollout.attempt.max(attempt);
        rollout.under_way = attempt;
    }
    let mut effects = Vec::new();
    match outcome {
        PruneOutcome::Nothing | PruneOutcome::Done { .. } => {
            let more = matches!(outcome, PruneOutcome::Done { more: true, .. });
            if let Some(keep) = rollout.applied.as_ref().map(|applied| applied.attempt)
                && !more
            {
                rollout.written.retain(|attempt| *attempt == keep);
            }
            rollout.prune = None;
            if let (PruneOutcome::Done { objects, .. }, Some(attempt)) = (&outcome, attempt) {
                let what = text::plural(*objects as usize, "object");
                effects.push(Effect::Record {
                    action: Action::Prune,
                    attempt,
                    set: rollout.applied.clone(),
                    ending: Ending::Ready,
                    details: format!("deleted {what}"),
                });
                effects.push(notice(
                    false,
                    Reason::Pruned,
                    format!("deleted {what} that left git"),
                ));
            }
            if !more {
                rollout.state = leave_pruning(rollout.state);
            }
        }
        PruneOutcome::NeedsApproval { plan, objects, why } => {
            let known = rollout
                .prune
                .as_ref()
                .is_some_and(|prune| prune.plan == plan.as_str());
            if !known {
                effects.push(notice(
                    true,
                    Reason::PruneLimit,
                    format!("{why}; deleted nothing; approve {}", plan.short()),
                ));
            }
            rollout.prune = Some(PruneStatus {
                plan: plan.to_string(),
                objects,
                why: text::cut(&why, 512),
            });
            rollout.state = leave_pruning(rollout.state);
        }
        PruneOutcome::Interrupted => rollout.prune = None,
        PruneOutcome::Ended(ending) => {
            rollout.prune = None;
            if let Some(attempt) = attempt {
                effects.push(Effect::Record {
                    action: Action::Prune,
                    attempt,
                    set: rollout.applied.clone(),
                    ending,
                    details: String::new(),
                });
            }
            rollout.state = leave_pruning(rollout.state);
        }
        PruneOutcome::Partly { why } => {
            // What was approved is under way.
            rollout.prune = None;
            effects.push(notice(true, Reason::PruneBlocked, why));
        }
    }
    Step::new(rollout, effects)
}

fn leave_pruning(state: State) -> State {
    match state {
        State::Pruning => State::Idle,
        other @ (State::Idle
        | State::Applying { .. }
        | State::Watching { .. }
        | State::Soaking { .. }
        | State::Returning { .. }
        | State::Failed { .. }) => other,
    }
}

fn repaired(mut rollout: Rollout, attempt: u64, what: &str, failure: Option<Failure>) -> Step {
    rollout.attempt = rollout.attempt.max(attempt);
    let ending = match &failure {
        None => Ending::Ready,
        Some(failure) => Ending::Failed {
            failure: failure.clone(),
            returned: None,
        },
    };
    let effects = vec![
        Effect::Record {
            action: Action::DriftRepair,
            attempt,
            set: rollout.applied.clone(),
            ending,
            details: what.to_owned(),
        },
        match failure {
            None => notice(false, Reason::DriftRepaired, format!("gave back {what}")),
            Some(failure) => notice(
                true,
                failure.reason,
                format!("could not give back {what}: {}", failure.message),
            ),
        },
    ];
    Step::new(rollout, effects)
}
