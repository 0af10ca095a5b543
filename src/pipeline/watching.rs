//! Which watches an Application needs.
//!
//! Enters: the objects of its sets.
//! Leaves: demands on the shared watches; the key by which an object is looked up.
//! Never: a watch of a kind by the controller that it may not watch: that one is the account's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Context, Error, Memory, Subject};
use crate::{
    cluster::{Lookup, Resource, WatchKey},
    model::{GroupKind, Object, Seen},
};

/// Demands the watches for these objects.
pub(super) async fn demand(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    objects: &[Object],
) -> Result<(), Error> {
    let catalogue = context.cluster.discovery().catalogue().await?;
    let mut keys = BTreeSet::new();
    for object in objects {
        if let Lookup::Served(resource) = catalogue.find(object.api_version(), &object.id().kind) {
            keys.insert(key(subject, memory, resource, &object.id().namespace));
        }
    }
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .filter(|object| has_pods(&object.group_kind()))
        .map(|object| object.id().namespace.as_str())
        .collect();
    for namespace in namespaces {
        for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "ReplicaSet")] {
            if let Lookup::Served(resource) = catalogue.find(api_version, kind) {
                keys.insert(WatchKey {
                    resource: resource.clone(),
                    namespace: Some(namespace.to_owned()),
                    account: None,
                    marks_only: false,
                });
            }
        }
    }
    context.watches.demand(&subject.key, keys);
    Ok(())
}

fn has_pods(kind: &GroupKind) -> bool {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job" | "CronJob") => true,
        ("", "Pod" | "ReplicationController") => true,
        _ => false,
    }
}

/// Returns the key of the watch that covers objects of a kind.
fn key(subject: &Subject, memory: &Memory, resource: &Resource, namespace: &str) -> WatchKey {
    let own = !resource.is_secret() && !memory.unwatchable.contains(&resource.group_kind());
    if own {
        return WatchKey {
            resource: resource.clone(),
            namespace: None,
            account: None,
            marks_only: true,
        };
    }
    WatchKey {
        resource: resource.clone(),
        namespace: resource.namespaced.then(|| namespace.to_owned()),
        account: Some(subject.account.clone()),
        marks_only: true,
    }
}

/// Returns what a watch knows of an object.
pub(super) async fn seen(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    object: &Object,
) -> Result<Seen, Error> {
    let catalogue = context.cluster.discovery().catalogue().await?;
    Ok(match catalogue.find(object.api_version(), &object.id().kind) {
        Lookup::Served(resource) => {
            let key = key(subject, memory, resource, &object.id().namespace);
            context.watches.seen(&key, object.id())
        }
        Lookup::Unknown | Lookup::NotLooked => Seen::Unknown,
    })
}

/// Returns the resource version of an object as a number; 0 where it is none.
/// Kubernetes promises since 1.35 that resource versions of one kind compare as numbers.
pub(super) fn version(value: &Value) -> u64 {
    value
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
