//! Random replacements, variables and definitions of custom resources.
//!
//! Enters: random choices, and the objects that can be spoken of. Leaves: fields that carry values from one object to others.
//! Never: patches.

use serde_json::{Map, Value, json};

use crate::choose::Choose;
use crate::fields::{image_name, selector};
use crate::objects::{LABELS, NAMES};
use crate::patches::{namespace, pointers};
use crate::tree::{File, Layer, Written};

const SOURCE_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "data.k",
    "data.[file.txt]",
    "spec.name",
    "spec.host",
    "spec.replicas",
    "spec.template.spec.containers.0.image",
    "spec.template.spec.containers.[name=main].image",
    "metadata.labels.app",
    "metadata.labels.[app.kubernetes.io/name]",
    "spec.list.[name=one].value",
    "spec.list",
    "spec.template",
];

const TARGET_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.labels.app",
    "metadata.annotations.note",
    "metadata.annotations.[a/b]",
    "metadata.annotations.a\\.b",
    "spec.name",
    "spec.host",
    "spec.replicas",
    "data.k",
    "data.new",
    "spec.template.spec.containers.*.image",
    "spec.template.spec.containers.[name=main].image",
    "spec.template.spec.containers.[name=main].env.[name=A].value",
    "spec.template.spec.containers.0.env.*.value",
    "spec.template.spec.containers.1.image",
    "spec.list.*.value",
    "spec.list.[name=two].n",
    "spec.template.metadata.labels.app",
    "spec.ports.0.port",
    "subjects.0.name",
    "spec.rules.0.host",
    "stringData.k",
];

/// What selects an object, exactly or more loosely.
fn select(choose: &mut Choose, object: &Value) -> Value {
    let mut selector = Map::new();
    selector.insert("kind".to_owned(), object["kind"].clone());
    if choose.percent(70) {
        selector.insert("name".to_owned(), object["metadata"]["name"].clone());
    }
    let (group, version) = match object["apiVersion"]
        .as_str()
        .unwrap_or_default()
        .split_once('/')
    {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (
            String::new(),
            object["apiVersion"].as_str().unwrap_or_default().to_owned(),
        ),
    };
    if choose.percent(20) && !group.is_empty() {
        selector.insert("group".to_owned(), json!(group));
    }
    if choose.percent(20) {
        selector.insert("version".to_owned(), json!(version));
    }
    if choose.percent(15) {
        selector.insert("namespace".to_owned(), json!(namespace(choose)));
    }
    Value::Object(selector)
}

fn options(choose: &mut Choose) -> Option<Value> {
    let mut options = Map::new();
    if choose.percent(30) {
        options.insert(
            "delimiter".to_owned(),
            json!(choose.word(&[":", "/", "-", "."])),
        );
        if choose.percent(80) {
            let index = [0_i64, 0, 1, 2, -1, 5];
            options.insert("index".to_owned(), json!(choose.pick(&index)));
        }
    }
    if choose.percent(35) {
        options.insert("create".to_owned(), json!(true));
    }
    (!options.is_empty()).then_some(Value::Object(options))
}

fn replacement_value(choose: &mut Choose, layer: &Layer) -> Option<Value> {
    let object = layer.object(choose)?;
    let mut replacement = Map::new();
    if choose.percent(8) {
        replacement.insert("sourceValue".to_owned(), json!(image_name(choose)));
    } else {
        let mut source = select(choose, &object);
        source["name"] = object["metadata"]["name"].clone();
        if choose.percent(70) {
            let path = if choose.percent(85) {
                existing(choose, &object, false)
            } else {
                choose.word(SOURCE_PATHS)
            };
            source["fieldPath"] = json!(path);
        }
        if choose.percent(15) {
            let delimiter = choose.word(&[":", "/", "-"]);
            source["options"] = json!({"delimiter": delimiter, "index": choose.below(3)});
        }
        replacement.insert("source".to_owned(), source);
    }
    let targets = choose.some(1, 2, |choose| {
        let object = layer.object(choose).unwrap_or_default();
        let mut target = Map::new();
        target.insert("select".to_owned(), select(choose, &object));
        if choose.percent(15) {
            let object = layer.object(choose).unwrap_or_default();
            target.insert("reject".to_owned(), json!([select(choose, &object)]));
        }
        if choose.percent(90) {
            let paths = choose.some(1, 2, |choose| {
                if choose.percent(80) {
                    existing(choose, &object, true)
                } else {
                    choose.word(TARGET_PATHS)
                }
            });
            target.insert("fieldPaths".to_owned(), json!(paths));
        }
        if let Some(options) = options(choose) {
            target.insert("options".to_owned(), options);
        }
        Value::Object(target)
    });
    replacement.insert("targets".to_owned(), json!(targets));
    Some(Value::Object(replacement))
}

/// A path that exists in an object; a number among its steps may become something that matches more.
fn existing(choose: &mut Choose, object: &Value, wildcards: bool) -> String {
    let mut pointers = pointers(object);
    // Upstream has notes of its own there, which count as a field where the object has none.
    pointers.retain(|pointer| pointer != "/metadata/annotations");
    // Values that are no text, number or boolean are less often meant.
    if choose.percent(85) {
        pointers.retain(|pointer| {
            object
                .pointer(pointer)
                .is_some_and(|value| !value.is_object() && !value.is_array())
        });
    }
    if pointers.is_empty() {
        return "metadata.name".to_owned();
    }
    let pointer = choose.pick(&pointers).clone();
    let mut place = object;
    let mut steps = Vec::new();
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        place = match place {
            Value::Array(items) => {
                let item = &items[key.parse::<usize>().unwrap()];
                let step = match (choose.below(4), item.get("name").and_then(Value::as_str)) {
                    (0, _) if wildcards => "*".to_owned(),
                    (0..=2, Some(name)) => format!("[name={name}]"),
                    _ => key,
                };
                steps.push(step);
                item
            }
            _ => {
                let step = match (key.contains('.'), choose.percent(50)) {
                    (true, true) => format!("[{key}]"),
                    (true, false) => key.replace('.', "\\."),
                    (false, _) => key.clone(),
                };
                steps.push(step);
                &place[key.as_str()]
            }
        };
    }
    steps.join(".")
}

