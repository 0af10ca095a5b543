//! What one watch knows, and the hints that it gives.
//!
//! Enters: what `follow` tells.
//! Leaves: the objects as last seen; a hint for each that changed.
//! Never: an object that is not synced shown as known.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Error, Hint, WatchKey, WatchState,
    follow::Sink,
    prune,
    watch::{Inner, lock},
};
use crate::model::ObjectId;

/// What one watch knows.
pub(super) struct Store {
    pub(super) state: WatchState,
    /// By namespace and name.
    pub(super) objects: BTreeMap<(String, String), Arc<Value>>,
}

/// Takes what one watch tells.
pub(super) struct KindSink {
    pub(super) key: WatchKey,
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) hints: mpsc::Sender<Hint>,
    pub(super) watches: Weak<Inner>,
}

impl KindSink {
    async fn hint(&self, hint: Hint) {
        // Nobody takes hints any more: the process ends.
        let _closed = self.hints.send(hint).await;
    }

    async fn changed(&self, before: Option<&Value>, after: &Value) {
        let Some(place) = place_of(after) else {
            return;
        };
        let application = self.watches.upgrade().and_then(|watches| {
            watches
                .application_of(after)
                .or_else(|| watches.application_of(before?))
        });
        let (namespace, name) = place;
        let id = ObjectId::new(self.key.group(), &self.key.kind, &namespace, &name);
        self.hint(Hint::Object { id, application }).await;
    }
}

impl Sink for KindSink {
    fn keep(&self, object: Value) -> Value {
        if self.key.marks_only {
            prune::of_marked(object)
        } else {
            prune::of_unmarked(self.key.group(), &self.key.kind, object)
        }
    }

    async fn listed(&mut self, objects: Vec<Value>) {
        let objects: BTreeMap<(String, String), Arc<Value>> = objects
            .into_iter()
            .filter_map(|object| Some((place_of(&object)?, Arc::new(object))))
            .collect();
        let (before, first) = {
            let mut store = lock(&self.store);
            let first = store.state == WatchState::Starting;
            store.state = WatchState::Synced;
            (
                std::mem::replace(&mut store.objects, objects.clone()),
                first,
            )
        };
        self.hint(Hint::Synced(self.key.clone())).await;
        if first {
            // Who demanded it looks at everything now; a hint for each object would say the same again.
            return;
        }
        for (place, after) in &objects {
            let before = before.get(place);
            if before.map(|before| version_of(before)) != Some(version_of(after)) {
                self.changed(before.map(AsRef::as_ref), after).await;
            }
        }
        for (place, gone) in &before {
            if !objects.contains_key(place) {
                self.changed(None, gone).await;
            }
        }
    }

    async fn applied(&mut self, object: Value) {
        let Some(place) = place_of(&object) else {
            return;
        };
        let object = Arc::new(object);
        let before = lock(&self.store).objects.insert(place, Arc::clone(&object));
        self.changed(before.as_deref(), &object).await;
    }

    async fn deleted(&mut self, object: Value) {
        let Some(place) = place_of(&object) else {
            return;
        };
        let before = lock(&self.store).objects.remove(&place);
        self.changed(before.as_deref(), &object).await;
    }

    async fn lost(&mut self, error: &Error) {
        let lost = WatchState::Lost {
            reason: error.reason(),
            message: error.to_string(),
        };
        let told = {
            let mut store = lock(&self.store);
            let told = matches!(&store.state, WatchState::Lost { reason, .. } if *reason == error.reason());
            store.state = lost;
            told
        };
        if !told {
            let hint = Hint::Lost {
                key: self.key.clone(),
                reason: error.reason(),
                message: error.to_string(),
            };
            self.hint(hint).await;
        }
    }

    async fn found(&mut self) {
        let again = {
            let mut store = lock(&self.store);
            let again = store.state != WatchState::Synced;
            store.state = WatchState::Synced;
            again
        };
        if again {
            self.hint(Hint::Synced(self.key.clone())).await;
        }
    }
}

fn place_of(object: &Value) -> Option<(String, String)> {
    let metadata = object.get("metadata")?;
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    Some((
        text("namespace").unwrap_or_default().to_owned(),
        text("name")?.to_owned(),
    ))
}

fn version_of(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("resourceVersion")?.as_str()
}
