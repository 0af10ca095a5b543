//! One kustomization after the other, bases first; then what is done once at the end.
//! Enters: a directory of the tree.
//! Leaves: all objects, transformed, references mended, sorted.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use crate::built::{Built, Resource};
use crate::config::{self, Configuration, FieldSpec, merge_all, merge_one};
use crate::error::{Error, ErrorKind};
use crate::files::{EntryKind, Files};
use crate::generate::{self, Generated};
use crate::kustomization::{
    Field, Kind, Kustomization, Label, Located, Patch, Replacement, ReplacementEntry,
};
use crate::load::{Directory, Loader};
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::options::{ChartRequest, Options, Reorder};
use crate::order;
use crate::read;
use crate::reference;
use crate::remote;
use crate::trail::{ORIGIN, TRANSFORMATIONS, Trail};
use crate::transform::{self, LoadedPatch, NamespaceOptions, PatchContent, VariableSet};

/// What `managed-by` says; the version that this renderer equals.
const MANAGED_BY: &str = "kustomize-v5.8.2";

/// A kustomization with its place.
pub(crate) struct Target<'a> {
    pub(crate) directory: Rc<Directory<'a>>,
    kustomization: Kustomization,
    trail: Option<Trail>,
    /// The namespace of the kustomizations above, for charts.
    chart_namespace: String,
}

/// What kustomizations add up to.
#[derive(Default)]
struct Accumulator {
    objects: Objects,
    configuration: Arc<Configuration>,
    variables: VariableSet,
}

impl Accumulator {
    fn configure(&mut self, configuration: &Arc<Configuration>) -> Result<(), Error> {
        self.configuration = Configuration::merge(&self.configuration, configuration)?;
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<(), Error> {
        self.objects.append_all(other.objects.into_list())?;
        self.configure(&other.configuration)?;
        self.variables.merge(other.variables.into_variables())
    }
}

/// Builds a directory.
pub(crate) fn build(files: &dyn Files, path: &str, options: &Options) -> Result<Built, Error> {
    let mut loader = Loader::new(options);
    let directory = Rc::new(loader.top(files, path)?);
    let kustomization = loader.kustomization(&directory)?;
    loader.set_schema(&directory, &kustomization, true)?;
    let trail = (!kustomization.build_metadata.is_empty()).then(Trail::default);
    let target = Target {
        directory,
        kustomization,
        trail,
        chart_namespace: String::new(),
    };
    let accumulator = loader.accumulate(&target, Accumulator::default())?;
    loader.finish(&target.kustomization, accumulator)
}

/// Appends to names the hash of the content, where it is wanted.
pub(crate) fn add_hashes(objects: &mut Objects, schema: &Schema) {
    for object in objects
        .all_mut()
        .iter_mut()
        .filter(|object| object.memory.needs_hash)
    {
        let name = format!("{}-{}", object.id.name, generate::hash(object));
        object.remember();
        object.set_name(&name);
        object.refresh(schema);
    }
    objects.identities_changed();
}

fn kustomization_error(target: &Target<'_>, place: &Located, field: &str, error: Error) -> Error {
    error
        .at(&target.kustomization.file, place.line, place.column)
        .field(field)
}

impl<'a> Loader<'a> {
    /// Uses the schema that a kustomization brings; the first one counts.
    fn set_schema(
        &mut self,
        directory: &Directory<'a>,
        kustomization: &Kustomization,
        top: bool,
    ) -> Result<(), Error> {
        let failed = |message: &str| {
            Error::new(ErrorKind::Kustomization, message)
                .at(&kustomization.file, 0, 0)
                .field("openapi")
        };
        let version = kustomization.open_api.get("version");
        let document = match kustomization.open_api.get("path") {
            None => None,
            Some(path) => Some(
                self.load(directory, path)
                    .map_err(|error| error.field("openapi.path"))?,
            ),
        };
        if self.schema_is_set && !top {
            return Ok(());
        }
        if let Some((content, file)) = document {
            if version.is_some() {
                return Err(failed(
                    "choose a schema: there are both a version and a path",
                ));
            }
            let node = read::settings(&content, &file, &self.limits())?;
            let own = Schema::from_open_api(&node.into_value());
            self.schema = Arc::new(if top {
                own
            } else {
                own.with(&Schema::built_in())
            });
            self.schema_is_set = true;
        } else if let Some(version) = version.filter(|version| !version.is_empty()) {
            if version != "v1.21.2" {
                return Err(failed(
                    "choose a schema: only the version v1.21.2 is built in",
                ));
            }
            self.schema_is_set = true;
        }
        Ok(())
    }

