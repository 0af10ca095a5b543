//! The clocks. Only shells call this; everything else is given `now`.
//!
//! Enters: nothing.
//! Leaves: `Now`.
//! Never: a second place that reads a clock.

use std::{sync::LazyLock, time::Instant};

use jiff::Timestamp;

use crate::model::Now;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Reads both clocks. Monotonic time counts from the first reading.
#[expect(clippy::disallowed_methods, reason = "the home of the wall clock")]
pub fn now() -> Now {
    Now {
        wall: Timestamp::now(),
        monotonic: START.elapsed(),
    }
}
