//! Names that pods hold of other objects.
//!
//! Enters: pod templates, and of which names the API server said that nothing has them.
//! Leaves: findings of `missingReference`.
//! Never: a name that is `optional`, that something of the set brings, or that could not be read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    check::Case,
    facts::touched_workloads,
    finding::Finding,
    workload::{Workload, array, text},
};
use crate::{
    api::PreflightRule,
    model::{Object, ObjectId},
};

/// A name that a pod holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) id: ObjectId,
    /// What holds it, for people.
    pub(super) by: String,
}

/// What every namespace has by itself.
fn is_given(id: &ObjectId) -> bool {
    (id.kind == "ServiceAccount" && id.name == "default")
        || (id.kind == "ConfigMap" && id.name == "kube-root-ca.crt")
}

/// Returns the names without which a pod does not start.
pub(super) fn references(workload: &Workload<'_>) -> BTreeSet<Reference> {
    let namespace = workload.namespace();
    let mut all = BTreeSet::new();
    let mut add = |kind: &str, name: Option<&Value>, by: String| {
        if let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) {
            let id = ObjectId::new("", kind, namespace, name);
            if !is_given(&id) {
                all.insert(Reference { id, by });
            }
        }
    };
    // Those with a name of their own key, and `optional` beside it.
    let required = |value: Option<&Value>, key: &str| {
        let value = value?;
        let optional = value.get("optional").and_then(Value::as_bool) == Some(true);
        value.get(key).filter(|_| !optional).cloned()
    };
    let pod = workload.pod();
    add(
        "ServiceAccount",
        pod.get("serviceAccountName"),
        "serviceAccountName".to_owned(),
    );
    for volume in array(pod, "volumes") {
        let by = format!("volume {}", text(volume, "/name").unwrap_or_default());
        let config = required(volume.get("configMap"), "name");
        let secret = required(volume.get("secret"), "secretName");
        add("ConfigMap", config.as_ref(), by.clone());
        add("Secret", secret.as_ref(), by.clone());
        let claim = volume.pointer("/persistentVolumeClaim/claimName");
        add("PersistentVolumeClaim", claim, by.clone());
        let projected = volume.get("projected").unwrap_or(&Value::Null);
        for source in array(projected, "sources") {
            let config = required(source.get("configMap"), "name");
            let secret = required(source.get("secret"), "name");
            add("ConfigMap", config.as_ref(), by.clone());
            add("Secret", secret.as_ref(), by.clone());
        }
    }
    for container in workload.containers() {
        let by = format!("container {}", text(container, "/name").unwrap_or_default());
        for from in array(container, "envFrom") {
            let config = required(from.get("configMapRef"), "name");
            let secret = required(from.get("secretRef"), "name");
            add("ConfigMap", config.as_ref(), by.clone());
            add("Secret", secret.as_ref(), by.clone());
        }
        for variable in array(container, "env") {
            let config = required(variable.pointer("/valueFrom/configMapKeyRef"), "name");
            let secret = required(variable.pointer("/valueFrom/secretKeyRef"), "name");
            add("ConfigMap", config.as_ref(), by.clone());
            add("Secret", secret.as_ref(), by.clone());
        }
    }
    all
}

/// Finds names that nothing has.
pub(super) fn missing(case: Case<'_>) -> Vec<Finding> {
    let held: BTreeSet<&ObjectId> = case.objects.iter().map(Object::id).collect();
    let mut found = Vec::new();
    for (workload, _) in touched_workloads(case.objects, case.touched) {
        let mut told: BTreeSet<ObjectId> = BTreeSet::new();
        for Reference { id, by } in references(&workload) {
            let gone = case.facts.absent.contains(&id) && !held.contains(&id);
            if !gone || is_brought(case.objects, &id) || !told.insert(id.clone()) {
                continue;
            }
            found.push(Finding::of(
                PreflightRule::MissingReference,
                workload.object,
                format!("{by} names {id}, which is neither in the set nor in the cluster"),
                "add it, correct the name, or mark it optional",
            ));
        }
    }
    found
}

/// Says whether an object of the set makes its controller write this one: a sealed or external Secret, a certificate.
fn is_brought(objects: &[Object], id: &ObjectId) -> bool {
    objects
        .iter()
        .filter(|object| {
            let group = &object.id().group;
            group.contains('.') && !group.ends_with(".k8s.io")
        })
        .filter(|object| object.id().namespace == id.namespace)
        .any(|object| {
            let value = object.value();
            let names = [
                "/metadata/name",
                "/spec/secretName",
                "/spec/target/name",
                "/spec/template/metadata/name",
                "/spec/secretTemplate/name",
            ];
            names
                .iter()
                .any(|pointer| text(value, pointer) == Some(id.name.as_str()))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::{
        check::tests::{case, facts, object, touched},
        workload::workloads,
    };

    fn web(pod: &Value) -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": pod}},
        }))
    }

    fn everything() -> Object {
        web(&json!({
            "serviceAccountName": "robot",
            "volumes": [
                {"name": "a", "configMap": {"name": "one"}},
                {"name": "b", "secret": {"secretName": "two"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "three"}},
                {"name": "d", "projected": {"sources": [{"secret": {"name": "four"}}, {"configMap": {"name": "no", "optional": true}}]}},
                {"name": "e", "secret": {"secretName": "no", "optional": true}},
                {"name": "f", "configMap": {"name": "kube-root-ca.crt"}},
            ],
            "initContainers": [{"name": "init", "envFrom": [{"configMapRef": {"name": "five"}}, {"secretRef": {"name": "no", "optional": true}}]}],
            "containers": [{"name": "web", "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "six", "key": "a"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "a", "optional": true}}},
                {"name": "C", "value": "c"},
            ]}],
        }))
    }

    #[test]
    fn every_name_without_which_a_pod_does_not_start_is_found() {
        let objects = [everything()];
        let all: Vec<String> = references(&workloads(&objects).next().unwrap())
            .into_iter()
            .map(|reference| format!("{} by {}", reference.id, reference.by))
            .collect();
        assert_eq!(
            all,
            [
                "ConfigMap/shop/five by container init",
                "ConfigMap/shop/one by volume a",
                "PersistentVolumeClaim/shop/three by volume c",
                "Secret/shop/four by volume d",
                "Secret/shop/six by container web",
                "Secret/shop/two by volume b",
                "ServiceAccount/shop/robot by serviceAccountName",
            ]
        );
        let plain = [web(
            &json!({"serviceAccountName": "default", "containers": [{"name": "web"}]}),
        )];
        assert!(references(&workloads(&plain).next().unwrap()).is_empty());
    }

    #[test]
    fn what_is_absent_is_a_finding_unless_the_set_brings_it() {
        let mut facts = facts();
        let absent = |name: &str| ObjectId::new("", "Secret", "shop", name);
        facts.absent.insert(absent("six"));
        let mut objects = vec![everything()];
        let changed = [touched(&objects[0], true)];
        let found = missing(case(&objects, &changed, &facts));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "container web names Secret/shop/six, which is neither in the set nor in the cluster"
        );
        assert_eq!(
            missing(case(&objects, &[], &facts)),
            [],
            "it stays as it is"
        );
        objects.push(object(json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "tls", "namespace": "shop"},
            "spec": {"secretName": "six"},
        })));
        assert_eq!(missing(case(&objects, &changed, &facts)), []);
        objects.pop();
        objects.push(object(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "six", "namespace": "shop"},
        })));
        assert_eq!(missing(case(&objects, &changed, &facts)), []);
    }
}
