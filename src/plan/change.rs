//! The plan of one set.
//!
//! Enters: the set as it would be sent and what the API server answered about it.
//! Leaves: `Plan`: waves of changes, and what is refused.
//! Never: a delete; those are in `guard`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    diff::{FieldChange, field_changes},
    drift::without_conflicts,
    guard::says_protect,
    hook::{Phase, phase},
    inventory::is_protected,
    order::{OrderError, waves},
    ownership::takeover,
};
use crate::{
    api::{ConflictPolicy, LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE},
    model::{
        ApplicationKey, Conflict, Doomed, Live, Object, ObjectId, Observed, Packed, Refusal,
        RefusalReason, Takeover, Yielded, text,
    },
};

/// What decides between refusal and change.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The Application whose plan it is.
    pub application: ApplicationKey,
    /// What happens when another manager owns a field of ours.
    pub conflicts: ConflictPolicy,
    /// Whether the rest is applied when objects are refused.
    pub partial: bool,
}

/// What happens to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It was absent.
    Create,
    /// It changes.
    Update,
    /// It exists and becomes ours.
    Adopt,
    /// It is given back what was changed.
    Repair,
    /// It is deleted and created again, for a field that may not change.
    Recreate,
    /// It waits for another object of the set and is asked about again.
    Deferred,
}

impl Action {
    /// Returns the word of messages and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Adopt => "adopt",
            Self::Repair => "repair",
            Self::Recreate => "recreate",
            Self::Deferred => "deferred",
        }
    }
}

/// One object to write.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The object as it is sent.
    pub object: Object,
    /// Whether the request takes fields from their owners.
    pub force: bool,
    /// What changes; empty for a new object.
    pub fields: Vec<FieldChange>,
    /// Warnings of the API server.
    pub warnings: Vec<String>,
    /// Whether the object was there when it was planned.
    pub existed: bool,
    /// The object that goes first; only where it is created again.
    pub replaces: Option<Doomed>,
    /// How it becomes ours first; only where other tools applied it.
    pub takeover: Option<Takeover>,
}

/// The ordered changes from the live objects to a set. Built only here.
#[derive(Clone, Debug)]
pub struct Plan {
    waves: Vec<Vec<Change>>,
    waits: Vec<bool>,
    on_failure: Vec<Change>,
    refused: Vec<Refusal>,
    unchanged: usize,
    partial: bool,
    yields: Vec<Yielded>,
    asked: BTreeSet<ObjectId>,
}

impl Plan {
    /// Returns the waves; all of one is written before the next begins.
    pub fn waves(&self) -> &[Vec<Change>] {
        &self.waves
    }

    /// Says whether a wave is written only when those before it are healthy.
    pub fn waits(&self, wave: usize) -> bool {
        self.waits.get(wave).copied().unwrap_or(false)
    }

    /// Returns the hooks that run only where the sync fails, by identity.
    pub fn on_failure(&self) -> &[Change] {
        &self.on_failure
    }

    /// Returns every change of the waves in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.waves.iter().flatten()
    }

    /// Returns what is refused.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// Returns how many objects need no write.
    pub fn unchanged(&self) -> usize {
        self.unchanged
    }

    /// Says whether nothing may be written: an object is refused and `partial` is off.
    pub fn is_refused(&self) -> bool {
        !self.refused.is_empty() && !self.partial
    }

    /// Says whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.waves.iter().all(Vec::is_empty)
    }

    /// Returns the ids that will be created: absent when they were planned.
    pub fn creates(&self) -> Vec<ObjectId> {
        self.ids(|change| !change.existed)
    }

    /// Returns what is deleted and created again.
    pub fn recreates(&self) -> Vec<Doomed> {
        self.changes()
            .chain(&self.on_failure)
            .filter_map(|change| change.replaces.clone())
            .collect()
    }

    /// Says whether the API server was asked about an object; of the others nothing new is known.
    pub fn was_asked(&self, id: &ObjectId) -> bool {
        self.asked.contains(id)
    }

    /// Returns the fields that are left to those who owned them before us, written or not.
    pub fn yields(&self) -> &[Yielded] {
        &self.yields
    }

    /// Returns the ids that will be forced.
    pub fn forces(&self) -> Vec<ObjectId> {
        self.ids(|change| change.force)
    }

    fn ids(&self, wanted: impl Fn(&Change) -> bool) -> Vec<ObjectId> {
        let mut ids: Vec<ObjectId> = self
            .changes()
            .filter(|change| wanted(change))
            .map(|change| change.object.id().clone())
            .collect();
        ids.sort_unstable();
        ids
    }
}

