//! What the room has done since it was opened.
//!
//! Enters: one event at a time.
//! Leaves: `Counts`, for metrics and for tests that count requests.
//! Never: a label made from an address.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers since `Mirrors::open`, but for `abandoned` and the last two, which say what is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Times a server was asked for its references.
    pub ls_remotes: u64,
    /// Times a pack was fetched.
    pub fetches: u64,
    /// Bytes of references and packs received.
    pub received_bytes: u64,
    /// Rounds with a server that failed.
    pub failures: u64,
    /// Damaged mirrors that were thrown away and built again.
    pub rebuilds: u64,
    /// Mirrors that were thrown away because the cache was full or nobody asked for them.
    pub evictions: u64,
    /// Threads that did not end in time and still run.
    pub abandoned: u64,
    /// Mirrors that are kept.
    pub mirrors: u64,
    /// Bytes that they hold on disk.
    pub mirror_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) ls_remotes: AtomicU64,
    pub(super) fetches: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) rebuilds: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) abandoned: AtomicU64,
}

impl Counters {
    /// Returns the numbers; those of the mirrors are the caller's.
    pub(super) fn read(&self, mirrors: u64, mirror_bytes: u64) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            ls_remotes: read(&self.ls_remotes),
            fetches: read(&self.fetches),
            received_bytes: read(&self.received_bytes),
            failures: read(&self.failures),
            rebuilds: read(&self.rebuilds),
            evictions: read(&self.evictions),
            abandoned: read(&self.abandoned),
            mirrors,
            mirror_bytes,
        }
    }
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
