//! A rendered set that is kept for long and looked at rarely.
//!
//! Enters: a rendered set.
//! Leaves: the same set; between, its bytes.
//! Never: a set that is not the one that was packed: its digest is checked when it is opened.

use std::sync::Arc;

use kustomize::RemotePin;
use serde_json::Value;

use super::{Error, Rendered, restore};
use crate::model::{Digest, Location, Object, Packed, StoredSet};

/// Depth to which values are packed; JSON is read to 128, and the renderer reads no deeper either.
const DEPTH: usize = 100;

/// A rendered set as bytes, without the paths that were read. A clone shares them.
#[derive(Clone, Debug)]
pub struct PackedSet(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    digest: Digest,
    objects: Packed,
    locations: Vec<Option<Location>>,
    warnings: Vec<String>,
    remotes: Vec<RemotePin>,
}

impl PackedSet {
    /// Packs a set; None where it is nested too deep to be read again.
    pub fn of(rendered: &Rendered) -> Option<Self> {
        let objects = rendered.objects();
        let is_read_again = |object: &Object| is_shallow(object.value(), DEPTH);
        if !objects.iter().all(is_read_again) {
            return None;
        }
        Some(Self(Arc::new(Parts {
            digest: rendered.digest().clone(),
            objects: Packed::of_all(objects.iter().map(Object::value)),
            locations: objects
                .iter()
                .map(|object| object.location().cloned())
                .collect(),
            warnings: rendered.warnings().to_vec(),
            remotes: rendered.remotes().to_vec(),
        })))
    }

    /// Returns the digest of the set.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// Returns what was fetched beside the revision, and as what.
    pub fn remotes(&self) -> &[RemotePin] {
        &self.0.remotes
    }

    /// Opens the set.
    ///
    /// # Errors
    /// What is kept is not what was packed: a fault of ours, or of the machine.
    pub fn open(&self) -> Result<Rendered, Error> {
        let values = match self.0.objects.value() {
            Some(Value::Array(values)) => values,
            Some(_) | None => Vec::new(),
        };
        let objects = values
            .into_iter()
            .zip(&self.0.locations)
            .filter_map(|(value, location)| Object::new(value, location.clone()).ok())
            .collect();
        // One that is missing shows in the digest.
        let mut rendered = restore(StoredSet {
            digest: self.0.digest.clone(),
            objects,
        })?;
        rendered.warnings.clone_from(&self.0.warnings);
        rendered.remotes.clone_from(&self.0.remotes);
        Ok(rendered)
    }
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_shallow(item, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|item| is_shallow(item, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{RenderSpec, render};

    fn rendered(text: &str) -> Rendered {
        let files = kustomize::MemoryFiles::new().with("/app/a.yaml", text);
        let spec = RenderSpec {
            path: "app".to_owned(),
            default_namespace: "shop".to_owned(),
        };
        render(&files, &spec, &kustomize::Options::default()).unwrap()
    }

    #[test]
    fn a_set_that_was_packed_is_the_same_set() {
        let set = rendered(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}\n---\n{apiVersion: shop.example.org/v1, kind: Till, metadata: {name: t}, spec: {n: 9007199254740993, f: 0.30000000000000004}}",
        );
        let again = PackedSet::of(&set).unwrap().open().unwrap();
        assert_eq!(again.digest(), set.digest());
        assert_eq!(again.objects(), set.objects());
        assert_eq!(again.objects().len(), 2);
        assert_eq!(again.objects()[1].location(), set.objects()[1].location());
        assert!(again.objects()[1].location().is_some());
    }

    #[test]
    fn what_would_not_be_read_again_is_not_packed() {
        let deep = format!("{}1{}", "[".repeat(110), "]".repeat(110));
        let set = rendered(&format!(
            "{{apiVersion: shop.example.org/v1, kind: Till, metadata: {{name: t}}, spec: {{a: {deep}}}}}"
        ));
        assert!(PackedSet::of(&set).is_none());
    }
}
