//! The files of this repository, as tests read them.
//!
//! Enters: paths from the root of the repository.
//! Leaves: texts, trees in memory, YAML documents.
//! Never: a file outside the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kustomize::MemoryFiles;
use plimsoll::render::{RenderSpec, Rendered, render};
use serde_json::Value;

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the text of a file.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// Returns the files below a directory, by path from the root of the repository, in order.
pub(crate) fn files_below(directory: &str) -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        let entries = fs::read_dir(directory)
            .unwrap_or_else(|error| panic!("list {}: {error}", directory.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .map(|path| {
            path.strip_prefix(root())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    paths.sort();
    paths
}

/// Renders a path of the repository as the controller does, from the directories given.
pub(crate) fn rendered(directories: &[&str], path: &str, namespace: &str) -> Rendered {
    let mut files = MemoryFiles::new();
    for directory in directories {
        for file in files_below(directory) {
            files.insert(&format!("/{file}"), fs::read(root().join(&file)).unwrap());
        }
    }
    let spec = RenderSpec {
        path: path.to_owned(),
        default_namespace: namespace.to_owned(),
    };
    render(&files, &spec, &kustomize::Options::default())
        .unwrap_or_else(|error| panic!("{path}: {}", chain(&error)))
}

/// Returns the documents of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let files = MemoryFiles::new().with("/objects.yaml", text);
    let built = kustomize::load_plain(&files, "/", &kustomize::Options::default().limits)
        .unwrap_or_else(|error| panic!("{}\n{text}", chain(&error)));
    built
        .resources
        .into_iter()
        .map(|resource| resource.value)
        .collect()
}

/// Returns `Kind namespace/name` of an object.
pub(crate) fn title(object: &Value) -> String {
    let text = |pointer| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
