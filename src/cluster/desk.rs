//! What a replica is told of its share, and what it tells of it.
//!
//! Enters: ends of work, pushes, why nothing may be changed.
//! Leaves: `Share`; what the lease reads from its `Desk`.
//! Never: a request.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{Notify, mpsc, watch};

use super::{Fence, Push};
use crate::model::{RepositoryName, Slots, sha256_hex};

/// Pushes that are told and wait to be taken.
const WAITING: usize = 64;

/// What is ours now.
#[derive(Clone, Debug)]
pub struct Share {
    /// Another number: everything was lost meanwhile, and may have been another's.
    pub membership: u64,
    /// Grows whenever slots come or go.
    pub version: u64,
    /// The slots to work in.
    pub slots: Slots,
    /// How many replicas there are, with us.
    pub members: usize,
    /// Why nothing may be changed, by who keeps the records; None where it may.
    pub halt: Option<String>,
    /// Repositories that were pushed to, newest last.
    pub pushes: Arc<[Push]>,
    /// Number of the push that comes next.
    pub next_push: u64,
    /// Open while the share is ours, never again after.
    pub fence: Fence,
}

/// What ends when slots are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The work on Applications.
    Work,
    /// What only the holder of the first slot does.
    House,
}

/// Where the end of work is told, and what others are to hear. Clones tell the same Lease.
#[derive(Clone, Debug)]
pub struct Desk {
    inner: Arc<DeskInner>,
    pushes: mpsc::Sender<String>,
    halt: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct DeskInner {
    work: AtomicU64,
    house: AtomicU64,
    told: Notify,
}

impl Desk {
    /// Returns a desk, and what the lease reads from it.
    pub(super) fn new() -> (
        Self,
        mpsc::Receiver<String>,
        watch::Receiver<Option<String>>,
    ) {
        let (told, pushes) = mpsc::channel(WAITING);
        let (halting, halt) = watch::channel(None);
        let desk = Self {
            inner: Arc::default(),
            pushes: told,
            halt: halting,
        };
        (desk, pushes, halt)
    }

    /// Waits until an end is told.
    pub(super) async fn told(&self) {
        self.inner.told.notified().await;
    }

    /// Tells that all of a task has ended that lay outside of the share of this version.
    pub fn has_ended(&self, task: Task, version: u64) {
        let told = match task {
            Task::Work => &self.inner.work,
            Task::House => &self.inner.house,
        };
        if told.fetch_max(version, Ordering::AcqRel) < version {
            self.inner.told.notify_one();
        }
    }

    /// Tells the other replicas of a repository that was pushed to. Where there are too many at once they ask by themselves.
    pub fn announce(&self, repository: &RepositoryName) {
        // A full channel: what waits in it is more than the table takes, so that everything is asked.
        let _full = self.pushes.try_send(push_name(repository));
    }

    /// Tells the other replicas why nothing may be changed.
    pub fn halt(&self, halt: Option<String>) {
        self.halt.send_if_modified(|before| {
            let changed = *before != halt;
            *before = halt;
            changed
        });
    }

    /// Returns the version outside of which every task has ended.
    pub(super) fn ended(&self) -> u64 {
        let work = self.inner.work.load(Ordering::Acquire);
        work.min(self.inner.house.load(Ordering::Acquire))
    }
}

/// Returns a repository as a push tells it: who may read Leases need not know its name.
pub fn push_name(repository: &RepositoryName) -> String {
    let mut hash = sha256_hex(repository.as_str().as_bytes());
    hash.truncate(16);
    hash
}
