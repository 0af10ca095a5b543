//! The rows of the scenario table: a good set, a bad one, and what is to become of it.
//!
//! Enters: nothing.
//! Leaves: at least forty rows, each with a name of its own.
//! Never: a row whose bad set is its good one.

use serde_json::{Value, json};

use crate::{story_support::Place, support::eventually};

/// What is to become of a row.
pub(crate) enum Expect {
    /// The last known good runs again; the change is at fault, for this reason.
    Returns(&'static str),
    /// It failed for the environment's sake, and nothing is undone.
    Stays(&'static str),
    /// It becomes good.
    Ready {
        /// Objects without a verdict.
        not_assessed: u64,
    },
    /// It becomes good; so many objects may be without a verdict, if somebody else is quick enough to say why.
    ReadyAtMost(u64),
    /// It was good, and is said not to be any more.
    Degrades,
    /// It failed, and so did the return: held.
    ReturnFails,
    /// It failed before, and nothing is undone.
    AsBefore(&'static str),
    /// A barrier was crossed: it failed, for this reason, and nothing is undone.
    Blocked(&'static str),
    /// Nothing was written.
    Refused(&'static str),
}

impl Expect {
    /// The deadline of a set: what only it ends need not wait long, and what something else ends must not meet it,
    /// however slow the machine is.
    fn deadline(&self) -> &'static str {
        match self {
            Self::Returns("HealthTimeout")
            | Self::Stays("HealthTimeout")
            | Self::AsBefore("HealthTimeout")
            | Self::Blocked("HealthTimeout")
            | Self::ReturnFails => "20s",
            Self::Degrades => "60s",
            Self::Returns(_)
            | Self::Stays(_)
            | Self::AsBefore(_)
            | Self::Blocked(_)
            | Self::Ready { .. }
            | Self::ReadyAtMost(_)
            | Self::Refused(_) => "100s",
        }
    }
}

/// What is done around the bad commit.
pub(crate) enum Stage {
    /// The account may do everything.
    ClusterAdmin,
    /// An object that is there before the bad commit: version, plural, and the object.
    Object(&'static str, &'static str, Value),
    /// A label of the namespace.
    NamespaceLabel(&'static str, &'static str),
    /// Admission denies the pods of the namespace with an image of this tag.
    DenyPods,
    /// What its controller says of a custom resource, once it is changed, and again after a return.
    Widget(Value, Option<Value>),
    /// What its controller says of an object (version, plural, name), each time a field of its spec has a new value.
    Says([&'static str; 3], &'static str, Vec<(&'static str, Value)>),
    /// An object that is patched once it is there: path below the API, patch.
    Patched(String, Value),
    /// What runs fails before the bad commit comes.
    Degraded,
}

/// One row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) good: Vec<(&'static str, String)>,
    pub(crate) bad: Vec<(&'static str, String)>,
    pub(crate) spec: Value,
    pub(crate) stages: Vec<Stage>,
    pub(crate) expect: Expect,
}

impl Stage {
    /// Plays what comes before the bad commit.
    pub(crate) async fn before(&self, place: &Place) {
        match self {
            Self::Object(version, plural, object) => {
                place
                    .admin
                    .create(&place.path(version, plural, ""), object)
                    .await;
                if *plural == "resourcequotas" {
                    let name = object["metadata"]["name"].as_str().unwrap();
                    let path = place.path(version, plural, name);
                    let counts = |live: &Value| live["status"]["used"].is_object();
                    place.until_object(&path, "the quota counts", counts).await;
                }
            }
            Self::NamespaceLabel(key, value) => {
                let path = format!("/api/v1/namespaces/{}", place.namespace);
                let patch = json!({"metadata": {"labels": {*key: value}}});
                place.patch(&path, &patch).await;
            }
            Self::DenyPods => deny_pods(place).await,
            Self::Degraded => {
                place
                    .until("shop", "what runs has failed", |seen| {
                        seen.reason("Ready") == "Degraded"
                    })
                    .await;
            }
            Self::ClusterAdmin | Self::Widget(..) | Self::Says(..) | Self::Patched(..) => {}
        }
    }

    /// Plays what comes after it.
    pub(crate) async fn after(&self, place: &Place) {
        match self {
            Self::Widget(said, mended) => {
                let path = place.path("stories.example.com/v1", "widgets", "widget");
                says(place, &path, ("size", &json!(2)), said).await;
                if let Some(mended) = mended {
                    says(place, &path, ("size", &json!(1)), mended).await;
                }
            }
            Self::Says([version, plural, name], field, said) => {
                let path = place.path(version, plural, name);
                for (value, status) in said {
                    says(place, &path, (field, &json!(value)), status).await;
                }
            }
            Self::Patched(path, patch) => {
                place
                    .until_object(path, "it is there", Value::is_object)
                    .await;
                place.patch(path, patch).await;
            }
            Self::ClusterAdmin
            | Self::Object(..)
            | Self::NamespaceLabel(..)
            | Self::DenyPods
            | Self::Degraded => {}
        }
    }
}

/// Plays the controller of an object: it looks at this value in the spec, and says so.
async fn says(place: &Place, path: &str, (field, value): (&str, &Value), status: &Value) {
    let seen = place
        .until_object(path, "the spec has the value", |live| {
            live["spec"][field] == *value
        })
        .await;
    let mut status = status.clone();
    let generation = &seen["metadata"]["generation"];
    status["observedGeneration"] = generation.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["observedGeneration"] = generation.clone();
    }
    place
        .patch(&format!("{path}/status"), &json!({"status": status}))
        .await;
}

/// A policy that denies the pods of one namespace whose image says so, once it is in force.
async fn deny_pods(place: &Place) {
    let name = format!("deny-{}", place.namespace);
    let base = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
            },
            "validations": [{
                "expression": "object.spec.containers.all(c, !c.image.endsWith(':denied'))",
                "message": "images of this tag are not allowed here",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    place
        .admin
        .create(&format!("{base}/validatingadmissionpolicies"), &policy)
        .await;
    place
        .admin
        .create(
            &format!("{base}/validatingadmissionpolicybindings"),
            &binding,
        )
        .await;
    let probe = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "c", "image": "probe:denied"}]},
    });
    let path = format!("{}?dryRun=All", place.path("v1", "pods", ""));
    eventually(
        std::time::Duration::from_secs(30),
        "the policy is in force",
        || async {
            let (code, _) = place
                .admin
                .send(http::Method::POST, &path, "application/json", Some(&probe))
                .await;
            (code == 422).then_some(())
        },
    )
    .await;
}

fn text(object: &Value) -> String {
    object.to_string()
}

fn pod(image: &str) -> Value {
    json!({"containers": [{"name": "web", "image": image}]})
}

fn with_init(image: &str, init: &str) -> Value {
    json!({"initContainers": [{"name": "prepare", "image": init}], "containers": [{"name": "web", "image": image}]})
}

fn workload(kind: &str, pod: &Value, more: &Value) -> String {
    let mut spec = json!({
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
    });
    if kind != "DaemonSet" {
        spec["replicas"] = json!(2);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!("web");
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    text(&json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}))
}

fn deployment(image: &str, more: &Value) -> String {
    workload("Deployment", &pod(image), more)
}

fn job(name: &str, image: &str) -> String {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": image}]});
    text(&json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": spec}},
    }))
}

