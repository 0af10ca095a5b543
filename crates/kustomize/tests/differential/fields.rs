//! Random fields of a kustomization.
//!
//! Enters: random choices, and a directory with its objects. Leaves: fields, and the files that they name. Never: the shape of the tree.

use serde_json::{Map, Value, json};

use crate::choose::Choose;
use crate::objects::{IMAGES, LABELS, NAMES, NAMESPACES, TEXTS, VALUES, labels};
use crate::tree::{File, Layer, Written};
use crate::{patches, references};

/// Adds a field, or an item to one that is a list.
pub(crate) fn field(choose: &mut Choose, layer: &mut Layer) {
    match choose.below(44) {
        0..=2 => set(layer, "namespace", json!(choose.word(NAMESPACES))),
        3..=4 => set(layer, "namePrefix", json!(choose.word(&["dev-", "p-", ""]))),
        5 => set(layer, "nameSuffix", json!(choose.word(&["-v1", "-s", ""]))),
        6 => set(layer, "commonLabels", labels(choose)),
        7..=8 => label_entry(choose, layer),
        9 => set(layer, "commonAnnotations", labels(choose)),
        10..=12 => image(choose, layer),
        13 => replicas(choose, layer),
        14..=20 => patches::patch(choose, layer),
        21..=24 => generator(choose, layer, "configMapGenerator"),
        25..=26 => generator(choose, layer, "secretGenerator"),
        27 => set(layer, "generatorOptions", generator_options(choose)),
        28..=30 => references::replacement(choose, layer),
        31 => references::variable(choose, layer),
        32..=35 => transformer(choose, layer),
        36 => builtin_generator(choose, layer),
        37 => configuration(choose, layer),
        38 => references::definitions(choose, layer),
        39 => old_image(choose, layer),
        40 => validator(choose, layer),
        41 => references::into_text(choose, layer),
        42 => references::variable(choose, layer),
        _ => set(
            layer,
            "metadata",
            json!({"name": "x", "annotations": {"config.kubernetes.io/local-config": "true"}}),
        ),
    }
}

/// Adds what counts only in the directory that is built.
pub(crate) fn top_only(choose: &mut Choose, layer: &mut Layer) {
    if choose.percent(10) {
        let options = match choose.below(4) {
            0 => json!({"order": "fifo"}),
            1 => json!({"order": "legacy"}),
            2 => {
                json!({"order": "legacy", "legacySortOptions": {"orderFirst": ["Service", "Deployment"], "orderLast": ["ConfigMap"]}})
            }
            _ => {
                json!({"order": "legacy", "legacySortOptions": {"orderFirst": [], "orderLast": ["Namespace"]}})
            }
        };
        set(layer, "sortOptions", options);
    }
    if choose.percent(12) {
        let all = [
            "originAnnotations",
            "transformerAnnotations",
            "managedByLabel",
        ];
        let options = choose.some(1, 2, |choose| choose.word(&all));
        set(layer, "buildMetadata", json!(options));
    }
}

/// Adds what is rare, refused, or has no effect below the top.
pub(crate) fn seldom(choose: &mut Choose, layer: &mut Layer) {
    match choose.below(400) {
        0 => layer.push(
            "helmCharts",
            json!({"name": "chart", "repo": "https://example.com"}),
        ),
        1 => set(layer, "unknown", json!("field")),
        2..=9 => set(layer, "sortOptions", json!({"order": "fifo"})),
        10..=29 => schema(choose, layer),
        30..=39 => {
            let name = layer.file(
                "empty",
                "yaml",
                File::Text("# nothing\n---\n---\n".to_owned()),
            );
            layer.push("resources", json!(name));
        }
        40..=59 => {
            // Keys are read whatever their case.
            let keys: Vec<String> = layer.fields.keys().cloned().collect();
            if let Some(key) = keys.first()
                && let Some(value) = layer.fields.remove(key)
            {
                let other = if choose.percent(50) {
                    key.to_uppercase()
                } else {
                    key.to_lowercase()
                };
                layer.fields.insert(other, value);
            }
        }
        _ => {}
    }
}

