//! `deploy/` on a real API server: it installs, and its policies refuse what they should.
//!
//! Enters: `deploy/`, rendered by our own renderer.
//! Leaves: who may write which command, status and record.
//! Never: a policy in the way of other tests: the bindings are narrowed to the namespaces of this one.

use std::{fs, path::Path, time::Duration};

use http::{Method, Request, header};
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use kustomize::MemoryFiles;
use plimsoll::render::{RenderSpec, Rendered, render};
use serde_json::{Value, json};

use crate::support::{Admin, devcluster, eventually};

pub(crate) const CONTROLLER: &str = "system:serviceaccount:plimsoll-system:plimsoll";
const SOON: Duration = Duration::from_secs(30);
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const AT: &str = "2026-11-21T09:00:00Z";

/// Renders `deploy/`.
pub(crate) fn deploy() -> Rendered {
    fn insert(files: &mut MemoryFiles, root: &Path, directory: &str) {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                insert(files, root, &path);
            } else {
                files.insert(&format!("/{path}"), fs::read(entry.path()).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = MemoryFiles::new();
    insert(&mut files, root, "deploy");
    insert(&mut files, root, "crds");
    let spec = RenderSpec {
        path: "deploy".to_owned(),
        default_namespace: "default".to_owned(),
    };
    render(&files, &spec, &kustomize::Options::default()).unwrap()
}

/// Where an object of `deploy/` lives.
pub(crate) fn path_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap();
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("plimsoll-system");
    let version = object["apiVersion"].as_str().unwrap();
    let base = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    let (namespaced, plural) = match object["kind"].as_str().unwrap() {
        "Namespace" => (false, "namespaces"),
        "ServiceAccount" => (true, "serviceaccounts"),
        "ClusterRole" => (false, "clusterroles"),
        "ClusterRoleBinding" => (false, "clusterrolebindings"),
        "Role" => (true, "roles"),
        "RoleBinding" => (true, "rolebindings"),
        "ValidatingAdmissionPolicy" => (false, "validatingadmissionpolicies"),
        "ValidatingAdmissionPolicyBinding" => (false, "validatingadmissionpolicybindings"),
        "Deployment" => (true, "deployments"),
        "Service" => (true, "services"),
        "NetworkPolicy" => (true, "networkpolicies"),
        kind => panic!("deploy/ holds a {kind} that this test does not know"),
    };
    if namespaced {
        format!("{base}/namespaces/{namespace}/{plural}/{name}")
    } else {
        format!("{base}/{plural}/{name}")
    }
}

/// Sends requests as somebody else.
struct People {
    client: Client,
}

impl People {
    async fn new() -> Self {
        let kubeconfig = Kubeconfig::read_from(&devcluster().kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        Self {
            client: Client::try_from(config).unwrap(),
        }
    }

    /// Returns the HTTP status code, and the message where there is one.
    async fn ask(
        &self,
        who: &str,
        method: Method,
        path: &str,
        kind: &str,
        body: &Value,
    ) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, kind)
            .header("Impersonate-User", who)
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        (
            code,
            answer["message"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

/// Installs `deploy/` once the kinds are there, with bindings that hold in namespaces of this label only.
pub(crate) async fn install(admin: &Admin, label: &str) {
    admin.install_crds().await;
    for object in deploy().objects() {
        let mut value = object.value().clone();
        if value["kind"] == "CustomResourceDefinition" {
            continue;
        }
        if value["kind"] == "ValidatingAdmissionPolicyBinding" {
            value["spec"]["matchResources"] =
                json!({"namespaceSelector": {"matchLabels": {label: "true"}}});
        }
        admin.apply(&path_of(&value), &value).await;
    }
}

async fn bind(admin: &Admin, namespace: &str, user: &str, role: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    admin
        .create(
            &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"),
            &binding,
        )
        .await;
}

fn application(name: &str) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": {
            "source": {"repo": "https://git.example.org/shop", "path": "overlays/prod"},
            "target": {"serviceAccount": "deployer"},
        },
    })
}

fn record(name: &str) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "SyncRecord",
        "metadata": {"name": name},
        "spec": {"record": "{}", "application": "shop", "sequence": 1, "action": "Sync", "result": "Ready", "hash": "sha256:1"},
    })
}

