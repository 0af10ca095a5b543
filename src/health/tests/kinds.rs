//! One table for each kind: object in, health out.
//!
//! Enters: objects of every kind.
//! Leaves: their health, at the first look unless a row says when.
//! Never: pods in trouble; those are in `rows`.

use serde_json::json;

use super::*;

/// Checks the health of an object at the first look.
fn check(expected: &str, object: &Value) {
    let health = Bench::new(object.clone()).health(0);
    assert_eq!(short(&health), expected, "{health:?}\n{object}");
}

/// Checks a base object with changes.
fn table(base: &Value, rows: &[(&str, Value)]) {
    for (expected, change) in rows {
        check(expected, &with(base.clone(), change));
    }
}

fn object(api_version: &str, kind: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 2, "creationTimestamp": WALL}})
}

#[test]
fn deployments() {
    table(
        &deployment(),
        &[
            ("Ready", json!({})),
            (
                "Progressing Environment?",
                json!({"metadata": {"generation": 3}}),
            ),
            (
                "Progressing Environment?",
                json!({"status": {"observedGeneration": null}}),
            ),
            ("Progressing Environment?", json!({"status": null})),
            ("Progressing", json!({"status": {"updatedReplicas": 2}})),
            ("Progressing", json!({"status": {"replicas": 4}})),
            ("Progressing", json!({"status": {"availableReplicas": 2}})),
            (
                "Progressing",
                json!({"status": {"replicas": 4, "updatedReplicas": 4, "availableReplicas": 4}}),
            ),
            ("Progressing", json!({"status": {"updatedReplicas": -3}})),
            (
                "Ready",
                json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}}),
            ),
            ("Ready", json!({"spec": {"paused": true}})),
            (
                "NotAssessed",
                json!({"spec": {"paused": true}, "status": {"updatedReplicas": 0}}),
            ),
            (
                "Progressing Environment?",
                json!({"metadata": {"deletionTimestamp": WALL}}),
            ),
        ],
    );
    let mut paused = Bench::new(deployment());
    merge(
        &mut paused.object,
        &json!({"spec": {"paused": true}, "status": {"updatedReplicas": 0}}),
    );
    assert_eq!(short(&paused.health(0)), "Paused Environment?");
}

pub(super) fn stateful_set() -> Bench {
    Bench::new(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "web", "namespace": "shop", "uid": "s1", "generation": 2},
        "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
        "status": {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": 3,
            "currentRevision": "web-old", "updateRevision": "web-new"}
    }))
}

#[test]
fn stateful_sets() {
    let partition = |partition: i64| json!({"rollingUpdate": {"partition": partition}});
    table(
        &stateful_set().object,
        &[
            ("Ready", json!({})),
            (
                "Progressing Environment?",
                json!({"metadata": {"generation": 3}}),
            ),
            // `partition: 0` is a default of the API server and no partition.
            ("Progressing", json!({"status": {"updatedReplicas": 2}})),
            (
                "Ready",
                json!({"status": {"updatedReplicas": 0, "currentRevision": "web-new"}}),
            ),
            (
                "Ready",
                json!({"spec": {"updateStrategy": partition(2)}, "status": {"updatedReplicas": 1}}),
            ),
            (
                "Progressing",
                json!({"spec": {"updateStrategy": partition(1)}, "status": {"updatedReplicas": 1}}),
            ),
            (
                "Ready",
                json!({"spec": {"updateStrategy": partition(9)}, "status": {"updatedReplicas": 0}}),
            ),
            ("Progressing", json!({"status": {"readyReplicas": 2}})),
            (
                "Progressing",
                json!({"spec": {"minReadySeconds": 10}, "status": {"availableReplicas": 2}}),
            ),
            ("Progressing", json!({"status": {"replicas": 4}})),
            (
                "NotAssessed",
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedReplicas": 1}}),
            ),
            (
                "Progressing",
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedReplicas": 1, "readyReplicas": 2}}),
            ),
            (
                "Ready",
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
            ),
            (
                "Ready",
                json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "readyReplicas": 0, "updatedReplicas": 0}}),
            ),
        ],
    );
}

