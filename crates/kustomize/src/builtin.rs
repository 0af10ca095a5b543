//! Transformers and generators that are configured by objects: `transformers:`, `generators:`, `validators:`.
//! Enters: a configuration object of apiVersion `builtin`.
//! Leaves: what it does, done.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::accumulate::Target;
use crate::error::{Error, ErrorKind};
use crate::generate::{self, Generated};
use crate::kustomization::{
    Field, GeneratorArguments, Image, Located, Patch, ReplacementEntry, Replica, Selector,
    field_specs, loose_field_specs, node_of,
};
use crate::load::{Directory, Loader};
use crate::object::Object;
use crate::objects::Objects;
use crate::options::ChartRequest;
use crate::origin::Origin;
use crate::transform::{self, LoadedPatch, NamespaceOptions, PatchContent, Subjects, ValueTarget};
use crate::yaml::Node;

fn failed(object: &Object, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Transformer, message).at(&object.origin.file, object.origin.line, 0)
}

fn refuse(object: &Object) -> Error {
    let kind = &object.id.gvk.kind;
    Error::new(
        ErrorKind::Plugin,
        format!("run the plugin {kind}: only those that are built in are supported"),
    )
    .at(&object.origin.file, object.origin.line, 0)
    .hint("render it beforehand and commit the result, or use a transformer of apiVersion: builtin")
}

fn is_built_in(object: &Object) -> bool {
    object.id.gvk.group.is_empty() && object.id.gvk.version == "builtin"
}

/// Reads a configuration by the rules of its kind.
struct Settings<'a> {
    fields: BTreeMap<String, Field<'a>>,
}

impl<'a> Settings<'a> {
    fn read(node: &'a Node, file: &'a str, known: &[&str]) -> Result<Self, Error> {
        Ok(Self {
            fields: Field::lenient(node, file).mapping(known)?,
        })
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        self.fields.get(name).map_or(Ok(String::new()), Field::text)
    }

    fn specs(&self) -> Result<Vec<crate::config::FieldSpec>, Error> {
        self.fields
            .get("fieldSpecs")
            .map_or(Ok(Vec::new()), field_specs)
    }

    fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.get(name)
    }
}

impl<'a> Loader<'a> {
    /// Generates what a configuration object says.
    ///
    /// # Errors
    /// When it is no generator that is built in, or cannot generate.
    pub(crate) fn run_generator(
        &mut self,
        target: &Target<'a>,
        object: &Object,
    ) -> Result<Vec<Object>, Error> {
        if !is_built_in(object) {
            return Err(refuse(object));
        }
        let directory = Rc::clone(&target.directory);
        let file = object.origin.file.clone();
        let node = node_of(&object.value);
        match object.id.gvk.kind.as_ref() {
            kind @ ("ConfigMapGenerator" | "SecretGenerator") => {
                let generated = if kind == "SecretGenerator" {
                    Generated::Secret
                } else {
                    Generated::ConfigMap
                };
                let root = Field::lenient(&node, &file);
                let mut arguments =
                    GeneratorArguments::read(&root, generated == Generated::Secret, true)?;
                if arguments.name.is_empty() {
                    arguments.name.clone_from(&object.id.name);
                }
                if arguments.namespace.is_empty() {
                    arguments.namespace.clone_from(&object.id.namespace);
                }
                arguments.place.line = object.origin.line;
                Ok(vec![
                    self.generate_one(&directory, &file, generated, &arguments)?,
                ])
            }
            "IAMPolicyGenerator" => iam_policy(object, &node, self),
            "HelmChartInflationGenerator" => {
                let request = ChartRequest {
                    chart: object.value.clone(),
                    globals: Value::Null,
                    directory: directory.root.clone(),
                };
                self.run_chart(&directory, &file, &request)
            }
            _ => Err(failed(
                object,
                format!(
                    "load the generator {}: there is none of this kind",
                    object.id.gvk.kind
                ),
            )),
        }
    }

