//! How much is told while much happens.
//!
//! Enters: the time.
//! Leaves: whether one more event of good news, or one more status of what is under way, may be written.
//! Never: a warning or an end held back.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Events of good news that can come at once: a person who syncs a few Applications sees each.
const NEWS_AT_ONCE: f64 = 20.0;
/// And how many a second after that. An event costs the API server two thirds of an apply, and status and record
/// say the same: where hundreds of Applications become Ready together it is left out.
const NEWS: f64 = 1.0;
/// Statuses that only say what is under way, at once and a second after that. One costs two applies or three, and of a
/// fleet that waits for its rollouts each would write one.
const PROGRESS_AT_ONCE: f64 = 20.0;
const PROGRESS: f64 = 2.0;
/// Statuses that only say how much time went by, at once and a second after that: 150 Applications under way say it every 15 s, and
/// of 5,000 each says it every 8 minutes. A controller that starts again gives a set that much more time at most.
const TIME_AT_ONCE: f64 = 100.0;
const TIME: f64 = 10.0;

/// What may be told.
#[derive(Debug)]
pub struct Voice {
    news: Bucket,
    progress: Bucket,
    time: Bucket,
}

impl Default for Voice {
    fn default() -> Self {
        Self {
            news: Bucket::new(NEWS_AT_ONCE, NEWS),
            progress: Bucket::new(PROGRESS_AT_ONCE, PROGRESS),
            time: Bucket::new(TIME_AT_ONCE, TIME),
        }
    }
}

impl Voice {
    /// Says whether an event of good news may be published now, and counts it.
    pub(super) fn may_say(&self, now: Duration) -> bool {
        self.news.take(now)
    }

    /// Says whether a status that only says what is under way may be written now, and counts it.
    pub(super) fn may_show(&self, now: Duration) -> bool {
        self.progress.take(now)
    }

    /// Says whether a status that only says how much time went by may be written now, and counts it.
    pub(super) fn may_tell_time(&self, now: Duration) -> bool {
        self.time.take(now)
    }
}

/// So many at once, and so many a second.
#[derive(Debug)]
struct Bucket {
    at_once: f64,
    a_second: f64,
    left: Mutex<(f64, Duration)>,
}

impl Bucket {
    fn new(at_once: f64, a_second: f64) -> Self {
        Self {
            at_once,
            a_second,
            left: Mutex::new((at_once, Duration::ZERO)),
        }
    }

    fn take(&self, now: Duration) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *left;
        let tokens =
            (tokens + now.saturating_sub(at).as_secs_f64() * self.a_second).min(self.at_once);
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
        let shown = (0..500).filter(|_| voice.may_show(at(101))).count();
        assert_eq!(shown, 20, "one does not hold up the other");
        let times = (0..500).filter(|_| voice.may_tell_time(at(101))).count();
        assert_eq!(times, 100);
        let next = (0..500).filter(|_| voice.may_tell_time(at(102))).count();
        assert_eq!(next, 10);
        let later = (0..500).filter(|_| voice.may_say(at(1000))).count();
        assert_eq!(later, 20);
    }
}
