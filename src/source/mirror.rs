//! One mirror: who asks, what is kept, what the last round said.
//!
//! Enters: wants with the time at which they were asked for; outcomes of rounds.
//! Leaves: what the next round has to answer; whether the last one answers already.
//! Never: a round of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use super::{
    Address, Error,
    cache::Key,
    reference::Want,
    round::{Kept, Resolved},
};
use crate::model::{Credentials, Now};

/// How long a reference that nobody asks for any more is still fetched along with others.
const REMEMBERED: Duration = Duration::from_hours(1);

/// How long it is not tried again to fetch all of a history that is too large or takes too long.
const NO_HISTORY: Duration = Duration::from_mins(10);

/// An answer for each want.
pub(super) type Answers = BTreeMap<Want, Result<Resolved, Error>>;

/// A repository as it is seen with some credentials.
pub(super) struct Mirror {
    pub(super) key: Key,
    pub(super) address: Address,
    pub(super) credentials: Credentials,
    /// Number of the last use; the lowest goes first when the cache is full.
    pub(super) used: AtomicU64,
    /// The last round. Whoever holds it runs the next one.
    pub(super) last: Arc<tokio::sync::Mutex<Option<Last>>>,
    asked: Mutex<Asked>,
    /// What may be read, whatever a round is doing.
    kept: Mutex<Option<Kept>>,
    /// Why all of history cannot be had, and since when.
    no_history: Mutex<Option<(Duration, Error)>>,
}

/// Who asks, noted before waiting, so that the next round answers everybody who waits.
#[derive(Default)]
struct Asked {
    wants: BTreeMap<Want, Duration>,
    latest: Duration,
}

/// What a round said.
pub(super) struct Last {
    /// The latest time at which somebody had asked when it began; so it is not older than what it answers.
    pub(super) at: Duration,
    pub(super) outcome: Result<Answers, Error>,
}

impl Mirror {
    pub(super) fn new(key: Key, address: Address, credentials: Credentials) -> Self {
        Self {
            key,
            address,
            credentials,
            used: AtomicU64::new(0),
            last: Arc::default(),
            asked: Mutex::default(),
            kept: Mutex::default(),
            no_history: Mutex::default(),
        }
    }

    /// Returns why all of history cannot be had, if that was tried not long ago.
    pub(super) fn no_history(&self, now: Duration) -> Option<Error> {
        let noted = self
            .no_history
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (at, error) = noted.as_ref()?;
        (now.saturating_sub(*at) < NO_HISTORY).then(|| error.clone())
    }

    /// Notes why all of history cannot be had, where to try again soon would cost much and bring nothing.
    pub(super) fn note_no_history(&self, now: Duration, error: &Error) {
        if matches!(error, Error::TooLarge { .. } | Error::TimedOut { .. }) {
            let mut noted = self
                .no_history
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *noted = Some((now, error.clone()));
        }
    }

    /// Returns what may be read.
    pub(super) fn kept(&self) -> Option<Kept> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces what may be read.
    pub(super) fn keep(&self, kept: Option<Kept>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// Notes that somebody uses it.
    pub(super) fn touch(&self, now: Duration) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.latest = asked.latest.max(now);
    }

    /// Notes that somebody asks.
    pub(super) fn ask(&self, want: &Want, now: Duration) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.latest = asked.latest.max(now);
        let at = asked.wants.entry(want.clone()).or_default();
        *at = now.max(*at);
    }

    /// Returns when somebody asked last.
    pub(super) fn latest(&self) -> Duration {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .latest
    }

    /// Returns everything that a round should answer, and how new its answers are. A commit is not remembered: once
    /// found it is not asked for again, and until then it costs a look at every branch.
    pub(super) fn wanted(&self) -> (Duration, BTreeSet<Want>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = asked.latest;
        asked
            .wants
            .retain(|_, at| latest.saturating_sub(*at) <= REMEMBERED);
        let wants = asked.wants.keys().cloned().collect();
        asked
            .wants
            .retain(|want, _| !matches!(want, Want::Commit(_)));
        (latest, wants)
    }

    /// Returns what the last round says, if it is fresh enough and what it found is still good.
    pub(super) fn answered(
        &self,
        last: Option<&Last>,
        want: &Want,
        now: Now,
        freshness: Duration,
    ) -> Option<Result<Resolved, Error>> {
        let last = last.filter(|last| now.since(last.at) <= freshness)?;
        match &last.outcome {
            Err(error) => Some(Err(error.clone())),
            Ok(answers) => {
                let usable = self.kept().is_some_and(|kept| !kept.store.is_damaged());
                answers
                    .get(want)
                    .filter(|answer| usable || answer.is_err())
                    .cloned()
            }
        }
    }
}

impl Last {
    /// Returns what could be answered.
    pub(super) fn answered(&self) -> BTreeSet<Want> {
        let answers = self.outcome.as_ref().map(|answers| answers.iter());
        let good = answers
            .into_iter()
            .flatten()
            .filter(|(_, answer)| answer.is_ok());
        good.map(|(want, _)| want.clone()).collect()
    }
}
