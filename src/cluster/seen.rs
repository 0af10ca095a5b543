//! What one watch knows, and the hints that it gives.
//!
//! Enters: what `follow` tells.
//! Leaves: the objects as last seen; a hint for each that changed.
//! Never: an object that is not synced shown as known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, Weak},
};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Error, Hint, WatchKey, WatchState,
    follow::Sink,
    owner, prune,
    watch::{Inner, lock},
};
use crate::model::{ApplicationKey, ObjectId, Packed};

/// Namespace and name.
type Place = (String, String);

/// What one watch knows.
pub(super) struct Store {
    pub(super) state: WatchState,
    pub(super) objects: BTreeMap<Place, Kept>,
    /// Places by the UID of what controls the object there.
    controlled: BTreeMap<String, BTreeSet<Place>>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            state: WatchState::Starting,
            objects: BTreeMap::new(),
            controlled: BTreeMap::new(),
        }
    }
}

impl Store {
    fn insert(&mut self, place: Place, object: Kept) -> Option<Kept> {
        let before = self.remove(&place);
        if let Some(owner) = &object.owner {
            let places = self.controlled.entry(owner.clone()).or_default();
            places.insert(place.clone());
        }
        self.objects.insert(place, object);
        before
    }

    fn remove(&mut self, place: &Place) -> Option<Kept> {
        let gone = self.objects.remove(place)?;
        if let Some(owner) = &gone.owner
            && let Some(places) = self.controlled.get_mut(owner)
        {
            places.remove(place);
            if places.is_empty() {
                self.controlled.remove(owner);
            }
        }
        Some(gone)
    }

    /// Returns the objects that one of these UIDs controls.
    pub(super) fn controlled(&self, owners: &BTreeSet<String>) -> Vec<Arc<Value>> {
        owners
            .iter()
            .filter_map(|owner| self.controlled.get(owner))
            .flatten()
            .filter_map(|place| self.objects.get(place)?.open())
            .collect()
    }
}

/// One object as it is kept: what is asked about often beside the packed whole.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    place: Place,
    version: String,
    pub(super) marks: Option<ApplicationKey>,
    pub(super) controller: Option<ObjectId>,
    /// UID of what controls it.
    owner: Option<String>,
    pub(super) whole: Packed,
}

impl Kept {
    fn of(object: &Value) -> Option<Self> {
        Some(Self {
            place: place_of(object)?,
            version: version_of(object).unwrap_or_default().to_owned(),
            marks: owner::marks_of(object),
            controller: owner::controller_of(object),
            owner: owner::controller_uid(object),
            whole: Packed::of(object),
        })
    }

    pub(super) fn open(&self) -> Option<Arc<Value>> {
        self.whole.value().map(Arc::new)
    }
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

    async fn changed(&self, before: Option<&Kept>, after: &Kept) {
        let application = self.watches.upgrade().and_then(|watches| {
            watches
                .application_of(after)
                .or_else(|| watches.application_of(before?))
        });
        let (namespace, name) = &after.place;
        let id = ObjectId::new(self.key.group(), &self.key.kind, namespace, name);
        self.hint(Hint::Object { id, application }).await;
    }
}

impl Sink for KindSink {
    /// None for what has no name: the API server has no such object.
    type Kept = Option<Kept>;

    fn keep(&self, object: Value) -> Option<Kept> {
        let cut = if self.key.marks_only {
            prune::of_marked(object)
        } else {
            prune::of_unmarked(self.key.group(), &self.key.kind, object)
        };
        Kept::of(&cut)
    }

    async fn listed(&mut self, objects: Vec<Option<Kept>>) {
        let mut listed = Store {
            state: WatchState::Synced,
            ..Store::default()
        };
        for object in objects.into_iter().flatten() {
            listed.insert(object.place.clone(), object);
        }
        let objects = listed.objects.clone();
        let (before, first) = {
            let mut store = lock(&self.store);
            let first = store.state == WatchState::Starting;
            (std::mem::replace(&mut *store, listed).objects, first)
        };
        self.hint(Hint::Synced(self.key.clone())).await;
        if first {
            // Who demanded it looks at everything now; a hint for each object would say the same again.
            return;
        }
        for (place, after) in &objects {
            let before = before.get(place);
            if before.map(|before| &before.version) != Some(&after.version) {
                self.changed(before, after).await;
            }
        }
        for (place, gone) in &before {
            if !objects.contains_key(place) {
                self.changed(None, gone).await;
            }
        }
    }

    async fn applied(&mut self, object: Option<Kept>) {
        let Some(object) = object else { return };
        let before = lock(&self.store).insert(object.place.clone(), object.clone());
        self.changed(before.as_ref(), &object).await;
    }

    async fn deleted(&mut self, object: Option<Kept>) {
        let Some(object) = object else { return };
        let before = lock(&self.store).remove(&object.place);
        self.changed(before.as_ref(), &object).await;
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
