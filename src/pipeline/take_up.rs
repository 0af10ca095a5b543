//! Take-up: what an earlier life of the controller left behind.
//!
//! Enters: the stored status, and heads above it.
//! Leaves: a rollout that goes on where the other one stopped (law 3).
//! Never: a second attempt for one that was begun.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Context, Error, Memory, Subject, memory::Notes, perform::queue, record::chain_of};
use crate::{
    api::{ApplicationStatus, Class, Reason, SetStatus},
    history::{Link, record_name, verify},
    model::{AttemptKind, Head, ObjectId},
    rollout::{Event, Failure, Held, Rollout, State, step},
};

/// Loads where an Application stands, and takes up what was interrupted.
pub(super) async fn take_up(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    status: &ApplicationStatus,
) -> Result<(), Error> {
    memory.rollout = Rollout::from_status(status);
    memory.record.clone_from(&status.record);
    memory.handled.clone_from(&status.handled);
    memory.plan = None;
    memory.heads.clear();
    memory.pending.clear();
    memory.prune_attempt = None;
    memory.drift_attempt = None;
    memory.return_begun = false;
    memory.compared = None;
    memory.predecessor = None;
    memory.predecessor_sought = false;
    memory.former = Notes::default();
    memory.notes = Notes {
        attempt: memory.rollout.under_way,
        resumed: memory.rollout.is_in_flight(),
        ..Notes::default()
    };
    read_forward(context, subject, memory).await?;
    // The attempt that status names may have been begun before its own last write.
    if memory.rollout.is_in_flight() {
        restore_notes(context, subject, memory).await?;
    }
    let kept = match memory.kept.take() {
        Some(kept) => kept,
        None => context.keeper.kept_of(&subject.uid).await?,
    };
    memory.stored = Some(&kept.heads | &kept.chunks);
    let newer = kept.above(status.attempt);
    if !newer.unbegun.is_empty() {
        context
            .keeper
            .discard_unbegun(&subject.uid, &newer.unbegun)
            .await?;
    }
    for attempt in &newer.heads {
        if let Some(head) = context.keeper.load_head(&subject.uid, *attempt).await? {
            adopt(context, subject, memory, &head);
        }
    }
    if let Some(head) = &memory.record {
        context.archive.know(chain_of(subject), head.clone());
    }
    memory.loaded = true;
    Ok(())
}

/// Records beyond the head in status were written by an earlier life that could not write its status any more.
async fn read_forward(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    memory.found.clear();
    loop {
        let sequence = memory.record.as_ref().map_or(1, |head| head.sequence + 1);
        let name = record_name(&subject.key.name, &subject.uid, sequence);
        let Some(found) = context
            .keeper
            .get_record(&subject.key.namespace, &name)
            .await?
        else {
            return Ok(());
        };
        let link = Link {
            text: found.spec.record.clone(),
        };
        // One that does not follow is in the way: the next append says so.
        let Ok(Some(head)) = verify(std::slice::from_ref(&link), memory.record.as_ref()) else {
            return Ok(());
        };
        let value: Value = serde_json::from_str(&link.text).unwrap_or(Value::Null);
        if let Some(attempt) = value.get("attempt").and_then(Value::as_u64) {
            memory.rollout.attempt = memory.rollout.attempt.max(attempt);
            if let Some(held) = held(&value) {
                memory.rollout.held = Some(held);
            }
        }
        memory.found.push(value);
        memory.record = Some(head);
    }
}

/// A refusal was recorded and the status does not know of it: the same again is counted, not recorded.
fn held(record: &Value) -> Option<Held> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    if text("/action") != Some("Sync") || text("/result") != Some("Refused") {
        return None;
    }
    let class = match text("/ending/class")? {
        "Environment" => Class::Environment,
        "PreExisting" => Class::PreExisting,
        _ => Class::Change,
    };
    Some(Held {
        revision: text("/source/revision")?.parse().ok()?,
        digest: text("/digest").and_then(|digest| digest.parse().ok()),
        failure: Failure {
            reason: Reason::parse(text("/ending/reason")?)?,
            class,
            message: text("/ending/message")?.to_owned(),
        },
        repeated: 0,
    })
}

