//! The scenario table: what goes wrong, in which kind, what is said of it and what is done.
//!
//! Enters: a good set of each row, then a bad one, on a real control plane with simulated containers.
//! Leaves: a line for each row with measured times; docs/health-scenarios.md holds one run of it.
//! Never: a return for what the environment did.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use plimsoll::api::Application;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    scenario_rows::{Expect, Row, Stage, rows},
    story_support::{Place, shared},
    support::eventually,
};

/// No row takes longer; most take a few seconds.
const LONGEST: Duration = Duration::from_secs(150);
/// Rows that are set up at once: the rights of a tenant take the API server some work.
const AT_ONCE: usize = 8;

/// What a watch over all namespaces saw.
#[derive(Clone, Default)]
struct Reel(Arc<Mutex<BTreeMap<String, Vec<(Instant, Value)>>>>);

impl Reel {
    /// Watches one kind in the whole cluster until `watching` ends.
    async fn of<K>(client: kube::Client, watching: &mut JoinSet<()>) -> Self
    where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize
            + Send
            + 'static,
    {
        let reel = Self::default();
        let taken = reel.clone();
        let (listed, mut wait) = tokio::sync::mpsc::channel(1);
        watching.spawn(async move {
            let api: kube::Api<K> = kube::Api::all(client);
            let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()));
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
        wait.recv().await.unwrap();
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
    fn first(&self, place: &Place, since: Instant, is: impl Fn(&Value) -> bool) -> Option<(Instant, Value)> {
        let all = self.0.lock().unwrap();
        all.get(&place.namespace)?
            .iter()
            .find(|(at, value)| *at >= since && is(value))
            .cloned()
    }

    /// Waits until something is so.
    async fn until(&self, place: &Place, what: &str, since: Instant, is: impl Fn(&Value) -> bool) -> (Instant, Value) {
        let last = || {
            let all = self.0.lock().unwrap();
            let newest = all.get(&place.namespace).and_then(|frames| frames.last());
            newest.map_or(Value::Null, |(_, value)| value["status"].clone())
        };
        let found = tokio::time::timeout(
            LONGEST,
            eventually(LONGEST * 2, what, || async { self.first(place, since, &is) }),
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
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        let ended = status["lastState"]["terminated"]["exitCode"]
            .as_i64()
            .or(status["state"]["terminated"]["exitCode"].as_i64());
        !matches!(reason, "" | "ContainerCreating" | "PodInitializing") || ended.is_some_and(|code| code != 0)
    };
    let containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    let unplaced = pod["status"]["conditions"].as_array().is_some_and(|all| {
        all.iter().any(|condition| condition["reason"] == "Unschedulable")
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
        .until(&place, &format!("{}: the good set is good", row.name), start, |seen| {
            seen["status"]["phase"] == "Idle" && contains(&seen["status"]["lastKnownGood"]["revision"], &good)
        })
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
    let line = judge(&row, &place, &reels, &bad, &good, pushed).await;
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

async fn judge(row: &Row, place: &Place, reels: &Reels, bad: &str, good: &str, pushed: Instant) -> Line {
    let name = row.name;
    let wait = |what: &str| format!("{name}: {what}");
    let symptom = || {
        let first = reels.pods.first(place, pushed, is_unwell);
        first.map(|(at, _)| at.duration_since(pushed))
    };
    let line = |said: String, class: String, action, at: Instant, restored| {
        // What a pod said after the verdict is not what it was based on.
        let symptom = symptom().filter(|symptom| *symptom <= at.duration_since(pushed));
        Line {
            row: name,
            kind: row.kind,
            said,
            class,
            action,
            symptom,
            detected: at.duration_since(pushed) - symptom.unwrap_or_default(),
            restored,
        }
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let applications = &reels.applications;
    match &row.expect {
        Expect::Returns(reason) => {
            let (at, said) = applications
                .until(place, &wait("it is found out"), pushed, |seen| is_verdict(seen, bad))
                .await;
            let (whole, seen) = applications
                .until(place, &wait("it is returned from"), pushed, |seen| {
                    condition(seen, "Ready")["reason"] == "Returned"
                })
                .await;
            let failure = &seen["status"]["failure"];
            assert_eq!((failure["reason"].as_str(), failure["class"].as_str()), (Some(*reason), Some("Change")), "{name}: {failure}");
            assert!(contains(&seen["status"]["applied"]["revision"], good), "{name}");
            assert_eq!(condition(&seen, "Healthy")["status"], "True", "{name}");
            let _said = said;
            line(text(&failure["reason"]), text(&failure["class"]), "returned", at, Some(whole.duration_since(at)))
        }
        Expect::Stays(reason) => {
            let (at, seen) = applications
                .until(place, &wait("it is found out"), pushed, |seen| is_verdict(seen, bad))
                .await;
            let failure = &seen["status"]["failure"];
            assert_eq!((failure["reason"].as_str(), failure["class"].as_str()), (Some(*reason), Some("Environment")), "{name}: {failure}");
            assert_eq!(seen["status"]["phase"], "Failed", "{name}");
            assert!(contains(&seen["status"]["applied"]["revision"], bad), "{name}");
            assert!(seen["status"]["quarantine"].is_null(), "{name}");
            line(text(&failure["reason"]), text(&failure["class"]), "stays", at, None)
        }
        Expect::Ready { not_assessed } => {
            let (at, seen) = applications
                .until(place, &wait("it is Ready"), pushed, |seen| {
                    let phase = &seen["status"]["phase"];
                    assert!(!is_verdict(seen, bad), "{name}: {:#}", seen["status"]);
                    *phase == "Idle" && contains(&seen["status"]["lastKnownGood"]["revision"], bad)
                })
                .await;
            assert_eq!(seen["status"]["health"]["notAssessed"].as_u64(), Some(*not_assessed), "{name}");
            let said = if *not_assessed > 0 { "not assessed" } else { "Ready" };
            line(said.to_owned(), "-".to_owned(), "none", at, None)
        }
        Expect::Degrades => {
            let (at, seen) = applications
                .until(place, &wait("it is degraded"), pushed, |seen| {
                    condition(seen, "Ready")["reason"] == "Degraded"
                })
                .await;
            assert!(contains(&seen["status"]["applied"]["revision"], bad), "{name}");
            line("Degraded".to_owned(), "-".to_owned(), "said", at, None)
        }
        Expect::Refused(reason) => {
            let (at, seen) = applications
                .until(place, &wait("it is refused"), pushed, |seen| {
                    contains(&seen["status"]["held"]["revision"], bad) && condition(seen, "Stalled")["status"] == "True"
                })
                .await;
            let failure = &seen["status"]["held"]["failure"];
            assert_eq!(failure["reason"].as_str(), Some(*reason), "{name}: {failure}");
            line(text(&failure["reason"]), text(&failure["class"]), "refused", at, None)
        }
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_in_each_kind_is_judged_as_the_table_says() {
    let (stage, _) = shared().await;
    let client = crate::support::Admin::of(stage.cluster).await.client();
    let mut watching = JoinSet::new();
    let reels = Arc::new(Reels {
        applications: Reel::of::<Application>(client.clone(), &mut watching).await,
        pods: Reel::of::<Pod>(client, &mut watching).await,
    });
    let start = Instant::now();
    let setting_up = Arc::new(Semaphore::new(AT_ONCE));
    let rows = rows();
    let order: BTreeMap<&str, usize> = rows.iter().enumerate().map(|(place, row)| (row.name, place)).collect();
    assert!(rows.len() >= 40 && order.len() == rows.len());
    let mut playing = JoinSet::new();
    for row in rows {
        let (reels, setting_up, name) = (Arc::clone(&reels), Arc::clone(&setting_up), row.name);
        playing.spawn(async move { (name, tokio::spawn(play(row, reels, setting_up)).await) });
    }
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    while let Some(ended) = playing.join_next().await {
        match ended.unwrap() {
            (_, Ok(line)) => lines.push(line),
            (name, Err(error)) => failed.push((name, error.to_string())),
        }
    }
    lines.sort_by_key(|line| order[line.row]);
    println!("| what goes wrong | kind | said | class | action | first sign | said after | restored after |");
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
    let _all_written: Value = json!(lines.len());
}
