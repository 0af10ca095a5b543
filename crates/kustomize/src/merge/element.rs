//! Finding, replacing and removing the elements of a keyed list, with upstream's rules for elements that lack a key.

use serde_json::{Map, Value};

use crate::scalar;

/// The text of a field of an element, as keys are compared by; `None` where the element has no such field.
fn field_text(element: &Value, key: &str) -> Option<String> {
    element.as_object()?.get(key).map(scalar::text)
}

/// The values of the keys of an element; empty for those that it lacks.
pub(super) fn key_values(element: &Value, keys: &[String]) -> Vec<String> {
    keys.iter()
        .map(
            |key| match element.as_object().and_then(|fields| fields.get(key)) {
                Some(value) if !scalar::is_empty(value) => scalar::text(value),
                _ => String::new(),
            },
        )
        .collect()
}

/// The index of the first element whose keys have exactly the values.
pub(super) fn find(list: &[Value], keys: &[String], values: &[String]) -> Option<usize> {
    if keys.first().is_none_or(String::is_empty) {
        let wanted = values.first().map_or("", String::as_str);
        return list
            .iter()
            .position(|element| scalar::text(element) == wanted);
    }
    list.iter().position(|element| {
        element.is_object()
            && keys
                .iter()
                .zip(values)
                .all(|(key, value)| field_text(element, key).is_some_and(|text| text == *value))
    })
}

/// A list of scalars holds something else.
#[derive(Debug)]
pub(super) struct NotScalar;

/// Replaces every element that matches by `new`, or removes it where there is none; appends `new` where nothing matches.
/// An empty value of a key matches any; empty and null elements vanish; without values every element but `new` vanishes.
///
/// # Errors
/// When there is a mapping or a list where scalars are compared.
pub(super) fn set(
    list: &mut Vec<Value>,
    keys: &[String],
    values: &[String],
    new: Option<Value>,
) -> Result<(), NotScalar> {
    let scalars = keys.first().is_none_or(String::is_empty);
    let by_mapping = !scalars && values.first().is_some_and(|value| !value.is_empty());
    let mut found_one = false;
    let mut result = Vec::with_capacity(list.len() + 1);
    for element in list.drain(..) {
        if scalar::is_null(&element) || element.as_object().is_some_and(Map::is_empty) {
            continue;
        }
        if by_mapping && !element.is_object() {
            result.push(element);
            continue;
        }
        if scalars && !scalar::is_scalar(&element) {
            return Err(NotScalar);
        }
        let found = if scalars {
            values
                .first()
                .is_some_and(|value| scalar::text(&element) == *value)
        } else {
            matches(&element, keys, values)
        };
        if !found {
            if !values.is_empty() {
                result.push(element);
            }
            continue;
        }
        found_one = true;
        if let Some(new) = &new {
            result.push(new.clone());
        }
    }
    if let Some(new) = new.filter(|new| !found_one && !scalar::is_null(new)) {
        result.push(new);
    }
    *list = result;
    Ok(())
}

fn matches(element: &Value, keys: &[String], values: &[String]) -> bool {
    let mut last = false;
    for (index, key) in keys.iter().enumerate() {
        if let Some(value) = values.get(index) {
            last = field_text(element, key).is_some_and(|text| value.is_empty() || text == *value);
        }
        if !last {
            return false;
        }
    }
    true
}
