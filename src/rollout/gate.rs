//! What an Application's spec lets happen.
//!
//! Enters: the spec.
//! Leaves: `Gates`, plain values for the step.
//! Never: a window or an approval that lies in the future; those are events.

use std::time::Duration;

use crate::api::{ApplicationSpec, RollbackMode};

/// The limits and switches under which a step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    /// Time that a set has to become Ready.
    pub timeout: Duration,
    /// Time that it must stay so before it is good.
    pub soak: Duration,
    /// Whether a failure that decides ends the wait.
    pub fail_fast: bool,
    /// Whether the last known good is restored by itself.
    pub rollback: RollbackMode,
    /// The object that a declared barrier is, where it stands between the sets.
    pub barrier: Option<String>,
    /// Whether objects that left git are deleted.
    pub prune: bool,
}

impl Gates {
    /// Reads the gates of a spec.
    pub fn of(spec: &ApplicationSpec) -> Self {
        Self {
            timeout: spec.health.timeout.into(),
            soak: spec.health.soak.into(),
            fail_fast: spec.health.fail_fast,
            rollback: spec.rollback.mode,
            barrier: None,
            prune: spec.prune.enabled,
        }
    }
}
