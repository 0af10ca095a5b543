//! Prune: what left git, after the new set has soaked.
//!
//! Enters: the written sets and the applied one.
//! Leaves: an event; a head before the first delete.
//! Never: a delete of what could not be looked at; every candidate is read as the account, just before.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject,
    inventory::{applied, empty_head, head_of, inventory, written},
    marked::marked,
    memory::Notes,
    prepare::claimed_by_other,
};
use crate::{
    api::{Class, Reason},
    apply,
    cluster::{Identity, ListQuery, Reader},
    history::ObjectChange,
    model::{AttemptKind, Doomed, Head, Object, ObjectId, Outcome, Refusal, RefusalReason, text},
    plan::{Approval, Candidate, Inventory, PruneLimits, PrunePlan, Verdict, plan_prune},
    rollout::{Event, PruneOutcome},
};

/// Reads of candidates in flight.
const AT_ONCE: usize = 16;

/// Plans a prune and carries it out if it may begin.
pub(super) async fn prune(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<Event, Error> {
    let sets = written(context, subject, memory).await?;
    let mut inventory = inventory(&sets);
    let Some(set) = applied(context, subject, memory).await? else {
        if !memory.lost.is_empty() {
            return Err(Error::failure(
                Reason::InventoryDamaged,
                Class::Environment,
                "the stored set that runs is lost; nothing is deleted until git was read and applied again",
            ));
        }
        return Ok(event(None, PruneOutcome::Nothing));
    };
    let doubt = rebuild(context, subject, memory, &set, &mut inventory).await?;
    let stays: BTreeSet<&ObjectId> = set.iter().map(crate::model::Object::id).collect();
    let ids: Vec<ObjectId> = inventory
        .iter()
        .map(|(id, _)| id)
        .filter(|id| !stays.contains(id))
        .cloned()
        .collect();
    let approved: BTreeSet<String> = subject
        .spec
        .commands
        .approve
        .iter()
        .map(|approve| approve.plan.clone())
        .collect();
    let candidates = same_objects(
        context,
        subject,
        &set,
        candidates(context, subject, &inventory, &ids).await?,
    )
    .await?;
    let limits = PruneLimits::from(&subject.spec.prune);
    // What was begun goes on as it was begun, and as it was approved.
    let begun = match memory.prune_attempt {
        Some(attempt) => head_of(context, subject, memory, attempt).await?,
        None => None,
    };
    let approval = Approval {
        hashes: approved,
        begun: begun.as_ref().map(|head| head.deletes.as_slice()),
        doubt,
    };
    let plan = plan_prune(
        &subject.key,
        &inventory,
        &candidates,
        Some(limits),
        &approval,
    );
    match plan.verdict() {
        Verdict::Nothing if !plan.waiting().is_empty() => {
            Ok(partly(memory.prune_attempt, plan.waiting()))
        }
        Verdict::Nothing => {
            note_deleted(memory, &plan);
            let outcome = finished(memory, plan.later() > 0);
            memory.lost.clear();
            Ok(event(memory.prune_attempt.take(), outcome))
        }
        Verdict::NeedsApproval { why } => Ok(event(
            None,
            PruneOutcome::NeedsApproval {
                plan: plan.hash().clone(),
                objects: u32::try_from(plan.deletes().len()).unwrap_or(u32::MAX),
                why: why.clone(),
            },
        )),
        Verdict::Open => carry_out(context, subject, memory, &plan, stop).await,
    }
}

/// Where stored sets are lost, what they held is found by our marks, and every delete needs a person (law 4).
async fn rebuild(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    set: &[Object],
    inventory: &mut Inventory,
) -> Result<Option<String>, Error> {
    if memory.lost.is_empty() {
        return Ok(None);
    }
    let namespaces: BTreeSet<String> = set
        .iter()
        .map(|object| object.id().namespace.clone())
        .filter(|namespace| !namespace.is_empty())
        .chain([subject.render().default_namespace])
        .collect();
    let who = Identity::Account(subject.account.clone());
    let found = marked(&context.cluster, who, &subject.key, &namespaces).await?;
    inventory.add(&found.objects);
    Ok(Some(format!(
        "InventoryDamaged: {} lost; rebuilt from the marks of {}",
        text::plural(memory.lost.len(), "stored set"),
        text::plural(found.objects.len(), "object"),
    )))
}

fn partly(attempt: Option<u64>, waiting: &[String]) -> Event {
    let why = format!("{}; still tracked, tried again", text::list(waiting, 5));
    event(attempt, PruneOutcome::Partly { why })
}

/// Finds candidates that the set still has under another API group: the same object by its UID is not deleted.
async fn same_objects(
    context: &Context,
    subject: &Subject,
    set: &[Object],
    mut candidates: Vec<Candidate>,
) -> Result<Vec<Candidate>, Error> {
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    for candidate in candidates
        .iter_mut()
        .filter(|candidate| candidate.live.is_some())
    {
        let uid = |live: &Value| {
            live.pointer("/metadata/uid")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let twins = set.iter().filter(|object| {
            let (id, other) = (&candidate.id, object.id());
            id.kind == other.kind && id.namespace == other.namespace && id.name == other.name
        });
        for twin in twins {
            let live = reader.get(twin.api_version(), twin.id()).await?;
            if live.as_ref().and_then(uid) == candidate.live.as_ref().and_then(uid) {
                candidate.same_as = Some(twin.id().clone());
            }
        }
    }
    Ok(candidates)
}

/// What the prune was begun for and is gone was deleted by it, be it in an earlier life of the controller.
fn note_deleted(memory: &mut Memory, plan: &PrunePlan) {
    let kept: BTreeSet<&ObjectId> = plan.kept().iter().map(|(id, _)| id).collect();
    let known: BTreeSet<ObjectId> = memory
        .notes
        .changes
        .iter()
        .map(|change| change.id.clone())
        .collect();
    for id in std::mem::take(&mut memory.notes.deletes) {
        if !kept.contains(&id) && !known.contains(&id) {
            memory.notes.changes.push(deleted(&id));
        }
    }
}

/// A prune that was begun earlier and has nothing left to delete is done.
fn finished(memory: &Memory, more: bool) -> PruneOutcome {
    match memory
        .notes
        .changes
        .iter()
        .filter(|change| change.action == "delete")
        .count()
    {
        0 => PruneOutcome::Nothing,
        deleted => PruneOutcome::Done {
            objects: u32::try_from(deleted).unwrap_or(u32::MAX),
            more,
        },
    }
}

fn event(attempt: Option<u64>, outcome: PruneOutcome) -> Event {
    Event::Prune { attempt, outcome }
}

async fn carry_out(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    plan: &PrunePlan,
    stop: &CancellationToken,
) -> Result<Event, Error> {
    let attempt = begin(context, subject, memory, plan).await?;
    let writer = context
        .cluster
        .writer(subject.account.clone(), context.fence.clone());
    let outcome = apply::delete(&writer, plan.deletes(), stop).await;
    let is_stopped = outcome.is_stopped();
    let mut waiting = plan.waiting().to_vec();
    for (id, outcome) in &outcome.outcomes {
        match outcome {
            Outcome::Deleted => memory.notes.changes.push(deleted(id)),
            Outcome::Deleting { finalizers } => {
                waiting.push(format!("{id} waits for {}", text::list(finalizers, 3)));
            }
            Outcome::Refused(refusal) => waiting.push(refusal.to_string()),
            Outcome::Stopped
            | Outcome::Written { .. }
            | Outcome::Unchanged
            | Outcome::Deferred { .. } => {}
        }
    }
    if is_stopped {
        return Ok(event(Some(attempt), PruneOutcome::Interrupted));
    }
    if !waiting.is_empty() {
        return Ok(partly(Some(attempt), &waiting));
    }
    memory.prune_attempt = None;
    memory.lost.clear();
    note_deleted(memory, plan);
    Ok(event(Some(attempt), finished(memory, plan.later() > 0)))
}

fn deleted(id: &ObjectId) -> ObjectChange {
    ObjectChange {
        id: id.clone(),
        action: "delete".to_owned(),
        fields: Vec::new(),
    }
}

async fn begin(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    plan: &PrunePlan,
) -> Result<u64, Error> {
    if let Some(begun) = memory.prune_attempt {
        return Ok(begun);
    }
    let now = (context.clock)();
    let attempt = memory.rollout.attempt + 1;
    let Some(target) = memory.rollout.applied.clone() else {
        return Ok(attempt);
    };
    let head = Head {
        deletes: plan.deletes().to_vec(),
        ..empty_head(
            context,
            subject,
            attempt,
            AttemptKind::Prune,
            &target,
            now.wall,
        )
    };
    let claim = context.keeper.store_head(&head, None).await?;
    if let Some(error) = claimed_by_other(memory, attempt, claim) {
        return Err(error);
    }
    memory.prune_attempt = Some(attempt);
    memory.begin_notes(Notes {
        attempt,
        began: Some(now.wall),
        approved: approver(subject, plan),
        deletes: head
            .deletes
            .iter()
            .map(|doomed| doomed.id.clone())
            .collect(),
        ..Notes::default()
    });
    memory.heads.insert(attempt, Arc::new(head));
    Ok(attempt)
}

/// Returns who approved this plan.
fn approver(subject: &Subject, plan: &PrunePlan) -> Option<String> {
    subject
        .spec
        .commands
        .approve
        .iter()
        .find(|approve| approve.plan == plan.hash().as_str())
        .map(|approve| approve.by.clone())
}

/// Reads every candidate as the account; one that cannot be read fails the whole (law 1).
pub(super) async fn candidates(
    context: &Context,
    subject: &Subject,
    inventory: &Inventory,
    ids: &[ObjectId],
) -> Result<Vec<Candidate>, Error> {
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let reads: Vec<_> = ids
        .iter()
        .map(|id| candidate(&reader, inventory, id))
        .collect();
    stream::iter(reads).buffered(AT_ONCE).try_collect().await
}

/// Reads one candidate.
pub(super) async fn candidate(
    reader: &Reader,
    inventory: &Inventory,
    id: &ObjectId,
) -> Result<Candidate, Error> {
    let api_version = inventory
        .get(id)
        .map_or("v1", |owned| owned.api_version.as_str());
    let live = match reader.get(api_version, id).await {
        Ok(live) => live,
        // Its definition is gone, and the instances with it.
        Err(crate::cluster::Error::KindUnknown { .. }) => None,
        Err(error) => return Err(Error::from(error)),
    };
    let instances = match &live {
        Some(live) if id.is("apiextensions.k8s.io", "CustomResourceDefinition") => {
            instances(reader, live).await?
        }
        Some(_) | None => 0,
    };
    Ok(Candidate {
        id: id.clone(),
        live,
        instances,
        same_as: None,
    })
}

/// Counts the instances of a definition; one that the account cannot list counts as having some.
async fn instances(reader: &Reader, definition: &Value) -> Result<usize, Error> {
    let text = |pointer: &str| {
        definition
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let version = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .and_then(|versions| {
            versions
                .iter()
                .find(|version| version.get("served").and_then(Value::as_bool) == Some(true))
        })
        .and_then(|version| version.get("name"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let api_version = format!("{}/{version}", text("/spec/group"));
    let query = ListQuery {
        metadata_only: true,
        ..ListQuery::default()
    };
    match reader
        .list(&api_version, text("/spec/names/kind"), &query)
        .await
    {
        Ok(all) => Ok(all.len()),
        Err(
            crate::cluster::Error::Forbidden { .. } | crate::cluster::Error::KindUnknown { .. },
        ) => Ok(1),
        Err(error) => Err(error.into()),
    }
}

/// What became of objects that were to go.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Stay by rule: protected, handed over, not ours any more.
    pub(super) kept: Vec<String>,
    /// Were accepted and wait for finalizers.
    pub(super) waiting: Vec<String>,
    /// Were not deleted: refused, or not reached.
    pub(super) failed: Vec<Refusal>,
}

/// Deletes objects of the Application without a limit of number: what a return removes, and what a cascade takes along.
pub(super) async fn remove(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    ids: &[ObjectId],
    inventory: &Inventory,
    stop: &CancellationToken,
) -> Result<Left, Error> {
    let candidates = candidates(context, subject, inventory, ids).await?;
    let plan = plan_prune(
        &subject.key,
        inventory,
        &candidates,
        None,
        &Approval::default(),
    );
    let mut left = Left {
        kept: plan
            .kept()
            .iter()
            .map(|(id, why)| format!("{id} {why}"))
            .collect(),
        waiting: plan.waiting().to_vec(),
        ..Left::default()
    };
    let protected = |doomed: &&Doomed| {
        let kind = doomed.id.group_kind();
        kind.is("", "Namespace")
            || kind.is("", "PersistentVolumeClaim")
            || kind.is("", "PersistentVolume")
            || kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
    };
    let (keep, go): (Vec<&Doomed>, Vec<&Doomed>) = plan.deletes().iter().partition(protected);
    left.kept.extend(
        keep.iter()
            .map(|doomed| format!("{} needs approval", doomed.id)),
    );
    let go: Vec<Doomed> = go.into_iter().cloned().collect();
    let writer = context
        .cluster
        .writer(subject.account.clone(), context.fence.clone());
    let outcome = apply::delete(&writer, &go, stop).await;
    for (id, outcome) in outcome.outcomes {
        match outcome {
            Outcome::Deleted => memory.notes.changes.push(deleted(&id)),
            Outcome::Deleting { finalizers } => {
                left.waiting
                    .push(format!("{id} waits for {}", text::list(&finalizers, 3)));
            }
            Outcome::Refused(refusal) => left.failed.push(refusal),
            Outcome::Stopped => left.failed.push(Refusal {
                id,
                reason: RefusalReason::Unavailable,
                message: "was not reached before the stop".to_owned(),
            }),
            Outcome::Written { .. } | Outcome::Unchanged | Outcome::Deferred { .. } => {}
        }
    }
    Ok(left)
}
