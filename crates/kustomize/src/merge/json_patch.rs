//! JSON patch (RFC 6902) with the tolerances of the Go library that upstream uses.
//! Enters: a list of operations.
//! Leaves: the patched value.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::scalar;
use crate::yaml;

#[derive(Debug, Clone)]
enum Operation {
    Add {
        path: Option<String>,
        value: Value,
    },
    Remove {
        path: Option<String>,
    },
    Replace {
        path: Option<String>,
        value: Value,
    },
    Move {
        from: Option<String>,
        path: Option<String>,
    },
    Copy {
        from: Option<String>,
        path: Option<String>,
    },
    Test {
        path: Option<String>,
        value: Value,
    },
    Unknown {
        name: String,
    },
}

/// A parsed JSON patch.
#[derive(Debug, Clone)]
pub(crate) struct JsonPatch {
    operations: Vec<Operation>,
}

impl JsonPatch {
    /// Reads a patch: a list of mappings.
    pub(crate) fn parse(document: &Value) -> Option<Self> {
        let operations = match document {
            Value::Null => Vec::new(),
            Value::Array(items) => items.iter().map(operation).collect::<Option<_>>()?,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return None,
        };
        Some(Self { operations })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Applies the operations one after the other.
    ///
    /// # Errors
    /// When an operation cannot be applied, or a test does not hold.
    pub(crate) fn apply(&self, document: &mut Value) -> Result<(), Error> {
        for (index, operation) in self.operations.iter().enumerate() {
            apply(operation, document)
                .map_err(|error| error.field(format!("operation {}", index + 1)))?;
        }
        round_numbers(document);
        Ok(())
    }
}

/// Upstream reads the patched object with floats: large integers lose digits, and from a million on are spelled with an exponent.
fn round_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64() {
                *value = scalar::plain(&yaml::general_float(float));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(round_numbers),
        Value::Object(fields) => fields.values_mut().for_each(round_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn operation(item: &Value) -> Option<Operation> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => {
            return Some(Operation::Unknown {
                name: String::new(),
            });
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return None,
    };
    let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
    let value = || fields.get("value").cloned().unwrap_or(Value::Null);
    let path = text("path");
    Some(
        match fields.get("op").and_then(Value::as_str).unwrap_or_default() {
            "add" => Operation::Add {
                path,
                value: value(),
            },
            "remove" => Operation::Remove { path },
            "replace" => Operation::Replace {
                path,
                value: value(),
            },
            "move" => Operation::Move {
                from: text("from"),
                path,
            },
            "copy" => Operation::Copy {
                from: text("from"),
                path,
            },
            "test" => Operation::Test {
                path,
                value: value(),
            },
            other => Operation::Unknown {
                name: other.to_owned(),
            },
        },
    )
}

fn apply(operation: &Operation, document: &mut Value) -> Result<(), Error> {
    match operation {
        Operation::Add { path, value } => {
            let path = given(path.as_deref(), "path")?;
            let (container, key) = locate(document, path, "add to")?;
            add(container, &key, value.clone(), path)
        }
        Operation::Remove { path } => {
            let path = given(path.as_deref(), "path")?;
            let (container, key) = locate(document, path, "remove")?;
            remove(container, &key, path).map(drop)
        }
        Operation::Replace { path, value } => {
            let path = given(path.as_deref(), "path")?;
            if path.is_empty() {
                if scalar::is_scalar(value) {
                    return Err(failed("replace the whole object by a scalar"));
                }
                *document = value.clone();
                return Ok(());
            }
            let (container, key) = locate(document, path, "replace")?;
            match container {
                Value::Object(fields) => {
                    fields.insert(key, value.clone());
                }
                Value::Array(items) => {
                    let at = index(&key, items.len()).ok_or_else(|| missing("replace", path))?;
                    items[at] = value.clone();
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    return Err(missing("replace", path));
                }
            }
            Ok(())
        }
        Operation::Move { from, path } => {
            let from = given(from.as_deref(), "from")?;
            let path = given(path.as_deref(), "path")?;
            let (container, key) = locate(document, from, "move")?;
            let value = remove(container, &key, from)?;
            let (container, key) = locate(document, path, "move to")?;
            add(container, &key, value, path)
        }
        Operation::Copy { from, path } => {
            let from = given(from.as_deref(), "from")?;
            let path = given(path.as_deref(), "path")?;
            let (container, key) = locate(document, from, "copy")?;
            let value = get(container, &key, from)?.cloned().unwrap_or(Value::Null);
            let (container, key) = locate(document, path, "copy to")?;
            add(container, &key, value, path)
        }
        Operation::Test { path, value } => {
            let path = given(path.as_deref(), "path")?;
            let holds = if path.is_empty() {
                *document == *value
            } else {
                let (container, key) = locate(document, path, "test")?;
                get(container, &key, path)?.unwrap_or(&Value::Null) == value
            };
            if holds {
                Ok(())
            } else {
                Err(failed(format!("pass the test at {path}")))
            }
        }
        Operation::Unknown { name } => Err(failed(format!("apply the unknown operation `{name}`"))
            .hint("the operations are add, remove, replace, move, copy and test")),
    }
}

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Patch, message)
}

