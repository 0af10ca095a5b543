//! The stage: control plane, controller, repository, Applications.
//!
//! Enters: what to start and to commit.
//! Leaves: moments at which Applications are Ready.
//! Never: a process left behind; a wait without a deadline.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    discovery,
    runtime::watcher,
};
use plimsoll::api::{Application, ConditionStatus, ConditionType};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    audit::{Audit, BENCH},
    stub, webhook,
    workload::{self, Version},
};

/// Namespace of the Applications and their objects.
pub(crate) const NAMESPACE: &str = "fleet";
const SYSTEM: &str = "plimsoll-system";
const SECRET: &str = "a secret of the benchmark alone";

/// Everything that runs.
pub(crate) struct Fleet {
    pub(crate) client: Client,
    pub(crate) audit: Audit,
    /// Processes by name: the controller and the parts of the control plane.
    pub(crate) processes: BTreeMap<String, u32>,
    pub(crate) version: String,
    directory: PathBuf,
    address: String,
    repository: PathBuf,
    plimsoll: PathBuf,
    kubeconfig: PathBuf,
    workers: Option<usize>,
    controller: Option<Child>,
    versions: AtomicU32,
    /// None where it is in this process.
    control_plane: Option<Child>,
}

impl Fleet {
    /// Starts the control plane and the controller below `directory`.
    pub(crate) async fn start(
        plimsoll: &Path,
        directory: &Path,
        arguments: &Arguments,
    ) -> Result<Self> {
        let cluster = directory.join("cluster");
        let (child, ready) = if arguments.stub {
            (None, stub::start(&cluster).await?)
        } else {
            let (child, ready) = start_control_plane(&cluster, arguments.nodes())?;
            (Some(child), ready)
        };
        let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        let kubeconfig = PathBuf::from(text("kubeconfig"));
        let processes = serde_json::from_value(ready["processes"].clone())?;
        let mut config = Config::from_custom_kubeconfig(
            Kubeconfig::read_from(&kubeconfig)?,
            &KubeConfigOptions::default(),
        )
        .await?;
        config.auth_info.impersonate = Some(BENCH.to_owned());
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        let client = Client::try_from(config)?;
        let mut fleet = Self {
            client,
            audit: Audit::new(Path::new(&text("auditLog")), "devcluster-admin"),
            processes,
            version: output(plimsoll, &["--version"]).unwrap_or_default(),
            directory: directory.to_owned(),
            address: String::new(),
            repository: directory.join("repository"),
            plimsoll: plimsoll.to_owned(),
            kubeconfig,
            workers: arguments.workers,
            controller: None,
            versions: AtomicU32::new(0),
            control_plane: child,
        };
        if !arguments.stub {
            fleet.furnish().await?;
        }
        fleet.start_controller().await?;
        Ok(fleet)
    }

