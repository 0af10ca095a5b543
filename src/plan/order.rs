//! The order of writing.
//!
//! Enters: the objects of a set.
//! Leaves: waves; all of one is written before the next begins.
//! Never: an order that depends on the order of the input.

use std::collections::{BTreeMap, BTreeSet};

use super::hook::{Phase, phase};
use crate::{
    api::{ANNOTATION_DEPENDS_ON, ANNOTATION_SYNC_WAVE},
    model::{Object, ObjectId},
};

/// Why a set has no order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OrderError {
    /// The annotation is not a whole number.
    #[error("read {annotation} of {id}: {text:?} is not a whole number")]
    WaveNotNumber {
        /// The object.
        id: Box<ObjectId>,
        /// The annotation.
        annotation: &'static str,
        /// What it says.
        text: String,
    },
    /// Objects depend on each other in a circle.
    #[error("order {id}: it depends on itself through {annotation}")]
    Cycle {
        /// An object of the circle.
        id: Box<ObjectId>,
        /// The annotation.
        annotation: &'static str,
    },
}

impl OrderError {
    /// Returns the object that the error names.
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::WaveNotNumber { id, .. } | Self::Cycle { id, .. } => id,
        }
    }
}

/// Rank of a kind inside one sync-wave: what others cannot live without comes first, what could
/// refuse others comes last. DESIGN.md, API: "CRDs, namespaces and RBAC first, webhooks last".
fn rank(object: &Object) -> u8 {
    let id = object.id();
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        (
            "",
            "ServiceAccount"
            | "ConfigMap"
            | "Secret"
            | "ResourceQuota"
            | "LimitRange"
            | "PersistentVolume"
            | "PersistentVolumeClaim",
        )
        | (
            "rbac.authorization.k8s.io" | "storage.k8s.io" | "scheduling.k8s.io" | "node.k8s.io",
            _,
        )
        | ("networking.k8s.io", "IngressClass" | "NetworkPolicy") => 1,
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => 3,
        _ => 2,
    }
}

/// Objects that are written at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// The objects, by identity.
    pub objects: Vec<Object>,
    /// Whether what was written before must be healthy first.
    pub waits: bool,
}

/// Returns the objects in waves; inside a wave, by identity.
///
/// The phase of a hook comes first, then `argocd.argoproj.io/sync-wave`, then the rank of the kind, then
/// `config.kubernetes.io/depends-on`, which can only move an object later.
///
/// # Errors
/// A wave is not a number, or objects depend on each other in a circle.
pub fn waves(objects: Vec<Object>) -> Result<Vec<Wave>, OrderError> {
    let mut keys = Vec::with_capacity(objects.len());
    for object in &objects {
        keys.push((phase(object), wave_number(object)?, rank(object)));
    }
    let mut levels = keys.clone();
    levels.sort_unstable();
    levels.dedup();
    let mut level: Vec<usize> = keys
        .iter()
        .map(|key| levels.binary_search(key).unwrap_or(0))
        .collect();
    let dependencies = dependencies(&objects);
    settle(&objects, &dependencies, &mut level)?;
    let depends: BTreeSet<usize> = dependencies.iter().map(|(at, _)| *at).collect();

    let mut waves: BTreeMap<usize, (Wave, (Phase, i64))> = BTreeMap::new();
    for (at, ((object, level), (phase, number, _))) in
        objects.into_iter().zip(level).zip(keys).enumerate()
    {
        let (wave, latest) = waves.entry(level).or_insert_with(|| {
            let wave = Wave {
                objects: Vec::new(),
                waits: false,
            };
            (wave, (phase, number))
        });
        *latest = (*latest).max((phase, number));
        wave.waits |= depends.contains(&at);
        wave.objects.push(object);
    }
    // Kinds only follow each other; what a person ordered waits for what comes before.
    let mut before: Option<(Phase, i64)> = None;
    Ok(waves
        .into_values()
        .map(|(mut wave, latest)| {
            wave.waits |= before.is_some_and(|before| latest > before);
            before = before.max(Some(latest));
            wave.objects.sort_by(|a, b| a.id().cmp(b.id()));
            wave
        })
        .collect())
}

/// Says whether a person ordered `first` before `second`: by the phase of a hook, or by sync-wave.
pub fn is_before(first: &Object, second: &Object) -> bool {
    let key = |object: &Object| Some((phase(object), wave_number(object).ok()?));
    match (key(first), key(second)) {
        (Some(first), Some(second)) => first < second,
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

#[expect(
    clippy::map_err_ignore,
    reason = "the cause says no more than the message"
)]
fn wave_number(object: &Object) -> Result<i64, OrderError> {
    let Some(text) = object.annotation(ANNOTATION_SYNC_WAVE) else {
        return Ok(0);
    };
    text.trim().parse().map_err(|_| OrderError::WaveNotNumber {
        id: Box::new(object.id().clone()),
        annotation: ANNOTATION_SYNC_WAVE,
        text: crate::model::text::cut(text, 64),
    })
}

/// Pairs of indexes: the first waits for the second. Names outside of the set bind nothing.
fn dependencies(objects: &[Object]) -> Vec<(usize, usize)> {
    let index: BTreeMap<&ObjectId, usize> = objects
        .iter()
        .enumerate()
        .map(|(at, object)| (object.id(), at))
        .collect();
    let mut pairs = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let Some(text) = object.annotation(ANNOTATION_DEPENDS_ON) else {
            continue;
        };
        for reference in text.split(',') {
            if let Some(on) =
                parse_reference(reference.trim()).and_then(|id| index.get(&id).copied())
            {
                pairs.push((at, on));
            }
        }
    }
    pairs
}

