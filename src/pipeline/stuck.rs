//! Stuck: the pod of another revision that an ordered StatefulSet waits for and that will not come up.
//!
//! Enters: what the assessment found in the way.
//! Leaves: that pod deleted, by its UID, as the Application's account.
//! Never: a pod of the revision that is to run; more than one of a set at a look; while nothing of ours is rolled out.

use tokio_util::sync::CancellationToken;

use super::{Context, Memory, Subject};
use crate::{
    apply,
    health::StuckPod,
    history::ObjectChange,
    model::{Doomed, ObjectId, Outcome, Refusal},
    rollout::{Event, Failure, ReturnStage, State},
};

/// Deletes what is in the way. Returns an event where a return cannot go on for it.
///
/// While a set becomes Ready, only a pod that is broken goes: one that is merely not ready may come back. In a return every
/// pod of the set that failed is in the way, for that set is known not to come up.
pub(super) async fn free(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Option<Event> {
    let returning = match &memory.rollout.state {
        State::Watching { .. } => false,
        State::Returning {
            stage: ReturnStage::Watching,
            ..
        } => true,
        State::Idle
        | State::Applying { .. }
        | State::Soaking { .. }
        | State::Pruning
        | State::Returning { .. }
        | State::Failed { .. } => return None,
    };
    let doomed: Vec<Doomed> = memory
        .stuck
        .iter()
        .filter(|stuck| returning || stuck.is_broken)
        .filter(|stuck| !memory.freed.contains(&stuck.uid))
        .map(pod)
        .collect();
    if doomed.is_empty() {
        return None;
    }
    let writer = subject.writer(context);
    let outcome = apply::delete(&writer, &doomed, stop).await;
    let mut refused: Option<Refusal> = None;
    for doomed in &doomed {
        match outcome.outcomes.get(&doomed.id) {
            Some(Outcome::Deleted | Outcome::Deleting { .. }) => {
                tracing::info!(pod = %doomed.id, "deleted a pod that its StatefulSet waited for in vain");
                memory.freed.insert(doomed.uid.clone());
                memory.notes.changes.push(ObjectChange {
                    id: doomed.id.clone(),
                    action: "delete".to_owned(),
                    fields: Vec::new(),
                });
            }
            Some(Outcome::Refused(refusal)) => {
                tracing::warn!(pod = %doomed.id, refusal = %refusal, "could not delete a pod that its StatefulSet waits for in vain");
                refused = Some(refusal.clone());
            }
            Some(
                Outcome::Written { .. }
                | Outcome::Unchanged
                | Outcome::Deferred { .. }
                | Outcome::Stopped,
            )
            | None => {}
        }
    }
    let refusal = refused.filter(|refusal| returning && !refusal.reason.is_environment())?;
    let failure = super::prepare::refusals_failure(std::slice::from_ref(&refusal));
    Some(Event::ReturnFailed(Failure {
        message: format!(
            "{} belongs to the set that failed and its StatefulSet waits for it in vain, and it cannot be deleted: {}",
            refusal.id, failure.message
        ),
        ..failure
    }))
}

fn pod(stuck: &StuckPod) -> Doomed {
    Doomed {
        id: ObjectId::new("", "Pod", &stuck.owner.namespace, &stuck.pod),
        api_version: "v1".to_owned(),
        uid: stuck.uid.clone(),
    }
}