/// A schema in place of the one that is built in.
fn schema(choose: &mut Choose, layer: &mut Layer) {
    let items = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let mut list = json!({"type": "array", "items": items});
    if choose.percent(80) {
        list["x-kubernetes-patch-strategy"] = json!("merge");
        list["x-kubernetes-patch-merge-key"] = json!(choose.word(&["name", "name", "value"]));
    }
    let spec = json!({"type": "object", "properties": {"list": list, "containers": {"$ref": "#/definitions/Containers"}}});
    let containers = json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name"});
    let kind = |kind: &str| json!([{"group": "example.com", "version": "v1", "kind": kind}]);
    let file = json!({"definitions": {
        "v1.Thing": {"type": "object", "properties": {"spec": spec}, "x-kubernetes-group-version-kind": kind("Thing")},
        "v1.Certificate": {"type": "object", "properties": {"spec": {"$ref": "#/definitions/Spec"}}, "x-kubernetes-group-version-kind": kind("Certificate")},
        "Spec": {"type": "object", "properties": {"containers": {"$ref": "#/definitions/Containers"}}},
        "Containers": containers,
    }});
    let style = Written::settings(choose);
    let name = layer.file("schema", "json", File::Documents(vec![file], style));
    set(layer, "openapi", json!({"path": name}));
}

fn old_image(choose: &mut Choose, layer: &mut Layer) {
    let image = json!({"name": choose.word(&["nginx", "busybox"]), "newTag": "old"});
    layer.push("imageTags", image);
}

/// Adds a validator: a transformer that may not change anything.
fn validator(choose: &mut Choose, layer: &mut Layer) {
    let kind = choose.word(&[
        "Nothing", "Nothing", "Nothing", "Nothing", "Nothing", "Nothing", "Service",
    ]);
    let config = plugin(
        "LabelTransformer",
        "valid",
        json!({"labels": {"a": "b"}, "fieldSpecs": [{"path": "metadata/labels", "create": true, "kind": kind}]}),
    );
    add_config(choose, layer, "validators", &config);
}

fn set(layer: &mut Layer, field: &str, value: Value) {
    layer.fields.insert(field.to_owned(), value);
}

fn label_entry(choose: &mut Choose, layer: &mut Layer) {
    let mut entry = json!({"pairs": labels(choose)});
    for option in [
        "includeSelectors",
        "includeTemplates",
        "includeVolumeClaimTemplates",
    ] {
        if choose.percent(35) {
            entry[option] = json!(choose.percent(80));
        }
    }
    if choose.percent(15) {
        entry["fields"] = json!([field_spec(
            choose,
            &[
                "spec/selector/matchLabels",
                "spec/custom/labels",
                "metadata/labels"
            ]
        )]);
    }
    layer.push("labels", entry);
}

/// A field spec with one of several paths.
pub(crate) fn field_spec(choose: &mut Choose, paths: &[&str]) -> Value {
    let mut spec = json!({"path": choose.word(paths)});
    if choose.percent(40) {
        spec["create"] = json!(choose.percent(70));
    }
    if choose.percent(40) {
        spec["kind"] = json!(choose.word(&["Deployment", "Thing", "Service", "ConfigMap"]));
    }
    if choose.percent(15) {
        spec["group"] = json!(choose.word(&["apps", "example.com", ""]));
    }
    if choose.percent(10) {
        spec["version"] = json!("v1");
    }
    spec
}

fn image_value(choose: &mut Choose) -> Value {
    let names = [
        "nginx",
        "registry.example.com:5000/team/app",
        "busybox",
        "app",
        "ngin.",
        "nginx.*",
        "library/nginx",
    ];
    let mut image = json!({"name": choose.word(&names)});
    if choose.percent(40) {
        image["newName"] = json!(choose.word(&["mirror.example.com/nginx", "other"]));
    }
    match choose.below(8) {
        0..=3 => image["newTag"] = json!(choose.word(&["1.2", "v3", "latest"])),
        4 => image["digest"] = json!("sha256:feed"),
        5 => image["tagSuffix"] = json!("-fips"),
        6 => {
            image["newTag"] = json!("2");
            image["digest"] = json!("sha256:beef");
        }
        _ => {}
    }
    image
}

fn image(choose: &mut Choose, layer: &mut Layer) {
    let image = image_value(choose);
    layer.push("images", image);
}

fn replicas(choose: &mut Choose, layer: &mut Layer) {
    let scalable = [
        "Deployment",
        "StatefulSet",
        "ReplicaSet",
        "ReplicationController",
    ];
    let names: Vec<Value> = layer
        .objects
        .iter()
        .filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| scalable.contains(&kind))
        })
        .map(|object| object["metadata"]["name"].clone())
        .collect();
    if names.is_empty() {
        return;
    }
    // A name that nothing has is an error.
    let name = if choose.percent(1) {
        json!("nothing")
    } else {
        choose.pick(&names).clone()
    };
    layer.push("replicas", json!({"name": name, "count": choose.below(9)}));
}