    fn accumulate(
        &mut self,
        target: &Target<'a>,
        mut accumulator: Accumulator,
    ) -> Result<Accumulator, Error> {
        let kustomization = &target.kustomization;
        accumulator = self.resources(target, accumulator, &kustomization.resources, "resources")?;
        let configuration = self.configuration(target)?;
        accumulator.configure(&configuration)?;
        for path in &kustomization.crds {
            let at = |error| kustomization_error(target, path, "crds", error);
            let (content, file) = self.load(&target.directory, &path.text).map_err(at)?;
            let document = read::settings(&content, &file, &self.limits())?.into_value();
            accumulator
                .configure(&Arc::new(config::from_crds(&document).map_err(at)?))
                .map_err(at)?;
        }
        self.generators(target, &mut accumulator)?;
        for path in &kustomization.components {
            let at = |error| kustomization_error(target, path, "components", error);
            let directory = Rc::new(self.enter(&target.directory, &path.text).map_err(at)?);
            accumulator = self
                .directory(target, accumulator, directory, &path.text, Kind::Component)
                .map_err(at)?;
        }
        self.transformers(target, &mut accumulator)?;
        self.validators(target, &mut accumulator)?;
        let at = |error: Error| error.at(&kustomization.file, 0, 0);
        transform::mark(&mut accumulator.objects, &kustomization.variables).map_err(at)?;
        accumulator
            .variables
            .merge(kustomization.variables.iter().cloned())
            .map_err(at)?;
        Ok(accumulator)
    }

    fn configuration(&mut self, target: &Target<'a>) -> Result<Arc<Configuration>, Error> {
        let mut own = Arc::new(Configuration::default());
        for path in &target.kustomization.configurations {
            let at = |error| kustomization_error(target, path, "configurations", error);
            let (content, file) = self.load(&target.directory, &path.text).map_err(at)?;
            let node = read::settings(&content, &file, &self.limits())?;
            let next = Arc::new(Configuration::read(&Field::known(&node, &file))?);
            own = Configuration::merge(&own, &next).map_err(at)?;
        }
        Configuration::merge(&Configuration::defaults(), &own)
    }

    fn resources(
        &mut self,
        target: &Target<'a>,
        mut accumulator: Accumulator,
        paths: &[Located],
        field: &str,
    ) -> Result<Accumulator, Error> {
        for (index, path) in paths.iter().enumerate() {
            let at = |error| kustomization_error(target, path, &format!("{field}[{index}]"), error);
            if self.is_file(target, &path.text).map_err(at)? {
                let objects = self.file_objects(target, &path.text).map_err(at)?;
                accumulator.objects.append_all(objects).map_err(at)?;
            } else {
                let directory = Rc::new(self.enter(&target.directory, &path.text).map_err(at)?);
                accumulator = self
                    .directory(
                        target,
                        accumulator,
                        directory,
                        &path.text,
                        Kind::Kustomization,
                    )
                    .map_err(at)?;
            }
        }
        Ok(accumulator)
    }

    fn is_file(&mut self, target: &Target<'a>, path: &str) -> Result<bool, Error> {
        if remote::is_url(path) {
            return Ok(remote::is_file_url(path) || remote::parse_git(path).is_none());
        }
        match self.kind_of(&target.directory, path) {
            Ok(Some(EntryKind::File)) => Ok(true),
            Ok(Some(EntryKind::Directory)) => Ok(false),
            Ok(None) if remote::parse_git(path).is_some() => Ok(false),
            Ok(None) => Err(Error::new(
                ErrorKind::Load,
                format!("find {path}: there is nothing"),
            )),
            Err(error) => Err(error),
        }
    }

    fn file_objects(&mut self, target: &Target<'a>, path: &str) -> Result<Vec<Object>, Error> {
        let (content, file) = self.load(&target.directory, path)?;
        let mut objects = self.objects(&content, &file)?;
        if let Some(trail) = &target.trail {
            let text = trail.append(path).to_yaml();
            for object in &mut objects {
                object.set_annotation(ORIGIN, text.clone());
            }
        }
        Ok(objects)
    }

