//! The stage of the stories: the real binary, a git repository, a namespace of a tenant.
//!
//! Enters: a devcluster with `deploy/` installed.
//! Leaves: one controller for all stories of a cluster, with the rights that `deploy/` and `plimsoll tenant` grant.
//! Never: a process that outlives the test binary; a sleep.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use git2::{IndexEntry, IndexTime, Signature};
use http::Method;
use kube::runtime::watcher::Event;
use plimsoll::{
    history::{Link, verify},
    model::AccountName,
};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::OnceCell, task::JoinSet};

use crate::{
    deploy,
    support::{
        Admin, AuditEntry, AuditMark, Devcluster, audit_mark_of, audit_since_of, devcluster,
        eventually, watch,
    },
};

/// Everything that is waited for comes within this; most of it within a second or two.
pub(crate) const SOON: Duration = Duration::from_secs(120);
/// As the shared controller.
pub(crate) const CONTROLLER: &str = "system:serviceaccount:plimsoll-system:plimsoll";
const LABEL: &str = "plimsoll.dev/tests-of-deploy";
const MERGE: &str = "application/merge-patch+json";
const POLL: Duration = Duration::from_millis(40);

/// A controller process. It ends with this value, and with the test binary however that ends.
pub(crate) struct Controller {
    child: Mutex<Child>,
    /// Holds the other end of the watcher's standard input.
    _watcher: (Child, ChildStdin),
    log: PathBuf,
}

impl Controller {
    /// Starts a controller with this kubeconfig.
    pub(crate) fn start(kubeconfig: &Path, more: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = kubeconfig.with_file_name(format!("controller-{number}.log"));
        let cache = kubeconfig.with_file_name(format!("cache-{number}"));
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .arg("controller")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--cache")
            .arg(&cache)
            .args(["--listen", "127.0.0.1:0", "--allow-file", "--log"])
            .arg("info,plimsoll=debug")
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut watcher = Command::new("sh")
            .args(["-c", &format!("read -r _; kill -9 {}", child.id())])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = watcher.stdin.take().unwrap();
        Self {
            child: Mutex::new(child),
            _watcher: (watcher, input),
            log,
        }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child().id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -TERM {pid}")])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Returns how it ended, or None while it runs.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap()
    }

    /// Returns the most memory that was ever resident, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child().id());
        let status = fs::read_to_string(path).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        kib / 1024
    }

    /// Returns what it logged.
    pub(crate) fn logged(&self) -> String {
        let mut text = String::new();
        File::open(&self.log)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// Waits for a line with all of these words.
    pub(crate) async fn until_logged(&self, words: &[&str]) -> String {
        eventually(SOON, &format!("{words:?} is logged"), || async {
            self.logged()
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        })
        .await
    }

    /// Waits until it works.
    pub(crate) async fn until_leading(&self) {
        self.until_logged(&["the lease is ours"]).await;
    }

    /// Returns the answer of its listener.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        let request = http::Request::get(path).body(String::new()).unwrap();
        self.call(request).await
    }

    /// Posts to its listener; returns the answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let mut request = http::Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request.body(body.to_owned()).unwrap()).await
    }

    async fn call(&self, mut request: http::Request<String>) -> (u16, String) {
        let line = self.until_logged(&["listening for health"]).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let host = address.parse().unwrap();
        request.headers_mut().insert("host", host);
        let answer = async {
            let response = sender.send_request(request).await.unwrap();
            let code = response.status().as_u16();
            let body = http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap();
            (code, String::from_utf8(body.to_bytes().to_vec()).unwrap())
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            ended = connection => {
                ended.unwrap();
                answer.await
            }
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let mut child = self.child();
        // Ended already where a test ended it.
        let _ended = child.kill();
        let _waited = child.wait();
    }
}

/// Where stories are played: a cluster with `deploy/` installed.
pub(crate) struct Stage {
    pub(crate) admin: Admin,
    pub(crate) cluster: &'static Devcluster,
    /// Kubeconfig of the controller's account.
    pub(crate) kubeconfig: PathBuf,
}

