//! A tree of kustomizations.
//!
//! Enters: random choices. Leaves: files, the directory to build, flags. Never: a file system.
//!
//! Shapes: one directory; a chain of overlays; two overlays on one base, and a top that joins them. Components may be anywhere but
//! at the bottom.

use std::collections::BTreeMap;

use kustomize::{LoadRestrictions, MemoryFiles, Options, Reorder};
use serde_json::{Map, Value, json};

use crate::choose::Choose;
use crate::{by_hand, fields, objects};

/// How documents are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Written {
    Json,
    /// As upstream prints them.
    Block,
    /// As people do; by a seed.
    ByHand(u32),
}

impl Written {
    /// Settings: JSON or block style.
    pub(crate) fn settings(choose: &mut Choose) -> Self {
        if choose.percent(70) {
            Self::Block
        } else {
            Self::Json
        }
    }

    /// Objects: also by hand.
    pub(crate) fn objects(choose: &mut Choose) -> Self {
        match choose.below(10) {
            0..=1 => Self::Json,
            2..=4 => Self::Block,
            _ => Self::ByHand(u32::try_from(choose.below(1 << 20)).unwrap_or_default()),
        }
    }

    pub(crate) fn patches(choose: &mut Choose) -> Self {
        match Self::objects(choose) {
            Self::ByHand(seed) => Self::ByHand(seed + by_hand::SILENT),
            other => other,
        }
    }
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum File {
    Documents(Vec<Value>, Written),
    /// Any other text.
    Text(String),
    /// What is no text.
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, File>,
    pub(crate) directory: String,
    pub(crate) flags: Vec<String>,
}

impl Tree {
    /// The files as text, but for those that are none.
    pub(crate) fn rendered(&self) -> BTreeMap<String, String> {
        self.files
            .iter()
            .filter(|(_, file)| !matches!(file, File::Bytes(_)))
            .map(|(path, file)| (path.clone(), render(file)))
            .collect()
    }

    /// The files that are no text.
    pub(crate) fn bytes(&self) -> BTreeMap<&String, &Vec<u8>> {
        self.files
            .iter()
            .filter_map(|(path, file)| match file {
                File::Bytes(bytes) => Some((path, bytes)),
                File::Documents(..) | File::Text(_) => None,
            })
            .collect()
    }

    pub(crate) fn memory(&self) -> MemoryFiles {
        let text = self
            .rendered()
            .into_iter()
            .fold(MemoryFiles::new(), |files, (path, content)| {
                files.with(&path, content)
            });
        self.bytes()
            .into_iter()
            .fold(text, |files, (path, bytes)| files.with(path, bytes.clone()))
    }

    /// The flags as options of ours.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        for flag in &self.flags {
            match flag.as_str() {
                "--reorder=none" => options.reorder = Some(Reorder::None),
                "--reorder=legacy" => options.reorder = Some(Reorder::Legacy),
                "--load-restrictor=LoadRestrictionsNone" => {
                    options.load_restrictions = LoadRestrictions::None
                }
                "--enable-managedby-label" => options.managed_by_label = true,
                other => panic!("unknown flag {other}"),
            }
        }
        options
    }
}

pub(crate) fn render(file: &File) -> String {
    match file {
        File::Text(text) => text.clone(),
        File::Bytes(_) => String::new(),
        File::Documents(documents, Written::ByHand(seed)) => by_hand::documents(documents, *seed),
        File::Documents(documents, Written::Block) => {
            let texts = documents.iter().map(|document| {
                let mut text = String::new();
                kustomize::yaml::emit(document, &mut text).unwrap();
                text
            });
            texts.collect::<Vec<_>>().join("---\n")
        }
        File::Documents(documents, Written::Json) => {
            let texts = documents.iter().map(|document| format!("{document:#}\n"));
            texts.collect::<Vec<_>>().join("---\n")
        }
    }
}

