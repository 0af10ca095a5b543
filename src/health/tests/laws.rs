//! Laws, over generated objects.
//!
//! Enters: random JSON in the shape of statuses, and pods that behave at random.
//! Leaves: nothing.
//! Never: a panic, a window that starts anew, a fault of the environment that is held against the change.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::{Class, Reason},
    health::{Verdict, kinds::known},
};

/// Keys and texts that rules look for, so that random objects get far.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(
        "True False Unknown Ready Complete Failed Pending Running Bound Lost Active Stalled Reconciling Progressing \
         ProgressDeadlineExceeded ReplicaFailure FailedCreate CrashLoopBackOff ErrImagePull ImagePullBackOff OOMKilled \
         InvalidImageName CreateContainerConfigError ContainerCreating PodScheduled Unschedulable Established Available \
         LoadBalancer OnDelete RollingUpdate Recreate 25% 99999999999999999999% -5% x u1"
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(
        "metadata spec status conditions type reason message replicas updatedReplicas readyReplicas availableReplicas \
         observedGeneration generation phase containerStatuses initContainerStatuses state waiting terminated running \
         lastState restartCount name uid labels annotations ownerReferences controller strategy rollingUpdate \
         maxUnavailable maxSurge updateStrategy partition parents parentRefs listeners loadBalancer ingress webhooks \
         currentRevision updateRevision template completions succeeded failed active suspend paused hard volumes \
         deletionTimestamp lastTransitionTime creationTimestamp exitCode image"
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    )
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_i64..4).prop_map(Value::from),
        word().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object whose parts are where rules look, with random content.
