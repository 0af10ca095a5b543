//! The scenario table: what goes wrong, in which kind, what is said of it and what is done.
//!
//! Enters: a good set of each row, then a bad one, on a real control plane with simulated containers.
//! Leaves: a line for each row with measured times; docs/health-scenarios.md holds one run of it.
//! Never: a return for what the environment did.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    core::{ApiResource, DynamicObject},
    runtime::watcher::Event,
};
use plimsoll::api::Application;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    scenario_rows::{Expect, Row, Stage, definitions, rows},
    story_support::{Place, shared},
    support::{eventually, watch},
};

/// No row takes longer; most take a few seconds.
const LONGEST: Duration = Duration::from_secs(150);
/// Rows that are set up at once: the rights of a tenant take the API server some work.
const AT_ONCE: usize = 8;

/// What a watch over all namespaces saw.
#[derive(Clone, Default)]
struct Reel(Arc<Mutex<Frames>>);

/// What was seen in each namespace, in order, with the moment at which it came.
type Frames = BTreeMap<String, Vec<(Instant, Value)>>;

impl Reel {
    /// Watches one kind in the whole cluster until `watching` ends.
    async fn of<K>(client: kube::Client, watching: &mut JoinSet<()>) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let resource = ApiResource::erase::<K>(&());
        let reel = Self::default();
        let taken = reel.clone();
        let (listed, mut wait) = tokio::sync::mpsc::channel(1);
        watching.spawn(async move {
            // Read as it comes: an object of another test that means nothing to the type would stall a typed watch.
            let api: kube::Api<DynamicObject> = kube::Api::all_with(client, &resource);
            let mut events = std::pin::pin!(watch(api));
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => taken.take(&object),
                    Ok(Event::InitDone) => {
                        let _told = listed.send(()).await;
                    }
                    Ok(Event::Delete(_) | Event::Init) | Err(_) => {}
                }
            }
        });
        let listed = tokio::time::timeout(LONGEST, wait.recv()).await;
        listed.unwrap().unwrap();
        reel
    }

    fn take(&self, object: &impl serde::Serialize) {
        let value = serde_json::to_value(object).unwrap();
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
        let mut all = self.0.lock().unwrap();
        all.entry(namespace.to_owned())
            .or_default()
            .push((Instant::now(), value));
    }

    /// Returns when something was first so in a namespace, since a moment.
    fn first(
        &self,
        place: &Place,
        since: Instant,
        is: impl Fn(&Value) -> bool,
    ) -> Option<(Instant, Value)> {
        let all = self.0.lock().unwrap();
        all.get(&place.namespace)?
            .iter()
            .find(|(at, value)| *at >= since && is(value))
            .cloned()
    }

    /// Waits until something is so.
    async fn until(
        &self,
        place: &Place,
        what: &str,
        since: Instant,
        is: impl Fn(&Value) -> bool,
    ) -> (Instant, Value) {
        let last = || {
            let all = self.0.lock().unwrap();
            let newest = all.get(&place.namespace).and_then(|frames| frames.last());
            newest.map_or(Value::Null, |(_, value)| value["status"].clone())
        };
        let found = tokio::time::timeout(
            LONGEST,
            eventually(LONGEST * 2, what, || async {
                self.first(place, since, &is)
            }),
        );
        match found.await {
            Ok(found) => found,
            Err(_) => fail(&format!("{}: {what}\n{:#}", place.namespace, last())),
        }
    }
}

#[expect(clippy::panic, reason = "a row that does not come true fails the test")]
fn fail(why: &str) -> ! {
    panic!("not in {LONGEST:?}: {why}")
}

fn condition<'a>(application: &'a Value, kind: &str) -> &'a Value {
    let conditions = application["status"]["conditions"].as_array();
    conditions
        .and_then(|all| all.iter().find(|condition| condition["type"] == kind))
        .unwrap_or(&Value::Null)
}

fn contains(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|found| found.contains(text))
}

/// A pod says that something is wrong with it: the first moment at which anybody could know.
fn is_unwell(pod: &Value) -> bool {
    let waits = |status: &Value| {
        let reason = status["state"]["waiting"]["reason"]
            .as_str()
            .unwrap_or_default();
        let ended = status["lastState"]["terminated"]["exitCode"]
            .as_i64()
            .or(status["state"]["terminated"]["exitCode"].as_i64());
        !matches!(reason, "" | "ContainerCreating" | "PodInitializing")
            || ended.is_some_and(|code| code != 0)
    };
    let containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    let unplaced = pod["status"]["conditions"].as_array().is_some_and(|all| {
        all.iter()
            .any(|condition| condition["reason"] == "Unschedulable")
    });
    containers.into_iter().any(waits) || unplaced
}

/// What became of one row.
struct Line {
    row: &'static str,
    kind: &'static str,
    said: String,
    class: String,
    action: &'static str,
    /// From the commit to the first bad word of a pod.
    symptom: Option<Duration>,
    /// From there, or from the commit, to the verdict.
    detected: Duration,
    /// From the verdict to the last known good whole and Ready again.
    restored: Option<Duration>,
}

