//! The rights of `deploy/` are enough for the whole work of the controller, and it uses no others.
//!
//! Enters: `deploy/` as it stands, what `plimsoll tenant` prints, the example shop in a repository, the controller's binary.
//! Leaves: the audit log, read request by request.
//! Never: a right of an administrator in the controller's hands; another test's Applications: the cluster is its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use plimsoll::model::AccountName;
use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    deploy::{CONTROLLER, deploy, path_of},
    support::{Admin, AuditEntry, AuditMark, OwnDevcluster, devcluster_of_its_own, eventually},
};

/// The namespace that the overlay `dev` of the shop names.
const TENANT: &str = "shop-dev";
const DEPLOYER: &str = "system:serviceaccount:shop-dev:deployer";
const OWN: &str = "plimsoll-system";
const APPLICATION: &str = "/apis/plimsoll.dev/v1alpha1/namespaces/shop-dev/applications/shop";
const WEB: &str = "/apis/apps/v1/namespaces/shop-dev/deployments/web";
const WORKER: &str = "/apis/apps/v1/namespaces/shop-dev/deployments/worker";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll";
/// One step of the story: seconds here, with room for a machine that builds something else.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_work_needs_the_rights_of_deploy_and_no_others() {
    let place = Place::new("rights").await;
    let start = place.devcluster.cluster().audit_mark();
    let mut controller = place.start_controller().await;

    let first = place.repository.head();
    place.ready_at(&first).await;
    assert_eq!(place.image_of_web().await, "registry.example/shop/web:1.2");

    // The overlay moves to an image that does not exist: it comes back by itself.
    let overlay = "overlays/dev/kustomization.yaml";
    place.repository.edit(
        overlay,
        "web\n    newTag: \"1.2\"",
        "web\n    newTag: bad-image",
    );
    let bad = place
        .repository
        .commit("move web to a tag that nobody pushed");
    place.sync();
    place
        .status(
            "the bad set is quarantined and the good one is back",
            |status| {
                status["quarantine"][0]["revision"] == bad.as_str()
                    && status["applied"]["revision"] == first.as_str()
                    && status["conditions"][0]["reason"] == "Returned"
            },
        )
        .await;
    assert_eq!(place.image_of_web().await, "registry.example/shop/web:1.2");

    // Somebody scales by hand: it is given back.
    place
        .admin
        .patch(WEB, "somebody", &json!({"spec": {"replicas": 4}}))
        .await;
    eventually(SOON, "the drift is repaired", || async {
        let web = place.admin.get(WEB).await?;
        (web["spec"]["replicas"] == 1).then_some(())
    })
    .await;

    // An object leaves git: it is pruned.
    place
        .repository
        .edit(overlay, "newTag: bad-image", "newTag: \"1.3\"");
    place
        .repository
        .edit("base/kustomization.yaml", "  - worker.yaml\n", "");
    let second = place.repository.commit("web 1.3, and no worker any more");
    place.sync();
    place.ready_at(&second).await;
    assert_eq!(place.image_of_web().await, "registry.example/shop/web:1.3");
    eventually(SOON, "the worker is pruned", || async {
        place.admin.get(WORKER).await.is_none().then_some(())
    })
    .await;

    place.kept_what_it_must().await;

    // The Application goes, and its objects before it.
    place.admin.delete(APPLICATION).await;
    eventually(SOON, "the Application is gone", || async {
        place.admin.get(APPLICATION).await.is_none().then_some(())
    })
    .await;
    assert_eq!(place.objects_of_the_shop().await, Vec::<String>::new());

    controller.stop();
    eventually(SOON, "the lease is released", || async {
        let lease = place.admin.get(LEASE).await?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        holder.is_empty().then_some(())
    })
    .await;
    let requests = place.requests_of_the_controller(start);
    nothing_was_refused(&requests);
    objects_are_the_tenants(&requests);
    secrets_are_the_tenants(&requests);
    everything_was_used(&requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_acts_as_the_named_account_and_as_no_other() {
    let place = Place::new("stranger").await;
    let mut stranger = place.application();
    stranger["metadata"]["name"] = json!("stranger");
    stranger["spec"]["target"]["serviceAccount"] = json!("default");
    let path = "/apis/plimsoll.dev/v1alpha1/namespaces/shop-dev/applications/stranger";
    place.admin.delete(APPLICATION).await;
    place.admin.apply(path, &stranger).await;
    let start = place.devcluster.cluster().audit_mark();
    let _controller = place.start_controller().await;
    let reason = eventually(SOON, "the stranger is refused", || async {
        let found = place.admin.get(path).await?;
        let conditions = found["status"]["conditions"].as_array()?.clone();
        let ready = conditions
            .into_iter()
            .find(|condition| condition["type"] == "Ready" && condition["status"] == "False")?;
        Some(ready["reason"].as_str()?.to_owned())
    })
    .await;
    assert!(
        ["NoIdentity", "Forbidden"].contains(&reason.as_str()),
        "{reason}"
    );
    assert_eq!(place.objects_of_the_shop().await, Vec::<String>::new());
    let wrong: Vec<String> = place
        .requests_of_the_controller(start)
        .iter()
        .filter(|entry| entry.impersonated.is_some() && entry.code != 403)
        .map(ToString::to_string)
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// A cluster of its own in which `deploy/` is installed as it stands, a tenant, a repository and an Application.
struct Place {
    devcluster: OwnDevcluster,
    admin: Admin,
    repository: Repository,
    directory: TempDir,
}

impl Place {
    async fn new(name: &str) -> Self {
        let devcluster = devcluster_of_its_own(name);
        let admin = Admin::of(devcluster.cluster()).await;
        for object in deploy().objects() {
            let value = object.value();
            if value["kind"] == "CustomResourceDefinition" {
                admin.install_crd(value).await;
            } else {
                admin.apply(&path_of(value), value).await;
            }
        }
        let namespaces = documents(&read("examples/applications/tenants.yaml"));
        let namespace = namespaces
            .iter()
            .find(|object| object["kind"] == "Namespace" && object["metadata"]["name"] == TENANT)
            .unwrap();
        admin.apply(&path_of(namespace), namespace).await;
        for object in documents(&plimsoll(&["tenant", TENANT])) {
            admin.apply(&path_of(&object), &object).await;
        }
        let directory = TempDir::new().unwrap();
        let place = Self {
            repository: Repository::new(directory.path().join("shop")),
            devcluster,
            admin,
            directory,
        };
        place.rights_hold().await;
        place.admin.apply(APPLICATION, &place.application()).await;
        place
    }

    /// Waits for what reaches the authorizer by watches and by the aggregation of roles.
    async fn rights_hold(&self) {
        let group = |group: &str| format!("system:serviceaccounts{group}");
        let reviews = [
            (
                CONTROLLER,
                OWN,
                json!({"verb": "watch", "group": "policy", "resource": "poddisruptionbudgets"}),
            ),
            (
                CONTROLLER,
                OWN,
                json!({"verb": "impersonate", "resource": "serviceaccounts", "namespace": TENANT, "name": "deployer"}),
            ),
            (
                DEPLOYER,
                TENANT,
                json!({"verb": "patch", "group": "apps", "resource": "deployments", "namespace": TENANT}),
            ),
        ];
        for (user, namespace, attributes) in reviews {
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user,
                    "groups": [group(""), group(&format!(":{namespace}")), "system:authenticated"],
                    "resourceAttributes": attributes,
                },
            });
            eventually(SOON, "the rights hold", || async {
                let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
                let answer = self.admin.create(path, &review).await;
                (answer["status"]["allowed"] == true).then_some(())
            })
            .await;
        }
    }

    /// Returns the Application of the environment `dev`, of our repository, with less patience.
    fn application(&self) -> Value {
        let mut application = documents(&read("examples/applications/dev.yaml")).remove(0);
        let spec = &mut application["spec"];
        spec["source"]["repo"] = json!(format!("file://{}", self.repository.directory.display()));
        spec["health"] = json!({"timeout": "60s", "soak": "1s"});
        spec["deletion"] = json!("Cascade");
        application
    }

    /// Starts the controller with a token of the service account of `deploy/`.
    async fn start_controller(&self) -> Controller {
        let account = AccountName::new(OWN, "plimsoll").unwrap();
        let kubeconfig = self.admin.kubeconfig_of(&account).await;
        Controller::start(&kubeconfig, self.directory.path())
    }

    /// Asks for a look at git, with the command line and as a person.
    fn sync(&self) {
        let kubeconfig = self.devcluster.cluster().kubeconfig.to_str().unwrap();
        plimsoll(&["sync", "shop", "-n", TENANT, "--kubeconfig", kubeconfig]);
    }

    async fn status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let deadline = tokio::time::Instant::now() + SOON;
        while tokio::time::Instant::now() < deadline {
            last = self.admin.get(APPLICATION).await.unwrap()["status"].take();
            if holds(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let words =
            fs::read_to_string(self.directory.path().join("controller.log")).unwrap_or_default();
        panic!("not in {SOON:?}: {what}\nstatus: {last:#}\ncontroller:\n{words}");
    }

    async fn ready_at(&self, revision: &str) {
        self.status(&format!("{revision} is Ready and good"), |status| {
            let ready = status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            ready
                && status["phase"] == "Idle"
                && status["applied"]["revision"] == revision
                && status["lastKnownGood"]["revision"] == revision
        })
        .await;
    }

    async fn image_of_web(&self) -> String {
        let web = self.admin.get(WEB).await.unwrap();
        let image = &web["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let found = self.admin.get(path).await.unwrap();
        found["items"].as_array().unwrap().clone()
    }

    /// Returns what carries the mark of the Application, by kind and name.
    async fn objects_of_the_shop(&self) -> Vec<String> {
        let mut found = Vec::new();
        for collection in [
            "/api/v1/namespaces/shop-dev/configmaps",
            "/api/v1/namespaces/shop-dev/secrets",
            "/api/v1/namespaces/shop-dev/serviceaccounts",
            "/api/v1/namespaces/shop-dev/services",
            "/apis/apps/v1/namespaces/shop-dev/deployments",
            "/apis/policy/v1/namespaces/shop-dev/poddisruptionbudgets",
        ] {
            let path = format!("{collection}?labelSelector=plimsoll.dev/application");
            for object in self.list(&path).await {
                let name = object["metadata"]["name"].as_str().unwrap();
                found.push(format!("{collection}/{name}"));
            }
        }
        found
    }

    /// Records, events, the lease and the stored sets are there.
    async fn kept_what_it_must(&self) {
        let records = self
            .list("/apis/plimsoll.dev/v1alpha1/namespaces/shop-dev/syncrecords")
            .await;
        let results: BTreeSet<&str> = records
            .iter()
            .filter_map(|record| record["spec"]["result"].as_str())
            .collect();
        assert!(
            records.len() >= 3 && results.contains("Ready"),
            "{} records: {results:?}",
            records.len()
        );
        let kubeconfig = self.devcluster.cluster().kubeconfig.to_str().unwrap();
        let verify = ["history", "shop", "--verify", "-n", TENANT];
        plimsoll(&[&verify[..], &["--kubeconfig", kubeconfig]].concat());

        let events = self
            .list("/apis/events.k8s.io/v1/namespaces/shop-dev/events")
            .await;
        assert!(
            events
                .iter()
                .any(|event| event["reportingController"] == "plimsoll.dev/controller"),
            "no event of ours"
        );
        let lease = self.admin.get(LEASE).await.unwrap();
        assert_ne!(lease["spec"]["holderIdentity"], "");
        let secrets = self
            .list("/api/v1/namespaces/plimsoll-system/secrets")
            .await;
        assert!(
            secrets
                .iter()
                .any(|secret| secret["type"] == "plimsoll.dev/state"),
            "no stored set"
        );
    }

    fn requests_of_the_controller(&self, start: AuditMark) -> Vec<AuditEntry> {
        let mut requests = self.devcluster.cluster().audit_since(start);
        requests.retain(|entry| entry.user == CONTROLLER);
        requests
    }
}

fn titles<'a>(entries: impl Iterator<Item = &'a AuditEntry>) -> Vec<String> {
    entries.map(ToString::to_string).collect()
}

