//! One kustomization after the other, bases first; then what is done once at the end.
//! Enters: a directory of the tree.
//! Leaves: all objects, transformed, references mended, sorted.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use crate::built::Built;
use crate::config::{self, Configuration};
use crate::documents;
use crate::error::{Error, ErrorKind};
use crate::files::{EntryKind, Files};
use crate::generate::Generated;
use crate::kustomization::{Field, Kind, Kustomization, Located};
use crate::load::{Directory, INDENTATION, Loader, is_ambiguous};
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::options::{ChartRequest, Options};
use crate::remote;
use crate::trail::{ORIGIN, Trail};
use crate::transform::{self, VariableSet};

/// A kustomization with its place.
pub(crate) struct Target<'a> {
    pub(crate) directory: Rc<Directory<'a>>,
    pub(crate) kustomization: Kustomization,
    pub(crate) trail: Option<Trail>,
    /// The namespace of the kustomizations above, for charts.
    chart_namespace: String,
}

/// What kustomizations add up to.
#[derive(Default)]
pub(crate) struct Accumulator {
    pub(crate) objects: Objects,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) variables: VariableSet,
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
                    .map_err(|error| error.at(&kustomization.file, 0, 0).field("openapi.path"))?,
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
            let document = match documents::definitions(&content, &file, &self.limits()) {
                Ok(document) => document,
                // What is no JSON may be YAML in braces.
                Err(_) => documents::settings(&content, &file, &self.limits())?.into_value(),
            };
            let own = Schema::from_open_api(&document);
            self.schema = Arc::new(if self.built_in_is_used {
                own.with_built_in()
            } else {
                own
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
            let document = documents::definitions(&content, &file, &self.limits()).map_err(at)?;
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
            let node = documents::strict_settings(&content, &file, &self.limits())?;
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
            self.check_count(&accumulator.objects).map_err(at)?;
            if self.is_file(target, &path.text).map_err(at)? {
                let objects = self.file_objects(target, &path.text).map_err(at)?;
                accumulator.objects.append_all(objects).map_err(at)?;
                continue;
            }
            let directory = match self.enter(&target.directory, &path.text) {
                Ok(directory) => Rc::new(directory),
                Err(error) => {
                    // A URL without an ending can be that of a file; that it is no repository is the better complaint.
                    let objects = self.remote_objects(target, &path.text, &error);
                    let Some(objects) = objects else {
                        return Err(at(error));
                    };
                    accumulator.objects.append_all(objects).map_err(at)?;
                    continue;
                }
            };
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
        self.check_count(&accumulator.objects)?;
        Ok(accumulator)
    }

    fn check_count(&self, objects: &Objects) -> Result<(), Error> {
        let most = self.options.limits.objects;
        if objects.len() > most {
            let message = format!("build: there are more than {most} objects");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn is_file(&mut self, target: &Target<'a>, path: &str) -> Result<bool, Error> {
        if remote::is_url(path) {
            return Ok(remote::is_file_url(path) || remote::parse_git(path).is_none());
        }
        match self.kind_of(&target.directory, path) {
            Ok(Some(EntryKind::File)) => Ok(true),
            Ok(Some(EntryKind::Directory)) => Ok(false),
            Ok(None) if remote::parse_git(path).is_some() => Ok(false),
            Ok(None) => {
                let error = Error::new(ErrorKind::Load, format!("find {path}: there is nothing"));
                Err(if is_ambiguous(path) {
                    error.hint(INDENTATION)
                } else {
                    error
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The objects of what could not be fetched as a repository, where it is a file.
    fn remote_objects(
        &mut self,
        target: &Target<'a>,
        path: &str,
        error: &Error,
    ) -> Option<Vec<Object>> {
        if error.kind() != ErrorKind::Remote || !remote::may_be_file(path) {
            return None;
        }
        self.file_objects(target, path).ok()
    }

    fn file_objects(&mut self, target: &Target<'a>, path: &str) -> Result<Vec<Object>, Error> {
        let (content, file) = self.load(&target.directory, path)?;
        let mut objects = match &self.options.parsed {
            // What a schema of the tree's own says is remembered in objects.
            Some(parsed) if !self.schema_is_set => {
                parsed.objects(&content, &file, || self.objects(&content, &file))?
            }
            Some(_) | None => self.objects(&content, &file)?,
        };
        self.built_in_is_used |= objects.iter().any(|object| {
            let gvk = &object.id.gvk;
            !Schema::is_scope_built_in(&gvk.api_version(), &gvk.kind)
        });
        if let Some(trail) = &target.trail {
            let text = trail.append(path).to_yaml();
            for object in &mut objects {
                object.write_annotations();
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
                // Upstream merges what the component left into an empty accumulator, where specs can contradict each other.
                accumulator.configuration =
                    Configuration::merge(&Arc::default(), &accumulator.configuration)?;
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
            let request = chart_request(target, chart);
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

    /// The configuration objects of a field: inline texts first, then files and directories.
    pub(crate) fn plugins(
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
        let mut plugins = accumulator.objects.into_list();
        for plugin in &mut plugins {
            settled(plugin)?;
        }
        Ok(plugins)
    }
}

/// Gives the scalars of an object the values that they stand for.
fn settled(object: &mut Object) -> Result<(), Error> {
    if let Some(defect) = object.defect.take() {
        return Err(object.unprintable(defect));
    }
    object.settle().map_err(|misfit| {
        let message = format!("\"{}\" cannot be written as JSON", misfit.text);
        object.unprintable(message).field(misfit.field_path())
    })
}

/// One entry of `helmCharts`, with the namespace of the kustomizations above.
fn chart_request(target: &Target<'_>, chart: &Value) -> ChartRequest {
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
