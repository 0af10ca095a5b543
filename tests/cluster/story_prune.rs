//! What leaves git.

use serde_json::json;

use crate::{
    story_support::{Place, SOON, config, deployment},
    support::{AuditMark, audit_since, eventually},
};

/// Fails where a stored set went before the status said that it is not needed any more: a controller killed in
/// between would find a status that names a set which is gone.
async fn swept_after_the_status(place: &Place, mark: AuditMark) {
    let uid = place.get("shop").await["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let (uid, namespace) = (&uid, &place.namespace);
    eventually(SOON, "a stored set is swept", || async move {
        let mut last = "";
        let mut swept = 0;
        for entry in audit_since(mark) {
            match (entry.verb.as_str(), entry.resource.as_str()) {
                ("update", "applications/status") if entry.namespace == *namespace => {
                    last = "status";
                }
                ("create", "syncrecords") if entry.namespace == *namespace => last = "record",
                ("delete", "secrets") if entry.name.starts_with(uid.as_str()) => {
                    assert_eq!(last, "status", "{} went too early", entry.name);
                    swept += 1;
                }
                _ => {}
            }
        }
        (swept > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_git_is_deleted_after_the_soak_and_not_before() {
    let place = Place::new("prune").await;
    let names = ["a", "b", "c", "d", "e", "f"];
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("deploy/{name}.yaml"), config(name, "one")))
        .collect();
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let one = place.repository.commit(&changes);
    let mark = place.mark();
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    // The new set does not come up: nothing is deleted.
    let bad = place
        .push(
            "shop",
            &[
                ("deploy/a.yaml", None),
                (
                    "deploy/web.yaml",
                    Some(&deployment("web", "web:bad-image", 1)),
                ),
            ],
        )
        .await;
    place.until_returned("shop", &bad).await;
    assert!(place.admin.get(&place.config_path("a")).await.is_some());
    let two = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 1)))],
        )
        .await;
    place.until_good("shop", &two).await;
    place
        .until_object(&place.config_path("a"), "it is deleted", |live| {
            live.is_null()
        })
        .await;
    place
        .until("shop", "the prune is an attempt", |seen| {
            seen.attempt() == 4
        })
        .await;
    assert_eq!(
        place.story("shop").await,
        [
            "1 Sync Ready",
            "2 Sync Failed",
            "3 Sync Ready",
            "4 Prune Ready"
        ]
    );
    swept_after_the_status(&place, mark).await;

    // More than half of it: asked about first.
    let three = place
        .push(
            "shop",
            &[
                ("deploy/b.yaml", None),
                ("deploy/c.yaml", None),
                ("deploy/d.yaml", None),
                ("deploy/e.yaml", None),
            ],
        )
        .await;
    let seen = place
        .until("shop", "approval is asked for", |seen| {
            seen.is("PruneBlocked", "True")
        })
        .await;
    assert!(seen.is("Ready", "True") && seen.applied().contains(&three));
    let message = seen.message("PruneBlocked").to_owned();
    assert!(
        message.contains("4 of 6 objects") && message.contains("plimsoll approve shop "),
        "{message}"
    );
    assert!(place.admin.get(&place.config_path("b")).await.is_some());
    let hash = message.rsplit(' ').next().unwrap();
    let output = place.cli(&["approve", "shop", hash, "--reason", "meant"]);
    assert!(output.status.success(), "{output:?}");
    for name in ["b", "c", "d", "e"] {
        place
            .until_object(&place.config_path(name), "it is deleted", |live| {
                live.is_null()
            })
            .await;
    }
    place
        .until("shop", "nothing is blocked any more", |seen| {
            !seen.has("PruneBlocked") && seen.phase() == "Idle"
        })
        .await;
    assert!(place.admin.get(&place.config_path("f")).await.is_some());
    let records = place.records("shop").await;
    assert!(
        records
            .iter()
            .any(|record| record["command"]["verb"] == "approve")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_object_and_one_without_our_marks_stay() {
    let place = Place::new("protected").await;
    let protected = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {plimsoll.dev/protect: \"true\"}}\n";
    let one = place.repository.commit(&[
        ("deploy/kept.yaml", Some(protected)),
        ("deploy/taken.yaml", Some(&config("taken", "one"))),
        ("deploy/stays.yaml", Some(&config("stays", "one"))),
        ("deploy/goes.yaml", Some(&config("goes", "one"))),
    ]);
    place.application("shop", json!({"drift": "ignore"})).await;
    place.until_good("shop", &one).await;
    let other = json!({"metadata": {"labels": {"plimsoll.dev/application": "other"}}});
    place.patch(&place.config_path("taken"), &other).await;
    place
        .push(
            "shop",
            &[
                ("deploy/kept.yaml", None),
                ("deploy/taken.yaml", None),
                ("deploy/goes.yaml", None),
            ],
        )
        .await;
    place
        .until_object(&place.config_path("goes"), "the third is deleted", |live| {
            live.is_null()
        })
        .await;
    assert!(place.admin.get(&place.config_path("kept")).await.is_some());
    assert!(place.admin.get(&place.config_path("taken")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_prune_goes_on_without_asking_again_and_says_on_what_it_waits() {
    let place = Place::new("twice").await;
    let names = ["a", "b", "c", "d"];
    let files: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("deploy/{name}.yaml"), config(name, "one")))
        .collect();
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let one = place.repository.commit(&changes);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    // Admission keeps one from going, and a finalizer another.
    place
        .patch(
            &place.config_path("a"),
            &json!({"metadata": {"finalizers": ["example.org/wait"]}}),
        )
        .await;
    let policy = place.forbid_deletes("b").await;
    let mark = place.mark();
    let two = place
        .push(
            "shop",
            &[
                ("deploy/a.yaml", None),
                ("deploy/b.yaml", None),
                ("deploy/c.yaml", None),
            ],
        )
        .await;
    let seen = place
        .until("shop", "approval is asked for", |seen| {
            seen.is("PruneBlocked", "True")
        })
        .await;
    assert!(seen.applied().contains(&two));
    let message = seen.message("PruneBlocked").to_owned();
    assert!(message.contains("would delete 3 of"), "{message}");
    let output = place.cli(&["approve", "shop", message.rsplit(' ').next().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let seen = place
        .until("shop", "it says on what it waits", |seen| {
            seen.reason("PruneBlocked") == "PruneBlocked"
        })
        .await;
    let message = seen.message("PruneBlocked").to_owned();
    assert!(
        message.contains("still tracked")
            && message.contains("/a ")
            && message.contains("example.org/wait")
            && message.contains("/b"),
        "{message}"
    );
    assert!(seen.is("Ready", "True"));
    // A sync is not in its way.
    place.admin.delete(&policy).await;
    place
        .until_object(
            &place.config_path("b"),
            "the second pass deletes it without a new approval",
            serde_json::Value::is_null,
        )
        .await;
    place
        .patch(
            &place.config_path("a"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    place
        .until("shop", "nothing waits any more", |seen| {
            !seen.has("PruneBlocked") && seen.phase() == "Idle"
        })
        .await;
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "2 Sync Ready", "3 Prune Ready"]
    );
    let records = place.records("shop").await;
    let prune = records
        .iter()
        .find(|record| record["action"] == "Prune")
        .unwrap();
    assert_eq!(prune["changes"]["count"], 3, "{prune:#}");
    for name in ["a", "c"] {
        let times = place
            .written_since(mark)
            .iter()
            .filter(|write| **write == format!("delete configmaps/{name}"))
            .count();
        assert_eq!(times, 1, "{name} is deleted once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prune_the_books_stay_small_and_nothing_is_forgotten() {
    let place = Place::new("books").await;
    let file = |number: u32| format!("deploy/c{number}.yaml");
    let one = place.repository.commit(&[
        (&file(0), Some(&config("c0", "0"))),
        ("deploy/stays.yaml", Some(&config("stays", "0"))),
    ]);
    let commits = 19_u32;
    let spec = json!({"prune": {"enabled": false}, "health": {"soak": "0s"}});
    place.application("shop", spec).await;
    place.until_good("shop", &one).await;
    for number in 1..=commits {
        let commit = place
            .push(
                "shop",
                &[
                    (&file(number - 1), None),
                    (&file(number), Some(&config(&format!("c{number}"), "x"))),
                ],
            )
            .await;
        let seen = place.until_good("shop", &commit).await;
        let written = seen.0["status"]["written"].as_array().unwrap().len();
        assert!(
            written <= 16,
            "{written} sets are kept after {number} commits"
        );
    }
    let enabled =
        json!({"spec": {"prune": {"enabled": true, "maxObjects": 100, "maxPercent": 100}}});
    place.patch(&place.application_path("shop"), &enabled).await;
    place
        .push(
            "shop",
            &[("deploy/stays.yaml", Some(&config("stays", "1")))],
        )
        .await;
    let seen = place
        .until("shop", "approval is asked for", |seen| {
            seen.is("PruneBlocked", "True")
        })
        .await;
    // Never more than half without a person (law 4), and every one of them is known.
    let message = seen.message("PruneBlocked").to_owned();
    assert!(
        message.contains(&format!("would delete {commits} of")),
        "{message}"
    );
    let output = place.cli(&["approve", "shop", message.rsplit(' ').next().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    place
        .until_object(&place.config_path("c0"), "the oldest is deleted", |live| {
            live.is_null()
        })
        .await;
    place
        .until("shop", "the prune is done", |seen| {
            !seen.has("PruneBlocked") && seen.phase() == "Idle"
        })
        .await;
    let list = place
        .admin
        .get(&place.path("v1", "configmaps", ""))
        .await
        .unwrap();
    let marked = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["metadata"]["labels"]["plimsoll.dev/application"] == "shop")
        .count();
    assert_eq!(marked, 2);
}