fn config(value: &str) -> String {
    text(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": value}}),
    )
}

fn plain(version: &str, kind: &str, spec: &Value) -> String {
    text(&json!({"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}))
}

fn bare_pod(image: &str, policy: &str) -> String {
    let mut spec = pod(image);
    spec["restartPolicy"] = json!(policy);
    plain("v1", "Pod", &spec)
}

fn claim(class: &str) -> String {
    plain(
        "v1",
        "PersistentVolumeClaim",
        &json!({"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}),
    )
}

fn widget(size: u8) -> String {
    text(&json!({
        "apiVersion": "stories.example.com/v1", "kind": "Widget", "metadata": {"name": "widget"}, "spec": {"size": size},
    }))
}

/// A kind of somebody's; it has a status of its own, which a test writes.
fn definition(name: &str, plural: &str) -> String {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    text(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.stories.example.com")},
        "spec": {
            "group": "stories.example.com", "scope": "Namespaced",
            "names": {"kind": name, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}}],
        },
    }))
}

/// The kinds of which the rows of custom resources are, for whoever installs them.
pub(crate) fn definitions() -> Vec<Value> {
    let mut all = vec![serde_json::from_str(&definition("Widget", "widgets")).unwrap()];
    for (kind, plural) in [("Gateway", "gateways"), ("HTTPRoute", "httproutes")] {
        let mut gateway: Value = serde_json::from_str(&definition(kind, plural)).unwrap();
        gateway["metadata"]["name"] = json!(format!("{plural}.gateway.networking.k8s.io"));
        // The API server wants to know of every group below k8s.io who approved it.
        gateway["metadata"]["annotations"] =
            json!({"api-approved.kubernetes.io": "unapproved, for tests"});
        gateway["spec"]["group"] = json!("gateway.networking.k8s.io");
        all.push(gateway);
    }
    all
}

fn row(name: &'static str, kind: &'static str, expect: Expect) -> Row {
    Row {
        name,
        kind,
        good: vec![("settings", config("one"))],
        bad: vec![("settings", config("two"))],
        spec: json!({"health": {"soak": "1s"}}),
        stages: Vec::new(),
        expect,
    }
}

impl Row {
    fn good(mut self, object: String) -> Self {
        self.good.push(("object", object));
        self
    }

    fn bad(mut self, object: String) -> Self {
        self.bad.push(("object", object));
        self
    }

    fn soak(mut self, soak: &str) -> Self {
        self.spec["health"]["soak"] = json!(soak);
        self
    }

    fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }
}

