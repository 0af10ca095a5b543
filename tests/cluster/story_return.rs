//! A bad commit in, the last known good out.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use serde_json::{Value, json};

use crate::{
    story_support::{Film, Place, SOON, config, deployment, median},
    support::eventually,
};

async fn good(place: &Place, image: &str, spec: Value) -> String {
    let commit = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", image, 4))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("shop", spec).await;
    place.until_good("shop", &commit).await;
    commit
}

fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["conditions"].as_array().is_some_and(|all| {
            all.iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        })
}

fn waits_for_its_image(pod: &Value) -> bool {
    let reason = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
    reason == "ErrImagePull" || reason == "ImagePullBackOff"
}

/// All replicas of the old image and nothing else, as the Deployment itself says.
fn is_whole(deployment: &Value, wanted: &str) -> bool {
    let status = &deployment["status"];
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] == wanted
        && deployment["metadata"]["generation"] == status["observedGeneration"]
        && status["updatedReplicas"] == 4
        && status["replicas"] == 4
        && status["availableReplicas"] == 4
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_is_returned_from_while_old_pods_serve() {
    let place = Place::new("image").await;
    let one = good(&place, "web:1", json!({})).await;
    let pods = Film::of::<Pod>(&place).await;
    let deployments = Film::of::<Deployment>(&place).await;
    let mut times = Vec::new();
    let mut bad = String::new();
    for run in 1..=5 {
        pods.cut();
        deployments.cut();
        let name = format!("web-{run}:bad-image");
        bad = place
            .push(
                "shop",
                &[("deploy/web.yaml", Some(&deployment("web", &name, 4)))],
            )
            .await;
        let seen = place.until_returned("shop", &bad).await;
        assert!(seen.is("Healthy", "True") && seen.is("Stalled", "True"));
        let message = seen.message("Ready");
        assert!(
            message.contains("ImageNotFound")
                && message.contains(&one)
                && message.contains(&bad)
                && message.contains("plimsoll release shop"),
            "{message}"
        );
        let time = eventually(SOON, "the old image is whole again", || async {
            let frames = deployments.frames();
            let failed = pods
                .frames()
                .into_iter()
                .find(|frame| image(&frame.object) == name && waits_for_its_image(&frame.object))?;
            let whole = frames
                .iter()
                .filter(|frame| frame.at > failed.at)
                .find(|frame| is_whole(&frame.object, "web:1"))?;
            Some(whole.at.duration_since(failed.at))
        })
        .await;
        times.push(time);
        let least = pods.least(|pod| image(pod) == "web:1" && is_ready(pod));
        println!("run {run}: at least {least} of 4 old pods ready");
        assert!(least >= 3, "{least}");
    }
    let median = median(
        "from the first failing pod to the old image available",
        &times,
    );
    assert!(median.as_secs() < 15, "{median:?}");

    let seen = place.until_returned("shop", &bad).await;
    let quarantine = seen.0["status"]["quarantine"].as_array().unwrap();
    assert_eq!(quarantine.len(), 5);
    assert_eq!(quarantine[4]["reason"], "ImageNotFound");
    assert!(quarantine[4]["retryAt"].is_string());
    let records = place.records("shop").await;
    assert_eq!(
        place.story("shop").await[1..],
        [
            "2 Sync Failed",
            "3 Sync Failed",
            "4 Sync Failed",
            "5 Sync Failed",
            "6 Sync Failed"
        ]
    );
    assert!(
        records[5]["ending"]["returned"]["revision"]
            .as_str()
            .unwrap()
            .contains(&one)
    );
    assert!(!place.events("shop", "Returned").await.is_empty());

    // The same digest is not tried again, whatever is asked.
    let mark = place.mark();
    place.push("shop", &[("README.md", Some("words\n"))]).await;
    place
        .until("shop", "the new revision is seen", |seen| {
            !seen.text("/status/revision").contains(&bad)
        })
        .await;
    assert_eq!(place.written_since(mark), [""; 0]);
    // A revert to what runs costs no write.
    let revert = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 4)))],
        )
        .await;
    let seen = place.until_good("shop", &revert).await;
    assert!(!seen.has("Stalled"));
    assert_eq!(place.written_since(mark), [""; 0]);
    // The fix.
    let fix = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 4)))],
        )
        .await;
    let seen = place.until_good("shop", &fix).await;
    assert_eq!(seen.attempt(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_and_a_pod_that_never_comes_up_are_returned_from() {
    let place = Place::new("crash").await;
    let one = good(&place, "web:1", json!({"health": {"timeout": "25s"}})).await;
    let crash = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:crash", 4)))],
        )
        .await;
    let seen = place.until_returned("shop", &crash).await;
    // A crash loop decides alone after a minute; here the deadline comes first, and the message says what it saw.
    assert!(
        seen.message("Ready").contains("exits with code 1"),
        "{}",
        seen.message("Ready")
    );
    assert!(seen.applied().contains(&one));
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"health": {"timeout": "20s"}}}),
        )
        .await;
    let never = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:never-ready", 4)),
            )],
        )
        .await;
    let seen = place.until_returned("shop", &never).await;
    assert!(
        seen.message("Ready").contains("HealthTimeout"),
        "{}",
        seen.message("Ready")
    );
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "2 Sync Failed", "3 Sync Failed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_install_that_fails_deletes_nothing_and_says_so() {
    let place = Place::new("install").await;
    place.repository.commit(&[
        (
            "deploy/web.yaml",
            Some(&deployment("web", "web:bad-image", 2)),
        ),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("shop", json!({})).await;
    let seen = place
        .until("shop", "it failed", |seen| seen.phase() == "Failed")
        .await;
    assert_eq!(seen.reason("Ready"), "ImageNotFound");
    assert!(seen.is("Stalled", "True") && seen.is("Healthy", "False"));
    eventually(
        SOON,
        "the event says that there is nothing to return to",
        || async {
            let notes = place.events("shop", "ImageNotFound").await;
            notes
                .iter()
                .any(|note| note.contains("no earlier good set"))
                .then_some(())
        },
    )
    .await;
    assert!(
        place
            .admin
            .get(&place.deployment_path("web"))
            .await
            .is_some()
    );
    assert!(
        place
            .admin
            .get(&place.config_path("settings"))
            .await
            .is_some()
    );
    let records = place.records("shop").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["result"], "Failed");
    assert_eq!(records[0]["details"], "NothingToReturnTo");
    let fix = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 2)))],
        )
        .await;
    place.until_good("shop", &fix).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_during_the_soak_is_returned_from_as_an_attempt_of_its_own() {
    let place = Place::new("soak").await;
    let one = good(&place, "web:1", json!({})).await;
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"health": {"soak": "90s", "timeout": "20s"}}}),
        )
        .await;
    let two = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:fail-after-15s", 4)),
            )],
        )
        .await;
    place
        .until("shop", "it soaks", |seen| seen.reason("Ready") == "Soaking")
        .await;
    let seen = place.until_returned("shop", &two).await;
    assert!(seen.applied().contains(&one));
    assert_eq!(seen.attempt(), 3);
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "2 Sync Ready", "3 Return Failed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_soak_is_said_and_not_returned_from() {
    let place = Place::new("degraded").await;
    good(&place, "web:1", json!({})).await;
    let two = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:fail-after-15s", 4)),
            )],
        )
        .await;
    place.until_good("shop", &two).await;
    let mark = place.mark();
    let seen = place
        .until("shop", "it is degraded", |seen| {
            seen.reason("Ready") == "Degraded"
        })
        .await;
    assert!(seen.is("Ready", "False") && seen.is("Healthy", "False"));
    assert!(seen.applied().contains(&two) && seen.attempt() == 2);
    assert_eq!(place.written_since(mark), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_gives_back_what_the_bad_commit_changed_added_and_left_out() {
    let place = Place::new("whole").await;
    let one = good(&place, "web:1", json!({})).await;
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"health": {"timeout": "20s"}}}),
        )
        .await;
    let secret = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"key": value}})
            .to_string()
    };
    let one = {
        let with_secret = place
            .push("shop", &[("deploy/key.yaml", Some(&secret("one")))])
            .await;
        place.until_good("shop", &with_secret).await;
        assert_ne!(with_secret, one);
        with_secret
    };
    let bad = place
        .push(
            "shop",
            &[
                (
                    "deploy/web.yaml",
                    Some(&deployment("web", "web:never-ready", 4)),
                ),
                ("deploy/settings.yaml", Some(&config("settings", "two"))),
                ("deploy/key.yaml", Some(&secret("two"))),
                ("deploy/extra.yaml", Some(&config("extra", "new"))),
                (
                    "deploy/added.yaml",
                    Some(&deployment("added", "added:1", 1)),
                ),
            ],
        )
        .await;
    place
        .until_object(
            &place.config_path("extra"),
            "the addition is there",
            |live| live["data"]["key"] == "new",
        )
        .await;
    // Lost while the bad commit was being tried.
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    place.admin.delete(&place.config_path("settings")).await;
    // The way back needs no git.
    place.repository.hide(true);
    let seen = place.until_returned("shop", &bad).await;
    assert!(seen.applied().contains(&one));
    let live = place
        .admin
        .get(&place.config_path("settings"))
        .await
        .unwrap();
    assert_eq!(live["data"]["key"], "one");
    let key = place.path("v1", "secrets", "key");
    let live = place.admin.get(&key).await.unwrap();
    assert_eq!(live["data"]["key"], "b25l", "the Secret is given back");
    assert!(place.admin.get(&place.config_path("extra")).await.is_none());
    assert!(
        place
            .admin
            .get(&place.deployment_path("added"))
            .await
            .is_none()
    );
    let live = place
        .admin
        .get(&place.deployment_path("web"))
        .await
        .unwrap();
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "web:1"
    );
    let records = place.records("shop").await;
    let deleted: Vec<&Value> = records[2]["changes"]["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["action"] == "delete")
        .collect();
    assert_eq!(deleted.len(), 2, "{}", records[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_takes_over_from_one_that_does_not_come_up() {
    let place = Place::new("newer").await;
    good(&place, "web:1", json!({})).await;
    place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:never-ready", 4)),
            )],
        )
        .await;
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    let three = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:3", 4)))],
        )
        .await;
    place.until_good("shop", &three).await;
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "2 Sync Superseded", "3 Sync Ready"]
    );
}

