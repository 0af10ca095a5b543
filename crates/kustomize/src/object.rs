//! One object on its way through a build: its value, its identity (cached), and what the build remembers about it.
//! Enters: a value from a file or a generator.
//! Leaves: the value, with or without the memory written into its annotations as upstream keeps it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind};
use crate::identity::{Gvk, Id, Previous};
use crate::merge::Schema;
use crate::origin::Origin;
use crate::scalar;
use crate::shared::{self, Shared};
use crate::yaml;

const PREFIX: &str = "internal.config.kubernetes.io/";
const PREVIOUS_KINDS: &str = "internal.config.kubernetes.io/previousKinds";
const PREVIOUS_NAMES: &str = "internal.config.kubernetes.io/previousNames";
const PREVIOUS_NAMESPACES: &str = "internal.config.kubernetes.io/previousNamespaces";
const PREFIXES: &str = "internal.config.kubernetes.io/prefixes";
const SUFFIXES: &str = "internal.config.kubernetes.io/suffixes";
const HASH: &str = "internal.config.kubernetes.io/needsHashSuffix";
const BEHAVIOR: &str = "internal.config.kubernetes.io/generatorBehavior";
const HELM: &str = "internal.config.kubernetes.io/helm-generated";

/// Annotations that upstream strips from every object that it prints.
const STRIPPED: [&str; 20] = [
    PREVIOUS_KINDS,
    PREVIOUS_NAMES,
    PREFIXES,
    SUFFIXES,
    PREVIOUS_NAMESPACES,
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    BEHAVIOR,
    HASH,
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "internal.config.kubernetes.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "config.k8s.io/id",
    "kustomize.config.k8s.io/helm-generated",
    HELM,
];

/// What a generated object does to one of the same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    #[default]
    Unspecified,
    Create,
    Replace,
    Merge,
}

impl Behavior {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "create" => Self::Create,
            "replace" => Self::Replace,
            "merge" => Self::Merge,
            _ => Self::Unspecified,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Merge => "merge",
        }
    }
}

/// What the build remembers about an object; upstream keeps it in annotations.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) needs_hash: bool,
    pub(crate) behavior: Option<Behavior>,
    pub(crate) helm: bool,
}

impl Memory {
    fn entries(&self) -> Vec<(&'static str, String)> {
        let join = |items: Vec<&str>| items.join(",");
        let mut entries = Vec::new();
        if !self.previous.is_empty() {
            entries.push((
                PREVIOUS_NAMES,
                join(self.previous.iter().map(|id| id.name.as_str()).collect()),
            ));
            entries.push((
                PREVIOUS_NAMESPACES,
                join(
                    self.previous
                        .iter()
                        .map(|id| id.namespace.as_str())
                        .collect(),
                ),
            ));
            entries.push((
                PREVIOUS_KINDS,
                join(self.previous.iter().map(|id| id.kind.as_str()).collect()),
            ));
        }
        if !self.prefixes.is_empty() {
            entries.push((PREFIXES, self.prefixes.join(",")));
        }
        if !self.suffixes.is_empty() {
            entries.push((SUFFIXES, self.suffixes.join(",")));
        }
        if self.needs_hash {
            entries.push((HASH, "enabled".to_owned()));
        }
        if let Some(behavior) = self.behavior {
            entries.push((BEHAVIOR, behavior.as_str().to_owned()));
        }
        if self.helm {
            entries.push((HELM, "true".to_owned()));
        }
        entries
    }
}

/// One object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) value: Value,
    pub(crate) id: Id,
    pub(crate) memory: Memory,
    /// Names of the vars that read from this object.
    pub(crate) variables: Vec<String>,
    pub(crate) origin: Origin,
    /// What upstream accepts while it reads and refuses to print.
    pub(crate) defect: Option<Arc<Error>>,
    /// Whether the whole object is written with braces, as in JSON: there, what has no text is an empty text.
    pub(crate) braces: bool,
    /// Values that stand in several fields and are one.
    pub(crate) shared: Vec<Shared>,
}

impl Object {
    pub(crate) fn new(value: Value, origin: Origin, schema: &Schema) -> Self {
        let mut object = Self {
            value,
            id: Id::default(),
            memory: Memory::default(),
            variables: Vec::new(),
            origin,
            defect: None,
            braces: false,
            shared: Vec::new(),
        };
        object.absorb();
        object.refresh(schema);
        object
    }