impl Stage {
    /// Installs `deploy/` and waits until its rights hold.
    pub(crate) async fn set(cluster: &'static Devcluster) -> Self {
        let admin = Admin::of(cluster).await;
        deploy::install(&admin, LABEL).await;
        let account = AccountName::new("plimsoll-system", "plimsoll").unwrap();
        let kubeconfig = admin.kubeconfig_of(&account).await;
        eventually(SOON, "the controller may watch", || async {
            allowed(&admin, CONTROLLER, "watch", "apps", "deployments", "")
                .await
                .then_some(())
        })
        .await;
        Self {
            admin,
            cluster,
            kubeconfig,
        }
    }
}

/// Asks the API server whether somebody may do something.
pub(crate) async fn allowed(
    admin: &Admin,
    user: &str,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: &str,
) -> bool {
    let mut parts = user.trim_start_matches("system:serviceaccount:").split(':');
    let of = parts.next().unwrap_or_default();
    let (resource, rest) = resource.split_once('/').unwrap_or((resource, ""));
    let (part, name) = match rest {
        "status" => (rest, ""),
        name => ("", name),
    };
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{of}"), "system:authenticated"],
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": part, "name": name, "namespace": namespace},
        },
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    admin.create(path, &review).await["status"]["allowed"] == true
}

/// The controller that plays most stories, started once.
pub(crate) async fn shared() -> &'static (Stage, Controller) {
    static SHARED: OnceCell<(Stage, Controller)> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let stage = Stage::set(devcluster()).await;
            let controller = Controller::start(&stage.kubeconfig, &[]);
            controller.until_leading().await;
            (stage, controller)
        })
        .await
}

/// A git repository on disk.
pub(crate) struct Repository {
    root: TempDir,
    files: Mutex<BTreeMap<String, String>>,
}

impl Repository {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        git2::Repository::init_opts(root.path().join("shop"), &options).unwrap();
        Self {
            root,
            files: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("shop")
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Moves the repository away, or back.
    pub(crate) fn hide(&self, hidden: bool) {
        let away = self.root.path().join("away");
        if hidden {
            fs::rename(self.path(), away).unwrap();
        } else {
            fs::rename(away, self.path()).unwrap();
        }
    }

    /// Renames a branch.
    pub(crate) fn rename_branch(&self, from: &str, to: &str) {
        let repository = git2::Repository::open_bare(self.path()).unwrap();
        let mut branch = repository
            .find_branch(from, git2::BranchType::Local)
            .unwrap();
        branch.rename(to, true).unwrap();
    }

    /// Writes these files, removes those without content, and commits to `main`; returns the commit.
    pub(crate) fn commit(&self, changes: &[(&str, Option<&str>)]) -> String {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, content) in changes {
            match content {
                Some(content) => files.insert((*path).to_owned(), (*content).to_owned()),
                None => files.remove(*path),
            };
        }
        let repository = git2::Repository::open_bare(self.path()).unwrap();
        let mut index = git2::Index::new().unwrap();
        for (path, content) in files.iter() {
            let entry = IndexEntry {
                ctime: IndexTime::new(0, 0),
                mtime: IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: repository.blob(content.as_bytes()).unwrap(),
                flags: 0,
                flags_extended: 0,
                path: path.clone().into_bytes(),
            };
            index.add(&entry).unwrap();
        }
        let tree = repository
            .find_tree(index.write_tree_to(&repository).unwrap())
            .unwrap();
        let who = Signature::now("Ann Author", "ann@example.com").unwrap();
        let parent = repository
            .find_reference("refs/heads/main")
            .ok()
            .map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        repository
            .commit(
                Some("refs/heads/main"),
                &who,
                &who,
                "change",
                &tree,
                &parents,
            )
            .unwrap()
            .to_string()
    }
}

/// The namespace of a tenant, with a repository and the account that applies.
pub(crate) struct Place {
    pub(crate) admin: Admin,
    pub(crate) namespace: String,
    pub(crate) repository: Repository,
    cluster: &'static Devcluster,
}