/// One directory while it is made.
pub(crate) struct Layer {
    /// Its path, absolute.
    pub(crate) path: String,
    /// Its kustomization file.
    pub(crate) fields: Map<String, Value>,
    /// Its other files, by their names.
    pub(crate) files: BTreeMap<String, File>,
    /// The objects that it may speak of: its own, and those below it.
    pub(crate) objects: Vec<Value>,
    pub(crate) is_component: bool,
}

impl Layer {
    fn new(path: &str, objects: Vec<Value>) -> Self {
        Self {
            path: path.to_owned(),
            fields: Map::new(),
            files: BTreeMap::new(),
            objects,
            is_component: false,
        }
    }

    /// Adds an item to a field that is a list.
    pub(crate) fn push(&mut self, field: &str, item: Value) {
        let list = self.fields.entry(field).or_insert_with(|| json!([]));
        if let Value::Array(items) = list {
            items.push(item);
        }
    }

    /// Adds a file under a name of its own, and returns the name.
    pub(crate) fn file(&mut self, stem: &str, extension: &str, file: File) -> String {
        let name = (0..)
            .map(|number| format!("{stem}-{number}.{extension}"))
            .find(|name| !self.files.contains_key(name));
        let name = name.unwrap();
        self.files.insert(name.clone(), file);
        name
    }

    /// One of the objects that it may speak of.
    pub(crate) fn object(&self, choose: &mut Choose) -> Option<Value> {
        (!self.objects.is_empty()).then(|| choose.pick(&self.objects).clone())
    }
}

pub(crate) fn tree(choose: &mut Choose) -> Tree {
    let mut files = BTreeMap::new();
    let mut base = layer(choose, "/base", &[], Vec::new());
    if choose.percent(10) {
        let part = component(choose, "/part", &base, &mut files);
        base.push("components", json!(part));
    }
    let top = match choose.below(10) {
        0..=3 => base,
        4..=7 => {
            let middle = layer(choose, "/middle", &["../base"], base.objects.clone());
            finish(choose, base, &mut files);
            if choose.percent(40) {
                let top = layer(choose, "/middle/top", &["../"], middle.objects.clone());
                finish(choose, middle, &mut files);
                // The directory above the one that is built may not be a base, so it has to move.
                let top = Layer {
                    path: "/top".to_owned(),
                    ..top
                };
                retarget(top, "../", "../middle")
            } else {
                middle
            }
        }
        _ => {
            let left = layer(choose, "/left", &["../base"], base.objects.clone());
            let mut right = layer(choose, "/right", &["../base"], base.objects.clone());
            // Both sides bring the same objects; a prefix or namespace keeps them apart most of the time.
            let key = choose.word(&["namePrefix", "nameSuffix", "namespace"]);
            right.fields.insert(key, json!("right-"));
            let objects = [left.objects.clone(), right.objects.clone()].concat();
            let top = layer(choose, "/top", &["../left", "../right"], objects);
            // Those of the base would be there twice.
            base.fields.remove("vars");
            for layer in [base, left, right] {
                finish(choose, layer, &mut files);
            }
            top
        }
    };
    let directory = top.path.clone();
    let mut top = top;
    if choose.percent(25) {
        let part = component(choose, "/component", &top, &mut files);
        top.push("components", json!(part));
        if choose.percent(25) {
            let part = component(choose, "/second", &top, &mut files);
            top.push("components", json!(part));
        }
    }
    fields::top_only(choose, &mut top);
    finish(choose, top, &mut files);
    Tree {
        files,
        directory,
        flags: flags(choose),
    }
}

/// A component for a directory; how that names it.
fn component(
    choose: &mut Choose,
    path: &str,
    of: &Layer,
    files: &mut BTreeMap<String, File>,
) -> String {
    let mut component = layer(choose, path, &[], of.objects.clone());
    component.is_component = true;
    finish(choose, component, files);
    format!("..{path}")
}

