//! A person's return: pinned, held against newer revisions, and ended.

use serde_json::{Value, json};

use crate::story_points::Bench;
use crate::story_support::{Place, SOON, config, deployment};
use crate::support::eventually;

async fn two_good(place: &Place) -> (String, String) {
    let one = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 2))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    let two = place
        .push(
            "shop",
            &[
                ("deploy/web.yaml", Some(&deployment("web", "web:2", 2))),
                ("deploy/settings.yaml", Some(&config("settings", "two"))),
                ("deploy/extra.yaml", Some(&config("extra", "two"))),
            ],
        )
        .await;
    place.until_good("shop", &two).await;
    (one, two)
}

fn code(output: &std::process::Output) -> i32 {
    println!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.status.code().unwrap()
}

/// Takes a stored set away, as a sweep or an accident does.
async fn lose(place: &Place, attempt: u64) {
    let uid = place.get("shop").await["metadata"]["uid"].clone();
    let path = format!(
        "/api/v1/namespaces/plimsoll-system/secrets/{}-{attempt}",
        uid.as_str().unwrap()
    );
    place.admin.delete(&path).await;
}

async fn commands(place: &Place) -> Vec<Value> {
    let mut records = place.records("shop").await;
    records.retain(|record| record["command"].is_object());
    records
        .into_iter()
        .map(|record| record["command"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_goes_back_and_newer_revisions_wait() {
    let place = Place::new("rollback").await;
    let (one, two) = two_good(&place).await;

    let asked = place.cli(&["rollback", "shop", "--reason", "two is slow"]);
    assert_eq!(code(&asked), 0);
    let seen = place.until_good("shop", &one).await;
    assert!(seen.is("Paused", "True") && seen.reason("Paused") == "Pinned");
    let message = seen.message("Paused");
    assert!(
        message.contains(&one)
            && message.contains("two is slow")
            && message.contains("plimsoll rollback shop --end"),
        "{message}"
    );
    let live = place.admin.get(&place.config_path("settings")).await;
    assert_eq!(live.unwrap()["data"]["key"], "one");
    eventually(SOON, "what only the later set had is gone", || async {
        let extra = place.admin.get(&place.config_path("extra")).await;
        extra.is_none().then_some(())
    })
    .await;
    let records = place.records("shop").await;
    let went_back = records
        .iter()
        .find(|record| record["attempt"] == 3)
        .unwrap();
    let details = went_back["details"].as_str().unwrap();
    assert!(
        details.starts_with("rolled back by ") && details.ends_with(": two is slow"),
        "{details}"
    );
    assert_eq!(went_back["source"]["commit"]["subject"], "change");

    // A newer commit is seen and not acted on; what drifts is given back to the pinned set.
    let mark = place.mark();
    let three = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "three")))],
        )
        .await;
    place
        .until("shop", "the newer commit is seen", |seen| {
            seen.text("/status/revision").contains(&three)
        })
        .await;
    assert_eq!(place.written_since(mark), [""; 0]);
    // Not even one that cannot be rendered is an attempt now.
    let broken = place
        .push("shop", &[("deploy/bad.yaml", Some("kind: ["))])
        .await;
    place
        .patch(
            &place.config_path("settings"),
            &json!({"data": {"key": "theirs"}}),
        )
        .await;
    place
        .until_object(&place.config_path("settings"), "it is given back", |live| {
            live["data"]["key"] == "one"
        })
        .await;
    let seen = place
        .until("shop", "it is Ready", |seen| seen.is("Ready", "True"))
        .await;
    assert!(seen.applied().contains(&one) && !seen.has("Stalled"));

    // The end: git's newest is taken up, and says what is wrong with it.
    assert_eq!(
        code(&place.cli(&["resume", "shop", "--reason", "it is mended"])),
        0
    );
    place.until_held("shop", &broken, "RenderFailed").await;
    let four = place.push("shop", &[("deploy/bad.yaml", None)]).await;
    let seen = place.until_good("shop", &four).await;
    assert!(!seen.has("Paused"));
    assert_eq!(code(&place.cli(&["rollback", "shop", "--end"])), 5);
    let said = commands(&place).await;
    let verbs: Vec<&str> = said
        .iter()
        .map(|command| command["verb"].as_str().unwrap())
        .collect();
    assert_eq!(verbs, ["rollback", "unpin"]);
    assert_eq!(said[1]["reason"], "it is mended");
    assert!(said[0]["subject"].as_str().unwrap().starts_with("sha256:"));

    // By the number of a record, and a set that is kept needs no git.
    place.repository.hide(true);
    assert_eq!(code(&place.cli(&["rollback", "shop", "--to", "2"])), 0);
    place.until_good("shop", &two).await;
    place.repository.hide(false);
    assert_eq!(code(&place.cli(&["rollback", "shop", "--end"])), 0);
    place.until_good("shop", &four).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_lost_is_rendered_again_or_said_to_be_impossible() {
    let place = Place::new("lost").await;
    let (one, two) = two_good(&place).await;
    lose(&place, 1).await;
    let to = one.get(..7).unwrap();
    // Neither kept nor to be rendered: what runs goes on, and it is tried again.
    place.repository.hide(true);
    assert_eq!(code(&place.cli(&["rollback", "shop", "--to", to])), 0);
    let seen = place
        .until("shop", "it says why it waits", |seen| {
            !seen.text("/status/held/failure/reason").is_empty()
        })
        .await;
    println!("{}", seen.text("/status/held/failure/message"));
    place.repository.hide(false);
    let seen = place.until_good("shop", &one).await;
    assert_eq!(seen.0["status"]["held"], Value::Null);

    let pin = |subject: Value| {
        let mut pin = json!({"by": "system:admin", "at": crate::support::clock().wall.to_string(), "digest": null, "record": null, "ended": null});
        for (key, value) in subject.as_object().unwrap() {
            pin[key] = value.clone();
        }
        json!({"spec": {"commands": {"pin": pin}}})
    };
    let who = place.get("shop").await["spec"]["commands"]["pin"]["by"].clone();
    for (subject, words) in [
        (json!({"record": 99, "by": who}), "there is no record 99"),
        (
            json!({"digest": format!("sha256:{}", "0".repeat(64)), "by": who}),
            "no record says where it came from",
        ),
    ] {
        place
            .patch(&place.application_path("shop"), &pin(subject))
            .await;
        let seen = place
            .until("shop", words, |seen| seen.message("Ready").contains(words))
            .await;
        assert_eq!(seen.reason("Ready"), "RollbackImpossible");
        assert!(seen.applied().contains(&one));
    }
    assert_eq!(code(&place.cli(&["rollback", "shop", "--end"])), 0);
    place.until_good("shop", &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_set_is_not_rolled_back_to() {
    let place = Place::new("unpinnable").await;
    let (_, two) = two_good(&place).await;
    let bad = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:bad-image", 2)),
            )],
        )
        .await;
    place.until_returned("shop", &bad).await;
    let to = bad.get(..12).unwrap();
    assert_eq!(code(&place.cli(&["rollback", "shop", "--to", to])), 6);
    assert_eq!(code(&place.cli(&["rollback", "shop", "--to", "77"])), 5);
    assert!(place.get("shop").await["spec"]["commands"].is_null());
    let seen = place.until_returned("shop", &bad).await;
    assert!(seen.applied().contains(&two));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_points_elsewhere_is_not_ready_before_it_was_looked_at() {
    let place = Place::new("elsewhere").await;
    let (_, two) = two_good(&place).await;
    place
        .repository
        .commit(&[("other/settings.yaml", Some(&config("settings", "other")))]);
    place.repository.hide(true);
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"source": {"path": "other"}}}),
        )
        .await;
    let seen = place
        .until("shop", "it is not known whether it is Ready", |seen| {
            seen.is("Ready", "Unknown")
                && seen.0["status"]["observedGeneration"] == seen.0["metadata"]["generation"]
        })
        .await;
    assert!(seen.applied().contains(&two) && seen.is("Healthy", "True"));
    assert!(!seen.is("Fetched", "True"));
    place.repository.hide(false);
    place.ask("shop").await;
    place
        .until_object(
            &place.config_path("settings"),
            "the other path is applied",
            |live| live["data"]["key"] == "other",
        )
        .await;
    place
        .until("shop", "it is Ready", |seen| seen.is("Ready", "True"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_three_good_sets_are_kept_over_a_restart() {
    let mut bench = Bench::set("earlier").await;
    let place = Place::on(&bench.stage, "earlier").await;
    let mut commits = vec![
        place
            .repository
            .commit(&[("deploy/settings.yaml", Some(&config("settings", "0")))]),
    ];
    place
        .application("shop", json!({"health": {"soak": "100ms"}}))
        .await;
    place.until_good("shop", &commits[0]).await;
    for value in ["1", "2"] {
        let changed = config("settings", value);
        let commit = place
            .push("shop", &[("deploy/settings.yaml", Some(&changed))])
            .await;
        place.until_good("shop", &commit).await;
        commits.push(commit);
    }
    bench.restart().await;
    // The next good set makes the first the fourth, and the sweep that follows is another life's.
    let commit = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "3")))],
        )
        .await;
    place.until_good("shop", &commit).await;
    let uid = place.get("shop").await["metadata"]["uid"].clone();
    let uid = uid.as_str().unwrap();
    let stored = async |attempt: u64| {
        let path = format!("/api/v1/namespaces/plimsoll-system/secrets/{uid}-{attempt}");
        place.admin.get(&path).await.is_some()
    };
    eventually(SOON, "the fourth is let go", || async {
        (!stored(1).await).then_some(())
    })
    .await;
    assert!(stored(2).await && stored(3).await && stored(4).await);
    // What is kept needs no git.
    place.repository.hide(true);
    assert_eq!(code(&place.cli(&["rollback", "shop", "--to", "2"])), 0);
    place.until_good("shop", &commits[1]).await;
    place.repository.hide(false);
}
