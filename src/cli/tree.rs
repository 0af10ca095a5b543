//! `plimsoll tree`: the objects of an Application and their health.
//!
//! Enters: the marks on live objects, read as the person.
//! Leaves: a tree, unhealthy first; kinds that could not be read are named.
//! Never: "nothing there" for a kind that could not be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    Exit, Failure,
    args::{ApplicationArgs, OutputFormat},
    input::{self, Connected},
    output::{self, Branch},
};
use crate::{
    api::{Application, HealthSpec},
    clock,
    cluster::{self, ListQuery},
    health::{Health, Member, Rules, Sightings, View, assess},
    model::{Object, ObjectId, Packed, Seen, text},
    pipeline,
};

/// The live objects of an Application.
pub(super) struct Owned {
    pub(super) objects: Vec<Object>,
    pub(super) pods: Vec<Arc<Value>>,
    pub(super) replica_sets: Vec<Arc<Value>>,
    pub(super) health: BTreeMap<ObjectId, Health>,
    pub(super) not_read: Vec<String>,
}

pub(super) async fn run(args: &ApplicationArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let owned = owned(&connected, &application, &args.application).await?;
    match args.output {
        OutputFormat::Json => output::json(&value(&owned))?,
        OutputFormat::Yaml => output::yaml(&value(&owned))?,
        OutputFormat::Name => {
            let names: Vec<String> = owned
                .objects
                .iter()
                .map(|object| format!("{}\n", object.id()))
                .collect();
            output::text(&names.concat())?;
        }
        OutputFormat::Table | OutputFormat::Wide => {
            let root = Branch {
                line: format!("Application/{}", connected.key(&args.application)),
                below: branches(&owned),
            };
            output::text(&output::tree(&root))?;
        }
    }
    if !owned.not_read.is_empty() {
        output::message(&format!("not read: {}", text::list(&owned.not_read, 5)));
    }
    let failed = owned
        .health
        .values()
        .any(|health| matches!(health, Health::Failed { .. }));
    Ok(if failed { Exit::Negative } else { Exit::Ok })
}

/// Reads the objects that carry the Application's marks, and what hangs below them.
pub(super) async fn owned(
    connected: &Connected,
    application: &Application,
    name: &str,
) -> Result<Owned, Failure> {
    let namespaces = namespaces(connected, application);
    let pipeline::Marked { objects, not_read } = pipeline::marked(
        &connected.cluster,
        crate::cluster::Identity::Person,
        &connected.key(name),
        &namespaces,
    )
    .await?;
    let children = |api_version: &'static str, kind: &'static str| {
        let mut namespaces: Vec<String> = objects
            .iter()
            .map(|object| object.id().namespace.clone())
            .collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        async move {
            let mut all = Vec::new();
            for namespace in namespaces
                .into_iter()
                .filter(|namespace| !namespace.is_empty())
            {
                let query = ListQuery {
                    namespace: Some(namespace),
                    ..ListQuery::default()
                };
                all.extend(connected.reader.list(api_version, kind, &query).await?);
            }
            Ok::<Vec<Arc<Value>>, cluster::Error>(all.into_iter().map(Arc::new).collect())
        }
    };
    let mut pods = children("v1", "Pod").await.unwrap_or_default();
    let mut replica_sets = children("apps/v1", "ReplicaSet").await.unwrap_or_default();
    let mut owners: BTreeSet<String> = objects
        .iter()
        .filter_map(|object| uid(object.value()))
        .map(str::to_owned)
        .collect();
    replica_sets.retain(|set| hangs_below(&owners, set));
    owners.extend(
        replica_sets
            .iter()
            .filter_map(|set| uid(set))
            .map(str::to_owned),
    );
    pods.retain(|pod| hangs_below(&owners, pod));
    let health = judge(application, &objects, &pods, &replica_sets)?;
    Ok(Owned {
        objects,
        pods,
        replica_sets,
        health,
        not_read,
    })
}

fn judge(
    application: &Application,
    objects: &[Object],
    pods: &[Arc<Value>],
    replica_sets: &[Arc<Value>],
) -> Result<BTreeMap<ObjectId, Health>, Failure> {
    // What the controller refuses the spec for is in the status; the rest is judged without the expressions.
    let rules = Rules::new(&application.spec.health).or_else(|_| {
        Rules::new(&HealthSpec {
            exprs: Vec::new(),
            ..application.spec.health.clone()
        })
    });
    let rules = rules.map_err(|error| Failure::new(Exit::Usage, text::chain(&error)))?;
    let seen: Vec<Seen> = objects
        .iter()
        .map(|object| Seen::Present(Packed::of(object.value())))
        .collect();
    let members: Vec<Member<'_>> = objects
        .iter()
        .zip(&seen)
        .map(|(object, live)| Member {
            id: object.id(),
            live,
            applied_generation: None,
            wanted: object.value(),
        })
        .collect();
    let view = View {
        members: &members,
        pods,
        replica_sets,
        events: &[],
    };
    Ok(assess(&view, &rules, Sightings::default(), clock::now())
        .0
        .objects)
}

