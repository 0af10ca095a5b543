//! Watches that Applications share: one for each kind, started and stopped by demand.
//!
//! Enters: which Application wants to know about which kinds.
//! Leaves: hints that something happened; the objects as last seen.
//! Never: a proof: an event is a hint, and what is not seen is read before anything is believed gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{
    Cluster, Error, Identity, ListQuery,
    follow::{self, Sink, Target},
    owner, prune,
};
use crate::{
    api::{LABEL_APPLICATION, Reason},
    model::{AccountName, ApplicationKey, ObjectId, Seen},
};

/// How long a watch that nobody wants any more goes on: a rollout that ends and begins again needs the same ones.
const LINGER: Duration = Duration::from_secs(60);
/// How many owners are asked up: Pod, ReplicaSet, Deployment, and one above.
const OWNERS: usize = 4;

/// One watch: a kind, where, as whom, and which of its objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; None for all.
    pub namespace: Option<String>,
    /// As which account; None as the controller itself.
    pub account: Option<AccountName>,
    /// Whether only objects with our marks are seen.
    pub marks_only: bool,
    /// Whether only their metadata is seen.
    pub metadata_only: bool,
}

impl WatchKey {
    /// Returns the shared watch of a kind: all namespaces, as the controller, our marks only.
    pub fn shared(api_version: &str, kind: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            account: None,
            marks_only: true,
            metadata_only: false,
        }
    }

    /// Returns the watch of a kind in one namespace as an account, for kinds that the controller may not watch.
    pub fn of_account(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        account: &AccountName,
    ) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            account: Some(account.clone()),
            ..Self::shared(api_version, kind)
        }
    }

    /// Returns the watch of all Pods of a namespace.
    pub fn pods(namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            marks_only: false,
            ..Self::shared("v1", "Pod")
        }
    }

    /// Returns the watch of all ReplicaSets of a namespace.
    pub fn replica_sets(namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            marks_only: false,
            ..Self::shared("apps/v1", "ReplicaSet")
        }
    }

    fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    fn covers(&self, id: &ObjectId) -> bool {
        id.is(self.group(), &self.kind)
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == id.namespace)
    }

    fn target(&self) -> Target {
        Target {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            who: self
                .account
                .clone()
                .map_or(Identity::Controller, Identity::Account),
            query: ListQuery {
                namespace: self.namespace.clone(),
                labels: if self.marks_only {
                    LABEL_APPLICATION.to_owned()
                } else {
                    String::new()
                },
                fields: String::new(),
                metadata_only: self.metadata_only,
            },
        }
    }
}

/// Something happened, perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// An object is new, changed or gone.
    Object {
        /// The object.
        id: ObjectId,
        /// Its Application, by its marks or by those of who controls it.
        application: Option<ApplicationKey>,
    },
    /// A watch has listed: what it does not have is `Absent` from now on.
    Synced(WatchKey),
    /// A watch is lost: what it knows is `Unknown` from now on. It goes on trying by itself.
    Lost {
        /// The watch.
        key: WatchKey,
        /// `Forbidden` and `NoIdentity` ask for another watch, as an account; the others pass.
        reason: Reason,
        /// What happened.
        message: String,
    },
}

/// Where a watch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Nobody demanded it, or it has not listed yet.
    Starting,
    /// It has listed and follows.
    Synced,
    /// It does not follow.
    Lost {
        /// Why, from the closed list.
        reason: Reason,
        /// What happened.
        message: String,
    },
}

/// The watches of the process. Clones share them; they end with the last clone.
#[derive(Clone)]
pub struct Watches {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: Cluster,
    hints: mpsc::Sender<Hint>,
    linger: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    demands: BTreeMap<ApplicationKey, BTreeSet<WatchKey>>,
    running: BTreeMap<WatchKey, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    users: usize,
    /// Counts how often it was left by its last user, so that a late stop does not hit a new demand.
    left: u64,
    store: Arc<Mutex<Store>>,
    task: AbortHandle,
}

struct Store {
    state: WatchState,
    /// By namespace and name.
    objects: BTreeMap<(String, String), Arc<Value>>,
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

/// A poisoned lock holds whole values: nothing of ours panics in the middle of a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watches {
    /// Returns no watch yet. Hints go to `hints`; where nobody takes them, watches wait.
    pub fn new(cluster: &Cluster, hints: mpsc::Sender<Hint>) -> Self {
        Self::with_linger(cluster, hints, LINGER)
    }