#[test]
fn a_stateful_set_fails_by_its_new_pods() {
    let mut bench = stateful_set();
    bench.object["status"]["updatedReplicas"] = json!(1);
    bench.object["status"]["readyReplicas"] = json!(2);
    bench.pods = vec![with(
        broken(
            "web-2",
            "s1",
            &waiting("InvalidImageName", "invalid reference format"),
        ),
        &json!({"metadata": {"labels": {"controller-revision-hash": "web-new"}}}),
    )];
    assert_eq!(short(&bench.health(0)), "Failed InvalidImageName Change");
    // Why no pod is made, only an event tells.
    let mut bench = stateful_set();
    bench.object["status"]["replicas"] = json!(2);
    bench.object["status"]["readyReplicas"] = json!(0);
    bench.events = vec![
        json!({"reason": "FailedCreate", "involvedObject": {"uid": "s1"}, "lastTimestamp": WALL,
        "message": "create Pod web-2 in StatefulSet web failed error: admission webhook \"a.b\" denied the request: no"}),
    ];
    assert_eq!(short(&bench.health(0)), "PodDenied Change?");
    assert_eq!(short(&bench.health(10)), "Failed PodDenied Change");
    bench.events[0]["lastTimestamp"] = json!("2026-11-21T11:00:00Z");
    assert_eq!(short(&bench.health(20)), "Progressing");
}

fn daemon_set() -> Value {
    with(
        object("apps/v1", "DaemonSet"),
        &json!({
            "metadata": {"annotations": {"deprecated.daemonset.template.generation": "2"}},
            "spec": {"updateStrategy": {"type": "RollingUpdate"}},
            "status": {"observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                "updatedNumberScheduled": 3, "numberReady": 3, "numberAvailable": 3}
        }),
    )
}

#[test]
fn daemon_sets() {
    table(
        &daemon_set(),
        &[
            ("Ready", json!({})),
            (
                "Progressing Environment?",
                json!({"status": {"observedGeneration": 1}}),
            ),
            (
                "Progressing",
                json!({"status": {"updatedNumberScheduled": 1}}),
            ),
            ("Progressing", json!({"status": {"numberAvailable": 2}})),
            ("Ready", json!({"status": {"desiredNumberScheduled": 0}})),
            (
                "NotAssessed",
                json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedNumberScheduled": 1}}),
            ),
        ],
    );
    let labels = |number: &str, hash: &str| json!({"metadata": {"labels": {"pod-template-generation": number, "controller-revision-hash": hash}}});
    let mut bench = Bench::new(with(
        daemon_set(),
        &json!({"status": {"updatedNumberScheduled": 1, "numberAvailable": 2}}),
    ));
    let bad = broken("web-a", "u1", &waiting("ErrImageNeverPull", ""));
    bench.pods = vec![with(bad.clone(), &labels("1", "h1"))];
    assert_eq!(short(&bench.health(0)), "Progressing");
    bench.pods = vec![with(bad, &labels("2", "h2"))];
    assert_eq!(short(&bench.health(1)), "Failed ImageNotFound Change");
    // A template that came back: a pod that kept its content is Ready, so one bad node does not decide at once.
    bench
        .pods
        .push(with(pod("web-b", "u1"), &labels("1", "h2")));
    bench.sightings = Sightings::default();
    assert_eq!(short(&bench.health(2)), "ImageNotFound Change?");
}

#[test]
fn replica_sets() {
    let base = with(
        object("apps/v1", "ReplicaSet"),
        &json!({"spec": {"replicas": 2}, "status": {"observedGeneration": 2, "replicas": 2, "availableReplicas": 2}}),
    );
    table(
        &base,
        &[
            ("Ready", json!({})),
            ("Progressing", json!({"status": {"replicas": 1}})),
            ("Progressing", json!({"status": {"availableReplicas": 1}})),
            (
                "Progressing Environment?",
                json!({"status": {"observedGeneration": 1}}),
            ),
            (
                "PodDenied Change?",
                json!({"status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True",
                    "message": "violates PodSecurity \"baseline:latest\""}]}}),
            ),
        ],
    );
}

