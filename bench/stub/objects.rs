//! What is stored: objects by kind, and the changes that watches follow.
//!
//! Enters: objects.
//! Leaves: the same, numbered; lines for watches.
//! Never: a change that a watch from before it does not see: it is told to list again where the past is forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Changes of one kind that are remembered: more than happen between a list and its watch.
const PAST: usize = 20_000;

/// A watch: the selector, and where its lines go.
type Follower = (String, mpsc::UnboundedSender<Bytes>);

/// The objects of one kind.
#[derive(Default)]
pub(super) struct Collection {
    pub(super) objects: BTreeMap<(String, String), Bytes>,
    /// Places by `label=value`: nobody goes through everything for one.
    labelled: BTreeMap<String, BTreeSet<(String, String)>>,
    past: VecDeque<(u64, Value)>,
    forgotten: u64,
    followers: Vec<Follower>,
}

/// Everything.
#[derive(Default)]
pub(super) struct Store {
    pub(super) version: u64,
    collections: BTreeMap<String, Collection>,
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

/// Says whether an object has the labels of a selector: names, and names with values.
pub(super) fn is_selected(object: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .filter(|part| !part.is_empty())
        .all(|part| {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value.trim_start_matches('='))),
                None => (part, None),
            };
            let found = &object["metadata"]["labels"][name];
            found
                .as_str()
                .is_some_and(|found| value.is_none_or(|value| value == found))
        })
}

fn labels_of(object: &Value) -> Vec<String> {
    let labels = object["metadata"]["labels"].as_object();
    let pairs = labels.into_iter().flatten();
    // The one field by which anything here is selected is found as a label is.
    let field = object["spec"]["application"].as_str();
    pairs
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
        .chain(field.map(|name| format!("spec.application={name}")))
        .collect()
}

impl Store {
    pub(super) fn collection(&mut self, kind: &str) -> &mut Collection {
        self.collections.entry(kind.to_owned()).or_default()
    }

    pub(super) fn get(&self, kind: &str, place: &(String, String)) -> Option<Value> {
        let bytes = self.collections.get(kind)?.objects.get(place)?;
        serde_json::from_slice(bytes).ok()
    }

    /// Stores an object, over what was there, and returns it as it is now.
    pub(super) fn put(
        &mut self,
        kind: &str,
        place: (String, String),
        mut object: Value,
        before: Option<&Value>,
    ) -> Value {
        self.version += 1;
        let version = self.version;
        let metadata = &mut object["metadata"];
        if !place.0.is_empty() {
            metadata["namespace"] = json!(place.0);
        }
        metadata["resourceVersion"] = json!(version.to_string());
        match before {
            Some(before) => {
                metadata["uid"] = before["metadata"]["uid"].clone();
                metadata["creationTimestamp"] = before["metadata"]["creationTimestamp"].clone();
            }
            None => {
                metadata["uid"] = json!(format!("{version:08x}-0000-4000-8000-{version:012x}"));
                metadata["creationTimestamp"] = json!("2026-11-21T08:00:00Z");
            }
        }
        let generation = before.map_or(1, |before| {
            let known = before["metadata"]["generation"].as_i64().unwrap_or(1);
            known + i64::from(before["spec"] != object["spec"])
        });
        object["metadata"]["generation"] = json!(generation);
        if kind == "apps/deployments" {
            object["status"] = json!({
                "observedGeneration": generation,
                "conditions": [
                    {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                    {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
                ],
            });
        }
        let event = match before {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        let bytes = Bytes::from(object.to_string());
        let collection = self.collection(kind);
        // Labels of what is there stay as they were put first: nothing here changes them.
        if before.is_none() {
            for label in labels_of(&object) {
                let places = collection.labelled.entry(label).or_default();
                places.insert(place.clone());
            }
        }
        collection.objects.insert(place, bytes);
        collection.tell(version, event, &object);
        object
    }

    pub(super) fn delete(&mut self, kind: &str, place: &(String, String)) -> Option<Value> {
        let object = self.get(kind, place)?;
        self.version += 1;
        let version = self.version;
        let collection = self.collection(kind);
        collection.objects.remove(place);
        for label in labels_of(&object) {
            if let Some(places) = collection.labelled.get_mut(&label) {
                places.remove(place);
            }
        }
        collection.tell(version, "DELETED", &object);
        Some(object)
    }

    /// Begins a watch after a version; None where the past is forgotten.
    pub(super) fn follow(
        &mut self,
        kind: &str,
        selector: &str,
        version: u64,
    ) -> Option<mpsc::UnboundedReceiver<Bytes>> {
        let collection = self.collection(kind);
        if version < collection.forgotten {
            return None;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        for (_, change) in collection.past.iter().filter(|(at, _)| *at > version) {
            if is_selected(&change["object"], selector) {
                let _open = sender.send(Bytes::from(format!("{change}\n")));
            }
        }
        collection.followers.push((selector.to_owned(), sender));
        Some(receiver)
    }
}

impl Collection {
    /// Returns where objects of a selector may be, in order, after a place.
    pub(super) fn candidates<'a>(
        &'a self,
        selector: &str,
        after: &'a (String, String),
    ) -> Box<dyn Iterator<Item = &'a (String, String)> + 'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (Excluded(after), Unbounded);
        let Some(label) = selector.split(',').find(|part| part.contains('=')) else {
            return Box::new(self.objects.range(range).map(|(place, _)| place));
        };
        match self.labelled.get(&label.replace("==", "=")) {
            Some(places) => Box::new(places.range(range)),
            None => Box::new(std::iter::empty()),
        }
    }

    fn tell(&mut self, version: u64, kind: &str, object: &Value) {
        if self.followers.is_empty() {
            // Whoever comes lists first.
            self.past.clear();
            self.forgotten = version;
            return;
        }
        let bytes = line(kind, object);
        self.followers.retain(|(selector, sender)| {
            !is_selected(object, selector) || sender.send(bytes.clone()).is_ok()
        });
        self.past
            .push_back((version, json!({"type": kind, "object": object})));
        if self.past.len() > PAST
            && let Some((at, _)) = self.past.pop_front()
        {
            self.forgotten = at;
        }
    }
}