fn generator_options(choose: &mut Choose) -> Value {
    let mut options = Map::new();
    if choose.percent(50) {
        options.insert(
            "disableNameSuffixHash".to_owned(),
            json!(choose.percent(70)),
        );
    }
    if choose.percent(30) {
        options.insert("labels".to_owned(), labels(choose));
    }
    if choose.percent(30) {
        options.insert(
            "annotations".to_owned(),
            json!({"note": choose.word(VALUES)}),
        );
    }
    if choose.percent(20) {
        options.insert("immutable".to_owned(), json!(choose.percent(70)));
    }
    Value::Object(options)
}

const ENV_FILES: &[&str] = &[
    "A=1\nB=two\n",
    "# comment\n\nA=x=y\n  B=z\n",
    "K=\"quoted\"\nL='single'\n",
    "\u{feff}A=bom\nC\n",
    "A= padded \nB\t=t\n",
    "",
];

/// What is no text.
const BYTES: &[&[u8]] = &[
    b"\xFF\xFE",
    b"\x00\x01\x02",
    b"caf\xE9\n",
    b"\xC3\x28 long enough to be folded where the output is folded, which is at seventy characters of base64",
];

/// What a generator makes its object of.
fn sources(choose: &mut Choose, layer: &mut Layer) -> Map<String, Value> {
    let mut sources = Map::new();
    if choose.percent(60) {
        // A key that stands twice is an error.
        let mut keys = vec!["a", "b", "c-d", "x.y", "UPPER"];
        let literals = choose.some(1, 3, |choose| {
            let index = choose.below(keys.len());
            let key = if choose.percent(2) {
                "a"
            } else {
                keys.remove(index)
            };
            let value = choose.word(&[
                "1",
                "two words",
                "",
                "'single'",
                "\"double\"",
                "a=b",
                "é",
                "multi\nline",
                "true",
                "\"",
                "'unbalanced",
            ]);
            json!(format!("{key}={value}"))
        });
        sources.insert("literals".to_owned(), json!(literals));
    }
    if choose.percent(35) {
        let file = if choose.percent(12) {
            File::Bytes(choose.pick(BYTES).to_vec())
        } else {
            File::Text(choose.word(TEXTS))
        };
        let name = layer.file("data", "txt", file);
        let entry = if choose.percent(50) {
            name
        } else {
            format!("{}={name}", choose.word(&["k", "key.txt"]))
        };
        sources.insert("files".to_owned(), json!([entry]));
    }
    if choose.percent(25) {
        let text = choose.word(ENV_FILES);
        let name = layer.file("data", "env", File::Text(text));
        if choose.percent(70) {
            let mut names = vec![name];
            if choose.percent(15) {
                let more = File::Text("ZZ=more\n".to_owned());
                names.push(layer.file("more", "env", more));
            }
            sources.insert("envs".to_owned(), json!(names));
        } else {
            sources.insert("env".to_owned(), json!(name));
        }
    }
    sources
}

fn generator(choose: &mut Choose, layer: &mut Layer, field: &str) {
    let mut generator = sources(choose, layer);
    generator.insert("name".to_owned(), json!(choose.word(NAMES)));
    if choose.percent(20) {
        generator.insert("namespace".to_owned(), json!(choose.word(NAMESPACES)));
    }
    if choose.percent(25) {
        generator.insert(
            "behavior".to_owned(),
            json!(choose.word(&["merge", "replace", "create"])),
        );
    }
    if choose.percent(25) {
        generator.insert("options".to_owned(), generator_options(choose));
    }
    if field == "secretGenerator" && choose.percent(30) {
        generator.insert(
            "type".to_owned(),
            json!(choose.word(&["Opaque", "kubernetes.io/tls"])),
        );
    }
    // A merge or replacement needs something to work on, and a creation a name that is free.
    let kind = if field == "secretGenerator" {
        "Secret"
    } else {
        "ConfigMap"
    };
    let existing: Vec<Value> = layer
        .objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .map(|object| object["metadata"].clone())
        .collect();
    let behavior = generator
        .get("behavior")
        .and_then(Value::as_str)
        .unwrap_or("create")
        .to_owned();
    if behavior != "create" && choose.percent(97) {
        if existing.is_empty() {
            return;
        }
        let target = choose.pick(&existing).clone();
        generator.insert("name".to_owned(), target["name"].clone());
        match target.get("namespace") {
            Some(namespace) => generator.insert("namespace".to_owned(), namespace.clone()),
            None => generator.remove("namespace"),
        };
    } else if behavior == "create" {
        let free: Vec<&str> = NAMES
            .iter()
            .copied()
            .filter(|name| existing.iter().all(|metadata| metadata["name"] != **name))
            .collect();
        if !free.is_empty() && choose.percent(97) {
            generator.insert("name".to_owned(), json!(choose.pick(&free)));
        }
        let mut metadata = json!({"name": generator["name"]});
        if let Some(namespace) = generator.get("namespace") {
            metadata["namespace"] = namespace.clone();
        }
        layer
            .objects
            .push(json!({"apiVersion": "v1", "kind": kind, "metadata": metadata}));
    }
    layer.push(field, Value::Object(generator));
}

