//! Observe: ask the API server about a set before anything is written.
//!
//! Enters: questions, policy, the forms of the objects that we wrote before.
//! Leaves: `Live`, complete, or an error; a partial answer does not exist (law 1).
//! Never: a write.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::Error;
use crate::{
    api::{ConflictPolicy, DriftPolicy},
    cluster::{Answer, Missing, MissingObject, Reader},
    model::{Conflict, DryRun, Live, Object, ObjectId, Observed},
    plan::{Question, judge, without_conflicts},
};

/// Questions in flight of one Application; the connection bounds the sum over all.
const AT_ONCE: usize = 16;

/// How conflicts and reads are handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// What happens when another manager owns a field of ours.
    pub(super) conflicts: ConflictPolicy,
    /// What happens to drift.
    pub(super) drift: DriftPolicy,
    /// Whether the live form of every object is read, for people or to see that nothing differs.
    pub(super) read_all: bool,
}

/// Asks every question.
///
/// `written` returns the forms of an object in the sets that we wrote: a conflict on a field that one of
/// them has is drift. `set` are all objects that would be there: what only they bring is waited for.
pub(super) async fn observe(
    reader: &Reader,
    questions: &[Question<'_>],
    set: &[Object],
    written: &BTreeMap<ObjectId, Vec<Value>>,
    manner: Manner,
) -> Result<Live, Error> {
    // Made before they are polled: a closure inside the stream would tie its lifetime to the task's.
    let asked: Vec<_> = questions
        .iter()
        .map(|question| {
            let forms = written
                .get(question.object.id())
                .map(Vec::as_slice)
                .unwrap_or_default();
            ask(reader, question, set, forms, manner)
        })
        .collect();
    let objects = stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Live { objects })
}

async fn ask(
    reader: &Reader,
    question: &Question<'_>,
    set: &[Object],
    forms: &[Value],
    manner: Manner,
) -> Result<(ObjectId, Observed), Error> {
    let observed = ask_one(reader, question, set, forms, manner).await?;
    Ok((question.object.id().clone(), observed))
}

async fn ask_one(
    reader: &Reader,
    question: &Question<'_>,
    set: &[Object],
    forms: &[Value],
    manner: Manner,
) -> Result<Observed, Error> {
    let object = question.object;
    match reader.dry_run(object, false).await? {
        Answer::Accepted(mut answer) => {
            if !answer.created && (manner.read_all || !question.known) {
                answer.before = read(reader, object).await?;
            }
            Ok(Observed::Accepted(answer))
        }
        Answer::Conflict(conflicts) => conflicting(reader, object, conflicts, forms, manner).await,
        Answer::Refused(refusal) => Ok(Observed::Refused(refusal)),
        Answer::Missing(missing) => Ok(missing_of(set, object, missing)),
    }
}

async fn read(reader: &Reader, object: &Object) -> Result<Option<Value>, Error> {
    Ok(reader.get(object.api_version(), object.id()).await?)
}

async fn conflicting(
    reader: &Reader,
    object: &Object,
    conflicts: Vec<Conflict>,
    forms: &[Value],
    manner: Manner,
) -> Result<Observed, Error> {
    let before = read(reader, object).await?.unwrap_or(Value::Null);
    let references: Vec<&Value> = forms.iter().collect();
    let judged = judge(&conflicts, &references);
    let give_back = judged.foreign.is_empty() && manner.drift == DriftPolicy::Repair;
    if give_back || manner.conflicts == ConflictPolicy::Force {
        return Ok(match reader.dry_run(object, true).await? {
            Answer::Accepted(answer) => Observed::Conflicting {
                conflicts,
                forced: Some(DryRun {
                    before: Some(before.clone()),
                    ..answer
                }),
                before,
            },
            Answer::Refused(refusal) => Observed::Refused(refusal),
            Answer::Conflict(conflicts) => Observed::Conflicting {
                conflicts,
                before,
                forced: None,
            },
            Answer::Missing(missing) => Observed::Refused(missing.refusal),
        });
    }
    let yields = match manner.conflicts {
        ConflictPolicy::Yield => conflicts.clone(),
        // Drift that policy leaves is left out as under yield; a foreign field still refuses.
        ConflictPolicy::Fail | ConflictPolicy::Force if judged.foreign.is_empty() => judged.drift,
        ConflictPolicy::Fail | ConflictPolicy::Force => Vec::new(),
    };
    if yields.is_empty() {
        return Ok(Observed::Conflicting {
            conflicts,
            before,
            forced: None,
        });
    }
    Ok(
        match reader
            .dry_run(&without_conflicts(object, &yields), false)
            .await?
        {
            Answer::Accepted(answer) => Observed::Yielding {
                conflicts: yields,
                answer: DryRun {
                    before: Some(before),
                    ..answer
                },
            },
            Answer::Refused(refusal) => Observed::Refused(refusal),
            Answer::Conflict(conflicts) => Observed::Conflicting {
                conflicts,
                before,
                forced: None,
            },
            Answer::Missing(missing) => Observed::Refused(missing.refusal),
        },
    )
}

/// What another object of the same set brings is waited for; all else is a refusal.
fn missing_of(set: &[Object], object: &Object, missing: Missing) -> Observed {
    let brings = |candidate: &&Object| {
        if candidate.id() == object.id() {
            return false;
        }
        match &missing.object {
            MissingObject::Kind(kind) => {
                let text = |pointer| candidate.value().pointer(pointer).and_then(Value::as_str);
                candidate
                    .id()
                    .is("apiextensions.k8s.io", "CustomResourceDefinition")
                    && text("/spec/group") == Some(kind.group.as_str())
                    && text("/spec/names/kind") == Some(kind.kind.as_str())
            }
            MissingObject::Namespace(_) | MissingObject::Other { .. } => {
                missing.object.is(candidate.id())
            }
        }
    };
    match set.iter().find(brings) {
        Some(on) => Observed::Deferred {
            on: on.id().clone(),
            message: missing.refusal.message,
        },
        None => Observed::Refused(missing.refusal),
    }
}
