//! Write: the waves of a set that was begun.
//!
//! Enters: the plan in memory, or the stored set after a restart.
//! Leaves: an event: a wave done, all applied, or why not.
//! Never: a wave before the definitions that it needs are served.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject, health,
    inventory::{head_of, placed_set, written},
    memory::Wave,
    observe::{Hooks, Manner, observe_for},
    prepare::refusals_failure,
};
use crate::{
    api::{Class, SetStatus},
    apply,
    cluster::{Catalogue, Lookup, Reader},
    history::ObjectChange,
    model::{Applied, GroupKind, Object, ObjectId, Outcome, Packed, Refusal, RefusalReason, text},
    plan::{Change, Plan, is_before, plan, questions},
    report::StageLabel,
    rollout::{Event, State, Verdict},
};

/// What becomes of a write.
pub(super) enum Wrote {
    /// An event for the rollout.
    Event(Event),
    /// A definition is not served yet, or the stop came: go on later.
    Wait(Duration),
}

/// How soon a definition that is not served yet is looked at again; its watch wakes us earlier.
const ESTABLISHED_AGAIN: Duration = Duration::from_millis(200);
/// How soon an object that must be gone first is looked at again.
pub(super) const GONE_AGAIN: Duration = Duration::from_millis(200);
/// How long an instance may be unknown after its definition was applied. An established kind answers up to two
/// seconds later (seen on 1.36.3), and discovery is asked once a second at most.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// Writes the next wave of the attempt.
pub(super) async fn write_wave(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
    stop: &CancellationToken,
) -> Result<Wrote, Error> {
    if memory.plan.is_none() {
        match plan_again(context, subject, memory, target).await? {
            Ok(plan) => {
                memory.plan = Some(Arc::new(plan));
                memory.plan_is_anew = true;
                memory.wave.written.clear();
                if let State::Applying { wave, .. } = &mut memory.rollout.state {
                    *wave = 0;
                }
            }
            Err(refusals) => {
                return Ok(Wrote::Event(Event::ApplyFailed(refusals_failure(
                    &refusals,
                ))));
            }
        }
    }
    let State::Applying { wave, .. } = memory.rollout.state else {
        return Ok(Wrote::Wait(Duration::ZERO));
    };
    let Some(plan) = memory.plan.clone() else {
        return Ok(Wrote::Wait(Duration::ZERO));
    };
    let reader = subject.reader(context);
    let done: Vec<&Change> = plan.waves().iter().take(wave as usize).flatten().collect();
    if !definitions_served(context, &reader, &done).await? {
        return Ok(Wrote::Wait(ESTABLISHED_AGAIN));
    }
    let Some(changes) = plan.waves().get(wave as usize) else {
        memory.plan = None;
        return Ok(Wrote::Event(Event::Applied));
    };
    let mut before: Vec<Object> = Vec::new();
    if plan.waits(wave as usize) {
        before.extend(done.iter().map(|change| change.object.clone()));
    }
    if memory.plan_is_anew {
        // What an earlier life wrote and is not in this plan any more.
        let all = placed_set(context, subject, memory, target.attempt, &target.digest).await?;
        before.extend(
            all.iter()
                .filter(|object| {
                    changes
                        .first()
                        .is_some_and(|change| is_before(object, &change.object))
                })
                .cloned(),
        );
    }
    if let Some(wrote) = waits_for_health(context, subject, memory, &before)? {
        return Ok(wrote);
    }
    let started = (context.clock)().monotonic;
    let writer = subject.writer(context);
    let left = left_of(memory, wave, changes);
    let outcome = apply::apply(&reader, &writer, &left, stop).await;
    note(memory, &left, &outcome);
    context
        .metrics
        .observe_stage(StageLabel::Apply, (context.clock)().since(started));
    let refusals: Vec<Refusal> = outcome.refusals().cloned().collect();
    let waited = started.saturating_sub(*memory.kinds_awaited.get_or_insert(started));
    if waited < SERVED_WITHIN && are_late(&refusals, &done) {
        // Written again with them: an apply says the same again.
        return Ok(Wrote::Wait(ESTABLISHED_AGAIN));
    }
    memory.kinds_awaited = None;
    if outcome.is_stopped() {
        return Ok(Wrote::Wait(Duration::ZERO));
    }
    let leaving = leaving(&outcome);
    memory.apply_waits =
        (!leaving.is_empty()).then(|| (text::list(&leaving, 5), Class::Environment));
    if !leaving.is_empty() && refusals.is_empty() {
        return Ok(Wrote::Wait(GONE_AGAIN));
    }
    if !refusals.is_empty() && !subject.spec.apply.partial {
        memory.plan = None;
        let failure = refusals_failure(&refusals);
        if failure.class == Class::Environment {
            // The cluster's fault: the same attempt goes on later, until its deadline.
            return Err(Error::failure(
                failure.reason,
                failure.class,
                failure.message,
            ));
        }
        return Ok(Wrote::Event(Event::ApplyFailed(failure)));
    }
    if wave as usize + 1 == plan.waves().len() {
        memory.plan = None;
        return Ok(Wrote::Event(Event::Applied));
    }
    Ok(Wrote::Event(Event::WaveDone { next: wave + 1 }))
}

