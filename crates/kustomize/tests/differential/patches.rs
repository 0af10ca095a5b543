//! Random patches.
//!
//! Enters: random choices, and the objects that can be patched. Leaves: strategic merge and JSON 6902 patches, in every place that takes one.
//! Never: a patch that is wrong on purpose, but for a few.

use serde_json::{Map, Value, json};

use crate::choose::Choose;
use crate::fields::selector;
use crate::objects::{IMAGES, NAMES, NAMESPACES, VALUES, labels};
use crate::tree::{File, Layer, Written, render};

/// Adds a patch.
pub(crate) fn patch(choose: &mut Choose, layer: &mut Layer) {
    let Some(object) = layer.object(choose) else {
        return;
    };
    match choose.below(10) {
        0..=2 => {
            let patch = strategic(choose, &object, true);
            let entry = place(choose, layer, &patch, false);
            layer.push("patches", entry);
        }
        3..=4 => {
            let patch = strategic(choose, &object, false);
            let mut entry = place(choose, layer, &patch, false);
            entry["target"] = target(choose, &object);
            // The hash of a generated object that a patch makes another kind is one of upstream's memory: lines and columns too.
            let is_generated = matches!(object["kind"].as_str(), Some("ConfigMap" | "Secret"));
            if choose.percent(20) && !is_generated {
                entry["target"] = exact(&object);
                entry["options"] = json!({"allowNameChange": choose.percent(60), "allowKindChange": choose.percent(40)});
            }
            layer.push("patches", entry);
        }
        5..=7 => {
            let patch = operations(choose, &object);
            let mut entry = place(choose, layer, &patch, true);
            // A patch may not fit what else a loose target matches.
            entry["target"] = if choose.percent(85) {
                exact(&object)
            } else {
                target(choose, &object)
            };
            layer.push("patches", entry);
        }
        8 => {
            let patch = strategic(choose, &object, true);
            let style = Written::patches(choose);
            let mut patches = vec![patch];
            if choose.percent(20)
                && let Some(object) = layer.object(choose)
            {
                patches.push(strategic(choose, &object, true));
            }
            let file = File::Documents(patches, style);
            if choose.percent(30) {
                let text = render(&file);
                layer.push("patchesStrategicMerge", json!(text));
            } else {
                let name = layer.file("patch", "yaml", file);
                layer.push("patchesStrategicMerge", json!(name));
            }
        }
        _ => {
            let patch = operations(choose, &object);
            let mut entry = place(choose, layer, &patch, true);
            entry["target"] = exact(&object);
            layer.push("patchesJson6902", entry);
        }
    }
}

/// The configuration of a transformer that patches.
pub(crate) fn configured(choose: &mut Choose, layer: &mut Layer) -> Option<Value> {
    let object = layer.object(choose)?;
    let patch = strategic(choose, &object, true);
    Some(json!({"patch": format!("{patch:#}"), "target": target(choose, &object)}))
}

pub(crate) fn json_configured(choose: &mut Choose, layer: &mut Layer) -> Option<Value> {
    let object = layer.object(choose)?;
    let patch = operations(choose, &object);
    Some(json!({"jsonOp": format!("{patch:#}"), "target": exact(&object)}))
}

pub(crate) fn strategic_configured(choose: &mut Choose, layer: &mut Layer) -> Option<Value> {
    let object = layer.object(choose)?;
    let patch = strategic(choose, &object, true);
    Some(json!({"patches": format!("{patch:#}")}))
}

/// An entry with the patch in it, or in a file.
fn place(choose: &mut Choose, layer: &mut Layer, patch: &Value, is_json: bool) -> Value {
    let style = Written::patches(choose);
    if choose.percent(40) {
        let extension = if is_json && style == Written::Json {
            "json"
        } else {
            "yaml"
        };
        let name = layer.file(
            "patch",
            extension,
            File::Documents(vec![patch.clone()], style),
        );
        return json!({"path": name});
    }
    let text = render(&File::Documents(vec![patch.clone()], style));
    json!({"patch": text})
}

fn group_and_version(object: &Value) -> (String, String) {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    match version.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), version.to_owned()),
    }
}

