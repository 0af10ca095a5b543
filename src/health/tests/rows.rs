//! The failure table, row by row.
//!
//! Enters: pods in trouble.
//! Leaves: when each row decides, and whose fault it is.
//! Never: a row that decides earlier than it may.

use serde_json::json;

use super::*;
use crate::model::ObjectId;

/// Checks that a row waits until `decides` seconds and fails then; no figure means that it never does.
fn check(name: &str, mut bench: Bench, before: &str, decides: Option<u64>, after: &str) {
    let end = decides.unwrap_or(3_600);
    let mut last = None;
    for second in (0..=end).filter(|second| second % 5 == 0 || *second == end) {
        let assessment = bench.look(second);
        let health = assessment.objects.values().next().unwrap().clone();
        if decides == Some(second) {
            assert_eq!(short(&health), after, "{name} at {second} s: {health:?}");
        } else {
            assert_eq!(short(&health), before, "{name} at {second} s: {health:?}");
            if decides.is_some() {
                let next = assessment
                    .next_look
                    .expect("an open window asks for a look");
                assert!(
                    second + next.as_secs() <= end,
                    "{name}: looks in {next:?} at {second} s"
                );
            }
        }
        last = Some(health);
    }
    let last = last.unwrap();
    assert!(
        words(&last).starts_with("Deployment/shop/web: "),
        "{last:?}"
    );
    assert!(words(&last).len() <= 768, "{last:?}");
}

fn new(status: &Value) -> Bench {
    rollout(vec![broken("new-1", "rs2", status)])
}

/// The same with one new pod Ready beside it.
fn beside(status: &Value) -> Bench {
    rollout(vec![broken("new-1", "rs2", status), pod("new-2", "rs2")])
}

const NOT_FOUND: &str = "rpc error: code = NotFound desc = failed to resolve reference \"docker.io/library/web:v2\": docker.io/library/web:v2: not found";

#[test]
fn images() {
    let missing = "Failed ImageNotFound Change";
    check(
        "not found",
        new(&waiting("ErrImagePull", NOT_FOUND)),
        "",
        Some(0),
        missing,
    );
    check(
        "never pull",
        new(&waiting("ErrImageNeverPull", "")),
        "",
        Some(0),
        missing,
    );
    check(
        "unauthorized",
        new(&waiting(
            "ErrImagePull",
            "unexpected status from HEAD request: 401 Unauthorized",
        )),
        "",
        Some(0),
        "Failed ImagePullFailed Change",
    );
    check(
        "invalid name",
        new(&waiting("InvalidImageName", "invalid reference format")),
        "",
        Some(0),
        "Failed InvalidImageName Change",
    );
    check(
        "registry fails",
        new(&waiting(
            "ErrImagePull",
            "unexpected status: 503 Service Unavailable",
        )),
        "ImagePullFailed Environment?",
        Some(180),
        "Failed ImagePullFailed Environment",
    );
    check(
        "a back-off alone",
        new(&waiting(
            "ImagePullBackOff",
            "Back-off pulling image \"web:v2\"",
        )),
        "ImagePullFailed Environment?",
        Some(180),
        "Failed ImagePullFailed Environment",
    );
    check(
        "not found, others Ready",
        beside(&waiting("ErrImagePull", NOT_FOUND)),
        "ImageNotFound Change?",
        Some(180),
        missing,
    );
}

#[test]
fn an_init_container_counts() {
    let mut pod = broken("new-1", "rs2", &waiting("PodInitializing", ""));
    let mut init = waiting("ErrImagePull", NOT_FOUND);
    merge(
        &mut init,
        &json!({"name": "migrate", "image": "migrate:v2"}),
    );
    pod["status"]["initContainerStatuses"] = json!([init]);
    let health = rollout(vec![pod]).health(0);
    assert_eq!(short(&health), "Failed ImageNotFound Change");
    assert!(
        words(&health).starts_with(
            "Deployment/shop/web: pod new-1, container migrate: image migrate:v2: rpc error"
        ),
        "{health:?}"
    );
}

