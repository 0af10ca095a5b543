//! Applying patches to the objects that they are for.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::kustomization::{Located, Selector};
use crate::merge::{JsonPatch, Schema, merge};
use crate::object::Object;
use crate::objects::Objects;
use crate::scalar;
use crate::select;
use crate::shared;
use crate::yaml;

/// What a patch says.
#[derive(Debug, Clone)]
pub(crate) enum PatchContent {
    Merge(Vec<Object>),
    Json(JsonPatch),
}

/// A patch with its target and options.
#[derive(Debug, Clone)]
pub(crate) struct LoadedPatch {
    pub(crate) content: PatchContent,
    pub(crate) target: Option<Selector>,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    /// The kustomization, and where the patch stands in it.
    pub(crate) file: String,
    pub(crate) place: Located,
}

impl LoadedPatch {
    fn error(&self, error: Error) -> Error {
        error.at(&self.file, self.place.line, self.place.column)
    }
}

/// Applies one entry of `patches`, and says whether the schema was asked.
///
/// # Errors
/// When a patch without target matches nothing, or cannot be applied.
pub(crate) fn apply_patch(
    objects: &mut Objects,
    patch: &LoadedPatch,
    schema: &Schema,
) -> Result<bool, Error> {
    match (&patch.content, &patch.target) {
        (PatchContent::Merge(patches), Some(target)) => {
            let [one] = patches.as_slice() else {
                if patches.is_empty() {
                    return Ok(false);
                }
                return Err(patch.error(
                    Error::new(
                        ErrorKind::Patch,
                        "apply several strategic merge patches to one target",
                    )
                    .hint("make one entry of `patches` for each"),
                ));
            };
            let selected = select::select(objects, target).map_err(|error| patch.error(error))?;
            let prepared = prepare(one);
            let is_merged = !selected.is_empty();
            for index in selected {
                objects.all_mut()[index].inherit_defect(one);
                let mut prepared = prepared.clone();
                let api_version = objects.get(index).id.gvk.api_version();
                let quoted = one.value.get("apiVersion").is_some_and(scalar::is_quoted);
                let braces = objects.get(index).braces || quoted;
                if let Value::Object(fields) = &mut prepared {
                    fields.insert("apiVersion".to_owned(), Value::String(api_version.clone()));
                }
                merge_into(
                    objects,
                    index,
                    &prepared,
                    patch.allow_name_change,
                    patch.allow_kind_change,
                    schema,
                )
                .map_err(|error| patch.error(error))?;
                if let Value::Object(fields) = &mut objects.all_mut()[index].value
                    && api_version.is_empty()
                {
                    let nothing = if braces {
                        Value::String(String::new())
                    } else {
                        Value::Null
                    };
                    fields.insert("apiVersion".to_owned(), nothing);
                }
            }
            finish(objects).map_err(|error| patch.error(error))?;
            Ok(is_merged)
        }
        (PatchContent::Merge(patches), None) => {
            for one in patches {
                let index = target_of(objects, one).map_err(|error| patch.error(error))?;
                objects.all_mut()[index].inherit_defect(one);
                let mut prepared = one.clone();
                if patch.allow_name_change || patch.allow_kind_change {
                    // The options are notes on the patch, and all its annotations become texts.
                    prepared.write_annotations();
                }
                merge_into(
                    objects,
                    index,
                    &prepared.value,
                    patch.allow_name_change,
                    patch.allow_kind_change,
                    schema,
                )
                .map_err(|error| patch.error(error))?;
            }
            finish(objects).map_err(|error| patch.error(error))?;
            Ok(!patches.is_empty())
        }
        (PatchContent::Json(_), None) => Err(patch.error(Error::new(
            ErrorKind::Patch,
            "apply a JSON patch: it has no target",
        ))),
        (PatchContent::Json(json), Some(target)) => {
            apply_json(objects, json, target, true, schema).map_err(|error| patch.error(error))?;
            Ok(false)
        }
    }
}

/// A text of a value that upstream cannot read again after it has written it.
fn text_lost_in_block(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.as_str()).filter(|text| yaml::is_lost_in_block(text)),
        Value::Array(items) => items.iter().find_map(text_lost_in_block),
        Value::Object(fields) => fields.values().find_map(text_lost_in_block),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Applies a JSON patch to every object that a selector means.