/// A Deployment whose image is changed to this one.
fn image(name: &'static str, image: &str, expect: Expect) -> Row {
    row(name, "Deployment", expect)
        .good(deployment("web:1", &Value::Null))
        .bad(deployment(image, &Value::Null))
}

/// The rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut all = images();
    all.extend(containers());
    all.extend(around_pods());
    all.extend(ordered());
    all.extend(on_nodes());
    all.extend(once_only());
    all.extend(infrastructure());
    all.extend(gateways());
    all.extend(webhooks());
    all.extend(custom());
    all.extend(history());
    for row in &mut all {
        row.spec["health"]["timeout"] = json!(row.expect.deadline());
    }
    all
}

fn images() -> Vec<Row> {
    let init = |name, init: &str, expect| {
        row(name, "Deployment", expect)
            .good(deployment("web:1", &Value::Null))
            .bad(workload(
                "Deployment",
                &with_init("web:1", init),
                &Value::Null,
            ))
    };
    vec![
        image(
            "image not found",
            "web:bad-image",
            Expect::Returns("ImageNotFound"),
        ),
        image(
            "image not allowed, or not there",
            "web:unauthorized",
            Expect::Returns("ImageNotFound"),
        ),
        image(
            "image name not valid",
            "web:invalid-name",
            Expect::Returns("InvalidImageName"),
        ),
        image(
            "registry answers 503",
            "web:registry-5xx",
            Expect::Stays("HealthTimeout"),
        ),
        init(
            "image of an init container not found",
            "prepare:bad-image",
            Expect::Returns("ImageNotFound"),
        ),
        init(
            "init container crashes",
            "prepare:init-crash",
            Expect::Returns("CrashLoop"),
        ),
        init(
            "init container is slow",
            "prepare:slow-5s",
            Expect::Ready { not_assessed: 0 },
        ),
        init(
            "registry answers 503 to an init container",
            "prepare:registry-5xx",
            Expect::Stays("HealthTimeout"),
        ),
    ]
}

