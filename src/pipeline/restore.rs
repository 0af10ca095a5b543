//! Return: the last known good set, from the store; git may be down.
//!
//! Enters: the set to restore and the one that failed.
//! Leaves: an event.
//! Never: a Job run again; a definition, claim or Namespace taken back (law 7).

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject,
    inventory::{Written, empty_head, inventory, placed_set, written},
    memory::Notes,
    observe::{Manner, observe_for},
    prepare::{claimed_by_other, refusals_failure},
    prune,
    write::{leaving, note},
};
use crate::{
    api::SetStatus,
    apply,
    model::{AttemptKind, Object, ObjectId, Refusal},
    plan::{Inventory, Policy, plan, questions},
    rollout::{Event, State},
};

/// Attempts that are looked back at for the head of the failed sync: its returns and repairs lie between.
const LOOK_BACK: u64 = 16;

/// Kinds that a return leaves as they are.
pub(super) fn is_exempt(object: &Object) -> bool {
    let kind = object.group_kind();
    kind.is("batch", "Job")
        || kind.is("", "PersistentVolumeClaim")
        || kind.is("", "PersistentVolume")
        || kind.is("", "Namespace")
        || kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// Writes the last known good. A return that is an attempt of its own stores its head first.
pub(super) async fn restore(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    to: &SetStatus,
    from: &SetStatus,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let own_attempt = matches!(
        memory.rollout.state,
        State::Returning {
            own_attempt: true,
            ..
        }
    );
    if own_attempt && !memory.return_begun {
        return begin(context, subject, memory, to).await.map(Some);
    }
    let good = placed_set(context, subject, memory, to.attempt, &to.digest).await?;
    let failed = placed_set(context, subject, memory, from.attempt, &from.digest).await?;
    let desired: Vec<Object> = good
        .iter()
        .filter(|object| !is_exempt(object))
        .cloned()
        .collect();
    let sets = written(context, subject, memory).await?;
    let reader = subject.reader(context);
    let manner = Manner {
        drift: crate::api::DriftPolicy::Repair,
        ..Manner::of(&subject.spec)
    };
    // Deleted or changed by others meanwhile: asked about although both sets agree on it.
    let mut doubtful: BTreeSet<ObjectId> = memory.drifted.iter().cloned().collect();
    if memory.rollout.partial {
        doubtful.extend(
            sets.iter()
                .flat_map(|written| written.set.iter().map(|object| object.id().clone())),
        );
    }
    let asked = questions(&desired, Some(&failed), &doubtful);
    let live = observe_for(context, subject, &asked, &desired, &sets, manner).await?;
    let policy = Policy {
        partial: false,
        ..subject.policy()
    };
    let plan = plan(desired, Some(&failed), &live, &policy);
    if plan.is_refused() {
        return refused(plan.refused());
    }
    let writer = subject.writer(context);
    for wave in plan.waves() {
        let outcome = apply::apply(&reader, &writer, wave, stop).await;
        note(memory, wave, &outcome);
        // What must be gone before it is created again is looked at soon.
        if outcome.is_stopped() || !leaving(&outcome).is_empty() {
            return Ok(None);
        }
        let refusals: Vec<Refusal> = outcome.refusals().cloned().collect();
        if !refusals.is_empty() {
            return refused(&refusals);
        }
    }
    memory.sightings = crate::health::Sightings::default();
    context
        .metrics
        .count_return(&subject.key, failure_reason(memory));
    Ok(Some(Event::Restored))
}

fn failure_reason(memory: &Memory) -> &'static str {
    match &memory.rollout.state {
        State::Returning { failure, .. } => failure.reason.as_str(),
        State::Idle
        | State::Applying { .. }
        | State::Watching { .. }
        | State::Soaking { .. }
        | State::Pruning
        | State::Failed { .. } => "",
    }
}

/// What the environment refuses is tried again; what the set itself is refused for ends the return.
fn refused(refusals: &[Refusal]) -> Result<Option<Event>, Error> {
    let failure = refusals_failure(refusals);
    match failure.class {
        crate::api::Class::Environment => Err(Error::failure(
            failure.reason,
            failure.class,
            failure.message,
        )),
        crate::api::Class::Change | crate::api::Class::PreExisting => {
            Ok(Some(Event::ReturnFailed(failure)))
        }
    }
}

