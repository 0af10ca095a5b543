//! Drift and conflict, told apart.
//!
//! Enters: conflicts that the API server named; the sets that we wrote; live objects.
//! Leaves: which conflicts are drift, and whether a live object still has what we gave it.
//! Never: a field taken from its owner; that is policy's, in the plan.

use serde_json::Value;

use super::field_path;
use crate::{
    api::{ConflictPolicy, ConflictRule, IgnoreRule, RuleTarget},
    model::{Conflict, Object},
};

/// What the conflicts of one object are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Fields that a written set of ours had: somebody changed them.
    pub drift: Vec<Conflict>,
    /// Fields that another manager had before we first declared them.
    pub foreign: Vec<Conflict>,
}

/// Judges conflicts by the forms of the object that our written sets hold.
///
/// Where none can be read, every conflict counts as foreign (law 6).
pub fn judge(conflicts: &[Conflict], written: &[&Value]) -> Judgement {
    let (drift, foreign) = conflicts.iter().cloned().partition(|conflict| {
        written
            .iter()
            .any(|value| field_path::has(value, &conflict.path))
    });
    Judgement { drift, foreign }
}

/// Says whether git gave a drifted field another value than any set that was written: then it is no drift to leave.
pub fn git_changed(object: &Object, conflict: &Conflict, written: &[&Value]) -> bool {
    let wanted = field_path::get(object.value(), &conflict.path);
    !written
        .iter()
        .any(|value| field_path::get(value, &conflict.path) == wanted)
}

/// Returns a form without the fields at these paths.
pub fn without_paths(value: &Value, paths: &[String]) -> Value {
    let mut value = value.clone();
    for path in paths {
        field_path::remove(&mut value, path);
    }
    value
}

/// Returns the object without the conflicting fields: what `yield` sends.
pub fn without_conflicts(object: &Object, conflicts: &[Conflict]) -> Object {
    let mut object = object.clone();
    object.edit(|value| {
        for conflict in conflicts {
            field_path::remove(value, &conflict.path);
        }
    });
    object
}

