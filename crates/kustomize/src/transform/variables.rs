//! `vars`: values of fields that stand in other fields as `$(NAME)`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compile;
use crate::config::{Create, FieldSpec, split_path_clever};
use crate::error::{Error, ErrorKind};
use crate::kustomization::Variable;
use crate::objects::Objects;
use crate::{scalar, yaml};

/// The vars of an accumulation by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct VariableSet(BTreeMap<String, Variable>);

impl VariableSet {
    /// Adds vars.
    ///
    /// # Errors
    /// When a name is taken.
    pub(crate) fn merge(
        &mut self,
        incoming: impl IntoIterator<Item = Variable>,
    ) -> Result<(), Error> {
        for variable in incoming {
            if self.0.contains_key(&variable.name) {
                return Err(Error::new(
                    ErrorKind::Reference,
                    format!("add the var {}: there is one already", variable.name),
                )
                .field("vars"));
            }
            self.0.insert(variable.name.clone(), variable);
        }
        Ok(())
    }

    pub(crate) fn into_variables(self) -> impl Iterator<Item = Variable> {
        self.0.into_values()
    }
}

/// Notes in the objects which vars read from them.
///
/// # Errors
/// When a var means several objects.
pub(crate) fn mark(objects: &mut Objects, variables: &[Variable]) -> Result<(), Error> {
    for variable in variables {
        let matches = |kind: &str, name: &str, namespace: &str, object: &crate::object::Object| {
            name == variable.object_name
                && kind == variable.gvk.kind
                && object.id.gvk.group == variable.gvk.group
                && object.id.gvk.version == variable.gvk.version
                && (variable.namespace.is_empty()
                    || namespace == crate::identity::effective(&variable.namespace))
        };
        let mut found = Vec::new();
        for (index, object) in objects.iter().enumerate() {
            let now = matches(
                &object.id.gvk.kind,
                &object.id.name,
                object.id.effective_namespace(),
                object,
            );
            let before = || {
                object.memory.previous.iter().any(|id| {
                    matches(
                        &id.kind,
                        &id.name,
                        crate::identity::effective(&id.namespace),
                        object,
                    )
                })
            };
            if now || before() {
                found.push(index);
            }
        }
        match found.as_slice() {
            [] => {}
            [one] => objects.all_mut()[*one]
                .variables
                .push(variable.name.clone()),
            several => {
                return Err(Error::new(
                    ErrorKind::Reference,
                    format!(
                        "find the object of the var {}: there are {}",
                        variable.name,
                        several.len()
                    ),
                )
                .field("vars")
                .hint("say its namespace"));
            }
        }
    }
    Ok(())
}

/// Replaces the vars. Returns the names of those that stand nowhere.
///
/// # Errors
/// When a var has no object or field, or a field holds what cannot be replaced.
pub(crate) fn resolve(
    objects: &mut Objects,
    variables: &VariableSet,
    specs: &[FieldSpec],
) -> Result<Vec<String>, Error> {
    if variables.0.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = BTreeMap::new();
    for variable in variables.0.values() {
        values.insert(variable.name.clone(), value_of(objects, variable)?);
    }
    let mut used = BTreeSet::new();
    let compiled = compile(specs);
    for object in objects.all_mut() {
        for spec in &compiled {
            spec.apply(object, Create::Nothing, &mut |field| {
                replace(field, &values, &mut used)
            })?;
            // What several fields share is looked at again in each of them.
            object.spread_shared();
        }
    }
    Ok(values
        .into_keys()
        .filter(|name| !used.contains(name))
        .collect())
}

/// What stands for a var.
struct Known {
    /// Where the var is all that a text holds.
    alone: Value,
    /// Inside of a longer text.
    within: String,
}

impl Known {
    fn new(alone: Value) -> Self {
        let within = scalar::text(&alone);
        Self { alone, within }
    }
}

