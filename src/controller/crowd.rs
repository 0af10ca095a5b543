//! Who comes first where many come together.
//!
//! Enters: how each Application stood after its last reconcile.
//! Leaves: whether the end of a soak waits a moment.
//! Never: an attempt that waits for another; a soak that is put off for ever.

use std::{collections::BTreeMap, time::Duration};

use crate::{model::ApplicationKey, pipeline::Stage};

/// How long an Application that is under way counts as one of many: what hangs longer is nobody's turn.
const RECENT: Duration = Duration::from_secs(30);
/// How long the end of a soak is put off at most.
const PUT_OFF: Duration = Duration::from_secs(30);
/// How soon it is looked at again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Applications that are under way, and since when; those that soak, and until when.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    under_way: BTreeMap<ApplicationKey, Duration>,
    soaks: BTreeMap<ApplicationKey, Duration>,
}

impl Crowd {
    /// Notes how an Application stands, and when it is looked at again.
    pub(super) fn note(
        &mut self,
        key: &ApplicationKey,
        stage: Stage,
        now: Duration,
        next: Duration,
    ) {
        match stage {
            Stage::UnderWay => {
                self.under_way.entry(key.clone()).or_insert(now);
                self.soaks.remove(key);
            }
            Stage::Soaks => {
                self.under_way.remove(key);
                self.soaks.insert(key.clone(), next);
            }
            Stage::Rests => self.forget(key),
        }
    }

    /// Forgets an Application.
    pub(super) fn forget(&mut self, key: &ApplicationKey) {
        self.under_way.remove(key);
        self.soaks.remove(key);
    }

    /// Says whether nothing but the end of its soak is due of an Application, and more than so many others are under
    /// way: the statuses that their people wait for cost the API server what this one would.
    pub(super) fn goes_first(&self, key: &ApplicationKey, now: Duration, many: usize) -> bool {
        let Some(soaked) = self.soaks.get(key) else {
            return false;
        };
        let recent = |since: &&Duration| now.saturating_sub(**since) < RECENT;
        now < *soaked + PUT_OFF && self.under_way.values().filter(recent).nth(many).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: usize) -> ApplicationKey {
        ApplicationKey {
            namespace: "n".into(),
            name: name.to_string(),
        }
    }

    #[test]
    fn the_end_of_a_soak_waits_for_many_and_not_for_ever() {
        let at = Duration::from_secs;
        let mut crowd = Crowd::default();
        crowd.note(&key(0), Stage::Soaks, at(0), at(5));
        for other in 1..=3 {
            crowd.note(&key(other), Stage::UnderWay, at(4), at(6));
        }
        assert!(crowd.goes_first(&key(0), at(5), 2), "three are under way");
        assert!(!crowd.goes_first(&key(0), at(5), 3), "three are not many");
        assert!(
            !crowd.goes_first(&key(1), at(5), 2),
            "it is under way itself"
        );
        // Looked at again: since when it is under way stays.
        crowd.note(&key(1), Stage::UnderWay, at(33), at(35));
        assert!(
            !crowd.goes_first(&key(0), at(34), 2),
            "what hangs is nobody's turn"
        );
        for other in 4..=6 {
            crowd.note(&key(other), Stage::UnderWay, at(34), at(36));
        }
        assert!(crowd.goes_first(&key(0), at(34), 2));
        assert!(
            !crowd.goes_first(&key(0), at(35), 2),
            "it was put off for long enough"
        );
        crowd.note(&key(4), Stage::Rests, at(34), at(99));
        assert!(!crowd.goes_first(&key(0), at(34), 2));
    }
}