/// Plans a set. Total: what cannot be done is in `refused`.
///
/// `desired` are the objects as they would be sent, `applied` those that were sent last. The caller judged
/// which conflicts are drift, and asked again with force, or without those fields, as policy says.
pub fn plan(
    desired: Vec<Object>,
    applied: Option<&[Object]>,
    live: &Live,
    policy: &Policy,
) -> Plan {
    let applied: BTreeMap<&ObjectId, &Object> = applied
        .unwrap_or_default()
        .iter()
        .map(|object| (object.id(), object))
        .collect();
    let mut refused = Vec::new();
    let mut changes: BTreeMap<ObjectId, Change> = BTreeMap::new();
    let mut unchanged = 0;
    let mut to_write = Vec::new();
    let mut on_failure = Vec::new();
    for object in desired {
        let previous = applied.get(object.id()).copied();
        match decide(&object, previous, live.objects.get(object.id()), policy) {
            Decision::Write(change) if phase(&object) == Phase::OnFailure => {
                on_failure.push(*change);
            }
            Decision::Write(change) => {
                changes.insert(object.id().clone(), *change);
                to_write.push(object);
            }
            Decision::Nothing => unchanged += 1,
            Decision::Refuse(refusal) => refused.push(refusal),
        }
    }
    let waves = match waves(to_write) {
        Ok(waves) => waves,
        Err(error) => {
            refused.push(order_refusal(&error));
            Vec::new()
        }
    };
    refused.sort_by(|a, b| a.id.cmp(&b.id));
    on_failure.sort_by(|a, b| a.object.id().cmp(b.object.id()));
    let yields = live
        .objects
        .iter()
        .filter_map(|(id, observed)| match observed {
            Observed::Yielding { foreign, .. } if !foreign.is_empty() => Some(Yielded {
                id: id.clone(),
                paths: foreign
                    .iter()
                    .map(|conflict| conflict.path.clone())
                    .collect(),
            }),
            Observed::Yielding { .. }
            | Observed::Unchanged
            | Observed::Accepted(_)
            | Observed::Conflicting { .. }
            | Observed::Refused(_)
            | Observed::Deferred { .. }
            | Observed::Replacing { .. } => None,
        })
        .collect();
    Plan {
        waits: waves.iter().map(|wave| wave.waits).collect(),
        waves: waves
            .into_iter()
            .map(|wave| {
                wave.objects
                    .into_iter()
                    .filter_map(|object| changes.remove(object.id()))
                    .collect()
            })
            .collect(),
        on_failure,
        refused,
        unchanged,
        partial: policy.partial,
        yields,
        asked: live.objects.keys().cloned().collect(),
    }
}

enum Decision {
    Write(Box<Change>),
    Nothing,
    Refuse(Refusal),
}

fn decide(
    object: &Object,
    previous: Option<&Object>,
    observed: Option<&Observed>,
    policy: &Policy,
) -> Decision {
    match observed {
        None | Some(Observed::Unchanged) => Decision::Nothing,
        Some(Observed::Refused(refusal)) => Decision::Refuse(refusal.clone()),
        Some(Observed::Yielding {
            conflicts,
            answer,
            force,
            ..
        }) => {
            let object = without_conflicts(object, conflicts);
            accepted(&object, previous, answer, *force, policy)
        }
        Some(Observed::Deferred { before, .. }) => deferred(object, before.as_ref(), policy),
        Some(Observed::Replacing { before, message }) => replaced(object, before, message, policy),
        Some(Observed::Accepted(answer)) => accepted(object, previous, answer, false, policy),
        Some(Observed::Conflicting {
            forced: Some(answer),
            ..
        }) => accepted(object, previous, answer, true, policy),
        Some(Observed::Conflicting {
            conflicts,
            forced: None,
            ..
        }) => Decision::Refuse(conflict_refusal(object, conflicts)),
    }
}

