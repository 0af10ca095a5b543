//! A field spec: kinds and a path; and walking along it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::identity::Gvk;
use crate::scalar;

/// Kinds, a path in them (`a/b[]/c`, `\/` for a slash in a name), and whether to create it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    pub(crate) gvk: Gvk,
    pub(crate) path: Cow<'static, str>,
    pub(crate) create: bool,
}

impl FieldSpec {
    pub(crate) fn new(kind: &str, path: &str, create: bool) -> Self {
        Self {
            gvk: Gvk::new("", "", kind),
            path: Cow::Owned(path.to_owned()),
            create,
        }
    }
}

/// What to make of the last field of a path when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// Nothing is created, not even on the way.
    Nothing,
    Scalar,
    Mapping,
}

/// Splits a path at a delimiter that no backslash precedes; one leading delimiter is ignored.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<&str> = path.split(delimiter).collect();
    if parts.len() > 1 && parts[0].is_empty() {
        parts.remove(0);
    }
    let mut result: Vec<String> = Vec::with_capacity(parts.len());
    for part in parts {
        match result.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            _ => result.push(part.to_owned()),
        }
    }
    result
}

/// As [`split_path`], and keeps what stands in brackets together: `[name=a.b]`, `[a.b/c]`.
pub(crate) fn split_path_clever(path: &str, delimiter: char) -> Vec<String> {
    let mut result = Vec::new();
    let mut parts = split_path(path, delimiter).into_iter();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            result.push(part);
            continue;
        }
        let mut whole = part;
        for next in parts.by_ref() {
            whole.push(delimiter);
            whole.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        if whole.contains('=') {
            result.push(whole);
        } else {
            result.push(whole.trim_matches(['[', ']']).to_owned());
        }
    }
    result
}

/// Calls `set` on every value that the path leads to, through all elements of lists on the way.
///
/// # Errors
/// When the path leads through a scalar, or `set` fails.
pub(crate) fn walk(
    value: &mut Value,
    path: &[String],
    create: Create,
    set: &mut dyn FnMut(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    step(value, path, create, Style::Unknown, set)
}

/// How a mapping is written, as far as the walk knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Block,
    Braces,
    Unknown,
}

impl Style {
    /// A mapping with nothing in it can only be written `{}`, and what is left out in braces tells of them.
    fn of(self, fields: &Map<String, Value>) -> Self {
        match self {
            Self::Unknown if fields.is_empty() || fields.values().any(scalar::is_left_out) => {
                Self::Braces
            }
            Self::Unknown | Self::Block => Self::Block,
            Self::Braces => Self::Braces,
        }
    }

    /// What stands in braces is in braces; what is new is as what it stands in.
    fn inside(self, is_new: bool) -> Self {
        match self {
            Self::Block if !is_new => Self::Unknown,
            Self::Block | Self::Braces | Self::Unknown => self,
        }
    }
}

fn step(
    value: &mut Value,
    path: &[String],
    create: Create,
    style: Style,
    set: &mut dyn FnMut(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some((first, rest)) = path.split_first() else {
        return set(value);
    };
    match value {
        _ if scalar::is_null(value) => Ok(()),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| step(item, path, create, style.inside(false), set)),
        Value::Object(fields) => walk_field(fields, (first, rest), create, style.of(fields), set),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(Error::new(
            ErrorKind::Transformer,
            format!("follow {first}: there is a scalar, not a mapping or list"),
        )),
    }
}

/// Whether upstream takes a part of a path for a place in a list, which a mapping does not have.
fn is_place_in_list(name: &str) -> bool {
    name.parse::<i64>().is_ok()
        || matches!(name, "-" | "*")
        || (name.starts_with('[') && name.ends_with(']'))
}

fn walk_field(
    fields: &mut Map<String, Value>,
    (first, rest): (&str, &[String]),
    create: Create,
    style: Style,
    set: &mut dyn FnMut(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = first.strip_suffix("[]").unwrap_or(first);
    if name.is_empty() {
        return Err(Error::new(
            ErrorKind::Transformer,
            "follow a path with an empty field name",
        ));
    }
    if is_place_in_list(name) {
        return Err(Error::new(
            ErrorKind::Transformer,
            format!("follow {name}: there is a mapping, and this is a place in a list"),
        )
        .hint("leave the place out: a path goes into every item of a list"));
    }
    let is_list = name.len() != first.len();
    let name = name.trim();
    let new = match create {
        Create::Nothing => None,
        Create::Scalar | Create::Mapping if is_list => None,
        // In braces upstream puts quotes around an empty text.
        Create::Scalar if rest.is_empty() && style == Style::Braces => Some(scalar::left_out()),
        Create::Scalar if rest.is_empty() => Some(scalar::bare("")),
        Create::Scalar | Create::Mapping => Some(Value::Object(Map::new())),
    };
    match fields.get_mut(name) {
        Some(field) => {
            let is_new = scalar::is_null(field);
            if is_new {
                if is_list {
                    *field = Value::Array(Vec::new());
                } else if let Some(new) = new {
                    *field = new;
                }
            }
            step(field, rest, create, style.inside(is_new), set)
        }
        None => match new {
            None => Ok(()),
            Some(new) => step(
                fields.entry(name).or_insert(new),
                rest,
                create,
                style.inside(true),
                set,
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_split() {
        assert_eq!(split_path("a/b\\/c/d", '/'), ["a", "b/c", "d"]);
        assert_eq!(split_path("/a/b", '/'), ["a", "b"]);
        assert_eq!(
            split_path_clever("a.[name=b.c].d", '.'),
            ["a", "[name=b.c]", "d"]
        );
        assert_eq!(
            split_path_clever("metadata.annotations.[a.b/c]", '.'),
            ["metadata", "annotations", "a.b/c"]
        );
        assert_eq!(split_path_clever("a.b\\.c", '.'), ["a", "b.c"]);
    }

    fn check(mut value: Value, path: &str, create: Create, expected: &Value) {
        walk(&mut value, &split_path(path, '/'), create, &mut |field| {
            *field = json!("x");
            Ok(())
        })
        .unwrap();
        assert_eq!(value, *expected, "{path}");
    }

    #[test]
    fn walking_goes_through_lists_and_creates_only_when_told() {
        check(
            json!({"a": [{"b": 1}, {"c": 2}]}),
            "a/b",
            Create::Nothing,
            &json!({"a": [{"b": "x"}, {"c": 2}]}),
        );
        check(json!({}), "a/b", Create::Nothing, &json!({}));
        check(json!({}), "a/b", Create::Scalar, &json!({"a": {"b": "x"}}));
        check(
            json!({"a": null}),
            "a[]/b",
            Create::Scalar,
            &json!({"a": []}),
        );
        check(
            json!({"a": null}),
            "a/b",
            Create::Nothing,
            &json!({"a": null}),
        );
    }
}