/// Goes on with an attempt that the status does not know of.
fn adopt(context: &Context, subject: &Subject, memory: &mut Memory, head: &Head) {
    memory.rollout.attempt = memory.rollout.attempt.max(head.attempt);
    let set = SetStatus {
        revision: head.revision.clone(),
        digest: head.digest.clone(),
        attempt: head.set_attempt,
    };
    if head.kind == AttemptKind::Sync {
        // What was under way is superseded by it, and that has a record too.
        let event = Event::Began {
            target: set.clone(),
            attempt: head.attempt,
            carried: head.carried_from.clone(),
        };
        take(context, subject, memory, event);
        memory.return_begun = false;
        memory.prune_attempt = None;
        memory.drift_attempt = None;
    }
    // A repair stands beside what is under way: the sync that it follows keeps its number.
    if head.kind != AttemptKind::Drift {
        memory.rollout.under_way = head.attempt;
    }
    memory.begin_notes(Notes {
        attempt: head.attempt,
        asked: head.asked.clone(),
        began: Some(head.began),
        resumed: true,
        creates: head.creates.iter().cloned().collect(),
        deletes: doomed(head),
        ..Notes::default()
    });
    if matches!(head.kind, AttemptKind::Prune | AttemptKind::Drift) {
        // Its set was written whole before, perhaps later than the status was.
        take(context, subject, memory, Event::FoundWritten { set });
    }
    match head.kind {
        AttemptKind::Sync => {}
        // The status said Returning before the head was stored.
        AttemptKind::Return => memory.return_begun = true,
        AttemptKind::Prune => {
            // It was begun after its set had proved itself, perhaps later than the status was written.
            if let Some(applied) = memory.rollout.applied.clone() {
                memory.rollout.prove(applied);
            }
            memory.prune_attempt = Some(head.attempt);
            memory.rollout.state = State::Pruning;
        }
        AttemptKind::Drift => {
            memory.drift_attempt = Some(head.attempt);
            memory.drifted.extend(head.forces.iter().cloned());
            memory.drifted.extend(head.creates.iter().cloned());
        }
    }
}

fn take(context: &Context, subject: &Subject, memory: &mut Memory, event: Event) {
    let now = (context.clock)();
    let taken = step(memory.rollout.clone(), event, &subject.gates, now);
    let (rollout, effects) = taken.into_parts();
    queue(context, subject, memory, effects);
    memory.rollout = rollout;
}

fn doomed(head: &Head) -> Vec<ObjectId> {
    head.deletes
        .iter()
        .map(|doomed| doomed.id.clone())
        .collect()
}

async fn restore_notes(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    let Some(head) = context
        .keeper
        .load_head(&subject.uid, memory.rollout.under_way)
        .await?
    else {
        return Ok(());
    };
    memory.notes.began = Some(head.began);
    memory.notes.asked.clone_from(&head.asked);
    match head.kind {
        AttemptKind::Sync => memory.notes.creates = head.creates.into_iter().collect(),
        AttemptKind::Return => memory.return_begun = true,
        AttemptKind::Prune => {
            memory.notes.deletes = doomed(&head);
            memory.prune_attempt = Some(head.attempt);
        }
        AttemptKind::Drift => memory.drift_attempt = Some(head.attempt),
    }
    Ok(())
}

/// Deletes stored attempts that nothing names any more: kept is what status names, the last three good sets among it.
pub(super) async fn sweep(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    let rollout = &memory.rollout;
    let mut keep: BTreeSet<u64> = rollout.written.iter().copied().collect();
    keep.extend(
        rollout
            .applied
            .iter()
            .chain(&rollout.good)
            .map(|set| set.attempt),
    );
    keep.insert(rollout.attempt);
    match &rollout.state {
        State::Applying { target, .. }
        | State::Watching { target, .. }
        | State::Soaking { target, .. } => {
            keep.insert(target.attempt);
        }
        State::Returning { to, from, .. } => {
            keep.insert(to.attempt);
            keep.insert(from.attempt);
        }
        State::Idle | State::Pruning | State::Failed { .. } => {}
    }
    let attempt = rollout.attempt;
    memory.sets.retain(|attempt| keep.contains(&attempt));
    // Stored for a rollback, and read when one is asked for.
    keep.extend(rollout.earlier_good.iter().copied());
    memory.heads.retain(|attempt, _| keep.contains(attempt));
    let (uid, keeper) = (&subject.uid, &context.keeper);
    // Where it is known what is stored, what goes is deleted by name; a list reads the parts of every Application.
    let is_left = match &memory.stored {
        Some(stored) => {
            let unwanted = stored.difference(&keep).copied();
            let unwanted = unwanted.filter(|known| *known < attempt).collect();
            !keeper.sweep_heads(uid, unwanted).await?.is_empty()
        }
        None => true,
    };
    if is_left {
        keeper.sweep(uid, &keep, attempt).await?;
    }
    if let Some(stored) = &mut memory.stored {
        stored.retain(|known| keep.contains(known) || *known > attempt);
    }
    Ok(())
}