/// Parses `group/namespaces/<namespace>/Kind/name` and `group/Kind/name`, as cli-utils writes them.
fn parse_reference(text: &str) -> Option<ObjectId> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [group, "namespaces", namespace, kind, name] => {
            Some(ObjectId::new(group, kind, namespace, name))
        }
        [group, kind, name] => Some(ObjectId::new(group, kind, "", name)),
        _ => None,
    }
}

/// Moves every object behind what it depends on; as many rounds as objects are enough without a circle.
fn settle(
    objects: &[Object],
    dependencies: &[(usize, usize)],
    level: &mut [usize],
) -> Result<(), OrderError> {
    for _ in 0..=dependencies.len() {
        let mut moved = None;
        for &(at, on) in dependencies {
            let after = level.get(on).copied().unwrap_or(0) + 1;
            if let Some(own) = level.get_mut(at).filter(|own| **own < after) {
                *own = after;
                moved = Some(at);
            }
        }
        let Some(at) = moved else { return Ok(()) };
        if level.get(at).copied().unwrap_or(0) > objects.len() + 64 * 1024 {
            break;
        }
    }
    let id = dependencies
        .first()
        .and_then(|(at, _)| objects.get(*at))
        .map(|object| Box::new(object.id().clone()));
    id.map_or(Ok(()), |id| {
        Err(OrderError::Cycle {
            id,
            annotation: ANNOTATION_DEPENDS_ON,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a table reads better so")]
    fn object(api_version: &str, kind: &str, name: &str, annotations: serde_json::Value) -> Object {
        Object::new(
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "n", "annotations": annotations}}),
            None,
        )
        .unwrap()
    }

    fn names(waves: &[Wave]) -> Vec<Vec<&str>> {
        waves
            .iter()
            .map(|wave| {
                wave.objects
                    .iter()
                    .map(|object| object.id().name.as_str())
                    .collect()
            })
            .collect()
    }

    #[test]
    fn definitions_come_first_and_webhooks_last() {
        let set = vec![
            object(
                "admissionregistration.k8s.io/v1",
                "ValidatingWebhookConfiguration",
                "hook",
                json!({}),
            ),
            object("apps/v1", "Deployment", "web", json!({})),
            object("example.org/v1", "Thing", "thing", json!({})),
            object("v1", "ConfigMap", "config", json!({})),
            object(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "things",
                json!({}),
            ),
            object("v1", "Namespace", "shop", json!({})),
        ];
        let mut reversed = set.clone();
        reversed.reverse();
        let ordered = waves(set).unwrap();
        assert_eq!(
            names(&ordered),
            [
                vec!["shop", "things"],
                vec!["config"],
                vec!["web", "thing"],
                vec!["hook"]
            ]
        );
        assert_eq!(names(&waves(reversed).unwrap()), names(&ordered));
        assert!(ordered.iter().all(|wave| !wave.waits), "kinds only follow");
    }

    #[test]
    fn hooks_come_before_and_after_the_whole_set() {
        let hook = |phase: &str| json!({"argocd.argoproj.io/hook": phase});
        let ordered = waves(vec![
            object("batch/v1", "Job", "tell", hook("PostSync")),
            object(
                "apps/v1",
                "Deployment",
                "web",
                json!({"argocd.argoproj.io/sync-wave": "5"}),
            ),
            object("v1", "ConfigMap", "config", json!({})),
            object("batch/v1", "Job", "migrate", hook("PreSync")),
        ])
        .unwrap();
        assert_eq!(
            names(&ordered),
            [vec!["migrate"], vec!["config"], vec!["web"], vec!["tell"]]
        );
        let waits: Vec<bool> = ordered.iter().map(|wave| wave.waits).collect();
        assert_eq!(waits, [false, true, true, true]);
    }

    #[test]
    fn sync_waves_come_before_kinds() {
        let ordered = waves(vec![
            object(
                "apps/v1",
                "Deployment",
                "first",
                json!({"argocd.argoproj.io/sync-wave": "-1"}),
            ),
            object("v1", "Namespace", "second", json!({})),
        ])
        .unwrap();
        assert_eq!(names(&ordered), [vec!["first"], vec!["second"]]);
        assert_eq!((ordered[0].waits, ordered[1].waits), (false, true));
        let error = waves(vec![object(
            "v1",
            "ConfigMap",
            "a",
            json!({"argocd.argoproj.io/sync-wave": "one"}),
        )])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "read argocd.argoproj.io/sync-wave of ConfigMap/n/a: \"one\" is not a whole number"
        );
    }

    #[test]
    fn a_dependency_moves_an_object_later_and_a_circle_is_refused() {
        let on = |kind: &str, name: &str| json!({"config.kubernetes.io/depends-on": format!("apps/namespaces/n/{kind}/{name}")});
        let ordered = waves(vec![
            object("apps/v1", "Deployment", "a", on("Deployment", "b")),
            object("apps/v1", "Deployment", "b", json!({})),
        ])
        .unwrap();
        assert_eq!(names(&ordered), [vec!["b"], vec!["a"]]);
        let circle = waves(vec![
            object("apps/v1", "Deployment", "a", on("Deployment", "b")),
            object("apps/v1", "Deployment", "b", on("Deployment", "a")),
        ]);
        assert!(matches!(circle, Err(OrderError::Cycle { .. })));
    }
}
