//! The transformers that are built in, one file each.
//! Enters: objects, and what to do to them.
//! Leaves: the objects changed.
//! Never: files; what a transformer reads was loaded before.

mod images;
mod labels;
mod names;
mod namespace;
mod patches;
mod replacements;
mod replicas;
mod structured;
mod value_add;
mod variables;

pub(crate) use images::images;
pub(crate) use labels::{annotations, labels};
pub(crate) use names::{prefix, suffix};
pub(crate) use namespace::{NamespaceOptions, Subjects, namespace, set_namespace_of};
pub(crate) use patches::{LoadedPatch, PatchContent, apply_json, apply_merge_patches, apply_patch};
pub(crate) use replacements::replacements;
pub(crate) use replicas::replicas;
pub(crate) use value_add::{ValueTarget, add_value};
pub(crate) use variables::{VariableSet, mark, resolve};

use serde_json::Value;

use crate::config::{Create, FieldSpec, split_path, walk};
use crate::error::Error;
use crate::object::Object;

/// A field spec with its path split, for many objects.
pub(crate) struct Compiled<'a> {
    pub(crate) spec: &'a FieldSpec,
    pub(crate) path: Vec<String>,
}

pub(crate) fn compile(specs: &[FieldSpec]) -> Vec<Compiled<'_>> {
    specs
        .iter()
        .map(|spec| Compiled {
            spec,
            path: split_path(&spec.path, '/'),
        })
        .collect()
}

impl Compiled<'_> {
    /// Sets the field of an object if the spec is for its kind.
    fn apply(
        &self,
        object: &mut Object,
        create: Create,
        set: &mut dyn FnMut(&mut Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !object.id.gvk.is_selected(&self.spec.gvk) {
            return Ok(());
        }
        let create = if self.spec.create {
            create
        } else {
            Create::Nothing
        };
        walk(&mut object.value, &self.path, create, set).map_err(|error| {
            error
                .field(self.spec.path.clone())
                .at(&object.origin.file, object.origin.line, 0)
        })
    }
}