fn exact(object: &Value) -> Value {
    let (group, version) = group_and_version(object);
    let mut target =
        json!({"version": version, "kind": object["kind"], "name": object["metadata"]["name"]});
    if !group.is_empty() {
        target["group"] = json!(group);
    }
    if let Some(namespace) = object["metadata"].get("namespace") {
        target["namespace"] = namespace.clone();
    }
    target
}

/// A selector that matches the object, and perhaps others; sometimes nothing.
fn target(choose: &mut Choose, object: &Value) -> Value {
    let mut target = Map::new();
    let (group, version) = group_and_version(object);
    if choose.percent(80) {
        target.insert("kind".to_owned(), object["kind"].clone());
    }
    if choose.percent(20) && !group.is_empty() {
        target.insert("group".to_owned(), json!(group));
    }
    if choose.percent(20) {
        target.insert("version".to_owned(), json!(version));
    }
    if choose.percent(50) {
        target.insert("name".to_owned(), object["metadata"]["name"].clone());
    } else if choose.percent(30) {
        target.insert(
            "name".to_owned(),
            json!(choose.word(&["web.*", ".*", "(a|b)", "w.b", "eb"])),
        );
    }
    if choose.percent(10) {
        target.insert(
            "namespace".to_owned(),
            json!(choose.word(&["x", "default", "x|y", ".*"])),
        );
    }
    if choose.percent(12) {
        target.insert("labelSelector".to_owned(), json!(selector(choose)));
    }
    if choose.percent(5) {
        target.insert("annotationSelector".to_owned(), json!(selector(choose)));
    }
    if target.is_empty() {
        target.insert("kind".to_owned(), object["kind"].clone());
    }
    Value::Object(target)
}

/// A strategic merge patch for an object.
fn strategic(choose: &mut Choose, object: &Value, exact: bool) -> Value {
    let mut metadata = Map::new();
    let name = object["metadata"]["name"].clone();
    metadata.insert(
        "name".to_owned(),
        if exact || choose.percent(60) {
            name
        } else {
            json!(choose.word(&["other", "a"]))
        },
    );
    if let Some(namespace) = object["metadata"].get("namespace")
        && (exact || choose.percent(50))
    {
        metadata.insert("namespace".to_owned(), namespace.clone());
    }
    let mut patch =
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata});
    if choose.percent(8) {
        patch["$patch"] = json!("delete");
        return patch;
    }
    if choose.percent(30) {
        patch["metadata"]["labels"] = entries(choose, &object["metadata"]["labels"]);
    }
    if choose.percent(20) {
        patch["metadata"]["annotations"] = entries(choose, &object["metadata"]["annotations"]);
    }
    let template = template_of(object);
    if let Some(path) = template
        && choose.percent(75)
    {
        let spec = pod_patch(choose, object, path);
        insert(&mut patch, path, spec);
    } else if choose.percent(70) {
        match object["kind"].as_str().unwrap_or_default() {
            "ConfigMap" => patch["data"] = entries(choose, &object["data"]),
            "Secret" => patch["stringData"] = json!({"k": choose.word(VALUES)}),
            "Service" => patch["spec"] = service_patch(choose),
            "Deployment" | "StatefulSet" => {
                patch["spec"]["replicas"] =
                    choose.pick(&[json!(9), json!(null), json!("3")]).clone()
            }
            "Thing" | "Certificate" => patch["spec"] = custom_patch(choose),
            "RoleBinding" | "ClusterRoleBinding" => {
                patch["subjects"] = json!([{"kind": "User", "name": choose.word(NAMES)}])
            }
            "Ingress" => patch["spec"]["tls"] = json!([{"secretName": choose.word(NAMES)}]),
            _ => patch["spec"]["extra"] = json!({"x": choose.word(VALUES)}),
        }
    }
    if choose.percent(4) {
        patch["spec"]["$patch"] = json!(choose.word(&["replace", "merge", "delete"]));
    }
    patch
}

/// The path to the pod specification of an object, if it has one.
fn template_of(object: &Value) -> Option<&'static [&'static str]> {
    match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => Some(&["spec", "template", "spec"]),
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        "Pod" => Some(&["spec"]),
        _ => None,
    }
}

