//! Field paths as server-side apply writes them: `.spec.containers[name="web"].image`.
//!
//! Enters: a path from a conflict, and a value.
//! Leaves: whether the value has the field, or the value without it.
//! Never: a guess at a path that cannot be read; it counts as absent.

use serde_json::Value;

/// One way into an object or a list.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Says whether `value` has the field at `path`.
pub(super) fn has(value: &Value, path: &str) -> bool {
    find(value, path).is_some()
}

/// Returns the field at `path`.
pub(super) fn get<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    find(value, path)?
        .into_iter()
        .try_fold(value, |at, step| match step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => at.get(index),
        })
}

/// Returns the JSON pointer to the field at `path`; None where `value` does not have it.
pub(super) fn pointer(value: &Value, path: &str) -> Option<String> {
    let mut pointer = String::new();
    for step in find(value, path)? {
        pointer.push('/');
        match step {
            Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    Some(pointer)
}

/// Removes the field at `path`; says whether it was there.
pub(super) fn remove(value: &mut Value, path: &str) -> bool {
    let Some(steps) = find(value, path) else {
        return false;
    };
    let steps: Vec<Owned> = steps
        .into_iter()
        .map(|step| match step {
            Step::Key(key) => Owned::Key(key.to_owned()),
            Step::Index(index) => Owned::Index(index),
        })
        .collect();
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    let mut at = value;
    for step in parents {
        let next = match step {
            Owned::Key(key) => at.get_mut(key),
            Owned::Index(index) => at.get_mut(index),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match last {
        Owned::Key(key) => at
            .as_object_mut()
            .is_some_and(|map| map.remove(key).is_some()),
        Owned::Index(index) => at.as_array_mut().is_some_and(|list| {
            let there = *index < list.len();
            if there {
                list.remove(*index);
            }
            there
        }),
    }
}

enum Owned {
    Key(String),
    Index(usize),
}

/// Walks the path. Keys may hold dots, so at each map every key that fits is tried.
fn find<'a>(value: &'a Value, path: &str) -> Option<Vec<Step<'a>>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    if let Some(rest) = path.strip_prefix('.') {
        let map = value.as_object()?;
        return map
            .iter()
            .filter_map(|(key, inner)| {
                let rest = rest.strip_prefix(key.as_str())?;
                let ends = rest.is_empty() || rest.starts_with('.') || rest.starts_with('[');
                ends.then_some((key, inner, rest))
            })
            .find_map(|(key, inner, rest)| {
                let mut steps = find(inner, rest)?;
                steps.insert(0, Step::Key(key));
                Some(steps)
            });
    }
    let selector = path.strip_prefix('[')?;
    let end = closing_bracket(selector)?;
    let (selector, rest) = (selector.get(..end)?, selector.get(end + 1..)?);
    let list = value.as_array()?;
    let index = if let Ok(index) = selector.parse::<usize>() {
        index
    } else if let Some(text) = selector.strip_prefix('=') {
        let wanted: Value = serde_json::from_str(text).ok()?;
        list.iter().position(|item| *item == wanted)?
    } else {
        let keys = associative_keys(selector)?;
        list.iter().position(|item| {
            keys.iter()
                .all(|(key, wanted)| item.get(key).unwrap_or(&Value::Null) == wanted)
        })?
    };
    let mut steps = find(list.get(index)?, rest)?;
    steps.insert(0, Step::Index(index));
    Some(steps)
}

/// Returns the place of the bracket that closes the selector, outside of quoted text.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(place),
            _ => {}
        }
    }
    None
}

/// Parses `name="web",protocol="TCP"`.
fn associative_keys(selector: &str) -> Option<Vec<(String, Value)>> {
    let mut keys = Vec::new();
    let mut rest = selector;
    while !rest.is_empty() {
        let (key, tail) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(tail).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let used = values.byte_offset();
        keys.push((key.to_owned(), value));
        rest = tail.get(used..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    (!keys.is_empty()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web", "app": "x"}, "finalizers": ["a", "b"]},
            "spec": {
                "replicas": 2,
                "containers": [{"name": "side"}, {"name": "web", "image": "web:1"}],
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 1}, {"port": 80, "protocol": "UDP"}]
            }
        })
    }

    #[test]
    fn paths_of_server_side_apply_are_found() {
        for (path, expected) in [
            (".spec.replicas", true),
            (".spec.missing", false),
            (".metadata.labels.app.kubernetes.io/name", true),
            (".metadata.labels.app.kubernetes.io/other", false),
            (".metadata.finalizers[=\"b\"]", true),
            (".metadata.finalizers[=\"c\"]", false),
            (".spec.containers[name=\"web\"].image", true),
            (".spec.containers[name=\"side\"].image", false),
            (".spec.ports[port=80,protocol=\"TCP\"].targetPort", true),
            (".spec.ports[port=80,protocol=\"UDP\"].targetPort", false),
            (".spec.containers[1].image", true),
            ("nonsense[", false),
        ] {
            assert_eq!(has(&sample(), path), expected, "{path}");
        }
    }

    #[test]
    fn a_field_is_removed_where_it_stands() {
        let mut value = sample();
        assert!(remove(&mut value, ".spec.containers[name=\"web\"].image"));
        assert!(remove(&mut value, ".metadata.finalizers[=\"a\"]"));
        assert!(!remove(&mut value, ".spec.missing"));
        assert_eq!(
            value["spec"]["containers"],
            json!([{"name": "side"}, {"name": "web"}])
        );
        assert_eq!(value["metadata"]["finalizers"], json!(["b"]));
    }
}
