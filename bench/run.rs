//! The parts, one after the other.
//!
//! Enters: sizes.
//! Leaves: figures to `report`.
//! Never: a part whose objects were not seen Ready.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use kube::api::{Api, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    arguments::{Arguments, Kind},
    audit::Counts,
    bare,
    fleet::{Fleet, NAMESPACE},
    process::{Used, Whole, used, whole},
    report::{Part, Report},
    workload::{self, Version},
};

/// Counts every look at an Application.
const RECONCILES: &str = "plimsoll_reconcile_total";

/// Measures everything.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let plimsoll = match &arguments.plimsoll {
        Some(path) => path.clone(),
        None => beside()?,
    };
    let temporary = tempfile::Builder::new()
        .prefix("plimsoll-bench-")
        .tempdir()?;
    let directory = match &arguments.keep {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            std::fs::canonicalize(directory)?
        }
        None => temporary.path().to_owned(),
    };
    let fleet = Fleet::start(&plimsoll, &directory, arguments).await?;
    let mut bench = Bench {
        report: Report::new(arguments, &fleet.version),
        fleet,
        arguments,
    };
    bench.fleet.initialise()?;
    bench.cold().await?;
    if arguments.wants(Kind::Idle) {
        bench.idle().await?;
    }
    if arguments.wants(Kind::One) {
        bench.update("update, one object of each", 2, 1).await?;
    }
    if arguments.wants(Kind::All) {
        bench.update("update, all objects", 3, 2).await?;
    }
    if arguments.wants(Kind::Monorepo) {
        bench.one_of_all().await?;
    }
    if arguments.wants(Kind::Drift) {
        bench.drift().await?;
    }
    if arguments.wants(Kind::BadImage) {
        bench.bad_image().await?;
    }
    if arguments.wants(Kind::Large) {
        bench.large().await?;
    }
    if arguments.wants(Kind::Pods) {
        bench.pods().await?;
    }
    if arguments.wants(Kind::BadInput) {
        bench.bad_input().await?;
    }
    if let Some(seconds) = arguments.soak {
        bench.soak(Duration::from_secs(seconds)).await?;
    }
    if arguments.wants(Kind::Start) {
        bench.restart().await?;
    }
    bench.report.finish(arguments)
}

/// The binary stands beside the directory of this example.
fn beside() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let binary = here
        .parent()
        .and_then(std::path::Path::parent)
        .context("find the build directory")?
        .join("plimsoll");
    ensure!(
        binary.exists(),
        "build {} first: make build",
        binary.display()
    );
    Ok(binary)
}

pub(crate) struct Bench<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) fleet: Fleet,
    pub(crate) report: Report,
}

/// What stood before a part.
pub(crate) struct Before {
    pub(crate) start: Instant,
    mark: u64,
    cpu: BTreeMap<String, f64>,
    whole: Whole,
}

impl Before {
    /// Counts a process from its start.
    pub(crate) fn forget(&mut self, name: &str) {
        self.cpu.remove(name);
    }
}