fn accepted(
    object: &Object,
    previous: Option<&Object>,
    answer: &crate::model::DryRun,
    force: bool,
    policy: &Policy,
) -> Decision {
    let before = answer.before.as_ref().and_then(Packed::value);
    if let Some(refusal) = before
        .as_ref()
        .and_then(|before| owned_by_other(object.id(), before, &policy.application))
    {
        return Decision::Refuse(refusal);
    }
    let takeover = before.as_ref().and_then(takeover);
    if answer.before.as_ref() == Some(&answer.after) && !answer.created && takeover.is_none() {
        return Decision::Nothing;
    }
    let kind = object.group_kind();
    let fields = match (&before, previous) {
        (Some(before), _) => {
            let after = answer.after.value().unwrap_or_default();
            field_changes(&kind, Some(before), &after)
        }
        // What was sent last stands for what is live where nothing says otherwise: no read is spent on it.
        (None, Some(previous)) => field_changes(&kind, Some(previous.value()), object.value()),
        (None, None) => Vec::new(),
    };
    let action = if answer.created {
        Action::Create
    } else if before
        .as_ref()
        .is_some_and(|before| !has_marks(before, policy))
    {
        Action::Adopt
    } else if force {
        Action::Repair
    } else {
        Action::Update
    };
    Decision::Write(Box::new(Change {
        action,
        object: object.clone(),
        force,
        fields,
        warnings: answer.warnings.clone(),
        existed: !answer.created,
        replaces: None,
        takeover,
    }))
}

/// What waits for another object of the set; one that is there already can belong to somebody.
fn deferred(object: &Object, before: Option<&serde_json::Value>, policy: &Policy) -> Decision {
    let refusal =
        before.and_then(|before| owned_by_other(object.id(), before, &policy.application));
    match refusal {
        Some(refusal) => Decision::Refuse(refusal),
        None => Decision::Write(Box::new(Change {
            action: Action::Deferred,
            object: object.clone(),
            force: false,
            fields: Vec::new(),
            warnings: Vec::new(),
            existed: before.is_some(),
            replaces: None,
            takeover: None,
        })),
    }
}

/// What is deleted to be created again: only what carries our marks, is not protected, and can be insisted on.
fn replaced(
    object: &Object,
    before: &serde_json::Value,
    message: &str,
    policy: &Policy,
) -> Decision {
    let refuse = |why: &str| {
        Decision::Refuse(Refusal {
            id: object.id().clone(),
            reason: RefusalReason::Immutable,
            message: format!("{message}; not created again: {why}; nothing was deleted"),
        })
    };
    if let Some(refusal) = owned_by_other(object.id(), before, &policy.application) {
        return Decision::Refuse(refusal);
    }
    if !has_marks(before, policy) {
        return refuse("it is not ours yet");
    }
    if says_protect(before) || is_protected(object) {
        return refuse("its annotation protects it");
    }
    let Some(doomed) = doomed(object.id(), before) else {
        return refuse("it has no UID to insist on");
    };
    Decision::Write(Box::new(Change {
        action: Action::Recreate,
        fields: field_changes(&object.group_kind(), Some(before), object.value()),
        object: object.clone(),
        force: false,
        warnings: Vec::new(),
        existed: true,
        replaces: Some(doomed),
        takeover: None,
    }))
}

/// Returns what a delete insists on; None where the live object has no UID.
fn doomed(id: &ObjectId, live: &serde_json::Value) -> Option<Doomed> {
    let text = |pointer: &str| {
        live.pointer(pointer)
            .and_then(serde_json::Value::as_str)
            .filter(|text| !text.is_empty())
    };
    Some(Doomed {
        id: id.clone(),
        api_version: text("/apiVersion")?.to_owned(),
        uid: text("/metadata/uid")?.to_owned(),
    })
}

/// Returns the refusal where a live object carries the marks of another Application than the one it is sent with.
pub fn belongs_to_other(object: &Object, live: &serde_json::Value) -> Option<Refusal> {
    let application = ApplicationKey {
        namespace: object.label(LABEL_APPLICATION_NAMESPACE)?.to_owned(),
        name: object.label(LABEL_APPLICATION)?.to_owned(),
    };
    owned_by_other(object.id(), live, &application)
}

fn owned_by_other(
    id: &ObjectId,
    live: &serde_json::Value,
    application: &ApplicationKey,
) -> Option<Refusal> {
    let other = ApplicationKey {
        namespace: mark(live, LABEL_APPLICATION_NAMESPACE)?.to_owned(),
        name: mark(live, LABEL_APPLICATION)?.to_owned(),
    };
    (other != *application).then(|| Refusal {
        id: id.clone(),
        reason: RefusalReason::OwnedByOther,
        message: format!("belongs to Application {other}; remove it there or here"),
    })
}

