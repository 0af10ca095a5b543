//! The environment fails while a set becomes Ready: nothing is returned from.
//!
//! Enters: a cluster and a controller of its own, with one Application, whose API server and controllers are stopped and whose node is lost.
//! Leaves: the set that was rolled out, healthy when the cluster is.
//! Never: a return, a quarantine, a second attempt.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    story_support::{Controller, Place, SOON, Stage, deployment},
    support::{devcluster_of_its_own, eventually},
};

fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .unwrap();
    assert!(sent.success());
}

async fn push(place: &Place, image: &str, replicas: u32) -> String {
    place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", image, replicas)))],
        )
        .await
}

async fn soak(place: &Place, time: &str) {
    let path = place.application_path("shop");
    let spec = json!({"spec": {"health": {"soak": time}}});
    place.patch(&path, &spec).await;
}

/// Every record so far is of an attempt that became Ready.
async fn all_became_ready(place: &Place) {
    for record in place.records("shop").await {
        assert_eq!(record["result"], "Ready", "{record}");
    }
    assert!(place.get("shop").await["status"]["quarantine"].is_null());
}

/// The API server does not answer for longer than the deadline of the set.
async fn the_api_server_is_stopped(stage: &Stage, place: &Place) {
    let slow = push(place, "web:slow-6s", 2).await;
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    let pid = stage.cluster.processes["kube-apiserver"];
    let stopped = Instant::now();
    signal(pid, "STOP");
    // Time must pass, and nobody answers whom one could ask.
    eventually(SOON, "the outage lasted", || async {
        (stopped.elapsed() > Duration::from_secs(35)).then_some(())
    })
    .await;
    signal(pid, "CONT");
    place.until_good("shop", &slow).await;
    all_became_ready(place).await;
}

/// The controllers of Kubernetes do not look at what was written before the deadline of the set.
async fn the_controllers_of_kubernetes_are_stopped(stage: &Stage, place: &Place) {
    let pid = stage.cluster.processes["kube-controller-manager"];
    signal(pid, "STOP");
    let two = push(place, "web:2", 2).await;
    let seen = place
        .until("shop", "the deadline passes", |seen| {
            seen.phase() == "Failed"
        })
        .await;
    signal(pid, "CONT");
    assert!(seen.applied().contains(&two));
    assert_eq!(seen.0["status"]["failure"]["class"], "Environment");
    assert!(seen.0["status"]["quarantine"].is_null());
    place.until_good("shop", &two).await;
}

/// Good news is cut where a whole fleet has some; an Application alone tells each.
async fn good_news_is_told(place: &Place, commit: &str) {
    let told = async |reason: &str, what: &str| {
        eventually(SOON, reason, || async {
            let notes = place.events("shop", reason).await;
            notes.iter().any(|note| note.contains(what)).then_some(())
        })
        .await;
    };
    told("Healthy", commit).await;
    let path = place.deployment_path("web");
    place.patch(&path, &json!({"spec": {"replicas": 5}})).await;
    told("DriftRepaired", "replicas").await;
    place.until_good("shop", commit).await;
}

/// A node of the new revision is lost for longer than the deadline of the set.
async fn a_node_is_lost(place: &Place) {
    // It takes the cluster its time to find out; the set must not have proved itself before.
    soak(place, "90s").await;
    let three = push(place, "web:3", 3).await;
    place
        .until("shop", "it soaks", |seen| seen.phase() == "Soaking")
        .await;
    let pods = place
        .admin
        .get(&place.path("v1", "pods", ""))
        .await
        .unwrap();
    let node = pods["items"][0]["spec"]["nodeName"].as_str().unwrap();
    let path = format!("/api/v1/nodes/{node}");
    let lost = |label: Value, cordoned: bool| json!({"metadata": {"labels": {"devcluster.plimsoll.dev/lost": label}}, "spec": {"unschedulable": cordoned}});
    place.patch(&path, &lost(json!("yes"), true)).await;
    let seen = place
        .until("shop", "it says that the node is lost", |seen| {
            seen.message("Healthy").contains("does not answer")
        })
        .await;
    assert!(seen.message("Healthy").contains(node));
    let seen = place
        .until("shop", "the deadline passes", |seen| {
            seen.phase() == "Failed"
        })
        .await;
    assert!(seen.applied().contains(&three));
    assert_eq!(seen.0["status"]["failure"]["class"], "Environment");
    assert!(seen.0["status"]["quarantine"].is_null());
    soak(place, "1s").await;
    place.patch(&path, &lost(Value::Null, false)).await;
    place.until_good("shop", &three).await;
    let story = place.story("shop").await;
    assert!(
        !story.iter().any(|line| line.contains("Return")),
        "{story:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_a_lost_node_are_not_the_changes_fault() {
    let own = devcluster_of_its_own("outage");
    let stage = Stage::set(own.cluster()).await;
    let controller = Controller::start(&stage.kubeconfig, &[]);
    controller.until_leading().await;
    let place = Place::on(&stage, "outage").await;
    let one = place
        .repository
        .commit(&[("deploy/web.yaml", Some(&deployment("web", "web:1", 2)))]);
    let health = json!({"health": {"timeout": "20s", "soak": "1s"}});
    place.application("shop", health).await;
    place.until_good("shop", &one).await;
    good_news_is_told(&place, &one).await;
    the_api_server_is_stopped(&stage, &place).await;
    the_controllers_of_kubernetes_are_stopped(&stage, &place).await;
    a_node_is_lost(&place).await;
}