/// What would go on and on: loops of crashes, pods that are ready in turns, Applications that watch them.
const RESTLESS: [(&str, &str); 7] = [
    ("plimsoll.dev/v1alpha1", "applications"),
    ("apps/v1", "deployments"),
    ("apps/v1", "statefulsets"),
    ("apps/v1", "daemonsets"),
    ("batch/v1", "cronjobs"),
    ("batch/v1", "jobs"),
    ("v1", "pods"),
];

/// Leaves nothing at work, for the tests that come after it share the machine.
impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let paths = RESTLESS.map(|(version, plural)| self.path(version, plural, ""));
        let cluster = self.cluster;
        // The runtime of the test may be ending.
        let tidy = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let delete = async {
                let admin = Admin::of(cluster).await;
                for path in paths {
                    // A cluster that ended first has nothing at work either.
                    admin
                        .send(Method::DELETE, &path, "application/json", None)
                        .await;
                }
            };
            let _in_time = runtime.block_on(async { tokio::time::timeout(SOON, delete).await });
        });
        let _ended = tidy.join();
    }
}

impl Place {
    /// Makes a place for the shared controller.
    pub(crate) async fn new(prefix: &str) -> Self {
        let (stage, _) = shared().await;
        Self::on(stage, prefix).await
    }

    /// Makes a place in the cluster of this stage.
    pub(crate) async fn on(stage: &Stage, prefix: &str) -> Self {
        let place = Self::without_account(stage, prefix).await;
        place.tenant("deployer", "admin").await;
        place
    }

    /// Makes a place without an account or a right.
    pub(crate) async fn without_account(stage: &Stage, prefix: &str) -> Self {
        // A connection belongs to the runtime of its test.
        let admin = Admin::of(stage.cluster).await;
        Self {
            namespace: admin.namespace(prefix).await,
            admin,
            repository: Repository::new(),
            cluster: stage.cluster,
        }
    }

    /// Applies what `plimsoll tenant` prints, and waits until it holds.
    pub(crate) async fn tenant(&self, account: &str, role: &str) {
        let output = plimsoll(&[
            "tenant",
            &self.namespace,
            "--account",
            account,
            "--role",
            role,
        ]);
        assert!(output.status.success());
        let objects: Vec<Value> = serde_yaml::Deserializer::from_slice(&output.stdout)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        for object in objects {
            self.admin.apply(&deploy::path_of(&object), &object).await;
        }
        let user = self.user(account);
        let resource = format!("serviceaccounts/{account}");
        eventually(SOON, "the rights of the tenant hold", || async {
            let controller = allowed(
                &self.admin,
                CONTROLLER,
                "impersonate",
                "",
                &resource,
                &self.namespace,
            );
            let tenant = allowed(&self.admin, &user, "get", "", "configmaps", &self.namespace);
            (controller.await && tenant.await).then_some(())
        })
        .await;
    }

