//! A person's `kubectl rollout` and an autoscaler's replicas are told apart from drift.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::story_support::{Film, Place, deployment};

/// As `kubectl rollout` does.
async fn kubectl(place: &Place, patch: Value) {
    place
        .admin
        .patch(&place.deployment_path("web"), "kubectl-rollout", &patch)
        .await;
}

fn is_rolled_out(live: &Value) -> bool {
    let status = &live["status"];
    live["metadata"]["generation"] == status["observedGeneration"]
        && status["updatedReplicas"] == 3
        && status["replicas"] == 3
        && status["availableReplicas"] == 3
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_restarts_pauses_and_undoes_a_rollout() {
    let place = Place::new("kubectl").await;
    let web = place.deployment_path("web");
    let one = place
        .repository
        .commit(&[("deploy/web.yaml", Some(&deployment("web", "web:1", 3)))]);
    place
        .application("shop", json!({"health": {"timeout": "20s"}}))
        .await;
    place.until_good("shop", &one).await;

    // restart: new pods of the same set, and no field of ours is touched.
    let mark = place.mark();
    let at = "2026-01-02T03:04:05Z";
    let restarted = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": at}}});
    kubectl(&place, json!({"spec": {"template": restarted}})).await;
    let live = place
        .until_object(&web, "the pods are restarted", |live| {
            live["metadata"]["generation"] == 2 && is_rolled_out(live)
        })
        .await;
    let annotations = &live["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["kubectl.kubernetes.io/restartedAt"], at);
    let seen = place
        .until("shop", "it is healthy", |seen| seen.is("Healthy", "True"))
        .await;
    assert!(seen.is("Ready", "True") && !seen.has("Drifted"));
    assert_eq!(place.written_since(mark), [""; 0]);

    // pause: our own rollout waits for the person, is not returned from, and goes on afterwards.
    kubectl(&place, json!({"spec": {"paused": true}})).await;
    let two = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 3)))],
        )
        .await;
    let seen = place
        .until("shop", "the deadline passes", |seen| {
            seen.phase() == "Failed"
        })
        .await;
    let message = seen.message("Ready");
    assert!(message.contains("somebody paused its rollout"), "{message}");
    assert_eq!(seen.0["status"]["failure"]["class"], "Environment");
    assert!(seen.0["status"]["quarantine"].is_null());
    assert!(seen.applied().contains(&two));
    kubectl(&place, json!({"spec": {"paused": null}})).await;
    place.until_good("shop", &two).await;

    // undo: another image than git's is drift, and the way back is ours.
    let mark = place.mark();
    let containers = json!([{"name": "web", "image": "web:1"}]);
    kubectl(
        &place,
        json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    )
    .await;
    place
        .until_object(&web, "git's image is given back", |live| {
            live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
                && is_rolled_out(live)
        })
        .await;
    assert!(!place.written_since(mark).is_empty());
    let story = place.story("shop").await;
    assert!(
        story.last().unwrap().contains("DriftRepair Ready"),
        "{story:?}"
    );
}

/// Pods of an older set that become ready say nothing of the one that is rolled out.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_a_person_undoes_is_not_taken_for_done() {
    let place = Place::new("undone").await;
    let web = place.deployment_path("web");
    let one = place
        .repository
        .commit(&[("deploy/web.yaml", Some(&deployment("web", "web:1", 3)))]);
    place
        .application("shop", json!({"health": {"timeout": "60s"}}))
        .await;
    place.until_good("shop", &one).await;
    let two = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:slow-6s", 3)),
            )],
        )
        .await;
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    let containers = json!([{"name": "web", "image": "web:1"}]);
    kubectl(
        &place,
        json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    )
    .await;
    place.until_good("shop", &two).await;
    let live = place.admin.get(&web).await.unwrap();
    let container = &live["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "web:slow-6s");
    assert!(is_rolled_out(&live), "{live:#}");
    // The repair is an attempt of its own, and comes before the set is said to be Ready.
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "3 DriftRepair Ready", "2 Sync Ready"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_autoscaler_set_is_left_to_it_in_rollouts_and_returns() {
    let place = Place::new("scaled").await;
    let web = place.deployment_path("web");
    // Git says two; without metrics the real autoscaler still keeps its least of three.
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 3, "maxReplicas": 5,
        },
    });
    let one = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 2))),
        ("deploy/scaler.yaml", Some(&scaler.to_string())),
    ]);
    place.application("shop", json!({})).await;
    place
        .until_object(&web, "the autoscaler scales", |live| {
            live["spec"]["replicas"] == 3 && is_rolled_out(live)
        })
        .await;
    place.until_good("shop", &one).await;
    let deployments = Film::of::<Deployment>(&place).await;
    let two = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 2)))],
        )
        .await;
    place.until_good("shop", &two).await;
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
    place
        .until_object(&web, "the old image runs again", |live| {
            live["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
                && is_rolled_out(live)
        })
        .await;
    let frames = deployments.frames();
    assert!(
        frames.len() > 2
            && frames
                .iter()
                .all(|frame| frame.object["spec"]["replicas"] == 3)
    );
    assert_eq!(
        place.story("shop").await,
        ["1 Sync Ready", "2 Sync Ready", "3 Sync Failed"]
    );
    assert!(!place.until_returned("shop", &bad).await.has("Drifted"));
}