#[test]
fn pods() {
    let bare = |change: &Value| {
        let mut pod = with(pod("web", ""), change);
        pod["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("ownerReferences");
        pod
    };
    check("Ready", &bare(&json!({})));
    check(
        "Ready",
        &bare(&json!({"status": {"phase": "Succeeded", "conditions": []}})),
    );
    check(
        "Failed ObjectFailed Change",
        &bare(&json!({"status": {"phase": "Failed"}})),
    );
    check(
        "Failed ObjectFailed Environment",
        &bare(&json!({"status": {"phase": "Failed", "reason": "Evicted"}})),
    );
    check(
        "Progressing Environment?",
        &bare(&json!({"status": {"phase": "Unknown"}})),
    );
    check(
        "Progressing",
        &bare(&json!({"status": {"conditions": [condition("Ready", "False")]}})),
    );
    check("Progressing", &bare(&json!({"status": null})));
    let mut crashing = broken(
        "web",
        "",
        &json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}}),
    );
    crashing["status"]["phase"] = json!("Running");
    let mut bench = Bench::new(crashing);
    assert_eq!(short(&bench.health(0)), "CrashLoop Change?");
    assert_eq!(short(&bench.health(60)), "Failed CrashLoop Change");
}

#[test]
fn jobs() {
    let held =
        |kind: &str, status: &str| json!({"status": {"conditions": [condition(kind, status)]}});
    table(
        &with(object("batch/v1", "Job"), &json!({"status": {"active": 1}})),
        &[
            ("Progressing", json!({})),
            ("Progressing", json!({"status": null})),
            ("Ready", held("Complete", "True")),
            ("Progressing", held("Complete", "False")),
            ("Failed JobFailed Change", held("Failed", "True")),
            ("Progressing", held("Failed", "False")),
            ("Progressing Change?", held("FailureTarget", "True")),
            ("Progressing Change?", json!({"status": {"failed": 1}})),
            ("NotAssessed", json!({"spec": {"suspend": true}})),
        ],
    );
    let mut job = Bench::new(object("batch/v1", "Job"));
    job.object["spec"] = json!({"suspend": true});
    assert_eq!(short(&job.health(0)), "Paused");
    // Its own back-off limit counts crashes; an image that is not there never runs at all.
    let mut job = Bench::new(object("batch/v1", "Job"));
    job.pods = vec![broken("web-1", "u1", &waiting("CrashLoopBackOff", ""))];
    assert_eq!(short(&job.health(0)), "Progressing");
    assert_eq!(short(&job.health(600)), "Progressing");
    job.pods = vec![broken("web-1", "u1", &waiting("ErrImageNeverPull", ""))];
    assert_eq!(short(&job.health(601)), "Failed ImageNotFound Change");
}

#[test]
fn a_job_that_its_time_to_live_deleted() {
    let ttl = json!({"spec": {"ttlSecondsAfterFinished": 1}});
    let mut job = Bench::new(with(object("batch/v1", "Job"), &ttl));
    job.absent = true;
    // It was not written in this attempt: it ran before.
    assert_eq!(short(&job.health(0)), "Ready");
    // It was written, and the watch may be late.
    let mut job = Bench::new(with(object("batch/v1", "Job"), &ttl));
    job.absent = true;
    job.applied_generation = Some(1);
    assert_eq!(short(&job.health(0)), "Progressing");
    assert_eq!(short(&job.health(10)), "Ready");
    // It failed before it was deleted.
    let mut job = Bench::new(with(object("batch/v1", "Job"), &ttl));
    merge(
        &mut job.object,
        &json!({"status": {"conditions": [condition("Failed", "True")]}}),
    );
    job.health(0);
    job.absent = true;
    assert_eq!(short(&job.health(5)), "Failed JobFailed Change");
    // Without a time to live nothing deletes it by itself.
    let mut job = Bench::new(object("batch/v1", "Job"));
    job.absent = true;
    assert_eq!(short(&job.health(0)), "Progressing");
    job.absent = false;
    merge(
        &mut job.object,
        &json!({"status": {"conditions": [condition("Complete", "True")]}}),
    );
    job.health(1);
    job.absent = true;
    assert_eq!(short(&job.health(2)), "Ready");
}