fn insert(patch: &mut Value, path: &[&str], value: Value) {
    let mut place = patch;
    for key in path {
        place = &mut place[*key];
    }
    *place = value;
}

/// Entries of a map: changed, added, removed.
fn entries(choose: &mut Choose, existing: &Value) -> Value {
    let mut result = match labels(choose) {
        Value::Object(labels) if choose.percent(70) => labels,
        _ => Map::new(),
    };
    for key in existing
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        if choose.percent(40) {
            let value = if choose.percent(40) {
                Value::Null
            } else {
                json!(choose.word(VALUES))
            };
            result.insert(key.clone(), value);
        }
    }
    if choose.percent(5) {
        result.insert(
            "$patch".to_owned(),
            json!(choose.word(&["replace", "delete"])),
        );
    }
    Value::Object(result)
}

fn pod_patch(choose: &mut Choose, object: &Value, path: &[&str]) -> Value {
    let existing = path.iter().fold(object, |value, key| &value[*key]);
    let mut spec = Map::new();
    if choose.percent(70) {
        let containers = choose.some(1, 2, |choose| container_patch(choose));
        spec.insert("containers".to_owned(), json!(containers));
    }
    if choose.percent(25) {
        let name = choose.word(&["v", "w", "new"]);
        let volume = match choose.below(4) {
            0 => json!({"name": name, "$patch": "delete"}),
            1 => json!({"name": name, "emptyDir": {}, "configMap": null}),
            2 => json!({"name": name, "configMap": {"name": choose.word(NAMES)}}),
            _ => json!({"name": name, "emptyDir": {"medium": "Memory"}}),
        };
        spec.insert("volumes".to_owned(), json!([volume]));
    }
    if choose.percent(15) {
        spec.insert(
            "tolerations".to_owned(),
            json!([{"key": "b", "operator": "Exists"}]),
        );
    }
    if choose.percent(15) {
        spec.insert("serviceAccountName".to_owned(), json!(choose.word(NAMES)));
    }
    if choose.percent(10) {
        spec.insert(
            "imagePullSecrets".to_owned(),
            json!([{"name": choose.word(NAMES)}]),
        );
    }
    if choose.percent(10) {
        let constraint = json!({"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": choose.word(&["DoNotSchedule", "ScheduleAnyway"])});
        spec.insert("topologySpreadConstraints".to_owned(), json!([constraint]));
    }
    if existing.get("affinity").is_some() && choose.percent(50) {
        spec.insert(
            "affinity".to_owned(),
            choose
                .pick(&[Value::Null, json!({"nodeAffinity": {}}), json!({})])
                .clone(),
        );
    }
    Value::Object(spec)
}

fn container_patch(choose: &mut Choose) -> Value {
    let mut container = json!({"name": choose.word(&["main", "main", "side", "new"])});
    if choose.percent(8) {
        container["$patch"] = json!(choose.word(&["delete", "replace"]));
    }
    if choose.percent(40) {
        container["image"] = json!(choose.word(IMAGES));
    }
    if choose.percent(40) {
        let variables = choose.some(1, 2, |choose| {
            let name = choose.word(&["A", "B", "D"]);
            match choose.below(4) {
                0 => json!({"name": name, "$patch": "delete"}),
                1 => json!({"name": name, "value": null, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}),
                _ => json!({"name": name, "value": choose.word(VALUES)}),
            }
        });
        container["env"] = json!(variables);
    }
    if choose.percent(20) {
        let mut port = json!({"containerPort": choose.pick(&[80, 443, 9090])});
        if choose.percent(50) {
            port["protocol"] = json!(choose.word(&["TCP", "UDP"]));
        }
        if choose.percent(40) {
            port["name"] = json!("p");
        }
        container["ports"] = json!([port]);
    }
    if choose.percent(15) {
        container["args"] = choose
            .pick(&[json!(["--new"]), json!([]), Value::Null])
            .clone();
    }
    if choose.percent(10) {
        container["volumeMounts"] =
            json!([{"mountPath": "/v", "name": "w"}, {"mountPath": "/u", "name": "v"}]);
    }
    if choose.percent(10) {
        container["resources"] = json!({"limits": {"cpu": "1", "memory": null}});
    }
    container
}

