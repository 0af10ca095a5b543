//! Random objects of Kubernetes, with names from a small set, so that they refer to each other.
//!
//! Enters: random choices. Leaves: objects as JSON. Never: an object that the API server would have to accept.

use serde_json::{Map, Value, json};

use crate::choose::Choose;

pub(crate) const NAMES: &[&str] = &["a", "b", "web", "web-2", "db", "config"];
pub(crate) const NAMESPACES: &[&str] = &["x", "y", "default"];
pub(crate) const IMAGES: &[&str] = &[
    "nginx",
    "nginx:1.0",
    "nginx:1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "nginx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "registry.example.com:5000/team/app:v1",
    "registry.example.com:5000/team/app",
    "busybox:latest",
    "app",
    "library/nginx",
    "nginx-extras:2",
];
pub(crate) const LABELS: &[&str] = &["app", "tier", "app.kubernetes.io/name", "env", "foo"];
pub(crate) const VALUES: &[&str] = &[
    "a",
    "web",
    "prod",
    "yes",
    "1",
    "1.0",
    "true",
    "",
    "0644",
    "x y",
    "it's",
    "a: b",
    "null",
    "$(A)",
    "$(B) and $(A)",
    "$(C)-$(D)-$$(A)",
    "é",
    "2020-01-01",
];

/// An object of some kind.
pub(crate) fn object(choose: &mut Choose) -> Value {
    match choose.below(29) {
        0..=4 => workload(choose, "apps/v1", "Deployment"),
        5 => workload(choose, "apps/v1", "StatefulSet"),
        6 => workload(choose, "apps/v1", "DaemonSet"),
        7 => workload(choose, "batch/v1", "Job"),
        8 => cron_job(choose),
        9 => pod(choose),
        10..=11 => service(choose),
        12..=13 => config_map(choose),
        14 => secret(choose),
        15 => named(choose, "v1", "ServiceAccount", json!({})),
        16 => role(choose),
        17 => binding(choose),
        18 => ingress(choose),
        19 => storage(choose),
        20 => policy(choose),
        21 => namespace(choose),
        22 => webhook(choose),
        23 => definition(choose),
        24 => api_service(choose),
        25 => workload(choose, "apps/v1", "ReplicaSet"),
        26 => seldom(choose),
        _ => custom(choose),
    }
}

pub(crate) fn labels(choose: &mut Choose) -> Value {
    let pairs = choose.some(1, 2, |choose| {
        (choose.word(LABELS), json!(choose.word(VALUES)))
    });
    Value::Object(pairs.into_iter().collect())
}

fn named(choose: &mut Choose, version: &str, kind: &str, rest: Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(choose.word(NAMES)));
    let is_cluster_scoped = kind.starts_with("Cluster")
        || kind.ends_with("WebhookConfiguration")
        || [
            "PersistentVolume",
            "StorageClass",
            "PriorityClass",
            "CustomResourceDefinition",
            "APIService",
        ]
        .contains(&kind);
    if choose.percent(if is_cluster_scoped { 2 } else { 25 }) {
        metadata.insert("namespace".to_owned(), json!(choose.word(NAMESPACES)));
    }
    if choose.percent(30) {
        metadata.insert("labels".to_owned(), labels(choose));
    }
    if choose.percent(20) {
        metadata.insert("annotations".to_owned(), annotations(choose));
    }
    if choose.percent(3) {
        metadata.insert(
            "finalizers".to_owned(),
            json!(["example.com/a", "example.com/b"]),
        );
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!(version));
    object.insert("kind".to_owned(), json!(kind));
    object.insert("metadata".to_owned(), Value::Object(metadata));
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    Value::Object(object)
}

fn annotations(choose: &mut Choose) -> Value {
    if choose.percent(3) {
        return json!({"kustomize.config.k8s.io/needs-hash": "true"});
    }
    if choose.percent(8) {
        return json!({"config.kubernetes.io/local-config": choose.word(&["true", "false", ""])});
    }
    let pairs = choose.some(1, 2, |choose| {
        (
            choose.word(&["note", "a/b", "env"]),
            json!(choose.word(VALUES)),
        )
    });
    Value::Object(pairs.into_iter().collect())
}

