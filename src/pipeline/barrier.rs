//! Barriers: what cannot be undone stands between two sets.
//!
//! Enters: the set that was begun, the last known good, `spec.rollback.barriers`.
//! Leaves: the gates of a step, with the object that blocks a return.
//! Never: a barrier for what both sets hold alike: it ran before.

use super::{Context, Error, Memory, Subject, inventory::placed_set};
use crate::{
    api::{Barrier, SetStatus},
    model::{Object, ObjectId},
    plan::{Phase, phase},
    rollout::{Gates, State},
};

/// Finds out what blocks a return from the set that is under way, once for each attempt.
pub(super) async fn look(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    let (Some(target), Some(good)) = (begun(&memory.rollout.state), memory.rollout.good.clone())
    else {
        memory.barriers = None;
        return Ok(());
    };
    let known = memory
        .barriers
        .as_ref()
        .is_some_and(|(attempt, generation, _)| {
            *attempt == memory.rollout.under_way && *generation == subject.generation
        });
    if known {
        return Ok(());
    }
    let barriers = &subject.spec.rollback.barriers;
    let mut found = Vec::new();
    if !barriers.is_empty() && target.digest != good.digest {
        let new = placed_set(context, subject, memory, target.attempt, &target.digest).await?;
        let old = placed_set(context, subject, memory, good.attempt, &good.digest).await?;
        found = crossed(barriers, &new, &old);
    }
    memory.barriers = Some((memory.rollout.under_way, subject.generation, found));
    Ok(())
}

/// Returns the gates as they stand: a barrier counts from the moment that it was written.
pub(super) fn gates(subject: &Subject, memory: &Memory) -> Gates {
    let mut gates = subject.gates.clone();
    let Some((_, _, found)) = &memory.barriers else {
        return gates;
    };
    let writing = matches!(memory.rollout.state, State::Applying { .. });
    let written = |id: &&ObjectId| {
        // What an earlier life of the controller wrote of this attempt is not known: it may have run.
        !writing
            || memory.notes.resumed
            || memory.notes.changes.iter().any(|change| change.id == **id)
    };
    gates.barrier = found.iter().find(written).map(ToString::to_string);
    gates
}

fn begun(state: &State) -> Option<SetStatus> {
    match state {
        State::Applying { target, .. }
        | State::Watching { target, .. }
        | State::Soaking { target, .. } => Some(target.clone()),
        State::Idle | State::Pruning | State::Returning { .. } | State::Failed { .. } => None,
    }
}

/// Returns the declared objects that the new set brings or changes.
fn crossed(barriers: &[Barrier], new: &[Object], old: &[Object]) -> Vec<ObjectId> {
    new.iter()
        .filter(|object| phase(object) != Phase::OnFailure)
        .filter(|object| barriers.iter().any(|barrier| is_one(barrier, object)))
        .filter(|object| !old.iter().any(|known| known.is_same(object)))
        .map(|object| object.id().clone())
        .collect()
}

fn is_one(barrier: &Barrier, object: &Object) -> bool {
    let labels = barrier
        .match_labels
        .iter()
        .all(|(key, value)| object.label(key) == Some(value.as_str()));
    object.id().kind == barrier.kind && labels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str, image: &str, migrates: bool) -> Object {
        let labels = if migrates {
            json!({"migration": "true"})
        } else {
            json!({})
        };
        Object::new(
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": name, "namespace": "shop", "labels": labels},
                "spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
            }),
            None,
        )
        .unwrap()
    }

    #[test]
    fn what_is_new_or_changed_and_declared_is_crossed() {
        let barriers = [Barrier {
            kind: "Job".to_owned(),
            match_labels: [("migration".to_owned(), "true".to_owned())].into(),
        }];
        let old = [job("one", "a:1", true)];
        let same = [job("one", "a:1", true), job("other", "a:1", false)];
        assert_eq!(crossed(&barriers, &same, &old), []);
        let new = [job("one", "a:1", true), job("two", "a:2", true)];
        assert_eq!(crossed(&barriers, &new, &old), [new[1].id().clone()]);
        let changed = [job("one", "a:2", true)];
        assert_eq!(crossed(&barriers, &changed, &old).len(), 1);
        let any = [Barrier {
            kind: "Job".to_owned(),
            match_labels: [].into(),
        }];
        assert_eq!(crossed(&any, &same, &old), [same[1].id().clone()]);
    }
}
