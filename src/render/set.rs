//! Rendering a path, and restoring what was rendered before.
//!
//! Enters: files, or a stored set.
//! Leaves: `Rendered`.
//! Never: a set whose digest was not computed or checked here.

use std::collections::{BTreeMap, BTreeSet};

use kustomize::RemotePin;

use super::{
    Error, Scope,
    digest::render_digest,
    marks::marked,
    scope::{builtin_scope, defined_scopes},
};
use crate::model::{ApplicationKey, Digest, GroupKind, Location, Object, ObjectId, StoredSet};

/// What to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderSpec {
    /// Path in the tree: a kustomization or a folder of plain manifests.
    pub path: String,
    /// Namespace of namespaced objects that name none.
    pub default_namespace: String,
}

/// The objects of one render digest, in the order of the render, without marks.
#[derive(Clone, Debug)]
pub struct Rendered {
    objects: Vec<Object>,
    digest: Digest,
    pub(super) warnings: Vec<String>,
    read: BTreeSet<String>,
    pub(super) remotes: Vec<RemotePin>,
}

impl Rendered {
    /// Returns the objects in the order of the render.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Returns the render digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what the renderer warned of.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the paths that were read or looked for; empty for a restored set.
    pub fn read(&self) -> &BTreeSet<String> {
        &self.read
    }

    /// Returns what was fetched beside the revision, and as what; empty for a restored set.
    pub fn remotes(&self) -> &[RemotePin] {
        &self.remotes
    }

    /// Returns the objects as they are sent: with marks, and with the namespace that their scope asks for.
    ///
    /// `scopes` answers for kinds that are neither built in nor defined by the set itself;
    /// what it does not know counts as namespaced.
    pub fn placed(
        &self,
        key: &ApplicationKey,
        scopes: &dyn Fn(&GroupKind) -> Option<Scope>,
    ) -> Vec<Object> {
        let placer = self.placer(key);
        let objects = self.objects.iter();
        objects.map(|object| placer.place(object, scopes)).collect()
    }

    /// Returns what gives the objects of this set the form in which they are sent, one by one.
    pub fn placer<'a>(&self, key: &'a ApplicationKey) -> Placer<'a> {
        Placer {
            key,
            defined: defined_scopes(&self.objects),
        }
    }

    /// Returns the set in the form in which it is stored.
    pub fn to_stored(&self) -> StoredSet {
        StoredSet {
            digest: self.digest.clone(),
            objects: self.objects.clone(),
        }
    }
}

/// Gives objects of one set the form in which they are sent.
#[derive(Clone, Debug)]
pub struct Placer<'a> {
    key: &'a ApplicationKey,
    /// Scopes of the kinds that the set itself defines.
    defined: BTreeMap<GroupKind, Scope>,
}

impl Placer<'_> {
    /// Returns an object with marks, and with the namespace that its scope asks for.
    ///
    /// `scopes` is as for [`Rendered::placed`].
    pub fn place(&self, object: &Object, scopes: impl Fn(&GroupKind) -> Option<Scope>) -> Object {
        let kind = object.group_kind();
        let scope = builtin_scope(&kind)
            .or_else(|| self.defined.get(&kind).copied())
            .or_else(|| scopes(&kind));
        let object = marked(object, self.key);
        match scope {
            Some(Scope::Cluster) if !object.id().namespace.is_empty() => object.with_namespace(""),
            Some(Scope::Cluster | Scope::Namespaced) | None => object,
        }
    }
}

/// Renders a path of a tree of files. Places are named from the root of the tree.
///
/// # Errors
/// Nothing stands at the path, the files do not build, or two objects have one identity.
pub fn render(
    files: &dyn kustomize::Files,
    spec: &RenderSpec,
    options: &kustomize::Options,
) -> Result<Rendered, Error> {
    let from_root = |file: &str| file.trim_start_matches('/').to_owned();
    render_naming(files, spec, options, &from_root)
}

/// Renders a path of a tree of files. `name` gives a file of the tree the name by which places are called.
///
/// # Errors
/// As for [`render`].
pub fn render_naming(
    files: &dyn kustomize::Files,
    spec: &RenderSpec,
    options: &kustomize::Options,
    name: &dyn Fn(&str) -> String,
) -> Result<Rendered, Error> {
    let path = format!("/{}", spec.path.trim_matches('/'));
    let build_error = |source| Error::Build {
        path: spec.path.clone(),
        source,
    };
    let is_directory = matches!(
        files.resolve(&path),
        Ok(Some((_, kustomize::EntryKind::Directory)))
    );
    if !is_directory {
        return Err(Error::PathMissing {
            path: spec.path.clone(),
        });
    }
    let built = if kustomize::find_kustomization(files, &path)
        .map_err(build_error)?
        .is_some()
    {
        kustomize::build(files, &path, options)
    } else {
        kustomize::load_plain(files, &path, &options.limits)
    }
    .map_err(build_error)?;

    let warnings = built
        .warnings
        .iter()
        .map(|warning| match warning.file.as_str() {
            "" => warning.message.clone(),
            file => format!("{}: {}", name(file), warning.message),
        })
        .collect();
    let mut objects = Vec::with_capacity(built.resources.len());
    for resource in built.resources {
        let location = Location::line(&name(&resource.origin.file), resource.origin.line);
        let object = Object::new(resource.value, Some(location.clone()))
            .map_err(|source| Error::Object { location, source })?;
        objects.push(object);
    }
    let defined = defined_scopes(&objects);
    let objects: Vec<Object> = objects
        .into_iter()
        .map(|object| {
            let kind = object.group_kind();
            let scope = builtin_scope(&kind).or_else(|| defined.get(&kind).copied());
            match scope {
                Some(Scope::Cluster) => object,
                Some(Scope::Namespaced) | None if object.id().namespace.is_empty() => {
                    object.with_namespace(&spec.default_namespace)
                }
                Some(Scope::Namespaced) | None => object,
            }
        })
        .map(Object::with_plain_data)
        .collect();
    refuse_duplicates(&objects)?;
    let digest = render_digest(&objects);
    Ok(Rendered {
        objects,
        digest,
        warnings,
        read: built.read,
        remotes: built.remotes,
    })
}

/// Takes back a stored set, if its objects have the digest under which it was stored.
///
/// # Errors
/// They have not.
pub fn restore(stored: StoredSet) -> Result<Rendered, Error> {
    let found = render_digest(&stored.objects);
    if found != stored.digest {
        return Err(Error::Damaged {
            expected: stored.digest,
            found,
        });
    }
    Ok(Rendered {
        objects: stored.objects,
        digest: found,
        warnings: Vec::new(),
        read: BTreeSet::new(),
        remotes: Vec::new(),
    })
}

fn refuse_duplicates(objects: &[Object]) -> Result<(), Error> {
    let mut seen: BTreeMap<&ObjectId, &Object> = BTreeMap::new();
    for object in objects {
        if let Some(first) = seen.insert(object.id(), object) {
            let place = |object: &Object| object.location().cloned().unwrap_or_default();
            return Err(Error::Duplicate {
                id: Box::new(object.id().clone()),
                first: place(first),
                second: place(object),
            });
        }
    }
    Ok(())
}