    /// Binds the account to a role of the whole cluster.
    pub(crate) async fn bind_cluster_wide(&self, account: &str, role: &str) {
        let name = format!("{}-{account}-{role}", self.namespace);
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.namespace}],
        });
        self.admin
            .create(
                "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                &binding,
            )
            .await;
        let user = self.user(account);
        eventually(SOON, "the rights of the account hold", || async {
            allowed(&self.admin, &user, "create", "", "namespaces", "")
                .await
                .then_some(())
        })
        .await;
    }

    /// Returns the name by which the API server knows an account of this place.
    pub(crate) fn user(&self, account: &str) -> String {
        format!("system:serviceaccount:{}:{account}", self.namespace)
    }

    fn applications(&self) -> String {
        format!(
            "/apis/plimsoll.dev/v1alpha1/namespaces/{}/applications",
            self.namespace
        )
    }

    pub(crate) fn application_path(&self, name: &str) -> String {
        format!("{}/{name}", self.applications())
    }

    /// Returns the path of an object of this place, for example `apps/v1`, `deployments`, `web`.
    pub(crate) fn path(&self, version: &str, plural: &str, name: &str) -> String {
        let base = if version.contains('/') { "apis" } else { "api" };
        format!(
            "/{base}/{version}/namespaces/{}/{plural}/{name}",
            self.namespace
        )
        .trim_end_matches('/')
        .to_owned()
    }

    pub(crate) fn deployment_path(&self, name: &str) -> String {
        self.path("apps/v1", "deployments", name)
    }

    pub(crate) fn config_path(&self, name: &str) -> String {
        self.path("v1", "configmaps", name)
    }

    /// Creates an Application of `deploy/`, with what `spec` says otherwise.
    pub(crate) async fn application(&self, name: &str, spec: Value) {
        let mut object = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "source": {"repo": self.repository.url(), "path": "deploy", "ref": "main"},
                "target": {"serviceAccount": "deployer"},
                "interval": "10m",
                "health": {"timeout": "60s", "soak": "1s"},
            },
        });
        merge(&mut object["spec"], spec);
        self.admin.create(&self.applications(), &object).await;
    }

    /// Asks the controller to look at git now, as an annotation does.
    pub(crate) async fn ask(&self, name: &str) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let patch = json!({"metadata": {"annotations": {"story/ask": number}}});
        self.patch(&self.application_path(name), &patch).await;
    }

    /// Commits and asks; returns the commit.
    pub(crate) async fn push(&self, name: &str, changes: &[(&str, Option<&str>)]) -> String {
        let commit = self.repository.commit(changes);
        self.ask(name).await;
        commit
    }

    /// Merges a patch as a person does.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Value {
        self.admin.patch(path, "kubectl-edit", patch).await
    }

    /// Merges a patch; returns the code and the answer.
    pub(crate) async fn try_patch(&self, path: &str, patch: &Value) -> (u16, Value) {
        self.admin
            .send(Method::PATCH, path, MERGE, Some(patch))
            .await
    }

    pub(crate) async fn get(&self, name: &str) -> Value {
        self.admin
            .get(&self.application_path(name))
            .await
            .unwrap_or(Value::Null)
    }

    /// Waits until the Application is so.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        check: impl Fn(&Seen) -> bool,
    ) -> Seen {
        let start = Instant::now();
        loop {
            let seen = Seen(self.get(name).await);
            if check(&seen) {
                return seen;
            }
            assert!(
                start.elapsed() < SOON,
                "{}/{name} not in {SOON:?}: {what}\n{}",
                self.namespace,
                serde_json::to_string_pretty(&seen.0["status"]).unwrap()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until this commit runs, is healthy and soaked.
    pub(crate) async fn until_good(&self, name: &str, commit: &str) -> Seen {
        self.until(name, &format!("{commit} is good"), |seen| {
            seen.phase() == "Idle"
                && seen.is("Ready", "True")
                && seen.applied().contains(commit)
                && seen.text("/status/lastKnownGood/revision").contains(commit)
        })
        .await
    }

    /// Waits until the last known good runs again after this commit failed.
    pub(crate) async fn until_returned(&self, name: &str, commit: &str) -> Seen {
        self.until(name, &format!("{commit} is returned from"), |seen| {
            seen.reason("Ready") == "Returned"
                && seen.text("/status/target/revision").contains(commit)
        })
        .await
    }

    /// Waits until this commit is held for this reason.
    pub(crate) async fn until_held(&self, name: &str, commit: &str, reason: &str) -> Seen {
        self.until(name, &format!("{commit} is held: {reason}"), |seen| {
            seen.text("/status/held/failure/reason") == reason
                && seen.reason("Stalled") == reason
                && seen.text("/status/held/revision").contains(commit)
        })
        .await
    }

    /// Waits until an object is so.
    pub(crate) async fn until_object(
        &self,
        path: &str,
        what: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Value {
        let start = Instant::now();
        loop {
            let found = self.admin.get(path).await.unwrap_or(Value::Null);
            if check(&found) {
                return found;
            }
            assert!(start.elapsed() < SOON, "not in {SOON:?}: {what}\n{found:#}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the records of an Application in order, after checking that their chain is whole.
    pub(crate) async fn records(&self, name: &str) -> Vec<Value> {
        let path = format!(
            "/apis/plimsoll.dev/v1alpha1/namespaces/{}/syncrecords",
            self.namespace
        );
        let list = self.admin.get(&path).await.unwrap();
        let mut records: Vec<&Value> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|record| record["spec"]["application"] == name)
            .collect();
        records.sort_by_key(|record| record["spec"]["sequence"].as_u64());
        let texts: Vec<&str> = records
            .iter()
            .map(|record| record["spec"]["record"].as_str().unwrap())
            .collect();
        let links: Vec<Link> = texts
            .iter()
            .map(|text| Link {
                text: (*text).to_owned(),
            })
            .collect();
        verify(&links, None).unwrap();
        texts
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    }

    /// Returns action and result of each record that is of an attempt.
    pub(crate) async fn story(&self, name: &str) -> Vec<String> {
        self.records(name)
            .await
            .iter()
            .filter(|record| record["attempt"].is_u64())
            .map(|record| {
                format!(
                    "{} {} {}",
                    record["attempt"],
                    record["action"].as_str().unwrap(),
                    record["result"].as_str().unwrap()
                )
            })
            .collect()
    }

    /// Returns the messages of events about an Application with this reason.
    pub(crate) async fn events(&self, name: &str, reason: &str) -> Vec<String> {
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            self.namespace
        );
        let list = self.admin.get(&path).await.unwrap();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["regarding"]["name"] == name && event["reason"] == reason)
            .map(|event| event["note"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub(crate) fn mark(&self) -> AuditMark {
        audit_mark_of(self.cluster)
    }

    /// Returns every request about this place that came from the controller since the mark, watches left out.
    pub(crate) fn asked_since(&self, mark: AuditMark) -> Vec<AuditEntry> {
        let ours = format!("system:serviceaccount:{}:", self.namespace);
        audit_since_of(self.cluster, mark)
            .into_iter()
            .filter(|entry| entry.user == CONTROLLER && entry.verb != "watch")
            .filter(|entry| {
                entry.namespace == self.namespace
                    || entry
                        .impersonated
                        .as_ref()
                        .is_some_and(|user| user.starts_with(&ours))
            })
            .collect()
    }

    /// Returns the writes of objects as an account of this place since the mark.
    pub(crate) fn written_since(&self, mark: AuditMark) -> Vec<String> {
        self.asked_since(mark)
            .iter()
            .filter(|entry| entry.is_write() && entry.impersonated.is_some())
            .map(|entry| format!("{} {}/{}", entry.verb, entry.resource, entry.name))
            .collect()
    }

    /// Lets admission refuse to delete a ConfigMap of this name, and waits until it does; returns the path of what
    /// says so.
    pub(crate) async fn forbid_deletes(&self, name: &str) -> String {
        let policy = format!("{}-keep-{name}", self.namespace);
        let base = "/apis/admissionregistration.k8s.io/v1";
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": policy},
            "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"]}]},
                "validations": [{"expression": format!("oldObject.metadata.name != '{name}'"), "message": "it is not to be deleted"}],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": policy},
            "spec": {"policyName": policy, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}}},
        });
        self.admin
            .create(&format!("{base}/validatingadmissionpolicies"), &object)
            .await;
        self.admin
            .create(
                &format!("{base}/validatingadmissionpolicybindings"),
                &binding,
            )
            .await;
        let probe = format!("{}?dryRun=All", self.config_path(name));
        eventually(SOON, "the policy holds", || async {
            let (code, _) = self
                .admin
                .send(Method::DELETE, &probe, "application/json", None)
                .await;
            (code == 422).then_some(())
        })
        .await;
        format!("{base}/validatingadmissionpolicybindings/{policy}")
    }

    /// Runs the command line against this place.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let mut all: Vec<&str> = arguments.to_vec();
        let kubeconfig = self.cluster.kubeconfig.display().to_string();
        all.extend(["--kubeconfig", &kubeconfig, "--namespace", &self.namespace]);
        plimsoll(&all)
    }
}