fn containers() -> Vec<Row> {
    let mut config_key = pod("web:config-error");
    config_key["containers"][0]["env"] = json!([{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "absent"}}}]);
    vec![
        image(
            "a Secret is missing",
            "web:config-error",
            Expect::Returns("ConfigError"),
        ),
        row(
            "a key of a ConfigMap is missing",
            "Deployment",
            Expect::Returns("ConfigError"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(workload("Deployment", &config_key, &Value::Null)),
        image("crash loop", "web:crash", Expect::Returns("CrashLoop")),
        image(
            "crash loop, the deadline comes first",
            "web:crash",
            Expect::Returns("HealthTimeout"),
        ),
        image(
            "killed for memory",
            "web:oom",
            Expect::Returns("OutOfMemory"),
        ),
        image(
            "ready and not ready in turns",
            "web:flap",
            Expect::Returns("Flapping"),
        )
        .soak("60s"),
        image(
            "never ready",
            "web:never-ready",
            Expect::Returns("HealthTimeout"),
        ),
        row(
            "crashes each time it was ready",
            "Deployment",
            Expect::Returns("HealthTimeout"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(deployment(
            "web:crash-after-ready",
            &json!({"minReadySeconds": 10}),
        )),
        row(
            "ready after 60 s",
            "Deployment",
            Expect::Ready { not_assessed: 0 },
        )
        .good(deployment("web:1", &json!({"replicas": 1})))
        .bad(deployment("web:slow-60s", &json!({"replicas": 1}))),
        image(
            "fails while it soaks",
            "web:fail-after-10s",
            Expect::Returns("HealthTimeout"),
        )
        .soak("60s"),
        image(
            "fails after it soaked",
            "web:fail-after-15s",
            Expect::Degrades,
        ),
        row(
            "Kubernetes' own deadline passes",
            "Deployment",
            Expect::Returns("ObjectFailed"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(deployment(
            "web:never-ready",
            &json!({"progressDeadlineSeconds": 4}),
        )),
    ]
}

fn around_pods() -> Vec<Row> {
    let nowhere = |image: &str| {
        let mut pod = pod(image);
        pod["nodeSelector"] = json!({"no-such": "node"});
        pod
    };
    let quota = || {
        let object = json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}, "spec": {"hard": {"pods": "2"}},
        });
        Stage::Object("v1", "resourcequotas", object)
    };
    let rolling = |surge: u8, unavailable: u8| json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}});
    let mut privileged = pod("web:2");
    privileged["hostNetwork"] = json!(true);
    vec![
        image(
            "a policy denies the pods",
            "web:denied",
            Expect::Returns("PodDenied"),
        )
        .stage(Stage::DenyPods),
        row(
            "Pod Security denies the pods",
            "Deployment",
            Expect::Returns("PodDenied"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(workload("Deployment", &privileged, &Value::Null))
        .stage(Stage::NamespaceLabel(
            "pod-security.kubernetes.io/enforce",
            "baseline",
        )),
        row(
            "quota is exhausted",
            "Deployment",
            Expect::Stays("HealthTimeout"),
        )
        .good(deployment("web:1", &rolling(1, 0)))
        .bad(deployment("web:2", &rolling(1, 0)))
        .stage(quota()),
        row(
            "quota, and old pods free it",
            "Deployment",
            Expect::Ready { not_assessed: 0 },
        )
        .good(deployment("web:1", &rolling(1, 1)))
        .bad(deployment("web:2", &rolling(1, 1)))
        // Kubernetes tries again ever later, and quota is freed in its own time.
        .stage(quota()),
        row(
            "no node takes the pods",
            "Deployment",
            Expect::Stays("HealthTimeout"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(workload("Deployment", &nowhere("web:2"), &Value::Null)),
        row(
            "no node, and Kubernetes' own deadline passes",
            "Deployment",
            Expect::Stays("ObjectFailed"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(workload(
            "Deployment",
            &nowhere("web:2"),
            &json!({"progressDeadlineSeconds": 4}),
        )),
        row(
            "git pauses the rollout",
            "Deployment",
            Expect::Ready { not_assessed: 1 },
        )
        .good(deployment("web:1", &Value::Null))
        .bad(deployment("web:2", &json!({"paused": true}))),
        row(
            "no replicas",
            "Deployment",
            Expect::Ready { not_assessed: 0 },
        )
        .good(deployment("web:1", &Value::Null))
        .bad(deployment("web:2", &json!({"replicas": 0}))),
    ]
}

/// A workload before and after: what its spec has besides, and its image.
fn pair(
    name: &'static str,
    kind: &'static str,
    good: &Value,
    (image, more): (&str, &Value),
    expect: Expect,
) -> Row {
    row(name, kind, expect)
        .good(workload(kind, &pod("web:1"), good))
        .bad(workload(kind, &pod(image), more))
}

fn ordered() -> Vec<Row> {
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    let parallel = json!({"podManagementPolicy": "Parallel"});
    let partition =
        json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    let none = Value::Null;
    let set = |name, good: &Value, bad, expect| pair(name, "StatefulSet", good, bad, expect);
    let no_image = || Expect::Returns("ImageNotFound");
    let no_time = || Expect::Returns("HealthTimeout");
    vec![
        set(
            "image not found, pods in order",
            &none,
            ("web:bad-image", &none),
            no_image(),
        ),
        set(
            "crash, pods in order",
            &none,
            ("web:crash", &none),
            no_time(),
        ),
        set(
            "never ready, pods in order",
            &none,
            ("web:never-ready", &none),
            no_time(),
        ),
        set(
            "image not found, pods in parallel",
            &parallel,
            ("web:bad-image", &parallel),
            no_image(),
        ),
        set(
            "a partition holds half back",
            &none,
            ("web:2", &partition),
            Expect::Ready { not_assessed: 0 },
        ),
        set(
            "image not found behind a partition",
            &none,
            ("web:bad-image", &partition),
            no_image(),
        ),
        set(
            "OnDelete, nobody deletes",
            &on_delete,
            ("web:2", &on_delete),
            Expect::Ready { not_assessed: 1 },
        ),
    ]
}

fn on_nodes() -> Vec<Row> {
    let on_delete = json!({"updateStrategy": {"type": "OnDelete"}});
    let none = Value::Null;
    let set = |name, good: &Value, bad, expect| pair(name, "DaemonSet", good, bad, expect);
    let no_image = Expect::Returns("ImageNotFound");
    let no_time = Expect::Returns("HealthTimeout");
    vec![
        pair(
            "a policy denies the pods of a set",
            "StatefulSet",
            &none,
            ("web:denied", &none),
            Expect::Returns("PodDenied"),
        )
        .stage(Stage::DenyPods),
        set(
            "a policy denies the pods on nodes",
            &none,
            ("web:denied", &none),
            Expect::Returns("PodDenied"),
        )
        .stage(Stage::DenyPods),
        set(
            "image not found on each node",
            &none,
            ("web:bad-image", &none),
            no_image,
        ),
        set(
            "never ready on a node",
            &none,
            ("web:never-ready", &none),
            no_time,
        ),
        set(
            "OnDelete on nodes",
            &on_delete,
            ("web:2", &on_delete),
            Expect::Ready { not_assessed: 1 },
        ),
        pair(
            "a template that makes no new pods",
            "ReplicaSet",
            &none,
            ("web:2", &none),
            Expect::Ready { not_assessed: 0 },
        ),
    ]
}

fn once_only() -> Vec<Row> {
    let added = |name, kind, object: String, expect| row(name, kind, expect).bad(object);
    let cron = |schedule: &str| {
        let pod =
            json!({"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]});
        plain(
            "batch/v1",
            "CronJob",
            &json!({"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}}),
        )
    };
    vec![
        added(
            "runs to its end",
            "Job",
            job("move", "move:1"),
            Expect::Ready { not_assessed: 0 },
        ),
        added(
            "runs for 5 s",
            "Job",
            job("move", "move:job-slow-5s"),
            Expect::Ready { not_assessed: 0 },
        ),
        added(
            "fails",
            "Job",
            job("move", "move:job-fail"),
            Expect::Returns("JobFailed"),
        ),
        added(
            "image of a Job not found",
            "Job",
            job("move", "move:bad-image"),
            Expect::Returns("ImageNotFound"),
        ),
        added(
            "a schedule",
            "CronJob",
            cron("0 3 * * *"),
            Expect::Ready { not_assessed: 0 },
        ),
        added(
            "a schedule that is none",
            "CronJob",
            cron("at night"),
            Expect::Refused("DryRunRefused"),
        ),
        added(
            "image of a bare pod not found",
            "Pod",
            bare_pod("web:bad-image", "Always"),
            Expect::Returns("ImageNotFound"),
        ),
        added(
            "a bare pod fails",
            "Pod",
            bare_pod("web:job-fail", "Never"),
            Expect::Returns("ObjectFailed"),
        ),
        added(
            "a bare pod runs to its end",
            "Pod",
            bare_pod("web:job-slow-1s", "Never"),
            Expect::Ready { not_assessed: 0 },
        ),
    ]
}

fn infrastructure() -> Vec<Row> {
    let mut claims = pod("web:2");
    claims["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "web"}}]);
    claims["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let ports =
        |kind: &str| json!({"type": kind, "selector": {"app": "web"}, "ports": [{"port": 80}]});
    let target = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 4});
    let backend = json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}});
    let budget = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    let mut with_claim = row(
        "a claim that no volume fits",
        "PersistentVolumeClaim",
        Expect::Stays("HealthTimeout"),
    )
    .bad(workload("Deployment", &claims, &Value::Null));
    with_claim.bad.push(("claim", claim("manual")));
    let mut bound = row(
        "a claim that binds with its pod",
        "PersistentVolumeClaim",
        Expect::Ready { not_assessed: 0 },
    )
    .bad(workload("Deployment", &claims, &Value::Null));
    bound.bad.push(("claim", claim("standard")));
    let mut scaled = row(
        "an autoscaler without metrics",
        "HorizontalPodAutoscaler",
        Expect::ReadyAtMost(1),
    )
    .bad(deployment("web:2", &Value::Null));
    scaled.bad.push((
        "scaler",
        plain("autoscaling/v2", "HorizontalPodAutoscaler", &target),
    ));
    let added = |name, kind, object: String, expect| row(name, kind, expect).bad(object);
    vec![
        added(
            "a claim without a consumer",
            "PersistentVolumeClaim",
            claim("standard"),
            Expect::Ready { not_assessed: 1 },
        ),
        bound,
        with_claim,
        added(
            "inside of the cluster",
            "Service",
            plain("v1", "Service", &ports("ClusterIP")),
            Expect::Ready { not_assessed: 0 },
        ),
        added(
            "a load balancer without an address",
            "Service",
            plain("v1", "Service", &ports("LoadBalancer")),
            Expect::Stays("HealthTimeout"),
        ),
        added(
            "nobody writes an address",
            "Ingress",
            plain("networking.k8s.io/v1", "Ingress", &backend),
            Expect::Ready { not_assessed: 1 },
        ),
        scaled,
        added(
            "a budget of pods that are not there",
            "PodDisruptionBudget",
            plain("policy/v1", "PodDisruptionBudget", &budget),
            Expect::Ready { not_assessed: 0 },
        ),
        added(
            "a name that is none",
            "ConfigMap",
            text(
                &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "No_Name"}}),
            ),
            Expect::Refused("DryRunRefused"),
        ),
        row(
            "a selector is changed",
            "Deployment",
            Expect::Refused("Immutable"),
        )
        .good(deployment("web:1", &Value::Null))
        .bad(text(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "other"}},
                "template": {"metadata": {"labels": {"app": "other"}}, "spec": pod("web:1")},
            },
        }))),
    ]
}

