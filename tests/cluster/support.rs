//! One real control plane for the whole test binary, and what tests need to arrange things in it.
//!
//! Enters: `devcluster/build.sh`, which prints the binary of the devcluster.
//! Leaves: connections, namespaces, tenants, the audit log; `eventually` for every wait.
//! Never: a skipped test: where the devcluster cannot start, the test fails and says with which command.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use futures::Stream;
use http::{Method, Request, header};
use hyper::body::Bytes;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use plimsoll::{
    cluster::{Cluster, ConnectSettings, Fence},
    model::{AccountName, Now},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// How long the devcluster may take to start: 4 s here, with room for a machine that builds something else.
const START: Duration = Duration::from_secs(120);
/// Poll interval of `eventually`.
const POLL: Duration = Duration::from_millis(30);

/// A control plane of this test binary. It ends with the process: its standard input is a pipe of ours.
pub(crate) struct Devcluster {
    /// Path of a kubeconfig of a cluster administrator.
    pub(crate) kubeconfig: PathBuf,
    audit_log: PathBuf,
    installed: tokio::sync::OnceCell<()>,
    /// Process ids of the components, by name.
    pub(crate) processes: BTreeMap<String, u32>,
    process: Mutex<Child>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadyLine {
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    processes: BTreeMap<String, u32>,
}

/// Returns the control plane; the first caller starts it and the others wait.
pub(crate) fn devcluster() -> &'static Devcluster {
    static DEVCLUSTER: OnceLock<Devcluster> = OnceLock::new();
    DEVCLUSTER.get_or_init(|| start("plimsoll-devcluster-"))
}

/// Starts another control plane, for tests that need a whole cluster to themselves.
pub(crate) fn devcluster_of_its_own(name: &str) -> OwnDevcluster {
    OwnDevcluster(Box::leak(Box::new(start(&format!("plimsoll-{name}-")))))
}

/// A control plane that ends when it is dropped: each that runs on takes a tenth of a core from the tests after it.
pub(crate) struct OwnDevcluster(&'static Devcluster);

impl OwnDevcluster {
    pub(crate) fn cluster(&self) -> &'static Devcluster {
        self.0
    }
}

impl Drop for OwnDevcluster {
    fn drop(&mut self) {
        let mut process = self
            .0
            .process
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(process.stdin.take());
    }
}

/// Returns a second control plane, for tests that end controllers: those of the other one are left alone.
pub(crate) fn second_devcluster() -> &'static Devcluster {
    static DEVCLUSTER: OnceLock<Devcluster> = OnceLock::new();
    DEVCLUSTER.get_or_init(|| start("plimsoll-second-"))
}

fn start(prefix: &str) -> Devcluster {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("devcluster/build.sh");
    let built = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| gone(&format!("cannot run {}: {error}", script.display())));
    if !built.status.success() {
        gone(&format!("{} failed: {}", script.display(), built.status));
    }
    let binary = String::from_utf8_lossy(&built.stdout).trim().to_owned();
    let directory = fresh_directory(prefix);
    let mut process = Command::new(&binary)
        .args(["up", "--dir"])
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| gone(&format!("cannot run {binary}: {error}")));
    let output = process.stdout.take().expect("standard output is a pipe");
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let line = lines.recv_timeout(START).unwrap_or_else(|_| {
        gone(&format!(
            "no ready line in {START:?} from: {binary} up --dir {}",
            directory.display()
        ))
    });
    let ready: ReadyLine = serde_json::from_str(&line)
        .unwrap_or_else(|error| gone(&format!("cannot read the ready line {line:?}: {error}")));
    Devcluster {
        kubeconfig: ready.kubeconfig,
        audit_log: ready.audit_log,
        installed: tokio::sync::OnceCell::new(),
        processes: ready.processes,
        process: Mutex::new(process),
    }
}

#[expect(clippy::panic, reason = "a test without its server fails")]
fn gone(why: &str) -> ! {
    panic!("the devcluster did not start: {why}\nTry: devcluster/build.sh")
}

/// A new directory, short enough for the sockets in it; those of test binaries that ended are removed.
fn fresh_directory(prefix: &str) -> PathBuf {
    let all = std::env::temp_dir();
    for entry in fs::read_dir(&all).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(process) = name.strip_prefix(prefix)
            && !Path::new("/proc").join(process).exists()
        {
            // Best effort: another test binary may remove it at the same time.
            let _removed = fs::remove_dir_all(entry.path());
        }
    }
    let directory = all.join(format!("{prefix}{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the temporary directory can be written");
    directory
}

/// Reads both clocks.
#[expect(clippy::disallowed_methods, reason = "a test is a shell of its own")]
pub(crate) fn clock() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    Now {
        wall: jiff::Timestamp::now(),
        monotonic: START.get_or_init(Instant::now).elapsed() + Duration::from_secs(1),
    }
}

/// Returns a connection as cluster administrator. It belongs to the runtime of the test that asked.
pub(crate) async fn connect() -> Cluster {
    connect_with(&devcluster().kubeconfig).await
}

