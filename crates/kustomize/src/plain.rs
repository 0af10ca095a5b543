//! Directories without a kustomization.

use crate::built::{Built, Resource};
use crate::error::Error;
use crate::files::{EntryKind, Files, join};
use crate::load::Loader;
use crate::objects::Objects;
use crate::options::{Limits, Options};

/// Loads a directory of plain manifests (`*.yaml`, `*.yml`, `*.json`, not recursive), in name order.
///
/// # Errors
/// When a file cannot be read or holds something that is not an object, or two objects have one identity.
pub fn load_plain(files: &dyn Files, path: &str, limits: &Limits) -> Result<Built, Error> {
    let options = Options {
        limits: limits.clone(),
        ..Options::default()
    };
    let mut loader = Loader::new(&options);
    let directory = loader.top(files, path)?;
    let mut objects = Objects::default();
    for name in files.list(&directory.root)? {
        let is_manifest = [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| name.ends_with(ending));
        if !is_manifest || loader.kind_of(&directory, &name)? != Some(EntryKind::File) {
            continue;
        }
        let (content, file) = loader.load(&directory, &name)?;
        objects.append_all(loader.objects(&content, &file)?)?;
    }
    let mut resources = Vec::with_capacity(objects.len());
    for mut object in objects.into_list() {
        if let Some(defect) = object.defect.take() {
            return Err(object.unprintable(defect));
        }
        if let Err(misfit) = object.settle() {
            let message = format!("\"{}\" cannot be written as JSON", misfit.text);
            return Err(object.unprintable(message).field(misfit.field_path()));
        }
        resources.push(Resource {
            value: object.value,
            origin: object.origin,
        });
    }
    Ok(Built {
        resources,
        warnings: loader.warnings,
        read: loader.read,
        remotes: Vec::new(),
    })
}

/// Returns the path of the kustomization file in the directory `path`, or `None` where there is none.
///
/// # Errors
/// When there are several, or the tree cannot be read.
pub fn find_kustomization(files: &dyn Files, path: &str) -> Result<Option<String>, Error> {
    let options = Options::default();
    let mut loader = Loader::new(&options);
    let absolute = join("/", path).unwrap_or_else(|| path.to_owned());
    if files.resolve(&absolute)?.is_none() {
        return Ok(None);
    }
    let directory = loader.top(files, path)?;
    loader.find_kustomization(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryFiles;

    #[test]
    fn plain_manifests_come_in_name_order() {
        let object =
            |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let files = MemoryFiles::new()
            .with("/d/b.yaml", object("b"))
            .with("/d/a.yml", object("a"))
            .with("/d/c.txt", "x")
            .with("/d/sub/x.yaml", object("x"));
        let built = load_plain(&files, "/d", &Limits::default()).unwrap();
        let names: Vec<_> = built
            .resources
            .iter()
            .map(|resource| resource.value["metadata"]["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn kustomizations_are_found() {
        let files = MemoryFiles::new()
            .with("/a/Kustomization", "")
            .with("/b/x", "");
        assert_eq!(
            find_kustomization(&files, "/a").unwrap().as_deref(),
            Some("/a/Kustomization")
        );
        assert_eq!(find_kustomization(&files, "/b").unwrap(), None);
        assert_eq!(find_kustomization(&files, "/none").unwrap(), None);
    }
}