fn gateways() -> Vec<Row> {
    let gateway = |class: &str| {
        plain(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            &json!({"gatewayClassName": class, "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}),
        )
    };
    let says = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Said", "message": "so it says"});
    let accepted = |programmed: &str| json!({"conditions": [says("Accepted", "True"), says("Programmed", programmed)]});
    let gateway_row = |name, expect, said: Vec<(&'static str, Value)>| {
        let of = ["gateway.networking.k8s.io/v1", "gateways", "web"];
        row(name, "Gateway", expect)
            .bad(gateway("two"))
            .stage(Stage::ClusterAdmin)
            .stage(Stage::Says(of, "gatewayClassName", said))
    };
    let route = json!({"parentRefs": [{"name": "absent"}], "rules": []});
    vec![
        gateway_row(
            "accepted and programmed",
            Expect::Ready { not_assessed: 0 },
            vec![("two", accepted("True"))],
        ),
        gateway_row(
            "accepted and not programmed",
            Expect::Returns("HealthTimeout"),
            vec![("two", accepted("False"))],
        ),
        row(
            "no gateway answers a route",
            "HTTPRoute",
            Expect::Stays("HealthTimeout"),
        )
        .bad(plain("gateway.networking.k8s.io/v1", "HTTPRoute", &route))
        .stage(Stage::ClusterAdmin),
    ]
}

fn webhooks() -> Vec<Row> {
    // They match nothing that is there, so nobody waits for what does not answer.
    let webhook = |bundle: Value| {
        json!({
            "name": "nothing.stories.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore",
            "rules": [{"apiGroups": ["nothing.example.com"], "apiVersions": ["v1"], "resources": ["nothings"], "operations": ["CREATE"]}],
            "clientConfig": {"service": {"namespace": "shop", "name": "webhook"}, "caBundle": bundle},
        })
    };
    let configuration = |name: &str| {
        let mut webhook = webhook(Value::Null);
        webhook["clientConfig"]
            .as_object_mut()
            .unwrap()
            .remove("caBundle");
        text(&json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name, "annotations": {"cert-manager.io/inject-ca-from": "shop/webhook"}},
            "webhooks": [webhook],
        }))
    };
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/injected";
    // Whoever injects it: a certificate that is one, of nobody.
    let key = rcgen::generate_simple_self_signed(vec!["webhook.shop.svc".to_owned()]).unwrap();
    let bundle = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        key.cert.pem().as_bytes(),
    );
    let webhook_row = |name, object: &str, expect| {
        row(name, "ValidatingWebhookConfiguration", expect)
            .bad(configuration(object))
            .stage(Stage::ClusterAdmin)
    };
    vec![
        webhook_row(
            "its certificate authority is injected late",
            "injected",
            Expect::Ready { not_assessed: 0 },
        )
        .stage(Stage::Patched(
            path.to_owned(),
            json!({"webhooks": [webhook(json!(bundle))]}),
        )),
        webhook_row(
            "its certificate authority is never injected",
            "never-injected",
            Expect::Stays("HealthTimeout"),
        ),
    ]
}

