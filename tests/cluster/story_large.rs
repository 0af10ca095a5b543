//! An Application of very many objects: applied, a hundredth changed, pruned; requests counted, memory measured.
//!
//! Enters: 1,000 objects, or 10,000 where `PLIMSOLL_SOAK_SECONDS` asks for a long run.
//! Leaves: figures in the output; verdicts from the audit log and from /proc.
//! Never: a time asserted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    story_model::setting,
    story_points::{Bench, marked},
    story_support::{CONTROLLER, Place, Seen},
    support::{AuditEntry, AuditMark, audit_since_of},
};

/// Objects in one file.
const FILE: usize = 100;
/// Most memory of the controller, in MiB, however many the objects.
const MEMORY: u64 = 300;
/// Requests beside those for each changed object.
const CONSTANT: usize = 60;
/// Longest wait for one phase.
const LONG: Duration = Duration::from_secs(1800);

/// One file of ConfigMaps of about half a KiB; `changed` is the version of the first.
fn file(number: usize, changed: u32) -> String {
    let object = |at: usize| {
        let name = number * FILE + at;
        let version = if at == 0 { changed } else { 0 };
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: item-{name:05}\n  labels: {{app: large, part: p{number}}}\ndata:\n  version: \"{version}\"\n  text: {}\n",
            "large ".repeat(60)
        )
    };
    (0..FILE).map(object).collect::<Vec<_>>().join("---\n")
}

/// Waits until this commit is good, or longer than other stories do.
async fn until_good(place: &Place, commit: &str) -> Seen {
    let began = Instant::now();
    loop {
        let seen = Seen(place.get("large").await);
        let good = seen.phase() == "Idle"
            && seen.is("Ready", "True")
            && seen.text("/status/lastKnownGood/revision").contains(commit);
        if good {
            return seen;
        }
        assert!(
            !seen.has("Stalled") && began.elapsed() < LONG,
            "{:#}",
            seen.0["status"]
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Counts what the controller asked for this place by verb, its own books included; watches and the lease are not.
fn counted(bench: &Bench, place: &Place, mark: AuditMark) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let asked = audit_since_of(bench.stage.cluster, mark);
    let of_it = |entry: &&AuditEntry| {
        entry.user == CONTROLLER
            && entry.verb != "watch"
            && entry.resource != "leases"
            && [place.namespace.as_str(), "plimsoll-system"].contains(&entry.namespace.as_str())
    };
    for entry in asked.iter().filter(of_it) {
        let word = if entry.uri.contains("dryRun=") {
            "dry-run".to_owned()
        } else {
            format!("{} {}", entry.verb, entry.resource)
        };
        *counts.entry(word).or_default() += 1;
    }
    counts
}

fn total(counts: &BTreeMap<String, usize>) -> usize {
    counts.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_objects_are_applied_changed_and_pruned_in_bounds() {
    let objects = if setting("PLIMSOLL_SOAK_SECONDS").is_some() {
        10_000
    } else {
        1_000
    };
    let files = objects / FILE;
    let bench = Bench::set("large").await;
    let place = Place::on(&bench.stage, "large").await;
    let names: Vec<String> = (0..files)
        .map(|at| format!("deploy/{at:03}.yaml"))
        .collect();
    let commit = |changed: u32, gone: usize| {
        let texts: Vec<String> = (0..files).map(|at| file(at, changed)).collect();
        let changes: Vec<(&str, Option<&str>)> = names
            .iter()
            .zip(&texts)
            .enumerate()
            .map(|(at, (name, text))| (name.as_str(), (at >= gone).then_some(text.as_str())))
            .collect();
        place.repository.commit(&changes)
    };
    let phase = |what: &str, began: Instant, mark: AuditMark| {
        let counts = counted(&bench, &place, mark);
        println!(
            "{objects} objects {what}: {:.1} s, {} requests {counts:?}, at most {} MiB",
            began.elapsed().as_secs_f64(),
            total(&counts),
            bench.controller().peak_memory()
        );
        counts
    };

    let (began, mark) = (Instant::now(), place.mark());
    let one = commit(0, 0);
    let spec = json!({"health": {"soak": "1s", "timeout": "1h"}, "prune": {"maxPercent": 20}});
    place.application("large", spec).await;
    until_good(&place, &one).await;
    assert_eq!(marked(&place).await.len(), objects);
    let counts = phase("applied", began, mark);
    assert!(total(&counts) <= 2 * objects + CONSTANT, "{counts:?}");

    let (began, mark) = (Instant::now(), place.mark());
    let two = commit(1, 0);
    place.ask("large").await;
    until_good(&place, &two).await;
    let counts = phase("1 % changed", began, mark);
    let changed = objects / 100;
    assert_eq!(counts["dry-run"], changed, "{counts:?}");
    assert_eq!(counts["patch configmaps"], changed, "{counts:?}");
    assert!(total(&counts) <= 2 * changed + CONSTANT, "{counts:?}");

    let (began, mark) = (Instant::now(), place.mark());
    let three = commit(1, 1);
    place.ask("large").await;
    until_good(&place, &three).await;
    place
        .until("large", "what left git is gone", |seen| {
            seen.phase() == "Idle"
                && seen.0["status"]["written"]
                    .as_array()
                    .is_some_and(|all| all.len() == 1)
        })
        .await;
    assert_eq!(marked(&place).await.len(), objects - FILE);
    let counts = phase(&format!("{FILE} pruned"), began, mark);
    assert_eq!(counts["delete configmaps"], FILE, "{counts:?}");
    assert!(total(&counts) <= 3 * FILE + CONSTANT, "{counts:?}");

    let peak = bench.controller().peak_memory();
    assert!(peak < MEMORY, "{peak} MiB");
}