async fn begin(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    to: &SetStatus,
) -> Result<Event, Error> {
    let now = (context.clock)();
    let attempt = memory.rollout.attempt + 1;
    let head = empty_head(context, subject, attempt, AttemptKind::Return, to, now.wall);
    let claim = context.keeper.store_head(&head, None).await?;
    if let Some(error) = claimed_by_other(memory, attempt, claim) {
        return Err(error);
    }
    memory.return_begun = true;
    let notes = Notes {
        attempt,
        began: Some(now.wall),
        failed: memory.notes.failed,
        creates: std::mem::take(&mut memory.notes.creates),
        ..Notes::default()
    };
    memory.begin_notes(notes);
    Ok(Event::ReturnBegan { attempt })
}

/// Deletes what the failed attempt created and the restored set does not have.
pub(super) async fn remove(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    to: &SetStatus,
    from: &SetStatus,
    stop: &CancellationToken,
) -> Result<Event, Error> {
    let good = placed_set(context, subject, memory, to.attempt, &to.digest).await?;
    let stays: BTreeSet<ObjectId> = good.iter().map(|object| object.id().clone()).collect();
    let sets = written(context, subject, memory).await?;
    let inventory = inventory(&sets);
    let created = created_by(context, subject, memory, from).await?;
    let ids: Vec<ObjectId> = created
        .into_iter()
        .filter(|id| !stays.contains(id))
        .collect();
    let left = prune::remove(context, subject, memory, &ids, &inventory, stop).await?;
    if left
        .failed
        .iter()
        .any(|refusal| refusal.reason.is_environment())
    {
        let failure = refusals_failure(&left.failed);
        return Err(Error::failure(
            failure.reason,
            failure.class,
            failure.message,
        ));
    }
    memory.return_begun = false;
    let mut lines = left.kept;
    lines.extend(still_there(context, subject, &sets, &inventory, to, from).await?);
    lines.extend(left.waiting);
    lines.extend(left.failed.iter().map(ToString::to_string));
    Ok(Event::Removed {
        left: crate::model::text::list(&lines, 5),
    })
}

/// Returns the objects that only the failed set holds and that live: its set stays in the inventory for them.
async fn still_there(
    context: &Context,
    subject: &Subject,
    sets: &[Written],
    inventory: &Inventory,
    to: &SetStatus,
    from: &SetStatus,
) -> Result<Vec<String>, Error> {
    if to.attempt == from.attempt {
        return Ok(Vec::new());
    }
    let elsewhere: BTreeSet<&ObjectId> = sets
        .iter()
        .filter(|written| written.head.attempt != from.attempt)
        .flat_map(|written| written.set.iter().map(Object::id))
        .collect();
    let only_here: Vec<ObjectId> = sets
        .iter()
        .filter(|written| written.head.attempt == from.attempt)
        .flat_map(|written| written.set.iter().map(Object::id))
        .filter(|id| !elsewhere.contains(id))
        .cloned()
        .collect();
    let found = prune::candidates(context, subject, inventory, &only_here).await?;
    Ok(found
        .into_iter()
        .filter(|candidate| candidate.live.is_some())
        .map(|candidate| format!("{} is still there", candidate.id))
        .collect())
}

/// Returns what the failed sync found absent when it was planned: from memory, or from its head.
async fn created_by(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    from: &SetStatus,
) -> Result<BTreeSet<ObjectId>, Error> {
    let mut created = memory.notes.creates.clone();
    let newest = memory.rollout.attempt;
    for attempt in (newest.saturating_sub(LOOK_BACK)..=newest).rev() {
        if let Some(head) = context.keeper.load_head(&subject.uid, attempt).await?
            && head.kind == AttemptKind::Sync
            && head.digest == from.digest
        {
            // A set that was tried before may have left what a later try found there.
            created.extend(head.creates);
        }
    }
    Ok(created)
}