    fn directory(
        &mut self,
        target: &Target<'a>,
        mut accumulator: Accumulator,
        directory: Rc<Directory<'a>>,
        path: &str,
        kind: Kind,
    ) -> Result<Accumulator, Error> {
        let mut kustomization = self.kustomization(&directory)?;
        kustomization
            .build_metadata
            .clone_from(&target.kustomization.build_metadata);
        self.set_schema(&directory, &kustomization, false)?;
        if kustomization.kind != kind {
            let (message, hint) = match kind {
                Kind::Component => (
                    "use it as a component: its kind is Kustomization",
                    "list it under `resources`",
                ),
                Kind::Kustomization => (
                    "use it as a base: its kind is Component",
                    "list it under `components`",
                ),
            };
            return Err(Error::new(ErrorKind::Kustomization, message)
                .at(&kustomization.file, 0, 0)
                .hint(hint));
        }
        let namespace = &target.kustomization.namespace;
        let below = Target {
            directory,
            kustomization,
            trail: target.trail.as_ref().map(|trail| trail.append(path)),
            chart_namespace: if namespace.is_empty() {
                target.chart_namespace.clone()
            } else {
                namespace.clone()
            },
        };
        match kind {
            Kind::Component => {
                let mut accumulator = self.accumulate(&below, accumulator)?;
                accumulator.objects.check_unique()?;
                Ok(accumulator)
            }
            Kind::Kustomization => {
                let other = self.accumulate(&below, Accumulator::default())?;
                accumulator.merge(other)?;
                Ok(accumulator)
            }
        }
    }

    fn generators(
        &mut self,
        target: &Target<'a>,
        accumulator: &mut Accumulator,
    ) -> Result<(), Error> {
        let kustomization = &target.kustomization;
        let file = &kustomization.file;
        let name = file.rsplit('/').next().unwrap_or(file);
        let lists = [
            (Generated::ConfigMap, &kustomization.config_maps),
            (Generated::Secret, &kustomization.secrets),
        ];
        for (kind, arguments) in lists {
            for arguments in arguments {
                let mut object = self.generate_one(&target.directory, file, kind, arguments)?;
                if let Some(trail) = &target.trail {
                    let trail = trail.built_in(name, &format!("{}Generator", kind.as_str()));
                    object.set_annotation(ORIGIN, trail.to_yaml());
                }
                accumulator.objects.absorb(object, &self.schema)?;
            }
        }
        for chart in &kustomization.helm_charts {
            let request = self.chart_request(target, chart);
            let objects = self.run_chart(&target.directory, file, &request)?;
            for object in objects {
                accumulator.objects.absorb(object, &self.schema)?;
            }
        }
        for generator in self.plugins(target, &kustomization.generators, "generators")? {
            let made_by = Trail::configured_by(&generator);
            for mut object in self.run_generator(target, &generator)? {
                if let Some(trail) = &made_by
                    && object.annotation(ORIGIN).is_none()
                {
                    object.set_annotation(ORIGIN, trail.to_yaml());
                }
                accumulator.objects.absorb(object, &self.schema)?;
            }
        }
        Ok(())
    }

    fn chart_request(&self, target: &Target<'a>, chart: &Value) -> ChartRequest {
        let mut chart = chart.clone();
        let own = &target.kustomization.namespace;
        let namespace = if own.is_empty() {
            &target.chart_namespace
        } else {
            own
        };
        if let Value::Object(fields) = &mut chart {
            let missing = fields
                .get("namespace")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty);
            if missing && !namespace.is_empty() {
                fields.insert("namespace".to_owned(), Value::String(namespace.clone()));
            }
        }
        ChartRequest {
            chart,
            globals: target.kustomization.helm_globals.clone(),
            directory: target.directory.root.clone(),
        }
    }

    /// The configuration objects of a field: inline texts first, then files and directories.
    fn plugins(
        &mut self,
        target: &Target<'a>,
        entries: &[Located],
        field: &str,
    ) -> Result<Vec<Object>, Error> {
        let mut accumulator = Accumulator::default();
        let mut paths = Vec::new();
        let file = &target.kustomization.file;
        let name = file.rsplit('/').next().unwrap_or(file);
        for entry in entries {
            match self.objects(entry.text.as_bytes(), file) {
                Ok(mut objects) => {
                    for object in &mut objects {
                        object.origin.line = entry.line;
                        if let Some(trail) = &target.trail {
                            object.set_annotation(ORIGIN, trail.append(name).to_yaml());
                        }
                    }
                    accumulator
                        .objects
                        .append_all(objects)
                        .map_err(|error| kustomization_error(target, entry, field, error))?;
                }
                Err(_) => paths.push(entry.clone()),
            }
        }
        let accumulator = self.resources(target, accumulator, &paths, field)?;
        Ok(accumulator.objects.into_list())
    }