fn is_verdict(application: &Value, commit: &str) -> bool {
    let status = &application["status"];
    let decided = status["phase"] == "Returning" || status["phase"] == "Failed";
    decided && contains(&status["target"]["revision"], commit)
}

struct Reels {
    applications: Reel,
    pods: Reel,
}

async fn play(row: Row, reels: Arc<Reels>, setting_up: Arc<Semaphore>) -> Line {
    let permit = setting_up.acquire_owned().await.unwrap();
    let place = Place::new("row").await;
    for stage in &row.stages {
        if matches!(stage, Stage::ClusterAdmin) {
            place.bind_cluster_wide("deployer", "cluster-admin").await;
        }
    }
    let files = |set: &[(&str, String)]| -> Vec<(String, Option<String>)> {
        set.iter()
            .map(|(name, text)| (format!("deploy/{name}.yaml"), Some(text.clone())))
            .collect()
    };
    let good = commit(&place, &files(&row.good));
    place.application("shop", row.spec.clone()).await;
    let start = Instant::now();
    reels
        .applications
        .until(
            &place,
            &format!("{}: the good set is good", row.name),
            start,
            |seen| {
                seen["status"]["phase"] == "Idle"
                    && contains(&seen["status"]["lastKnownGood"]["revision"], &good)
            },
        )
        .await;
    for stage in &row.stages {
        stage.before(&place).await;
    }
    drop(permit);
    let mark = place.mark();
    let bad = commit(&place, &files(&row.bad));
    place.ask("shop").await;
    let pushed = Instant::now();
    for stage in &row.stages {
        stage.after(&place).await;
    }
    let case = Case {
        row: &row,
        place: &place,
        reels: &reels,
        bad: &bad,
        good: &good,
        pushed,
    };
    let line = match &row.expect {
        Expect::Returns(reason) => case.returns(reason).await,
        Expect::Stays(reason) => case.stays(reason, "Environment", "stays").await,
        Expect::Ready { not_assessed } => case.ready(*not_assessed..=*not_assessed).await,
        Expect::ReadyAtMost(not_assessed) => case.ready(0..=*not_assessed).await,
        Expect::Degrades => case.degrades().await,
        Expect::ReturnFails => case.return_fails().await,
        Expect::AsBefore(reason) => case.stays(reason, "PreExisting", "stays").await,
        Expect::Blocked(reason) => case.stays(reason, "Change", "stays, barrier").await,
        Expect::Refused(reason) => case.refused(reason).await,
    };
    if let Expect::Refused(_) = row.expect {
        assert_eq!(place.written_since(mark), [""; 0], "{}", row.name);
    }
    line
}

fn commit(place: &Place, files: &[(String, Option<String>)]) -> String {
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_deref()))
        .collect();
    place.repository.commit(&changes)
}

