//! Workloads: what of a set makes pods, and how the pods look.
//!
//! Enters: objects of a set.
//! Leaves: their pod templates, replicas, containers, and who selects whom.
//! Never: a kind that is not built in: its pods are its controller's.

use serde_json::Value;

use crate::model::Object;

/// Where the template of a kind is; empty for a Pod, which is its own.
const TEMPLATES: [(&str, &str, &str); 8] = [
    ("", "Pod", ""),
    ("", "ReplicationController", "/spec/template"),
    ("apps", "Deployment", "/spec/template"),
    ("apps", "ReplicaSet", "/spec/template"),
    ("apps", "StatefulSet", "/spec/template"),
    ("apps", "DaemonSet", "/spec/template"),
    ("batch", "Job", "/spec/template"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template"),
];

/// Something that makes pods.
#[derive(Clone, Copy)]
pub(super) struct Workload<'a> {
    pub(super) object: &'a Object,
    template: &'a Value,
}

/// Returns what makes pods among these.
pub(super) fn workloads(objects: &[Object]) -> impl Iterator<Item = Workload<'_>> {
    objects.iter().filter_map(|object| {
        let (_, _, pointer) = TEMPLATES
            .iter()
            .find(|(group, kind, _)| object.id().is(group, kind))?;
        let template = object.value().pointer(pointer)?;
        Some(Workload { object, template })
    })
}

impl<'a> Workload<'a> {
    /// Returns the spec of its pods.
    pub(super) fn pod(&self) -> &'a Value {
        self.template.get("spec").unwrap_or(&Value::Null)
    }

    /// Returns the containers of its pods, with those that start before them.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> {
        self.init_containers().chain(self.main_containers())
    }

    /// Returns the containers that start before the main ones.
    pub(super) fn init_containers(&self) -> impl Iterator<Item = &'a Value> {
        array(self.pod(), "initContainers")
    }

    /// Returns the main containers.
    pub(super) fn main_containers(&self) -> impl Iterator<Item = &'a Value> {
        array(self.pod(), "containers")
    }

    /// Says whether it is of this kind.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.object.id().is(group, kind)
    }

    pub(super) fn namespace(&self) -> &'a str {
        &self.object.id().namespace
    }

    /// Says whether it has a number of replicas.
    pub(super) fn has_replicas(&self) -> bool {
        self.is("apps", "Deployment")
            || self.is("apps", "StatefulSet")
            || self.is("apps", "ReplicaSet")
            || self.is("", "ReplicationController")
    }

    /// Returns the replicas that git states.
    pub(super) fn stated_replicas(&self) -> Option<u64> {
        self.has_replicas()
            .then(|| self.object.value().pointer("/spec/replicas"))
            .flatten()
            .and_then(Value::as_u64)
    }

    /// Says whether its pods run to an end.
    pub(super) fn ends(&self) -> bool {
        self.object.id().group == "batch"
    }

    /// Says whether a map of labels selects its pods: every label must agree, and there is one.
    pub(super) fn has_labels(&self, wanted: &Value) -> bool {
        let Some(wanted) = wanted.as_object() else {
            return false;
        };
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| self.label(key) == value.as_str())
    }

    /// Says whether a label selector selects its pods; None where it is nothing that we know how to read.
    pub(super) fn is_selected(&self, selector: &Value) -> Option<bool> {
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        let equal = labels
            .into_iter()
            .flatten()
            .all(|(key, value)| self.label(key) == value.as_str());
        let mut all = equal;
        for expression in array(selector, "matchExpressions") {
            let label = self.label(expression.get("key")?.as_str()?);
            let within = || array(expression, "values").any(|value| value.as_str() == label);
            all &= match expression.get("operator")?.as_str()? {
                "In" => label.is_some() && within(),
                "NotIn" => label.is_none() || !within(),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => return None,
            };
        }
        Some(all)
    }

    /// Returns the labels of its pods.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.template
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    fn label(&self, key: &str) -> Option<&'a str> {
        self.template
            .get("metadata")?
            .get("labels")?
            .get(key)?
            .as_str()
    }
}

/// Returns the items of a list; none where there is no list.
pub(super) fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

/// Returns a text of an object.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Returns a number of an object, or what Kubernetes takes where none is given.
pub(super) fn number(value: &Value, pointer: &str, default: u64) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or(default)
}

/// Reads a count that is a number or a percentage of `whole`; a percentage is rounded up or down.
pub(super) fn share(value: &Value, whole: u64, up: bool) -> Option<u64> {
    if let Some(count) = value.as_u64() {
        return Some(count);
    }
    let percent: u64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let parts = percent.checked_mul(whole)?;
    Some(if up { parts.div_ceil(100) } else { parts / 100 })
}