#[test]
fn storage() {
    table(
        &object("v1", "PersistentVolumeClaim"),
        &[
            ("Ready", json!({"status": {"phase": "Bound"}})),
            ("NotAssessed", json!({"status": {"phase": "Pending"}})),
            (
                "ObjectFailed Environment?",
                json!({"status": {"phase": "Lost"}}),
            ),
        ],
    );
    let mut claim = Bench::new(with(
        object("v1", "PersistentVolumeClaim"),
        &json!({"status": {"phase": "Pending"}}),
    ));
    claim.pods = vec![with(
        pod("a", "rs1"),
        &json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web"}}]}}),
    )];
    assert_eq!(short(&claim.health(0)), "Progressing Environment?");
    table(
        &object("v1", "PersistentVolume"),
        &[
            ("Ready", json!({"status": {"phase": "Available"}})),
            (
                "ObjectFailed Environment?",
                json!({"status": {"phase": "Failed"}}),
            ),
            ("Progressing Environment?", json!({})),
        ],
    );
}

#[test]
fn networking() {
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let balancer = json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}});
    table(
        &object("v1", "Service"),
        &[
            ("Ready", json!({"spec": {"type": "ClusterIP"}})),
            ("Progressing Environment?", balancer.clone()),
            ("Ready", with(balancer, &address)),
        ],
    );
    table(
        &object("networking.k8s.io/v1", "Ingress"),
        &[("Ready", address), ("NotAssessed", json!({}))],
    );
}

