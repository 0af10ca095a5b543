//! Which set to return to, if any.
//!
//! Enters: where an Application stands, the failure, the gates.
//! Leaves: `ReturnChoice`.
//! Never: a quarantined set, one that was not good, or the one that failed.

use std::time::Duration;

use super::{Failure, Gates, Rollout};
use crate::api::{Class, Reason, RollbackMode, SetStatus};

/// Whether and where to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnChoice {
    /// To this set.
    To(SetStatus),
    /// Not: the failure is not the set's fault, or returns are off.
    Stay,
    /// Not: nothing else was good.
    NothingGood,
    /// Not: a declared barrier was written.
    Barrier,
}

/// Chooses the set to return to from a failed one.
pub fn choose_return(
    rollout: &Rollout,
    failed: &SetStatus,
    failure: &Failure,
    gates: &Gates,
) -> ReturnChoice {
    match failure.class {
        Class::Environment | Class::PreExisting => return ReturnChoice::Stay,
        Class::Change => {}
    }
    match gates.rollback {
        RollbackMode::Off => return ReturnChoice::Stay,
        RollbackMode::Auto => {}
    }
    match &rollout.good {
        None => ReturnChoice::NothingGood,
        Some(good) if good.digest == failed.digest => ReturnChoice::NothingGood,
        Some(good) if rollout.quarantined(&good.digest).is_some() => ReturnChoice::NothingGood,
        Some(_) if gates.barrier.is_some() => ReturnChoice::Barrier,
        Some(good) => ReturnChoice::To(good.clone()),
    }
}

/// Returns after which time a quarantine for an image that was not found is released by itself:
/// 5, 10, 20 ... 60 minutes (law 7: a manifest's commit often overtakes the push of its image).
pub fn retry_delay(reason: Reason, tries: u32) -> Option<Duration> {
    if reason != Reason::ImageNotFound {
        return None;
    }
    let minutes = 5_u64
        .saturating_mul(1 << tries.saturating_sub(1).min(10))
        .min(60);
    Some(Duration::from_secs(minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_that_was_not_found_is_retried_and_ever_later() {
        let minutes: Vec<u64> = (1..=6)
            .filter_map(|tries| retry_delay(Reason::ImageNotFound, tries))
            .map(|delay| delay.as_secs() / 60)
            .collect();
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
        assert_eq!(retry_delay(Reason::CrashLoop, 1), None);
    }
}
