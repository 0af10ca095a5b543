//! The deletes of a prune plan.
//!
//! Enters: doomed objects, each with its UID.
//! Leaves: an outcome for each.
//! Never: a delete of another object that took the name: that one is left alone and counts as gone.

use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{Deletion, Writer},
    model::{Applied, Doomed, Outcome},
};

/// Deletes one after the other, in the order of the plan.
pub async fn delete(writer: &Writer, doomed: &[Doomed], stop: &CancellationToken) -> Applied {
    let mut applied = Applied::default();
    for object in doomed {
        let outcome = if stop.is_cancelled() {
            Outcome::Stopped
        } else {
            match writer.delete(object).await {
                Ok(Deletion::Deleted | Deletion::Gone | Deletion::Replaced { .. }) => {
                    Outcome::Deleted
                }
                Ok(Deletion::Deleting { finalizers }) => Outcome::Deleting { finalizers },
                Ok(Deletion::Refused(refusal)) => Outcome::Refused(refusal),
                Err(error) => super::wave::failed(&object.id, &error),
            }
        };
        applied.outcomes.insert(object.id.clone(), outcome);
    }
    applied
}
