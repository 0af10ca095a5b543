//! What people ask for, taken once.
//!
//! Enters: `spec.commands`.
//! Leaves: events for the rollout and records of the commands.
//! Never: a change of the spec.

use std::time::Duration;

use super::{Memory, Subject, pin::subject_of};
use crate::{
    api::{Cancel, Class, Reason},
    history::{Actor, Command},
    model::{Digest, Now},
    rollout::{Event, Failure, State},
};

/// One-time commands that are remembered as dealt with; the spec keeps the last 20 of each of four lists.
const REMEMBERED: usize = 80;

/// A command as it is given, with its event, if it has one.
struct Given<'a> {
    verb: &'static str,
    subject: String,
    by: &'a str,
    at: jiff::Timestamp,
    reason: &'a str,
    event: Option<Event>,
}

/// Returns the commands that were not dealt with yet, each with its event, if it has one.
pub(super) fn new_commands(
    subject: &Subject,
    memory: &Memory,
) -> Vec<(String, Command, Option<Event>)> {
    let mut all = once(subject, memory);
    all.extend(in_force(subject));
    let mut new = Vec::new();
    for given in all {
        let identity = format!(
            "{}/{}/{}",
            given.verb,
            Digest::of(given.subject.as_bytes()).short(),
            given.at.as_second()
        );
        if !memory.handled.contains(&identity) {
            let command = Command {
                verb: given.verb.to_owned(),
                subject: given.subject,
                // Whether the name can be trusted is for who records it.
                by: Actor {
                    name: given.by.to_owned(),
                    verified: false,
                },
                at: given.at,
                reason: given.reason.to_owned(),
            };
            new.push((identity, command, given.event));
        }
    }
    new
}

/// Returns the one-time commands.
fn once<'a>(subject: &'a Subject, memory: &Memory) -> Vec<Given<'a>> {
    let commands = &subject.spec.commands;
    let mut all = Vec::new();
    for command in &commands.sync {
        all.push(Given {
            verb: "sync",
            subject: command.id.clone(),
            by: &command.by,
            at: command.at,
            reason: &command.reason,
            event: None,
        });
    }
    for command in &commands.release {
        let digest = command.digest.parse().ok();
        all.push(Given {
            verb: "release",
            subject: command.digest.clone(),
            by: &command.by,
            at: command.at,
            reason: &command.reason,
            event: digest.map(|digest| Event::Released { digest }),
        });
    }
    for command in &commands.approve {
        all.push(Given {
            verb: "approve",
            subject: command.plan.clone(),
            by: &command.by,
            at: command.at,
            reason: &command.reason,
            event: None,
        });
    }
    for command in &commands.cancel {
        let by = &command.by;
        let event = if is_under_way(command.attempt, command.at, memory) {
            Some(Event::Cancelled { by: by.clone() })
        } else {
            ended_planning(command, &subject.key.name, memory)
        };
        all.push(Given {
            verb: "cancel",
            subject: command.attempt.to_string(),
            by,
            at: command.at,
            reason: &command.reason,
            event,
        });
    }
    all
}

/// Says whether a person who names this attempt means what is under way. The status may not have told yet, when the
/// command was given, that a newer one had begun: then the older number means that.
fn is_under_way(attempt: u64, given: jiff::Timestamp, memory: &Memory) -> bool {
    let rollout = &memory.rollout;
    let begun = match rollout.state {
        // What waits for approval, or was not begun, has nothing to end.
        State::Pruning => memory.prune_attempt.is_some(),
        State::Applying { .. } | State::Watching { .. } | State::Returning { .. } => true,
        State::Idle | State::Soaking { .. } | State::Failed { .. } => false,
    };
    let notes = &memory.notes;
    let had_begun = notes.attempt == rollout.under_way
        && notes
            .planned
            .or(notes.began)
            .is_some_and(|began| began.as_second() <= given.as_second());
    let was_told = memory
        .under_way_told
        .is_some_and(|(told, at)| told == rollout.under_way && at < given);
    let means_it = attempt < rollout.under_way && had_begun && !was_told;
    begun && (attempt == rollout.under_way || means_it)
}

/// A set that was only being planned has no number yet: what a person ends stays out until a person asks for it, or git
/// wants another.
fn ended_planning(command: &Cancel, name: &str, memory: &Memory) -> Option<Event> {
    let rollout = &memory.rollout;
    let planning = memory.planning.as_ref()?;
    let is_wanted = memory
        .sought()
        .is_some_and(|wanted| wanted.desired.digest == planning.desired.digest);
    let is_meant = command.attempt == rollout.under_way
        && planning.since.as_second() <= command.at.as_second();
    (is_wanted && is_meant && !rollout.is_in_flight()).then(|| Event::Held {
        digest: Some(planning.desired.digest.clone()),
        revision: planning.desired.revision.clone(),
        failure: Failure {
            reason: Reason::Cancelled,
            class: Class::Environment,
            message: format!(
                "{} ended it while {} was planned; nothing was written; to take it up: plimsoll sync {name}",
                command.by, planning.desired.revision
            ),
        },
    })
}

