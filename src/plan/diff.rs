//! The difference between two forms of an object, for people and for records.
//!
//! Enters: the live object and the object as it would be.
//! Leaves: changed fields; values of a Secret appear as their size only.
//! Never: what the server keeps for itself (`managedFields`, `resourceVersion`, `status`).

use serde_json::Value;

use crate::model::{GroupKind, sha256_hex};

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Path, for example `.spec.replicas` or `.spec.containers[web].image`.
    pub path: String,
    /// Value before as compact JSON; None where the field is new.
    pub from: Option<String>,
    /// Value after as compact JSON; None where the field goes.
    pub to: Option<String>,
}

/// Returns the fields that differ, in the order of paths.
pub fn field_changes(kind: &GroupKind, before: Option<&Value>, after: &Value) -> Vec<FieldChange> {
    let after = redacted(kind, after);
    let Some(before) = before.map(|before| redacted(kind, before)) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    compare(
        &mut changes,
        &mut String::new(),
        Some(&before),
        Some(&after),
    );
    changes
}

/// Returns the object without what the server keeps for itself, and with a Secret's values replaced
/// by their length and a short keyed mark that tells equal from changed within one process only.
pub fn redacted(kind: &GroupKind, value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(root) = value.as_object_mut() {
        root.remove("status");
        if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in [
                "managedFields",
                "resourceVersion",
                "generation",
                "uid",
                "creationTimestamp",
                "selfLink",
            ] {
                metadata.remove(key);
            }
            if let Some(annotations) = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut)
            {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                annotations.remove("deployment.kubernetes.io/revision");
            }
        }
        if kind.is("", "Secret") {
            for field in ["data", "stringData"] {
                if let Some(values) = root.get_mut(field) {
                    hide(values);
                }
            }
        }
    }
    value
}

/// Hides every value, whatever its type: an invalid Secret must not show what it holds either.
fn hide(values: &mut Value) {
    match values {
        Value::Object(map) => map.values_mut().for_each(|value| *value = hidden(value)),
        other => *other = hidden(other),
    }
}

fn hidden(value: &Value) -> Value {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    Value::from(format!("*** ({} bytes, {})", text.len(), mark(&text)))
}

/// Equal texts have equal marks within one process; the key never leaves it, so a mark cannot be guessed back.
fn mark(text: &str) -> String {
    static KEY: std::sync::LazyLock<[u8; 32]> = std::sync::LazyLock::new(|| {
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            // Without randomness equal and changed cannot be told apart safely: every mark is the same.
            key = [0; 32];
        }
        key
    });
    if *KEY == [0; 32] {
        return "changed or not: unknown".to_owned();
    }
    let mut bytes = KEY.to_vec();
    bytes.extend_from_slice(text.as_bytes());
    sha256_hex(&bytes).chars().take(6).collect()
}

fn compare(
    changes: &mut Vec<FieldChange>,
    path: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let length = path.len();
                path.push('.');
                path.push_str(key);
                compare(changes, path, old.get(key), new.get(key));
                path.truncate(length);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            compare_lists(changes, path, old, new);
        }
        (before, after) if before == after => {}
        (before, after) => changes.push(FieldChange {
            path: path.clone(),
            from: before.map(Value::to_string),
            to: after.map(Value::to_string),
        }),
    }
}

fn compare_lists(changes: &mut Vec<FieldChange>, path: &mut String, old: &[Value], new: &[Value]) {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let named = |list: &[Value]| !list.is_empty() && list.iter().all(|item| name(item).is_some());
    let length = path.len();
    if named(old) && named(new) {
        let mut names: Vec<String> = old.iter().chain(new).filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        for key in names {
            let find = |list: &'_ [Value]| {
                list.iter()
                    .position(|item| name(item).as_deref() == Some(key.as_str()))
            };
            path.push_str(&format!("[{key}]"));
            compare(
                changes,
                path,
                find(old).and_then(|index| old.get(index)),
                find(new).and_then(|index| new.get(index)),
            );
            path.truncate(length);
        }
        return;
    }
    for index in 0..old.len().max(new.len()) {
        path.push_str(&format!("[{index}]"));
        compare(changes, path, old.get(index), new.get(index));
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changed_fields_are_named_with_both_values() {
        let before = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1, "containers": [{"name": "web", "image": "a"}]}});
        let after = json!({"metadata": {"resourceVersion": "2"}, "spec": {"containers": [{"name": "web", "image": "b"}], "x": true}});
        let changes = field_changes(&GroupKind::new("apps", "Deployment"), Some(&before), &after);
        let lines: Vec<String> = changes
            .iter()
            .map(|change| {
                format!(
                    "{} {:?} {:?}",
                    change.path,
                    change.from.as_deref(),
                    change.to.as_deref()
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                ".spec.containers[web].image Some(\"\\\"a\\\"\") Some(\"\\\"b\\\"\")",
                ".spec.replicas Some(\"1\") None",
                ".spec.x None Some(\"true\")",
            ]
        );
    }

    #[test]
    fn a_secret_shows_that_a_value_changed_and_never_the_value() {
        let kind = GroupKind::new("", "Secret");
        let before =
            json!({"data": {"a": "canary-one", "b": "same"}, "stringData": ["canary-list"]});
        let after = json!({"data": {"a": "canary-two", "b": "same"}, "stringData": 7});
        let changes = field_changes(&kind, Some(&before), &after);
        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, [".data.a", ".stringData"]);
        assert!(!format!("{changes:?}").contains("canary"));
    }
}