/// A namespace in which the policies hold, with anna (admin) and eddy (edit).
struct Place {
    admin: Admin,
    people: People,
    namespace: String,
    applications: String,
    records: String,
}

impl Place {
    async fn new(prefix: &str) -> Self {
        const LABEL: &str = "plimsoll.dev/tests-of-deploy";
        let admin = Admin::new().await;
        install(&admin, LABEL).await;
        let namespace = admin.namespace(prefix).await;
        let path = format!("/api/v1/namespaces/{namespace}");
        admin
            .patch(
                &path,
                "test",
                &json!({"metadata": {"labels": {LABEL: "true"}}}),
            )
            .await;
        bind(&admin, &namespace, "anna", "admin").await;
        bind(&admin, &namespace, "eddy", "edit").await;
        let people = People::new().await;
        let applications =
            format!("/apis/plimsoll.dev/v1alpha1/namespaces/{namespace}/applications");
        let records = format!("/apis/plimsoll.dev/v1alpha1/namespaces/{namespace}/syncrecords");
        // Roles, policies and the label reach the admission of the API server by watches.
        eventually(SOON, "rights and policies hold", || async {
            let probe = application("probe");
            let dry = format!("{applications}?dryRun=All");
            let (allowed, _) = people.ask("eddy", Method::POST, &dry, JSON, &probe).await;
            let mut forged = probe.clone();
            forged["spec"]["commands"] = json!({"sync": [{"by": "anna", "at": AT, "id": "x"}]});
            let (_, forged) = people.ask("eddy", Method::POST, &dry, JSON, &forged).await;
            let (_, written) = admin_record(&admin, &records).await;
            (allowed == 201
                && forged.contains("plimsoll-commands")
                && written.contains("plimsoll-records"))
            .then_some(())
        })
        .await;
        let (code, message) = people
            .ask(
                "eddy",
                Method::POST,
                &applications,
                JSON,
                &application("shop"),
            )
            .await;
        assert_eq!(code, 201, "{message}");
        Self {
            admin,
            people,
            namespace,
            applications,
            records,
        }
    }

    async fn patch(&self, who: &str, commands: Value) -> (u16, String) {
        let body = json!({"spec": {"commands": commands}});
        let path = format!("{}/shop", self.applications);
        self.people
            .ask(who, Method::PATCH, &path, MERGE, &body)
            .await
    }

    async fn takes(&self, who: &str, commands: Value) {
        let (code, message) = self.patch(who, commands.clone()).await;
        assert_eq!(code, 200, "{who} {commands}: {message}");
    }

    async fn refuses(&self, who: &str, commands: Value, why: &str) {
        let (code, message) = self.patch(who, commands.clone()).await;
        assert!(code == 403 || code == 422, "{who} {commands}: HTTP {code}");
        assert!(message.contains(why), "{who} {commands}: {message}");
    }
}

