//! Drift: a live object no longer has what we gave it.
//!
//! Enters: hints of the watches.
//! Leaves: an event, after what was changed is given back; or a note where policy leaves it.
//! Never: a request for a hint that shows no difference; a write where a dry-run shows none.

use std::{collections::BTreeSet, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject,
    inventory::{applied, forms, written},
    memory::Notes,
    observe::{Manner, observe},
    prepare::{claimed_by_other, refusals_failure},
    watching,
    write::{note, ours},
};
use crate::{
    api::{DriftPolicy, SetStatus},
    apply,
    cluster::Identity,
    model::{AttemptKind, Head, Live, Object, ObjectId, Observed, Seen, text},
    plan::{Plan, Policy, live_differs, plan, questions},
    rollout::Event,
};

/// Looks at what the watches hinted at, and gives back what was changed.
pub(super) async fn repair(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    if memory.drifted.is_empty() {
        return Ok(None);
    }
    let (Some(set), Some(target)) = (
        applied(context, subject, memory).await?,
        memory.rollout.applied.clone(),
    ) else {
        memory.drifted.clear();
        return Ok(None);
    };
    let (doubtful, what) = differing(context, subject, memory, &set);
    if subject.spec.drift == DriftPolicy::Ignore || doubtful.is_empty() {
        memory.drifted.clear();
        memory.drift_message = None;
        return Ok(None);
    }
    let desired: Vec<Object> = set
        .iter()
        .filter(|object| doubtful.contains(object.id()))
        .cloned()
        .collect();
    let plan = plan_repair(context, subject, memory, &desired, &set).await?;
    let unchanged: Vec<&Object> = desired
        .iter()
        .filter(|object| {
            !plan
                .changes()
                .any(|change| change.object.id() == object.id())
        })
        .filter(|object| {
            !plan
                .refused()
                .iter()
                .any(|refusal| refusal.id == *object.id())
        })
        .collect();
    for object in unchanged {
        // The server's own form of a value is no drift: from now on it is what we expect.
        if let Seen::Present(live) = watching::seen(context, subject, memory, object) {
            memory
                .expected
                .insert(object.id().clone(), Arc::new(ours(object.value(), &live)));
        }
        memory.drifted.remove(object.id());
    }
    if plan.is_empty() && plan.refused().is_empty() {
        memory.drifted.clear();
        memory.drift_message = None;
        return Ok(None);
    }
    if subject.spec.drift == DriftPolicy::Report {
        memory.drifted.clear();
        memory.drift_message = Some(text::list(&what, 5));
        return Ok(None);
    }
    give_back(context, subject, memory, &target, &plan, stop)
        .await
        .map(Some)
}

/// Returns the hinted objects that differ from what we gave them, by a look that costs no request.
fn differing(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    set: &[Object],
) -> (BTreeSet<ObjectId>, Vec<String>) {
    let mut doubtful = BTreeSet::new();
    let mut what = Vec::new();
    for object in set
        .iter()
        .filter(|object| memory.drifted.contains(object.id()))
    {
        let id = object.id();
        let expected = memory.expected.get(id).cloned();
        let difference = match watching::seen(context, subject, memory, object) {
            Seen::Unknown => continue,
            Seen::Absent => Some("is gone".to_owned()),
            Seen::Present(live) => {
                live_differs(expected.as_deref().unwrap_or(object.value()), &live)
            }
        };
        if let Some(path) = difference {
            what.push(format!("{id} {path}"));
            doubtful.insert(id.clone());
        }
    }
    (doubtful, what)
}

async fn plan_repair(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    desired: &[Object],
    set: &[Object],
) -> Result<Plan, Error> {
    let sets = written(context, subject, memory).await?;
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let manner = Manner {
        conflicts: subject.spec.apply.conflicts,
        drift: subject.spec.drift,
        read_all: true,
    };
    let asked = questions(desired, None, &BTreeSet::new());
    let mut live: Live = observe(&reader, &asked, set, &forms(&sets), manner).await?;
    // What policy leaves to others is what runs: nothing to write for it.
    live.objects
        .retain(|_, observed| !matches!(observed, Observed::Yielding { .. }));
    let policy = Policy {
        application: subject.key.clone(),
        conflicts: subject.spec.apply.conflicts,
        partial: true,
    };
    Ok(plan(desired.to_vec(), None, &live, &policy))
}

async fn give_back(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
    plan: &Plan,
    stop: &CancellationToken,
) -> Result<Event, Error> {
    let now = (context.clock)();
    let attempt = match memory.drift_attempt {
        Some(begun) => begun,
        None => {
            let attempt = memory.rollout.attempt + 1;
            let head = Head {
                application_uid: subject.uid.clone(),
                attempt,
                kind: AttemptKind::Drift,
                digest: target.digest.clone(),
                revision: target.revision.clone(),
                set_attempt: target.attempt,
                holder: context.identity.clone(),
                began: now.wall,
                creates: plan.creates(),
                forces: plan.forces(),
                deletes: Vec::new(),
                carried: Vec::new(),
            };
            let claim = context.keeper.store_head(&head, None).await?;
            if let Some(error) = claimed_by_other(memory, attempt, claim) {
                return Err(error);
            }
            attempt
        }
    };
    memory.notes = Notes {
        began: Some(now.wall),
        ..Notes::default()
    };
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let writer = context
        .cluster
        .writer(subject.account.clone(), context.fence.clone());
    let mut refusals = plan.refused().to_vec();
    let mut what = Vec::new();
    for wave in plan.waves() {
        let outcome = apply::apply(&reader, &writer, wave, stop).await;
        note(memory, wave, &outcome);
        refusals.extend(outcome.refusals().cloned());
        for change in wave {
            memory.drifted.remove(change.object.id());
            let fields: Vec<&str> = change
                .fields
                .iter()
                .map(|field| field.path.as_str())
                .collect();
            what.push(match fields.as_slice() {
                [] => change.object.id().to_string(),
                fields => format!("{} {}", change.object.id(), text::list(fields, 3)),
            });
        }
    }
    for refusal in plan.refused() {
        memory.drifted.remove(&refusal.id);
        what.push(refusal.id.to_string());
    }
    memory.drift_attempt = None;
    context.metrics.count_drift(&subject.key);
    Ok(Event::Repaired {
        attempt,
        what: text::list(&what, 5),
        failure: (!refusals.is_empty()).then(|| refusals_failure(&refusals)),
    })
}