/// Returns what is left to write of a wave that was interrupted, or waits.
fn left_of(memory: &mut Memory, wave: u32, changes: &[Change]) -> Vec<Change> {
    let attempt = memory.rollout.under_way;
    if (memory.wave.attempt, memory.wave.number) != (attempt, wave) {
        memory.wave = Wave {
            attempt,
            number: wave,
            written: BTreeSet::new(),
        };
    }
    let is_left = |change: &&Change| !memory.wave.written.contains(change.object.id());
    changes.iter().filter(is_left).cloned().collect()
}

/// What a person ordered first must be healthy first; None where it is.
fn waits_for_health(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    before: &[Object],
) -> Result<Option<Wrote>, Error> {
    memory.apply_waits = None;
    if before.is_empty() {
        return Ok(None);
    }
    // What is said of the whole set stays as it was meanwhile.
    let health = memory.health.take();
    let (counts, next_look) = (memory.counts, memory.next_look);
    let verdict = health::look(context, subject, memory, before);
    memory.health = health;
    memory.counts = counts;
    let next = std::mem::replace(&mut memory.next_look, next_look);
    let now = (context.clock)().monotonic;
    let wait = next.map_or(HEALTH_AGAIN, |at| at.saturating_sub(now).min(HEALTH_AGAIN));
    Ok(match verdict? {
        Verdict::Ready => None,
        Verdict::Failed(failure) if failure.class == Class::Change && subject.gates.fail_fast => {
            memory.plan = None;
            Some(Wrote::Event(Event::ApplyFailed(failure)))
        }
        Verdict::Failed(failure) => {
            memory.apply_waits = Some((failure.message, failure.class));
            Some(Wrote::Wait(wait))
        }
        Verdict::Progressing { waiting, class } => {
            memory.apply_waits = Some((waiting, class));
            Some(Wrote::Wait(wait))
        }
    })
}

/// How soon the health of what comes first is looked at again, if no watch wakes us earlier.
const HEALTH_AGAIN: Duration = Duration::from_secs(2);

/// Returns what must be gone before it is created again, and on what it waits.
pub(super) fn leaving(outcome: &Applied) -> Vec<String> {
    outcome
        .outcomes
        .iter()
        .filter_map(|(id, outcome)| match outcome {
            Outcome::Deleting { finalizers } if finalizers.is_empty() => {
                Some(format!("{id} is being deleted"))
            }
            Outcome::Deleting { finalizers } => Some(format!(
                "{id} is being deleted and waits for {}",
                text::list(finalizers, 3)
            )),
            Outcome::Written { .. }
            | Outcome::Unchanged
            | Outcome::Deleted
            | Outcome::Refused(_)
            | Outcome::Deferred { .. }
            | Outcome::Stopped => None,
        })
        .collect()
}

/// After a restart the plan is made anew from the stored set; what is written already needs no write.
async fn plan_again(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
) -> Result<Result<Plan, Vec<Refusal>>, Error> {
    let desired = placed_set(context, subject, memory, target.attempt, &target.digest).await?;
    plan_all(context, subject, memory, &desired).await
}

/// Plans a set with every object asked about and read: nothing is assumed of what is live.
pub(super) async fn plan_all(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    desired: &[Object],
) -> Result<Result<Plan, Vec<Refusal>>, Error> {
    let sets = written(context, subject, memory).await?;
    let attempt = memory.rollout.under_way;
    let head = head_of(context, subject, memory, attempt).await?;
    let left = head.map_or_else(Vec::new, |head| head.recreates.clone());
    let manner = Manner {
        hooks: Hooks::Resume(&left),
        ..Manner::of(&subject.spec)
    };
    let asked = questions(desired, None, &BTreeSet::new());
    let live = observe_for(context, subject, &asked, desired, &sets, manner).await?;
    let policy = subject.policy();
    let plan = plan(desired.to_vec(), None, &live, &policy);
    if plan.is_refused() {
        return Ok(Err(plan.refused().to_vec()));
    }
    Ok(Ok(plan))
}

/// Returns the kind that a definition defines.
fn defined(change: &Change) -> Option<GroupKind> {
    let id = change.object.id();
    let text = |pointer| {
        change
            .object
            .value()
            .pointer(pointer)
            .and_then(Value::as_str)
    };
    id.is("apiextensions.k8s.io", "CustomResourceDefinition")
        .then(|| {
            Some(GroupKind::new(
                text("/spec/group")?,
                text("/spec/names/kind")?,
            ))
        })?
}

