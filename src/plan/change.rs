//! The plan of one set.
//!
//! Enters: the set as it would be sent and what the API server answered about it.
//! Leaves: `Plan`: waves of changes, and what is refused.
//! Never: a delete; those are in `guard`.

use std::collections::BTreeMap;

use super::{
    diff::{FieldChange, field_changes},
    drift::without_conflicts,
    order::{OrderError, waves},
};
use crate::{
    api::{ConflictPolicy, LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE},
    model::{
        ApplicationKey, Conflict, Live, Object, ObjectId, Observed, Refusal, RefusalReason, text,
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
}

/// The ordered changes from the live objects to a set. Built only here.
#[derive(Clone, Debug)]
pub struct Plan {
    waves: Vec<Vec<Change>>,
    refused: Vec<Refusal>,
    unchanged: usize,
    partial: bool,
}

impl Plan {
    /// Returns the waves; all of one is written before the next begins.
    pub fn waves(&self) -> &[Vec<Change>] {
        &self.waves
    }

    /// Returns every change in order.
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

    /// Returns the ids that will be created.
    pub fn creates(&self) -> Vec<ObjectId> {
        self.ids(|change| matches!(change.action, Action::Create | Action::Deferred))
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
    for object in desired {
        let previous = applied.get(object.id()).copied();
        match decide(&object, previous, live.objects.get(object.id()), policy) {
            Decision::Write(change) => {
                changes.insert(object.id().clone(), change);
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
    Plan {
        waves: waves
            .into_iter()
            .map(|wave| {
                wave.into_iter()
                    .filter_map(|object| changes.remove(object.id()))
                    .collect()
            })
            .collect(),
        refused,
        unchanged,
        partial: policy.partial,
    }
}

enum Decision {
    Write(Change),
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
        Some(Observed::Yielding { conflicts, answer }) => {
            let object = without_conflicts(object, conflicts);
            accepted(&object, previous, answer, false, policy)
        }
        Some(Observed::Deferred { .. }) => Decision::Write(Change {
            action: Action::Deferred,
            object: object.clone(),
            force: false,
            fields: Vec::new(),
            warnings: Vec::new(),
        }),
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
    if let Some(other) = answer
        .before
        .as_ref()
        .and_then(|before| other_owner(before, policy))
    {
        return Decision::Refuse(Refusal {
            id: object.id().clone(),
            reason: RefusalReason::OwnedByOther,
            message: format!("belongs to Application {other}; remove it there or here"),
        });
    }
    if answer.before.as_ref() == Some(&answer.after) && !answer.created {
        return Decision::Nothing;
    }
    let kind = object.group_kind();
    let fields = match (&answer.before, previous) {
        (Some(before), _) => field_changes(&kind, Some(before), &answer.after),
        // What was sent last stands for what is live where nothing says otherwise: no read is spent on it.
        (None, Some(previous)) => field_changes(&kind, Some(previous.value()), object.value()),
        (None, None) => Vec::new(),
    };
    let action = if answer.created {
        Action::Create
    } else if answer
        .before
        .as_ref()
        .is_some_and(|before| !has_marks(before, policy))
    {
        Action::Adopt
    } else if force {
        Action::Repair
    } else {
        Action::Update
    };
    Decision::Write(Change {
        action,
        object: object.clone(),
        force,
        fields,
        warnings: answer.warnings.clone(),
    })
}

fn mark<'a>(value: &'a serde_json::Value, label: &str) -> Option<&'a str> {
    value.get("metadata")?.get("labels")?.get(label)?.as_str()
}

fn has_marks(live: &serde_json::Value, policy: &Policy) -> bool {
    mark(live, LABEL_APPLICATION) == Some(policy.application.name.as_str())
        && mark(live, LABEL_APPLICATION_NAMESPACE) == Some(policy.application.namespace.as_str())
}

/// Returns the key of the other Application whose marks the live object carries.
fn other_owner(live: &serde_json::Value, policy: &Policy) -> Option<ApplicationKey> {
    let other = ApplicationKey {
        namespace: mark(live, LABEL_APPLICATION_NAMESPACE)?.to_owned(),
        name: mark(live, LABEL_APPLICATION)?.to_owned(),
    };
    (other != policy.application).then_some(other)
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
        before: Option<serde_json::Value>,
        after: serde_json::Value,
    ) -> Observed {
        Observed::Accepted(DryRun {
            created,
            before,
            after,
            warnings: Vec::new(),
        })
    }

    #[test]
    fn a_dry_run_that_changes_nothing_needs_no_write() {
        let plan = planned(accepted(false, Some(marked("shop")), marked("shop")));
        assert!(plan.is_empty());
        assert_eq!(plan.unchanged(), 1);
    }

    #[test]
    fn an_object_of_another_application_is_refused() {
        let plan = planned(accepted(false, Some(marked("other")), marked("shop")));
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
            Some(json!({"metadata": {}})),
            marked("shop"),
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
            before: marked("shop"),
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
            before: marked("shop"),
            forced: Some(DryRun {
                created: false,
                before: Some(marked("shop")),
                after: json!({"metadata": {"labels": {"x": "y"}}}),
                warnings: Vec::new(),
            }),
        });
        let change = plan.changes().next().unwrap();
        assert_eq!((change.action, change.force), (Action::Repair, true));
        assert_eq!(plan.forces().len(), 1);
    }
}
