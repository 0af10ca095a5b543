//! The status of an Application.
//!
//! Enters: `Facts` and the status that stood before.
//! Leaves: the status to store; equal to the one before where nothing changed, so that nothing is written.
//! Never: a time or a count that moves by itself.

use super::{
    conditions::{blocked_conditions, conditions},
    facts::Facts,
};
use crate::{api::ApplicationStatus, model::Now, rollout::Failure};

/// Returns the status to store.
pub fn status(facts: &Facts<'_>, previous: &ApplicationStatus, now: Now) -> ApplicationStatus {
    let mut status = ApplicationStatus {
        observed_generation: facts.generation,
        revision: facts.revision.clone().or_else(|| previous.revision.clone()),
        health: facts.counts.or(previous.health),
        record: facts.record.clone(),
        handled: facts.handled.clone(),
        conditions: conditions(facts, &previous.conditions, now.wall),
        ..ApplicationStatus::default()
    };
    facts.rollout.write_to(&mut status);
    status
}

/// Returns the status of an Application that cannot be worked on at all; what is known of its sets stays.
pub fn blocked(
    failure: &Failure,
    generation: i64,
    previous: &ApplicationStatus,
    now: Now,
) -> ApplicationStatus {
    ApplicationStatus {
        observed_generation: generation,
        conditions: blocked_conditions(failure, generation, &previous.conditions, now.wall),
        ..previous.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        api::{
            Class, Condition,
            ConditionStatus::{False, True, Unknown},
            ConditionType, Reason, SetStatus,
        },
        model::{ApplicationKey, Digest},
        report::{FetchState, Health},
        rollout::{Rollout, State},
    };

    fn set(name: &str) -> SetStatus {
        SetStatus {
            revision: format!("main@sha1:{}", "a".repeat(40)).parse().unwrap(),
            digest: Digest::of(name.as_bytes()),
            attempt: 1,
        }
    }

    fn at(seconds: i64) -> Now {
        Now {
            wall: Timestamp::from_second(seconds).unwrap(),
            monotonic: Duration::ZERO,
        }
    }

    fn facts<'a>(key: &'a ApplicationKey, rollout: &'a Rollout, health: Health) -> Facts<'a> {
        Facts {
            application: key,
            generation: 2,
            rollout,
            fetch: FetchState::Fetched,
            revision: None,
            health,
            counts: None,
            paused: None,
            pinned: None,
            is_looked_at: true,
            drifted: None,
            prune_waits: None,
            deleting: None,
            record: None,
            handled: Vec::new(),
        }
    }

    fn find(status: &ApplicationStatus, kind: ConditionType) -> Option<&Condition> {
        status
            .conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    #[test]
    fn the_table_of_the_design_holds() {
        let key = ApplicationKey {
            namespace: "shop".into(),
            name: "prod".into(),
        };
        let failure = Failure {
            reason: Reason::ImageNotFound,
            class: Class::Change,
            message: "web: not found".into(),
        };
        let with = |state: State| Rollout {
            state,
            applied: Some(set("good")),
            ..Rollout::new()
        };
        let cases = [
            (
                with(State::Applying {
                    target: set("new"),
                    wave: 0,
                }),
                Health::Ready,
                (Unknown, "Applying"),
                (true, false),
            ),
            (
                with(State::Idle),
                Health::Ready,
                (True, "Healthy"),
                (false, false),
            ),
            (
                with(State::Soaking {
                    target: set("good"),
                    spent: Duration::ZERO,
                    unready: Duration::ZERO,
                }),
                Health::Ready,
                (True, "Soaking"),
                (false, false),
            ),
            (
                with(State::Idle),
                Health::Failed(failure.clone()),
                (False, "Degraded"),
                (false, false),
            ),
            (
                with(State::Failed {
                    target: set("bad"),
                    failure: failure.clone(),
                    returned: true,
                }),
                Health::Ready,
                (False, "Returned"),
                (false, true),
            ),
            (
                with(State::Failed {
                    target: set("bad"),
                    failure: failure.clone(),
                    returned: false,
                }),
                Health::Failed(failure.clone()),
                (False, "ImageNotFound"),
                (false, true),
            ),
        ];
        for (rollout, health, (ready_status, reason), (reconciling, stalled)) in cases {
            let status = status(
                &facts(&key, &rollout, health),
                &ApplicationStatus::default(),
                at(0),
            );
            let ready = find(&status, ConditionType::Ready).unwrap();
            assert_eq!(
                (ready.status, ready.reason.as_str()),
                (ready_status, reason)
            );
            assert_eq!(
                find(&status, ConditionType::Reconciling).is_some(),
                reconciling,
                "{reason}"
            );
            assert_eq!(
                find(&status, ConditionType::Stalled).is_some(),
                stalled,
                "{reason}"
            );
        }
    }

    #[test]
    fn what_was_not_looked_at_after_a_restart_is_not_called_ready() {
        let key = ApplicationKey {
            namespace: "shop".into(),
            name: "prod".into(),
        };
        let rollout = Rollout {
            applied: Some(set("good")),
            ..Rollout::new()
        };
        let bad = Failure {
            reason: Reason::CrashLoop,
            class: Class::Change,
            message: "x".into(),
        };
        let none = ApplicationStatus::default();
        let unknown = |previous: &ApplicationStatus| {
            let status = status(&facts(&key, &rollout, Health::Unknown), previous, at(9));
            let ready = find(&status, ConditionType::Ready).unwrap();
            (ready.status, ready.reason.clone())
        };
        assert_eq!(unknown(&none), (Unknown, "Progressing".to_owned()));
        let degraded = status(&facts(&key, &rollout, Health::Failed(bad)), &none, at(1));
        assert_eq!(unknown(&degraded), (False, "Degraded".to_owned()));
        let healthy = status(&facts(&key, &rollout, Health::Ready), &none, at(1));
        assert_eq!(unknown(&healthy), (True, "Healthy".to_owned()));
    }

    #[test]
    fn a_transition_time_moves_only_when_the_status_flips_and_equal_facts_make_an_equal_status() {
        let key = ApplicationKey {
            namespace: "shop".into(),
            name: "prod".into(),
        };
        let rollout = Rollout {
            applied: Some(set("good")),
            ..Rollout::new()
        };
        let first = status(
            &facts(&key, &rollout, Health::Ready),
            &ApplicationStatus::default(),
            at(1),
        );
        let second = status(&facts(&key, &rollout, Health::Ready), &first, at(2));
        assert_eq!(first, second);
        let bad = Failure {
            reason: Reason::CrashLoop,
            class: Class::Change,
            message: "x".into(),
        };
        let third = status(&facts(&key, &rollout, Health::Failed(bad)), &second, at(3));
        assert_eq!(
            find(&third, ConditionType::Ready)
                .unwrap()
                .last_transition_time,
            at(3).wall
        );
        assert_eq!(
            find(&third, ConditionType::Fetched)
                .unwrap()
                .last_transition_time,
            at(1).wall
        );
    }
}
