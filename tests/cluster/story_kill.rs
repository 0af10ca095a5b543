//! A controller that is killed at any moment leaves nothing behind that the next one does not take up.
//!
//! Enters: a cluster of its own, for the controller of the other stories must not help out.
//! Leaves: the same end state, one record for each attempt, no object that nobody tracks.
//! Never: a moment chosen by hand: they are drawn, and the seed is printed.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    story_support::{Controller, Place, SOON, Stage, config, deployment},
    support::{eventually, second_devcluster},
};

/// Kills in each of the two stories.
const KILLS: u32 = 10;

/// Returns a moment below the limit.
fn moment_of(random: &mut fastrand::Rng, limit: Duration) -> Duration {
    limit.mul_f64(random.f64())
}

/// Ends a controller and starts the next. The Lease of the dead one is taken away, which otherwise takes 15 s.
async fn replace(stage: &Stage, place: &Place, old: Controller) -> Controller {
    old.kill();
    let lease = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll";
    if place.admin.get(lease).await.is_some() {
        place.admin.delete(lease).await;
    }
    let controller = Controller::start(&stage.kubeconfig, &[]);
    controller.until_leading().await;
    controller
}

/// Returns the objects of the place that carry our marks.
async fn marked(place: &Place) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (version, plural) in [("v1", "configmaps"), ("apps/v1", "deployments")] {
        let path = format!(
            "{}?labelSelector=plimsoll.dev/application",
            place.path(version, plural, "")
        );
        let list = place.admin.get(&path).await.unwrap();
        for object in list["items"].as_array().unwrap() {
            all.insert(format!(
                "{plural}/{}",
                object["metadata"]["name"].as_str().unwrap()
            ));
        }
    }
    all
}

/// Fails unless every attempt has exactly one record, in a whole chain.
async fn one_record_each(place: &Place) {
    eventually(SOON, "every attempt has its record", || async {
        let newest = place.get("shop").await["status"]["attempt"].as_u64()?;
        let mut attempts: Vec<u64> = place
            .records("shop")
            .await
            .iter()
            .filter_map(|record| record["attempt"].as_u64())
            .collect();
        // A repair while a set becomes Ready ends before its sync does.
        attempts.sort_unstable();
        (attempts == (1..=newest).collect::<Vec<u64>>()).then_some(())
    })
    .await;
}

fn files(image: &str, settings: &str, extra: &str) -> Vec<(String, Option<String>)> {
    vec![
        (
            "deploy/web.yaml".to_owned(),
            Some(deployment("web", image, 2)),
        ),
        (
            "deploy/settings.yaml".to_owned(),
            Some(config("settings", settings)),
        ),
        (format!("deploy/{extra}.yaml"), Some(config(extra, "extra"))),
    ]
}

async fn push(place: &Place, files: &[(String, Option<String>)]) -> String {
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_deref()))
        .collect();
    place.push("shop", &files).await
}

