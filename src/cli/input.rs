//! Files and the cluster, for the verbs.
//!
//! Enters: paths, connection arguments.
//! Leaves: bytes, a connection with its namespace, Applications.
//! Never: a decision.

use std::path::Path;

use serde_json::Value;

use super::{Exit, Failure, args::ConnectArgs, output, settings};
use crate::{
    api::{Application, GROUP, SyncRecord, VERSION},
    cluster::{Cluster, Identity, ListQuery, Reader},
    model::{ApplicationKey, Object, ObjectId},
    source::LocalFiles,
};

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("read {}: {error}", path.display())))
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::new(Exit::Usage, format!("write {}: {error}", path.display())))
}

pub(super) fn absolute(path: &Path) -> Result<String, Failure> {
    let found = std::fs::canonicalize(path).map_err(|error| {
        Failure::new(Exit::NotFound, format!("find {}: {error}", path.display()))
    })?;
    found.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("read {}: the path is not UTF-8", path.display()),
        )
    })
}

/// Returns a file as a person would reach it who named `directory`, whose real path is `root`: so that it can be
/// opened from where the command was given.
pub(super) fn shown(directory: &Path, root: &str, file: &str) -> String {
    let root: Vec<&str> = parts(root).collect();
    let file: Vec<&str> = parts(file).collect();
    let same = root.iter().zip(&file).take_while(|(a, b)| a == b).count();
    let given = directory.to_string_lossy();
    let mut shown: Vec<&str> = parts(&given).filter(|part| *part != ".").collect();
    for _ in same..root.len() {
        match shown.last() {
            None | Some(&"..") => shown.push(".."),
            Some(_) => drop(shown.pop()),
        }
    }
    shown.extend(file.iter().skip(same));
    let start = if given.starts_with('/') { "/" } else { "" };
    format!("{start}{}", shown.join("/"))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The disk, with the limits of the renderer: a file of 32 MiB, a directory of 50,000 names.
pub(super) fn files() -> LocalFiles {
    LocalFiles::new(32 << 20, 50_000)
}

/// Returns an object as `kustomize build` would print it.
pub(super) fn to_yaml(object: &Object) -> String {
    value_to_yaml(object.value().clone())
}

/// Returns a value as the renderer writes it: what readers of YAML 1.1 (kubectl, Helm) would take for something
/// else than text, such as `Off`, is quoted.
pub(super) fn value_to_yaml(value: Value) -> String {
    kustomize::Resource {
        value,
        origin: kustomize::Origin::default(),
    }
    .to_yaml()
}

/// A connection as the person, and the namespace that is meant.
pub(super) struct Connected {
    pub(super) cluster: Cluster,
    pub(super) reader: Reader,
    pub(super) namespace: String,
}

pub(super) async fn connect(args: &ConnectArgs) -> Result<Connected, Failure> {
    let cluster = Cluster::connect(settings::connect(args)).await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| cluster.default_namespace().to_owned());
    Ok(Connected {
        reader: cluster.reader(Identity::Person),
        cluster,
        namespace,
    })
}

impl Connected {
    pub(super) fn key(&self, name: &str) -> ApplicationKey {
        ApplicationKey {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    pub(super) async fn application(&self, name: &str) -> Result<Application, Failure> {
        let id = ObjectId::new(GROUP, "Application", &self.namespace, name);
        let value = self.reader.get(&api_version(), &id).await?;
        let value = value.ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                format!("Application {}/{name} does not exist", self.namespace),
            )
            .hint("plimsoll get -A lists all")
        })?;
        decode(value)
    }

    pub(super) async fn applications(
        &self,
        all_namespaces: bool,
    ) -> Result<Vec<Application>, Failure> {
        let query = ListQuery {
            namespace: (!all_namespaces).then(|| self.namespace.clone()),
            ..ListQuery::default()
        };
        let values = self
            .reader
            .list(&api_version(), "Application", &query)
            .await?;
        let mut applications = Vec::with_capacity(values.len());
        for value in values {
            let name = key_of(&value);
            match serde_json::from_value(value) {
                Ok(application) => applications.push(application),
                // One that cannot be read hides no other.
                Err(error) => output::message(&format!(
                    "warning: Application {name} is left out, for it cannot be read: {error}"
                )),
            }
        }
        Ok(applications)
    }

    /// Reads one page of the records, in order of their names: those of one chain by their numbers.
    pub(super) async fn records(
        &self,
        all_namespaces: bool,
        application: Option<&str>,
        next: &str,
    ) -> Result<(Vec<SyncRecord>, String), Failure> {
        let query = ListQuery {
            namespace: (!all_namespaces).then(|| self.namespace.clone()),
            fields: application.map_or_else(String::new, |name| format!("spec.application={name}")),
            ..ListQuery::default()
        };
        let page = self
            .reader
            .page(&api_version(), "SyncRecord", &query, next)
            .await?;
        let (values, next) = page.ok_or_else(|| {
            Failure::new(
                Exit::Unreachable,
                "list the records: the API server forgot the state that the list began with",
            )
            .hint("run it again, or read an export with --from")
        })?;
        let records = values.into_iter().map(decode).collect::<Result<_, _>>()?;
        Ok((records, next))
    }

    /// Reads the checkpoints that the cluster keeps; None where there are none, or the person may not.
    pub(super) async fn checkpoints(&self, namespace: &str) -> Result<Option<String>, Failure> {
        let id = ObjectId::new("", "ConfigMap", namespace, "plimsoll-checkpoints");
        match self.reader.get("v1", &id).await {
            Ok(found) => Ok(found
                .as_ref()
                .and_then(|found| found.pointer("/data/checkpoints.jsonl")?.as_str())
                .map(str::to_owned)),
            Err(crate::cluster::Error::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn key_of(value: &Value) -> String {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"))
}

fn api_version() -> String {
    format!("{GROUP}/{VERSION}")
}

fn decode<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        Failure::new(
            Exit::Bug,
            format!("decode what the API server answered: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_shown_as_it_is_reached_from_where_the_person_stands() {
        for (directory, root, file, expected) in [
            (
                ".",
                "/home/a/shop",
                "/home/a/shop/deploy/web.yaml",
                "deploy/web.yaml",
            ),
            (
                "./shop",
                "/home/a/shop",
                "/home/a/shop/deploy/web.yaml",
                "shop/deploy/web.yaml",
            ),
            (
                "shop/prod",
                "/home/a/shop/prod",
                "/home/a/shop/base/web.yaml",
                "shop/base/web.yaml",
            ),
            (
                ".",
                "/home/a/shop/prod",
                "/home/a/shop/base/web.yaml",
                "../base/web.yaml",
            ),
            (
                "..",
                "/home/a/shop",
                "/home/a/base/web.yaml",
                "../../base/web.yaml",
            ),
            (
                "/tmp/shop",
                "/tmp/shop",
                "/tmp/shop/deploy/web.yaml",
                "/tmp/shop/deploy/web.yaml",
            ),
        ] {
            assert_eq!(shown(Path::new(directory), root, file), expected);
        }
    }
}