    /// Generates one `ConfigMap` or `Secret`.
    ///
    /// # Errors
    /// When a source is missing or malformed, or a key stands twice.
    pub(crate) fn generate_one(
        &mut self,
        directory: &Rc<Directory<'a>>,
        file: &str,
        kind: Generated,
        arguments: &GeneratorArguments,
    ) -> Result<Object, Error> {
        let mut pairs = Vec::new();
        let place = |source: &Located| {
            if source.line > 0 {
                (source.line, source.column)
            } else {
                (arguments.place.line, 0)
            }
        };
        let field = |name: &str| {
            let list = if kind == Generated::Secret {
                "secretGenerator"
            } else {
                "configMapGenerator"
            };
            format!("{list}.{}.{name}", arguments.name)
        };
        for source in &arguments.envs {
            let at = |error: Error| {
                error
                    .at(file, place(source).0, place(source).1)
                    .field(field("envs"))
            };
            let (content, path) = self.load(directory, &source.text).map_err(at)?;
            pairs.extend(
                generate::env_pairs(&content)
                    .map_err(|error| error.field(field("envs")).at(&path, 0, 0))?,
            );
        }
        for source in &arguments.literals {
            let at = |error: Error| {
                error
                    .at(file, place(source).0, place(source).1)
                    .field(field("literals"))
            };
            pairs.push(generate::literal_pair(&source.text).map_err(at)?);
        }
        for source in &arguments.files {
            let at = |error: Error| {
                error
                    .at(file, place(source).0, place(source).1)
                    .field(field("files"))
            };
            let (key, path) = generate::file_source(&source.text).map_err(at)?;
            let (content, _) = self.load(directory, &path).map_err(at)?;
            pairs.push(generate::Pair {
                key,
                value: content.to_vec(),
            });
        }
        generate::generate(kind, arguments, pairs, file, &self.schema)
    }

    /// Renders a Helm chart.
    ///
    /// # Errors
    /// When charts are not supported here, or the chart cannot be rendered.
    pub(crate) fn run_chart(
        &mut self,
        directory: &Directory<'a>,
        file: &str,
        request: &ChartRequest,
    ) -> Result<Vec<Object>, Error> {
        let name = request
            .chart
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(charts) = &self.options.charts else {
            return Err(Error::new(ErrorKind::Charts, format!("render the Helm chart {name}: charts are not supported yet"))
                .at(file, 0, 0)
                .field("helmCharts")
                .hint("render the chart beforehand with `helm template`, commit the result and list it under `resources`"));
        };
        let content = charts.render(request, directory.tree.files())?;
        let mut objects = self.objects(&content, file)?;
        for object in &mut objects {
            object.memory.helm = true;
        }
        Ok(objects)
    }