fn value_of(objects: &Objects, variable: &Variable) -> Result<Known, Error> {
    let failed = |message: String| Err(Error::new(ErrorKind::Reference, message).field("vars"));
    let Some(object) = objects
        .iter()
        .find(|object| object.variables.contains(&variable.name))
    else {
        return failed(format!(
            "find the object of the var {}: there is no {} named {}",
            variable.name, variable.gvk.kind, variable.object_name
        ));
    };
    let mut here = &object.value;
    for part in parts(&variable.field_path) {
        let next = match here {
            Value::Object(fields) => fields.get(&part),
            Value::Array(items) if part == "-" => items.last(),
            Value::Array(items) => match element(&part) {
                Some((key, value)) => items
                    .iter()
                    .find(|item| item.get(key).map(scalar::text).as_deref() == Some(value)),
                None => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index)),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        match next {
            Some(next) => here = next,
            None => {
                return failed(format!(
                    "find the field {} of {} for the var {}",
                    variable.field_path, object.id, variable.name
                ));
            }
        }
    }
    // A null, too, is its text.
    if scalar::is_folded(here) || scalar::is_null(here) {
        return Ok(Known::new(Value::String(scalar::text(here))));
    }
    let meaning = scalar::meaning(here).into_owned();
    // Upstream reads the digits of a whole number as decimal ones, whatever they are.
    match &meaning {
        Value::Number(number) if !number.is_f64() && !scalar::is_float_text(here) => {
            let text = scalar::text(here);
            match text.parse::<i64>() {
                Ok(number) => Ok(Known::new(Value::from(number))),
                Err(source) => Err(Error::new(
                    ErrorKind::Reference,
                    format!("read {text} for the var {}", variable.name),
                )
                .caused_by(source)
                .field("vars")
                .hint("write the number in decimal digits")),
            }
        }
        // Within a text upstream writes it as a float, whole or not.
        Value::Number(number) => {
            let within = number.as_f64().map(yaml::general_float);
            let known = Known::new(meaning);
            Ok(Known {
                within: within.unwrap_or(known.within),
                ..known
            })
        }
        _ => Ok(Known::new(meaning)),
    }
}

fn element(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

/// Splits a field path; `a[0]` and `a.[0]` are `a` and `0`.
fn parts(path: &str) -> Vec<String> {
    let mut result = Vec::new();
    for part in split_path_clever(path, '.') {
        match part
            .strip_suffix(']')
            .and_then(|part| part.rsplit_once('['))
        {
            Some((name, index))
                if !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                if !name.is_empty() {
                    result.push(name.to_owned());
                }
                result.push(index.to_owned());
            }
            _ => result.push(part),
        }
    }
    result
}

fn replace(
    field: &mut Value,
    values: &BTreeMap<String, Known>,
    used: &mut BTreeSet<String>,
) -> Result<(), Error> {
    let mut replace_one = |field: &mut Value| match scalar::free_text(field) {
        Some(text) => {
            *field = expand(&text, values, used);
            true
        }
        None => false,
    };
    match field {
        Value::Object(fields) => {
            for inner in fields.values_mut() {
                replace_one(inner);
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| {
            if replace_one(item) {
                return Ok(());
            }
            Err(Error::new(
                ErrorKind::Reference,
                "replace vars in a list: an element is no text",
            ))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            replace_one(field);
            Ok(())
        }
    }
}

/// Replaces `$(NAME)`; `$$` is a dollar sign. A text that is one var takes its type.
fn expand(text: &str, values: &BTreeMap<String, Known>, used: &mut BTreeSet<String>) -> Value {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let after = &rest[at + 1..];
        if after.is_empty() {
            break;
        }
        result.push_str(&rest[..at]);
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            let known = values
                .get(name)
                .filter(|known| scalar::is_scalar(&known.alone) && !known.alone.is_null());
            if let Some(known) = known {
                used.insert(name.to_owned());
                if text.len() == name.len() + 3 {
                    return known.alone.clone();
                }
                result.push_str(&known.within);
            } else {
                result.push_str("$(");
                result.push_str(name);
                result.push(')');
            }
            rest = behind;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    Value::String(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_expand() {
        let values = [("A", json!("x")), ("N", json!(80))];
        let values = values.map(|(name, value)| (name.to_owned(), Known::new(value)));
        let values = BTreeMap::from(values);
        for (text, expected) in [
            ("$(A)", json!("x")),
            ("$(N)", json!(80)),
            ("a$(A)b$(N)", json!("axb80")),
            ("$(NONE)", json!("$(NONE)")),
            ("$$(A)", json!("$(A)")),
            ("$(A", json!("$(A")),
            ("$x $", json!("$x $")),
        ] {
            assert_eq!(
                expand(text, &values, &mut BTreeSet::new()),
                expected,
                "{text}"
            );
        }
    }
}