impl Bench<'_> {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.arguments.patience_seconds)
    }

    pub(crate) fn used(&self, name: &str) -> Used {
        self.fleet
            .processes
            .get(name)
            .map_or_else(Used::default, |pid| used(*pid))
    }

    /// Returns the CPU seconds of every process until now.
    fn cpu(&self) -> BTreeMap<String, f64> {
        let processes = self.fleet.processes.iter();
        processes
            .map(|(name, pid)| (name.clone(), used(*pid).cpu))
            .chain([("bench".to_owned(), used(std::process::id()).cpu)])
            .collect()
    }

    pub(crate) fn begin(&self) -> Result<Before> {
        Ok(Before {
            mark: self.fleet.audit.mark()?,
            cpu: self.cpu(),
            whole: whole(),
            start: Instant::now(),
        })
    }

    pub(crate) async fn end(&self, name: &str, before: Before) -> Result<Part> {
        let took = before.start.elapsed();
        let (cpu, whole) = (self.cpu(), whole());
        let (controller, server) = (self.used("controller"), self.used("kube-apiserver"));
        let busy = whole.busy - before.whole.busy;
        let idle = whole.idle - before.whole.idle;
        let requests: Counts = self.fleet.audit.since(before.mark).await?;
        let written = self.fleet.audit.last_write(before.mark)?;
        Ok(Part {
            name: name.to_owned(),
            seconds: took.as_secs_f64(),
            ready_median_seconds: None,
            written_seconds: written,
            bare_seconds: None,
            bare_settled_seconds: None,
            requests,
            cpu: cpu
                .into_iter()
                .map(|(name, seconds)| {
                    let until = before.cpu.get(&name).copied().unwrap_or_default();
                    (name, seconds - until)
                })
                .collect(),
            busy: busy / (busy + idle).max(f64::EPSILON),
            controller_memory: controller.resident,
            controller_peak: controller.peak,
            server_memory: server.resident,
            neighbours_seconds: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Half of the plain loop: it runs before and after, so that a machine that grows slower slows both.
    /// Returns the time of the loop alone, and until its Deployments were taken up.
    async fn bare(&self, half: usize, version: Version) -> Result<Option<(Duration, Duration)>> {
        if self.arguments.stub {
            return Ok(None);
        }
        let count = self.arguments.applications;
        let numbers = || (0..count).filter(move |number| number % 2 == half);
        let objects: Vec<Value> = numbers()
            .flat_map(|number| workload::objects(number, self.arguments.objects, version))
            .collect();
        // It applies all objects, changed or not: it knows nothing of what was before.
        let start = Instant::now();
        let client = &self.fleet.client;
        let applied = bare::apply_all(client, "bare", objects, self.arguments.connections).await?;
        let names = match self.arguments.objects {
            0..=2 => std::collections::BTreeSet::new(),
            _ => numbers().map(workload::name).collect(),
        };
        bare::settled(client, "bare", names, self.patience()).await?;
        Ok(Some((applied, start.elapsed())))
    }

    async fn commit_to_ready(&mut self, name: &str, version: Version) -> Result<()> {
        let count = self.arguments.applications;
        let first = self.bare(0, version).await?;
        let commit = self.fleet.commit()?;
        let looks = self.fleet.metric(RECONCILES).await?;
        let before = self.begin()?;
        self.fleet.push().await?;
        let moments = self
            .fleet
            .until_ready(&commit, count, self.patience())
            .await?;
        let mut part = self.end(name, before).await?;
        let looks = self.fleet.metric(RECONCILES).await? - looks;
        part.notes.push(format!("{looks} reconciles"));
        let at = |of: usize| moments.get(of).map(Duration::as_secs_f64);
        part.ready_median_seconds = at(count / 2);
        part.notes.push(format!(
            "the first Ready after {:.1} s, half after {:.1} s, nine of ten after {:.1} s",
            at(0).unwrap_or_default(),
            at(count / 2).unwrap_or_default(),
            at(count * 9 / 10).unwrap_or_default()
        ));
        let second = self.bare(1, version).await?;
        if let (Some(first), Some(second)) = (first, second) {
            part.bare_seconds = Some((first.0 + second.0).as_secs_f64());
            part.bare_settled_seconds = Some((first.1 + second.1).as_secs_f64());
        }
        self.report.add(part);
        Ok(())
    }

    async fn cold(&mut self) -> Result<()> {
        let count = self.arguments.applications;
        let version = Version {
            deployment: 1,
            all: 1,
        };
        // They exist and wait for a branch: what is measured begins with the commit.
        self.fleet.create(0..count).await?;
        self.fleet.until_quiet(self.patience()).await?;
        self.fleet.go_live()?;
        self.fleet
            .write(0..count, self.arguments.objects, version)?;
        self.commit_to_ready("cold sync, all objects new", version)
            .await
    }

    async fn update(&mut self, name: &str, deployment: u32, all: u32) -> Result<()> {
        let version = Version { deployment, all };
        self.fleet.write(
            0..self.arguments.applications,
            self.arguments.objects,
            version,
        )?;
        self.fleet.until_quiet(self.patience()).await?;
        self.commit_to_ready(name, version).await
    }

    async fn idle(&mut self) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        let before = self.begin()?;
        tokio::time::sleep(Duration::from_secs(self.arguments.idle_seconds)).await;
        let part = self.end("idle", before).await?;
        self.report.add(part);
        Ok(())
    }

    async fn one_of_all(&mut self) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        let version = Version {
            deployment: 9,
            all: 2,
        };
        self.fleet.write(1..2, self.arguments.objects, version)?;
        let renders = self
            .fleet
            .metric("plimsoll_stage_duration_seconds_count{stage=\"render\"")
            .await?;
        let commit = self.fleet.commit()?;
        let before = self.begin()?;
        self.fleet.push().await?;
        self.fleet.until_ready(&commit, 1, self.patience()).await?;
        let took = before.start.elapsed();
        // What it costs the others shows a little later.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut part = self
            .end("one commit that touches one Application", before)
            .await?;
        part.seconds = took.as_secs_f64();
        let rendered = self
            .fleet
            .metric("plimsoll_stage_duration_seconds_count{stage=\"render\"")
            .await?
            - renders;
        part.notes.push(format!("{rendered} rendered"));
        self.report.add(part);
        Ok(())
    }

    async fn drift(&mut self) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        let gvk = GroupVersionKind::gvk("", "v1", "Service");
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.fleet.client.clone(),
            NAMESPACE,
            &kube::api::ApiResource::from_gvk(&gvk),
        );
        let name = workload::name(0);
        let before = self.begin()?;
        let patch = json!({"spec": {"selector": {"app": "somebody-else"}}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        let deadline = Instant::now() + self.patience();
        while api.get(&name).await?.data["spec"]["selector"]["app"] != name.as_str() {
            ensure!(Instant::now() < deadline, "the drift was not repaired");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let took = before.start.elapsed();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut part = self.end("drift repaired", before).await?;
        part.seconds = took.as_secs_f64();
        self.report.add(part);
        Ok(())
    }

    async fn bad_image(&mut self) -> Result<()> {
        let number = self.arguments.applications;
        let with = |image: &str| {
            let mut objects = workload::objects(
                number,
                4,
                Version {
                    deployment: 1,
                    all: 1,
                },
            );
            objects[2]["spec"]["replicas"] = json!(2);
            objects[2]["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
            workload::text(&objects)
        };
        self.fleet.write_file(number, &with("web:1"))?;
        let commit = self.fleet.commit()?;
        self.fleet.create(std::iter::once(number)).await?;
        self.fleet.until_ready(&commit, 1, self.patience()).await?;
        self.until(number, |status| {
            status["lastKnownGood"]["revision"]
                .as_str()
                .is_some_and(|at| at.contains(&commit))
        })
        .await?;
        self.fleet.write_file(number, &with("web:bad-image"))?;
        self.fleet.commit()?;
        let before = self.begin()?;
        self.fleet.push().await?;
        self.until(number, |status| {
            status["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["reason"] == "Returned")
        })
        .await?;
        let part = self.end("bad image to last known good", before).await?;
        self.report.add(part);
        Ok(())
    }

    pub(crate) async fn until(&self, number: usize, is: impl Fn(&Value) -> bool) -> Result<()> {
        let deadline = Instant::now() + self.patience();
        loop {
            let status = serde_json::to_value(self.fleet.application(number).await?.status)?;
            if is(&status) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "waited in vain; the status is {status}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