async fn admin_record(admin: &Admin, records: &str) -> (u16, String) {
    let dry = format!("{records}?dryRun=All");
    let (code, answer) = admin
        .send(Method::POST, &dry, JSON, Some(&record("probe")))
        .await;
    (
        code,
        answer["message"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_carries_the_name_of_who_wrote_it_and_needs_its_verb() {
    let place = Place::new("commands").await;
    let mine = json!({"by": "eddy", "at": AT, "id": "a"});
    place.takes("eddy", json!({"sync": [mine]})).await;
    place
        .refuses(
            "eddy",
            json!({"sync": [mine, {"by": "anna", "at": AT, "id": "b"}]}),
            "not the user who writes it",
        )
        .await;
    // What the controller has not dealt with is not taken away.
    place
        .refuses("eddy", json!({"sync": []}), "has not dealt with yet")
        .await;
    let path = format!("{}/shop", place.applications);
    let mut found = place.admin.get(&path).await.unwrap();
    let second = AT.parse::<jiff::Timestamp>().unwrap().as_second();
    found["status"] = json!({"attempt": 0, "conditions": [], "observedGeneration": 1, "phase": "Idle", "underWay": 0,
        "handled": [format!("sync/0123456789ab/{second}")]});
    let (code, message) = place
        .people
        .ask(
            CONTROLLER,
            Method::PUT,
            &format!("{path}/status"),
            JSON,
            &found,
        )
        .await;
    assert_eq!(code, 200, "{message}");
    place.takes("eddy", json!({"sync": []})).await;
    place.takes("eddy", json!({"sync": [mine]})).await;
    let lists = [
        ("approve", json!({"plan": "sha256:1"})),
        ("release", json!({"digest": "sha256:1"})),
        ("cancel", json!({"attempt": 3})),
    ];
    for (verb, subject) in lists {
        let by = |who: &str| {
            let mut element = subject.clone();
            element["by"] = json!(who);
            element["at"] = json!(AT);
            json!({verb: [element]})
        };
        place
            .refuses("eddy", by("eddy"), &format!("needs the verb {verb}"))
            .await;
        place
            .refuses("anna", by("eddy"), "not the user who writes it")
            .await;
        place.takes("anna", by("anna")).await;
    }
    let mut forged = application("forged");
    forged["spec"]["commands"] = json!({"sync": [{"by": "anna", "at": AT, "id": "c"}]});
    let (code, message) = place
        .people
        .ask("eddy", Method::POST, &place.applications, JSON, &forged)
        .await;
    assert_eq!(code, 422, "{message}");
    forged["spec"]["commands"]["sync"][0]["by"] = json!("eddy");
    let (code, message) = place
        .people
        .ask("eddy", Method::POST, &place.applications, JSON, &forged)
        .await;
    assert_eq!(code, 201, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_pin_are_ended_and_not_removed() {
    let place = Place::new("held").await;
    let ended = |by: &str| json!({"ended": {"by": by, "at": AT}});
    for (field, verb, begun) in [
        (
            "pause",
            "pause",
            json!({"by": "anna", "at": AT, "reason": "holidays"}),
        ),
        (
            "pin",
            "rollback",
            json!({"by": "anna", "at": AT, "record": 3}),
        ),
    ] {
        let mut by_eddy = begun.clone();
        by_eddy["by"] = json!("eddy");
        let needs = format!("needs the verb {verb}");
        place.refuses("eddy", json!({field: by_eddy}), &needs).await;
        place
            .refuses(
                "anna",
                json!({field: by_eddy}),
                "not the user who writes it",
            )
            .await;
        place.takes("anna", json!({field: begun})).await;
        place
            .refuses("anna", json!({field: null}), "not removed but ended")
            .await;
        place
            .refuses("anna", json!(null), "not removed but ended")
            .await;
        place
            .refuses("eddy", json!({field: ended("eddy")}), &needs)
            .await;
        place
            .refuses(
                "anna",
                json!({field: ended("eddy")}),
                "not the user who writes it",
            )
            .await;
        place.takes("anna", json!({field: ended("anna")})).await;
        place
            .refuses(
                "eddy",
                json!({field: {"ended": null}}),
                "not the user who writes it",
            )
            .await;
        place.takes("eddy", json!({field: null})).await;
    }
    // What is no command needs no verb.
    let path = format!("{}/shop", place.applications);
    let body = json!({"spec": {"interval": "6m"}});
    let (code, message) = place
        .people
        .ask("eddy", Method::PATCH, &path, MERGE, &body)
        .await;
    assert_eq!(code, 200, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_records_are_the_controllers() {
    let place = Place::new("records").await;
    let status = json!({"status": {"attempt": 9}});
    let path = format!("{}/shop", place.applications);
    let (code, answer) = place
        .admin
        .send(
            Method::PATCH,
            &format!("{path}/status"),
            MERGE,
            Some(&status),
        )
        .await;
    assert_eq!(code, 403, "{answer}");
    let mut found = place.admin.get(&path).await.unwrap();
    found["status"] =
        json!({"attempt": 1, "conditions": [], "observedGeneration": 1, "phase": "Idle"});
    let (code, message) = place
        .people
        .ask(
            CONTROLLER,
            Method::PUT,
            &format!("{path}/status"),
            JSON,
            &found,
        )
        .await;
    assert_eq!(code, 200, "{message}");

    let finalizers = json!({"metadata": {"finalizers": ["plimsoll.dev/cascade"]}});
    let (code, message) = place
        .people
        .ask(CONTROLLER, Method::PATCH, &path, MERGE, &finalizers)
        .await;
    assert_eq!(code, 200, "{message}");
    let spec = json!({"spec": {"interval": "7m"}, "metadata": {"finalizers": []}});
    let (code, message) = place
        .people
        .ask(CONTROLLER, Method::PATCH, &path, MERGE, &spec)
        .await;
    assert_eq!(code, 403, "{message}");
    let none = json!({"metadata": {"finalizers": []}});
    let (code, message) = place
        .people
        .ask(CONTROLLER, Method::PATCH, &path, MERGE, &none)
        .await;
    assert_eq!(code, 200, "{message}");

    let (code, message) = place
        .people
        .ask(
            CONTROLLER,
            Method::POST,
            &place.records,
            JSON,
            &record("one"),
        )
        .await;
    assert_eq!(code, 201, "{message}");
    let one = format!("{}/one", place.records);
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, answer) = place
        .admin
        .send(Method::PATCH, &one, MERGE, Some(&labels))
        .await;
    assert_eq!(code, 403, "{answer}");
    let (code, answer) = place.admin.send(Method::DELETE, &one, JSON, None).await;
    assert_eq!(code, 403, "{answer}");

    let namespace = format!("/api/v1/namespaces/{}", place.namespace);
    place.admin.delete(&namespace).await;
    eventually(
        SOON,
        "the namespace goes although it holds a record",
        || async { place.admin.get(&namespace).await.is_none().then_some(()) },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_runs_in_a_restricted_namespace_with_few_rights() {
    let admin = Admin::new().await;
    install(&admin, "plimsoll.dev/tests-of-deploy").await;
    let deployment = "/apis/apps/v1/namespaces/plimsoll-system/deployments/plimsoll";
    // A pod that the Pod Security level refuses is never created.
    eventually(SOON, "the Deployment has its pod", || async {
        let found = admin.get(deployment).await?;
        (found["status"]["availableReplicas"] == 1).then_some(())
    })
    .await;
    let other = admin.namespace("other").await;
    let allowed = |verb: &'static str,
                   group: &'static str,
                   resource: &'static str,
                   namespace: String| {
        let admin = admin.clone();
        async move {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": CONTROLLER,
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:plimsoll-system", "system:authenticated"],
                    "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace},
                },
            });
            let answer = admin
                .create(
                    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                    &review,
                )
                .await;
            answer["status"]["allowed"] == true
        }
    };
    let own = "plimsoll-system".to_owned();
    eventually(SOON, "the roles are aggregated", || async {
        allowed("watch", "apps", "deployments", String::new())
            .await
            .then_some(())
    })
    .await;
    for (verb, group, resource, namespace, expected) in [
        ("create", "", "secrets", own.clone(), true),
        ("list", "", "secrets", own.clone(), true),
        ("create", "coordination.k8s.io", "leases", own.clone(), true),
        // Only the one by its name.
        (
            "update",
            "coordination.k8s.io",
            "leases",
            own.clone(),
            false,
        ),
        ("watch", "plimsoll.dev", "applications", String::new(), true),
        (
            "update",
            "plimsoll.dev",
            "applications/status",
            String::new(),
            true,
        ),
        ("create", "plimsoll.dev", "syncrecords", String::new(), true),
        ("create", "", "events", String::new(), true),
        ("get", "", "secrets", other.clone(), false),
        ("watch", "", "secrets", String::new(), false),
        ("impersonate", "", "serviceaccounts", other.clone(), false),
        ("impersonate", "", "users", String::new(), false),
        ("patch", "apps", "deployments", other.clone(), false),
        (
            "create",
            "rbac.authorization.k8s.io",
            "clusterrolebindings",
            String::new(),
            false,
        ),
        (
            "update",
            "plimsoll.dev",
            "syncrecords",
            other.clone(),
            false,
        ),
        (
            "delete",
            "plimsoll.dev",
            "applications",
            other.clone(),
            false,
        ),
        ("update", "", "secrets", own.clone(), false),
    ] {
        assert_eq!(
            allowed(verb, group, resource, namespace).await,
            expected,
            "{verb} {resource}"
        );
    }
}