/// An Application as it was seen.
pub(crate) struct Seen(pub(crate) Value);

impl Seen {
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn phase(&self) -> &str {
        self.text("/status/phase")
    }

    pub(crate) fn applied(&self) -> &str {
        self.text("/status/applied/revision")
    }

    pub(crate) fn attempt(&self) -> u64 {
        self.0["status"]["attempt"].as_u64().unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> &Value {
        self.0["status"]["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
            .unwrap_or(&Value::Null)
    }

    pub(crate) fn has(&self, kind: &str) -> bool {
        !self.condition(kind).is_null()
    }

    pub(crate) fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind)["status"] == status
    }

    pub(crate) fn reason(&self, kind: &str) -> &str {
        self.condition(kind)["reason"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self, kind: &str) -> &str {
        self.condition(kind)["message"].as_str().unwrap_or_default()
    }
}

/// Runs the binary.
pub(crate) fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// Returns a Deployment whose pods are replaced one by one.
pub(crate) fn deployment(name: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 1}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: {name}, image: {image}}}
"
    )
}

/// A Job of one pod; its image says how it ends.
pub(crate) fn job(name: &str, image: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {{name: run, image: {image}}}\n"
    )
}

/// Returns a ConfigMap with one key.
pub(crate) fn config(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: \"{value}\"}}\n"
    )
}