    /// Applies what the controller needs.
    async fn furnish(&self) -> Result<()> {
        self.apply(&output(&self.plimsoll, &["crds"])?).await?;
        for namespace in [SYSTEM, NAMESPACE, "bare"] {
            self.apply(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
            ))
            .await?;
        }
        self.apply(&output(&self.plimsoll, &["tenant", NAMESPACE])?)
            .await
    }

    /// Starts the controller, and waits until it knows all Applications.
    pub(crate) async fn start_controller(&mut self) -> Result<()> {
        let log = self.directory.join("controller.log");
        let secret = self.directory.join("webhook-secret");
        fs::write(&secret, SECRET)?;
        let mut command = Command::new(&self.plimsoll);
        command
            .arg("controller")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--listen", "127.0.0.1:0", "--allow-file"])
            .arg("--cache")
            .arg(self.directory.join("mirrors"))
            .arg("--webhook-secret-file")
            .arg(&secret)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        if let Some(workers) = self.workers {
            command.args(["--workers", &workers.to_string()]);
        }
        let child = command.spawn().context("start the controller")?;
        self.processes.insert("controller".to_owned(), child.id());
        self.controller = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = fs::read_to_string(&log)?;
            let address = text.lines().find_map(|line| {
                let event: Value = serde_json::from_str(line).ok()?;
                let fields = event.get("fields").unwrap_or(&event);
                fields.get("address")?.as_str().map(str::to_owned)
            });
            if let (Some(address), true) = (address, text.contains("all Applications are known")) {
                self.address = address;
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the controller does not lead:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks the controller to stop, and waits until it has.
    pub(crate) async fn stop_controller(&mut self) -> Result<()> {
        let Some(mut child) = self.controller.take() else {
            return Ok(());
        };
        let id = child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        ensure!(told.context("run kill")?.success(), "kill -TERM {id}");
        let deadline = Instant::now() + Duration::from_secs(30);
        while child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the controller does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn apply(&self, yaml: &str) -> Result<()> {
        for document in yaml.split("\n---\n") {
            let object: DynamicObject = serde_yaml::from_str(document)?;
            let types = object.types.clone().context("an object has a kind")?;
            let gvk = kube::core::GroupVersionKind::try_from(&types)?;
            let (resource, capabilities) = discovery::pinned_kind(&self.client, &gvk).await?;
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            let api: Api<DynamicObject> = if capabilities.scope == discovery::Scope::Cluster {
                Api::all_with(self.client.clone(), &resource)
            } else {
                Api::namespaced_with(self.client.clone(), &namespace, &resource)
            };
            let name = object.metadata.name.clone().unwrap_or_default();
            api.patch(
                &name,
                &PatchParams::apply("bench").force(),
                &Patch::Apply(&object),
            )
            .await
            .with_context(|| format!("apply {} {name}", types.kind))?;
        }
        Ok(())
    }

    fn applications(&self) -> Api<Application> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Creates Applications by number; each wants its own path of the one repository.
    pub(crate) async fn create(&self, numbers: impl Iterator<Item = usize>) -> Result<()> {
        self.create_from(numbers, &self.repository).await
    }

    /// The same of another repository.
    pub(crate) async fn create_from(
        &self,
        numbers: impl Iterator<Item = usize>,
        repository: &Path,
    ) -> Result<()> {
        let bodies: Vec<Value> = numbers
            .map(|number| application(number, repository))
            .collect();
        let sends: Vec<_> = bodies.iter().map(|body| self.create_one(body)).collect();
        stream::iter(sends)
            .buffer_unordered(16)
            .collect::<Vec<Result<()>>>()
            .await
            .into_iter()
            .collect()
    }

    async fn create_one(&self, body: &Value) -> Result<()> {
        let application: Application = serde_json::from_value(body.clone())?;
        self.applications()
            .create(&kube::api::PostParams::default(), &application)
            .await
            .context("create an Application")?;
        Ok(())
    }

    /// Returns a number that no version of an image had before.
    pub(crate) fn unique(&self) -> u32 {
        1_000_000 + self.versions.fetch_add(1, Ordering::Relaxed)
    }

    /// Deletes an Application; its objects stay.
    pub(crate) async fn delete(&self, number: usize) -> Result<()> {
        let name = workload::name(number);
        self.applications()
            .delete(&name, &kube::api::DeleteParams::default())
            .await
            .with_context(|| format!("delete the Application {name}"))?;
        Ok(())
    }

    /// Returns where other repositories may be made.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes the files of Applications, in place of those before.
    pub(crate) fn write(
        &self,
        numbers: impl Iterator<Item = usize>,
        objects: usize,
        version: Version,
    ) -> Result<()> {
        for number in numbers {
            let directory = self.repository.join("apps").join(workload::name(number));
            fs::create_dir_all(&directory)?;
            fs::write(
                directory.join("objects.yaml"),
                workload::file(number, objects, version),
            )?;
        }
        Ok(())
    }

    /// Writes one file of one Application.
    pub(crate) fn write_file(&self, number: usize, text: &str) -> Result<()> {
        let directory = self.repository.join("apps").join(workload::name(number));
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join("objects.yaml"), text)?)
    }

    /// Makes the repository, on a branch that no Application follows.
    pub(crate) fn initialise(&self) -> Result<()> {
        fs::create_dir_all(&self.repository)?;
        fs::write(
            self.repository.join("README.md"),
            "The repository of the benchmark\n",
        )?;
        self.git(&["init", "--quiet", "--initial-branch=start"])?;
        self.commit()?;
        Ok(())
    }

    /// Goes to the branch that the Applications follow.
    pub(crate) fn go_live(&self) -> Result<()> {
        self.git(&["checkout", "--quiet", "-b", "live"]).map(|_| ())
    }

    /// Commits everything and returns the hash.
    pub(crate) fn commit(&self) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "Change"])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Ada Miller",
                "-c",
                "user.email=ada@shop.example",
            ])
            .args(["-c", "commit.gpgsign=false", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(&self.repository)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .context("run git")?;
        ensure!(
            output.status.success(),
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Tells the controller of a push, as a server of git does.
    pub(crate) async fn push(&self) -> Result<()> {
        self.push_of(&self.repository).await
    }

    /// The same for a repository that is not the fleet's.
    pub(crate) async fn push_of(&self, repository: &Path) -> Result<()> {
        webhook::push(&self.address, &url(repository), SECRET).await
    }

    /// Calls whose signatures are wrong; returns the answers, counted by their codes.
    pub(crate) async fn flood(&self, rate: u32, length: Duration) -> Result<BTreeMap<u16, u64>> {
        webhook::flood(&self.address, &url(&self.repository), rate, length).await
    }

    /// Waits until so many Applications are Ready at a commit, by a watch; returns when each was seen so, in order.
    #[expect(clippy::disallowed_methods, reason = "the first failure ends it")]
    pub(crate) async fn until_ready(
        &self,
        commit: &str,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<Duration>> {
        let start = Instant::now();
        let mut moments = Vec::with_capacity(count);
        let mut ready = std::collections::BTreeSet::new();
        let mut changes = Box::pin(watcher(self.applications(), watcher::Config::default()));
        let watch = async {
            while let Some(event) = changes.next().await {
                if let watcher::Event::Apply(application) | watcher::Event::InitApply(application) =
                    event?
                    && is_ready_at(&application, commit)
                {
                    if ready.insert(application.metadata.name.unwrap_or_default()) {
                        moments.push(start.elapsed());
                    }
                    if ready.len() >= count {
                        return Ok(());
                    }
                }
            }
            bail!("the watch ended")
        };
        match tokio::time::timeout(patience, watch).await {
            Ok(ended) => ended.map(|()| moments),
            Err(_) => bail!(
                "{} of {count} Applications became Ready in time",
                ready.len()
            ),
        }
    }

    /// Waits until the last attempts have soaked and nothing writes any more.
    pub(crate) async fn until_quiet(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let mark = self.audit.mark()?;
            // Longer than the soak, whose end is a write.
            tokio::time::sleep(Duration::from_secs(8)).await;
            if crate::audit::writes(&self.audit.since(mark).await?) == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the fleet does not become quiet");
        }
    }

    /// Returns an Application.
    pub(crate) async fn application(&self, number: usize) -> Result<Application> {
        Ok(self.applications().get(&workload::name(number)).await?)
    }

    /// Returns the metrics of the controller whose names hold `part`.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let stream = tokio::net::TcpStream::connect(&self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
        let request = http::Request::get("/metrics")
            .header("host", &self.address)
            .header("connection", "close")
            .body(http_body_util::Empty::<hyper::body::Bytes>::new())?;
        let ask = async {
            let answer = sender.send_request(request).await?;
            let body = http_body_util::BodyExt::collect(answer.into_body()).await?;
            Ok::<_, anyhow::Error>(String::from_utf8_lossy(&body.to_bytes()).into_owned())
        };
        let (text, ended) = tokio::join!(ask, connection);
        drop(ended);
        Ok(text?
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut child) = self.controller.take() {
            let _ended = child.kill().and_then(|()| child.wait());
        }
        if let Some(mut child) = self.control_plane.take() {
            drop(child.stdin.take());
            let _ended = child.wait();
        }
    }
}

fn url(repository: &Path) -> String {
    format!("file://{}", repository.display())
}

fn application(number: usize, repository: &Path) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application",
        "metadata": {"name": workload::name(number), "namespace": NAMESPACE},
        "spec": {
            "source": {
                "repo": url(repository),
                "ref": "live",
                "path": format!("apps/{}", workload::name(number)),
            },
            "target": {"serviceAccount": "deployer"},
            "interval": "5m",
            // Longer than the controllers of Kubernetes take to look at thousands of Deployments.
            "health": {"timeout": "30m", "soak": "5s"},
        },
    })
}

