//! Labels and annotations on every object, and in the fields that repeat them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compile;
use crate::config::{Create, FieldSpec};
use crate::error::{Error, ErrorKind};
use crate::object::Memory;
use crate::objects::Objects;
use crate::scalar;
use crate::shared::Shared;

/// Sets labels.
///
/// # Errors
/// When a field that should hold labels is no mapping.
pub(crate) fn labels(
    objects: &mut Objects,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Error> {
    set_pairs(objects, pairs, specs)
}

/// Sets annotations.
///
/// # Errors
/// When a field that should hold annotations is no mapping.
pub(crate) fn annotations(
    objects: &mut Objects,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Error> {
    set_pairs(objects, pairs, specs)
}

fn set_pairs(
    objects: &mut Objects,
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
) -> Result<(), Error> {
    if pairs.is_empty() {
        return Ok(());
    }
    let compiled = compile(specs);
    for object in objects.all_mut() {
        let mut fresh: BTreeMap<&String, Vec<Vec<String>>> = BTreeMap::new();
        for spec in &compiled {
            // What upstream remembers about an object stands in its annotations, so there are some.
            if spec.spec.path == "metadata/annotations" && object.memory != Memory::default() {
                object.make_annotations();
            }
            let mut seen: BTreeMap<&String, (bool, bool)> = BTreeMap::new();
            spec.apply(object, Create::Mapping, &mut |field| {
                let Value::Object(fields) = field else {
                    return not_a_mapping(field);
                };
                for (key, value) in pairs {
                    let old = fields.insert(key.clone(), Value::String(value.clone()));
                    let (is_new, is_old) = seen.entry(key).or_default();
                    if old.is_some() {
                        *is_old = true;
                    } else {
                        *is_new = true;
                        check_key(key)?;
                    }
                }
                Ok(())
            })?;
            for (key, _) in seen
                .into_iter()
                .filter(|(_, (is_new, is_old))| *is_new && !*is_old)
            {
                fresh.entry(key).or_default().push(spec.path.clone());
            }
        }
        object.spread_shared();
        for (key, mut paths) in fresh.into_iter().filter(|(_, paths)| paths.len() > 1) {
            paths.sort();
            let value = Value::String(pairs[key].clone());
            object.shared.push(Shared {
                key: key.clone(),
                value,
                paths,
            });
        }
    }
    Ok(())
}

fn not_a_mapping(field: &Value) -> Result<(), Error> {
    if scalar::is_null(field) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Transformer,
        "set labels or annotations: the field is no mapping",
    ))
}

fn check_key(key: &str) -> Result<(), Error> {
    if scalar::is_plain_key(key) {
        return Ok(());
    }
    let message = format!("set a label or annotation: the key \"{key}\" would not be a text");
    Err(Error::new(ErrorKind::Transformer, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;
    use crate::merge::Schema;
    use crate::object::Object;
    use crate::origin::Origin;
    use serde_json::json;

    #[test]
    fn labels_go_into_selectors_and_templates() {
        let mut objects = Objects::default();
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {}});
        objects
            .append(Object::new(value, Origin::default(), &Schema::built_in()))
            .unwrap();
        let pairs = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        labels(
            &mut objects,
            &pairs,
            &Configuration::defaults().common_labels,
        )
        .unwrap();
        let expected = json!({"selector": {"matchLabels": {"a": "1"}}, "template": {"metadata": {"labels": {"a": "1"}}}});
        assert_eq!(objects.get(0).value["spec"], expected);
    }
}