/// Returns what happens with a conflict: what the first rule says that names its field, else `otherwise`.
pub fn conflict_policy(
    object: &Object,
    conflict: &Conflict,
    rules: &[ConflictRule],
    otherwise: ConflictPolicy,
) -> ConflictPolicy {
    let Some(field) = field_path::pointer(object.value(), &conflict.path) else {
        return otherwise;
    };
    let names = |pointer: &String| {
        let rest = field.strip_prefix(pointer.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    rules
        .iter()
        .find(|rule| is_meant(&rule.target, object) && rule.fields.iter().any(names))
        .map_or(otherwise, |rule| rule.conflicts)
}

/// Says whether a rule is about this object.
fn is_meant(target: &RuleTarget, object: &Object) -> bool {
    let id = object.id();
    let fits =
        |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|text| text == found);
    let labels = target.match_labels.iter();
    fits(&target.group, &id.group)
        && fits(&target.kind, &id.kind)
        && fits(&target.name, &id.name)
        && labels.fold(true, |all, (key, value)| {
            all && object.label(key) == Some(value.as_str())
        })
}

/// Returns the object without the fields that ignore rules name.
pub fn without_ignored(object: &Object, rules: &[IgnoreRule]) -> Object {
    let pointers: Vec<&String> = rules
        .iter()
        .filter(|rule| is_meant(&rule.target, object))
        .flat_map(|rule| &rule.fields)
        .collect();
    if pointers.is_empty() {
        return object.clone();
    }
    let mut object = object.clone();
    object.edit(|value| {
        for pointer in pointers {
            remove_pointer(value, pointer);
        }
    });
    object
}

fn remove_pointer(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    if parent.is_empty() && matches!(last, "apiVersion" | "kind" | "metadata") {
        return;
    }
    if parent == "/metadata" && matches!(last, "name" | "namespace") {
        return;
    }
    let key = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&key);
        }
        Some(Value::Array(list)) => {
            if let Ok(index) = key.parse::<usize>()
                && index < list.len()
            {
                list.remove(index);
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}

/// Says whether a live object no longer has a value that we gave it: the first field that differs.
///
/// This is a cheap look before any request. It can say "differs" for a value that the API server
/// writes in its own way (`1000m` as `1`); `expected` should therefore be the server's own answer to our
/// apply where it is known. A dry-run decides.
pub fn live_differs(expected: &Value, live: &Value) -> Option<String> {
    let mut path = String::new();
    differs(expected, live, &mut path, 0).then_some(path)
}

fn differs(expected: &Value, live: &Value, path: &mut String, depth: usize) -> bool {
    match (expected, live) {
        (Value::Object(expected), Value::Object(live)) => expected.iter().any(|(key, wanted)| {
            // What the server fills in by itself is never ours to compare.
            if depth == 0 && key == "status" {
                return false;
            }
            let length = path.len();
            path.push('.');
            path.push_str(key);
            let found = match live.get(key) {
                Some(found) => differs(wanted, found, path, depth + 1),
                None => !is_empty(wanted),
            };
            if !found {
                path.truncate(length);
            }
            found
        }),
        (Value::Array(expected), Value::Array(live)) => lists_differ(expected, live, path, depth),
        (Value::Number(expected), Value::Number(live)) => expected.as_f64() != live.as_f64(),
        (expected, live) => expected != live,
    }
}

/// Lists of named elements are compared by name, for others may add elements; all else in order.
fn lists_differ(expected: &[Value], live: &[Value], path: &mut String, depth: usize) -> bool {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let named = !expected.is_empty() && expected.iter().all(|item| name(item).is_some());
    if !named && expected.len() != live.len() {
        return true;
    }
    expected.iter().enumerate().any(|(index, wanted)| {
        let found = if named {
            live.iter().find(|item| name(item) == name(wanted))
        } else {
            live.get(index)
        };
        let length = path.len();
        path.push_str(&format!(
            "[{}]",
            name(wanted).unwrap_or_else(|| index.to_string())
        ));
        let different = found.is_none_or(|found| differs(wanted, found, path, depth + 1));
        if !different {
            path.truncate(length);
        }
        different
    })
}

/// Says whether the API server drops the value: null, or nothing but empty maps.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conflict(path: &str) -> Conflict {
        Conflict {
            manager: "kubectl-edit".into(),
            path: path.into(),
        }
    }

    #[test]
    fn a_field_that_we_wrote_is_drift_and_another_is_a_conflict() {
        let written = json!({"spec": {"replicas": 2}});
        let judgement = judge(
            &[conflict(".spec.replicas"), conflict(".spec.paused")],
            &[&written],
        );
        assert_eq!(judgement.drift, [conflict(".spec.replicas")]);
        assert_eq!(judgement.foreign, [conflict(".spec.paused")]);
        assert_eq!(judge(&[conflict(".spec.replicas")], &[]).foreign.len(), 1);
    }

    #[test]
    fn a_drifted_field_is_left_until_git_changes_its_value() {
        let object = Object::new(
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"a": 2, "b": [{"name": "n", "v": 1}]}}),
            None,
        )
        .unwrap();
        let written = json!({"spec": {"a": 1, "b": [{"name": "n", "v": 1}]}});
        assert!(git_changed(&object, &conflict(".spec.a"), &[&written]));
        assert!(!git_changed(
            &object,
            &conflict(".spec.b[name=\"n\"].v"),
            &[&written]
        ));
        assert_eq!(
            without_paths(&written, &[".spec.a".to_owned(), ".spec.none".to_owned()]),
            json!({"spec": {"b": [{"name": "n", "v": 1}]}})
        );
    }

    #[test]
    fn what_others_add_is_not_drift() {
        let expected = json!({"spec": {"replicas": 2, "containers": [{"name": "web", "image": "web:1"}], "empty": {}}});
        let live = json!({
            "spec": {"replicas": 2.0, "containers": [{"name": "injected"}, {"name": "web", "image": "web:1", "more": 1}]},
            "status": {"x": 1}
        });
        assert_eq!(live_differs(&expected, &live), None);
    }

    #[test]
    fn what_was_changed_or_taken_is() {
        let expected =
            json!({"spec": {"replicas": 2, "containers": [{"name": "web", "image": "web:1"}]}});
        let changed =
            json!({"spec": {"replicas": 2, "containers": [{"name": "web", "image": "web:2"}]}});
        assert_eq!(
            live_differs(&expected, &changed).unwrap(),
            ".spec.containers[web].image"
        );
        let taken = json!({"spec": {"containers": [{"name": "web", "image": "web:1"}]}});
        assert_eq!(live_differs(&expected, &taken).unwrap(), ".spec.replicas");
    }

    #[test]
    fn a_rule_is_about_kind_name_labels_and_what_lies_below_its_fields() {
        let rules: Vec<ConflictRule> = serde_json::from_value(json!([
            {"target": {"kind": "Deployment", "matchLabels": {"tier": "web"}}, "fields": ["/spec/replicas"], "conflicts": "yield"},
            {"target": {"group": "apps"}, "fields": ["/spec/containers/0", "/metadata/annotations/a.b~1c"], "conflicts": "force"}
        ]))
        .unwrap();
        let object = |tier: &str| {
            Object::new(
                json!({
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "metadata": {"name": "web", "labels": {"tier": tier}, "annotations": {"a.b/c": "1"}},
                    "spec": {"replicas": 2, "containers": [{"name": "web", "image": "a"}, {"name": "more", "image": "b"}]}
                }),
                None,
            )
            .unwrap()
        };
        let policy = |tier: &str, path: &str| {
            conflict_policy(&object(tier), &conflict(path), &rules, ConflictPolicy::Fail)
        };
        for (tier, path, expected) in [
            ("web", ".spec.replicas", ConflictPolicy::Yield),
            ("data", ".spec.replicas", ConflictPolicy::Fail),
            (
                "data",
                ".spec.containers[name=\"web\"].image",
                ConflictPolicy::Force,
            ),
            (
                "data",
                ".spec.containers[name=\"more\"].image",
                ConflictPolicy::Fail,
            ),
            ("data", ".metadata.annotations.a.b/c", ConflictPolicy::Force),
            ("web", ".spec.none", ConflictPolicy::Fail),
        ] {
            assert_eq!(policy(tier, path), expected, "{tier} {path}");
        }
        let ignore: Vec<IgnoreRule> = serde_json::from_value(json!([
            {"target": {"matchLabels": {"tier": "web"}}, "fields": ["/spec/replicas"]}
        ]))
        .unwrap();
        let replicas = |tier: &str| {
            let object = without_ignored(&object(tier), &ignore);
            object.value().pointer("/spec/replicas").is_some()
        };
        assert!(!replicas("web") && replicas("data"));
    }

    #[test]
    fn ignored_fields_are_neither_sent_nor_compared() {
        let rules: Vec<IgnoreRule> = serde_json::from_value(json!([
            {"target": {"kind": "Deployment", "name": "web"}, "fields": ["/spec/replicas", "/metadata/annotations/a~1b", "/metadata/name"]}
        ]))
        .unwrap();
        let object = Object::new(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"a/b": "1"}}, "spec": {"replicas": 2}}),
            None,
        )
        .unwrap();
        assert_eq!(
            without_ignored(&object, &rules).into_value(),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {}}, "spec": {}})
        );
    }
}