    fn transformers(
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
            transform::apply_merge_patches(objects, &patches, &schema).map_err(at)?;
            steps.note(objects, "PatchStrategicMergeTransformer");
        }
        for patch in &kustomization.patches {
            let loaded = self.load_patch(&target.directory, file, patch)?;
            transform::apply_patch(objects, &loaded, &schema)?;
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
        for label in &kustomization.labels {
            let specs = label_specs(label, &configuration).map_err(at)?;
            transform::labels(objects, &label.pairs, &specs).map_err(at)?;
            steps.note(objects, "LabelTransformer");
        }
        if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
            transform::labels(
                objects,
                &kustomization.common_labels,
                &configuration.common_labels,
            )
            .map_err(at)?;
            steps.note(objects, "LabelTransformer");
        }
        if !kustomization.common_annotations.is_empty() {
            let specs = &configuration.common_annotations;
            transform::annotations(objects, &kustomization.common_annotations, specs)
                .map_err(at)?;
            steps.note(objects, "AnnotationsTransformer");
        }
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

    fn validators(
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
        let inline = patch.patch.text.trim();
        let place = if patch.path.text.is_empty() {
            &patch.patch
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
        let objects = self.objects(&text, &source);
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
                return Err(failed(
                    "read a patch: it is neither a strategic merge patch nor a JSON patch",
                )
                .caused_by(error));
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
            &patch.patch
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
        let text = match (patch.patch.text.is_empty(), patch.path.text.is_empty()) {
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
            (false, true) => patch.patch.text.clone().into_bytes(),
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
            if let Ok(mut inline) = self.objects(entry.text.as_bytes(), file) {
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
            patches.extend(self.objects(&content, &real)?);
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
                ReplacementEntry::Inline(replacement) => list.push((replacement, file.to_owned())),
                ReplacementEntry::File(path) => {
                    let at =
                        |error: Error| error.at(file, path.line, path.column).field("replacements");
                    let (content, real) = self.load(directory, &path.text).map_err(at)?;
                    let node = read::settings(&content, &real, &self.limits())?;
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

    /// What happens once, when everything has come together.
    fn finish(
        mut self,
        kustomization: &Kustomization,
        accumulator: Accumulator,
    ) -> Result<Built, Error> {
        let Accumulator {
            mut objects,
            configuration,
            variables,
        } = accumulator;
        add_hashes(&mut objects, &self.schema);
        reference::fix(&mut objects, &configuration, &self.schema)?;
        let unused =
            transform::resolve(&mut objects, &variables, &configuration.variable_references)?;
        if !unused.is_empty() {
            self.warn(
                "",
                format!(
                    "well-defined vars that were never replaced: {}",
                    unused.join(",")
                ),
            );
        }
        drop_local(&mut objects)?;
        match (&kustomization.sort_options, self.options.reorder) {
            (Some(options), reorder) => {
                if reorder.is_some() {
                    self.warn(
                        &kustomization.file,
                        "Warning: Sorting order is set both in 'kustomization.yaml' ('sortOptions') and in a CLI flag \
                         ('--reorder'). Using the kustomization file over the CLI flag.",
                    );
                }
                order::sort(&mut objects, options)?;
            }
            (None, None | Some(Reorder::Legacy)) => order::sort(&mut objects, &order::legacy())?,
            (None, Some(Reorder::None)) => {}
        }
        if self.options.managed_by_label || kustomization.wants("managedByLabel") {
            let pairs = [(
                "app.kubernetes.io/managed-by".to_owned(),
                MANAGED_BY.to_owned(),
            )]
            .into();
            transform::labels(
                &mut objects,
                &pairs,
                &[FieldSpec::new("", "metadata/labels", true)],
            )?;
        }
        let origins = kustomization.wants("originAnnotations");
        let transformations = kustomization.wants("transformerAnnotations");
        let mut resources = Vec::with_capacity(objects.len());
        for mut object in objects.into_list() {
            object.finish(|key| {
                (key != ORIGIN || origins) && (key != TRANSFORMATIONS || transformations)
            })?;
            resources.push(Resource {
                value: object.value,
                origin: object.origin,
            });
        }
        Ok(Built {
            resources,
            warnings: self.warnings,
            read: self.read,
            remotes: self.remotes,
        })
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

/// Drops the objects that say they are for local use only.
fn drop_local(objects: &mut Objects) -> Result<(), Error> {
    const LOCAL: &str = "config.kubernetes.io/local-config";
    if let Some(nameless) = objects
        .iter()
        .find(|object| object.id.gvk.kind.is_empty() || object.id.name.is_empty())
    {
        if !nameless.id.gvk.kind.ends_with("List") {
            return Err(Error::new(
                ErrorKind::Object,
                format!("print {}: it has lost its kind or name", nameless.id),
            )
            .at(&nameless.origin.file, nameless.origin.line, 0));
        }
    }
    objects.retain(|object| {
        object
            .annotation(LOCAL)
            .is_none_or(|value| value == "false")
    });
    Ok(())
}