    /// Applies the transformer that a configuration object describes.
    ///
    /// # Errors
    /// When it is no transformer that is built in, or cannot be configured or applied.
    pub(crate) fn run_transformer(
        &mut self,
        target: &Target<'a>,
        object: &Object,
        objects: &mut Objects,
    ) -> Result<(), Error> {
        if !is_built_in(object) {
            return Err(refuse(object));
        }
        self.transform_by(target, object, objects)
            .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))
    }

    fn transform_by(
        &mut self,
        target: &Target<'a>,
        object: &Object,
        objects: &mut Objects,
    ) -> Result<(), Error> {
        let directory = Rc::clone(&target.directory);
        let file = object.origin.file.clone();
        let node = node_of(&object.value);
        let read = |known: &[&str]| Settings::read(&node, &file, known);
        let schema = std::sync::Arc::clone(&self.schema);
        match object.id.gvk.kind.as_ref() {
            kind @ ("AnnotationsTransformer" | "LabelTransformer") => {
                let settings = read(&["annotations", "labels", "fieldSpecs"])?;
                let field = if kind == "LabelTransformer" {
                    "labels"
                } else {
                    "annotations"
                };
                let pairs = settings
                    .get(field)
                    .map_or(Ok(BTreeMap::new()), Field::text_map)?;
                transform::labels(objects, &pairs, &settings.specs()?)
            }
            "HashTransformer" => {
                crate::finish::add_hashes(objects, &schema);
                Ok(())
            }
            "ImageTagTransformer" => {
                let settings = read(&["imageTag", "fieldSpecs"])?;
                let image = settings
                    .get("imageTag")
                    .map_or(Ok(Image::default()), Image::read)?;
                transform::images(objects, &[image], &settings.specs()?)
            }
            "NamespaceTransformer" => {
                let settings = read(&["fieldSpecs", "unsetOnly", "setRoleBindingSubjects"])?;
                let subjects = settings.text("setRoleBindingSubjects")?;
                let options = NamespaceOptions {
                    namespace: object.id.namespace.clone(),
                    unset_only: settings.get("unsetOnly").map_or(Ok(false), Field::flag)?,
                    subjects: Subjects::parse(&subjects).ok_or_else(|| {
                        failed(
                            object,
                            format!("configure setRoleBindingSubjects: {subjects}"),
                        )
                        .hint("it is one of defaultOnly, allServiceAccounts and none")
                    })?,
                };
                transform::namespace(objects, &options, &settings.specs()?, &schema)
            }
            "PrefixTransformer" | "SuffixTransformer" | "PrefixSuffixTransformer" => {
                let settings = read(&["prefix", "suffix", "fieldSpecs"])?;
                let Some(specs) = settings.get("fieldSpecs") else {
                    return Err(failed(
                        object,
                        format!("configure {}: it has no fieldSpecs", object.id.gvk.kind),
                    ));
                };
                // Upstream reads these as YAML, and those of the other kinds as JSON.
                let specs = loose_field_specs(specs)?;
                if object.id.gvk.kind != "SuffixTransformer" {
                    transform::prefix(objects, &settings.text("prefix")?, &specs, &schema)?;
                }
                if object.id.gvk.kind != "PrefixTransformer" {
                    transform::suffix(objects, &settings.text("suffix")?, &specs, &schema)?;
                }
                Ok(())
            }
            "ReplicaCountTransformer" => {
                let settings = read(&["replica", "fieldSpecs"])?;
                let replica = settings
                    .get("replica")
                    .map_or(Ok(Replica::default()), Replica::read)?;
                transform::replicas(objects, &replica, &settings.specs()?)
            }
            "ReplacementTransformer" => {
                let settings = read(&["replacements"])?;
                let items = settings
                    .get("replacements")
                    .map_or(Ok(Vec::new()), Field::list)?;
                let entries = items
                    .iter()
                    .map(ReplacementEntry::read)
                    .collect::<Result<Vec<_>, _>>()?;
                let list = self.load_replacements(&directory, &file, entries)?;
                transform::replacements(objects, &list, &schema)
            }
            "PatchTransformer" | "PatchStrategicMergeTransformer" | "PatchJson6902Transformer" => {
                self.run_patch(&directory, object, &node, objects)
            }
            "ValueAddTransformer" => self.run_value_add(&directory, object, &node, objects),
            _ => Err(failed(
                object,
                format!(
                    "load the transformer {}: there is none of this kind",
                    object.id.gvk.kind
                ),
            )),
        }
    }

    fn run_patch(
        &mut self,
        directory: &Rc<Directory<'a>>,
        object: &Object,
        node: &Node,
        objects: &mut Objects,
    ) -> Result<(), Error> {
        let file = object.origin.file.clone();
        let read = |known: &[&str]| Settings::read(node, &file, known);
        match object.id.gvk.kind.as_ref() {
            "PatchTransformer" => {
                let patch = Patch::read(&Field::lenient(node, &file))?;
                let loaded = self.load_patch(directory, &file, &patch)?;
                self.apply_patch(objects, &loaded)
            }
            "PatchStrategicMergeTransformer" => {
                let settings = read(&["paths", "patches"])?;
                let paths = settings
                    .get("paths")
                    .map_or(Ok(Vec::new()), Field::located_list)?;
                let text = settings.text("patches")?;
                let mut patches = self.load_merge_patches(directory, &file, &paths)?;
                if !text.is_empty() {
                    patches.extend(self.merge_patches(text.as_bytes(), &file)?);
                }
                if patches.is_empty() {
                    return Err(failed(
                        object,
                        "configure PatchStrategicMergeTransformer: it has no patches",
                    ));
                }
                self.apply_merge_patches(objects, &patches)
            }
            _ => {
                let settings = read(&["target", "path", "jsonOp"])?;
                let patch = Patch {
                    path: Located {
                        text: settings.text("path")?,
                        ..Located::default()
                    },
                    content: Located {
                        text: settings.text("jsonOp")?,
                        ..Located::default()
                    },
                    target: settings.get("target").map(Selector::read).transpose()?,
                    ..Patch::default()
                };
                let loaded = self.load_json_patch(directory, &file, &patch)?;
                match (&loaded.content, &loaded.target) {
                    (PatchContent::Json(json), Some(selector)) => {
                        transform::apply_json(objects, json, selector, false, &self.schema)
                    }
                    (PatchContent::Json(_) | PatchContent::Merge(_), _) => Ok(()),
                }
            }
        }
    }

    fn run_value_add(
        &mut self,
        directory: &Rc<Directory<'a>>,
        object: &Object,
        node: &Node,
        objects: &mut Objects,
    ) -> Result<(), Error> {
        let file = object.origin.file.clone();
        let settings = Settings::read(node, &file, &["value", "targets", "targetFilePath"])?;
        let mut value = settings.text("value")?.trim().to_owned();
        if value.is_empty() {
            directory
                .root
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .clone_into(&mut value);
        }
        let mut targets = settings
            .get("targets")
            .map_or(Ok(Vec::new()), value_targets)?;
        let path = settings.text("targetFilePath")?;
        if !path.is_empty() {
            let (content, real) = self.load(directory, &path)?;
            let node = crate::documents::settings(&content, &real, &self.limits())?;
            let shared = Settings::read(&node, &real, &["targets"])?;
            targets.extend(
                shared
                    .get("targets")
                    .map_or(Ok(Vec::new()), value_targets)?,
            );
        }
        if targets.is_empty() {
            return Err(failed(
                object,
                "configure ValueAddTransformer: it has no targets",
            ));
        }
        if targets
            .iter()
            .any(|target| target.field_path.is_empty() || target.file_path_position < 0)
        {
            return Err(failed(
                object,
                "configure ValueAddTransformer: a target has no fieldPath or a negative position",
            ));
        }
        transform::add_value(objects, &value, &targets, &self.schema)
    }
}

