//! Laws of the rollout, over generated sequences of events.
//!
//! Enters: any events in any order, also those that do not fit the state.
//! Leaves: nothing; a law that does not hold fails with the shortest sequence.
//! Never: a state that an event cannot reach.

use std::time::Duration;

use jiff::Timestamp;
use proptest::{prelude::*, test_runner::TestRunner};

use super::*;
use crate::{
    api::{ApplicationStatus, Class, Reason, RollbackMode, SetStatus},
    model::{Digest, Now, Revision},
};

fn digest(index: u8) -> Digest {
    Digest::of(&[index])
}

fn revision(index: u8) -> Revision {
    Revision {
        reference: "main".to_owned(),
        commit: format!("{index:040x}"),
    }
}

fn desired(index: u8) -> Desired {
    Desired {
        digest: digest(index),
        revision: revision(index),
    }
}

fn now(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap(),
        monotonic: Duration::from_secs(seconds),
    }
}

const GATES: Gates = Gates {
    timeout: Duration::from_secs(60),
    soak: Duration::from_secs(10),
    fail_fast: true,
    rollback: RollbackMode::Auto,
    barrier: None,
    prune: true,
};

fn failure(class: Class) -> Failure {
    Failure {
        reason: Reason::CrashLoop,
        class,
        message: "it crashes".to_owned(),
    }
}

/// What the world around one Application does next.
#[derive(Clone, Debug)]
enum Act {
    Commit(u8),
    Ready(u8),
    Progress(u8),
    Fail(Class),
    Refuse,
    /// A person ends what is under way, or what is being planned.
    End,
    Work {
        write_fails: bool,
        return_fails: bool,
    },
    Release(u8),
    Pin(Option<u8>),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let class = prop_oneof![
        Just(Class::Change),
        Just(Class::Environment),
        Just(Class::PreExisting)
    ];
    prop_oneof![
        2 => (0..5_u8).prop_map(Act::Commit),
        4 => (0..30_u8).prop_map(Act::Ready),
        3 => (0..30_u8).prop_map(Act::Progress),
        3 => class.prop_map(Act::Fail),
        1 => Just(Act::Refuse),
        1 => Just(Act::End),
        8 => (prop::bool::weighted(0.1), prop::bool::weighted(0.1))
            .prop_map(|(write_fails, return_fails)| Act::Work { write_fails, return_fails }),
        1 => (0..5_u8).prop_map(Act::Release),
        1 => prop::option::of(0..5_u8).prop_map(Act::Pin),
        1 => Just(Act::Restart),
    ]
}

/// Plays the pipeline around the pure step, and watches the laws.
struct World {
    rollout: Rollout,
    wanted: u8,
    pinned: Option<u8>,
    seconds: u64,
    records: Vec<(u64, &'static str)>,
    returns: Vec<Digest>,
}

impl World {
    fn new() -> Self {
        Self {
            rollout: Rollout::new(),
            wanted: 0,
            pinned: None,
            seconds: 0,
            records: Vec::new(),
            returns: Vec::new(),
        }
    }

    fn take(&mut self, event: Event) {
        let was_returning = matches!(self.rollout.state, State::Returning { .. });
        let (rollout, effects) =
            step(self.rollout.clone(), event, &GATES, now(self.seconds)).into_parts();
        for effect in &effects {
            if let Effect::Record {
                attempt, action, ..
            } = effect
            {
                self.records.push((*attempt, action.as_str()));
            }
        }
        if let (false, State::Returning { from, .. }) = (was_returning, &rollout.state) {
            assert!(
                effects.contains(&Effect::Persist),
                "a return is persisted before its first write"
            );
            self.returns.push(from.digest.clone());
        }
        self.rollout = rollout;
    }

    /// What is to run: the pinned set, else git's.
    fn sought(&self) -> Desired {
        let pin = self
            .pinned
            .map_or(Pin::None, |index| Pin::To(desired(index)));
        pin.over(Some(&desired(self.wanted))).unwrap()
    }

    fn elapse(&mut self, seconds: u8, verdict: Verdict) {
        self.seconds += u64::from(seconds);
        self.take(Event::Assessed {
            verdict,
            elapsed: Duration::from_secs(u64::from(seconds)),
        });
    }

