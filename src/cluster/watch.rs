//! Watches that Applications share: one for each kind, started and stopped by demand.
//!
//! Enters: which Application wants to know about which kinds.
//! Leaves: hints that something happened; the objects as last seen.
//! Never: a proof: an event is a hint, and what is not seen is read before anything is believed gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{
    Cluster, WatchKey, follow,
    seen::{Kept, KindSink, Store},
};
use crate::{
    api::Reason,
    model::{ApplicationKey, ObjectId, Seen},
};

/// How long a watch that nobody wants any more goes on: a rollout that ends and begins again needs the same ones.
const LINGER: Duration = Duration::from_secs(60);
/// How many owners are asked up: Pod, ReplicaSet, Deployment, and one above.
const OWNERS: usize = 4;

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

/// Objects that a watch knows, by namespace and name.
pub type Listed = Vec<Arc<Value>>;

/// The watches of the process. Clones share them; they end with the last clone.
#[derive(Clone)]
pub struct Watches {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
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

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

/// A poisoned lock holds whole values: nothing of ours panics in the middle of a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        let before = state.demands.remove(&who).unwrap_or_default();
        for key in keys.difference(&before) {
            self.start(&mut state, key);
        }
        for key in before.difference(&keys) {
            self.leave(&mut state, key);
        }
        if !keys.is_empty() {
            state.demands.insert(who, keys);
        }
    }

    fn start(&self, state: &mut State, key: &WatchKey) {
        if let Some(running) = state.running.get_mut(key) {
            running.users += 1;
            return;
        }
        let store = Arc::<Mutex<Store>>::default();
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
            Some(object) => Seen::Present(object.whole.clone()),
            None => Seen::Absent,
        }
    }

    /// Returns all objects that the watch knows, by namespace and name; None where it is not synced.
    pub fn list(&self, key: &WatchKey) -> Option<Listed> {
        let store = self.inner.store(key)?;
        let store = lock(&store);
        (store.state == WatchState::Synced)
            .then(|| store.objects.values().filter_map(Kept::open).collect())
    }

    /// Returns the objects that one of these UIDs controls, by namespace and name; None where the watch is not synced.
    pub fn controlled(&self, key: &WatchKey, owners: &BTreeSet<String>) -> Option<Listed> {
        let store = self.inner.store(key)?;
        let store = lock(&store);
        (store.state == WatchState::Synced).then(|| store.controlled(owners))
    }

    /// Returns the Pods and the ReplicaSets of a namespace that these UIDs control, or that a ReplicaSet of theirs
    /// controls; None where either watch is not synced.
    pub fn pods_and_replica_sets(
        &self,
        namespace: &str,
        owners: &BTreeSet<String>,
    ) -> Option<(Listed, Listed)> {
        let replica_sets = self.controlled(&WatchKey::replica_sets(namespace), owners)?;
        let uid = |set: &Arc<Value>| Some(set.pointer("/metadata/uid")?.as_str()?.to_owned());
        let mut owners = owners.clone();
        owners.extend(replica_sets.iter().filter_map(uid));
        let pods = self.controlled(&WatchKey::pods(namespace), &owners)?;
        Some((pods, replica_sets))
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
    pub(super) fn application_of(&self, object: &Kept) -> Option<ApplicationKey> {
        if let Some(application) = &object.marks {
            return Some(application.clone());
        }
        let mut id = object.controller.clone()?;
        for _ in 0..OWNERS {
            let (marks, above) = self.owner(&id)?;
            if marks.is_some() {
                return marks;
            }
            id = above?;
        }
        None
    }

    /// Returns whose an object is, and what controls it.
    fn owner(&self, id: &ObjectId) -> Option<(Option<ApplicationKey>, Option<ObjectId>)> {
        let stores: Vec<Arc<Mutex<Store>>> = lock(&self.state)
            .running
            .iter()
            .filter(|(key, _)| key.covers(id))
            .map(|(_, running)| Arc::clone(&running.store))
            .collect();
        let place = (id.namespace.clone(), id.name.clone());
        stores.iter().find_map(|store| {
            let store = lock(store);
            let found = store.objects.get(&place)?;
            Some((found.marks.clone(), found.controller.clone()))
        })
    }
}