/// Returns a connection with this kubeconfig.
pub(crate) async fn connect_with(kubeconfig: &Path) -> Cluster {
    install_provider();
    let settings = ConnectSettings {
        kubeconfig: vec![kubeconfig.to_owned()],
        ..ConnectSettings::new(clock)
    };
    Cluster::connect(settings)
        .await
        .expect("the kubeconfig of the devcluster can be used")
}

fn install_provider() {
    // An error says that it is installed already.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}

/// Returns a fence that lets every write through.
pub(crate) fn open_fence() -> Fence {
    Fence::open(clock)
}

/// Arranges things by hand, as cluster administrator, by path.
#[derive(Clone)]
pub(crate) struct Admin {
    client: Client,
    cluster: &'static Devcluster,
}

impl Admin {
    pub(crate) async fn new() -> Self {
        Self::of(devcluster()).await
    }

    /// Returns the administrator of this cluster.
    pub(crate) async fn of(cluster: &'static Devcluster) -> Self {
        install_provider();
        let kubeconfig =
            Kubeconfig::read_from(&cluster.kubeconfig).expect("the kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("the kubeconfig can be used");
        Self {
            client: Client::try_from(config).expect("a client can be made"),
            cluster,
        }
    }

    /// Returns the client, for watches.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the cluster.
    pub(crate) fn cluster(&self) -> &'static Devcluster {
        self.cluster
    }

    /// Sends one request and returns the HTTP status code and the body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(bytes))
            .expect("the path is a path");
        let response = self
            .client
            .send(request)
            .await
            .expect("the API server answers");
        let code = response.status().as_u16();
        let bytes: Bytes = response
            .into_body()
            .collect_bytes()
            .await
            .expect("the answer arrives");
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn ok(&self, method: Method, path: &str, kind: &str, body: Option<&Value>) -> Value {
        let (code, answer) = self.send(method, path, kind, body).await;
        assert!((200..300).contains(&code), "{path}: HTTP {code}: {answer}");
        answer
    }

    /// Creates an object by POST to a collection.
    pub(crate) async fn create(&self, collection: &str, object: &Value) -> Value {
        self.ok(Method::POST, collection, "application/json", Some(object))
            .await
    }

    /// Applies an object server-side, with force, as field manager `test`.
    pub(crate) async fn apply(&self, path: &str, object: &Value) -> Value {
        let path = format!("{path}?fieldManager=test&force=true");
        self.ok(
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            Some(object),
        )
        .await
    }

    /// Merges a patch into an object, as this field manager.
    pub(crate) async fn patch(&self, path: &str, manager: &str, patch: &Value) -> Value {
        let path = format!("{path}?fieldManager={manager}");
        self.ok(
            Method::PATCH,
            &path,
            "application/merge-patch+json",
            Some(patch),
        )
        .await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str) {
        self.ok(Method::DELETE, path, "application/json", None)
            .await;
    }

    /// Reads an object; None where it does not exist.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let (code, answer) = self.send(Method::GET, path, "application/json", None).await;
        if code == 404 {
            return None;
        }
        assert_eq!(code, 200, "{path}: {answer}");
        Some(answer)
    }

    /// Creates a namespace that no other test uses and returns its name.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.create("/api/v1/namespaces", &object).await;
        name
    }

    /// Creates a service account with a role of the cluster (`admin`, `edit`, `view`) in its namespace.
    pub(crate) async fn account(&self, namespace: &str, name: &str, role: &str) -> AccountName {
        let meta = json!({"name": name, "namespace": namespace});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta});
        self.create(
            &format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
            &account,
        )
        .await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        });
        self.create(
            &format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"),
            &binding,
        )
        .await;
        AccountName::new(namespace, name).expect("neither part is empty")
    }

    /// Writes a kubeconfig that acts as a service account, by a token of its own.
    pub(crate) async fn kubeconfig_of(&self, account: &AccountName) -> PathBuf {
        let (namespace, name) = (account.namespace(), account.name());
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = self
            .create(
                &format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"),
                &request,
            )
            .await;
        let text =
            fs::read_to_string(&self.cluster.kubeconfig).expect("the kubeconfig can be read");
        let mut config: Value = serde_json::from_str(&text).expect("it is JSON");
        config["users"][0]["user"] = json!({"token": answer["status"]["token"]});
        let path = self
            .cluster
            .kubeconfig
            .with_file_name(format!("{namespace}-{name}.kubeconfig"));
        fs::write(&path, config.to_string()).expect("the directory can be written");
        path
    }

    /// Installs our own kinds, once, and waits until they are served.
    pub(crate) async fn install_crds(&self) {
        self.cluster
            .installed
            .get_or_init(|| async {
                let definitions = plimsoll::api::crds().expect("the definitions can be written");
                for (_, definition) in definitions {
                    self.install_crd(&definition).await;
                }
            })
            .await;
    }

    /// Installs one kind and waits until it is served.
    pub(crate) async fn install_crd(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        self.apply(&path, definition).await;
        eventually(
            Duration::from_secs(20),
            "the definition is established",
            || async {
                let found = self.get(&path).await?;
                let conditions = found["status"]["conditions"].as_array()?.clone();
                conditions
                    .iter()
                    .any(|condition| {
                        condition["type"] == "Established" && condition["status"] == "True"
                    })
                    .then_some(())
            },
        )
        .await;
    }
}

