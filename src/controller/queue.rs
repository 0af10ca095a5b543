//! The queue: which Application is looked at next.
//!
//! Enters: wishes to look at an Application at a moment.
//! Leaves: the Applications that are due, fairly: the one that waits longest first.
//! Never: one Application twice at once; a clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::model::ApplicationKey;

/// Applications by the moment at which they are due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeSet<(Duration, ApplicationKey)>,
    by_key: BTreeMap<ApplicationKey, Duration>,
}

impl Queue {
    /// Wishes to look at an Application at `at`, or earlier if somebody wished so.
    pub(super) fn at(&mut self, key: &ApplicationKey, at: Duration) {
        if let Some(known) = self.by_key.get(key) {
            if *known <= at {
                return;
            }
            self.due.remove(&(*known, key.clone()));
        }
        self.by_key.insert(key.clone(), at);
        self.due.insert((at, key.clone()));
    }

    /// Forgets an Application.
    pub(super) fn forget(&mut self, key: &ApplicationKey) {
        if let Some(at) = self.by_key.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// Takes the Application that is due longest and is not among `busy`.
    pub(super) fn take(
        &mut self,
        now: Duration,
        busy: &BTreeSet<ApplicationKey>,
    ) -> Option<ApplicationKey> {
        let found = self
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .find(|(_, key)| !busy.contains(key))
            .cloned()?;
        self.due.remove(&found);
        self.by_key.remove(&found.1);
        Some(found.1)
    }

    /// Returns when the next Application is due that is not among `busy`.
    pub(super) fn next(&self, busy: &BTreeSet<ApplicationKey>) -> Option<Duration> {
        self.due
            .iter()
            .find(|(_, key)| !busy.contains(key))
            .map(|(at, _)| *at)
    }

    /// Returns how long the one has waited that waits longest; nothing where none is due.
    pub(super) fn oldest(&self, now: Duration) -> Duration {
        self.due
            .first()
            .map_or(Duration::ZERO, |(at, _)| now.saturating_sub(*at))
    }

    /// Returns how many are due.
    pub(super) fn depth(&self, now: Duration) -> usize {
        self.due.iter().take_while(|(at, _)| *at <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ApplicationKey {
        ApplicationKey {
            namespace: "n".into(),
            name: name.into(),
        }
    }

    #[test]
    fn the_one_that_waits_longest_comes_first_and_none_twice_at_once() {
        let mut queue = Queue::default();
        queue.at(&key("b"), Duration::from_secs(2));
        queue.at(&key("a"), Duration::from_secs(3));
        queue.at(&key("a"), Duration::from_secs(1));
        queue.at(&key("a"), Duration::from_secs(9));
        let now = Duration::from_secs(5);
        let busy = BTreeSet::from([key("a")]);
        assert_eq!(queue.depth(now), 2);
        assert_eq!(queue.oldest(now), Duration::from_secs(4));
        assert_eq!(queue.oldest(Duration::ZERO), Duration::ZERO);
        assert_eq!(queue.take(now, &busy), Some(key("b")));
        assert_eq!(queue.take(now, &busy), None);
        assert_eq!(queue.next(&busy), None);
        assert_eq!(queue.take(now, &BTreeSet::new()), Some(key("a")));
        assert_eq!(queue.next(&BTreeSet::new()), None);
    }
}
