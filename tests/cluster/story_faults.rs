//! What a broken way to the API server does: nothing is lost, nothing is written twice, nothing is believed gone.
//!
//! Enters: a controller behind a proxy that breaks requests on command.
//! Leaves: verdicts from the API server's audit log.
//! Never: a fault that is not seen to have happened: the proxy counts what it broke.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::{
    proxy::{Asked, Fate},
    story_points::{Bench, marked, one_record_each},
    story_support::{Place, SOON, config, deployment},
    support::{AuditEntry, eventually},
};

/// Writes of objects of the tenant that the API server carried out.
fn writes(entries: &[AuditEntry]) -> Vec<String> {
    let mut writes: Vec<String> = entries
        .iter()
        .filter(|entry| entry.is_write() && entry.impersonated.is_some())
        .map(|entry| format!("{} {}", entry.verb, entry.name))
        .collect();
    writes.sort();
    writes
}

type Fits = fn(&Asked) -> bool;

fn is_of_a_tenant(asked: &Asked) -> bool {
    asked.path.contains("/configmaps/") || asked.path.contains("/deployments/")
}

async fn good(bench: &Bench, prefix: &str) -> Place {
    let place = Place::on(&bench.stage, prefix).await;
    let commit = place.repository.commit(&[
        ("deploy/a.yaml", Some(&config("a", "0"))),
        ("deploy/b.yaml", Some(&config("b", "0"))),
        ("deploy/c.yaml", Some(&config("c", "0"))),
    ]);
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &commit).await;
    place
}

