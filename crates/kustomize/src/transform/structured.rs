//! Replacements that reach into a text which holds JSON or YAML itself.

use serde_json::Value;

use super::replacements::{Found, assign, collect, follow};
use crate::error::Error;
use crate::kustomization::FieldOptions;
use crate::scalar;
use crate::yaml;

/// Sets a field inside a text. `None` where the path does not lead into one, or the field cannot be set there.
pub(super) fn set(
    root: &mut Value,
    path: &[String],
    value: &Value,
    options: &FieldOptions,
) -> Option<()> {
    let (field, inner) = enter(root, path)?;
    let text = scalar::text(field);
    let mut document = parse(&text)?;
    let mut found = Found::default();
    let create = options.create.then_some(value);
    collect(&mut document, inner, create, &mut Vec::new(), &mut found).ok()?;
    if found.places.is_empty() {
        return None;
    }
    for (steps, created) in &found.places {
        assign(follow(&mut document, steps)?, value, options, *created).ok()?;
    }
    scalar::settle(&mut document).ok()?;
    let new = if text.trim_start().starts_with(['{', '[']) {
        crate::generate::go_json(&document, text.contains('\n') && text.contains("  "))
    } else {
        crate::generate::go_yaml(&document)
    };
    *field = Value::String(new);
    Some(())
}

/// How many places a path has inside a text.
pub(super) fn count(
    field: &Value,
    path: &[String],
    create: Option<&Value>,
) -> Result<usize, Error> {
    let Some(mut document) = parse(&scalar::text(field)) else {
        return Ok(0);
    };
    let mut found = Found::default();
    collect(&mut document, path, create, &mut Vec::new(), &mut found)?;
    Ok(found.places.len() + found.inside_text)
}

/// The first scalar on the way that reads as YAML, and the rest of the path.
fn enter<'a, 'b>(root: &'a mut Value, path: &'b [String]) -> Option<(&'a mut Value, &'b [String])> {
    let mut here = root;
    for (index, part) in path.iter().enumerate() {
        here = match here {
            Value::Object(fields) => fields.get_mut(part)?,
            Value::Array(items) => match part
                .strip_prefix('[')
                .and_then(|part| part.strip_suffix(']'))
            {
                Some(inner) => {
                    let (key, wanted) = inner.split_once('=')?;
                    items.iter_mut().find(|item| {
                        item.as_object()
                            .and_then(|fields| fields.get(key))
                            .is_some_and(|value| scalar::text(value) == wanted)
                    })?
                }
                None if part == "-" => items.last_mut()?,
                None => items.get_mut(part.parse::<usize>().ok()?)?,
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        if scalar::is_scalar(here) && index + 1 < path.len() {
            return Some((here, &path[index + 1..]));
        }
    }
    None
}

fn parse(text: &str) -> Option<Value> {
    let documents = yaml::parse_values(text.as_bytes(), &yaml::Limits::default()).ok()?;
    documents.into_iter().next().map(|document| document.value)
}
