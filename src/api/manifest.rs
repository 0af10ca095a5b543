//! The custom resource definitions, as YAML for `crds/` and `plimsoll crds`.
//!
//! Enters: the types of this room.
//! Leaves: one YAML text for each kind, by file name.
//! Never: a hand-written schema.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_yaml::Value;

use super::{Application, SyncRecord};

/// Why a definition cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("write the definition of {kind} as YAML")]
pub struct ManifestError {
    kind: &'static str,
    #[source]
    source: serde_yaml::Error,
}

/// Returns the definitions as pairs of file name and YAML.
///
/// # Errors
/// A definition cannot be written as YAML: a bug.
pub fn crds() -> Result<Vec<(&'static str, String)>, ManifestError> {
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
) -> Result<String, ManifestError> {
    let mut definition =
        serde_yaml::to_value(definition).map_err(|source| ManifestError { kind, source })?;
    sign_formats(&mut definition);
    serde_yaml::to_string(&definition).map_err(|source| ManifestError { kind, source })
}

/// Gives integers the signed formats of OpenAPI: the API server warns of `uint32` and `uint64` at every install.
fn sign_formats(value: &mut Value) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter_mut() {
                if key == "format" && (*value == "uint32" || *value == "uint64") {
                    *value = "int64".into();
                } else {
                    sign_formats(value);
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(sign_formats),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {}
    }
}
