//! The custom resource definitions, for `crds/` and `plimsoll crds`.
//!
//! Enters: the types of this room.
//! Leaves: one definition for each kind, by file name.
//! Never: a hand-written schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use super::{Application, SyncRecord};

/// Why a definition cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write the definition of {kind}")]
pub struct ManifestError {
    kind: &'static str,
    #[source]
    source: serde_json::Error,
}

/// Returns the definitions, each with the name of its file.
///
/// # Errors
/// A definition cannot be written as a value: a bug.
pub fn crds() -> Result<Vec<(&'static str, Value)>, ManifestError> {
    Ok(vec![
        (
            "plimsoll.dev_applications.yaml",
            write("Application", &Application::crd())?,
        ),
        (
            "plimsoll.dev_syncrecords.yaml",
            write("SyncRecord", &SyncRecord::crd())?,
        ),
    ])
}

fn write(
    kind: &'static str,
    definition: &CustomResourceDefinition,
) -> Result<Value, ManifestError> {
    let mut definition =
        serde_json::to_value(definition).map_err(|source| ManifestError { kind, source })?;
    sign_formats(&mut definition);
    Ok(definition)
}

/// Gives integers the signed formats of OpenAPI: the API server warns of `uint32` and `uint64` at every install.
fn sign_formats(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if key == "format" && (*value == "uint32" || *value == "uint64") {
                    *value = "int64".into();
                } else {
                    sign_formats(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(sign_formats),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