#[test]
fn the_first_telling_message_stays() {
    // Not to decide at once, one new pod is Ready.
    let mut bench = beside(&waiting("ErrImagePull", NOT_FOUND));
    bench.health(0);
    bench.pods[3] = broken(
        "new-1",
        "rs2",
        &waiting("ImagePullBackOff", "Back-off pulling image \"web:v2\""),
    );
    let health = bench.health(10);
    assert_eq!(short(&health), "ImageNotFound Change?");
    assert!(words(&health).contains("not found"), "{health:?}");
    // Words that tell more replace those that tell less.
    let mut bench = new(&waiting("ErrImagePull", "dial tcp: i/o timeout"));
    assert_eq!(short(&bench.health(0)), "ImagePullFailed Environment?");
    bench.pods[3] = broken("new-1", "rs2", &waiting("ErrImagePull", NOT_FOUND));
    assert_eq!(short(&bench.health(5)), "Failed ImageNotFound Change");
}

fn crash(restarts: u64) -> Value {
    json!({"restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "password=canary", "finishedAt": WALL}}})
}

#[test]
fn crashes() {
    let failed = "Failed CrashLoop Change";
    check(
        "crash loop",
        new(&crash(2)),
        "CrashLoop Change?",
        Some(60),
        failed,
    );
    check(
        "crash loop, others Ready",
        beside(&crash(2)),
        "CrashLoop Change?",
        Some(180),
        failed,
    );
    let health = new(&crash(2)).health(0);
    assert!(
        words(&health).contains("exits with code 1, restarted 2 times"),
        "{health:?}"
    );
    assert!(
        !words(&health).contains("canary"),
        "a container's own text is shown: {health:?}"
    );
}

#[test]
fn restarts_count_while_it_runs() {
    let running = |restarts: u64| {
        broken(
            "new-1",
            "rs2",
            &json!({"restartCount": restarts, "state": {"running": {}}}),
        )
    };
    let mut bench = rollout(vec![running(0)]);
    assert_eq!(short(&bench.health(0)), "Progressing");
    bench.pods[3] = running(3);
    assert_eq!(short(&bench.health(20)), "CrashLoop Change?");
    bench.pods[3] = running(4);
    assert_eq!(short(&bench.health(79)), "CrashLoop Change?");
    assert_eq!(short(&bench.health(80)), "Failed CrashLoop Change");
}

#[test]
fn a_container_that_stays_up_has_recovered() {
    let mut bench = rollout(vec![broken("new-1", "rs2", &crash(2))]);
    bench.health(0);
    bench.pods = vec![
        pod("new-1", "rs2"),
        pod("new-2", "rs2"),
        pod("new-3", "rs2"),
    ];
    bench.object = deployment();
    assert_eq!(short(&bench.health(40)), "Ready");
}

#[test]
fn a_start_that_cannot_work() {
    check(
        "command",
        new(&waiting(
            "RunContainerError",
            "failed to create containerd task: exec: \"serve\": executable file not found in $PATH",
        )),
        "ConfigError Change?",
        Some(30),
        "Failed ConfigError Change",
    );
    check(
        "no Secret",
        new(&waiting(
            "CreateContainerConfigError",
            "secret \"web\" not found",
        )),
        "ConfigError Change?",
        Some(30),
        "Failed ConfigError Change",
    );
    check(
        "cache is late",
        new(&waiting(
            "CreateContainerConfigError",
            "failed to sync secret cache: timed out waiting for the condition",
        )),
        "ConfigError Environment?",
        Some(180),
        "Failed ConfigError Environment",
    );
    check(
        "nobody knows",
        new(&waiting("CreateContainerError", "something new")),
        "Progressing",
        None,
        "",
    );
}

#[test]
fn kills_for_memory() {
    let killed = |times: u64| {
        broken(
            "new-1",
            "rs2",
            &json!({"restartCount": times, "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "containerID": format!("c{times}")}}}),
        )
    };
    let mut bench = rollout(vec![killed(1)]);
    assert_eq!(short(&bench.health(0)), "Progressing");
    // The same kill seen twice is one.
    assert_eq!(short(&bench.health(5)), "Progressing");
    bench.pods[3] = killed(2);
    let health = bench.health(10);
    assert_eq!(short(&health), "Failed OutOfMemory Change");
    assert!(words(&health).contains("limit of 64Mi"), "{health:?}");
}

#[test]
fn readiness_in_turns() {
    let ready = |ready: bool| {
        let status = if ready { "True" } else { "False" };
        with(
            pod("new-1", "rs2"),
            &json!({"status": {"conditions": [condition("Ready", status), condition("ContainersReady", status)]}}),
        )
    };
    let mut bench = rollout(vec![ready(true)]);
    let mut health = bench.health(0);
    for second in 1..=6 {
        assert_ne!(short(&health), "Failed Flapping Change");
        bench.pods[3] = ready(second % 2 == 0);
        health = bench.health(second * 20);
        if second == 5 {
            break;
        }
    }
    assert_eq!(short(&health), "Failed Flapping Change");
}

#[test]
fn a_lost_node_is_no_flapping() {
    let lost = |lost: bool| {
        let status = if lost { "False" } else { "True" };
        with(
            pod("new-1", "rs2"),
            &json!({"status": {"conditions": [condition("Ready", status), condition("ContainersReady", "True")]}}),
        )
    };
    let mut bench = rollout(vec![lost(false)]);
    for second in 0..20 {
        bench.pods[3] = lost(second % 2 == 0);
        let expected = if second % 2 == 0 {
            "NodeLost Environment?"
        } else {
            "Progressing"
        };
        assert_eq!(short(&bench.health(second * 5)), expected);
    }
}

fn refused(message: &str) -> Bench {
    let mut bench = new(&json!({}));
    bench.pods.truncate(3);
    bench.replica_sets[1]["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]);
    bench.object["status"]["updatedReplicas"] = json!(0);
    bench
}

#[test]
fn pods_that_cannot_be_created() {
    check(
        "admission",
        refused("pods \"web-1\" is forbidden: violates PodSecurity \"restricted:latest\": x"),
        "PodDenied Change?",
        Some(10),
        "Failed PodDenied Change",
    );
    check(
        "no account",
        refused("error looking up service account shop/web: serviceaccount \"web\" not found"),
        "PodDenied Change?",
        Some(30),
        "Failed PodDenied Change",
    );
    check(
        "webhook down",
        refused("Internal error occurred: failed calling webhook \"a.b\": connection refused"),
        "PodDenied Environment?",
        Some(180),
        "Failed PodDenied Environment",
    );
    let quota = "pods \"web-1\" is forbidden: exceeded quota: compute, requested: cpu=1";
    check(
        "quota that nothing frees",
        refused(quota),
        "QuotaExceeded Environment?",
        Some(60),
        "Failed QuotaExceeded Environment",
    );
    let mut frees = refused(quota);
    frees.object["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 1}});
    check(
        "quota that old pods free",
        frees,
        "QuotaExceeded Environment?",
        None,
        "",
    );
}

#[test]
fn placement() {
    let mut pod = broken("new-1", "rs2", &json!({}));
    pod["status"]["containerStatuses"] = json!([]);
    pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu."}]);
    let failed = "Failed Unschedulable Environment";
    let waits = "Unschedulable Environment?";
    check(
        "no node",
        rollout(vec![pod.clone()]),
        waits,
        Some(300),
        failed,
    );
    let mut grows = rollout(vec![pod.clone()]);
    grows.events =
        vec![json!({"reason": "TriggeredScaleUp", "involvedObject": {"uid": "uid-new-1"}})];
    check("a node comes", grows, waits, Some(900), failed);
    pod["status"]["conditions"][0]["reason"] = json!("SchedulingGated");
    check("gated", rollout(vec![pod]), "Progressing", None, "");
}

#[test]
fn volumes() {
    let mut pod = broken("new-1", "rs2", &waiting("ContainerCreating", ""));
    pod["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(condition("PodReadyToStartContainers", "False"));
    check(
        "nobody says why",
        rollout(vec![pod.clone()]),
        "MountFailed Environment?",
        Some(120),
        "Failed MountFailed Environment",
    );
    let event = |message: &str| json!({"reason": "FailedMount", "involvedObject": {"uid": "uid-new-1"}, "message": message});
    let mut missing = rollout(vec![pod.clone()]);
    missing.events = vec![event(
        "MountVolume.SetUp failed for volume \"config\" : configmap \"web\" not found",
    )];
    check(
        "no ConfigMap",
        missing,
        "MountFailed Change?",
        Some(120),
        "Failed MountFailed Change",
    );
    let mut driver = rollout(vec![pod]);
    driver.events = vec![event(
        "AttachVolume.Attach failed for volume \"pvc-1\" : rpc error: code = Internal",
    )];
    check(
        "driver",
        driver,
        "MountFailed Environment?",
        Some(120),
        "Failed MountFailed Environment",
    );
}

#[test]
fn a_displaced_pod_says_nothing() {
    for change in [
        json!({"metadata": {"deletionTimestamp": WALL}}),
        json!({"status": {"reason": "Evicted", "phase": "Failed"}}),
        json!({"status": {"reason": "OutOfcpu", "phase": "Failed"}}),
        json!({"status": {"phase": "Unknown"}}),
        json!({"status": {"conditions": [condition("DisruptionTarget", "True")]}}),
    ] {
        let pod = with(
            broken("new-1", "rs2", &waiting("ErrImagePull", NOT_FOUND)),
            &change,
        );
        check("displaced", rollout(vec![pod]), "Progressing", None, "");
    }
}

#[test]
fn old_pods_do_not_fail_a_rollout() {
    let mut bench = rollout(vec![pod("new-1", "rs2")]);
    bench.pods[0] = broken("old-1", "rs1", &crash(40));
    bench.pods[1] = broken("old-2", "rs1", &waiting("ErrImagePull", NOT_FOUND));
    check("old pods", bench, "Progressing", None, "");
}

#[test]
fn the_new_revision_is_found_without_templates() {
    let mut bench = new(&waiting("ErrImagePull", NOT_FOUND));
    for set in &mut bench.replica_sets {
        set["spec"].as_object_mut().unwrap().remove("template");
    }
    assert_eq!(short(&bench.health(0)), "Failed ImageNotFound Change");
    bench.replica_sets.pop();
    assert_eq!(short(&bench.health(1)), "Progressing");
}

#[test]
fn without_fail_fast_nothing_fails() {
    let mut bench = new(&waiting("ErrImagePull", NOT_FOUND));
    bench.rules = Rules::new(&HealthSpec {
        fail_fast: false,
        ..HealthSpec::default()
    })
    .unwrap();
    check("patient", bench, "ImageNotFound Change?", None, "");
}

#[test]
fn change_outweighs_environment_and_decided_outweighs_both() {
    let registry = waiting("ErrImagePull", "503 Service Unavailable");
    let mut bench = rollout(vec![
        broken("new-1", "rs2", &registry),
        broken(
            "new-2",
            "rs2",
            &waiting("CreateContainerConfigError", "secret \"a\" not found"),
        ),
    ]);
    assert_eq!(short(&bench.health(0)), "ConfigError Change?");
    assert_eq!(short(&bench.health(30)), "Failed ConfigError Change");
}

#[test]
fn a_deadline_of_the_deployment_has_the_class_of_its_pods() {
    let late = json!({"status": {"conditions": [{"type": "Progressing", "status": "False",
        "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet \"web-h2\" has timed out progressing."}]}});
    let mut bench = rollout(vec![broken(
        "new-1",
        "rs2",
        &json!({"state": {"running": {}}}),
    )]);
    merge(&mut bench.object, &late);
    assert_eq!(short(&bench.health(0)), "Failed ObjectFailed Change");
    let mut bench = new(&waiting("ErrImagePull", "503 Service Unavailable"));
    merge(&mut bench.object, &late);
    assert_eq!(short(&bench.health(0)), "Failed ObjectFailed Environment");
    // Pods that were not listed yet could be the environment's.
    bench.pods.clear();
    bench.sightings = Sightings::default();
    assert_eq!(short(&bench.health(0)), "Progressing");
}

#[test]
fn a_stuck_ordered_pod_is_named() {
    let mut bench = super::kinds::stateful_set();
    bench.object["status"]["updatedReplicas"] = json!(0);
    bench.object["status"]["readyReplicas"] = json!(2);
    bench.pods = vec![with(
        broken("web-2", "s1", &waiting("ErrImagePull", NOT_FOUND)),
        &json!({"metadata": {"labels": {"controller-revision-hash": "web-old"}}}),
    )];
    let assessment = bench.look(0);
    let stuck = &assessment.stuck[0];
    assert_eq!(
        (stuck.pod.as_str(), stuck.uid.as_str()),
        ("web-2", "uid-web-2")
    );
    assert_eq!(
        stuck.owner,
        ObjectId::new("apps", "StatefulSet", "shop", "web")
    );
    assert!(stuck.is_broken);
    // One that only is not ready is in the way too, and may come back.
    bench.pods = vec![with(
        broken("web-2", "s1", &json!({"state": {"running": {}}})),
        &json!({"metadata": {"labels": {"controller-revision-hash": "web-old"}}}),
    )];
    let assessment = bench.look(0);
    assert!(!assessment.stuck[0].is_broken);
    assert_eq!(short(&bench.health(0)), "Progressing");
    // With nothing to order there is nothing to be stuck behind.
    bench.object["spec"]["podManagementPolicy"] = json!("Parallel");
    assert_eq!(bench.look(1).stuck, []);
}

#[test]
fn below_the_floor_of_its_rollout_nothing_waits_for_one_nodes_trouble() {
    let crash = || broken("new-2", "rs2", &waiting("CrashLoopBackOff", "back-off"));
    let available = |bench: &mut Bench, count: u64| {
        bench.object["status"]["availableReplicas"] = json!(count);
    };
    // Three of three serve: a crash beside a new pod that is Ready may be one node's trouble.
    let mut bench = rollout(vec![pod("new-1", "rs2"), crash()]);
    assert_eq!(short(&bench.health(0)), "CrashLoop Change?");
    assert_eq!(short(&bench.health(100)), "CrashLoop Change?");
    // Then fewer than the rollout keeps.
    available(&mut bench, 1);
    let health = bench.health(101);
    assert_eq!(short(&health), "Failed CrashLoop Change");
    assert!(
        words(&health).contains("1 of at least 3 pods available"),
        "{health:?}"
    );
    // As many as it may take away are no breach.
    let mut bench = rollout(vec![pod("new-1", "rs2"), crash()]);
    merge(
        &mut bench.object,
        &json!({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 2}}}}),
    );
    assert_eq!(short(&bench.health(0)), "CrashLoop Change?");
    available(&mut bench, 1);
    assert_eq!(short(&bench.health(100)), "CrashLoop Change?");
    // A floor that was never reached, as in a first install, cannot be broken.
    let mut bench = rollout(vec![pod("new-1", "rs2"), crash()]);
    available(&mut bench, 1);
    assert_eq!(short(&bench.health(0)), "CrashLoop Change?");
    assert_eq!(short(&bench.health(100)), "CrashLoop Change?");
    assert_eq!(short(&bench.health(180)), "Failed CrashLoop Change");
    // What the environment does waits as long as ever.
    let unplaced = with(
        pod("new-2", "rs2"),
        &json!({"status": {"phase": "Pending", "containerStatuses": [], "conditions": [
            condition("Ready", "False"),
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"},
        ]}}),
    );
    let mut bench = rollout(vec![pod("new-1", "rs2"), unplaced]);
    bench.health(0);
    available(&mut bench, 1);
    assert_eq!(short(&bench.health(200)), "Unschedulable Environment?");
}