    /// As `new`, with another time that a watch goes on after its last demand. Default 60 s.
    pub fn with_linger(cluster: &Cluster, hints: mpsc::Sender<Hint>, linger: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                cluster: cluster.clone(),
                hints,
                linger,
                state: Mutex::default(),
            }),
        }
    }

    /// Replaces what an Application demands; an empty set demands nothing any more.
    pub fn demand(&self, who: ApplicationKey, keys: BTreeSet<WatchKey>) {
        let mut state = lock(&self.inner.state);
        while state.tasks.try_join_next().is_some() {}
        let before = if keys.is_empty() {
            state.demands.remove(&who)
        } else {
            state.demands.insert(who, keys.clone())
        }
        .unwrap_or_default();
        for key in keys.difference(&before) {
            self.start(&mut state, key);
        }
        for key in before.difference(&keys) {
            self.leave(&mut state, key);
        }
    }

    fn start(&self, state: &mut State, key: &WatchKey) {
        if let Some(running) = state.running.get_mut(key) {
            running.users += 1;
            return;
        }
        let store = Arc::new(Mutex::new(Store {
            state: WatchState::Starting,
            objects: BTreeMap::new(),
        }));
        let mut sink = KindSink {
            key: key.clone(),
            store: Arc::clone(&store),
            hints: self.inner.hints.clone(),
            watches: Arc::downgrade(&self.inner),
        };
        let cluster = self.inner.cluster.clone();
        let target = key.target();
        let task = state
            .tasks
            .spawn(async move { follow::follow(&cluster, &target, &mut sink).await });
        let running = Running {
            users: 1,
            left: 0,
            store,
            task,
        };
        state.running.insert(key.clone(), running);
    }

    fn leave(&self, state: &mut State, key: &WatchKey) {
        let Some(running) = state.running.get_mut(key) else {
            return;
        };
        running.users = running.users.saturating_sub(1);
        if running.users > 0 {
            return;
        }
        running.left += 1;
        let left = running.left;
        let key = key.clone();
        let watches = Arc::downgrade(&self.inner);
        let linger = self.inner.linger;
        let _stop = state.tasks.spawn(async move {
            tokio::time::sleep(linger).await;
            if let Some(inner) = watches.upgrade() {
                inner.stop(&key, left);
            }
        });
    }

    /// Returns what the watch knows of an object. With `marks_only`, an object without our marks is `Absent`.
    pub fn seen(&self, key: &WatchKey, id: &ObjectId) -> Seen {
        if !key.covers(id) {
            return Seen::Unknown;
        }
        let Some(store) = self.inner.store(key) else {
            return Seen::Unknown;
        };
        let store = lock(&store);
        if store.state != WatchState::Synced {
            return Seen::Unknown;
        }
        match store.objects.get(&(id.namespace.clone(), id.name.clone())) {
            Some(object) => Seen::Present(Arc::clone(object)),
            None => Seen::Absent,
        }
    }

    /// Returns all objects that the watch knows, by namespace and name; None where it is not synced.
    pub fn list(&self, key: &WatchKey) -> Option<Vec<Arc<Value>>> {
        let store = self.inner.store(key)?;
        let store = lock(&store);
        (store.state == WatchState::Synced).then(|| store.objects.values().cloned().collect())
    }

    /// Returns the Pods and the ReplicaSets of a namespace; None where either watch is not synced.
    pub fn pods_and_replica_sets(
        &self,
        namespace: &str,
    ) -> Option<(Vec<Arc<Value>>, Vec<Arc<Value>>)> {
        Some((
            self.list(&WatchKey::pods(namespace))?,
            self.list(&WatchKey::replica_sets(namespace))?,
        ))
    }

    /// Says whether the watch has listed and follows.
    pub fn is_synced(&self, key: &WatchKey) -> bool {
        self.state(key) == WatchState::Synced
    }

    /// Returns where a watch stands.
    pub fn state(&self, key: &WatchKey) -> WatchState {
        self.inner
            .store(key)
            .map_or(WatchState::Starting, |store| lock(&store).state.clone())
    }

    /// Returns the Applications that demand a watch.
    pub fn demanding(&self, key: &WatchKey) -> Vec<ApplicationKey> {
        lock(&self.inner.state)
            .demands
            .iter()
            .filter(|(_, keys)| keys.contains(key))
            .map(|(who, _)| who.clone())
            .collect()
    }

    /// Returns how many watches run.
    pub fn count(&self) -> usize {
        lock(&self.inner.state).running.len()
    }
}

impl Inner {
    fn store(&self, key: &WatchKey) -> Option<Arc<Mutex<Store>>> {
        let state = lock(&self.state);
        state
            .running
            .get(key)
            .map(|running| Arc::clone(&running.store))
    }

    fn stop(&self, key: &WatchKey, left: u64) {
        let mut state = lock(&self.state);
        let unwanted = state
            .running
            .get(key)
            .is_some_and(|running| running.users == 0 && running.left == left);
        if unwanted && let Some(running) = state.running.remove(key) {
            running.task.abort();
        }
    }

    /// Returns the Application of an object: by its marks, or by those of who controls it, as far as watches know.
    fn application_of(&self, object: &Value) -> Option<ApplicationKey> {
        if let Some(application) = owner::marks_of(object) {
            return Some(application);
        }
        let mut id = owner::controller_of(object)?;
        for _ in 0..OWNERS {
            let above = self.find(&id)?;
            if let Some(application) = owner::marks_of(&above) {
                return Some(application);
            }
            id = owner::controller_of(&above)?;
        }
        None
    }

    fn find(&self, id: &ObjectId) -> Option<Arc<Value>> {
        let stores: Vec<Arc<Mutex<Store>>> = lock(&self.state)
            .running
            .iter()
            .filter(|(key, _)| key.covers(id))
            .map(|(_, running)| Arc::clone(&running.store))
            .collect();
        let place = (id.namespace.clone(), id.name.clone());
        stores
            .iter()
            .find_map(|store| lock(store).objects.get(&place).cloned())
    }
}

/// Takes what one watch tells.
struct KindSink {
    key: WatchKey,
    store: Arc<Mutex<Store>>,
    hints: mpsc::Sender<Hint>,
    watches: Weak<Inner>,
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