    #[expect(clippy::needless_pass_by_value, reason = "an act happens once")]
    fn act(&mut self, act: Act) {
        match act {
            Act::Commit(index) => self.wanted = index,
            Act::Ready(seconds) => self.elapse(seconds, Verdict::Ready),
            Act::Progress(seconds) => self.elapse(
                seconds,
                Verdict::Progressing {
                    waiting: "pods".to_owned(),
                    class: Class::Change,
                },
            ),
            Act::Fail(class) => self.elapse(1, Verdict::Failed(failure(class))),
            Act::Refuse => {
                let sought = self.sought();
                if work(&self.rollout, Some(&sought), false) == Work::Prepare {
                    let before = self.rollout.state.clone();
                    self.take(Event::Refused {
                        digest: Some(sought.digest),
                        revision: sought.revision,
                        failure: failure(Class::Change),
                    });
                    assert_eq!(
                        self.rollout.state, before,
                        "a refusal leaves what runs as it is"
                    );
                }
            }
            Act::End => self.end(),
            Act::Work {
                write_fails,
                return_fails,
            } => self.work(write_fails, return_fails),
            Act::Release(index) => {
                self.returns.retain(|returned| *returned != digest(index));
                self.take(Event::Released {
                    digest: digest(index),
                });
            }
            Act::Pin(index) => self.pinned = index,
            Act::Restart => {
                let mut status = ApplicationStatus::default();
                self.rollout.write_to(&mut status);
                self.rollout = Rollout::from_status(&status);
            }
        }
    }

    /// What a person ends is not begun again by itself, not even by another life of the controller.
    fn end(&mut self) {
        let by = "ana".to_owned();
        let sought = self.sought();
        if self.rollout.is_in_flight() {
            self.take(Event::Cancelled { by });
        } else if work(&self.rollout, Some(&sought), false) == Work::Prepare {
            self.take(Event::Held {
                digest: Some(sought.digest.clone()),
                revision: sought.revision.clone(),
                failure: Failure {
                    reason: Reason::Cancelled,
                    ..failure(Class::Environment)
                },
            });
            self.act(Act::Restart);
            assert_eq!(
                work(&self.rollout, Some(&sought), false),
                Work::Look,
                "what a person ended is not begun"
            );
        }
    }

    fn work(&mut self, write_fails: bool, return_fails: bool) {
        let wanted = self.sought();
        match work(&self.rollout, Some(&wanted), false) {
            Work::Look => {}
            Work::Accept => self.take(Event::Satisfied {
                revision: wanted.revision,
            }),
            Work::Prepare => {
                if self.rollout.quarantined(&wanted.digest).is_some() {
                    self.take(Event::Held {
                        digest: Some(wanted.digest),
                        revision: wanted.revision,
                        failure: failure(Class::Change),
                    });
                    return;
                }
                if let Some(pinned) = self.pinned {
                    assert_eq!(
                        wanted.digest,
                        digest(pinned),
                        "nothing but the pinned set is begun while a pin is in force"
                    );
                }
                let attempt = self.rollout.attempt + 1;
                self.take(Event::Began {
                    target: SetStatus {
                        revision: wanted.revision,
                        digest: wanted.digest,
                        attempt,
                    },
                    attempt,
                    carried: Vec::new(),
                });
            }
            Work::Apply { target } => {
                assert!(
                    self.rollout.quarantined(&target.digest).is_none(),
                    "a quarantined digest is never applied"
                );
                if write_fails {
                    self.take(Event::ApplyFailed(failure(Class::Change)));
                } else {
                    self.take(Event::Applied);
                }
            }
            Work::Prune => self.take(Event::Prune {
                attempt: None,
                outcome: PruneOutcome::Nothing,
            }),
            Work::Restore { to, from } => {
                assert_ne!(to.digest, from.digest, "a return goes elsewhere");
                if return_fails {
                    self.take(Event::ReturnFailed(failure(Class::Change)));
                } else {
                    self.take(Event::Restored);
                }
            }
            Work::Remove { .. } => self.take(Event::Removed {
                left: String::new(),
            }),
        }
    }

    fn good_attempt(&self) -> u64 {
        self.rollout.good.as_ref().map_or(0, |good| good.attempt)
    }

