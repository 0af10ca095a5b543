//! What a person ends, and what a newer commit takes over from: in each phase, at the next object.
//!
//! Enters: attempts that would go on for long, behind a proxy that makes them slow.
//! Leaves: verdicts from the API server's audit log; how long it took, in the output.
//! Never: a time asserted: that it ended early is told by what was not written.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::json;

use crate::{
    proxy::{Asked, Fate},
    story_hooks::hook,
    story_points::Bench,
    story_support::{Place, SOON, Seen, config, deployment},
    support::{AuditMark, eventually},
};

/// Objects of a wave that takes long.
const MANY: usize = 200;

fn many(value: &str) -> String {
    (0..MANY)
        .map(|at| config(&format!("item-{at:03}"), value))
        .collect::<Vec<_>>()
        .join("---\n")
}

/// Writes of a place's objects that were carried out since.
fn writes(place: &Place, mark: AuditMark) -> usize {
    place.written_since(mark).len()
}

fn is_write_of_object(asked: &Asked) -> bool {
    asked.writes && asked.method == Method::PATCH && asked.path.contains("/configmaps/item-")
}

/// A stage of its own, on which an Application of many objects is good.
async fn many_that_are_good(name: &str) -> (Bench, Place, String) {
    let bench = Bench::set(name).await;
    let place = Place::on(&bench.stage, name).await;
    let good = place
        .repository
        .commit(&[("deploy/many.yaml", Some(&many("0")))]);
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &good).await;
    (bench, place, good)
}