fn container(choose: &mut Choose, name: &str) -> Value {
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(name));
    container.insert("image".to_owned(), json!(choose.word(IMAGES)));
    if choose.percent(50) {
        let env = choose.some(1, 3, |choose| {
            let name = choose.word(&["A", "B", "C"]);
            match choose.below(5) {
                0 => json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": choose.word(NAMES), "key": "k"}}}),
                1 => json!({"name": name, "valueFrom": {"secretKeyRef": {"name": choose.word(NAMES), "key": "k"}}}),
                2 => json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
                _ => json!({"name": name, "value": choose.word(VALUES)}),
            }
        });
        container.insert("env".to_owned(), json!(env));
    }
    if choose.percent(20) {
        let kind = choose.word(&["configMapRef", "secretRef"]);
        container.insert(
            "envFrom".to_owned(),
            json!([{kind: {"name": choose.word(NAMES)}}]),
        );
    }
    if choose.percent(30) {
        let port = choose.pick(&[80, 443, 8080]);
        let port = if choose.percent(50) {
            json!({"containerPort": port})
        } else {
            json!({"containerPort": port, "name": "http", "protocol": "TCP"})
        };
        container.insert("ports".to_owned(), json!([port]));
    }
    if choose.percent(20) {
        container.insert(
            "volumeMounts".to_owned(),
            json!([{"name": choose.word(&["v", "w"]), "mountPath": "/v"}]),
        );
    }
    if choose.percent(15) {
        container.insert(
            "args".to_owned(),
            json!(["--a=$(A)", "-b", choose.word(VALUES)]),
        );
    }
    Value::Object(container)
}

fn volume(choose: &mut Choose) -> Value {
    let name = choose.word(&["v", "w"]);
    let target = choose.word(NAMES);
    match choose.below(6) {
        0 => json!({"name": name, "configMap": {"name": target}}),
        1 => json!({"name": name, "secret": {"secretName": target}}),
        2 => json!({"name": name, "persistentVolumeClaim": {"claimName": target}}),
        3 => {
            json!({"name": name, "projected": {"sources": [{"configMap": {"name": target}}, {"secret": {"name": target}}]}})
        }
        4 => json!({"name": name, "image": {"reference": choose.word(IMAGES)}}),
        _ => json!({"name": name, "emptyDir": {}}),
    }
}

fn pod_spec(choose: &mut Choose) -> Value {
    let mut spec = Map::new();
    let mut containers = vec![container(choose, "main")];
    if choose.percent(30) {
        containers.push(container(choose, "side"));
    }
    spec.insert("containers".to_owned(), json!(containers));
    if choose.percent(15) {
        spec.insert(
            "initContainers".to_owned(),
            json!([container(choose, "init")]),
        );
    }
    if choose.percent(35) {
        spec.insert("volumes".to_owned(), json!(choose.some(1, 2, volume)));
    }
    if choose.percent(25) {
        spec.insert("serviceAccountName".to_owned(), json!(choose.word(NAMES)));
    }
    if choose.percent(10) {
        spec.insert(
            "imagePullSecrets".to_owned(),
            json!([{"name": choose.word(NAMES)}]),
        );
    }
    if choose.percent(10) {
        spec.insert("priorityClassName".to_owned(), json!(choose.word(NAMES)));
    }
    if choose.percent(10) {
        spec.insert(
            "tolerations".to_owned(),
            json!([{"key": "a", "operator": "Exists"}]),
        );
    }
    if choose.percent(10) {
        let term = json!({"labelSelector": {"matchLabels": labels(choose)}, "topologyKey": "zone"});
        spec.insert(
            "affinity".to_owned(),
            json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}),
        );
    }
    if choose.percent(8) {
        let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": labels(choose)}});
        spec.insert("topologySpreadConstraints".to_owned(), json!([constraint]));
    }
    Value::Object(spec)
}

fn template(choose: &mut Choose) -> Value {
    let mut template = json!({"spec": pod_spec(choose)});
    if choose.percent(60) {
        template["metadata"] = json!({"labels": labels(choose)});
    }
    if choose.percent(10) {
        template["metadata"]["annotations"] = json!({"note": choose.word(VALUES)});
    }
    template
}

fn workload(choose: &mut Choose, version: &str, kind: &str) -> Value {
    let mut spec = json!({"template": template(choose)});
    if kind != "Job" && choose.percent(50) {
        spec["selector"] = json!({"matchLabels": labels(choose)});
    }
    if kind != "DaemonSet" && kind != "Job" && choose.percent(50) {
        spec["replicas"] = json!(choose.below(5));
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!(choose.word(NAMES));
        if choose.percent(50) {
            let claim = json!({"metadata": {"name": "data"}, "spec": {"storageClassName": choose.word(NAMES)}});
            spec["volumeClaimTemplates"] = json!([claim]);
        }
    }
    named(choose, version, kind, json!({"spec": spec}))
}

fn cron_job(choose: &mut Choose) -> Value {
    let template = template(choose);
    named(
        choose,
        "batch/v1",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}}),
    )
}

fn pod(choose: &mut Choose) -> Value {
    let spec = pod_spec(choose);
    named(choose, "v1", "Pod", json!({"spec": spec}))
}