    fn check(&self) {
        let mut returned = self.returns.clone();
        returned.sort();
        let all = returned.len();
        returned.dedup();
        assert_eq!(
            returned.len(),
            all,
            "never twice returned from one digest between releases"
        );
        if let Some(good) = &self.rollout.good {
            assert!(
                self.rollout.quarantined(&good.digest).is_none()
                    || self.rollout.applied.as_ref() != Some(good),
                "what is good and runs is not quarantined"
            );
        }
        let earlier = &self.rollout.earlier_good;
        assert!(earlier.len() <= 2, "two good sets beside the newest");
        assert!(
            earlier.is_sorted() && earlier.iter().all(|attempt| *attempt < self.good_attempt()),
            "good sets are known in the order of their attempts, each once"
        );
        let mut syncs: Vec<u64> = self
            .records
            .iter()
            .filter(|(_, action)| *action == "Sync")
            .map(|(attempt, _)| *attempt)
            .collect();
        let count = syncs.len();
        syncs.sort_unstable();
        syncs.dedup();
        assert_eq!(syncs.len(), count, "one record for each attempt");
    }
}

/// Laws below, each over as many sequences as the others.
const LAWS: u32 = 5;

/// Generated sequences of all laws together: 100,000 in every test run; more with `PLIMSOLL_ROLLOUT_SEQUENCES`.
fn sequences() -> u32 {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests at length says so"
    )]
    let asked = std::env::var("PLIMSOLL_ROLLOUT_SEQUENCES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(100_000)
}

/// Plays generated sequences against one law, says how many they were, and fails if they were too few.
fn holds<S>(law: &str, strategy: &S, check: impl Fn(S::Value))
where
    S: Strategy,
{
    let cases = sequences().div_ceil(LAWS);
    let played = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(strategy, |sequence| {
        played.set(played.get() + 1);
        check(sequence);
        Ok(())
    });
    let broken = outcome.err().map(|error| error.to_string());
    assert_eq!(broken, None, "{law}");
    println!("{law}: {} sequences", played.get());
    assert!(played.get() >= cases, "{law}: {} sequences", played.get());
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..60)
}

const WELL: Act = Act::Work {
    write_fails: false,
    return_fails: false,
};

#[test]
fn the_laws_hold_under_any_order_of_events() {
    holds("the laws", &acts(), |acts| {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            world.check();
        }
    });
}

#[test]
fn nothing_is_stuck_when_time_passes_and_all_is_well() {
    holds("nothing is stuck", &(acts(), 10..15_u8), |(acts, last)| {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        // A new revision, and a world in which everything works: it must come to run.
        world.act(Act::Pin(None));
        world.act(Act::Commit(last));
        for _ in 0..20 {
            world.act(WELL);
            world.act(Act::Ready(20));
        }
        assert_eq!(&world.rollout.state, &State::Idle);
        assert_eq!(
            world.rollout.applied.as_ref().map(|set| &set.digest),
            Some(&digest(last))
        );
        assert_eq!(
            world.rollout.good.as_ref().map(|set| &set.digest),
            Some(&digest(last))
        );
    });
}

#[test]
fn what_a_person_pins_comes_to_run_and_the_end_gives_git_its_way() {
    let strategy = (acts(), 0..5_u8, 10..15_u8);
    holds("a pin", &strategy, |(acts, pinned, last)| {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        // A person releases what failed, and pins it; commits come in meanwhile.
        world.act(Act::Release(pinned));
        world.act(Act::Pin(Some(pinned)));
        for _ in 0..20 {
            world.act(Act::Commit(last));
            world.act(WELL);
            world.act(Act::Ready(20));
            world.check();
        }
        assert_eq!(&world.rollout.state, &State::Idle);
        assert_eq!(
            world.rollout.applied.as_ref().map(|set| &set.digest),
            Some(&digest(pinned))
        );
        world.act(Act::Pin(None));
        for _ in 0..20 {
            world.act(WELL);
            world.act(Act::Ready(20));
        }
        assert_eq!(
            world.rollout.applied.as_ref().map(|set| &set.digest),
            Some(&digest(last))
        );
    });
}

#[test]
fn a_state_survives_its_status() {
    holds("a status", &acts(), |acts| {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        let mut status = ApplicationStatus::default();
        world.rollout.write_to(&mut status);
        let read = Rollout::from_status(&status);
        assert_eq!(read.phase(), world.rollout.phase());
        assert_eq!(&read.applied, &world.rollout.applied);
        assert_eq!(&read.written, &world.rollout.written);
        assert_eq!(read.partial, world.rollout.partial);
        let mut again = ApplicationStatus::default();
        read.write_to(&mut again);
        assert_eq!(again, status);
    });
}

