//! Time as an argument.
//!
//! Enters: a reading that a shell took.
//! Leaves: `Now`, a pair of wall and monotonic time.
//! Never: reading a clock; only `clock` does.

use std::time::Duration;

use jiff::Timestamp;

/// One reading of both clocks. Deadlines count monotonic time; people are shown the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall time; it can jump.
    pub wall: Timestamp,
    /// Time since the process began; it cannot.
    pub monotonic: Duration,
}

impl Now {
    /// Returns the monotonic time that passed since `earlier`; zero if `earlier` lies ahead.
    pub fn since(&self, earlier: Duration) -> Duration {
        self.monotonic.saturating_sub(earlier)
    }
}

/// A limit in elapsed time: how much is allowed and how much is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Time allowed.
    pub limit: Duration,
    /// Time spent so far, across restarts.
    pub spent: Duration,
}

impl Deadline {
    /// Returns what is left; zero when the deadline has passed.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.spent)
    }

    /// Says whether the deadline has passed.
    pub fn is_over(&self) -> bool {
        self.spent >= self.limit
    }
}