/// Returns the commands that hold until they are ended, or their ends.
fn in_force(subject: &Subject) -> Vec<Given<'_>> {
    let commands = &subject.spec.commands;
    let mut all = Vec::new();
    if let Some(pause) = &commands.pause {
        let (verb, by, at, reason) = match &pause.ended {
            None => ("pause", &pause.by, pause.at, &pause.reason),
            Some(ended) => ("resume", &ended.by, ended.at, &ended.reason),
        };
        all.push(Given {
            verb,
            subject: pause.at.to_string(),
            by,
            at,
            reason,
            event: None,
        });
    }
    if let Some(pin) = &commands.pin {
        let (verb, by, at, reason) = match &pin.ended {
            None => ("rollback", &pin.by, pin.at, &pin.reason),
            Some(ended) => ("unpin", &ended.by, ended.at, &ended.reason),
        };
        all.push(Given {
            verb,
            subject: subject_of(pin),
            by,
            at,
            reason,
            event: None,
        });
    }
    all
}

/// Remembers a command as dealt with.
pub(super) fn handled(memory: &mut Memory, identity: String) {
    memory.handled.push(identity);
    let excess = memory.handled.len().saturating_sub(REMEMBERED);
    memory.handled.drain(..excess);
}

/// Returns how long a pause lasts, at most five minutes at a time; None where it is not paused.
pub(super) fn paused_for(subject: &Subject, now: Now) -> Option<Duration> {
    paused(subject, now)?;
    let most = Duration::from_secs(300);
    let until = subject
        .spec
        .commands
        .pause
        .as_ref()
        .and_then(|pause| pause.until);
    Some(until.map_or(most, |until| {
        let left = until
            .as_millisecond()
            .saturating_sub(now.wall.as_millisecond());
        Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(most)
    }))
}

/// Returns who paused the Application and until when, while that holds.
pub(super) fn paused(subject: &Subject, now: Now) -> Option<String> {
    let pause = subject.spec.commands.pause.as_ref()?;
    if pause.ended.is_some() || pause.until.is_some_and(|until| until <= now.wall) {
        return None;
    }
    let until = pause
        .until
        .map_or_else(String::new, |until| format!(" until {until}"));
    Some(format!("paused by {}{until}: {}", pause.by, pause.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::SetStatus, pipeline::memory::Notes};

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    /// Attempt 7 began at second 100; what the status told is for each case to say.
    fn memory(state: State) -> Memory {
        let mut memory = Memory::new();
        memory.rollout.attempt = 7;
        memory.rollout.under_way = 7;
        memory.rollout.state = state;
        memory.notes = Notes {
            attempt: 7,
            began: Some(at(100)),
            ..Notes::default()
        };
        memory
    }

    fn applying() -> State {
        State::Applying {
            target: SetStatus {
                revision: format!("main@sha1:{}", "a".repeat(40)).parse().unwrap(),
                digest: Digest::of(b"set"),
                attempt: 7,
            },
            wave: 0,
        }
    }

    #[test]
    fn a_cancel_means_what_was_under_way_when_it_was_given() {
        let told = |since| {
            let mut memory = memory(applying());
            memory.under_way_told = Some((7, at(since)));
            memory
        };
        let untold = memory(applying());
        for (what, attempt, given, memory, expected) in [
            ("its number", 7, 90, &untold, true),
            (
                "the older one, for nothing told of it",
                6,
                105,
                &untold,
                true,
            ),
            ("the older one, before it began", 6, 90, &untold, false),
            (
                "the older one, although it was told",
                6,
                105,
                &told(101),
                false,
            ),
            (
                "the older one, before it was told",
                6,
                105,
                &told(110),
                true,
            ),
            ("one that is not yet", 8, 105, &untold, false),
        ] {
            assert_eq!(is_under_way(attempt, at(given), memory), expected, "{what}");
        }
    }

    #[test]
    fn what_was_not_begun_has_nothing_to_end() {
        let mut pruning = memory(State::Pruning);
        assert!(!is_under_way(7, at(105), &pruning));
        pruning.prune_attempt = Some(7);
        assert!(is_under_way(7, at(105), &pruning));
        assert!(!is_under_way(7, at(105), &memory(State::Idle)));
    }
}
