//! Entries, chains and checkpoints for tests.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    api::{Class, Predecessor, Reason, RecordHead, SetStatus},
    model::{ApplicationKey, CommitInfo, Digest, ObjectId, Revision},
    rollout::{Action, Ending, Failure},
};

/// Key of the golden files; it signs nothing else.
pub(super) const KEY: &str = include_str!("testdata/key.pem");

pub(super) fn moment(minute: u64) -> Timestamp {
    "2026-11-02T08:00:00Z"
        .parse::<Timestamp>()
        .unwrap()
        .checked_add(SignedDuration::from_mins(i64::try_from(minute).unwrap()))
        .unwrap()
}

/// The entry of attempt `number` of `shop/prod`: every third fails and returns.
pub(super) fn entry(number: u64) -> Entry {
    let digest = Digest::of(format!("set {number}").as_bytes());
    let revision = |number: u64| Revision {
        reference: "main".into(),
        commit: format!("{number:040x}"),
    };
    let failed = number.is_multiple_of(3);
    let ending = if failed {
        Ending::Failed {
            failure: Failure {
                reason: Reason::ImageNotFound,
                class: Class::Change,
                message: format!("web: image web:{number} is not found"),
            },
            returned: Some(SetStatus {
                revision: revision(number - 1),
                digest: Digest::of(format!("set {}", number - 1).as_bytes()),
                attempt: number - 1,
            }),
        }
    } else {
        Ending::Ready
    };
    let at = moment(number * 60);
    let after = |seconds: i64| at.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    Entry {
        cluster: "c1c1c1c1-0000-4000-8000-000000000000".into(),
        application: ApplicationKey {
            namespace: "shop".into(),
            name: "prod".into(),
        },
        application_uid: "12345678-0000-4000-8000-00000000000a".into(),
        what: What::Attempt {
            attempt: number,
            action: Action::Sync,
            ending,
            trigger: Trigger::Commit,
        },
        source: Some(SourceEntry {
            repository: "https://git.example.org/shop-deploy".into(),
            path: "overlays/prod".into(),
            revision: revision(number),
            commit: Some(CommitInfo {
                author: "Ann <ann@example.org>".into(),
                committer: "Ben <ben@example.org>".into(),
                authored: moment(number * 60 - 10),
                committed: moment(number * 60 - 5),
                subject: format!("web {number}"),
                signed: number.is_multiple_of(2),
            }),
            remotes: Vec::new(),
        }),
        digest: Some(digest),
        images: vec![format!("registry.example.org/web:{number}")],
        changes: vec![ObjectChange {
            id: ObjectId::new("apps", "Deployment", "shop", "web"),
            action: "update".into(),
            fields: vec![".spec.template.spec.containers[name=web].image".into()],
        }],
        unchanged: 3,
        gates: vec![Gate {
            name: "health",
            result: if failed {
                GateResult::Refused
            } else {
                GateResult::Passed
            },
            detail: "timeout 5m".into(),
        }],
        times: Times {
            seen: Some(at),
            began: after(1),
            applied: Some(after(2)),
            failed: failed.then(|| after(5)),
            restored: failed.then(|| after(6)),
            ended: after(9),
        },
        resumed: false,
        details: String::new(),
        controller: "plimsoll-0".into(),
    }
}

pub(super) fn of(mut entry: Entry, name: &str, uid: &str) -> Entry {
    name.clone_into(&mut entry.application.name);
    uid.clone_into(&mut entry.application_uid);
    entry
}

/// Returns the records of a chain.
pub(super) fn chain(
    name: &str,
    uid: &str,
    records: u64,
    predecessor: Option<&Predecessor>,
) -> Vec<Record> {
    let mut made: Vec<Record> = Vec::new();
    for number in 1..=records {
        let entry = of(entry(number), name, uid);
        let next = record(&entry, made.last().map(Record::head), predecessor);
        made.push(next);
    }
    made
}

pub(super) fn id(name: &str, uid: &str) -> ChainId {
    ChainId {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid.into(),
    }
}

pub(super) fn checkpoint(
    number: u64,
    previous: Option<&Signed>,
    heads: &[(ChainId, RecordHead)],
) -> Checkpoint {
    Checkpoint {
        number,
        previous: previous.map(Signed::hash),
        cluster: "c1c1c1c1-0000-4000-8000-000000000000".into(),
        at: moment(number * 600),
        heads: heads.iter().cloned().collect(),
        all: number == 1,
        controller: "plimsoll-0".into(),
    }
}

/// Returns a history as a sink keeps it: two Applications, of which one was deleted and created again under its
/// name, and three checkpoints. The last record is covered by none.
pub(super) fn history() -> Vec<String> {
    let key = SigningKey::from_pem(KEY).unwrap();
    let text = |record: &Record| record.spec().record.clone();
    let prod = chain("prod", "12345678-a", 9, None);
    let database = chain("database", "87654321-b", 5, None);
    let predecessor = Predecessor {
        uid: "12345678-a".into(),
        head: prod[8].head().clone(),
    };
    let again = chain("prod", "24682468-c", 4, Some(&predecessor));
    let (p, d, a) = (
        id("prod", "12345678-a"),
        id("database", "87654321-b"),
        id("prod", "24682468-c"),
    );
    let first = checkpoint(
        1,
        None,
        &[
            (p.clone(), prod[3].head().clone()),
            (d.clone(), database[1].head().clone()),
        ],
    )
    .sign(&key);
    let second = checkpoint(2, Some(&first), &[(p, prod[8].head().clone())]).sign(&key);
    let third = checkpoint(
        3,
        Some(&second),
        &[
            (d, database[4].head().clone()),
            (a, again[2].head().clone()),
        ],
    )
    .sign(&key);
    let mut lines: Vec<String> = Vec::new();
    lines.extend(prod[..4].iter().map(text));
    lines.extend(database[..2].iter().map(text));
    lines.push(first.to_line());
    lines.extend(prod[4..].iter().map(text));
    lines.push(second.to_line());
    lines.extend(database[2..].iter().map(text));
    lines.extend(again[..3].iter().map(text));
    lines.push(third.to_line());
    lines.push(text(&again[3]));
    lines
}

/// Verifies lines with the key of the golden files.
pub(super) fn verdict<'a>(lines: impl IntoIterator<Item = &'a str>) -> Verdict {
    let key = SigningKey::from_pem(KEY).unwrap().public();
    let mut verifier = Verifier::new(Expectations {
        key: Some(key),
        ..Expectations::default()
    });
    for line in lines {
        verifier.line(line);
    }
    verifier.finish()
}
