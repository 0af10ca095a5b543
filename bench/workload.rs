//! The objects that both sides apply.
//!
//! Enters: the number of an Application, how many objects, a version.
//! Leaves: manifests.
//! Never: an object that differs between the two sides but in its namespace.

use serde_json::{Value, json};

/// Which objects carry the version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    /// In the Deployment.
    pub(crate) deployment: u32,
    /// In every object.
    pub(crate) all: u32,
}

/// Returns the name of an Application.
pub(crate) fn name(number: usize) -> String {
    format!("app-{number:05}")
}

/// Returns the objects of one Application.
pub(crate) fn objects(number: usize, count: usize, version: Version) -> Vec<Value> {
    let name = name(number);
    let all = format!("v{}", version.all);
    let labels = json!({"app": name});
    let meta = |suffix: &str| json!({"name": format!("{name}{suffix}"), "labels": labels, "annotations": {"bench/version": all}});
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("")}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": meta(""),
            "spec": {"clusterIP": "None", "selector": labels, "ports": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"},
                {"name": "metrics", "port": 9797, "protocol": "TCP", "targetPort": "metrics"},
            ]},
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(""),
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": name,
                        "containers": [{
                            "name": "web",
                            "image": format!("registry.example.org/web:1.{}", version.deployment),
                            "ports": [
                                {"name": "http", "containerPort": 9898, "protocol": "TCP"},
                                {"name": "metrics", "containerPort": 9797, "protocol": "TCP"},
                            ],
                            "env": [{"name": "COLOUR", "value": "#34577c"}, {"name": "MESSAGE", "value": "hello"}],
                            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "timeoutSeconds": 5},
                            "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "timeoutSeconds": 5},
                            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                        }],
                    },
                },
            },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta(""),
            "spec": {"rules": [{"host": format!("{name}.example.org"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}},
            ]}}]},
        }),
    ];
    for more in 4..count {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(&format!("-{more}")),
            "data": {"number": more.to_string(), "version": all},
        }));
    }
    objects.truncate(count.max(1));
    objects
}

/// Returns so many Deployments of one pod each, and nothing else.
pub(crate) fn deployments(number: usize, count: usize, version: Version) -> Vec<Value> {
    let deployment = |at: usize| {
        let name = format!("{}-{at:02}", name(number));
        let mut object = objects(number, 3, version).pop().unwrap_or_default();
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"] = json!({"app": name});
        object["spec"]["replicas"] = json!(1);
        object["spec"]["selector"]["matchLabels"] = json!({"app": name});
        object["spec"]["template"]["metadata"]["labels"] = json!({"app": name});
        object["spec"]["template"]["spec"]["serviceAccountName"] = json!("default");
        // The simulated nodes have 32 cores each: theirs and ours are to fit beside each other.
        object["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] =
            json!("10m");
        object
    };
    (0..count).map(deployment).collect()
}

/// Returns so many ConfigMaps of about half a KiB; those whose number has no remainder carry the version.
pub(crate) fn config_maps(number: usize, count: usize, every: usize, version: u32) -> Vec<Value> {
    let application = name(number);
    let object = |at: usize| {
        let version = if at.is_multiple_of(every) { version } else { 0 };
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("{application}-{at:05}"), "labels": {"app": application}},
            "data": {"version": version.to_string(), "text": "large ".repeat(60)},
        })
    };
    (0..count).map(object).collect()
}

/// Returns a file of manifests. JSON is YAML.
pub(crate) fn file(number: usize, count: usize, version: Version) -> String {
    text(&objects(number, count, version))
}

/// Returns objects as one file.
pub(crate) fn text(objects: &[Value]) -> String {
    let documents: Vec<String> = objects.iter().map(|object| format!("{object:#}")).collect();
    documents.join("\n---\n") + "\n"
}