/// No request is made to find out by its refusal whether it is allowed.
fn nothing_was_refused(requests: &[AuditEntry]) {
    let refused = titles(
        requests
            .iter()
            .filter(|entry| entry.code == 403 || entry.code == 401),
    );
    assert_eq!(refused, Vec::<String>::new());
}

/// What the controller writes with its own rights: its own kinds anywhere, the rest in its own namespace.
fn is_its_own(entry: &AuditEntry) -> bool {
    match entry.resource.as_str() {
        "applications" | "applications/status" | "syncrecords" | "events" => true,
        "leases" | "secrets" => entry.namespace == OWN,
        _ => false,
    }
}

/// Every write to an object of the set, dry runs too, goes as the tenant's account.
fn objects_are_the_tenants(requests: &[AuditEntry]) {
    let changes = |entry: &&AuditEntry| {
        !["get", "list", "watch"].contains(&entry.verb.as_str()) && !entry.resource.is_empty()
    };
    let wrong = titles(
        requests
            .iter()
            .filter(changes)
            .filter(|entry| match &entry.impersonated {
                None => !is_its_own(entry),
                Some(account) => account != DEPLOYER || entry.namespace != TENANT,
            }),
    );
    assert_eq!(wrong, Vec::<String>::new());
    let written: BTreeSet<&str> = requests
        .iter()
        .filter(|entry| entry.impersonated.is_some() && entry.is_write())
        .map(|entry| entry.resource.as_str())
        .collect();
    let kinds = [
        "configmaps",
        "deployments",
        "poddisruptionbudgets",
        "secrets",
        "serviceaccounts",
        "services",
    ];
    assert_eq!(written, BTreeSet::from(kinds));
}