fn service(choose: &mut Choose) -> Value {
    let mut spec = json!({"ports": [{"port": 80, "targetPort": "http"}]});
    if choose.percent(60) {
        spec["selector"] = labels(choose);
    }
    named(choose, "v1", "Service", json!({"spec": spec}))
}

pub(crate) const TEXTS: &[&str] = &[
    "v",
    "",
    "line 1\nline 2\n",
    "a: b\n",
    "true",
    "0x10",
    " padded ",
    "$(A)",
    "tab\there",
    "{\"j\": [1, {\"k\": \"v\"}]}",
    "# settings\nhost: example.com # there\nports:\n  - 80\n  - 443\nauth: {user: \"a\", 'on': true}\n",
    "z: 1\na:\n    deep: 'x'\n    # behind\n\nlist:\n- name: one\n  value: |\n    text\n",
    "é ü",
    "end \n",
];

fn config_map(choose: &mut Choose) -> Value {
    let pairs = choose.some(0, 3, |choose| {
        (
            choose.word(&["k", "l", "file.txt"]),
            json!(choose.word(TEXTS)),
        )
    });
    let data: Map<String, Value> = pairs.into_iter().collect();
    named(
        choose,
        "v1",
        "ConfigMap",
        if data.is_empty() {
            json!({})
        } else {
            json!({"data": data})
        },
    )
}

fn secret(choose: &mut Choose) -> Value {
    let field = choose.word(&["data", "stringData"]);
    let value = choose.word(&["aGVsbG8=", "dg==", ""]);
    named(
        choose,
        "v1",
        "Secret",
        json!({"type": "Opaque", field: {"k": value}}),
    )
}

fn role(choose: &mut Choose) -> Value {
    let kind = choose.word(&["Role", "ClusterRole"]);
    let mut rule = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]});
    if choose.percent(40) {
        rule["resourceNames"] = json!([choose.word(NAMES)]);
    }
    named(
        choose,
        "rbac.authorization.k8s.io/v1",
        &kind,
        json!({"rules": [rule]}),
    )
}

fn binding(choose: &mut Choose) -> Value {
    let kind = choose.word(&["RoleBinding", "ClusterRoleBinding"]);
    let role = if kind == "RoleBinding" {
        choose.word(&["Role", "ClusterRole"])
    } else {
        "ClusterRole".to_owned()
    };
    let subjects = choose.some(1, 2, |choose| {
        let mut subject = json!({"kind": choose.word(&["ServiceAccount", "ServiceAccount", "User"]), "name": choose.word(&["a", "b", "default", "web"])});
        if choose.percent(60) {
            subject["namespace"] = json!(choose.word(NAMESPACES));
        }
        subject
    });
    let reference =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": choose.word(NAMES)});
    named(
        choose,
        "rbac.authorization.k8s.io/v1",
        &kind,
        json!({"roleRef": reference, "subjects": subjects}),
    )
}