/// What breaks, how often, where and how.
fn cases() -> Vec<(&'static str, usize, Fits, Fate)> {
    let write = |asked: &Asked| asked.writes;
    let object = |asked: &Asked| asked.writes && is_of_a_tenant(asked);
    let question = |asked: &Asked| asked.is_dry_run();
    let status = |asked: &Asked| asked.path.ends_with("/status");
    let record = |asked: &Asked| asked.path.contains("/syncrecords") && asked.writes;
    let head = |asked: &Asked| asked.path.contains("/secrets") && asked.writes;
    let read = |asked: &Asked| asked.method == Method::GET && !asked.query.contains("watch=");
    let no = |code| Fate::Answer(code, Vec::new());
    let day = vec![("retry-after", "86400")];
    vec![
        ("dry-runs are dropped", 3, question, Fate::Drop),
        ("dry-runs are answered 500", 3, question, no(500)),
        ("dry-runs are answered 503", 3, question, no(503)),
        (
            "the first write is carried out and its answer lost",
            1,
            write,
            Fate::Lose,
        ),
        (
            "writes of objects are carried out and their answers lost",
            3,
            object,
            Fate::Lose,
        ),
        (
            "answers about objects come by half",
            3,
            object,
            Fate::Truncate,
        ),
        ("writes of objects are dropped", 3, object, Fate::Drop),
        ("writes of objects are answered 500", 3, object, no(500)),
        (
            "the head is stored and its answer lost",
            1,
            head,
            Fate::Lose,
        ),
        ("the head is not stored", 2, head, no(503)),
        ("the status conflicts", 2, status, no(409)),
        (
            "the status is written and the answer lost",
            2,
            status,
            Fate::Lose,
        ),
        (
            "the record is written and the answer lost",
            1,
            record,
            Fate::Lose,
        ),
        ("the record is not written", 2, record, no(500)),
        (
            "too many requests, come back in a day",
            4,
            write,
            Fate::Answer(429, day.clone()),
        ),
        (
            "too many questions, come back in a day",
            4,
            question,
            Fate::Answer(429, day),
        ),
        ("reads are answered 500", 4, read, no(500)),
        ("reads come by half", 4, read, Fate::Truncate),
        (
            "everything is slow",
            40,
            |_| true,
            Fate::Delay(Duration::from_millis(300)),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_the_set_arrives_once_and_is_recorded_once() {
    let bench = Bench::set("faults").await;
    let place = good(&bench, "faults").await;
    for (number, (what, count, fits, fate)) in cases().into_iter().enumerate() {
        let mark = place.mark();
        let began = std::time::Instant::now();
        bench.proxy.first(count, fits, fate);
        let value = (number + 1).to_string();
        let commit = place
            .push(
                "shop",
                &[
                    ("deploy/a.yaml", Some(&config("a", &value))),
                    ("deploy/b.yaml", Some(&config("b", &value))),
                ],
            )
            .await;
        place.until_good("shop", &commit).await;
        println!("{what}: good after {:.1?}", began.elapsed());
        let broken = bench.proxy.heal();
        assert!(broken > 0, "{what}: nothing was broken");
        for name in ["a", "b"] {
            let live = place.admin.get(&place.config_path(name)).await.unwrap();
            assert_eq!(live["data"]["key"], value, "{what}");
        }
        let writes = writes(&place.asked_since(mark));
        assert!(
            writes
                .iter()
                .all(|write| write == "patch a" || write == "patch b"),
            "{what}: {writes:?}"
        );
        one_record_each(&place).await;
    }
    assert_eq!(marked(&place).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_whole_deletes_nothing_and_is_begun_anew() {
    let mut bench = Bench::set("faults-lists").await;
    let place = good(&bench, "lists").await;
    let expected = marked(&place).await;
    let mark = place.mark();
    // Pages of one object, and every continue token is too old: the controller starts, and knows nothing.
    bench
        .restart_with(|asked| {
            if asked.is_list() && asked.query.contains("continue=") {
                Fate::Answer(410, Vec::new())
            } else if asked.is_list() {
                Fate::Pages(1)
            } else {
                Fate::Pass
            }
        })
        .await;
    let commit = place
        .push(
            "shop",
            &[
                ("deploy/c.yaml", None),
                ("deploy/a.yaml", Some(&config("a", "1"))),
            ],
        )
        .await;
    bench.until_broken(20).await;
    let nothing_deleted = || {
        let writes = writes(&place.asked_since(mark));
        assert!(writes.iter().all(|write| write == "patch a"), "{writes:?}");
    };
    nothing_deleted();
    // Lists that break in the middle.
    bench.proxy.rule(|asked| {
        if asked.is_list() {
            Fate::Truncate
        } else {
            Fate::Pass
        }
    });
    bench.until_broken(2).await;
    nothing_deleted();
    assert_eq!(marked(&place).await, expected);
    // Pages that pass.
    bench.proxy.rule(|asked| {
        if asked.is_list() {
            Fate::Pages(2)
        } else {
            Fate::Pass
        }
    });
    place.until_good("shop", &commit).await;
    eventually(SOON, "what left git is gone", || async {
        place
            .admin
            .get(&place.config_path("c"))
            .await
            .is_none()
            .then_some(())
    })
    .await;
    assert_eq!(writes(&place.asked_since(mark)), ["delete c", "patch a"]);
    one_record_each(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_that_is_answered_badly_deletes_once_and_never_by_guess() {
    let bench = Bench::set("faults-prune").await;
    let place = good(&bench, "prune").await;
    // What would be deleted cannot be read.
    let mark = place.mark();
    bench.proxy.rule(|asked| {
        if asked.method == Method::GET && asked.path.ends_with("/configmaps/c") {
            Fate::Answer(500, Vec::new())
        } else {
            Fate::Pass
        }
    });
    place.push("shop", &[("deploy/c.yaml", None)]).await;
    bench.until_broken(3).await;
    assert_eq!(writes(&place.asked_since(mark)), [""; 0]);
    // The delete is carried out and its answer lost.
    bench.proxy.heal();
    bench.proxy.first(
        1,
        |asked| asked.method == Method::DELETE && asked.path.ends_with("/configmaps/c"),
        Fate::Lose,
    );
    place
        .until_object(
            &place.config_path("c"),
            "it is deleted",
            serde_json::Value::is_null,
        )
        .await;
    place
        .until("shop", "the prune ended", |seen| {
            seen.phase() == "Idle" && seen.0["status"]["written"].as_array().unwrap().len() == 1
        })
        .await;
    assert_eq!(bench.proxy.heal(), 1);
    assert_eq!(writes(&place.asked_since(mark)), ["delete c"]);
    one_record_each(&place).await;
    let records = place.records("shop").await;
    assert_eq!(records.last().unwrap()["changes"]["count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_api_server_nothing_is_believed_gone() {
    let bench = Bench::set("faults-down").await;
    let place = good(&bench, "down").await;
    let mark = place.mark();
    bench.proxy.rule(|_| Fate::Drop);
    bench.until_broken(20).await;
    bench.proxy.rule(|_| Fate::Answer(503, Vec::new()));
    bench.until_broken(20).await;
    bench.proxy.heal();
    let commit = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 1)))],
        )
        .await;
    place.until_good("shop", &commit).await;
    assert_eq!(writes(&place.asked_since(mark)), ["patch web"]);
    one_record_each(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_behind_a_group_that_is_down_stops_only_what_needs_it() {
    let bench = Bench::set("faults-group").await;
    let place = good(&bench, "group").await;
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.broken.example.org"},
        "spec": {"group": "broken.example.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": place.namespace, "name": "nobody"}},
    });
    let collection = "/apis/apiregistration.k8s.io/v1/apiservices";
    place.admin.create(collection, &service).await;
    let mark = place.mark();
    let two = place
        .push(
            "shop",
            &[
                ("deploy/c.yaml", None),
                ("deploy/a.yaml", Some(&config("a", "1"))),
            ],
        )
        .await;
    place.until_good("shop", &two).await;
    place
        .until_object(
            &place.config_path("c"),
            "it is deleted",
            serde_json::Value::is_null,
        )
        .await;
    // A kind that may exist and cannot be asked about is no kind that is not there.
    let thing = "apiVersion: broken.example.org/v1\nkind: Thing\nmetadata: {name: thing}\n";
    place
        .push(
            "shop",
            &[("deploy/thing.yaml", Some(thing)), ("deploy/b.yaml", None)],
        )
        .await;
    bench
        .controller()
        .until_logged(&["broken.example.org", "does not answer"])
        .await;
    assert_eq!(writes(&place.asked_since(mark)), ["delete c", "patch a"]);
    place
        .admin
        .delete(&format!("{collection}/v1.broken.example.org"))
        .await;
    let three = place.push("shop", &[("deploy/thing.yaml", None)]).await;
    place.until_good("shop", &three).await;
    one_record_each(&place).await;
}