/// No Secret outside of its own namespace is read with the controller's own rights, or by a watch of all of them.
fn secrets_are_the_tenants(requests: &[AuditEntry]) {
    let of_secrets = |entry: &&AuditEntry| entry.resource == "secrets";
    let wrong =
        titles(requests.iter().filter(of_secrets).filter(
            |entry| match entry.impersonated.as_deref() {
                None => entry.namespace != OWN,
                Some(_) => entry.namespace != TENANT,
            },
        ));
    assert_eq!(wrong, Vec::<String>::new());
    assert!(
        requests
            .iter()
            .filter(of_secrets)
            .any(|entry| entry.impersonated.is_some() && entry.verb != "patch"),
        "the Secret of the set was never read back as the account"
    );
}

/// The story came by every own right that is worth something, so that what is asserted above says something.
fn everything_was_used(requests: &[AuditEntry]) {
    let used: BTreeSet<String> = requests
        .iter()
        .filter(|entry| entry.impersonated.is_none())
        .map(|entry| format!("{} {}", entry.verb, entry.resource))
        .collect();
    for wanted in [
        "create events",
        "create leases",
        "create secrets",
        "create syncrecords",
        "get leases",
        "get secrets",
        "get syncrecords",
        "list secrets",
        "patch applications",
        "update applications/status",
        "update leases",
        "watch applications",
        "watch deployments",
    ] {
        assert!(used.contains(wanted), "no {wanted} in {used:#?}");
    }
}