fn custom() -> Vec<Row> {
    let widget_row = |name, expect, said: Option<(Value, Option<Value>)>| {
        let mut row = row(name, "custom resource", expect)
            .good(widget(1))
            .bad(widget(2))
            .stage(Stage::ClusterAdmin);
        if said.is_some() {
            // What says nothing yet is taken as it is, and who speaks for it here may come a second late.
            row = row.soak("20s");
        }
        row.stages
            .extend(said.map(|(said, mended)| Stage::Widget(said, mended)));
        row
    };
    let says = |kind: &str, status: &str| json!({"conditions": [{"type": kind, "status": status, "reason": "Said", "message": "so it says"}]});
    let mended = || {
        Some(
            json!({"phase": null, "conditions": [{"type": "Ready", "status": "True", "reason": "Said", "message": ""}]}),
        )
    };
    let with_expression = |mut row: Row| {
        row.spec["health"]["exprs"] = json!([{
            "apiVersion": "stories.example.com/v1", "kind": "Widget",
            "current": "spec.size == 1 || status.phase == 'Done'", "failed": "status.phase == 'Broken'",
        }]);
        row
    };
    let mut defined = row(
        "a definition and its first object",
        "CustomResourceDefinition",
        Expect::Ready { not_assessed: 1 },
    )
    .bad(definition("Gadget", "gadgets"))
    .stage(Stage::ClusterAdmin);
    let gadget = json!({"apiVersion": "stories.example.com/v1", "kind": "Gadget", "metadata": {"name": "first"}});
    defined.bad.push(("gadget", text(&gadget)));
    let failed = || Expect::Returns("ObjectFailed");
    vec![
        widget_row("says nothing", Expect::Ready { not_assessed: 1 }, None),
        widget_row(
            "says that it is Ready",
            Expect::Ready { not_assessed: 0 },
            Some((says("Ready", "True"), None)),
        ),
        widget_row(
            "not Ready in time",
            Expect::Returns("HealthTimeout"),
            Some((says("Ready", "False"), mended())),
        ),
        widget_row(
            "says that it is stalled",
            failed(),
            Some((says("Stalled", "True"), mended())),
        ),
        widget_row(
            "stalled, and after the return as well",
            Expect::ReturnFails,
            Some((says("Stalled", "True"), Some(says("Stalled", "True")))),
        ),
        with_expression(widget_row(
            "its rule says failed",
            failed(),
            Some((json!({"phase": "Broken"}), mended())),
        )),
        with_expression(widget_row(
            "its rule says current",
            Expect::Ready { not_assessed: 0 },
            Some((json!({"phase": "Done"}), None)),
        )),
        defined,
    ]
}