#[test]
fn gateways() {
    let held =
        |kind: &str, status: &str| json!({"type": kind, "status": status, "observedGeneration": 2});
    let gateway = object("gateway.networking.k8s.io/v1", "Gateway");
    table(
        &gateway,
        &[
            ("Progressing Environment?", json!({})),
            (
                "Ready",
                json!({"status": {"conditions": [held("Accepted", "True"), held("Programmed", "True")]}}),
            ),
            (
                "Progressing Environment?",
                json!({"status": {"conditions": [held("Accepted", "Unknown"), held("Programmed", "Unknown")]}}),
            ),
            (
                "Progressing Change?",
                json!({"status": {"conditions": [held("Accepted", "True"), held("Programmed", "False")]}}),
            ),
            (
                "Progressing Change?",
                json!({"status": {"conditions": [held("Accepted", "True"), held("Programmed", "True")],
                    "listeners": [{"name": "https", "conditions": [held("ResolvedRefs", "False")]}]}}),
            ),
            (
                "Progressing",
                json!({"status": {"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 1}]}}),
            ),
        ],
    );
    let route = with(
        object("gateway.networking.k8s.io/v1", "HTTPRoute"),
        &json!({"spec": {"parentRefs": [{"name": "a"}, {"name": "b"}]}}),
    );
    let parent = |name: &str, status: &str| json!({"parentRef": {"name": name}, "conditions": [held("Accepted", status)]});
    table(
        &route,
        &[
            ("Progressing Environment?", json!({})),
            (
                "Progressing Environment?",
                json!({"status": {"parents": [parent("a", "True")]}}),
            ),
            (
                "Ready",
                json!({"status": {"parents": [parent("a", "True"), parent("b", "True"), parent("gone", "False")]}}),
            ),
            (
                "Progressing Change?",
                json!({"status": {"parents": [parent("a", "True"), parent("b", "False")]}}),
            ),
        ],
    );
    check(
        "Ready",
        &with(
            object("gateway.networking.k8s.io/v1", "GatewayClass"),
            &json!({"status": {"conditions": [held("Accepted", "True")]}}),
        ),
    );
}

#[test]
fn scaling() {
    let held = |kind: &str, reason: &str| json!({"status": {"conditions": [{"type": kind, "status": "False", "reason": reason}]}});
    table(
        &object("autoscaling/v2", "HorizontalPodAutoscaler"),
        &[
            ("Ready", json!({})),
            ("Progressing Change?", held("AbleToScale", "FailedGetScale")),
            (
                "NotAssessed",
                held("ScalingActive", "FailedGetResourceMetric"),
            ),
            (
                "Progressing Change?",
                held("ScalingActive", "InvalidSelector"),
            ),
            ("Ready", held("ScalingActive", "ScalingDisabled")),
        ],
    );
    table(
        &object("policy/v1", "PodDisruptionBudget"),
        &[
            ("Ready", json!({"status": {"observedGeneration": 2}})),
            (
                "Progressing Environment?",
                json!({"status": {"observedGeneration": 1}}),
            ),
            ("Ready", held("DisruptionAllowed", "InsufficientPods")),
            (
                "Progressing Change?",
                held("DisruptionAllowed", "SyncFailed"),
            ),
        ],
    );
}

#[test]
fn extensions() {
    let held =
        |kind: &str, status: &str| json!({"status": {"conditions": [condition(kind, status)]}});
    let definition = object("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    table(
        &definition,
        &[
            ("Progressing", json!({})),
            ("Ready", held("Established", "True")),
            ("Progressing", held("Established", "False")),
            ("ObjectFailed Change?", held("NamesAccepted", "False")),
        ],
    );
    let mut taken = Bench::new(with(definition, &held("NamesAccepted", "False")));
    taken.health(0);
    assert_eq!(short(&taken.health(10)), "Failed ObjectFailed Change");
    table(
        &object("apiregistration.k8s.io/v1", "APIService"),
        &[
            ("Progressing", json!({})),
            ("Progressing", held("Available", "False")),
            ("Ready", held("Available", "True")),
        ],
    );
    let webhook = |bundle: &str| json!({"webhooks": [{"clientConfig": {"caBundle": bundle}}]});
    let injected =
        json!({"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "shop/web"}}});
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        table(
            &object("admissionregistration.k8s.io/v1", kind),
            &[
                ("Ready", json!({})),
                ("Ready", webhook("")),
                ("Progressing Environment?", with(webhook(""), &injected)),
                ("Ready", with(webhook("Zg=="), &injected)),
            ],
        );
    }
}

#[test]
fn namespaces_and_what_only_exists() {
    table(
        &object("v1", "Namespace"),
        &[
            ("Ready", json!({"status": {"phase": "Active"}})),
            (
                "Progressing Environment?",
                json!({"status": {"phase": "Terminating"}}),
            ),
            ("Progressing", json!({})),
        ],
    );
    table(
        &with(
            object("v1", "ResourceQuota"),
            &json!({"spec": {"hard": {"cpu": "1"}}}),
        ),
        &[
            ("Progressing", json!({})),
            ("Ready", json!({"status": {"hard": {"cpu": "1000m"}}})),
        ],
    );
    for (api_version, kind) in [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("batch/v1", "CronJob"),
        ("storage.k8s.io/v1", "StorageClass"),
    ] {
        check("Ready", &object(api_version, kind));
    }
}

#[test]
fn custom_resources() {
    let held = |kind: &str, status: &str| json!({"type": kind, "status": status, "observedGeneration": 2, "reason": "R"});
    let status =
        |conditions: Value| json!({"status": {"observedGeneration": 2, "conditions": conditions}});
    table(
        &object("example.org/v1", "Thing"),
        &[
            ("Ready", status(json!([held("Ready", "True")]))),
            ("Progressing", status(json!([held("Ready", "False")]))),
            ("Progressing", status(json!([held("Ready", "Unknown")]))),
            (
                "Progressing",
                status(json!([held("Ready", "True"), held("Reconciling", "True")])),
            ),
            (
                "ObjectFailed Change?",
                status(json!([held("Ready", "False"), held("Stalled", "True")])),
            ),
            ("Ready", status(json!([held("Available", "True")]))),
            (
                "Progressing",
                json!({"status": {"observedGeneration": 1, "conditions": [held("Ready", "True")]}}),
            ),
            // Without observedGeneration the condition's own counts.
            (
                "Progressing",
                json!({"status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}}),
            ),
            ("Progressing", json!({})),
            (
                "NotAssessed",
                json!({"metadata": {"creationTimestamp": "2026-11-01T00:00:00Z"}}),
            ),
        ],
    );
    let mut stalled = Bench::new(with(
        object("example.org/v1", "Thing"),
        &status(json!([held("Stalled", "True")])),
    ));
    stalled.health(0);
    assert_eq!(short(&stalled.health(10)), "Failed ObjectFailed Change");
}
