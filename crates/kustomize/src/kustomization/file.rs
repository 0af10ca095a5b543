//! The whole file: its fields, what upstream refuses, what it warns about.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::arguments::{
    GeneratorArguments, GeneratorOptions, Image, Label, Patch, ReplacementEntry, Replica,
    SortOptions, Variable,
};
use super::field::{Field, Located};
use crate::error::{Error, ErrorKind};
use crate::yaml::Node;

/// The names that a kustomization file can have.
pub(crate) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

const FIELDS: [&str; 34] = [
    "kind",
    "apiVersion",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

const FIX: &str = "Run 'kustomize edit fix' to update your Kustomization automatically.";

/// What a file declares itself to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    #[default]
    Kustomization,
    Component,
}

/// A kustomization.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kustomization {
    /// Path of the file inside the tree.
    pub(crate) file: String,
    pub(crate) kind: Kind,
    pub(crate) open_api: BTreeMap<String, String>,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) patches_strategic_merge: Vec<Located>,
    pub(crate) patches_json: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Vec<Image>,
    pub(crate) replacements: Vec<ReplacementEntry>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) sort_options: Option<SortOptions>,
    pub(crate) resources: Vec<Located>,
    pub(crate) components: Vec<Located>,
    pub(crate) crds: Vec<Located>,
    pub(crate) config_maps: Vec<GeneratorArguments>,
    pub(crate) secrets: Vec<GeneratorArguments>,
    pub(crate) helm_globals: Value,
    pub(crate) helm_charts: Vec<Value>,
    pub(crate) configurations: Vec<Located>,
    pub(crate) generators: Vec<Located>,
    pub(crate) transformers: Vec<Located>,
    pub(crate) validators: Vec<Located>,
    pub(crate) build_metadata: Vec<String>,
    /// What upstream says on standard error.
    pub(crate) warnings: Vec<String>,
}

impl Kustomization {
    /// Reads a file.
    ///
    /// # Errors
    /// When it has unknown fields, wrong types, a wrong kind, or nothing in it.
    pub(crate) fn read(node: &Node, file: &str) -> Result<Self, Error> {
        let root = Field::strict(node, file);
        let (fields, mut errors) = root.fields(&FIELDS)?;
        let warnings = warnings(&fields);
        let says_something = fields
            .iter()
            .any(|(name, field)| says_something(name, field));
        if !says_something && errors.is_empty() {
            return Err(Error::new(
                ErrorKind::Kustomization,
                "read the kustomization: it is empty",
            )
            .at(file, 0, 0));
        }
        let kind = kind(&root, &fields).unwrap_or_else(|error| {
            errors.push(error);
            Kind::default()
        });
        let mut reader = Reader {
            fields: &fields,
            errors: &mut errors,
        };
        let global = reader.read("generatorOptions", GeneratorOptions::read);
        let mut config_maps = reader.each("configMapGenerator", |field| {
            GeneratorArguments::read(field, false, false)
        });
        let mut secrets = reader.each("secretGenerator", |field| {
            GeneratorArguments::read(field, true, false)
        });
        for arguments in config_maps.iter_mut().chain(&mut secrets) {
            arguments.options.fill(&global);
        }
        let mut images = reader.each("images", Image::read);
        images.extend(reader.each("imageTags", Image::read));
        let mut resources = reader.read("resources", Field::located_list);
        resources.extend(reader.read("bases", Field::located_list));
        let inflated = reader.each("helmChartInflationGenerator", |field| Ok(field.value()));
        let mut helm_charts = reader.each("helmCharts", |field| Ok(field.value()));
        let mut helm_globals = reader
            .read("helmGlobals", helm_globals)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::String(value)))
            .collect::<serde_json::Map<_, _>>();
        let mut helm_globals = if helm_globals.is_empty() {
            Value::Null
        } else {
            Value::Object(std::mem::take(&mut helm_globals))
        };
        move_old_charts(inflated, &mut helm_charts, &mut helm_globals);
        let kustomization = Self {
            file: file.to_owned(),
            kind,
            open_api: reader.read("openapi", Field::text_map),
            name_prefix: reader.read("namePrefix", Field::text),
            name_suffix: reader.read("nameSuffix", Field::text),
            namespace: reader.read("namespace", Field::text),
            common_labels: reader.read("commonLabels", Field::text_map),
            labels: reader.each("labels", Label::read),
            common_annotations: reader.read("commonAnnotations", Field::text_map),
            patches_strategic_merge: reader.read("patchesStrategicMerge", Field::located_list),
            patches_json: reader.each("patchesJson6902", Patch::read),
            patches: reader.each("patches", Patch::read),
            images,
            replacements: reader.each("replacements", ReplacementEntry::read),
            replicas: reader.each("replicas", Replica::read),
            variables: reader.each("vars", Variable::read),
            sort_options: reader.read("sortOptions", |field| SortOptions::read(field).map(Some)),
            resources,
            components: reader.read("components", Field::located_list),
            crds: reader.read("crds", Field::located_list),
            config_maps,
            secrets,
            helm_globals,
            helm_charts,
            configurations: reader.read("configurations", Field::located_list),
            generators: reader.read("generators", Field::located_list),
            transformers: reader.read("transformers", Field::located_list),
            validators: reader.read("validators", Field::located_list),
            build_metadata: reader.read("buildMetadata", Field::text_list),
            warnings,
        };
        reader.read("metadata", check_metadata);
        if errors.is_empty() {
            Ok(kustomization)
        } else {
            Err(Error::several(errors))
        }
    }

    pub(crate) fn wants(&self, metadata: &str) -> bool {
        self.build_metadata.iter().any(|entry| entry == metadata)
    }
}