/// Cancels what is under way and waits until it is ended.
async fn cancel(place: &Place, phase: &str) -> Seen {
    let began = Instant::now();
    let output = place.cli(&["cancel", "shop", "--reason", phase]);
    assert!(output.status.success(), "{output:?}");
    let seen = place
        .until("shop", "it is ended", |seen| {
            seen.phase() == "Failed" && seen.reason("Stalled") == "Cancelled"
        })
        .await;
    println!(
        "cancelled while {phase}: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let last = place.records("shop").await.pop().unwrap();
    assert_eq!(last["result"], "Cancelled", "{phase}: {last:#}");
    assert_eq!(last["attempt"], seen.attempt(), "{phase}");
    seen
}

/// Pushes a wave of many objects, each of them slow, until some are written; returns the mark before it and the commit.
async fn a_slow_wave(bench: &Bench, place: &Place) -> (AuditMark, String) {
    bench.proxy.rule(|asked| {
        if is_write_of_object(asked) {
            Fate::Delay(Duration::from_millis(500))
        } else {
            Fate::Pass
        }
    });
    let mark = place.mark();
    let commit = place
        .push("shop", &[("deploy/many.yaml", Some(&many("1")))])
        .await;
    eventually(SOON, "some are written", || async {
        (writes(place, mark) >= 16).then_some(())
    })
    .await;
    (mark, commit)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_ended_in_each_phase_at_the_next_object() {
    let bench = Bench::set("cancel").await;
    let place = Place::on(&bench.stage, "cancel").await;
    let good = place.repository.commit(&[
        ("deploy/many.yaml", Some(&many("0"))),
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 1))),
    ]);
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &good).await;

    // Applying: one wave of many objects, each of them slow.
    let (mark, _) = a_slow_wave(&bench, &place).await;
    let seen = cancel(&place, "applying").await;
    let written = writes(&place, mark);
    assert!(written < MANY, "all {written} were written");
    assert!(seen.applied().contains(&good), "{:#}", seen.0["status"]);
    // It stays ended until somebody says otherwise; then only what is left is written.
    let mark = place.mark();
    let output = place.cli(&["sync", "shop"]);
    assert!(output.status.success(), "{output:?}");
    bench.proxy.heal();
    place
        .until("shop", "it arrives", |seen| {
            seen.phase() == "Idle" && seen.is("Ready", "True")
        })
        .await;
    let rest = writes(&place, mark);
    assert_eq!(written + rest, MANY, "{written}, then {rest}");

    // Waiting for a hook that does not end.
    place
        .push(
            "shop",
            &[
                (
                    "deploy/before.yaml",
                    Some(&hook("before", "PreSync", "job:job-slow-600s")),
                ),
                ("deploy/more.yaml", Some(&config("more", "x"))),
            ],
        )
        .await;
    place
        .until("shop", "it waits for the hook", |seen| {
            seen.phase() == "Applying"
        })
        .await;
    cancel(&place, "waiting for a hook").await;

    // Watching.
    place
        .push(
            "shop",
            &[
                ("deploy/before.yaml", None),
                (
                    "deploy/web.yaml",
                    Some(&deployment("web", "web:never-ready", 1)),
                ),
            ],
        )
        .await;
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    cancel(&place, "watching").await;

    // Returning: what is restored cannot be written.
    let better = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 1)))],
        )
        .await;
    place.until_good("shop", &better).await;
    // The first write of the Deployment passes, and no further one.
    let written = AtomicUsize::new(0);
    bench.proxy.rule(move |asked| {
        let is_it = asked.writes && asked.path.ends_with("/deployments/web");
        if is_it && written.fetch_add(1, Ordering::Relaxed) > 0 {
            Fate::Answer(503, Vec::new())
        } else {
            Fate::Pass
        }
    });
    place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:bad-image", 1)),
            )],
        )
        .await;
    place
        .until("shop", "it is returned from", |seen| {
            seen.phase() == "Returning"
        })
        .await;
    cancel(&place, "returning").await;
    bench.proxy.heal();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_is_ended_and_what_is_left_goes_with_a_later_one() {
    let bench = Bench::set("cancel-prune").await;
    let place = Place::on(&bench.stage, "cancel").await;
    let names: Vec<String> = (0..40).map(|at| format!("item-{at:03}")).collect();
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("deploy/{name}.yaml"), config(name, "x")))
        .collect();
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let one = place.repository.commit(&changes);
    place
        .application(
            "shop",
            json!({"health": {"soak": "300ms"}, "prune": {"maxObjects": 20}}),
        )
        .await;
    place.until_good("shop", &one).await;
    bench.proxy.rule(|asked| {
        if asked.method == Method::DELETE && asked.path.contains("/configmaps/item-") {
            Fate::Delay(Duration::from_millis(700))
        } else {
            Fate::Pass
        }
    });
    let gone: Vec<(&str, Option<&str>)> = changes
        .iter()
        .take(15)
        .map(|(path, _)| (*path, None))
        .collect();
    let mark = place.mark();
    let deletes = || {
        let writes = place.written_since(mark);
        writes
            .iter()
            .filter(|write| write.starts_with("delete "))
            .count()
    };
    place.push("shop", &gone).await;
    eventually(SOON, "some are deleted", || async {
        (deletes() >= 2).then_some(())
    })
    .await;
    let output = place.cli(&["cancel", "shop", "--reason", "not now"]);
    assert!(output.status.success(), "{output:?}");
    place
        .until("shop", "it rests", |seen| seen.phase() == "Idle")
        .await;
    bench.proxy.heal();
    let records = place.records("shop").await;
    let prune = records
        .iter()
        .rfind(|record| record["action"] == "Prune")
        .unwrap();
    assert_eq!(prune["result"], "Cancelled", "{prune:#}");
    let early = deletes();
    assert!(early < 15, "all {early} were deleted");
    // A later sync takes the rest along.
    let two = place
        .push("shop", &[("deploy/more.yaml", Some(&config("more", "x")))])
        .await;
    place.until_good("shop", &two).await;
    place
        .until("shop", "nothing is left", |seen| {
            seen.phase() == "Idle"
                && seen.0["status"]["written"]
                    .as_array()
                    .is_some_and(|all| all.len() == 1)
        })
        .await;
    assert_eq!(deletes(), 15, "each was deleted once");
    crate::story_points::one_record_each(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_takes_over_at_the_next_object() {
    let (bench, place, _) = many_that_are_good("preempt").await;
    let (mark, superseded) = a_slow_wave(&bench, &place).await;
    // A person asks for nothing new: what is under way goes on where it was, and nothing is written twice.
    place.ask("shop").await;
    eventually(SOON, "more are written", || async {
        (writes(&place, mark) >= 48).then_some(())
    })
    .await;
    let written = place.written_since(mark);
    let mut once = written.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), written.len(), "an object was written twice");
    // A newer commit does not wait for the rest.
    let newest = place
        .push("shop", &[("deploy/many.yaml", Some(&many("2")))])
        .await;
    place
        .until("shop", "the newer set is under way", |seen| {
            seen.text("/status/target/revision").contains(&newest)
        })
        .await;
    bench.proxy.heal();
    place.until_good("shop", &newest).await;
    let records = place.records("shop").await;
    let old = records
        .iter()
        .find(|record| {
            record["source"]["revision"]
                .as_str()
                .is_some_and(|revision| revision.contains(&superseded))
        })
        .unwrap();
    assert_eq!(old["result"], "Superseded", "{old:#}");
    let changed = old["changes"]["count"].as_u64().unwrap();
    assert!(
        changed < MANY as u64,
        "all {changed} of the older set were written"
    );
    crate::story_points::one_record_each(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_only_planned_is_ended_and_stays_out() {
    let (mut bench, place, good) = many_that_are_good("planning").await;
    let records = place.records("shop").await.len();
    let questions = Arc::new(AtomicUsize::new(0));
    bench.proxy.rule({
        let (namespace, questions) = (place.namespace.clone(), questions.clone());
        move |asked| {
            if asked.is_dry_run() && asked.path.contains(&namespace) {
                questions.fetch_add(1, Ordering::Relaxed);
                Fate::Delay(Duration::from_secs(1))
            } else {
                Fate::Pass
            }
        }
    });
    let asked = || questions.load(Ordering::Relaxed);
    let mark = place.mark();
    let wanted = place
        .push("shop", &[("deploy/many.yaml", Some(&many("1")))])
        .await;
    eventually(SOON, "some are asked about", || async {
        (asked() >= 16).then_some(())
    })
    .await;
    // An annotation is news, and no reason to plan anew.
    place.ask("shop").await;
    let began = Instant::now();
    let output = place.cli(&["cancel", "shop", "--reason", "planning"]);
    assert!(output.status.success(), "{output:?}");
    let seen = place
        .until("shop", "it is ended", |seen| {
            seen.reason("Stalled") == "Cancelled"
        })
        .await;
    println!(
        "cancelled while planning: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert!(asked() < MANY, "all {} were asked about", asked());
    assert_eq!(seen.phase(), "Idle");
    assert!(seen.applied().contains(&good), "{:#}", seen.0["status"]);
    assert!(
        seen.text("/status/held/revision").contains(&wanted),
        "{:#}",
        seen.0["status"]
    );
    let told = place.records("shop").await;
    assert_eq!(told.len(), records + 1, "the command, and no attempt");
    assert_eq!(told[records]["command"]["verb"], "cancel", "{told:#?}");
    // Another life of the controller gives back what somebody changes, and leaves it out.
    bench.restart().await;
    let item = format!("/api/v1/namespaces/{}/configmaps/item-000", place.namespace);
    place
        .patch(&item, &json!({"data": {"key": "theirs"}}))
        .await;
    eventually(SOON, "what somebody changed is given back", || async {
        let item = place.admin.get(&item).await?;
        (item["data"]["key"] == "0").then_some(())
    })
    .await;
    let seen = Seen(place.get("shop").await);
    assert_eq!(
        seen.reason("Stalled"),
        "Cancelled",
        "{:#}",
        seen.0["status"]
    );
    assert_eq!(writes(&place, mark), 1, "what is given back");
    // A person takes it up again.
    let output = place.cli(&["sync", "shop"]);
    assert!(output.status.success(), "{output:?}");
    place.until_good("shop", &wanted).await;
    assert_eq!(writes(&place, mark), 1 + MANY);
    crate::story_points::one_record_each(&place).await;
}