fn mark<'a>(value: &'a serde_json::Value, label: &str) -> Option<&'a str> {
    value.get("metadata")?.get("labels")?.get(label)?.as_str()
}

fn has_marks(live: &serde_json::Value, policy: &Policy) -> bool {
    mark(live, LABEL_APPLICATION) == Some(policy.application.name.as_str())
        && mark(live, LABEL_APPLICATION_NAMESPACE) == Some(policy.application.namespace.as_str())
}

fn conflict_refusal(object: &Object, conflicts: &[Conflict]) -> Refusal {
    let fields: Vec<String> = conflicts
        .iter()
        .map(|conflict| format!("{} is owned by {}", conflict.path, conflict.manager))
        .collect();
    Refusal {
        id: object.id().clone(),
        reason: RefusalReason::Conflict,
        message: format!(
            "{}; set apply.conflicts to yield or force, or ignore the field",
            text::list(&fields, 5)
        ),
    }
}

fn order_refusal(error: &OrderError) -> Refusal {
    Refusal {
        id: error.id().clone(),
        reason: RefusalReason::Invalid,
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::DryRun;

    fn policy() -> Policy {
        Policy {
            application: ApplicationKey {
                namespace: "team".into(),
                name: "shop".into(),
            },
            conflicts: ConflictPolicy::Fail,
            partial: false,
        }
    }

    fn object(name: &str) -> Object {
        Object::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}}),
            None,
        )
        .unwrap()
    }

    fn marked(application: &str) -> serde_json::Value {
        json!({"metadata": {"labels": {"plimsoll.dev/application": application, "plimsoll.dev/application-namespace": "team"}}})
    }

    fn planned(observed: Observed) -> Plan {
        let object = object("a");
        let live = Live {
            objects: BTreeMap::from([(object.id().clone(), observed)]),
        };
        plan(vec![object], None, &live, &policy())
    }

    fn accepted(
        created: bool,
        before: Option<&serde_json::Value>,
        after: &serde_json::Value,
    ) -> Observed {
        Observed::Accepted(DryRun {
            created,
            before: before.map(Packed::of),
            after: Packed::of(after),
            warnings: Vec::new(),
        })
    }

    #[test]
    fn a_dry_run_that_changes_nothing_needs_no_write() {
        let plan = planned(accepted(false, Some(&marked("shop")), &marked("shop")));
        assert!(plan.is_empty());
        assert_eq!(plan.unchanged(), 1);
    }

    #[test]
    fn an_object_of_another_application_is_refused() {
        let plan = planned(accepted(false, Some(&marked("other")), &marked("shop")));
        assert!(plan.is_refused());
        assert_eq!(
            plan.refused()[0].to_string(),
            "OwnedByOther: ConfigMap/n/a: belongs to Application team/other; remove it there or here"
        );
    }

    #[test]
    fn an_object_of_nobody_is_adopted() {
        let plan = planned(accepted(
            false,
            Some(&json!({"metadata": {}})),
            &marked("shop"),
        ));
        assert_eq!(plan.changes().next().unwrap().action, Action::Adopt);
    }

    #[test]
    fn a_conflict_names_field_and_owner() {
        let plan = planned(Observed::Conflicting {
            conflicts: vec![Conflict {
                manager: "hpa".into(),
                path: ".spec.replicas".into(),
            }],
            before: Packed::of(&marked("shop")),
            forced: None,
        });
        assert_eq!(
            plan.refused()[0].message,
            ".spec.replicas is owned by hpa; set apply.conflicts to yield or force, or ignore the field"
        );
    }

    #[test]
    fn an_accepted_force_is_a_repair() {
        let plan = planned(Observed::Conflicting {
            conflicts: Vec::new(),
            before: Packed::of(&marked("shop")),
            forced: Some(DryRun {
                created: false,
                before: Some(Packed::of(&marked("shop"))),
                after: Packed::of(&json!({"metadata": {"labels": {"x": "y"}}})),
                warnings: Vec::new(),
            }),
        });
        let change = plan.changes().next().unwrap();
        assert_eq!((change.action, change.force), (Action::Repair, true));
        assert_eq!(plan.forces().len(), 1);
    }
}