fn value_targets(field: &Field<'_>) -> Result<Vec<ValueTarget>, Error> {
    field
        .list()?
        .iter()
        .map(|item| {
            let fields = item.mapping(&["selector", "fieldPath", "filePathPosition"])?;
            Ok(ValueTarget {
                selector: fields.get("selector").map(Selector::read).transpose()?,
                field_path: fields
                    .get("fieldPath")
                    .map_or(Ok(String::new()), Field::text)?,
                file_path_position: fields
                    .get("filePathPosition")
                    .map_or(Ok(0), Field::integer)?,
            })
        })
        .collect()
}

/// A service account of Google's cloud, bound to one of Kubernetes. As upstream, what it is told is put into YAML as it is.
fn iam_policy(object: &Object, node: &Node, loader: &Loader<'_>) -> Result<Vec<Object>, Error> {
    let file = &object.origin.file;
    let root = Field::lenient(node, file).exact();
    let fields = root.mapping(&["cloud", "kubernetesService", "serviceAccount"])?;
    let text = |field: Option<&Field<'_>>| field.map_or(Ok(String::new()), Field::text);
    let inner = |name: &str, known: &[&str]| match fields.get(name) {
        Some(field) => field.mapping(known),
        None => Ok(BTreeMap::new()),
    };
    let kubernetes = inner("kubernetesService", &["name", "namespace"])?;
    let google = inner("serviceAccount", &["name", "projectId"])?;
    let cloud = text(fields.get("cloud"))?;
    if cloud != "gke" {
        return Err(failed(
            object,
            format!("generate an IAM policy: the cloud \"{cloud}\" is not supported"),
        ));
    }
    let mut content = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  annotations:\n    \
         iam.gke.io/gcp-service-account: {}@{}.iam.gserviceaccount.com\n  name: {}\n",
        text(google.get("name"))?,
        text(google.get("projectId"))?,
        text(kubernetes.get("name"))?,
    );
    let namespace = text(kubernetes.get("namespace"))?;
    if !namespace.is_empty() {
        content.push_str("  namespace: ");
        content.push_str(&namespace);
    }
    let mut objects = loader
        .objects(content.as_bytes(), file)
        .map_err(|error| error.at(file, object.origin.line, 0))?;
    for generated in &mut objects {
        generated.origin = Origin::clone(&object.origin);
    }
    Ok(objects)
}

impl LoadedPatch {
    /// A JSON patch with its target.
    pub(crate) fn json(content: crate::merge::JsonPatch, patch: &Patch, file: &str) -> Self {
        Self {
            content: PatchContent::Json(content),
            target: patch.target.clone(),
            allow_name_change: false,
            allow_kind_change: false,
            file: file.to_owned(),
            place: Located {
                text: String::new(),
                ..patch.content.clone()
            },
        }
    }
}
