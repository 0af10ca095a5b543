//! Whether the lease is still ours, cheap enough to ask before every write.
//!
//! Enters: the moment until which the lease is certainly ours, on our monotonic clock.
//! Leaves: `Fence`, which every Writer and Keeper carries.
//! Never: a question to the API server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::model::Now;

/// What a write leaves between its own end and the end of the lease: 2 s, for the way to the API server.
const MARGIN: Duration = Duration::from_secs(2);

/// Shortest time in which a write is begun at all.
const SHORTEST: Duration = Duration::from_secs(1);

/// Whether the lease is still ours. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Milliseconds of monotonic time until which the lease is ours; 0 where it is not.
    until: Arc<AtomicU64>,
    clock: fn() -> Now,
}

impl Fence {
    /// Returns a fence that lets nothing through until the lease is won.
    pub(super) fn closed(clock: fn() -> Now) -> Self {
        Self {
            until: Arc::new(AtomicU64::new(0)),
            clock,
        }
    }

    /// Returns a fence that lets everything through: for one-shot tools and tests that run no second controller.
    pub fn open(clock: fn() -> Now) -> Self {
        Self {
            until: Arc::new(AtomicU64::new(u64::MAX)),
            clock,
        }
    }

    pub(super) fn extend(&self, until: Duration) {
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.until.store(millis, Ordering::Release);
    }

    /// Says whether something that takes a moment may begin: a write that has no deadline of its own.
    pub fn is_open(&self) -> bool {
        self.allows(SHORTEST).is_some()
    }

    pub(super) fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Returns how long the lease is certainly ours.
    pub fn left(&self) -> Duration {
        let now = (self.clock)().monotonic;
        Duration::from_millis(self.until.load(Ordering::Acquire)).saturating_sub(now)
    }

    /// Says whether the lease is ours for at least `time`.
    pub fn holds_for(&self, time: Duration) -> bool {
        self.left() >= time
    }

    /// Returns the longest that a write begun now may take, at most `most`; None where it must not begin.
    pub(super) fn allows(&self, most: Duration) -> Option<Duration> {
        let allowed = self.left().saturating_sub(MARGIN).min(most);
        (allowed >= SHORTEST.min(most)).then_some(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ten_seconds() -> Now {
        Now {
            wall: jiff::Timestamp::UNIX_EPOCH,
            monotonic: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_write_ends_before_the_lease_does() {
        let fence = Fence::closed(at_ten_seconds);
        assert_eq!(fence.allows(Duration::from_secs(30)), None);
        fence.extend(Duration::from_secs(25));
        assert_eq!(
            fence.allows(Duration::from_secs(30)),
            Some(Duration::from_secs(13))
        );
        assert_eq!(
            fence.allows(Duration::from_secs(4)),
            Some(Duration::from_secs(4))
        );
        fence.extend(Duration::from_millis(12_500));
        assert_eq!(fence.allows(Duration::from_secs(30)), None);
        assert!(fence.holds_for(Duration::from_secs(2)));
        fence.close();
        assert!(!fence.holds_for(Duration::from_millis(1)));
    }
}
