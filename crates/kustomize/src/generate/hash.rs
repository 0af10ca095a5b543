//! The hash of the content of a config map or secret, as it stands in the name.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::json::go_json;
use crate::object::Object;
use crate::scalar;

/// Ten characters that change when the content does.
pub(crate) fn hash(object: &Object) -> String {
    let mut settled = object.value.clone();
    // What cannot be printed is found when the object is.
    let _unprintable: Result<(), scalar::Misfit> = scalar::settle(&mut settled);
    let value = &settled;
    let field = |name: &str| match value.get(name) {
        None => Value::String(String::new()),
        Some(Value::Null) => Value::String("null".to_owned()),
        Some(found) if scalar::is_scalar(found) => Value::String(scalar::text(found)),
        Some(found) => content_of(found),
    };
    let mut content = Map::new();
    match object.id.gvk.kind.as_ref() {
        "Secret" => {
            content.insert("type".to_owned(), field("type"));
            insert_mapping(&mut content, "stringData", value);
        }
        "ConfigMap" => insert_mapping(&mut content, "binaryData", value),
        _ => return short(&go_json(value, false)),
    }
    content.insert(
        "kind".to_owned(),
        Value::String(object.id.gvk.kind.clone().into_owned()),
    );
    // Upstream looks for a field of the name `metadata/name`, and there is none.
    content.insert("name".to_owned(), Value::String(String::new()));
    content.insert("data".to_owned(), field("data"));
    short(&go_json(&Value::Object(content), false))
}

fn insert_mapping(content: &mut Map<String, Value>, name: &str, value: &Value) {
    if let Some(found) = value
        .get(name)
        .filter(|found| found.is_object() || found.is_array())
    {
        content.insert(name.to_owned(), content_of(found));
    }
}

/// A mapping as upstream reads it for the hash: every number is a float, so that of a large one the last digits do not count.
/// A list is none, and is null there.
fn content_of(value: &Value) -> Value {
    fn floats(value: &Value) -> Value {
        match value {
            Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
            Value::Array(items) => items.iter().map(floats).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.clone(), floats(value)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
        }
    }
    if value.is_array() {
        return Value::Null;
    }
    floats(value)
}

/// The first ten hexadecimal digits, without those that could make words.
fn short(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(10);
    digits
        .map(|digit| match digit {
            0 => 'g',
            1 => 'h',
            3 => 'k',
            10 => 'm',
            14 => 't',
            other => char::from_digit(u32::from(other), 16).unwrap_or('g'),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Schema;
    use crate::origin::Origin;
    use serde_json::json;

    #[test]
    fn known_hashes() {
        for (value, expected) in [
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}),
                "6ct58987ht",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}),
                "hmg6f82fh6",
            ),
        ] {
            let object = Object::new(value.clone(), Origin::default(), &Schema::built_in());
            assert_eq!(hash(&object), expected, "{value}");
        }
    }
}