/// Says whether these are refused only because the API server does not answer for kinds yet that were just defined.
fn are_late(refusals: &[Refusal], done: &[&Change]) -> bool {
    !refusals.is_empty()
        && refusals.iter().all(|refusal| {
            refusal.reason == RefusalReason::KindUnknown
                && done
                    .iter()
                    .any(|change| defined(change) == Some(refusal.id.group_kind()))
        })
}

/// Says whether every definition among these changes is established and its kind is found.
async fn definitions_served(
    context: &Context,
    reader: &Reader,
    done: &[&Change],
) -> Result<bool, Error> {
    let mut kinds = Vec::new();
    for change in done {
        let id = change.object.id();
        let Some(kind) = defined(change) else {
            continue;
        };
        kinds.push(kind);
        let live = reader.get(change.object.api_version(), id).await?;
        let established = live
            .as_ref()
            .and_then(|live| live.pointer("/status/conditions"))
            .and_then(Value::as_array)
            .is_some_and(|conditions| {
                conditions.iter().any(|condition| {
                    condition.get("type").and_then(Value::as_str) == Some("Established")
                        && condition.get("status").and_then(Value::as_str) == Some("True")
                })
            });
        if !established {
            return Ok(false);
        }
    }
    let catalogue = context.cluster.discovery().catalogue().await?;
    let found = |catalogue: &Catalogue| {
        kinds
            .iter()
            .all(|kind| matches!(catalogue.preferred(kind), Lookup::Served(_)))
    };
    Ok(found(&catalogue) || found(&*context.cluster.discovery().refresh().await?))
}

/// Remembers what was done, for the record, and what the objects must look like since.
pub(super) fn note(memory: &mut Memory, changes: &[Change], outcome: &Applied) {
    let noted = memory.notes.changes.iter();
    let mut known: BTreeSet<ObjectId> = noted.map(|change| change.id.clone()).collect();
    for change in changes {
        let id: &ObjectId = change.object.id();
        let Some(Outcome::Written { created, live }) = outcome.outcomes.get(id) else {
            continue;
        };
        memory.drifted.remove(id);
        memory.wave.written.insert(id.clone());
        if let Some(doomed) = &change.replaces {
            memory.replaced.insert(id.clone(), doomed.uid.clone());
        }
        // An answer that cannot be read again does not exist: the API server nests no deeper.
        let Some(live) = live.value() else { continue };
        memory
            .expected
            .insert(id.clone(), Packed::of(&ours(change.object.value(), &live)));
        if let Some(generation) = live.pointer("/metadata/generation").and_then(Value::as_i64) {
            memory.generations.insert(id.clone(), generation);
        }
        let action = if *created && change.replaces.is_none() {
            "create"
        } else {
            change.action.as_str()
        };
        if !*created {
            memory.notes.creates.remove(id);
        }
        // A wave that waited is written again with what it waited for: an apply says the same again.
        if !known.insert(id.clone()) {
            continue;
        }
        memory.notes.changes.push(ObjectChange {
            id: id.clone(),
            action: action.to_owned(),
            fields: change
                .fields
                .iter()
                .map(|field| field.path.clone())
                .collect(),
        });
    }
}

/// Returns the server's form of what we sent: what it fills in beyond that is not ours to watch.
/// The generation and the resource version stay: they say whether a watch has seen this write.
pub(super) fn ours(sent: &Value, live: &Value) -> Value {
    let mut form = cut(sent, live);
    if let Some(metadata) = form.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["uid"] {
            if let Some(value) = live.pointer(&format!("/metadata/{key}")) {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
    }
    form
}

fn cut(sent: &Value, live: &Value) -> Value {
    match (sent, live) {
        (Value::Object(sent), Value::Object(live)) => Value::Object(
            sent.iter()
                .filter_map(|(key, value)| Some((key.clone(), cut(value, live.get(key)?))))
                .collect(),
        ),
        (Value::Array(sent), Value::Array(live)) => {
            let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
            let named = !sent.is_empty() && sent.iter().all(|item| name(item).is_some());
            if named {
                return sent
                    .iter()
                    .filter_map(|item| {
                        live.iter()
                            .find(|other| name(other) == name(item))
                            .map(|other| cut(item, other))
                    })
                    .collect();
            }
            if sent.len() == live.len() {
                return sent
                    .iter()
                    .zip(live)
                    .map(|(sent, live)| cut(sent, live))
                    .collect();
            }
            Value::Array(live.clone())
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)
            | Value::Array(_),
            live,
        ) => live.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_fills_in_is_not_ours_and_its_own_form_of_a_value_is() {
        let sent = json!({"metadata": {"name": "a"}, "spec": {"cpu": "1000m", "containers": [{"name": "web", "image": "a"}]}});
        let live = json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "5"},
            "spec": {"cpu": "1", "containers": [{"name": "web", "image": "a", "terminationMessagePath": "/x"}], "more": 1}
        });
        assert_eq!(
            ours(&sent, &live),
            json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"cpu": "1", "containers": [{"name": "web", "image": "a"}]}})
        );
    }
}