/// What a return needs is in the cluster: git and what opens it may be gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_needs_neither_git_nor_what_opens_it() {
    let place = Place::new("offline").await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git"},
        "stringData": {"username": "git", "password": "canary"},
    });
    place
        .admin
        .create(&place.path("v1", "secrets", ""), &secret)
        .await;
    let spec = json!({"source": {"credentialsRef": {"name": "git"}}, "health": {"timeout": "20s"}});
    let one = good(&place, "web:1", spec).await;
    let bad = place
        .push(
            "shop",
            &[
                (
                    "deploy/web.yaml",
                    Some(&deployment("web", "web:never-ready", 4)),
                ),
                ("deploy/settings.yaml", Some(&config("settings", "two"))),
            ],
        )
        .await;
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    place.repository.hide(true);
    place
        .admin
        .delete(&place.path("v1", "secrets", "git"))
        .await;
    let seen = place.until_returned("shop", &bad).await;
    assert!(seen.applied().contains(&one));
    let settings = place.admin.get(&place.config_path("settings")).await;
    assert_eq!(settings.unwrap()["data"]["key"], "one");
    let live = place.admin.get(&place.deployment_path("web")).await;
    assert!(is_whole(&live.unwrap(), "web:1"));
    assert_eq!(place.story("shop").await, ["1 Sync Ready", "2 Sync Failed"]);
    place.repository.hide(false);
}
