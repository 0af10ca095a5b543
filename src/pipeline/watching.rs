//! Which watches an Application needs.
//!
//! Enters: the objects of its sets.
//! Leaves: demands on the shared watches; the key by which an object is looked up.
//! Never: a watch of a kind by the controller that it may not watch: that one is the account's.

use std::collections::BTreeSet;

use super::{Context, Memory, Subject};
use crate::{
    api::Reason,
    cluster::{WatchKey, WatchState},
    model::{GroupKind, Object, Seen},
};

/// Demands the watches for these objects.
pub(super) fn demand(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    objects: &[Object],
) {
    note_unwatchable(context, memory, objects);
    let memory = &*memory;
    let mut keys: BTreeSet<WatchKey> = objects
        .iter()
        .map(|object| key(subject, memory, object))
        .collect();
    for object in objects
        .iter()
        .filter(|object| has_pods(&object.group_kind()))
    {
        keys.insert(WatchKey::pods(&object.id().namespace));
        keys.insert(WatchKey::replica_sets(&object.id().namespace));
    }
    context.watches.demand(subject.key.clone(), keys);
}

/// Notes the kinds whose shared watch was denied before this Application wanted it: the hint went to the others.
fn note_unwatchable(context: &Context, memory: &mut Memory, objects: &[Object]) {
    for object in objects {
        let shared = WatchKey::shared(object.api_version(), &object.id().kind);
        let denied = matches!(
            context.watches.state(&shared),
            WatchState::Lost {
                reason: Reason::Forbidden | Reason::NoIdentity,
                ..
            }
        );
        if denied {
            memory.cannot_watch(object.group_kind());
        }
    }
}

pub(super) fn has_pods(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        (
            "apps",
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet"
        ) | ("batch", "Job" | "CronJob")
            | ("", "Pod" | "ReplicationController")
    )
}

/// Returns the key of the watch that covers an object.
fn key(subject: &Subject, memory: &Memory, object: &Object) -> WatchKey {
    let (api_version, id) = (object.api_version(), object.id());
    if !id.is("", "Secret") && !memory.unwatchable.contains(&id.group_kind()) {
        return WatchKey::shared(api_version, &id.kind);
    }
    let namespace = Some(id.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    WatchKey::of_account(api_version, &id.kind, namespace, &subject.account)
}

/// Returns what a watch knows of an object.
pub(super) fn seen(context: &Context, subject: &Subject, memory: &Memory, object: &Object) -> Seen {
    context
        .watches
        .seen(&key(subject, memory, object), object.id())
}