///
/// # Errors
/// When an operation cannot be applied.
pub(crate) fn apply_json(
    objects: &mut Objects,
    json: &JsonPatch,
    target: &Selector,
    remember: bool,
    schema: &Schema,
) -> Result<(), Error> {
    for index in select::select(objects, target)? {
        let object = &mut objects.all_mut()[index];
        let before = object.id.clone();
        if remember {
            object.remember();
        }
        let memory = object.memory.clone();
        object.materialise();
        let misfit = object.settle();
        if let Err(misfit) = misfit {
            let message = format!("\"{}\" cannot be written as JSON", misfit.text);
            return Err(object.unprintable(message).field(misfit.field_path()));
        }
        json.apply(&mut object.value).map_err(|error| {
            let id = object.id.to_string();
            Error::new(ErrorKind::Patch, format!("apply a JSON patch to {id}")).caused_by(error)
        })?;
        if let Some(text) = text_lost_in_block(&object.value) {
            let first = text.lines().next().unwrap_or_default().trim();
            let message = format!("\"{first}\" follows a tab at the beginning of a block text");
            return Err(object.unprintable(message));
        }
        object.absorb();
        object.tidy_annotations();
        object.shared.clear();
        object.braces = false;
        object.memory = memory;
        object.refresh(schema);
        let changed = remember || object.id.gvk != before.gvk || object.id != before;
        if changed {
            objects.identities_changed();
        }
    }
    Ok(())
}

/// Applies entries of `patchesStrategicMerge`.
///
/// # Errors
/// When a patch matches nothing, or cannot be applied.
pub(crate) fn apply_merge_patches(
    objects: &mut Objects,
    patches: &[Object],
    schema: &Schema,
) -> Result<(), Error> {
    for patch in patches {
        let index = target_of(objects, patch)?;
        objects.all_mut()[index].inherit_defect(patch);
        merge_into(objects, index, &prepare(patch), false, false, schema)?;
        finish(objects)?;
    }
    Ok(())
}

/// A patch as upstream copies it: labels and annotations become texts, null ones too.
fn prepare(patch: &Object) -> Value {
    let mut copy = patch.clone();
    for field in ["labels", "annotations"] {
        let entries = copy.metadata_map(field);
        copy.set_metadata_map(field, entries);
    }
    let name = copy.id.name.clone();
    let namespace = copy.id.namespace.clone();
    copy.write_name(&name);
    copy.set_namespace(&namespace);
    copy.value
}

fn target_of(objects: &mut Objects, patch: &Object) -> Result<usize, Error> {
    let id = patch.original_id();
    let mut found = objects.find_any(&id).to_vec();
    // What an earlier document of the same entry deleted is still in its place.
    found.retain(|index| !objects.get(*index).value.is_null());
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Error::new(ErrorKind::Patch, format!("apply a patch to {id}: there is no such object"))
            .at(&patch.origin.file, patch.origin.line, 0)
            .hint("kind, apiVersion, name and namespace must be those of an object, before or after renaming; or say a target")),
        several => Err(Error::new(
            ErrorKind::Patch,
            format!("apply a patch to {id}: there are {} such objects", several.len()),
        )
        .at(&patch.origin.file, patch.origin.line, 0)),
    }
}

fn merge_into(
    objects: &mut Objects,
    index: usize,
    patch: &Value,
    allow_name_change: bool,
    allow_kind_change: bool,
    schema: &Schema,
) -> Result<(), Error> {
    let object = &mut objects.all_mut()[index];
    let before = object.id.clone();
    let history = object.memory.previous.len();
    if allow_name_change || allow_kind_change {
        object.remember();
    }
    object.materialise();
    shared::part(&mut object.shared, patch);
    let value = std::mem::take(&mut object.value);
    let merged = merge(value, patch, schema).map_err(|error| {
        let field = error.field_path().map(str::to_owned);
        let whole =
            Error::new(error.kind(), format!("merge a patch into {before}")).caused_by(error);
        match field {
            Some(field) => whole.field(field),
            None => whole,
        }
    })?;
    let Some(merged) = merged.filter(|merged| !scalar::is_empty(merged)) else {
        object.value = Value::Null;
        return Ok(());
    };
    object.value = merged;
    object.spread_shared();
    object.absorb();
    if !allow_kind_change {
        object.set_kind(&before.gvk.kind);
    }
    if !allow_name_change {
        object.set_name(&before.name);
    }
    object.set_namespace(&before.namespace);
    object.refresh(schema);
    if object.memory.previous.len() != history || object.id != before {
        objects.identities_changed();
    }
    Ok(())
}

/// Drops what patches deleted, and refuses two objects of one identity.
fn finish(objects: &mut Objects) -> Result<(), Error> {
    objects.retain(|object| !object.value.is_null());
    objects.check_if_changed()
}
