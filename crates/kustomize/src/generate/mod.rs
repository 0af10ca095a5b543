//! Config maps and secrets from literals, files and env files; the hash in their names.
//! Enters: arguments, and the contents of the files that they name.
//! Leaves: objects.

mod hash;
mod json;
mod pairs;
mod text;

pub(crate) use hash::hash;
pub(crate) use json::{go_json, go_yaml};
pub(crate) use pairs::{Pair, env_pairs, file_source, literal_pair};
pub(crate) use text::scalar_of;

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind};
use crate::kustomization::GeneratorArguments;
use crate::merge::Schema;
use crate::object::{Behavior, Object};
use crate::origin::Origin;
use crate::scalar;
use crate::yaml;

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generated {
    ConfigMap,
    Secret,
}

impl Generated {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Makes the object.
///
/// # Errors
/// When it has no name, or a key stands twice.
pub(crate) fn generate(
    kind: Generated,
    arguments: &GeneratorArguments,
    pairs: Vec<Pair>,
    file: &str,
    schema: &Schema,
) -> Result<Object, Error> {
    let failed = |message: String| {
        Error::new(ErrorKind::Generator, message).at(
            file,
            arguments.place.line,
            arguments.place.column,
        )
    };
    if arguments.name.is_empty() {
        return Err(failed(format!(
            "generate a {}: it has no name",
            kind.as_str()
        )));
    }
    let mut data = Map::new();
    let mut binary = Map::new();
    for pair in pairs {
        if !scalar::is_plain_key(&pair.key) {
            return Err(failed(format!(
                "generate {} {}: the key \"{}\" would not be a text",
                kind.as_str(),
                arguments.name,
                pair.key
            )));
        }
        if data.contains_key(&pair.key) || binary.contains_key(&pair.key) {
            return Err(failed(format!(
                "generate {} {}: the key {} stands twice",
                kind.as_str(),
                arguments.name,
                pair.key
            )));
        }
        match (kind, std::str::from_utf8(&pair.value)) {
            (Generated::ConfigMap, Ok(text)) if yaml::is_lost_in_block(text) => {
                return Err(failed(format!(
                    "generate ConfigMap {}: {} begins with a tab, and upstream cannot read again what it prints for that",
                    arguments.name, pair.key
                )));
            }
            (Generated::ConfigMap, Ok(text)) => {
                data.insert(pair.key, scalar_of(text));
            }
            (Generated::ConfigMap, Err(_)) => {
                binary.insert(pair.key, scalar_of(&encode_base64(&pair.value)));
            }
            (Generated::Secret, _) => {
                data.insert(pair.key, scalar_of(&encode_base64(&pair.value)));
            }
        }
    }
    let mut value =
        json!({"apiVersion": "v1", "kind": kind.as_str(), "metadata": {"name": arguments.name}});
    let texts = |map: &std::collections::BTreeMap<String, String>| {
        Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), Value::String(value.clone())))
                .collect(),
        )
    };
    if !arguments.namespace.is_empty() {
        value["metadata"]["namespace"] = Value::String(arguments.namespace.clone());
    }
    for (field, map) in [
        ("labels", &arguments.options.labels),
        ("annotations", &arguments.options.annotations),
    ] {
        if !map.is_empty() {
            value["metadata"][field] = texts(map);
        }
    }
    if kind == Generated::Secret {
        let r#type = if arguments.r#type.is_empty() {
            "Opaque"
        } else {
            &arguments.r#type
        };
        value["type"] = Value::String(r#type.to_owned());
        value["data"] = Value::Object(data);
    } else if !data.is_empty() {
        value["data"] = Value::Object(data);
    }
    if !binary.is_empty() {
        value["binaryData"] = Value::Object(binary);
    }
    if arguments.options.immutable {
        value["immutable"] = Value::Bool(true);
    }
    let origin = Origin {
        file: file.to_owned(),
        line: arguments.place.line,
    };
    let mut object = Object::new(value, origin, schema);
    object.memory.needs_hash = !arguments.options.disable_name_suffix_hash;
    object.memory.behavior = Some(Behavior::parse(&arguments.behavior));
    Ok(object)
}

/// Base64 in lines of 70 characters; one line where it fits into one.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    const WIDTH: usize = 70;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() < WIDTH {
        return text;
    }
    let mut result = String::with_capacity(text.len() + text.len() / WIDTH + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(WIDTH.min(rest.len()));
        result.push_str(line);
        result.push('\n');
        rest = after;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_folded_at_seventy() {
        assert_eq!(encode_base64(b"hello"), "aGVsbG8=");
        assert_eq!(encode_base64(&[0; 51]), "A".repeat(68));
        assert_eq!(encode_base64(&[0; 54]), format!("{}\nAA\n", "A".repeat(70)));
    }
}