    /// Carries changes of shared values into all fields that show them.
    pub(crate) fn spread_shared(&mut self) {
        shared::spread(&mut self.value, &mut self.shared);
    }

    /// Reads the identity again after the value may have changed it.
    pub(crate) fn refresh(&mut self, schema: &Schema) {
        let api_version = self
            .value
            .get("apiVersion")
            .map(plain_text)
            .unwrap_or_default();
        let kind = self.value.get("kind").map(plain_text).unwrap_or_default();
        self.id = Id {
            cluster_scoped: schema.is_cluster_scoped(&api_version, &kind),
            gvk: Gvk::parse(&api_version, &kind),
            name: self.metadata_text("name"),
            namespace: self.metadata_text("namespace"),
        };
    }

    pub(crate) fn metadata(&self) -> Option<&Map<String, Value>> {
        self.value.get("metadata").and_then(Value::as_object)
    }

    fn metadata_text(&self, field: &str) -> String {
        self.metadata()
            .and_then(|metadata| metadata.get(field))
            .map(plain_text)
            .unwrap_or_default()
    }

    /// A field of `metadata` that maps texts to texts; other scalars as their text.
    pub(crate) fn metadata_map(&self, field: &str) -> Vec<(String, String)> {
        self.metadata()
            .and_then(|metadata| metadata.get(field))
            .and_then(Value::as_object)
            .map(|fields| {
                fields
                    .iter()
                    .filter(|(key, _)| scalar::key_mark(key).is_none())
                    .map(|(key, value)| {
                        let last = fields.get(&scalar::twice(key)).unwrap_or(value);
                        (key.clone(), scalar::text(last))
                    })
                    .collect()
            })
            .unwrap_or_default()
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<String> {
        self.metadata()?
            .get("annotations")?
            .as_object()?
            .get(key)
            .map(scalar::text)
    }

    /// Replaces a field of `metadata` that maps texts to texts; an empty map removes it.
    pub(crate) fn set_metadata_map(&mut self, field: &str, entries: Vec<(String, String)>) {
        let metadata = metadata_mut(&mut self.value);
        if entries.is_empty() {
            metadata.remove(field);
        } else {
            let map = entries
                .into_iter()
                .map(|(key, value)| (key, Value::String(value)))
                .collect();
            metadata.insert(field.to_owned(), Value::Object(map));
        }
    }

    pub(crate) fn set_annotation(&mut self, key: &str, value: String) {
        let metadata = metadata_mut(&mut self.value);
        let entry = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if !entry.is_object() {
            *entry = Value::Object(Map::new());
        }
        if let Value::Object(map) = entry {
            map.insert(key.to_owned(), Value::String(value));
        }
    }

    /// Makes sure that there is a mapping of annotations.
    pub(crate) fn make_annotations(&mut self) {
        let metadata = metadata_mut(&mut self.value);
        let entry = metadata
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if scalar::is_null(entry) {
            *entry = Value::Object(Map::new());
        }
    }

    /// Makes the scalars among annotations texts, as upstream does where it writes all of them.
    pub(crate) fn write_annotations(&mut self) {
        let annotations = self
            .value
            .get_mut("metadata")
            .and_then(|metadata| metadata.get_mut("annotations"))
            .and_then(Value::as_object_mut);
        for value in annotations.into_iter().flat_map(Map::values_mut) {
            if !value.is_string() || scalar::mark_of(value).is_some() {
                *value = Value::String(scalar::text(value));
            }
        }
    }

    /// Makes all annotations texts, and removes what is no mapping, or an empty one.
    pub(crate) fn tidy_annotations(&mut self) {
        if let Some(annotations) = self
            .metadata()
            .and_then(|metadata| metadata.get("annotations"))
        {
            let entries = match annotations {
                // Upstream takes the elements of a list for keys and values by turns.
                Value::Array(items) => items
                    .chunks_exact(2)
                    .map(|pair| (scalar::text(&pair[0]), scalar::text(&pair[1])))
                    .filter(|(key, _)| !key.is_empty())
                    .collect(),
                _ => self.metadata_map("annotations"),
            };
            self.set_metadata_map("annotations", entries);
        }
    }

    /// Sets the name; the caller refreshes the identity.
    pub(crate) fn set_name(&mut self, name: &str) {
        set_text(metadata_mut(&mut self.value), "name", name);
    }

    /// Writes the name, which then has no type of its own.
    pub(crate) fn write_name(&mut self, name: &str) {
        metadata_mut(&mut self.value).insert("name".to_owned(), scalar::bare(name));
    }

    /// Sets the namespace, or removes it where it is empty; the caller refreshes the identity.
    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        let metadata = metadata_mut(&mut self.value);
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            set_text(metadata, "namespace", namespace);
        }
    }

    pub(crate) fn set_kind(&mut self, kind: &str) {
        if let Value::Object(fields) = &mut self.value {
            set_text(fields, "kind", kind);
        }
    }

    /// Remembers who the object is before it is renamed.
    pub(crate) fn remember(&mut self) {
        // Upstream notes it in the annotations, and takes no notice of what is no mapping there.
        let annotations = self
            .metadata()
            .and_then(|metadata| metadata.get("annotations"));
        if annotations.is_some_and(|annotations| !annotations.is_object()) {
            self.tidy_annotations();
        }
        self.memory.previous.push(Previous {
            name: self.id.name.clone(),
            namespace: self.id.effective_namespace().to_owned(),
            kind: self.id.gvk.kind.clone().into_owned(),
        });
    }

    /// The first identity: kind, name and the namespace it was compared under.
    pub(crate) fn original(&self) -> (&str, &str, &str) {
        match self.memory.previous.first() {
            Some(first) => (&first.kind, &first.name, &first.namespace),
            None => (
                &self.id.gvk.kind,
                &self.id.name,
                self.id.effective_namespace(),
            ),
        }
    }

    /// The first identity as an id; cluster scope is then in its namespace, as upstream has it.
    pub(crate) fn original_id(&self) -> Id {
        match self.memory.previous.first() {
            Some(first) => self.previous_id(first),
            None => self.id.clone(),
        }
    }

    pub(crate) fn previous_id(&self, previous: &Previous) -> Id {
        Id {
            gvk: Gvk {
                kind: previous.kind.clone().into(),
                ..self.id.gvk.clone()
            },
            name: previous.name.clone(),
            namespace: previous.namespace.clone(),
            cluster_scoped: false,
        }
    }

    /// Writes the memory into the annotations, where patches can see it.
    pub(crate) fn materialise(&mut self) {
        for (key, value) in self.memory.entries() {
            self.set_annotation(key, value);
        }
        self.memory = Memory::default();
    }

    /// Takes the memory out of the annotations.
    pub(crate) fn absorb(&mut self) {
        let Some(Value::Object(metadata)) = self.value.get_mut("metadata") else {
            return;
        };
        let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else {
            return;
        };
        if !annotations.keys().any(|key| key.starts_with(PREFIX)) {
            return;
        }
        let mut take = |key: &str| annotations.remove(key).map(|value| scalar::text(&value));
        let split = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let names = split(take(PREVIOUS_NAMES));
        let namespaces = split(take(PREVIOUS_NAMESPACES));
        let kinds = split(take(PREVIOUS_KINDS));
        self.memory.previous = names
            .into_iter()
            .zip(namespaces)
            .zip(kinds)
            .map(|((name, namespace), kind)| Previous {
                name,
                namespace,
                kind,
            })
            .collect();
        self.memory.prefixes = split(take(PREFIXES));
        self.memory.suffixes = split(take(SUFFIXES));
        self.memory.needs_hash = take(HASH).is_some_and(|text| text == "enabled");
        self.memory.behavior = take(BEHAVIOR).map(|text| Behavior::parse(&text));
        self.memory.helm = take(HELM).is_some_and(|text| text == "true");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }

    /// Takes over from a patch that it holds what cannot be printed.
    pub(crate) fn inherit_defect(&mut self, patch: &Self) {
        if self.defect.is_none() {
            self.defect.clone_from(&patch.defect);
        }
    }

    /// What is said when the object cannot be printed.
    pub(crate) fn unprintable(
        &self,
        defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::new(
            ErrorKind::Object,
            format!("print {}: it cannot be printed as it was read", self.id),
        )
        .at(&self.origin.file, self.origin.line, 0)
        .caused_by(defect)
    }

    /// Drops what upstream never prints, and makes every annotation a string.
    ///
    /// # Errors
    /// When the object cannot be printed as upstream prints it.
    pub(crate) fn finish(&mut self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        if let Some(defect) = self.defect.take() {
            return Err(self.unprintable(defect));
        }
        self.tidy_for_print(keep)?;
        if let Err(misfit) = self.settle() {
            let field = misfit.field_path();
            return Err(self.unprintable(misfit.to_string()).field(field));
        }
        if may_be_unprintable(&self.value)
            && let Err(defect) = yaml::emit(&self.value, &mut String::new())
        {
            return Err(self.unprintable(defect));
        }
        Ok(())
    }

    /// Gives the scalars the values that they stand for.
    ///
    /// # Errors
    /// The first scalar that cannot be printed.
    pub(crate) fn settle(&mut self) -> Result<(), scalar::Misfit> {
        if self.braces {
            scalar::fill_blanks(&mut self.value);
        }
        scalar::settle(&mut self.value)
    }

    fn tidy_for_print(&mut self, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        self.write_annotations();
        let id = &self.id;
        if let Value::Object(fields) = &mut self.value
            && !fields.contains_key("metadata")
        {
            // Upstream looks for annotations to remove, and makes a place for them.
            fields.insert("metadata".to_owned(), Value::Object(Map::new()));
        }
        let Some(Value::Object(metadata)) = self.value.get_mut("metadata") else {
            return Ok(());
        };
        let empty = match metadata.get_mut("annotations") {
            None => return Ok(()),
            Some(Value::Object(annotations)) => {
                annotations.retain(|key, _| !STRIPPED.contains(&key.as_str()) && keep(key));
                if let Some(key) = annotations.keys().find(|key| !scalar::is_plain_key(key)) {
                    let message = format!(
                        "print {id}: the key \"{key}\" of an annotation would not be a text"
                    );
                    return Err(Error::new(ErrorKind::Object, message).at(
                        &self.origin.file,
                        self.origin.line,
                        0,
                    ));
                }
                annotations.is_empty()
            }
            Some(_) => true,
        };
        if empty {
            metadata.remove("annotations");
        }
        Ok(())
    }
}

