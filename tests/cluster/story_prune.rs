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
        message.contains("4 objects") && message.contains("plimsoll approve shop "),
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