fn plugin(kind: &str, name: &str, rest: Value) -> Value {
    let mut config = json!({"apiVersion": "builtin", "kind": kind, "metadata": {"name": name}});
    if let (Value::Object(config), Value::Object(rest)) = (&mut config, rest) {
        config.extend(rest);
    }
    config
}

/// Adds a transformer, inline or as a file.
fn transformer(choose: &mut Choose, layer: &mut Layer) {
    let config = match choose.below(11) {
        0 => plugin(
            "LabelTransformer",
            "t",
            json!({"labels": labels(choose), "fieldSpecs": [field_spec(choose, &["metadata/labels", "spec/template/metadata/labels"])]}),
        ),
        1 => plugin(
            "AnnotationsTransformer",
            "t",
            json!({"annotations": labels(choose), "fieldSpecs": [field_spec(choose, &["metadata/annotations"])]}),
        ),
        2 => {
            let mut rest = json!({"fieldSpecs": [field_spec(choose, &["metadata/name", "spec/name", "data/k"])]});
            rest["prefix"] = json!(choose.word(&["t-", ""]));
            if choose.percent(50) {
                rest["suffix"] = json!("-t");
            } else if rest["prefix"] == "" {
                // Whether a field that is made for no text is null goes by braces, see the README.
                rest["fieldSpecs"][0]["create"] = json!(false);
            }
            plugin("PrefixSuffixTransformer", "t", rest)
        }
        3 => {
            let mut rest = json!({"metadata": {"name": "t", "namespace": choose.word(NAMESPACES)}});
            if choose.percent(50) {
                rest["unsetOnly"] = json!(choose.percent(70));
            }
            if choose.percent(50) {
                rest["setRoleBindingSubjects"] =
                    json!(choose.word(&["none", "defaultOnly", "allServiceAccounts"]));
            }
            if choose.percent(70) {
                rest["fieldSpecs"] = json!([{"path": "metadata/namespace", "create": true}]);
            }
            plugin("NamespaceTransformer", "t", rest)
        }
        4 => {
            let image = image_value(choose);
            let mut rest = json!({"imageTag": image});
            if choose.percent(50) {
                rest["fieldSpecs"] = json!([field_spec(
                    choose,
                    &[
                        "spec/containers[]/image",
                        "spec/template/spec/containers[]/image"
                    ]
                )]);
            }
            plugin("ImageTagTransformer", "t", rest)
        }
        5 if deployment(layer).is_null() => return,
        5 => plugin(
            "ReplicaCountTransformer",
            "t",
            json!({"replica": {"name": deployment(layer), "count": 7}, "fieldSpecs": [{"path": "spec/replicas", "create": true, "kind": "Deployment"}]}),
        ),
        6 => match patches::configured(choose, layer) {
            Some(config) => plugin("PatchTransformer", "t", config),
            None => return,
        },
        7 => match references::configured(choose, layer) {
            Some(config) => plugin("ReplacementTransformer", "t", config),
            None => return,
        },
        8 => plugin(
            "ValueAddTransformer",
            "t",
            json!({"value": choose.word(NAMES), "targets": [{"fieldPath": choose.word(&["metadata/namespace", "metadata/annotations/x", "spec/name"])}]}),
        ),
        9 => match patches::json_configured(choose, layer) {
            Some(config) => plugin("PatchJson6902Transformer", "t", config),
            None => return,
        },
        _ => match patches::strategic_configured(choose, layer) {
            Some(config) => plugin("PatchStrategicMergeTransformer", "t", config),
            None => return,
        },
    };
    add_config(choose, layer, "transformers", &config);
}

/// The name of a deployment, if there is one.
fn deployment(layer: &Layer) -> Value {
    let found = layer
        .objects
        .iter()
        .find(|object| object["kind"] == "Deployment");
    found.map_or(Value::Null, |object| object["metadata"]["name"].clone())
}