fn retarget(mut layer: Layer, from: &str, to: &str) -> Layer {
    for field in ["resources", "bases"] {
        if let Some(Value::Array(items)) = layer.fields.get_mut(field) {
            items
                .iter_mut()
                .filter(|item| item.as_str() == Some(from))
                .for_each(|item| *item = json!(to));
        }
    }
    layer
}

fn flags(choose: &mut Choose) -> Vec<String> {
    let mut flags = Vec::new();
    if choose.percent(50) {
        flags.push("--reorder=none".to_owned());
    } else if choose.percent(20) {
        flags.push("--reorder=legacy".to_owned());
    }
    if choose.percent(5) {
        flags.push("--enable-managedby-label".to_owned());
    }
    if choose.percent(10) {
        flags.push("--load-restrictor=LoadRestrictionsNone".to_owned());
    }
    flags
}

/// A directory with some objects of its own, and some fields.
fn layer(choose: &mut Choose, path: &str, below: &[&str], objects: Vec<Value>) -> Layer {
    let mut layer = Layer::new(path, objects);
    for base in below {
        let field = if choose.percent(10) {
            "bases"
        } else {
            "resources"
        };
        layer.push(field, json!(base));
    }
    let (least, most) = if below.is_empty() { (1, 5) } else { (0, 2) };
    let own = choose.some(least, most, objects::object);
    let mut own = distinct(own, &layer.objects);
    while !own.is_empty() {
        let count = 1 + choose.below(own.len());
        let documents: Vec<Value> = own.drain(..count).collect();
        layer.objects.extend(documents.iter().cloned());
        let documents = if choose.percent(5) {
            vec![json!({"apiVersion": "v1", "kind": "List", "items": documents})]
        } else {
            documents
        };
        let style = Written::objects(choose);
        let name = layer.file("objects", "yaml", File::Documents(documents, style));
        layer.push("resources", json!(name));
    }
    let count = if choose.percent(15) {
        0
    } else {
        1 + choose.below(5)
    };
    for _ in 0..count {
        fields::field(choose, &mut layer);
    }
    fields::seldom(choose, &mut layer);
    layer
}

/// Leaves out objects whose identity is taken, most of the time on purpose: a collision is an error.
fn distinct(objects: Vec<Value>, taken: &[Value]) -> Vec<Value> {
    let mut seen: Vec<Value> = taken.iter().map(identity).collect();
    let mut result = Vec::new();
    for object in objects {
        let identity = identity(&object);
        if !seen.contains(&identity) {
            seen.push(identity);
            result.push(object);
        }
    }
    result
}

fn identity(object: &Value) -> Value {
    let is_fixed = matches!(
        object["kind"].as_str(),
        Some("CustomResourceDefinition" | "APIService" | "Namespace")
    );
    let namespace = if is_fixed {
        &Value::Null
    } else {
        &object["metadata"]["namespace"]
    };
    json!([
        object["apiVersion"],
        object["kind"],
        object["metadata"]["name"],
        namespace
    ])
}

/// Writes a directory's files.
fn finish(choose: &mut Choose, mut layer: Layer, files: &mut BTreeMap<String, File>) {
    if layer.is_component {
        layer.fields.insert("kind".to_owned(), json!("Component"));
        layer.fields.insert(
            "apiVersion".to_owned(),
            json!("kustomize.config.k8s.io/v1alpha1"),
        );
    } else if choose.percent(50) {
        layer
            .fields
            .insert("kind".to_owned(), json!("Kustomization"));
        layer.fields.insert(
            "apiVersion".to_owned(),
            json!("kustomize.config.k8s.io/v1beta1"),
        );
    }
    let name = if choose.percent(90) {
        "kustomization.yaml"
    } else {
        choose.pick(&["kustomization.yml", "Kustomization"])
    };
    let style = Written::settings(choose);
    files.insert(
        format!("{}/{name}", layer.path),
        File::Documents(vec![Value::Object(layer.fields)], style),
    );
    for (name, file) in layer.files {
        files.insert(format!("{}/{name}", layer.path), file);
    }
}
