//! Replacements that reach into a text which holds JSON or YAML itself.

use serde_json::Value;

use super::replacements::{Found, assign, collect, follow};
use crate::error::Error;
use crate::kustomization::FieldOptions;
use crate::scalar;
use crate::yaml::{self, Styled, View, Written};

/// Sets a field inside a text, and returns how many bytes were read for it. `None` where the path does not lead into one, or the
/// field cannot be set there.
pub(super) fn set(
    root: &mut Value,
    path: &[String],
    value: &Value,
    options: &FieldOptions,
) -> Option<usize> {
    let (field, inner) = enter(root, path)?;
    let text = scalar::text(field);
    let (mut document, mut written) = parse(&text)?;
    let before = document.clone();
    let mut found = Found::default();
    let create = options.create.then_some(value);
    collect(&mut document, inner, create, &mut Vec::new(), &mut found).ok()?;
    if found.places.is_empty() {
        return None;
    }
    for (steps, created) in &found.places {
        assign(follow(&mut document, steps)?, value, options, *created).ok()?;
    }
    let new = match &mut written {
        Some(written) => {
            update(&mut written.root, &before, &document)?;
            written.print().trim().to_owned()
        }
        None => {
            if is_json(&text) {
                scalar::fill_blanks(&mut document);
            }
            scalar::settle(&mut document).ok()?;
            if is_json(&text) {
                crate::generate::go_json(&document, text.contains('\n') && text.contains("  "))
            } else {
                crate::generate::go_yaml(&document)
            }
        }
    };
    *field = Value::String(new);
    Some(text.len())
}

/// How many places a path has inside a text, and how many bytes were read to see it.
pub(super) fn count(
    field: &Value,
    path: &[String],
    create: Option<&Value>,
) -> Result<(usize, usize), Error> {
    let text = scalar::text(field);
    let Some((mut document, _)) = parse(&text) else {
        return Ok((0, text.len()));
    };
    let mut found = Found::default();
    collect(&mut document, path, create, &mut Vec::new(), &mut found)?;
    let places = found.places.len() + found.inside_text;
    Ok((places, text.len().saturating_add(found.looked)))
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

/// Writes into a node what is another value than before.
fn update(node: &mut Styled, before: &Value, after: &Value) -> Option<()> {
    match (before, after) {
        (_, _) if before == after => Some(()),
        (Value::Object(old), Value::Object(new)) if new.len() >= old.len() => {
            for (name, value) in new {
                match old.get(name) {
                    Some(old) if old == value => {}
                    Some(old) => update(node.entry_mut(name)?, old, value)?,
                    None => node.push_entry(name, styled(value))?,
                }
            }
            Some(())
        }
        (Value::Array(old), Value::Array(new)) if new.len() >= old.len() => {
            let items = node.items_mut()?;
            for (index, value) in new.iter().enumerate() {
                match (items.get_mut(index), old.get(index)) {
                    (Some(item), Some(old)) => update(item, old, value)?,
                    (_, _) => items.push(styled(value)),
                }
            }
            Some(())
        }
        (_, _)
            if scalar::is_scalar(before)
                && scalar::is_scalar(after)
                && !matches!(node.view(), View::Alias(_)) =>
        {
            node.set_text(&scalar::text(after))
        }
        (_, _) => {
            *node = styled(after);
            Some(())
        }
    }
}

/// A value that was added.
fn styled(value: &Value) -> Styled {
    match value {
        Value::Object(fields) => Styled::mapping(
            fields
                .iter()
                .map(|(name, value)| (Styled::text(name), styled(value)))
                .collect(),
        ),
        Value::Array(items) => Styled::sequence(items.iter().map(styled).collect()),
        Value::String(_) if scalar::free_text(value).is_some() && !scalar::is_bare(value) => {
            Styled::text(&scalar::text(value))
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            Styled::plain(&scalar::text(value))
        }
    }
}

/// Upstream writes such a text as JSON again, and any other as YAML.
fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// What a text holds, and how that is written, if it is to stay so.
fn parse(text: &str) -> Option<(Value, Option<Written>)> {
    if !is_json(text)
        && let Some(written) = Written::read(text)
    {
        return Some((value(&written.root), Some(written)));
    }
    let limits = yaml::Limits::default();
    let parsed = yaml::parse_spelled(text.as_bytes(), false, &limits, scalar::hold).ok()?;
    let document = parsed.documents.into_iter().next()?;
    Some((document.value, None))
}

/// The value of a node in which aliases and merge keys stand for nothing else: no path leads through them.
fn value(node: &Styled) -> Value {
    match node.view() {
        View::Plain(text) => scalar::plain(text),
        View::Text(text) => scalar::quoted(text),
        View::Alias(name) => scalar::bare(&format!("*{name}")),
        View::Sequence(items) => Value::Array(items.iter().map(value).collect()),
        View::Mapping(entries) => entries
            .iter()
            .map(|(key, inner)| {
                let name = match key.view() {
                    View::Plain(text) | View::Text(text) => text,
                    View::Alias(_) | View::Sequence(_) | View::Mapping(_) => "",
                };
                (name.to_owned(), value(inner))
            })
            .collect(),
    }
}
