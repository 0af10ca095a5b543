//! The transformers and validators of one kustomization, in upstream's fixed order.
//! Enters: what was accumulated.
//! Leaves: the same, changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::accumulate::{Accumulator, Target};
use crate::config::{Configuration, FieldSpec, merge_all, merge_one};
use crate::error::{Error, ErrorKind};
use crate::kustomization::{Kustomization, Label};
use crate::load::Loader;
use crate::object::Object;
use crate::objects::Objects;
use crate::trail::Trail;
use crate::transform::{self, NamespaceOptions, PatchContent};

impl<'a> Loader<'a> {
    pub(crate) fn transformers(
        &mut self,
        target: &Target<'a>,
        accumulator: &mut Accumulator,
    ) -> Result<(), Error> {
        let kustomization = &target.kustomization;
        let file = &kustomization.file;
        let schema = Arc::clone(&self.schema);
        let configuration = Arc::clone(&accumulator.configuration);
        let objects = &mut accumulator.objects;
        let at = |error: Error| error.at(file, 0, 0);
        let mut steps = Steps { target, file };
        if !kustomization.patches_strategic_merge.is_empty() {
            let patches = self.load_merge_patches(
                &target.directory,
                file,
                &kustomization.patches_strategic_merge,
            )?;
            if patches.is_empty() {
                let message = "apply patchesStrategicMerge: there is nothing in the files";
                return Err(at(Error::new(ErrorKind::Patch, message)));
            }
            self.apply_merge_patches(objects, &patches).map_err(at)?;
            steps.note(objects, "PatchStrategicMergeTransformer");
        }
        for patch in &kustomization.patches {
            let loaded = self.load_patch(&target.directory, file, patch)?;
            self.apply_patch(objects, &loaded)?;
            steps.note(objects, "PatchTransformer");
        }
        if !kustomization.namespace.is_empty() {
            let options = NamespaceOptions {
                namespace: kustomization.namespace.clone(),
                ..NamespaceOptions::default()
            };
            transform::namespace(objects, &options, &configuration.namespace, &schema)
                .map_err(at)?;
            steps.note(objects, "NamespaceTransformer");
        }
        if !kustomization.name_prefix.is_empty() {
            transform::prefix(
                objects,
                &kustomization.name_prefix,
                &configuration.name_prefix,
                &schema,
            )
            .map_err(at)?;
            steps.note(objects, "PrefixTransformer");
        }
        if !kustomization.name_suffix.is_empty() {
            transform::suffix(
                objects,
                &kustomization.name_suffix,
                &configuration.name_suffix,
                &schema,
            )
            .map_err(at)?;
            steps.note(objects, "SuffixTransformer");
        }
        mark(&mut steps, objects, kustomization, &configuration).map_err(at)?;
        for patch in &kustomization.patches_json {
            let loaded = self.load_json_patch(&target.directory, file, patch)?;
            if let (PatchContent::Json(json), Some(selector)) = (&loaded.content, &loaded.target) {
                transform::apply_json(objects, json, selector, false, &schema)
                    .map_err(|error| error.at(file, loaded.place.line, loaded.place.column))?;
            }
            steps.note(objects, "PatchJson6902Transformer");
        }
        for replica in &kustomization.replicas {
            transform::replicas(objects, replica, &configuration.replicas).map_err(at)?;
            steps.note(objects, "ReplicaCountTransformer");
        }
        if !kustomization.images.is_empty() {
            transform::images(objects, &kustomization.images, &configuration.images).map_err(at)?;
        }
        for _ in &kustomization.images {
            steps.note(objects, "ImageTagTransformer");
        }
        if !kustomization.replacements.is_empty() {
            let list = self.load_replacements(
                &target.directory,
                file,
                kustomization.replacements.clone(),
            )?;
            transform::replacements(objects, &list, &schema).map_err(at)?;
            steps.note(objects, "ReplacementTransformer");
        }
        for plugin in self.plugins(target, &kustomization.transformers, "transformers")? {
            self.run_transformer(target, &plugin, objects)?;
            objects.retain(|object| !object.value.is_null());
            if let Some(trail) = Trail::configured_by(&plugin) {
                for object in objects.all_mut() {
                    trail.note(object);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn validators(
        &mut self,
        target: &Target<'a>,
        accumulator: &mut Accumulator,
    ) -> Result<(), Error> {
        const LABEL: &str = "validated-by";
        if target.kustomization.validators.is_empty() {
            return Ok(());
        }
        let without_label = |object: &Object| {
            let mut value = object.value.clone();
            if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
                let emptied = match metadata.get_mut("labels") {
                    Some(Value::Object(labels)) => {
                        labels.remove(LABEL).is_some() && labels.is_empty()
                    }
                    _ => false,
                };
                if emptied {
                    metadata.remove("labels");
                }
            }
            value
        };
        for plugin in self.plugins(target, &target.kustomization.validators, "validators")? {
            let before: Vec<Value> = accumulator
                .objects
                .iter()
                .map(|object| object.value.clone())
                .collect();
            self.run_transformer(target, &plugin, &mut accumulator.objects)?;
            let unchanged = before.len() == accumulator.objects.len()
                && accumulator
                    .objects
                    .iter()
                    .zip(&before)
                    .all(|(object, before)| without_label(object) == *before);
            let mut seen = BTreeSet::new();
            let twice = accumulator.objects.iter().find(|object| {
                let id = &object.id;
                let known = (id.gvk.to_string(), &id.name, id.effective_namespace());
                !seen.insert(known)
            });
            if let Some(twice) = twice {
                let message = format!(
                    "validate with {}: two objects are {}",
                    plugin.id.gvk.kind, twice.id
                );
                return Err(Error::new(ErrorKind::Identity, message).at(
                    &plugin.origin.file,
                    plugin.origin.line,
                    0,
                ));
            }
            if !unchanged {
                return Err(Error::new(
                    ErrorKind::Transformer,
                    format!(
                        "validate with {}: it changed the objects",
                        plugin.id.gvk.kind
                    ),
                )
                .at(&plugin.origin.file, plugin.origin.line, 0));
            }
        }
        Ok(())
    }
}

/// Notes what was done to the objects, where that is wanted.
struct Steps<'a, 'b> {
    target: &'a Target<'b>,
    file: &'a str,
}

impl Steps<'_, '_> {
    fn note(&mut self, objects: &mut Objects, kind: &str) {
        let Some(trail) = &self.target.trail else {
            return;
        };
        let name = self.file.rsplit('/').next().unwrap_or(self.file);
        let step = trail.built_in(name, kind);
        for object in objects.all_mut() {
            step.note(object);
        }
    }
}

/// Sets labels and annotations.
fn mark(
    steps: &mut Steps<'_, '_>,
    objects: &mut Objects,
    kustomization: &Kustomization,
    configuration: &Configuration,
) -> Result<(), Error> {
    for label in &kustomization.labels {
        let specs = label_specs(label, configuration)?;
        transform::labels(objects, &label.pairs, &specs)?;
        steps.note(objects, "LabelTransformer");
    }
    if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
        transform::labels(
            objects,
            &kustomization.common_labels,
            &configuration.common_labels,
        )?;
        steps.note(objects, "LabelTransformer");
    }
    if !kustomization.common_annotations.is_empty() {
        let specs = &configuration.common_annotations;
        transform::annotations(objects, &kustomization.common_annotations, specs)?;
        steps.note(objects, "AnnotationsTransformer");
    }
    Ok(())
}

fn label_specs(label: &Label, configuration: &Configuration) -> Result<Vec<FieldSpec>, Error> {
    let mut specs = label.fields.clone();
    merge_all(&mut specs, &configuration.labels)?;
    if label.include_selectors {
        merge_all(&mut specs, &configuration.common_labels)?;
        return Ok(specs);
    }
    if label.include_templates {
        merge_all(&mut specs, &configuration.template_labels)?;
    }
    if label.include_volume_claim_templates {
        merge_all(&mut specs, &configuration.volume_claim_template_labels)?;
    }
    merge_one(&mut specs, FieldSpec::new("", "metadata/labels", true))?;
    Ok(specs)
}