/// Adds a replacement.
pub(crate) fn replacement(choose: &mut Choose, layer: &mut Layer) {
    let Some(replacement) = replacement_value(choose, layer) else {
        return;
    };
    if choose.percent(20) {
        let style = Written::settings(choose);
        let name = layer.file(
            "replacement",
            "yaml",
            File::Documents(vec![replacement], style),
        );
        layer.push("replacements", json!({"path": name}));
    } else {
        layer.push("replacements", replacement);
    }
}

/// Adds a replacement of a field inside a text.
pub(crate) fn into_text(choose: &mut Choose, layer: &mut Layer) {
    const FIELDS: &[&str] = &[
        "host",
        "ports.0",
        "ports.*",
        "ports.2",
        "auth.user",
        "auth.on",
        "z",
        "a.deep",
        "a.new",
        "list.[name=one].value",
        "list.[name=two].value",
        "list.0.name",
        "j.0",
        "j.1.k",
        "added",
    ];
    let fields = |object: &Value| object["data"].as_object().cloned().unwrap_or_default();
    let texts: Vec<(Value, String, String)> = layer
        .objects
        .iter()
        .filter(|object| object["kind"] == "ConfigMap")
        .flat_map(|object| {
            let keys: Vec<(String, String)> = fields(object)
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .filter(|(_, text)| text.contains(": "))
                .collect();
            keys.into_iter()
                .map(|(key, text)| (object.clone(), key, text))
        })
        .collect();
    if texts.is_empty() {
        return;
    }
    let (object, key, text) = choose.pick(&texts).clone();
    let key = if key.contains('.') {
        format!("[{key}]")
    } else {
        key
    };
    let is_there = |field: &&&str| {
        let first = field.split('.').next().unwrap_or_default();
        text.contains(&format!("{first}:")) || text.contains(&format!("\"{first}\":"))
    };
    let there: Vec<&str> = FIELDS.iter().filter(is_there).copied().collect();
    let field = if there.is_empty() || choose.percent(5) {
        "added".to_owned()
    } else {
        choose.word(&there)
    };
    let path = format!("data.{key}.{field}");
    let value = choose.word(&["new", "80", "true", "a: b", "two words", "é", "#x"]);
    let mut target = json!({"select": {"kind": "ConfigMap", "name": object["metadata"]["name"]}, "fieldPaths": [path]});
    if let Some(options) = options(choose) {
        target["options"] = options;
    }
    layer.push(
        "replacements",
        json!({"sourceValue": value, "targets": [target]}),
    );
}

/// The configuration of a transformer that replaces.
pub(crate) fn configured(choose: &mut Choose, layer: &mut Layer) -> Option<Value> {
    Some(json!({"replacements": [replacement_value(choose, layer)?]}))
}

/// Adds a variable.
pub(crate) fn variable(choose: &mut Choose, layer: &mut Layer) {
    let Some(object) = layer.object(choose) else {
        return;
    };
    let reference = json!({"kind": object["kind"], "apiVersion": object["apiVersion"], "name": object["metadata"]["name"]});
    // A name that is taken is an error, further up too.
    let names = match layer.path.as_str() {
        "/base" => ["A", "C"],
        "/middle" | "/left" => ["B", "D"],
        "/right" | "/component" => ["E", "F"],
        _ => ["G", "H"],
    };
    let taken = layer
        .fields
        .get("vars")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let Some(name) = names.get(taken) else {
        return;
    };
    let mut variable = json!({"name": name, "objref": reference});
    if choose.percent(30) {
        variable["fieldref"] = json!({"fieldpath": choose.word(&["metadata.name", "metadata.namespace", "data.k", "spec.replicas", "spec.name", "spec.template.spec.containers[0].image"])});
    }
    layer.push("vars", variable);
}

/// Adds definitions of a custom resource that refers to others.
pub(crate) fn definitions(choose: &mut Choose, layer: &mut Layer) {
    let target = choose.word(&["ConfigMap", "Secret", "Deployment"]);
    let version = if target == "Deployment" {
        "apps/v1"
    } else {
        "v1"
    };
    let field = json!({
        "x-kubernetes-object-ref-api-version": version,
        "x-kubernetes-object-ref-kind": target,
        "x-kubernetes-object-ref-name-key": "name",
    });
    let file = json!({
        "com.example/v1.Thing": {"Schema": {"properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {"$ref": "com.example/v1.ThingSpec"},
        }}},
        "com.example/v1.ThingSpec": {"Schema": {"properties": {"configRef": field}}},
    });
    let style = Written::settings(choose);
    let name = layer.file(
        "definitions",
        if style == Written::Block {
            "yaml"
        } else {
            "json"
        },
        File::Documents(vec![file], style),
    );
    layer.push("crds", json!(name));
    // Objects that the definitions are about are the more likely to be there.
    if choose.percent(50) {
        let thing = json!({
            "apiVersion": "example.com/v1",
            "kind": "Thing",
            "metadata": {"name": "referring", "labels": {choose.word(LABELS): selector(choose).chars().take(1).collect::<String>()}},
            "spec": {"configRef": {"name": choose.word(NAMES)}},
        });
        let name = layer.file(
            "objects",
            "yaml",
            File::Documents(vec![thing], Written::Block),
        );
        layer.push("resources", json!(name));
    }
}