/// One row that is being judged.
struct Case<'a> {
    row: &'a Row,
    place: &'a Place,
    reels: &'a Reels,
    bad: &'a str,
    good: &'a str,
    pushed: Instant,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Case<'_> {
    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> (Instant, Value) {
        let what = format!("{}: {what}", self.row.name);
        let applications = &self.reels.applications;
        applications.until(self.place, &what, self.pushed, is).await
    }

    fn line(&self, said: String, class: String, action: &'static str, at: Instant) -> Line {
        let taken = at.duration_since(self.pushed);
        let first = self.reels.pods.first(self.place, self.pushed, is_unwell);
        // What a pod said after the verdict is not what it was based on.
        let symptom = first
            .map(|(at, _)| at.duration_since(self.pushed))
            .filter(|symptom| *symptom <= taken);
        Line {
            row: self.row.name,
            kind: self.row.kind,
            said,
            class,
            action,
            symptom,
            detected: taken.saturating_sub(symptom.unwrap_or_default()),
            restored: None,
        }
    }

    fn is_verdict(&self, seen: &Value) -> bool {
        is_verdict(seen, self.bad)
    }

    async fn returns(&self, reason: &str) -> Line {
        let name = self.row.name;
        let (at, _) = self
            .until("it is found out", |seen| self.is_verdict(seen))
            .await;
        let (whole, seen) = self
            .until("it is returned from", |seen| {
                condition(seen, "Ready")["reason"] == "Returned"
            })
            .await;
        let failure = &seen["status"]["failure"];
        assert_eq!(failure["reason"], reason, "{name}: {failure}");
        assert_eq!(failure["class"], "Change", "{name}: {failure}");
        assert!(
            contains(&seen["status"]["applied"]["revision"], self.good),
            "{name}"
        );
        assert_eq!(condition(&seen, "Healthy")["status"], "True", "{name}");
        let mut line = self.line(
            text(&failure["reason"]),
            text(&failure["class"]),
            "returned",
            at,
        );
        line.restored = Some(whole.duration_since(at));
        line
    }

    async fn stays(&self, reason: &str, class: &str, action: &'static str) -> Line {
        let name = self.row.name;
        let (at, seen) = self
            .until("it is found out", |seen| self.is_verdict(seen))
            .await;
        let failure = &seen["status"]["failure"];
        assert_eq!(failure["reason"], reason, "{name}: {failure}");
        assert_eq!(failure["class"], class, "{name}: {failure}");
        assert_eq!(seen["status"]["phase"], "Failed", "{name}");
        assert!(
            contains(&seen["status"]["applied"]["revision"], self.bad),
            "{name}"
        );
        assert_eq!(
            seen["status"]["quarantine"].is_array(),
            class == "Change",
            "{name}"
        );
        if class == "Change" {
            let message = text(&failure["message"]);
            assert!(
                message.contains("Job/") && message.contains("barrier"),
                "{message}"
            );
        }
        self.line(
            text(&failure["reason"]),
            text(&failure["class"]),
            action,
            at,
        )
    }

    async fn return_fails(&self) -> Line {
        let (at, seen) = self
            .until("the return failed", |seen| {
                condition(seen, "Ready")["reason"] == "ReturnFailed"
            })
            .await;
        let message = text(&condition(&seen, "Ready")["message"]);
        assert!(
            message.contains("the return to") && message.contains("held until"),
            "{message}"
        );
        assert!(contains(&seen["status"]["applied"]["revision"], self.good));
        let class = text(&seen["status"]["failure"]["class"]);
        self.line("ReturnFailed".to_owned(), class, "returned once, held", at)
    }

    async fn ready(&self, allowed: RangeInclusive<u64>) -> Line {
        let name = self.row.name;
        let (at, seen) = self
            .until("it is Ready", |seen| {
                self.is_verdict(seen)
                    || seen["status"]["phase"] == "Idle"
                        && contains(&seen["status"]["lastKnownGood"]["revision"], self.bad)
            })
            .await;
        assert!(!self.is_verdict(&seen), "{name}: {:#}", seen["status"]);
        let not_assessed = seen["status"]["health"]["notAssessed"].as_u64().unwrap();
        assert!(allowed.contains(&not_assessed), "{name}: {not_assessed}");
        let said = if not_assessed > 0 {
            "not assessed"
        } else {
            "Ready"
        };
        self.line(said.to_owned(), "-".to_owned(), "none", at)
    }

    async fn degrades(&self) -> Line {
        let (at, seen) = self
            .until("it is degraded", |seen| {
                condition(seen, "Ready")["reason"] == "Degraded"
            })
            .await;
        assert!(contains(&seen["status"]["applied"]["revision"], self.bad));
        self.line("Degraded".to_owned(), "-".to_owned(), "said", at)
    }

    async fn refused(&self, reason: &str) -> Line {
        let (at, seen) = self
            .until("it is refused", |seen| {
                contains(&seen["status"]["held"]["revision"], self.bad)
                    && condition(seen, "Stalled")["status"] == "True"
            })
            .await;
        let failure = &seen["status"]["held"]["failure"];
        assert_eq!(failure["reason"], reason, "{}: {failure}", self.row.name);
        self.line(
            text(&failure["reason"]),
            text(&failure["class"]),
            "refused",
            at,
        )
    }
}

/// The document holds one run of the rows, and what others make of the same rows.
#[test]
fn the_document_has_each_row_in_both_tables() {
    let page = include_str!("../../docs/health-scenarios.md");
    for row in rows() {
        let line = format!("| {} | {} |", row.name, row.kind);
        assert_eq!(page.matches(&line).count(), 2, "{line}");
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| format!("{:.1}", time.as_secs_f64()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_in_each_kind_is_judged_as_the_table_says() {
    let (stage, _) = shared().await;
    let admin = crate::support::Admin::of(stage.cluster).await;
    for definition in definitions() {
        admin.install_crd(&definition).await;
    }
    let client = admin.client();
    let mut watching = JoinSet::new();
    let reels = Arc::new(Reels {
        applications: Reel::of::<Application>(client.clone(), &mut watching).await,
        pods: Reel::of::<Pod>(client, &mut watching).await,
    });
    let start = Instant::now();
    let setting_up = Arc::new(Semaphore::new(AT_ONCE));
    let rows = rows();
    let order: BTreeMap<&str, usize> = rows
        .iter()
        .enumerate()
        .map(|(place, row)| (row.name, place))
        .collect();
    assert!(rows.len() >= 40 && order.len() == rows.len());
    let mut playing = JoinSet::new();
    let mut names = BTreeMap::new();
    for row in rows {
        let name = row.name;
        let task = playing.spawn(play(row, Arc::clone(&reels), Arc::clone(&setting_up)));
        names.insert(task.id(), name);
    }
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    while let Some(ended) = playing.join_next().await {
        match ended {
            Ok(line) => lines.push(line),
            Err(error) => failed.push((names[&error.id()], error.to_string())),
        }
    }
    lines.sort_by_key(|line| order[line.row]);
    println!(
        "| what goes wrong | kind | said | class | action | first sign | said after | restored after |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for line in &lines {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            line.row,
            line.kind,
            line.said,
            line.class,
            line.action,
            seconds(line.symptom),
            seconds(Some(line.detected)),
            seconds(line.restored)
        );
    }
    println!("{} rows in {:.0?}", lines.len(), start.elapsed());
    assert!(failed.is_empty(), "{failed:#?}");
}
