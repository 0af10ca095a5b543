//! The custom resource definitions, as YAML for `crds/` and `plimsoll crds`.
//!
//! Enters: the types of this room.
//! Leaves: one YAML text for each kind, by file name.
//! Never: a hand-written schema.

use kube::CustomResourceExt as _;

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
    let write = |kind, definition| {
        serde_yaml::to_string(&definition).map_err(|source| ManifestError { kind, source })
    };
    Ok(vec![
        (
            "plimsoll.dev_applications.yaml",
            write("Application", Application::crd())?,
        ),
        (
            "plimsoll.dev_syncrecords.yaml",
            write("SyncRecord", SyncRecord::crd())?,
        ),
    ])
}