/// What a watch saw of some kind in one namespace, with the moment at which it came.
pub(crate) struct Film {
    frames: Arc<Mutex<Vec<Frame>>>,
    _watching: JoinSet<()>,
}

/// One change that a watch saw.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) at: Instant,
    pub(crate) gone: bool,
    pub(crate) object: Value,
}

impl Film {
    /// Begins to watch, and returns when the first listing came.
    pub(crate) async fn of<K>(place: &Place) -> Self
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize
            + Send
            + 'static,
    {
        let api: kube::Api<K> = kube::Api::namespaced(place.admin.client(), &place.namespace);
        let frames: Arc<Mutex<Vec<Frame>>> = Arc::default();
        let (listed, mut wait) = tokio::sync::mpsc::channel(1);
        let taken = Arc::clone(&frames);
        let mut watching = JoinSet::new();
        watching.spawn(async move {
            let mut events = std::pin::pin!(watch(api));
            while let Some(event) = events.next().await {
                let (gone, object) = match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => (false, object),
                    Ok(Event::Delete(object)) => (true, object),
                    Ok(Event::InitDone) => {
                        let _told = listed.send(()).await;
                        continue;
                    }
                    Ok(Event::Init) | Err(_) => continue,
                };
                taken.lock().unwrap().push(Frame {
                    at: Instant::now(),
                    gone,
                    object: serde_json::to_value(object).unwrap(),
                });
            }
        });
        let listed = tokio::time::timeout(SOON, wait.recv()).await;
        listed.unwrap().unwrap();
        Self {
            frames,
            _watching: watching,
        }
    }

    /// Returns what was seen so far.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap().clone()
    }

    /// Forgets what was seen but for the newest frame of each object.
    pub(crate) fn cut(&self) {
        let mut frames = self.frames.lock().unwrap();
        let mut last: BTreeMap<String, Frame> = BTreeMap::new();
        for frame in frames.drain(..) {
            let name = frame.object["metadata"]["name"]
                .as_str()
                .unwrap()
                .to_owned();
            if frame.gone {
                last.remove(&name);
            } else {
                last.insert(name, frame);
            }
        }
        frames.extend(last.into_values());
        frames.sort_by_key(|frame| frame.at);
    }

    /// Returns the least number of objects that were so at once.
    pub(crate) fn least(&self, is: impl Fn(&Value) -> bool) -> usize {
        let mut now: BTreeMap<String, bool> = BTreeMap::new();
        let mut least = usize::MAX;
        let frames = self.frames();
        let first = frames.iter().map(|frame| frame.at).min();
        for frame in &frames {
            let name = frame.object["metadata"]["name"]
                .as_str()
                .unwrap()
                .to_owned();
            now.insert(name, !frame.gone && is(&frame.object));
            // The listing is one moment although it comes in pieces.
            if frame.at.duration_since(first.unwrap()) > Duration::from_millis(50) {
                least = least.min(now.values().filter(|is| **is).count());
            }
        }
        least
    }
}

/// Returns the median, after printing every figure.
pub(crate) fn median(what: &str, figures: &[Duration]) -> Duration {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    println!("{what}: {figures:.2?}, median {median:.2?}");
    median
}
