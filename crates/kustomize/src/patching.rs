//! What patches and replacements say, inline or in files, and which schema patches are merged by.
//! Enters: entries of a kustomization, or the configuration of a transformer.
//! Leaves: patches ready to apply, or applied.

use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::kustomization::{Field, Located, Patch, Replacement, ReplacementEntry};
use crate::load::{Directory, Loader};
use crate::object::Object;
use crate::objects::Objects;
use crate::transform::{self, LoadedPatch, PatchContent};
use crate::{documents, read};

impl<'a> Loader<'a> {
    /// Reads what one entry of `patches` says.
    ///
    /// # Errors
    /// When it is neither a strategic merge patch nor a JSON patch, or both.
    pub(crate) fn load_patch(
        &mut self,
        directory: &Rc<Directory<'a>>,
        file: &str,
        patch: &Patch,
    ) -> Result<LoadedPatch, Error> {
        let inline = patch.content.text.trim();
        let place = if patch.path.text.is_empty() {
            &patch.content
        } else {
            &patch.path
        };
        let failed = |message: &str| {
            Error::new(ErrorKind::Patch, message)
                .at(file, place.line, place.column)
                .field("patches")
        };
        let (text, source) = match (inline.is_empty(), patch.path.text.is_empty()) {
            (true, true) => return Err(failed("read a patch: it has neither a patch nor a path")),
            (false, false) => return Err(failed("read a patch: it has both a patch and a path")),
            (false, true) => (inline.as_bytes().to_vec(), file.to_owned()),
            (true, false) => {
                let (content, real) = self
                    .load(directory, &patch.path.text)
                    .map_err(|error| error.at(file, place.line, place.column).field("patches"))?;
                (content.to_vec(), real)
            }
        };
        let objects = self.merge_patches(&text, &source);
        let json = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| read::json_patch(text, &self.limits()));
        let content = match (objects, json) {
            (Ok(objects), Some(json)) if !objects.is_empty() && !json.is_empty() => {
                return Err(failed(
                    "read a patch: it is both a strategic merge patch and a JSON patch",
                ));
            }
            (Ok(mut objects), _) => {
                if patch.path.text.is_empty() {
                    for object in &mut objects {
                        object.origin.line += place.line;
                    }
                }
                PatchContent::Merge(objects)
            }
            (Err(_), Some(json)) => PatchContent::Json(json),
            (Err(error), None) => {
                let failed =
                    failed("read a patch: it is neither a strategic merge patch nor a JSON patch")
                        .caused_by(error);
                return Err(if text.trim_ascii_start().starts_with(b"[") {
                    failed.hint("what begins with `[` is read as JSON: quote keys and texts, or begin each operation with `- op:`")
                } else {
                    failed.hint("a strategic merge patch has apiVersion, kind and metadata.name; a JSON patch is a list of operations")
                });
            }
        };
        Ok(LoadedPatch {
            content,
            target: patch.target.clone(),
            allow_name_change: patch.allow_name_change,
            allow_kind_change: patch.allow_kind_change,
            file: file.to_owned(),
            place: Located {
                text: String::new(),
                ..place.clone()
            },
        })
    }

    /// Applies one entry of `patches`.
    ///
    /// # Errors
    /// As [`transform::apply_patch`].
    pub(crate) fn apply_patch(
        &mut self,
        objects: &mut Objects,
        patch: &LoadedPatch,
    ) -> Result<(), Error> {
        self.built_in_is_used |= transform::apply_patch(objects, patch, &self.schema)?;
        Ok(())
    }

    /// Applies entries of `patchesStrategicMerge`.
    ///
    /// # Errors
    /// As [`transform::apply_merge_patches`].
    pub(crate) fn apply_merge_patches(
        &mut self,
        objects: &mut Objects,
        patches: &[Object],
    ) -> Result<(), Error> {
        self.built_in_is_used = true;
        transform::apply_merge_patches(objects, patches, &self.schema)
    }

    /// Reads one entry of `patchesJson6902`.
    ///
    /// # Errors
    /// When it has no target name, or is no JSON patch.
    pub(crate) fn load_json_patch(
        &mut self,
        directory: &Rc<Directory<'a>>,
        file: &str,
        patch: &Patch,
    ) -> Result<LoadedPatch, Error> {
        let place = if patch.path.text.is_empty() {
            &patch.content
        } else {
            &patch.path
        };
        let at = |error: Error| {
            error
                .at(file, place.line, place.column)
                .field("patchesJson6902")
        };
        let failed = |message: &str| at(Error::new(ErrorKind::Patch, message));
        if patch
            .target
            .as_ref()
            .is_none_or(|target| target.name.is_empty())
        {
            return Err(failed("read a JSON patch: its target has no name"));
        }
        let text = match (patch.content.text.is_empty(), patch.path.text.is_empty()) {
            (true, true) => {
                return Err(failed(
                    "read a JSON patch: it has neither operations nor a path",
                ));
            }
            (false, false) => {
                return Err(failed(
                    "read a JSON patch: it has both operations and a path",
                ));
            }
            (false, true) => patch.content.text.clone().into_bytes(),
            (true, false) => self
                .load(directory, &patch.path.text)
                .map_err(at)?
                .0
                .to_vec(),
        };
        let json = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| read::json_patch(text, &self.limits()));
        match json {
            Some(json) if !json.is_empty() => Ok(LoadedPatch::json(json, patch, file)),
            _ => Err(failed("read a JSON patch: it is no list of operations")),
        }
    }

    /// Reads entries of `patchesStrategicMerge`: files, or the patches themselves.
    ///
    /// # Errors
    /// When an entry is neither.
    pub(crate) fn load_merge_patches(
        &mut self,
        directory: &Rc<Directory<'a>>,
        file: &str,
        entries: &[Located],
    ) -> Result<Vec<Object>, Error> {
        let mut patches = Vec::new();
        for entry in entries {
            if let Ok(mut inline) = self.merge_patches(entry.text.as_bytes(), file) {
                for object in &mut inline {
                    object.origin.line += entry.line;
                }
                patches.extend(inline);
                continue;
            }
            let at = |error: Error| {
                error
                    .at(file, entry.line, entry.column)
                    .field("patchesStrategicMerge")
            };
            let (content, real) = self.load(directory, &entry.text).map_err(at)?;
            patches.extend(self.merge_patches(&content, &real)?);
        }
        Ok(patches)
    }

    /// Reads the files among replacements.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub(crate) fn load_replacements(
        &mut self,
        directory: &Rc<Directory<'a>>,
        file: &str,
        entries: Vec<ReplacementEntry>,
    ) -> Result<Vec<(Replacement, String)>, Error> {
        let mut list = Vec::new();
        for entry in entries {
            match entry {
                ReplacementEntry::Inline(replacement) => list.push((*replacement, file.to_owned())),
                ReplacementEntry::File(path) => {
                    let at =
                        |error: Error| error.at(file, path.line, path.column).field("replacements");
                    let (content, real) = self.load(directory, &path.text).map_err(at)?;
                    let node = documents::settings(&content, &real, &self.limits())?;
                    let root = Field::lenient(&node, &real);
                    if root.is_list() {
                        for item in root.list()? {
                            list.push((Replacement::read(&item)?, real.clone()));
                        }
                    } else if root.is_null() || root.is_scalar() {
                        return Err(at(
                            root.error("read replacements: there is neither a list nor a mapping")
                        ));
                    } else {
                        list.push((Replacement::read(&root)?, real));
                    }
                }
            }
        }
        Ok(list)
    }
}