/// The controller, until it is stopped or the test ends.
struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    fn start(kubeconfig: &Path, directory: &Path) -> Self {
        let log = directory.join("controller.log");
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["controller", "--allow-file", "--listen", "127.0.0.1:0"])
            .args(["--namespace", OWN])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache")
            .arg(directory.join("mirrors"))
            .env_remove("KUBERNETES_SERVICE_HOST")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Asks for a stop, as Kubernetes does, and waits for it.
    fn stop(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(asked.success());
        let ended = self.child.wait().unwrap();
        let words = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(ended.success(), "{ended}\n{words}");
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The example shop in a repository of its own.
struct Repository {
    directory: PathBuf,
}

impl Repository {
    fn new(directory: PathBuf) -> Self {
        copy(&root().join("examples/shop"), &directory);
        let repository = Self { directory };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit("the shop");
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.org"])
            .args(arguments)
            .current_dir(&self.directory)
            .output()
            .unwrap();
        finished("git", arguments, &output)
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.directory.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} lacks {from:?}: {text}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Commits everything and returns the revision, as a status names it.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.head()
    }

    fn head(&self) -> String {
        format!("main@sha1:{}", self.git(&["rev-parse", "HEAD"]))
    }
}

/// Runs our own binary and returns what it prints.
fn plimsoll(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .output()
        .unwrap();
    finished("plimsoll", arguments, &output)
}

fn finished(program: &str, arguments: &[&str], output: &std::process::Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
