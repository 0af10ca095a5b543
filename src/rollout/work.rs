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
    /// End what is under way, for something newer is wanted.
    Supersede,
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
        State::Applying { target, .. } => match wanted {
            Some(wanted) if is_newer(rollout, wanted, target) => Work::Supersede,
            Some(_) | None => Work::Apply {
                target: target.clone(),
            },
        },
        State::Watching { target, .. } => match wanted {
            Some(wanted) if is_newer(rollout, wanted, target) => Work::Supersede,
            Some(_) | None => Work::Look,
        },
        State::Soaking { target, .. } => match wanted {
            Some(wanted) if is_newer(rollout, wanted, target) => Work::Prepare,
            Some(_) | None => Work::Look,
        },
        State::Pruning => match wanted {
            Some(wanted)
                if !is_running(rollout, wanted)
                    && rollout.quarantined(&wanted.digest).is_none() =>
            {
                Work::Prepare
            }
            Some(_) | None => Work::Prune,
        },
        State::Returning {
            to, from, stage, ..
        } => match wanted {
            Some(wanted) if wanted.digest != from.digest && is_newer(rollout, wanted, to) => {
                Work::Supersede
            }
            Some(_) | None => match stage {
                ReturnStage::Restoring => Work::Restore {
                    to: to.clone(),
                    from: from.clone(),
                },
                ReturnStage::Watching => Work::Look,
                ReturnStage::Removing => Work::Remove {
                    to: to.clone(),
                    from: from.clone(),
                },
            },
        },
        State::Idle => at_rest(rollout, wanted),
        State::Held { digest, .. } => match wanted {
            Some(wanted) if digest.as_ref() == Some(&wanted.digest) => Work::Prepare,
            Some(_) => at_rest(rollout, wanted),
            None => Work::Look,
        },
        State::Failed {
            target, failure, ..
        } => match wanted {
            // The failed set itself is wanted: tried once (law 7). Without a quarantine it was released, or it failed
            // for the environment's sake; what a person ended stays ended until git or a person says otherwise.
            Some(wanted) if wanted.digest == target.digest => {
                let again = rollout.quarantined(&target.digest).is_none()
                    && failure.reason != Reason::Cancelled
                    && !is_running(rollout, wanted);
                if again { Work::Prepare } else { Work::Look }
            }
            Some(_) => at_rest(rollout, wanted),
            None => Work::Look,
        },
    }
}

fn at_rest(rollout: &Rollout, wanted: Option<&Desired>) -> Work {
    let Some(wanted) = wanted else {
        return Work::Look;
    };
    if is_running(rollout, wanted) {
        let settled = match &rollout.state {
            State::Idle => rollout
                .applied
                .as_ref()
                .is_some_and(|applied| applied.revision == wanted.revision),
            State::Held { .. }
            | State::Failed { .. }
            | State::Applying { .. }
            | State::Watching { .. }
            | State::Soaking { .. }
            | State::Pruning
            | State::Returning { .. } => false,
        };
        return if settled { Work::Look } else { Work::Accept };
    }
    Work::Prepare
}

fn is_running(rollout: &Rollout, wanted: &Desired) -> bool {
    !rollout.partial
        && rollout
            .applied
            .as_ref()
            .is_some_and(|applied| applied.digest == wanted.digest)
}

/// A digest that failed does not push aside what is under way: it will not be tried.
fn is_newer(rollout: &Rollout, wanted: &Desired, target: &SetStatus) -> bool {
    wanted.digest != target.digest && rollout.quarantined(&wanted.digest).is_none()
}