fn shaped() -> impl Strategy<Value = Value> {
    let conditions = prop::collection::vec(
        (word(), word(), word(), value()).prop_map(|(kind, status, reason, message)| {
            json!({"type": kind, "status": status, "reason": reason, "message": message})
        }),
        0..4,
    );
    (value(), value(), value(), conditions).prop_map(|(metadata, spec, status, conditions)| {
        let mut object = json!({"metadata": {"generation": 1, "uid": "u1"}, "status": {"observedGeneration": 1}});
        for (part, content) in [("metadata", metadata), ("spec", spec), ("status", status)] {
            if content.is_object() {
                merge(&mut object[part], &content);
            }
        }
        object["status"]["conditions"] = Value::from(conditions);
        object
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn assessing_is_total(
        object in prop_oneof![value(), shaped()],
        wanted in value(),
        pods in prop::collection::vec(prop_oneof![value(), shaped()], 0..3),
        sets in prop::collection::vec(shaped(), 0..3),
        events in prop::collection::vec(value(), 0..3),
        fail_fast: bool,
    ) {
        let rules = Rules::new(&HealthSpec { fail_fast, ..HealthSpec::default() }).unwrap();
        let shared = |list: Vec<Value>| list.into_iter().map(Arc::new).collect::<Vec<_>>();
        let (pods, sets, events) = (shared(pods), shared(sets), shared(events));
        let live = Seen::Present(crate::model::Packed::of(&object));
        let ids: Vec<_> = known()
            .chain([("example.org", "Thing"), ("", "ConfigMap")])
            .map(|(group, kind)| crate::model::ObjectId::new(group, kind, "shop", "web"))
            .collect();
        let members: Vec<_> = ids
            .iter()
            .map(|id| Member { id, live: &live, applied_generation: Some(1), wanted: &wanted })
            .collect();
        let view = View { members: &members, pods: &pods, replica_sets: &sets, events: &events };
        let mut sightings = Sightings::default();
        for second in [0, 5, 400, 2_000] {
            let (assessment, next) = assess(&view, &rules, sightings, at(second));
            sightings = next;
            prop_assert_eq!(assessment.objects.len(), ids.len());
            let counts = assessment.counts();
            let sum = counts.ready + counts.progressing + counts.failed + counts.not_assessed;
            prop_assert_eq!(sum as usize, ids.len());
            prop_assert!(fail_fast || counts.failed == 0);
            for health in assessment.objects.values() {
                prop_assert!(words(health).len() <= 1_024);
            }
            assessment.verdict();
        }
    }

    #[test]
    fn a_pod_that_flaps_resets_nothing(
        rounds in prop::collection::vec((prop::collection::vec((0_u8..3, 1_u64..30), 0..4), 1_u64..30), 3..12),
    ) {
        // Whatever the pod does between two crashes: from 60 s after the first back-off, each back-off decides.
        let crash = |restarts: u64| broken("new-1", "rs2", &json!({"restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}));
        let mut bench = rollout(vec![crash(1)]);
        let mut restarts = 1;
        let mut second = 0;
        bench.look(0);
        for (turns, wait) in rounds {
            for (turn, seconds) in turns {
                second += seconds;
                bench.pods[3] = match turn {
                    0 => broken("new-1", "rs2", &json!({"restartCount": restarts, "state": {"running": {}}})),
                    1 => with(pod("new-1", "rs2"), &json!({"status": {"containerStatuses":
                        [{"name": "app", "image": "web:v2", "restartCount": restarts, "state": {"running": {}}}]}})),
                    _ => broken("new-1", "rs2", &json!({"restartCount": restarts, "state": {"terminated": {"exitCode": 1}}})),
                };
                let is_ready = matches!(bench.look(second).verdict(), Verdict::Ready { .. });
                prop_assert!(!is_ready);
            }
            second += wait;
            restarts += 1;
            bench.pods[3] = crash(restarts);
            let verdict = bench.look(second).verdict();
            let is_failed = matches!(verdict, Verdict::Failed { class: Class::Change, .. });
            if second >= 60 {
                prop_assert!(is_failed, "at {} s: {:?}", second, verdict);
            }
        }
    }

    #[test]
    fn a_flapping_pod_is_never_ready_early(
        flips in prop::collection::vec(any::<bool>(), 2..30),
    ) {
        // The numbers of the Deployment follow the pod: Ready exactly while it is, and not at all once it flapped.
        let mut bench = rollout(vec![]);
        bench.replica_sets.remove(0);
        let mut drops = 0;
        let mut before = false;
        for (place, ready) in flips.iter().copied().enumerate() {
            let status = if ready { "True" } else { "False" };
            bench.pods = vec![with(pod("new-1", "rs2"), &json!({"status": {"conditions":
                [condition("Ready", status), condition("ContainersReady", status)]}}))];
            let available = u64::from(ready);
            bench.object = with(deployment(), &json!({"spec": {"replicas": 1}, "status":
                {"replicas": 1, "updatedReplicas": 1, "readyReplicas": available, "availableReplicas": available}}));
            drops += u32::from(before && !ready);
            before = ready;
            let health = bench.health(place as u64);
            if drops >= 3 {
                prop_assert_eq!(short(&health), "Failed Flapping Change");
            } else {
                prop_assert_eq!(short(&health), if ready { "Ready" } else { "Progressing" });
            }
        }
    }

    #[test]
    fn the_environment_is_never_the_changes_fault(
        pods in prop::collection::vec((environment(), 0_usize..3), 1..6),
        looks in prop::collection::vec(1_u64..200, 1..12),
        late: bool,
    ) {
        let pods: Vec<_> = pods
            .into_iter()
            .enumerate()
            .map(|(place, (pod, _))| with(pod, &json!({"metadata": {"name": format!("new-{place}"), "uid": format!("uid-{place}")}})))
            .collect();
        let mut bench = rollout(pods);
        if late {
            merge(&mut bench.object, &json!({"status": {"conditions":
                [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}}));
        }
        let mut second = 0;
        for seconds in looks {
            second += seconds;
            let health = bench.health(second);
            match health {
                Health::Failed { class, reason, .. } => {
                    prop_assert_eq!(class, Class::Environment);
                    prop_assert_ne!(reason, Reason::CrashLoop);
                }
                Health::Progressing { class, .. } => prop_assert_ne!(class, Some(Class::Change)),
                Health::Ready | Health::NotAssessed { .. } => prop_assert!(false, "{:?}", health),
            }
        }
    }
}

/// A pod with a fault of the environment.
fn environment() -> impl Strategy<Value = Value> {
    let pull = |message: &str| broken("new", "rs2", &waiting("ErrImagePull", message));
    let unscheduled = with(
        broken("new", "rs2", &json!({})),
        &json!({"status": {"containerStatuses": [], "conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/3 nodes are available"}]}}),
    );
    let unmounted = with(
        broken("new", "rs2", &waiting("ContainerCreating", "")),
        &json!({"status": {"conditions": [condition("PodScheduled", "True"), condition("PodReadyToStartContainers", "False")]}}),
    );
    prop::sample::select(vec![
        pull("unexpected status: 500 Internal Server Error"),
        pull("dial tcp 10.0.0.9:443: connect: connection refused"),
        pull("toomanyrequests: You have reached your pull rate limit: access denied"),
        pull("context deadline exceeded"),
        pull("words that nobody knows"),
        broken(
            "new",
            "rs2",
            &waiting(
                "ImagePullBackOff",
                "Back-off pulling image \"not-found:denied\"",
            ),
        ),
        broken(
            "new",
            "rs2",
            &waiting(
                "CreateContainerConfigError",
                "failed to sync configmap cache: timed out waiting for the condition",
            ),
        ),
        unscheduled,
        unmounted,
    ])
}
