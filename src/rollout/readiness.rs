//! What becomes of a set that is watched, that soaks, or that is restored, as its objects are assessed.
//!
//! Enters: a verdict over all objects, and the time since the last one.
//! Leaves: a `Step`: on its way, Ready, good, or failed.
//! Never: a set that is good before it stayed Ready through the soak.

use std::time::Duration;

use super::{
    Action, Effect, Ending, Failure, Gates, ReturnStage, Rollout, State, Step, Verdict,
    failing::{fail, return_failed},
    step::notice,
};
use crate::{
    api::{Class, Reason, SetStatus},
    model::{Now, text},
};

pub(super) fn assessed(
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
    rollout.prove(target);
    rollout.state = if older && gates.prune {
        State::Pruning
    } else {
        State::Idle
    };
    Step::new(rollout, Vec::new())
}
