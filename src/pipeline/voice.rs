//! How many events of good news are published.
//!
//! Enters: the time.
//! Leaves: whether one more may be said.
//! Never: a warning held back.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Events of good news that can come at once: a person who syncs a few Applications sees each.
const AT_ONCE: f64 = 20.0;
/// And how many a second after that. An event costs the API server two thirds of an apply, and status and record say
/// the same: where hundreds of Applications become Ready together it is left out.
const A_SECOND: f64 = 1.0;

/// A bucket of events.
#[derive(Debug)]
pub struct Voice {
    left: Mutex<(f64, Duration)>,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            left: Mutex::new((AT_ONCE, Duration::ZERO)),
        }
    }
}

impl Voice {
    /// Says whether an event of good news may be published now, and counts it.
    pub(super) fn may_say(&self, now: Duration) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *left;
        let tokens = (tokens + now.saturating_sub(at).as_secs_f64() * A_SECOND).min(AT_ONCE);
        let may = tokens >= 1.0;
        *left = (if may { tokens - 1.0 } else { tokens }, now.max(at));
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_cut_and_a_quiet_minute_fills_it_again() {
        let voice = Voice::default();
        let at = |seconds| Duration::from_secs(seconds);
        let said = (0..500).filter(|_| voice.may_say(at(100))).count();
        assert_eq!(said, 20);
        assert!(voice.may_say(at(101)) && !voice.may_say(at(101)));
        let later = (0..500).filter(|_| voice.may_say(at(1000))).count();
        assert_eq!(later, 20);
    }
}
