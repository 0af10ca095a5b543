//! What people ask for, taken once.
//!
//! Enters: `spec.commands`.
//! Leaves: events for the rollout and records of the commands.
//! Never: a change of the spec.

use std::time::Duration;

use super::{Memory, Subject, pin::subject_of};
use crate::{
    history::Command,
    model::{Digest, Now},
    rollout::Event,
};

/// One-time commands that are remembered as dealt with; the spec keeps the last 20 of each of four lists.
const REMEMBERED: usize = 80;

/// Returns the commands that were not dealt with yet, each with its event, if it has one.
pub(super) fn new_commands(
    subject: &Subject,
    memory: &Memory,
) -> Vec<(String, Command, Option<Event>)> {
    let commands = &subject.spec.commands;
    let mut new = Vec::new();
    let mut add = |verb: &str,
                   subject: String,
                   by: &str,
                   at: jiff::Timestamp,
                   reason: &str,
                   event: Option<Event>| {
        let identity = format!(
            "{verb}/{}/{}",
            Digest::of(subject.as_bytes()).short(),
            at.as_second()
        );
        if !memory.handled.contains(&identity) {
            let command = Command {
                verb: verb.to_owned(),
                subject,
                by: by.to_owned(),
                at,
                reason: reason.to_owned(),
            };
            new.push((identity, command, event));
        }
    };
    for command in &commands.sync {
        add(
            "sync",
            command.id.clone(),
            &command.by,
            command.at,
            &command.reason,
            None,
        );
    }
    for command in &commands.release {
        let event = command
            .digest
            .parse()
            .ok()
            .map(|digest| Event::Released { digest });
        add(
            "release",
            command.digest.clone(),
            &command.by,
            command.at,
            &command.reason,
            event,
        );
    }
    for command in &commands.approve {
        add(
            "approve",
            command.plan.clone(),
            &command.by,
            command.at,
            &command.reason,
            None,
        );
    }
    for command in &commands.cancel {
        let event = (command.attempt == memory.rollout.under_way && memory.rollout.is_in_flight())
            .then(|| Event::Cancelled {
                by: command.by.clone(),
            });
        add(
            "cancel",
            command.attempt.to_string(),
            &command.by,
            command.at,
            &command.reason,
            event,
        );
    }
    if let Some(pause) = &commands.pause {
        match &pause.ended {
            None => add(
                "pause",
                pause.at.to_string(),
                &pause.by,
                pause.at,
                &pause.reason,
                None,
            ),
            Some(ended) => add(
                "resume",
                pause.at.to_string(),
                &ended.by,
                ended.at,
                &ended.reason,
                None,
            ),
        }
    }
    if let Some(pin) = &commands.pin {
        match &pin.ended {
            None => add(
                "rollback",
                subject_of(pin),
                &pin.by,
                pin.at,
                &pin.reason,
                None,
            ),
            Some(ended) => add(
                "unpin",
                subject_of(pin),
                &ended.by,
                ended.at,
                &ended.reason,
                None,
            ),
        }
    }
    new
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
