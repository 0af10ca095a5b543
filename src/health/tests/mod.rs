//! Tests of the door: tables by kind and by row, and laws.
//!
//! Enters: JSON as a cluster would give it.
//! Leaves: nothing.
//! Never: a clock.

mod classify;
mod kinds;
mod laws;
mod rows;
mod rules;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Assessment, Health, Member, Rules, Sightings, View, assess};
use crate::{
    api::HealthSpec,
    model::{Now, Object, Packed, Seen},
};

/// A set under test: one object, what is around it, and the memory between looks.
struct Bench {
    rules: Rules,
    object: Value,
    wanted: Value,
    applied_generation: Option<i64>,
    pods: Vec<Value>,
    replica_sets: Vec<Value>,
    events: Vec<Value>,
    absent: bool,
    sightings: Sightings,
}

/// The wall clock of every test.
const WALL: &str = "2026-11-21T12:00:00Z";

fn at(seconds: u64) -> Now {
    let elapsed = i64::try_from(seconds).unwrap();
    Now {
        wall: WALL.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(elapsed),
        monotonic: Duration::from_secs(1_000 + seconds),
    }
}

impl Bench {
    fn new(object: Value) -> Self {
        Self {
            rules: Rules::new(&HealthSpec::default()).unwrap(),
            wanted: object.clone(),
            object,
            applied_generation: None,
            pods: Vec::new(),
            replica_sets: Vec::new(),
            events: Vec::new(),
            absent: false,
            sightings: Sightings::default(),
        }
    }

    /// Looks at `seconds`.
    fn look(&mut self, seconds: u64) -> Assessment {
        let shared = |list: &[Value]| list.iter().cloned().map(Arc::new).collect::<Vec<_>>();
        let id = Object::new(self.wanted.clone(), None).unwrap().id().clone();
        let live = if self.absent {
            Seen::Absent
        } else {
            Seen::Present(Packed::of(&self.object))
        };
        let members = [Member {
            id: &id,
            live: &live,
            applied_generation: self.applied_generation,
            wanted: &self.wanted,
        }];
        let (pods, replica_sets, events) = (
            shared(&self.pods),
            shared(&self.replica_sets),
            shared(&self.events),
        );
        let view = View {
            members: &members,
            pods: &pods,
            replica_sets: &replica_sets,
            events: &events,
        };
        let (assessment, sightings) = assess(
            &view,
            &self.rules,
            std::mem::take(&mut self.sightings),
            at(seconds),
        );
        self.sightings = sightings;
        assessment
    }

    /// Looks at `seconds` and returns the health of the object.
    fn health(&mut self, seconds: u64) -> Health {
        self.look(seconds).objects.into_values().next().unwrap()
    }
}

/// Returns one short text of a health, for tables: `Ready`, `Progressing`, `Failed CrashLoop Change`, `NotAssessed`.
fn short(health: &Health) -> String {
    match health {
        Health::Ready => "Ready".to_owned(),
        Health::Progressing { reason, class, .. } => match class {
            Some(class) => format!("{} {}?", reason.as_str(), class.as_str()),
            None => reason.as_str().to_owned(),
        },
        Health::Failed { reason, class, .. } => {
            format!("Failed {} {}", reason.as_str(), class.as_str())
        }
        Health::NotAssessed { .. } => "NotAssessed".to_owned(),
    }
}

fn words(health: &Health) -> &str {
    match health {
        Health::Ready => "",
        Health::Progressing { message, .. } | Health::Failed { message, .. } => message,
        Health::NotAssessed { why } => why,
    }
}

/// Merges `change` into `base`, object by object.
fn merge(base: &mut Value, change: &Value) {
    match (base, change) {
        (Value::Object(base), Value::Object(change)) => {
            for (key, value) in change {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, change) => *base = change.clone(),
    }
}

fn with(mut base: Value, change: &Value) -> Value {
    merge(&mut base, change);
    base
}

/// A Deployment of three replicas, rolled out.
fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d1", "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 3, "template": template("web:v2")},
        "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    })
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

/// The replica set of a revision; `rs2` is the new one.
fn replica_set(number: u64) -> Value {
    let mut own = template(&format!("web:v{number}"));
    merge(
        &mut own,
        &json!({"metadata": {"labels": {"pod-template-hash": format!("h{number}")}}}),
    );
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("web-h{number}"), "namespace": "shop", "uid": format!("rs{number}"), "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": number.to_string()},
            "ownerReferences": [{"uid": "d1", "controller": true}]},
        "spec": {"replicas": 3, "template": own}, "status": {"observedGeneration": 1, "replicas": 3}
    })
}

/// A Ready pod that `owner` controls.
fn pod(name: &str, owner: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {},
            "ownerReferences": [{"uid": owner, "controller": true}]},
        "spec": {"containers": [{"name": "app", "image": "web:v2", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {"phase": "Running",
            "conditions": [condition("Ready", "True"), condition("ContainersReady", "True"), condition("PodScheduled", "True")],
            "containerStatuses": [{"name": "app", "image": "web:v2", "restartCount": 0, "state": {"running": {"startedAt": WALL}}}]}
    })
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": WALL})
}

/// A pod that is not ready, with this status of its container.
fn broken(name: &str, owner: &str, status: &Value) -> Value {
    let mut own = json!({"name": "app", "image": "web:v2", "restartCount": 0});
    merge(&mut own, status);
    with(
        pod(name, owner),
        &json!({"status": {"phase": "Pending",
            "conditions": [condition("Ready", "False"), condition("ContainersReady", "False"), condition("PodScheduled", "True")],
            "containerStatuses": [own]}}),
    )
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

/// A rollout in the middle: three old pods serve, one new pod is not available.
fn rollout(new: Vec<Value>) -> Bench {
    let mut bench = Bench::new(with(
        deployment(),
        &json!({"status": {"replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3}}),
    ));
    bench.replica_sets = vec![replica_set(1), replica_set(2)];
    bench.pods = vec![
        pod("old-1", "rs1"),
        pod("old-2", "rs1"),
        pod("old-3", "rs1"),
    ];
    bench.pods.extend(new);
    bench
}