/// What was so before, and what cannot be undone.
fn history() -> Vec<Row> {
    let migration = |name: &str, image: &str| {
        let mut job: Value = serde_json::from_str(&job(name, image)).unwrap();
        job["metadata"]["labels"] = json!({"migration": "true"});
        text(&job)
    };
    let barriers = |mut row: Row| {
        row.spec["rollback"] =
            json!({"barriers": [{"kind": "Job", "matchLabels": {"migration": "true"}}]});
        row
    };
    let mut crossed = row(
        "a migration ran, and the image is not found",
        "Deployment",
        Expect::Blocked("ImageNotFound"),
    )
    .good(deployment("web:1", &Value::Null))
    .bad(deployment("web:bad-image", &Value::Null));
    crossed
        .bad
        .push(("migration", migration("second", "move:1")));
    let mut old = row(
        "a migration ran long ago, and the image is not found",
        "Deployment",
        Expect::Returns("ImageNotFound"),
    )
    .good(deployment("web:1", &Value::Null))
    .bad(deployment("web:bad-image", &Value::Null));
    old.good.push(("migration", migration("first", "move:1")));
    vec![
        barriers(crossed),
        barriers(old),
        row(
            "it crashed before, and another object is changed",
            "Deployment",
            Expect::AsBefore("HealthTimeout"),
        )
        .good(deployment("web:fail-after-15s", &Value::Null))
        .stage(Stage::Degraded),
    ]
}
