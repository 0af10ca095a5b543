//! What becomes of a set that failed: quarantine, and the return to the last known good.
//!
//! Enters: the failure, and how the return went.
//! Leaves: a `Step`: returning, returned, or held.
//! Never: a return from a return; a quarantine of the last known good.

use std::time::Duration;

use super::{
    Action, Effect, Ending, Failure, Gates, ReturnChoice, ReturnStage, Rollout, State, Step,
    choose_return, retry_delay, state::QUARANTINE_LIMIT, step::notice,
};
use crate::{
    api::{Class, Quarantine, Reason, SetStatus},
    model::Now,
};

/// A set failed: quarantine it, and return if that is possible.
pub(super) fn fail(
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
    let (why, message) = match choice {
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
            return Step::new(rollout, effects);
        }
        ReturnChoice::Stay => (failure.reason, failure.message),
        ReturnChoice::NothingGood => (
            Reason::NothingToReturnTo,
            format!(
                "{}; there is no earlier good set to return to",
                failure.message
            ),
        ),
        ReturnChoice::Barrier => (
            Reason::ReturnBlocked,
            format!(
                "{}; {} was written, which is declared as a barrier and blocks the return; push a fix, or go back by hand",
                failure.message,
                gates.barrier.as_deref().unwrap_or("an object")
            ),
        ),
    };
    let failure = Failure { message, ..failure };
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
pub(super) fn removed(mut rollout: Rollout, left: &str) -> Step {
    let State::Returning {
        to, from, failure, ..
    } = &rollout.state
    else {
        return Step::new(rollout, Vec::new());
    };
    let (to, failure, gone) = (to.clone(), failure.clone(), from.attempt);
    if left.is_empty() {
        let keep = to.attempt;
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
    let told = notice(true, Reason::Returned, message);
    return_ended(rollout, failure, Some(to), left, told)
}

/// A return is never returned from: it is held until git or a person says something new.
pub(super) fn return_failed(rollout: Rollout, cause: &Failure) -> Step {
    let State::Returning { to, failure, .. } = &rollout.state else {
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
    let told = notice(true, Reason::ReturnFailed, failure.message.clone());
    let details = Reason::ReturnFailed.as_str();
    return_ended(rollout, failure, None, details, told)
}

/// A return ends, well or not: its record, the notice, and the set that failed.
fn return_ended(
    mut rollout: Rollout,
    failure: Failure,
    returned: Option<SetStatus>,
    details: &str,
    told: Effect,
) -> Step {
    let State::Returning {
        from, own_attempt, ..
    } = rollout.state
    else {
        return Step::new(rollout, Vec::new());
    };
    let has_returned = returned.is_some();
    let record = Effect::Record {
        action: if own_attempt {
            Action::Return
        } else {
            Action::Sync
        },
        attempt: rollout.under_way,
        set: Some(from.clone()),
        ending: Ending::Failed {
            failure: failure.clone(),
            returned,
        },
        details: details.to_owned(),
    };
    rollout.state = State::Failed {
        target: from,
        failure,
        returned: has_returned,
    };
    Step::new(rollout, vec![record, told])
}
