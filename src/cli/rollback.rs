//! `plimsoll rollback`: a person's return: pins a set that ran before, or ends the pin.
//!
//! Enters: the records and the status of an Application, read as the person.
//! Leaves: a pin with a whole digest, with who and why; the controller finds the set, or says that it cannot.
//! Never: a guess between two sets; a set that is quarantined.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Exit, Failure,
    args::RollbackArgs,
    command::{self, write},
    input, output,
};
use crate::{
    api::{Application, Pin, SyncRecord},
    clock,
    history::record_name,
    model::{Digest, Revision},
};

/// Shortest beginning of a commit that is looked for.
const SHORTEST: usize = 4;

/// A set that a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Past {
    sequence: u64,
    was_ready: bool,
    revision: Revision,
    digest: Digest,
}

/// Reads the records of an Application, page by page.
async fn all(connected: &input::Connected, application: &str) -> Result<Vec<SyncRecord>, Failure> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let (page, more) = connected.records(false, Some(application), &next).await?;
        all.extend(page);
        if more.is_empty() {
            return Ok(all);
        }
        next = more;
    }
}

pub(super) async fn run(args: &RollbackArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    if args.end {
        return end(&connected, args).await;
    }
    let application = connected.application(&args.application).await?;
    let uid = application.metadata.uid.clone().unwrap_or_default();
    let past: Vec<Past> = all(&connected, &args.application)
        .await?
        .iter()
        .filter(|record| {
            record.metadata.name.as_deref()
                == Some(&record_name(&args.application, &uid, record.spec.sequence))
        })
        .filter_map(past)
        .collect();
    let chosen = match &args.to {
        Some(to) => named(&past, to)?,
        None => before(&application, past)?,
    };
    if let Some(reason) = quarantined(&application, &chosen.digest) {
        let name = &args.application;
        let short = chosen.digest.short();
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "the set {short} of {} failed before ({reason}) and is quarantined",
                chosen.revision
            ),
        )
        .hint(format!("plimsoll release {name} {short}")));
    }
    let now = clock::now();
    write(&connected, &args.application, |commands, who| {
        commands.pin = Some(Pin {
            by: who.to_owned(),
            at: now.wall,
            reason: args.reason.clone(),
            digest: Some(chosen.digest.to_string()),
            record: None,
            ended: None,
        });
    })
    .await?;
    output::message(&format!(
        "pinned {} to {} ({}); newer revisions are held until: plimsoll rollback {} --end",
        connected.key(&args.application),
        chosen.revision,
        chosen.digest.short(),
        args.application
    ));
    Ok(Exit::Ok)
}

async fn end(connected: &input::Connected, args: &RollbackArgs) -> Result<Exit, Failure> {
    let application = connected.application(&args.application).await?;
    if !is_pinned(&application) {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} is not pinned", connected.key(&args.application)),
        ));
    }
    command::unpin(connected, &args.application, &args.reason).await
}

/// Says whether a pin is in force.
pub(super) fn is_pinned(application: &Application) -> bool {
    let pin = application.spec.commands.pin.as_ref();
    pin.is_some_and(|pin| pin.ended.is_none())
}

fn past(record: &SyncRecord) -> Option<Past> {
    let value: Value = serde_json::from_str(&record.spec.record).ok()?;
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    // A prune or a repair is of a set that was Ready by a record of its own.
    (text("/action") == Some("Sync")).then_some(())?;
    Some(Past {
        sequence: record.spec.sequence,
        was_ready: text("/result") == Some("Ready"),
        revision: text("/source/revision")?.parse().ok()?,
        digest: text("/digest")?.parse().ok()?,
    })
}

/// Returns the set that a record's number, a commit or a digest names.
fn named(past: &[Past], to: &str) -> Result<Past, Failure> {
    if let Some(found) = to
        .parse()
        .ok()
        .and_then(|number: u64| past.iter().find(|past| past.sequence == number))
    {
        return Ok(found.clone());
    }
    let wanted = to.rsplit([':', '@']).next().unwrap_or_default();
    let begins = |past: &&Past| {
        past.revision.commit.starts_with(wanted) || past.digest.hex().starts_with(wanted)
    };
    let found: Vec<&Past> = if wanted.len() < SHORTEST {
        Vec::new()
    } else {
        past.iter().filter(begins).collect()
    };
    let commits: BTreeSet<&str> = found
        .iter()
        .map(|past| past.revision.commit.as_str())
        .collect();
    let digests: BTreeSet<&Digest> = found.iter().map(|past| &past.digest).collect();
    if commits.len() > 1 && digests.len() > 1 {
        return Err(Failure::new(
            Exit::Usage,
            format!("more than one set begins with {to:?}"),
        ));
    }
    // Of one commit rendered twice, the newest that was Ready.
    let newest = found
        .iter()
        .max_by_key(|past| (past.was_ready, past.sequence));
    newest.map(|past| (*past).clone()).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!("no record is numbered {to}, or is of a commit or set that begins so"),
        )
        .hint("plimsoll history lists them")
    })
}

/// Returns the newest set before the one that runs that was Ready and is not quarantined.
fn before(application: &Application, past: Vec<Past>) -> Result<Past, Failure> {
    let status = application.status.as_ref();
    let running: BTreeSet<&Digest> = status
        .into_iter()
        .flat_map(|status| status.applied.iter().chain(&status.target))
        .map(|set| &set.digest)
        .collect();
    past.into_iter()
        .filter(|past| past.was_ready && !running.contains(&past.digest))
        .filter(|past| quarantined(application, &past.digest).is_none())
        .max_by_key(|past| past.sequence)
        .ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                "no record is of an earlier set that was Ready",
            )
            .hint("plimsoll history lists them; name one with --to")
        })
}

fn quarantined<'a>(application: &'a Application, digest: &Digest) -> Option<&'a str> {
    let status = application.status.as_ref()?;
    status
        .quarantine
        .iter()
        .find(|entry| entry.digest == *digest && !entry.released)
        .map(|entry| entry.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sequence: u64, commit: char, name: &str, was_ready: bool) -> Past {
        Past {
            sequence,
            was_ready,
            revision: format!("main@sha1:{}", commit.to_string().repeat(40))
                .parse()
                .unwrap(),
            digest: Digest::of(name.as_bytes()),
        }
    }

    #[test]
    fn a_set_is_named_by_record_commit_or_digest() {
        let past = [
            set(1, 'a', "one", true),
            set(2, 'b', "two", false),
            set(4, 'b', "two", true),
        ];
        let digest = past[0].digest.short().to_owned();
        for (to, sequence) in [
            ("1", 1),
            ("2", 2),
            ("bbbb", 4),
            ("main@sha1:bbbbbbb", 4),
            (digest.as_str(), 1),
            (past[1].digest.as_str(), 4),
        ] {
            assert_eq!(named(&past, to).unwrap().sequence, sequence, "{to}");
        }
        for (to, exit) in [
            ("3", Exit::NotFound),
            ("bbb", Exit::NotFound),
            ("", Exit::NotFound),
        ] {
            assert_eq!(named(&past, to).unwrap_err().exit, exit, "{to}");
        }
    }

    #[test]
    fn two_sets_of_one_beginning_are_not_guessed_between() {
        let mut past = [set(1, 'a', "one", true), set(2, 'a', "two", true)];
        past[1].revision.commit.replace_range(39.., "b");
        assert_eq!(named(&past, "aaaa").unwrap_err().exit, Exit::Usage);
        // The same commit rendered twice is no ambiguity.
        past[1].revision = past[0].revision.clone();
        assert_eq!(named(&past, "aaaa").unwrap().sequence, 2);
    }
}