fn add_config(choose: &mut Choose, layer: &mut Layer, field: &str, config: &Value) {
    if choose.percent(12) {
        // The configurations of a directory are built as objects are.
        let directory = (0..)
            .map(|number| format!("{field}-{number}"))
            .find(|name| !layer.files.contains_key(&format!("{name}/config.yaml")));
        let directory = directory.unwrap_or_default();
        let mut inner = json!({"resources": ["config.yaml"]});
        if choose.percent(20) {
            inner["namePrefix"] = json!("inner-");
        }
        let style = Written::settings(choose);
        layer.files.insert(
            format!("{directory}/kustomization.yaml"),
            File::Documents(vec![inner], style),
        );
        layer.files.insert(
            format!("{directory}/config.yaml"),
            File::Documents(vec![config.clone()], style),
        );
        layer.push(field, json!(directory));
        return;
    }
    if choose.percent(30) {
        layer.push(field, json!(format!("{config:#}\n")));
    } else {
        let style = Written::settings(choose);
        let name = layer.file(
            "config",
            "yaml",
            File::Documents(vec![config.clone()], style),
        );
        layer.push(field, json!(name));
    }
}

fn builtin_generator(choose: &mut Choose, layer: &mut Layer) {
    let kind = choose.word(&["ConfigMapGenerator", "SecretGenerator"]);
    let name = format!("generated-{}", layer.files.len());
    let mut config = plugin(&kind, &name, Value::Object(sources(choose, layer)));
    if choose.percent(30) {
        config["options"] = generator_options(choose);
    }
    add_config(choose, layer, "generators", &config);
}

fn configuration(choose: &mut Choose, layer: &mut Layer) {
    let mut config = Map::new();
    match choose.below(11) {
        8 => {
            config.insert(
                "nameSuffix".to_owned(),
                json!([field_spec(choose, &["metadata/name", "spec/name"])]),
            );
        }
        9 => {
            config.insert(
                "commonAnnotations".to_owned(),
                json!([field_spec(
                    choose,
                    &[
                        "spec/extra/annotations",
                        "spec/template/metadata/annotations"
                    ]
                )]),
            );
        }
        10 => {
            config.insert(
                "volumeClaimTemplateLabels".to_owned(),
                json!([field_spec(choose, &["spec/claims[]/metadata/labels"])]),
            );
        }
        0..=1 => {
            let specs = [
                json!({"path": "spec/configRef/name", "kind": "Thing"}),
                json!({"path": "spec/name", "kind": "Thing"}),
                json!({"path": "data/k", "kind": "ConfigMap"}),
            ];
            let target = choose.word(&["ConfigMap", "Deployment", "Secret", "Thing"]);
            let mut reference = json!({"kind": target, "fieldSpecs": [choose.pick(&specs)]});
            if choose.percent(50) {
                reference["version"] = json!("v1");
            }
            config.insert("nameReference".to_owned(), json!([reference]));
        }
        2 => {
            config.insert(
                "varReference".to_owned(),
                json!([field_spec(
                    choose,
                    &[
                        "spec/name",
                        "metadata/annotations",
                        "data/k",
                        "spec/list/value"
                    ]
                )]),
            );
        }
        3 => {
            config.insert(
                "namePrefix".to_owned(),
                json!([field_spec(choose, &["metadata/name", "spec/name"])]),
            );
        }
        4 => {
            config.insert(
                "namespace".to_owned(),
                json!([field_spec(
                    choose,
                    &["spec/namespace", "metadata/namespace"]
                )]),
            );
        }
        5 => {
            config.insert(
                "commonLabels".to_owned(),
                json!([field_spec(
                    choose,
                    &["spec/selector/matchLabels", "spec/extra/labels"]
                )]),
            );
        }
        6 => {
            config.insert(
                "images".to_owned(),
                json!([field_spec(
                    choose,
                    &["spec/host", "spec/image", "spec/list[]/value"]
                )]),
            );
        }
        _ => {
            config.insert(
                "replicas".to_owned(),
                json!([field_spec(choose, &["spec/replicas", "spec/count"])]),
            );
        }
    }
    let name = layer.file(
        "configuration",
        "yaml",
        File::Documents(vec![Value::Object(config)], Written::Block),
    );
    layer.push("configurations", json!(name));
}

/// A label selector that some objects may match.
pub(crate) fn selector(choose: &mut Choose) -> String {
    let key = choose.word(LABELS);
    let value = choose.word(&["a", "web", "prod"]);
    match choose.below(6) {
        0 => format!("{key}={value}"),
        1 => format!("{key}!={value}"),
        2 => format!("{key} in (a,{value})"),
        3 => format!("{key} notin (a, {value})"),
        4 => format!("!{key}"),
        _ => key,
    }
}

/// One of the images that objects have.
pub(crate) fn image_name(choose: &mut Choose) -> String {
    choose.word(IMAGES)
}