/// Watches objects.
///
/// A failure is waited for before the next try: a runtime that ends fails every request at once, and a watch that asked again
/// at once would keep the runtime from ending for ever.
#[expect(clippy::disallowed_methods, reason = "the one watch, with its pauses")]
pub(crate) fn watch<K>(api: kube::Api<K>) -> impl Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    watcher::watcher(api, watcher::Config::default()).default_backoff()
}

/// Runs something beside the test; it ends with the handle's `abort` or with the test.
#[expect(
    clippy::disallowed_methods,
    reason = "the task ends with the runtime of its test"
)]
pub(crate) fn beside<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// Waits until `check` returns something, and returns it; fails when it does not in time.
pub(crate) async fn eventually<T, F, Fut>(deadline: Duration, what: &str, mut check: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(start.elapsed() <= deadline, "not in {deadline:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A place in the audit log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditMark(u64);

/// One request, as the API server saw it.
#[derive(Clone, Debug)]
pub(crate) struct AuditEntry {
    /// Who sent it.
    pub(crate) user: String,
    /// As whom.
    pub(crate) impersonated: Option<String>,
    /// Verb, for example `patch`.
    pub(crate) verb: String,
    /// Plural and subresource, for example `applications/status`; empty for what is no resource.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) code: u64,
    /// What the client calls itself: the controller adds its identity.
    pub(crate) agent: String,
    /// When the request came, and when it was answered.
    pub(crate) received: String,
    pub(crate) answered: String,
}

/// `patch configmaps shop/web as a for b: 200`, for messages of tests.
impl std::fmt::Display for AuditEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {}/{} by {} as {}: {}",
            self.verb,
            self.resource,
            self.namespace,
            self.name,
            self.user,
            self.impersonated.as_deref().unwrap_or("itself"),
            self.code
        )
    }
}

impl AuditEntry {
    /// Says whether the request changed something: no dry-run, and not refused.
    pub(crate) fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && !self.uri.contains("dryRun=")
            && self.code < 400
    }
}

/// Marks the present end of the audit log.
pub(crate) fn audit_mark() -> AuditMark {
    audit_mark_of(devcluster())
}

/// Marks the present end of the audit log of this cluster.
pub(crate) fn audit_mark_of(cluster: &Devcluster) -> AuditMark {
    let size = fs::metadata(&cluster.audit_log).map_or(0, |metadata| metadata.len());
    AuditMark(size)
}

/// Returns the requests that were answered since the mark, in order.
pub(crate) fn audit_since(mark: AuditMark) -> Vec<AuditEntry> {
    audit_since_of(devcluster(), mark)
}

/// Returns the requests that this cluster answered since the mark, in order.
pub(crate) fn audit_since_of(cluster: &Devcluster, mark: AuditMark) -> Vec<AuditEntry> {
    static READING: Mutex<()> = Mutex::new(());
    let _reading = READING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = fs::File::open(&cluster.audit_log).expect("the audit log can be read");
    file.seek(SeekFrom::Start(mark.0))
        .expect("the mark lies in the audit log");
    let mut text = String::new();
    file.read_to_string(&mut text)
        .expect("the audit log is text");
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["stage"] == "ResponseComplete")
        .map(|event| read_audit(&event))
        .collect()
}

fn read_audit(event: &Value) -> AuditEntry {
    let text = |pointer: &str| {
        event
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut resource = text("/objectRef/resource").unwrap_or_default();
    if let Some(subresource) = text("/objectRef/subresource") {
        resource = format!("{resource}/{subresource}");
    }
    AuditEntry {
        user: text("/user/username").unwrap_or_default(),
        impersonated: text("/impersonatedUser/username"),
        verb: text("/verb").unwrap_or_default(),
        resource,
        namespace: text("/objectRef/namespace").unwrap_or_default(),
        name: text("/objectRef/name").unwrap_or_default(),
        uri: text("/requestURI").unwrap_or_default(),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        agent: text("/userAgent").unwrap_or_default(),
        received: text("/requestReceivedTimestamp").unwrap_or_default(),
        answered: text("/stageTimestamp").unwrap_or_default(),
    }
}

impl Devcluster {
    /// Marks the present end of the audit log.
    pub(crate) fn audit_mark(&'static self) -> AuditMark {
        audit_mark_of(self)
    }

    /// Returns the requests that were answered since the mark, in order.
    pub(crate) fn audit_since(&'static self, mark: AuditMark) -> Vec<AuditEntry> {
        audit_since_of(self, mark)
    }
}