fn service_patch(choose: &mut Choose) -> Value {
    let mut spec = Map::new();
    if choose.percent(60) {
        let port = choose
            .pick(&[
                json!({"port": 80, "name": "http"}),
                json!({"port": 81}),
                json!({"port": 80, "protocol": "UDP"}),
                json!({"port": 80, "$patch": "delete"}),
            ])
            .clone();
        spec.insert("ports".to_owned(), json!([port]));
    }
    if choose.percent(40) {
        spec.insert(
            "selector".to_owned(),
            choose
                .pick(&[
                    json!({"app": "new"}),
                    json!({"app": null}),
                    Value::Null,
                    json!({"$patch": "replace", "a": "b"}),
                ])
                .clone(),
        );
    }
    if choose.percent(30) {
        spec.insert("type".to_owned(), json!("NodePort"));
    }
    Value::Object(spec)
}

fn custom_patch(choose: &mut Choose) -> Value {
    let mut spec = Map::new();
    if choose.percent(50) {
        spec.insert(
            "list".to_owned(),
            choose
                .pick(&[
                    json!([{"name": "one", "value": "new"}]),
                    json!([]),
                    Value::Null,
                ])
                .clone(),
        );
    }
    if choose.percent(40) {
        spec.insert(
            "name".to_owned(),
            choose
                .pick(&[json!("other"), json!(5), Value::Null, json!({"a": 1})])
                .clone(),
        );
    }
    if choose.percent(30) {
        spec.insert("containers".to_owned(), json!([container_patch(choose)]));
    }
    if choose.percent(30) {
        spec.insert(
            "added".to_owned(),
            json!({"deep": {"er": [1, {"x": null}]}, "gone": null}),
        );
    }
    Value::Object(spec)
}

/// A JSON patch for an object.
fn operations(choose: &mut Choose, object: &Value) -> Value {
    json!(choose.some(1, 3, |choose| operation(choose, object)))
}

fn operation(choose: &mut Choose, object: &Value) -> Value {
    let value = match choose.below(8) {
        0 => json!(5),
        1 => json!(true),
        2 => json!({"a": "b"}),
        3 => json!(["x"]),
        4 => Value::Null,
        _ => json!(choose.word(VALUES)),
    };
    let existing = pointers(object);
    if existing.is_empty() {
        return json!({"op": "add", "path": "/data", "value": {"new": "v"}});
    }
    let path = if choose.percent(1) {
        choose.word(&["/metadata/labels/none", "/spec/none/deep"])
    } else {
        choose.pick(&existing).clone()
    };
    match choose.below(12) {
        0..=4 => json!({"op": "replace", "path": path, "value": value}),
        5..=6 => {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let last = match object.pointer(parent) {
                Some(Value::Array(items)) => choose
                    .pick(&[
                        "-".to_owned(),
                        "0".to_owned(),
                        items.len().to_string(),
                        "-1".to_owned(),
                    ])
                    .clone(),
                _ => choose.word(&["added", "a~1b", "a~0b"]),
            };
            json!({"op": "add", "path": format!("{parent}/{last}"), "value": value})
        }
        7..=8 => json!({"op": "remove", "path": path}),
        9 => json!({"op": "test", "path": path, "value": object.pointer(&path)}),
        both => {
            let op = if both == 10 { "copy" } else { "move" };
            // Annotations that are a list are refused upstream, or not, by which of its annotations are looked at.
            let target = match object.pointer(&path) {
                Some(Value::Array(_)) => "/metadata/finalizers",
                _ => "/metadata/annotations",
            };
            json!({"op": op, "from": path, "path": target})
        }
    }
}

/// The pointers into an object, but for those to its identity.
pub(crate) fn pointers(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(object, String::new(), &mut found);
    let identity = [
        "/apiVersion",
        "/kind",
        "/metadata",
        "/metadata/name",
        "/metadata/namespace",
        "",
    ];
    found.retain(|pointer| !identity.contains(&pointer.as_str()));
    found
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(
                    value,
                    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect(value, format!("{pointer}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.push(pointer);
}

/// A namespace, for selectors.
pub(crate) fn namespace(choose: &mut Choose) -> String {
    choose.word(NAMESPACES)
}
