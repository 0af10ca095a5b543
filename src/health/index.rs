//! The pods, replica sets and events of a view, by owner.
//!
//! Enters: a view, once for each assessment.
//! Leaves: lists in order of name, so that the same view gives the same message.
//! Never: a search through all pods for each object.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::fields;

#[derive(Default)]
pub(super) struct Index<'a> {
    pods: BTreeMap<&'a str, Vec<&'a Value>>,
    replica_sets: BTreeMap<&'a str, Vec<&'a Value>>,
    events: BTreeMap<&'a str, Vec<&'a Value>>,
    claims: BTreeSet<(&'a str, String)>,
}

impl<'a> Index<'a> {
    pub(super) fn new(
        pods: &'a [Arc<Value>],
        replica_sets: &'a [Arc<Value>],
        events: &'a [Arc<Value>],
    ) -> Self {
        let mut index = Self::default();
        for pod in pods {
            if let Some(owner) = fields::controller(pod) {
                index.pods.entry(owner).or_default().push(pod);
            }
            let namespace = fields::namespace(pod);
            for volume in fields::items(pod, &["spec", "volumes"]) {
                let claim = fields::text_at(volume, &["persistentVolumeClaim", "claimName"]);
                if let Some(claim) = claim {
                    index.claims.insert((namespace, claim.to_owned()));
                }
                if volume.get("ephemeral").is_some_and(Value::is_object) {
                    let volume = fields::name_of(volume);
                    let claim = format!("{}-{volume}", fields::name(pod));
                    index.claims.insert((namespace, claim));
                }
            }
        }
        for set in replica_sets {
            if let Some(owner) = fields::controller(set) {
                index.replica_sets.entry(owner).or_default().push(set);
            }
        }
        for event in events {
            // core/v1 and events.k8s.io/v1 name the object differently.
            let object = fields::text_at(event, &["involvedObject", "uid"])
                .or_else(|| fields::text_at(event, &["regarding", "uid"]));
            if let Some(object) = object.filter(|uid| !uid.is_empty()) {
                index.events.entry(object).or_default().push(event);
            }
        }
        for list in index
            .pods
            .values_mut()
            .chain(index.replica_sets.values_mut())
        {
            list.sort_by_key(|object| (fields::name(object), fields::uid(object)));
        }
        index
    }

    /// Returns the pods that this UID controls.
    pub(super) fn pods_of(&self, owner: &str) -> &[&'a Value] {
        self.pods.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Returns the replica sets that this UID controls.
    pub(super) fn replica_sets_of(&self, owner: &str) -> &[&'a Value] {
        self.replica_sets.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Returns the message of an event of this reason about the object of this UID.
    pub(super) fn event(&self, uid: &str, reason: &str) -> Option<&'a Value> {
        self.events
            .get(uid)?
            .iter()
            .filter(|event| fields::text_at(event, &["reason"]) == Some(reason))
            .max_by_key(|event| event_time(event))
            .copied()
    }

    /// Says whether a pod of the view mounts the claim.
    pub(super) fn is_claimed(&self, namespace: &str, claim: &str) -> bool {
        self.claims.contains(&(namespace, claim.to_owned()))
    }
}

/// Returns the text of an event.
pub(super) fn event_text(event: &Value) -> &str {
    fields::text_at(event, &["message"])
        .or_else(|| fields::text_at(event, &["note"]))
        .unwrap_or_default()
}

/// Returns when an event was last seen, as text: RFC 3339 in UTC sorts by time.
pub(super) fn event_time(event: &Value) -> &str {
    [
        &["series", "lastObservedTime"][..],
        &["lastTimestamp"],
        &["deprecatedLastTimestamp"],
        &["eventTime"],
        &["metadata", "creationTimestamp"],
    ]
    .into_iter()
    .find_map(|path| fields::text_at(event, path))
    .unwrap_or_default()
}
