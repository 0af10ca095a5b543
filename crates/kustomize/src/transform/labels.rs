//! Labels and annotations on every object, and in the fields that repeat them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::compile;
use crate::config::{Create, FieldSpec};
use crate::error::{Error, ErrorKind};
use crate::objects::Objects;
use crate::scalar;

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
        for spec in &compiled {
            spec.apply(object, Create::Mapping, &mut |field| match field {
                Value::Object(fields) => {
                    for (key, value) in pairs {
                        if !scalar::is_plain_key(key) && !fields.contains_key(key) {
                            let message = format!(
                                "set a label or annotation: the key \"{key}\" would not be a text"
                            );
                            return Err(Error::new(ErrorKind::Transformer, message));
                        }
                        fields.insert(key.clone(), Value::String(value.clone()));
                    }
                    Ok(())
                }
                Value::Null => Ok(()),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    Err(Error::new(
                        ErrorKind::Transformer,
                        "set labels or annotations: the field is no mapping",
                    ))
                }
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built::Origin;
    use crate::config::Configuration;
    use crate::merge::Schema;
    use crate::object::Object;
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
