//! What happens beside a rollout: what left git is deleted, and what others changed is given back.
//!
//! Enters: what became of a prune, or of a repair.
//! Leaves: a `Step`: the record of the attempt, and which sets may still have objects alive.
//! Never: a set forgotten that may have some.

use super::{Action, Effect, Ending, Failure, PruneOutcome, Rollout, State, Step, step::notice};
use crate::{
    api::{PruneStatus, Reason},
    model::text,
};

pub(super) fn pruned(mut rollout: Rollout, attempt: Option<u64>, outcome: PruneOutcome) -> Step {
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

pub(super) fn repaired(
    mut rollout: Rollout,
    attempt: u64,
    what: &str,
    failure: Option<Failure>,
) -> Step {
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