/// Whether a value holds anything that YAML may not be able to hold; cheap, and right to say yes too often.
fn may_be_unprintable(value: &Value) -> bool {
    const KEY: usize = 1000;
    let text = |text: &str| text.bytes().any(|byte| byte >= 0x7f);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(inner) => text(inner),
        Value::Array(items) => items.iter().any(may_be_unprintable),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.len() > KEY || text(key) || may_be_unprintable(value)),
    }
}

/// The text of a scalar; empty for null and for what is no scalar.
pub(crate) fn plain_text(value: &Value) -> String {
    match scalar::mark_of(value) {
        // What has no tag is not known to be null.
        Some((scalar::Tag::Bare, text)) => text.to_owned(),
        Some(_) | None if scalar::is_null(value) => String::new(),
        Some(_) | None => scalar::text(value),
    }
}

fn set_text(fields: &mut Map<String, Value>, field: &str, text: &str) {
    match fields.get_mut(field) {
        // It is written even where it says the same, and loses its type.
        Some(old) => *old = scalar::untyped(old, text),
        None => {
            fields.insert(field.to_owned(), scalar::untyped(&Value::Null, text));
        }
    }
}

/// The metadata of an object, created where it is missing.
fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let metadata = value
        .as_object_mut()
        .expect("made an object just above")
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    metadata.as_object_mut().expect("made an object just above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn memory_survives_a_trip_through_the_annotations() {
        let schema = Schema::built_in();
        let mut object = Object::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            Origin::default(),
            &schema,
        );
        object.remember();
        object.memory.prefixes.push("p-".to_owned());
        object.memory.needs_hash = true;
        let before = object.memory.clone();
        object.materialise();
        assert!(object.annotation(PREVIOUS_NAMES).is_some());
        object.absorb();
        assert_eq!(object.memory, before);
        assert!(object.metadata().unwrap().get("annotations").is_none());
    }
}
