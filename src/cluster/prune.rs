//! What a watch keeps of an object: what the set and health need.
//!
//! Enters: an object as a watch sees it.
//! Leaves: the same, without what nobody reads.
//! Never: a changed value.

use serde_json::{Map, Value};

/// What of a Pod is kept. Its status decides a rollout; the rest names it and says where it runs.
const POD: &Keep = &Keep::Fields(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    ("metadata", METADATA),
    (
        "spec",
        Keep::Fields(&[
            ("nodeName", Keep::All),
            ("containers", CONTAINER),
            ("initContainers", CONTAINER),
            ("restartPolicy", Keep::All),
        ]),
    ),
    ("status", Keep::All),
]);

/// What of a ReplicaSet is kept: whose it is, how many pods it wants and has.
const REPLICA_SET: &Keep = &Keep::Fields(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    ("metadata", METADATA),
    ("spec", Keep::Fields(&[("replicas", Keep::All)])),
    ("status", Keep::All),
]);

const METADATA: Keep = Keep::Fields(&[
    ("name", Keep::All),
    ("namespace", Keep::All),
    ("uid", Keep::All),
    ("generation", Keep::All),
    ("resourceVersion", Keep::All),
    ("creationTimestamp", Keep::All),
    ("deletionTimestamp", Keep::All),
    ("labels", Keep::All),
    ("ownerReferences", Keep::All),
    (
        "annotations",
        Keep::Fields(&[("deployment.kubernetes.io/revision", Keep::All)]),
    ),
]);

const CONTAINER: Keep = Keep::Fields(&[
    ("name", Keep::All),
    ("image", Keep::All),
    // Says that an init container is a sidecar, which runs on.
    ("restartPolicy", Keep::All),
]);

/// What of a value is kept; of a list, what of each of its items.
enum Keep {
    All,
    Fields(&'static [(&'static str, Self)]),
}

/// Returns what is kept of an object that was found by our marks.
pub(super) fn of_marked(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Returns what is kept of an object that was found without them: Pods and ReplicaSets of a namespace.
pub(super) fn of_unmarked(group: &str, kind: &str, object: Value) -> Value {
    match (group, kind) {
        ("", "Pod") => cut(object, POD),
        ("apps", "ReplicaSet") => cut(object, REPLICA_SET),
        (_, _) => of_marked(object),
    }
}

fn cut(value: Value, keep: &Keep) -> Value {
    let Keep::Fields(fields) = keep else {
        return value;
    };
    match value {
        Value::Object(mut map) => {
            let kept: Map<String, Value> = fields
                .iter()
                .filter_map(|(name, keep)| {
                    let value = map.remove(*name)?;
                    Some(((*name).to_owned(), cut(value, keep)))
                })
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| cut(item, keep)).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_keeps_what_decides_a_rollout() {
        let pod = json!({
            "kind": "Pod",
            "metadata": {"name": "a", "uid": "u", "managedFields": [{}], "annotations": {"big": "x"}, "labels": {"a": "b"}},
            "spec": {
                "nodeName": "n",
                "volumes": [{}],
                "containers": [{"name": "c", "image": "i", "env": [{"name": "PASSWORD", "value": "canary"}]}],
            },
            "status": {"phase": "Running"},
        });
        assert_eq!(
            of_unmarked("", "Pod", pod),
            json!({
                "kind": "Pod",
                "metadata": {"name": "a", "uid": "u", "annotations": {}, "labels": {"a": "b"}},
                "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
                "status": {"phase": "Running"},
            })
        );
    }

    #[test]
    fn a_marked_object_keeps_all_but_who_wrote_what() {
        let object = json!({"metadata": {"name": "a", "managedFields": [{}], "generation": 3}, "data": {"a": "b"}});
        assert_eq!(
            of_marked(object),
            json!({"metadata": {"name": "a", "generation": 3}, "data": {"a": "b"}})
        );
        assert_eq!(of_unmarked("", "ConfigMap", json!(3)), json!(3));
    }
}
