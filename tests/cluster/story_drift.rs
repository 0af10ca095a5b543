//! What others change in the cluster.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    story_support::{Place, config, deployment, median},
    support::eventually,
};

const GIVEN_BACK: Duration = Duration::from_secs(5);

async fn good(place: &Place, spec: Value) -> String {
    let commit = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 2))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("shop", spec).await;
    place.until_good("shop", &commit).await;
    commit
}

/// Waits until an object is so again; returns how long it took.
async fn given_back(place: &Place, path: &str, check: impl Fn(&Value) -> bool) -> Duration {
    let start = Instant::now();
    eventually(GIVEN_BACK, &format!("{path} is given back"), || async {
        let live = place.admin.get(path).await.unwrap_or(Value::Null);
        check(&live).then_some(())
    })
    .await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_changes_is_given_back_at_once() {
    let place = Place::new("drift").await;
    good(&place, json!({})).await;
    let web = place.deployment_path("web");
    let settings = place.config_path("settings");
    let mut times = Vec::new();

    place.patch(&web, &json!({"spec": {"replicas": 5}})).await;
    times.push(given_back(&place, &web, |live| live["spec"]["replicas"] == 2).await);

    let container = json!({"name": "web", "image": "other:1"});
    place
        .patch(
            &web,
            &json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
        )
        .await;
    times.push(
        given_back(&place, &web, |live| {
            live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"
        })
        .await,
    );

    place
        .patch(
            &settings,
            &json!({"data": {"key": null, "other": "theirs"}}),
        )
        .await;
    times.push(given_back(&place, &settings, |live| live["data"]["key"] == "one").await);
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(
        live["data"]["other"], "theirs",
        "a field that is not ours stays"
    );

    place
        .patch(
            &settings,
            &json!({"metadata": {"labels": {"plimsoll.dev/application": null}}}),
        )
        .await;
    times.push(
        given_back(&place, &settings, |live| {
            live["metadata"]["labels"]["plimsoll.dev/application"] == "shop"
        })
        .await,
    );

    place.admin.delete(&settings).await;
    times.push(given_back(&place, &settings, |live| live["data"]["key"] == "one").await);

    place.admin.delete(&web).await;
    times.push(given_back(&place, &web, |live| live["spec"]["replicas"] == 2).await);

    median("drift is given back after", &times);
    let seen = place
        .until("shop", "it is healthy again", |seen| {
            seen.phase() == "Idle" && seen.is("Healthy", "True") && seen.attempt() >= 7
        })
        .await;
    let story = place.story("shop").await;
    assert_eq!(
        story.len(),
        usize::try_from(seen.attempt()).unwrap(),
        "{story:?}"
    );
    assert!(
        story[1..]
            .iter()
            .all(|line| line.ends_with("DriftRepair Ready")),
        "{story:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_somebody_else_owned_first_is_reported_and_not_taken() {
    let place = Place::new("conflict").await;
    let settings = place.config_path("settings");
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "theirs", "more": "theirs"},
    });
    place.admin.apply(&settings, &theirs).await;
    let commit = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 2))),
        ("deploy/settings.yaml", Some(&config("settings", "ours"))),
    ]);
    let mark = place.mark();
    place.application("shop", json!({})).await;
    let seen = place.until_held("shop", &commit, "Conflict").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("ConfigMap/")
            && message.contains("settings")
            && message.contains(".data.key")
            && message.contains("test"),
        "{message}"
    );
    assert_eq!(place.written_since(mark), [""; 0]);
    assert!(
        place
            .admin
            .get(&place.deployment_path("web"))
            .await
            .is_none()
    );

    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"apply": {"conflicts": "yield"}}}),
        )
        .await;
    place.until_good("shop", &commit).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"]["key"], "theirs");
    assert_eq!(
        live["metadata"]["labels"]["plimsoll.dev/application"],
        "shop"
    );
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"apply": {"conflicts": "force"}}}),
        )
        .await;
    let three = place
        .push(
            "shop",
            &[(
                "deploy/settings.yaml",
                Some(&config("settings", "ours again")),
            )],
        )
        .await;
    place.until_good("shop", &three).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"]["key"], "ours again");
    assert_eq!(live["data"]["more"], "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_is_only_to_be_reported_stays_until_git_changes_it() {
    let place = Place::new("report").await;
    good(&place, json!({"drift": "report"})).await;
    let web = place.deployment_path("web");
    let mark = place.mark();
    place.patch(&web, &json!({"spec": {"replicas": 3}})).await;
    let seen = place
        .until("shop", "it is reported", |seen| seen.is("Drifted", "True"))
        .await;
    assert!(seen.is("Ready", "True"));
    assert!(
        seen.message("Drifted").contains("web") && seen.message("Drifted").contains("replicas"),
        "{}",
        seen.message("Drifted")
    );
    // Another change of git leaves it.
    let two = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "two")))],
        )
        .await;
    place.until_good("shop", &two).await;
    assert_eq!(place.admin.get(&web).await.unwrap()["spec"]["replicas"], 3);
    let written = place.written_since(mark);
    assert!(
        !written.iter().any(|write| write.contains("deployments")),
        "{written:?}"
    );
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"drift": "repair"}}),
        )
        .await;
    given_back(&place, &web, |live| live["spec"]["replicas"] == 2).await;
    place
        .until("shop", "nothing is reported any more", |seen| {
            !seen.has("Drifted")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignored_fields_are_neither_written_nor_given_back() {
    let place = Place::new("ignore").await;
    let ignore = json!({"apply": {"ignore": [{"target": {"kind": "Deployment", "name": "web"}, "fields": ["/spec/replicas"]}]}});
    good(&place, ignore).await;
    let web = place.deployment_path("web");
    let live = place.admin.get(&web).await.unwrap();
    assert_eq!(live["spec"]["replicas"], 1, "the server's own default");
    place.patch(&web, &json!({"spec": {"replicas": 4}})).await;
    // Something that is ours comes after it and is given back: by then the other was looked at too.
    let settings = place.config_path("settings");
    place
        .patch(&settings, &json!({"data": {"key": "theirs"}}))
        .await;
    given_back(&place, &settings, |live| live["data"]["key"] == "one").await;
    assert_eq!(place.admin.get(&web).await.unwrap()["spec"]["replicas"], 4);
}
