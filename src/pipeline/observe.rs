//! Observe: ask the API server about a set before anything is written.
//!
//! Enters: questions, policy, the forms of the objects that we wrote before.
//! Leaves: `Live`, complete, or an error; a partial answer does not exist (law 1).
//! Never: a write.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Subject,
    inventory::{Forms, Written, forms},
};
use crate::{
    api::{ApplicationSpec, ConflictPolicy, ConflictRule, DriftPolicy},
    cluster::{Answer, Missing, MissingObject, Reader},
    model::{
        Conflict, Digest, Doomed, DryRun, Live, Object, ObjectId, Observed, Packed, Refusal,
        RefusalReason,
    },
    plan::{
        Question, by_contract, conflict_policy, git_changed, is_manifest_tool, judge, runs_anew,
        without_conflicts,
    },
};

/// Questions in flight of one Application; the connection bounds the sum over all.
const AT_ONCE: usize = 16;

/// How conflicts and reads are handled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    /// What happens when another manager owns a field of ours.
    pub(super) conflicts: ConflictPolicy,
    /// Fields for which something else holds.
    pub(super) rules: &'a [ConflictRule],
    /// What happens to drift.
    pub(super) drift: DriftPolicy,
    /// Whether the live form of every object is read, for people or to see that nothing differs.
    pub(super) read_all: bool,
    /// Kinds that may be deleted and created again, as `Kind` or `Kind.group`.
    pub(super) recreate: &'a [String],
    /// What becomes of hooks that are there already.
    pub(super) hooks: Hooks<'a>,
}

/// What becomes of hooks that run to an end and are there already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hooks<'a> {
    /// They stay as they are: nothing is synced.
    Leave,
    /// Each runs anew.
    Run,
    /// Of an attempt that was begun before: those that it had not replaced yet.
    Resume(&'a [Doomed]),
}

/// Kinds that are never deleted to be created again: what is in them would go with them.
const NEVER_AGAIN: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

impl<'a> Manner<'a> {
    /// Returns what a spec says, for a look at what is live: every form is read, and hooks stay as they are.
    pub(super) fn of(spec: &'a ApplicationSpec) -> Self {
        Self {
            conflicts: spec.apply.conflicts,
            rules: &spec.apply.conflict_rules,
            drift: spec.drift,
            read_all: true,
            recreate: &spec.apply.recreate,
            hooks: Hooks::Leave,
        }
    }

    fn may_recreate(&self, object: &Object) -> bool {
        let id = object.id();
        let named = |name: &String| match name.split_once('.') {
            Some((kind, group)) => kind == id.kind && group == id.group,
            None => *name == id.kind,
        };
        (self.recreate.iter().any(named) || runs_anew(object))
            && !NEVER_AGAIN.iter().any(|(group, kind)| id.is(group, kind))
    }
}

