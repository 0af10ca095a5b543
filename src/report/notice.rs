//! What people are told.
//!
//! Enters: the effects of a step.
//! Leaves: `Notice`, the one wording of Kubernetes events, logs and the command line.
//! Never: a delivery.

use crate::{api::Reason, rollout::Effect};

/// Something to tell people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether a person should act.
    pub warning: bool,
    /// Reason from the closed list.
    pub reason: Reason,
    /// What happened and what was not changed.
    pub message: String,
}

/// Returns the notices among the effects of a step, in order.
pub fn notices(effects: &[Effect]) -> Vec<Notice> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Notice {
                warning,
                reason,
                message,
            } => Some(Notice {
                warning: *warning,
                reason: *reason,
                message: message.clone(),
            }),
            Effect::Record { .. } | Effect::Persist => None,
        })
        .collect()
}