fn missing(action: &str, path: &str) -> Error {
    failed(format!("{action} {path}: there is nothing"))
}

fn given<'a>(path: Option<&'a str>, field: &str) -> Result<&'a str, Error> {
    path.ok_or_else(|| failed(format!("read the field `{field}` of an operation")))
}

/// The container that a path ends in, and the key inside it.
fn locate<'a>(
    document: &'a mut Value,
    path: &str,
    action: &str,
) -> Result<(&'a mut Value, String), Error> {
    let mut parts: Vec<&str> = path.split('/').collect();
    if parts.len() < 2 {
        return Err(missing(action, path));
    }
    let key = decode(parts.pop().unwrap_or_default());
    let mut here = document;
    for part in &parts[1..] {
        let part = decode(part);
        let next = match here {
            Value::Object(fields) => fields.get_mut(&part),
            Value::Array(items) => index(&part, items.len()).and_then(|at| items.get_mut(at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        here = next
            .filter(|next| !scalar::is_scalar(next))
            .ok_or_else(|| missing(action, path))?;
    }
    Ok((here, key))
}

fn decode(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The position that a key means in a list of a length; negative ones count from the end.
fn index(key: &str, length: usize) -> Option<usize> {
    let number: i64 = key.strip_prefix('+').unwrap_or(key).parse().ok()?;
    let at = if number < 0 {
        i64::try_from(length).ok()?.checked_add(number)?
    } else {
        number
    };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn get<'a>(container: &'a Value, key: &str, path: &str) -> Result<Option<&'a Value>, Error> {
    match container {
        Value::Object(fields) => Ok(fields.get(key)),
        Value::Array(items) => index(key, items.len())
            .map(|at| items.get(at))
            .ok_or_else(|| missing("read", path)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(missing("read", path))
        }
    }
}

fn add(container: &mut Value, key: &str, value: Value, path: &str) -> Result<(), Error> {
    match container {
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
            Ok(())
        }
        Value::Array(items) => {
            if key == "-" {
                items.push(value);
                return Ok(());
            }
            let at = index(key, items.len() + 1).ok_or_else(|| missing("add at", path))?;
            items.insert(at, value);
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(missing("add to", path))
        }
    }
}

fn remove(container: &mut Value, key: &str, path: &str) -> Result<Value, Error> {
    match container {
        Value::Object(fields) => fields.remove(key).ok_or_else(|| missing("remove", path)),
        Value::Array(items) => {
            let at = index(key, items.len()).ok_or_else(|| missing("remove", path))?;
            Ok(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(missing("remove", path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables of literals read better without references"
    )]
    fn check(patch: &Value, expected: Option<Value>) {
        let mut document = json!({"a": {"b/c": 1}, "list": [1, 2, 3]});
        let result = JsonPatch::parse(&json!([patch]))
            .unwrap()
            .apply(&mut document);
        assert_eq!(result.ok().map(|()| document), expected, "{patch}");
    }

    #[test]
    fn operations() {
        let with = |a: Value, list: Value| Some(json!({"a": a, "list": list}));
        check(
            &json!({"op": "add", "path": "/list/-", "value": 4}),
            with(json!({"b/c": 1}), json!([1, 2, 3, 4])),
        );
        check(
            &json!({"op": "add", "path": "/list/0", "value": 0}),
            with(json!({"b/c": 1}), json!([0, 1, 2, 3])),
        );
        check(
            &json!({"op": "remove", "path": "/list/-1"}),
            with(json!({"b/c": 1}), json!([1, 2])),
        );
        check(
            &json!({"op": "replace", "path": "/a/b~1c", "value": 2}),
            with(json!({"b/c": 2}), json!([1, 2, 3])),
        );
        check(
            &json!({"op": "replace", "path": "/a/new", "value": 2}),
            with(json!({"b/c": 1, "new": 2}), json!([1, 2, 3])),
        );
        check(&json!({"op": "remove", "path": "/a/none"}), None);
        check(&json!({"op": "add", "path": "/none/b", "value": 1}), None);
        check(&json!({"op": "test", "path": "/list/0", "value": 2}), None);
        check(
            &json!({"op": "move", "from": "/list/0", "path": "/a/x"}),
            with(json!({"b/c": 1, "x": 1}), json!([2, 3])),
        );
        check(&json!({"op": "sing", "path": "/a"}), None);
    }
}