#[test]
fn what_only_the_environment_did_is_never_returned_from() {
    let blameless = acts().prop_map(|acts| {
        let of_environment = |act| match act {
            Act::Fail(Class::Change) => Act::Fail(Class::Environment),
            // A deadline that passes blames whom the verdict names.
            Act::Progress(seconds) => Act::Ready(seconds),
            Act::Work { .. } => WELL,
            act => act,
        };
        acts.into_iter().map(of_environment).collect::<Vec<Act>>()
    });
    holds("the environment", &blameless, |acts| {
        let mut world = World::new();
        for act in acts {
            world.act(act);
            assert!(world.returns.is_empty() && world.rollout.quarantine.is_empty());
        }
    });
}

#[test]
fn the_last_three_good_sets_stay_known_and_are_stored() {
    let mut world = World::new();
    let mut attempts = Vec::new();
    for commit in 0..4 {
        world.act(Act::Commit(commit));
        for act in [WELL, WELL, Act::Ready(1), Act::Ready(20), WELL, WELL] {
            world.act(act);
        }
        assert_eq!(
            world.rollout.good.as_ref().map(|set| &set.digest),
            Some(&digest(commit))
        );
        attempts.push(world.good_attempt());
    }
    assert_eq!(world.rollout.earlier_good, attempts[1..3]);
    let mut status = ApplicationStatus::default();
    world.rollout.write_to(&mut status);
    let read = Rollout::from_status(&status);
    assert_eq!(read.earlier_good, attempts[1..3]);
}

#[test]
fn a_bad_set_is_returned_from_and_its_revert_costs_nothing() {
    let mut world = World::new();
    for act in [WELL, WELL, Act::Ready(1), Act::Ready(20)] {
        world.act(act);
    }
    assert_eq!(world.rollout.good.as_ref().unwrap().digest, digest(0));
    world.act(Act::Commit(1));
    world.act(WELL);
    world.act(WELL);
    world.act(Act::Fail(Class::Change));
    assert!(matches!(world.rollout.state, State::Returning { .. }));
    world.act(WELL);
    world.act(Act::Ready(1));
    world.act(WELL);
    assert!(matches!(
        world.rollout.state,
        State::Failed { returned: true, .. }
    ));
    let attempts = world.rollout.attempt;
    world.act(WELL);
    assert!(
        matches!(world.rollout.state, State::Failed { .. }),
        "the failed set is not tried again"
    );
    world.act(Act::Commit(0));
    world.act(WELL);
    assert_eq!(
        (world.rollout.state.clone(), world.rollout.attempt),
        (State::Idle, attempts)
    );
}

#[test]
fn the_environment_never_causes_a_return() {
    let mut world = World::new();
    for act in [
        WELL,
        WELL,
        Act::Ready(1),
        Act::Ready(20),
        Act::Commit(1),
        WELL,
        WELL,
    ] {
        world.act(act);
    }
    for _ in 0..100 {
        world.act(Act::Fail(Class::Environment));
    }
    assert!(matches!(
        world.rollout.state,
        State::Failed {
            returned: false,
            ..
        }
    ));
    assert!(world.returns.is_empty() && world.rollout.quarantine.is_empty());
    world.act(Act::Ready(1));
    assert!(matches!(world.rollout.state, State::Soaking { .. }));
}

#[test]
fn a_set_whose_repair_was_begun_still_has_to_prove_itself() {
    let mut world = World::new();
    let target = |index: u8, attempt| SetStatus {
        revision: revision(index),
        digest: digest(index),
        attempt,
    };
    let ran = |rollout: Rollout, index, attempt| {
        let set = target(index, attempt);
        step(rollout, Event::FoundWritten { set }, &GATES, now(1))
            .into_parts()
            .0
    };
    world.take(Event::Began {
        target: target(1, 1),
        attempt: 1,
        carried: Vec::new(),
    });
    let found = ran(world.rollout.clone(), 1, 1);
    assert!(
        matches!(&found.state, State::Watching { target, .. } if target.attempt == 1),
        "{found:?}"
    );
    assert_eq!(found.good, None);
    // What is known to run is left as it is.
    assert_eq!(ran(found.clone(), 1, 1), found);
    // A return that ended unseen: the good set runs, and nothing is under way.
    let other = ran(world.rollout.clone(), 2, 7);
    assert_eq!(
        (other.state, other.applied),
        (State::Idle, Some(target(2, 7)))
    );
}