fn is_ready_at(application: &Application, commit: &str) -> bool {
    let Some(status) = &application.status else {
        return false;
    };
    status
        .applied
        .as_ref()
        .is_some_and(|set| set.revision.commit == commit)
        && status.conditions.iter().any(|condition| {
            condition.kind == ConditionType::Ready && condition.status == ConditionStatus::True
        })
}

fn output(plimsoll: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(plimsoll)
        .args(arguments)
        .output()
        .with_context(|| format!("run {}", plimsoll.display()))?;
    ensure!(
        output.status.success(),
        "plimsoll {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn start_control_plane(directory: &Path, nodes: usize) -> Result<(Child, Value)> {
    let built = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("devcluster/build.sh"))
        .stderr(Stdio::inherit())
        .output()
        .context("build the control plane with devcluster/build.sh")?;
    ensure!(built.status.success(), "devcluster/build.sh failed");
    // It ends when our end of the pipe closes, however the benchmark ends.
    let mut child = Command::new(String::from_utf8_lossy(&built.stdout).trim())
        .args(["up", "--nodes", &nodes.to_string()])
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start the control plane")?;
    let stdout = child.stdout.take().context("read what it says")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready = serde_json::from_str(&line).context("the control plane did not become ready")?;
    Ok((child, ready))
}