fn ingress(choose: &mut Choose) -> Value {
    let backend = json!({"service": {"name": choose.word(NAMES), "port": {"number": 80}}});
    let mut spec = json!({"rules": [{"host": "example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]});
    if choose.percent(40) {
        spec["tls"] = json!([{"hosts": ["example.com"], "secretName": choose.word(NAMES)}]);
    }
    if choose.percent(20) {
        spec["ingressClassName"] = json!(choose.word(NAMES));
    }
    named(
        choose,
        "networking.k8s.io/v1",
        "Ingress",
        json!({"spec": spec}),
    )
}

fn storage(choose: &mut Choose) -> Value {
    match choose.below(4) {
        0 => {
            let spec =
                json!({"storageClassName": choose.word(NAMES), "volumeName": choose.word(NAMES)});
            named(choose, "v1", "PersistentVolumeClaim", json!({"spec": spec}))
        }
        1 => {
            let spec = json!({"storageClassName": choose.word(NAMES), "claimRef": {"name": choose.word(NAMES), "namespace": "x"}});
            named(choose, "v1", "PersistentVolume", json!({"spec": spec}))
        }
        2 => named(
            choose,
            "storage.k8s.io/v1",
            "StorageClass",
            json!({"provisioner": "example.com/a"}),
        ),
        _ => named(
            choose,
            "scheduling.k8s.io/v1",
            "PriorityClass",
            json!({"value": 10}),
        ),
    }
}

fn policy(choose: &mut Choose) -> Value {
    match choose.below(3) {
        0 => {
            let reference =
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": choose.word(NAMES)});
            named(
                choose,
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"spec": {"scaleTargetRef": reference, "maxReplicas": 3}}),
            )
        }
        1 => {
            let selector = labels(choose);
            named(
                choose,
                "policy/v1",
                "PodDisruptionBudget",
                json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": selector}}}),
            )
        }
        _ => {
            let selector = labels(choose);
            let peer = json!({"podSelector": {"matchLabels": labels(choose)}});
            named(
                choose,
                "networking.k8s.io/v1",
                "NetworkPolicy",
                json!({"spec": {"podSelector": {"matchLabels": selector}, "ingress": [{"from": [peer]}]}}),
            )
        }
    }
}

/// Kinds that few have, and that something is special about.
fn seldom(choose: &mut Choose) -> Value {
    match choose.below(8) {
        0 => workload(choose, "v1", "ReplicationController"),
        1 => named(
            choose,
            "networking.k8s.io/v1",
            "IngressClass",
            json!({"spec": {"controller": "example.com/a"}}),
        ),
        2 => named(
            choose,
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            json!({"spec": {"failurePolicy": "Fail"}}),
        ),
        3 => {
            let spec = json!({"policyName": choose.word(NAMES), "validationActions": ["Deny"]});
            named(
                choose,
                "admissionregistration.k8s.io/v1",
                "ValidatingAdmissionPolicyBinding",
                json!({"spec": spec}),
            )
        }
        4 => {
            let subset = json!({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]});
            named(choose, "v1", "Endpoints", json!({"subsets": [subset]}))
        }
        5 => {
            let selector = labels(choose);
            let spec = json!({"selector": {"matchLabels": selector}, "endpoints": [{"port": "http", "interval": "30s"}]});
            named(
                choose,
                "monitoring.coreos.com/v1",
                "ServiceMonitor",
                json!({"spec": spec}),
            )
        }
        // A kind that has been in another group before.
        6 => {
            let backend = json!({"serviceName": choose.word(NAMES), "servicePort": 80});
            named(
                choose,
                "extensions/v1beta1",
                "Ingress",
                json!({"spec": {"rules": [{"http": {"paths": [{"backend": backend}]}}]}}),
            )
        }
        _ => {
            let hard = json!({"pods": "10", "requests.cpu": 4});
            named(
                choose,
                "v1",
                "ResourceQuota",
                json!({"spec": {"hard": hard}}),
            )
        }
    }
}

fn namespace(choose: &mut Choose) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": choose.word(NAMESPACES)}});
    if choose.percent(30) {
        object["metadata"]["labels"] = labels(choose);
    }
    object
}

fn webhook(choose: &mut Choose) -> Value {
    let kind = choose.word(&[
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ]);
    let service =
        json!({"name": choose.word(NAMES), "namespace": choose.word(NAMESPACES), "path": "/v"});
    let hook = json!({"name": "a.example.com", "clientConfig": {"service": service}, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
    named(
        choose,
        "admissionregistration.k8s.io/v1",
        &kind,
        json!({"webhooks": [hook]}),
    )
}

fn definition(choose: &mut Choose) -> Value {
    let mut spec = json!({"group": "example.com", "names": {"kind": "Thing", "plural": "things"}, "scope": "Namespaced"});
    if choose.percent(40) {
        let service = json!({"name": choose.word(NAMES), "namespace": choose.word(NAMESPACES)});
        spec["conversion"] =
            json!({"strategy": "Webhook", "webhook": {"clientConfig": {"service": service}}});
    }
    let mut object = named(
        choose,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        json!({"spec": spec}),
    );
    object["metadata"]["name"] = json!("things.example.com");
    object
}

fn api_service(choose: &mut Choose) -> Value {
    let service = json!({"name": choose.word(NAMES), "namespace": choose.word(NAMESPACES)});
    let mut object = named(
        choose,
        "apiregistration.k8s.io/v1",
        "APIService",
        json!({"spec": {"group": "metrics.k8s.io", "service": service, "version": "v1"}}),
    );
    object["metadata"]["name"] = json!("v1.metrics.k8s.io");
    object
}

fn custom(choose: &mut Choose) -> Value {
    let mut spec = Map::new();
    spec.insert("name".to_owned(), json!(choose.word(NAMES)));
    if choose.percent(40) {
        spec.insert("containers".to_owned(), json!([container(choose, "main")]));
    }
    if choose.percent(40) {
        spec.insert("template".to_owned(), template(choose));
    }
    if choose.percent(40) {
        spec.insert(
            "list".to_owned(),
            json!([{"name": "one", "value": choose.word(VALUES)}, {"name": "two", "n": 1.5}]),
        );
    }
    if choose.percent(30) {
        spec.insert(
            "selector".to_owned(),
            json!({"matchLabels": labels(choose)}),
        );
    }
    if choose.percent(20) {
        spec.insert("configRef".to_owned(), json!({"name": choose.word(NAMES)}));
    }
    if choose.percent(20) {
        spec.insert("host".to_owned(), json!("a.example.com:80"));
    }
    let kind = choose.word(&["Thing", "Thing", "Certificate"]);
    named(choose, "example.com/v1", &kind, json!({"spec": spec}))
}
