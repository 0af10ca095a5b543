//! `crds:`: `OpenAPI` definitions whose extensions say which fields hold labels, annotations, names and references.

use serde_json::{Map, Value};

use super::field::FieldSpec;
use super::settings::{Configuration, NameReference, add_reference, merge_one};
use crate::error::{Error, ErrorKind};
use crate::identity::Gvk;

/// Nesting of definitions that is followed.
const DEPTH: usize = 32;

/// Fields of one file that are followed. A definition counts again wherever it is referred to, so that a few can be as many as one likes.
const FIELDS: usize = 100_000;

/// Reads a document of definitions by type name.
///
/// # Errors
/// When two definitions disagree about a field.
pub(crate) fn from_crds(document: &Value) -> Result<Configuration, Error> {
    let mut configuration = Configuration::default();
    let empty = Map::new();
    let types = match document {
        Value::Object(types) => types,
        Value::Null => &empty,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(not_definitions("the file"));
        }
    };
    if let Some((name, _)) = types
        .iter()
        .find(|(_, definition)| !definition.is_object() && !definition.is_null())
    {
        return Err(not_definitions(&format!("`{name}`")));
    }
    for name in types.keys() {
        let Some(properties) = properties(types, name) else {
            continue;
        };
        if ["kind", "apiVersion", "metadata"]
            .iter()
            .all(|field| properties.contains_key(*field))
        {
            let kind = name.rsplit('.').next().unwrap_or(name);
            let mut definitions = Definitions {
                types,
                left: FIELDS,
            };
            follow(
                &mut configuration,
                &mut definitions,
                name,
                kind,
                &mut Vec::new(),
            )?;
        }
    }
    Ok(configuration)
}

fn not_definitions(what: &str) -> Error {
    Error::new(
        ErrorKind::Kustomization,
        format!("read definitions by type name: {what} is something else"),
    )
    .hint("`crds` names OpenAPI definitions; a CustomResourceDefinition belongs under `resources`")
}

fn properties<'a>(types: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    let definition = types.get(name)?;
    let schema = definition
        .get("Schema")
        .or_else(|| definition.get("schema"))?;
    schema.get("properties")?.as_object()
}

/// The definitions of a file, and how many fields may still be followed.
struct Definitions<'d> {
    types: &'d Map<String, Value>,
    left: usize,
}

fn follow(
    configuration: &mut Configuration,
    definitions: &mut Definitions<'_>,
    name: &str,
    kind: &str,
    path: &mut Vec<String>,
) -> Result<(), Error> {
    let properties = properties(definitions.types, name).filter(|_| path.len() < DEPTH);
    let Some(properties) = properties else {
        return Ok(());
    };
    definitions.left = definitions
        .left
        .checked_sub(properties.len())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Limit,
                format!("follow more than {FIELDS} fields of definitions"),
            )
        })?;
    for (field, property) in properties {
        let extension = |key: &str| property.get(key).and_then(Value::as_str);
        path.push(field.clone());
        let spec = |path: &[String]| FieldSpec::new(kind, &path.join("/"), false);
        if extension("x-kubernetes-annotation").is_some() {
            merge_one(&mut configuration.common_annotations, spec(path))?;
        }
        if extension("x-kubernetes-label-selector").is_some() {
            merge_one(&mut configuration.common_labels, spec(path))?;
        }
        if extension("x-kubernetes-identity").is_some() {
            merge_one(&mut configuration.name_prefix, spec(path))?;
        }
        if let (Some(version), Some(target)) = (
            extension("x-kubernetes-object-ref-api-version"),
            extension("x-kubernetes-object-ref-kind"),
        ) {
            let key = extension("x-kubernetes-object-ref-name-key").unwrap_or("name");
            let mut referrer = spec(path);
            referrer.path = format!("{}/{key}", referrer.path).into();
            let target = Gvk::new("", version, target);
            add_reference(
                &mut configuration.name_references,
                NameReference {
                    target,
                    referrers: vec![referrer],
                },
            )?;
        }
        if let Some(reference) = extension("$ref") {
            follow(configuration, definitions, reference, kind, path)?;
        }
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_through_definitions() {
        let string = json!({"type": "string"});
        let configuration = from_crds(&json!({
            "a/v1.Bee": {"Schema": {"properties": {
                "apiVersion": string, "kind": string, "metadata": string, "spec": {"$ref": "a/v1.BeeSpec"}}}},
            "a/v1.BeeSpec": {"Schema": {"properties": {"secretRef": {
                "x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "Secret"}}}}
        }))
        .unwrap();
        let reference = &configuration.name_references[0];
        assert_eq!(reference.target, Gvk::new("", "v1", "Secret"));
        assert_eq!(
            reference.referrers,
            [FieldSpec::new("Bee", "spec/secretRef/name", false)]
        );
    }
}