/// Reads fields and goes on after errors, so that all are reported.
struct Reader<'a, 'b> {
    fields: &'a BTreeMap<String, Field<'b>>,
    errors: &'a mut Vec<Error>,
}

impl<'b> Reader<'_, 'b> {
    fn read<T: Default>(&mut self, name: &str, read: impl Fn(&Field<'b>) -> Result<T, Error>) -> T {
        let Some(field) = self.fields.get(name) else {
            return T::default();
        };
        read(field).unwrap_or_else(|error| {
            self.errors.push(error);
            T::default()
        })
    }

    fn each<T>(&mut self, name: &str, read: impl Fn(&Field<'b>) -> Result<T, Error>) -> Vec<T> {
        let items = self.read(name, Field::list);
        let mut result = Vec::with_capacity(items.len());
        for item in &items {
            match read(item) {
                Ok(value) => result.push(value),
                Err(error) => self.errors.push(error),
            }
        }
        result
    }
}

fn kind(root: &Field<'_>, fields: &BTreeMap<String, Field<'_>>) -> Result<Kind, Error> {
    let text = |name: &str| fields.get(name).map_or(Ok(String::new()), Field::text);
    let (kind, wanted) = match text("kind")?.as_str() {
        "" | "Kustomization" => (Kind::Kustomization, "kustomize.config.k8s.io/v1beta1"),
        "Component" => (Kind::Component, "kustomize.config.k8s.io/v1alpha1"),
        other => {
            let field = fields.get("kind").unwrap_or(root);
            return Err(field.error(format!(
                "read the kind \"{other}\": it should be Kustomization or Component"
            )));
        }
    };
    let api_version = text("apiVersion")?;
    if !api_version.is_empty() && api_version != wanted {
        let field = fields.get("apiVersion").unwrap_or(root);
        return Err(field.error(format!(
            "read the apiVersion \"{api_version}\": it should be {wanted}"
        )));
    }
    Ok(kind)
}

/// Whether a field makes the file more than empty.
fn says_something(name: &str, field: &Field<'_>) -> bool {
    match name {
        "kind" | "apiVersion" => false,
        "bases" | "imageTags" | "helmChartInflationGenerator" => !field.is_empty(),
        _ => !field.is_scalar() || !field.is_empty(),
    }
}

fn warnings(fields: &BTreeMap<String, Field<'_>>) -> Vec<String> {
    [
        ("bases", "resources", ""),
        ("commonLabels", "labels", ""),
        ("imageTags", "images", ""),
        ("patchesJson6902", "patches", ""),
        ("patchesStrategicMerge", "patches", ""),
        ("vars", "replacements", "[EXPERIMENTAL] "),
    ]
    .iter()
    .filter(|(old, _, _)| fields.contains_key(*old))
    .map(|(old, new, mark)| {
        format!("# Warning: '{old}' is deprecated. Please use '{new}' instead. {mark}{FIX}")
    })
    .collect()
}

fn check_metadata(field: &Field<'_>) -> Result<(), Error> {
    let fields = field.mapping(&["name", "namespace", "labels", "annotations"])?;
    for (name, field) in &fields {
        match name.as_str() {
            "labels" | "annotations" => drop(field.text_map()?),
            _ => drop(field.text()?),
        }
    }
    Ok(())
}

fn helm_globals(field: &Field<'_>) -> Result<BTreeMap<&'static str, String>, Error> {
    let fields = field.mapping(&["chartHome", "configHome"])?;
    ["chartHome", "configHome"]
        .into_iter()
        .filter_map(|name| Some((name, fields.get(name)?)))
        .map(|(name, value)| Ok((name, value.text()?)))
        .collect()
}

/// `helmChartInflationGenerator` in the form of `helmCharts`.
fn move_old_charts(old: Vec<Value>, charts: &mut Vec<Value>, globals: &mut Value) {
    let mut homes = serde_json::Map::new();
    for entry in old {
        let take = |name: &str| entry.get(name).cloned().unwrap_or(Value::Null);
        charts.push(json!({
            "name": take("chartName"),
            "version": take("chartVersion"),
            "repo": take("chartRepoUrl"),
            "valuesFile": take("values"),
            "valuesInline": take("valuesLocal"),
            "valuesMerge": take("valuesMerge"),
            "releaseName": take("releaseName"),
        }));
        for (from, to) in [("helmHome", "configHome"), ("chartHome", "chartHome")] {
            if let Some(home) = entry.get(from).filter(|home| home.is_string()) {
                homes.insert(to.to_owned(), home.clone());
            }
        }
    }
    if globals.is_null() && !homes.is_empty() {
        *globals = Value::Object(homes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kustomization::node_of;

    fn read(value: &Value) -> Result<Kustomization, Error> {
        Kustomization::read(&node_of(value), "/kustomization.yaml")
    }

    #[test]
    fn empty_files_are_errors() {
        for value in [
            json!(null),
            json!({}),
            json!({"kind": "Component"}),
            json!({"bases": [], "namePrefix": ""}),
        ] {
            assert!(read(&value).is_err(), "{value}");
        }
        assert!(read(&json!({"resources": []})).is_ok());
    }

    #[test]
    fn legacy_fields_move_and_warn() {
        let kustomization = read(&json!({"resources": ["a"], "bases": ["b"]})).unwrap();
        assert_eq!(kustomization.resources.len(), 2);
        assert_eq!(kustomization.warnings.len(), 1);
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let error =
            read(&json!({"namePrefix": 1, "images": [{"name": 2}], "resources": "a"})).unwrap_err();
        assert_eq!(error.all().len(), 3, "{error}");
    }
}
