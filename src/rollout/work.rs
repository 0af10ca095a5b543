//! What a state asks to be done next.
//!
//! Enters: where an Application stands, what git wants, and whether it is paused.
//! Leaves: one piece of work for the pipeline.
//! Never: the doing of it.

use super::{Desired, ReturnStage, Rollout, State};
use crate::api::{Reason, SetStatus};

/// The next piece of work. The pipeline does it and answers with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing but to look at health and drift.
    Look,
    /// The wanted set is what runs; say so.
    Accept,
    /// Observe and plan the wanted set, and begin if it is not refused.
    Prepare,
    /// Write the waves of a set that was begun.
    Apply {
        /// The set.
        target: SetStatus,
    },
    /// Plan a prune, and carry it out if it may begin.
    Prune,
    /// Write the last known good.
    Restore {
        /// The set that is restored.
        to: SetStatus,
        /// The set that failed.
        from: SetStatus,
    },
    /// Delete what the failed attempt created.
    Remove {
        /// The set that is restored.
        to: SetStatus,
        /// The set that failed.
        from: SetStatus,
    },
}

/// Says what to do next.
///
/// `desired` is None while git cannot be read: what runs is kept as it is.
pub fn work(rollout: &Rollout, desired: Option<&Desired>, paused: bool) -> Work {
    let wanted = desired.filter(|_| !paused);
    match &rollout.state {
        State::Applying { target, .. } => preempted(
            rollout,
            wanted,
            target,
            Work::Apply {
                target: target.clone(),
            },
        ),
        State::Watching { target, .. } | State::Soaking { target, .. } => {
            if accepts(rollout, wanted) {
                return Work::Accept;
            }
            preempted(rollout, wanted, target, Work::Look)
        }
        State::Pruning => match wanted {
            Some(wanted) if !is_running(rollout, wanted) && is_open(rollout, wanted) => {
                Work::Prepare
            }
            Some(_) | None if paused => Work::Look,
            Some(_) | None => Work::Prune,
        },
        State::Returning {
            to, from, stage, ..
        } => {
            let go_on = match stage {
                ReturnStage::Restoring => Work::Restore {
                    to: to.clone(),
                    from: from.clone(),
                },
                ReturnStage::Watching => Work::Look,
                ReturnStage::Removing => Work::Remove {
                    to: to.clone(),
                    from: from.clone(),
                },
            };
            preempted(rollout, wanted, to, go_on)
        }
        State::Idle => at_rest(rollout, wanted),
        State::Failed {
            target, failure, ..
        } => match wanted {
            // The failed set itself is wanted: tried once (law 7). Without a quarantine it was released, or it failed
            // for the environment's sake; what a person ended stays ended until git or a person says otherwise.
            Some(wanted) if wanted.digest == target.digest => {
                let again = rollout.quarantined(&target.digest).is_none()
                    && failure.reason != Reason::Cancelled
                    && !is_ended(rollout, wanted)
                    && !is_running(rollout, wanted);
                if again { Work::Prepare } else { Work::Look }
            }
            Some(_) | None => at_rest(rollout, wanted),
        },
    }
}

/// What is under way goes on, unless something newer is wanted that may be tried.
fn preempted(rollout: &Rollout, wanted: Option<&Desired>, target: &SetStatus, go_on: Work) -> Work {
    match wanted {
        Some(wanted) if wanted.digest != target.digest && is_open(rollout, wanted) => Work::Prepare,
        Some(_) | None => go_on,
    }
}

/// A set that failed, or was refused already, does not push aside what is under way.
fn is_open(rollout: &Rollout, wanted: &Desired) -> bool {
    let refused = rollout
        .held
        .as_ref()
        .is_some_and(|held| held.digest.as_ref() == Some(&wanted.digest));
    !refused && rollout.quarantined(&wanted.digest).is_none()
}

fn at_rest(rollout: &Rollout, wanted: Option<&Desired>) -> Work {
    match wanted {
        None => Work::Look,
        Some(_) if accepts(rollout, wanted) => Work::Accept,
        Some(wanted) if is_running(rollout, wanted) || is_ended(rollout, wanted) => Work::Look,
        Some(_) => Work::Prepare,
    }
}

/// Says whether a person ended this set before anything of it was written.
fn is_ended(rollout: &Rollout, wanted: &Desired) -> bool {
    rollout.held.as_ref().is_some_and(|held| {
        held.failure.reason == Reason::Cancelled && held.digest.as_ref() == Some(&wanted.digest)
    })
}

/// Says whether what is wanted runs already, and that is news: another revision, or the end of a refusal or a failure.
fn accepts(rollout: &Rollout, wanted: Option<&Desired>) -> bool {
    let Some(wanted) = wanted.filter(|wanted| is_running(rollout, wanted)) else {
        return false;
    };
    let known = rollout
        .applied
        .as_ref()
        .is_some_and(|applied| applied.revision == wanted.revision);
    !known || rollout.held.is_some() || matches!(rollout.state, State::Failed { .. })
}

fn is_running(rollout: &Rollout, wanted: &Desired) -> bool {
    !rollout.partial
        && rollout
            .applied
            .as_ref()
            .is_some_and(|applied| applied.digest == wanted.digest)
}