/// With a definition as an older release might have left it, an Application comes that is none.
async fn an_undecodable_one_is_said_and_the_others_go_on(place: &Place) {
    let loose = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]);
    let definition =
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/applications.plimsoll.dev";
    let (code, answer) = place
        .admin
        .send(
            Method::PATCH,
            definition,
            "application/json-patch+json",
            Some(&loose),
        )
        .await;
    assert_eq!(code, 200, "{answer}");
    let broken = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application", "metadata": {"name": "broken"},
        "spec": {"source": 7, "interval": "no duration"},
    });
    let collection = place.application_path("broken").replace("/broken", "");
    eventually(SOON, "the definition takes anything", || async {
        let (code, _) = place
            .admin
            .send(Method::POST, &collection, "application/json", Some(&broken))
            .await;
        (code == 201 || code == 409).then_some(())
    })
    .await;
    let notes = eventually(SOON, "an event says that it is not worked on", || async {
        let notes = place.events("broken", "InvalidSpec").await;
        (!notes.is_empty()).then_some(notes)
    })
    .await;
    assert!(
        notes[0].contains("spec.source") && notes[0].contains("spec.interval"),
        "{notes:?}"
    );
    let commit = push(place, &files("web:fixed", "while another is broken", "bad")).await;
    place.until_good("shop", &commit).await;
    assert!(place.get("broken").await["status"].is_null());
    let output = place.cli(&["get"]);
    let (shown, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && shown.contains("shop") && !shown.contains("broken"),
        "{output:?}"
    );
    assert!(
        said.contains(&format!("{}/broken is left out", place.namespace)),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a story is told in one go")]
async fn a_controller_killed_at_random_moments_loses_nothing() {
    let drawn = || RandomState::new().hash_one(());
    let seed = crate::story_model::setting("PLIMSOLL_SEED").unwrap_or_else(drawn);
    println!("seed of the moments: {seed} (PLIMSOLL_SEED)");
    let mut random = fastrand::Rng::with_seed(seed);
    let stage = Stage::set(second_devcluster()).await;
    let mut controller = Controller::start(&stage.kubeconfig, &[]);
    controller.until_leading().await;
    let place = Place::on(&stage, "kill").await;
    let base: Vec<(String, Option<String>)> = files("web:0", "0", "extra-0");
    let base: Vec<(&str, Option<&str>)> = base
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_deref()))
        .collect();
    let mut good = place.repository.commit(&base);
    place.application("shop", json!({})).await;
    place.until_good("shop", &good).await;

    for kill in 1..=KILLS {
        // A sync with an addition, a change and a prune.
        let mut changes = files(
            &format!("web:{kill}"),
            &kill.to_string(),
            &format!("extra-{kill}"),
        );
        changes.push((format!("deploy/extra-{}.yaml", kill - 1), None));
        good = push(&place, &changes).await;
        let moment = moment_of(&mut random, Duration::from_millis(2500));
        println!("sync {kill}: killed after {moment:?}");
        tokio::time::sleep(moment).await;
        controller = replace(&stage, &place, controller).await;
        place.until_good("shop", &good).await;
        let expected: BTreeSet<String> = [
            "configmaps/settings".to_owned(),
            format!("configmaps/extra-{kill}"),
            "deployments/web".to_owned(),
        ]
        .into();
        eventually(SOON, "what left git is gone and nothing else", || async {
            (marked(&place).await == expected).then_some(())
        })
        .await;
        one_record_each(&place).await;
    }

    let expected = marked(&place).await;
    for kill in 1..=KILLS {
        // A return, with an addition to remove and a change to take back.
        let bad = push(
            &place,
            &files(
                &format!("web-{kill}:bad-image"),
                &format!("bad {kill}"),
                "bad",
            ),
        )
        .await;
        let moment = moment_of(&mut random, Duration::from_millis(2000));
        println!("return {kill}: killed after {moment:?}");
        tokio::time::sleep(moment).await;
        controller = replace(&stage, &place, controller).await;
        let seen = place.until_returned("shop", &bad).await;
        assert!(seen.applied().contains(&good));
        eventually(SOON, "what the bad commit added is gone", || async {
            (marked(&place).await == expected).then_some(())
        })
        .await;
        let live = place
            .admin
            .get(&place.config_path("settings"))
            .await
            .unwrap();
        assert_eq!(live["data"]["key"], KILLS.to_string());
        let live: Value = place
            .admin
            .get(&place.deployment_path("web"))
            .await
            .unwrap();
        assert_eq!(
            live["spec"]["template"]["spec"]["containers"][0]["image"],
            format!("web:{KILLS}")
        );
        one_record_each(&place).await;
    }
    println!("records: {:?}", place.story("shop").await);

    // What was changed while no controller ran is given back by the next.
    let last = KILLS.to_string();
    controller.kill();
    place
        .patch(
            &place.config_path("settings"),
            &json!({"data": {"key": "theirs"}}),
        )
        .await;
    controller = replace(&stage, &place, controller).await;
    place
        .until_object(&place.config_path("settings"), "it is given back", |live| {
            live["data"]["key"] == last
        })
        .await;

    // A clean stop releases the Lease, and a second process takes over at once.
    let second = Controller::start(&stage.kubeconfig, &["--identity", "second"]);
    second.until_logged(&["starting"]).await;
    controller.terminate();
    let status = eventually(Duration::from_secs(10), "it ends by itself", || async {
        controller.ended()
    })
    .await;
    assert!(status.success(), "{status}");
    second.until_leading().await;
    let fix = push(&place, &files("web:fixed", "fixed", "bad")).await;
    place.until_good("shop", &fix).await;
    one_record_each(&place).await;
    let newest = place.records("shop").await.pop().unwrap();
    assert_eq!(newest["controller"]["identity"], "second");
    for line in controller.logged().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let (code, text) = second.ask("/metrics").await;
    assert_eq!(code, 200);
    for series in [
        "plimsoll_application_ready{",
        "plimsoll_sync_total{",
        "plimsoll_ledger_entries_total",
        "plimsoll_stage_duration_seconds_bucket{",
        "plimsoll_commit_to_ready_seconds_count",
        "plimsoll_reconcile_total",
        "plimsoll_queue_depth",
        "plimsoll_leader 1",
        "plimsoll_build_info{",
    ] {
        assert!(text.contains(series), "{series} is missing in\n{text}");
    }
    an_undecodable_one_is_said_and_the_others_go_on(&place).await;
    assert_eq!(second.ask("/healthz").await.0, 200);
    assert_eq!(second.ask("/readyz").await.0, 200);
}