/// Asks every question as the account of an Application, until it is ended; conflicts are judged by the sets that we wrote.
///
/// # Errors
/// As for [`observe`].
pub(super) async fn observe_for(
    context: &Context,
    subject: &Subject,
    questions: &[Question<'_>],
    set: &[Object],
    written: &[Written],
    manner: Manner<'_>,
) -> Result<Live, Error> {
    let reader = subject.reader(context);
    let forms = forms(written);
    observe(&reader, questions, set, &forms, manner, &subject.ended).await
}

/// Asks every question.
///
/// `written` returns the forms of an object in the sets that we wrote: a conflict on a field that one of
/// them has is drift. `set` are all objects that would be there: what only they bring is waited for.
///
/// # Errors
/// A question could not be answered, or it was ended before all were: what was answered is forgotten.
pub(super) async fn observe(
    reader: &Reader,
    questions: &[Question<'_>],
    set: &[Object],
    written: &Forms,
    manner: Manner<'_>,
    ended: &CancellationToken,
) -> Result<Live, Error> {
    // Made one by one: of a large set the requests not begun would take more memory than its objects.
    let mut left = questions.iter();
    let mut asked: FuturesUnordered<_> = left
        .by_ref()
        .take(AT_ONCE)
        .map(|question| ask(reader, question, set, written, manner))
        .collect();
    let mut objects = BTreeMap::new();
    loop {
        let answer = tokio::select! {
            biased;
            () = ended.cancelled() => return Err(Error::Ended),
            answer = asked.next() => answer,
        };
        let Some(answer) = answer else {
            return Ok(Live { objects });
        };
        let (id, observed) = answer?;
        objects.insert(id, observed);
        asked.extend(
            left.next()
                .map(|question| ask(reader, question, set, written, manner)),
        );
    }
}

async fn ask(
    reader: &Reader,
    question: &Question<'_>,
    set: &[Object],
    written: &Forms,
    manner: Manner<'_>,
) -> Result<(ObjectId, Observed), Error> {
    let forms = written
        .get(question.object.id())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let observed = ask_one(reader, question, set, forms, manner).await?;
    Ok((question.object.id().clone(), observed))
}

async fn ask_one(
    reader: &Reader,
    question: &Question<'_>,
    set: &[Object],
    forms: &[Object],
    manner: Manner<'_>,
) -> Result<Observed, Error> {
    let object = question.object;
    if runs_anew(object)
        && let Some(observed) = hook(reader, set, object, manner).await?
    {
        return Ok(observed);
    }
    match reader.dry_run(object, false).await? {
        Answer::Accepted(mut answer) => {
            if !answer.created && (manner.read_all || !question.known) {
                let before = read(reader, object).await?;
                if is_other_version(before.as_ref(), &answer.after)
                    && let Answer::Accepted(again) = reader.dry_run(object, false).await?
                {
                    answer = again;
                }
                answer.before = before.as_ref().map(Packed::of);
            }
            if answer.before.is_none() {
                // Nobody compares it.
                answer.after = Packed::of(&Value::Null);
            }
            Ok(Observed::Accepted(answer))
        }
        Answer::Conflict(conflicts) => {
            conflicting(reader, set, object, conflicts, forms, manner).await
        }
        Answer::Refused(refusal) if manner.may_recreate(object) => {
            replacing(reader, object, refusal).await
        }
        Answer::Refused(refusal) => Ok(Observed::Refused(refusal)),
        Answer::Missing(missing) => missing_of(reader, set, object, missing).await,
    }
}

/// Says whether somebody wrote between the dry-run and the look: what they wrote is no difference of ours.
fn is_other_version(before: Option<&Value>, after: &Packed) -> bool {
    let version = |object: &Value| {
        let version = object.pointer("/metadata/resourceVersion");
        version.and_then(Value::as_str).map(str::to_owned)
    };
    let before = before.and_then(version);
    before.is_some() && before != after.value().as_ref().and_then(version)
}

/// A hook that is there from an earlier sync goes, and runs anew; None where it is asked about as any object.
async fn hook(
    reader: &Reader,
    set: &[Object],
    object: &Object,
    manner: Manner<'_>,
) -> Result<Option<Observed>, Error> {
    if matches!(manner.hooks, Hooks::Leave) {
        return Ok(None);
    }
    let Some(before) = read(reader, object).await? else {
        return Ok(None);
    };
    if let Hooks::Resume(left) = manner.hooks {
        let uid = before.pointer("/metadata/uid").and_then(Value::as_str);
        if !left.iter().any(|doomed| Some(doomed.uid.as_str()) == uid) {
            return Ok(None);
        }
    }
    Ok(Some(match reader.dry_run(&probe(object), false).await? {
        Answer::Accepted(_) | Answer::Conflict(_) => Observed::Replacing {
            before,
            message: "a hook runs anew in each sync".to_owned(),
        },
        Answer::Refused(refusal) => Observed::Refused(Refusal {
            id: object.id().clone(),
            ..refusal
        }),
        Answer::Missing(missing) => missing_of(reader, set, object, missing).await?,
    }))
}

/// Asks whether the API server would take the object if it were a new one. Its text does not tell a field that may
/// not change from a value that is wrong, and an object that would be refused anew must not be deleted.
async fn replacing(reader: &Reader, object: &Object, refusal: Refusal) -> Result<Observed, Error> {
    if !matches!(
        refusal.reason,
        RefusalReason::Immutable | RefusalReason::Invalid
    ) {
        return Ok(Observed::Refused(refusal));
    }
    let Some(before) = read(reader, object).await? else {
        return Ok(Observed::Refused(refusal));
    };
    match reader.dry_run(&probe(object), false).await? {
        Answer::Accepted(answer) if answer.created => Ok(Observed::Replacing {
            before,
            message: refusal.message,
        }),
        Answer::Accepted(_) | Answer::Conflict(_) | Answer::Refused(_) | Answer::Missing(_) => {
            Ok(Observed::Refused(refusal))
        }
    }
}

/// Returns the object under a name that nobody uses: of the length that every kind takes, and the same each time.
fn probe(object: &Object) -> Object {
    let id = object.id();
    let digest = Digest::of(id.to_string().as_bytes());
    let name = format!("plimsoll-probe-{}", digest.short());
    object.clone().with_name(&name)
}

async fn read(reader: &Reader, object: &Object) -> Result<Option<Value>, Error> {
    Ok(reader.get(object.api_version(), object.id()).await?)
}

async fn conflicting(
    reader: &Reader,
    set: &[Object],
    object: &Object,
    conflicts: Vec<Conflict>,
    forms: &[Object],
    manner: Manner<'_>,
) -> Result<Observed, Error> {
    let before = Packed::of(&read(reader, object).await?.unwrap_or(Value::Null));
    let references: Vec<&Value> = forms.iter().map(Object::value).collect();
    // What another controller owns by contract is left out whatever policy says of the rest.
    let (contract, conflicts): (Vec<Conflict>, Vec<Conflict>) = conflicts
        .into_iter()
        .partition(|conflict| by_contract(object, conflict, set));
    let mut judged = judge(&conflicts, &references);
    // What other tools applied from manifests is handed over (`plan::takeover`): no conflict, and no drift.
    judged
        .foreign
        .retain(|conflict| !is_manifest_tool(&conflict.manager));
    let handed_over = judged.foreign.is_empty() && judged.drift.is_empty();
    let policy =
        |conflict: &Conflict| conflict_policy(object, conflict, manner.rules, manner.conflicts);
    let is = |wanted| {
        judged
            .foreign
            .iter()
            .any(|conflict| policy(conflict) == wanted)
    };
    let (fails, takes) = (is(ConflictPolicy::Fail), is(ConflictPolicy::Force));
    let leaves: Vec<Conflict> = judged
        .foreign
        .iter()
        .filter(|conflict| policy(conflict) == ConflictPolicy::Yield)
        .cloned()
        .collect();
    let forces = manner.drift == DriftPolicy::Repair || handed_over;
    if contract.is_empty() && !fails && leaves.is_empty() && forces {
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
    // Drift that policy leaves is left out as under yield, until git changes its value; a foreign field still refuses.
    if fails {
        return Ok(Observed::Conflicting {
            conflicts: judged
                .foreign
                .into_iter()
                .filter(|conflict| policy(conflict) == ConflictPolicy::Fail)
                .collect(),
            before,
            forced: None,
        });
    }
    let mut yields = leaves.clone();
    // What other tools hold beside it is handed over.
    let mut force = takes
        || conflicts
            .iter()
            .any(|conflict| is_manifest_tool(&conflict.manager));
    for drifted in judged.drift {
        if manner.drift == DriftPolicy::Repair || git_changed(object, &drifted, &references) {
            force = true;
        } else {
            yields.push(drifted);
        }
    }
    yields.extend(contract);
    Ok(
        match reader
            .dry_run(&without_conflicts(object, &yields), force)
            .await?
        {
            Answer::Accepted(answer) => Observed::Yielding {
                conflicts: yields,
                foreign: leaves,
                force,
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
async fn missing_of(
    reader: &Reader,
    set: &[Object],
    object: &Object,
    missing: Missing,
) -> Result<Observed, Error> {
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
    let Some(on) = set.iter().find(brings) else {
        return Ok(Observed::Refused(missing.refusal));
    };
    let before = match &missing.object {
        // Without its kind or its namespace no object is there.
        MissingObject::Kind(_) | MissingObject::Namespace(_) => None,
        MissingObject::Other { .. } => read(reader, object).await?,
    };
    Ok(Observed::Deferred {
        on: on.id().clone(),
        message: missing.refusal.message,
        before,
    })
}