/// Where a person who may not list in the whole cluster is asked about.
fn namespaces(connected: &Connected, application: &Application) -> BTreeSet<String> {
    let target = application.spec.target.namespace.clone();
    BTreeSet::from([target.unwrap_or_else(|| connected.namespace.clone())])
}

fn uid(value: &Value) -> Option<&str> {
    value.pointer("/metadata/uid").and_then(Value::as_str)
}

fn says(health: Option<&Health>) -> (u8, String) {
    match health {
        Some(Health::Failed {
            reason, message, ..
        }) => (0, format!("Failed {}: {message}", reason.as_str())),
        Some(Health::Progressing { message, .. }) => (1, format!("Progressing: {message}")),
        Some(Health::Ready) => (2, "Ready".to_owned()),
        Some(Health::NotAssessed { why }) => (2, format!("not assessed: {why}")),
        None => (2, String::new()),
    }
}

fn branches(owned: &Owned) -> Vec<Branch> {
    let mut branches: Vec<(u8, Branch)> = owned
        .objects
        .iter()
        .map(|object| {
            let (rank, word) = says(owned.health.get(object.id()));
            let branch = Branch {
                line: format!("{}  {word}", object.id()),
                below: below(owned, uid(object.value())),
            };
            (rank, branch)
        })
        .collect();
    branches.sort_by_key(|(rank, _)| *rank);
    branches.into_iter().map(|(_, branch)| branch).collect()
}

/// Says whether one of these owns it, or it is one of them: a namespace has pods of others as well.
fn hangs_below(owners: &BTreeSet<String>, child: &Value) -> bool {
    let references = child
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    references
        .into_iter()
        .flatten()
        .filter_map(|reference| reference.get("uid").and_then(Value::as_str))
        .chain(uid(child))
        .any(|uid| owners.contains(uid))
}

/// ReplicaSets and pods that an object owns.
fn below(owned: &Owned, owner: Option<&str>) -> Vec<Branch> {
    let Some(owner) = owner else {
        return Vec::new();
    };
    let is_owned = |child: &&Arc<Value>| {
        child
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .is_some_and(|owners| {
                owners
                    .iter()
                    .any(|reference| reference.get("uid").and_then(Value::as_str) == Some(owner))
            })
    };
    let name = |child: &Value| {
        child
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let sets = owned
        .replica_sets
        .iter()
        .filter(is_owned)
        .filter_map(|set| {
            let below = below(owned, uid(set));
            let replicas = set
                .pointer("/spec/replicas")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            (replicas > 0 || !below.is_empty()).then(|| Branch {
                line: format!("ReplicaSet/{}  {replicas} wanted", name(set)),
                below,
            })
        });
    let pods = owned.pods.iter().filter(is_owned).map(|pod| Branch {
        line: format!("Pod/{}  {}", name(pod), pod_word(pod)),
        below: Vec::new(),
    });
    sets.chain(pods).collect()
}

/// What kubectl's STATUS column says of a pod, shortly.
pub(super) fn pod_word(pod: &Value) -> String {
    let statuses = |list: &str| {
        pod.pointer(&format!("/status/{list}"))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for status in statuses("initContainerStatuses")
        .iter()
        .chain(&statuses("containerStatuses"))
    {
        if let Some(reason) = status
            .pointer("/state/waiting/reason")
            .and_then(Value::as_str)
        {
            return reason.to_owned();
        }
    }
    let ready = pod
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .is_some_and(|conditions| {
            conditions.iter().any(|condition| {
                condition.get("type").and_then(Value::as_str) == Some("Ready")
                    && condition.get("status").and_then(Value::as_str) == Some("True")
            })
        });
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or("Unknown");
    if phase == "Running" && !ready {
        return "Running, not ready".to_owned();
    }
    phase.to_owned()
}

fn value(owned: &Owned) -> Value {
    let objects: Vec<Value> = owned
        .objects
        .iter()
        .map(|object| json!({"object": object.id().to_string(), "group": object.id().group, "health": says(owned.health.get(object.id())).1}))
        .collect();
    json!({"apiVersion": "cli.plimsoll.dev/v1", "objects": objects, "notRead": owned.not_read})
}
