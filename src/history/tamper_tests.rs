//! The tamper bench: ways to change a history, and what the verifier says of each.
//!
//! Enters: a whole history with checkpoints.
//! Leaves: for each way, a fault that names the record.
//! Never: a way that is found only because something else broke: the untouched history is whole.

use serde_json::{Value, json};

use super::*;
use crate::model::{Digest, canonical_json};

/// Index of record `sequence` of a chain, by the beginning of its UID.
fn at(lines: &[String], uid: &str, sequence: u64) -> usize {
    lines
        .iter()
        .position(|line| match read_line(line) {
            Ok(Line::Record(told)) => told.chain.uid.starts_with(uid) && told.sequence == sequence,
            Ok(Line::Checkpoint(_) | Line::Header) | Err(_) => false,
        })
        .unwrap()
}

fn checkpoint_at(lines: &[String], number: u64) -> usize {
    lines
        .iter()
        .position(|line| match read_line(line) {
            Ok(Line::Checkpoint(signed)) => signed.open(None).unwrap().number == number,
            Ok(Line::Record(_) | Line::Header) | Err(_) => false,
        })
        .unwrap()
}

/// Changes a value of a record and writes it canonically, as who knows the format would.
fn edit(lines: &mut [String], uid: &str, sequence: u64, pointer: &str, value: Value) {
    let index = at(lines, uid, sequence);
    let mut record: Value = serde_json::from_str(&lines[index]).unwrap();
    *record
        .pointer_mut(pointer)
        .unwrap_or_else(|| unreachable!("{pointer} is in the record")) = value;
    lines[index] = canonical_json(&record);
}

/// Writes the hashes of a chain anew from a record on, as who knows the format would.
fn rechain(lines: &mut [String], uid: &str, from: u64) {
    let mut sequence = from;
    let mut last = Digest::of(lines[at(lines, uid, from)].as_bytes());
    loop {
        sequence += 1;
        let next = lines.iter().any(|line| {
            matches!(read_line(line), Ok(Line::Record(told)) if told.chain.uid.starts_with(uid) && told.sequence == sequence)
        });
        if !next {
            return;
        }
        edit(lines, uid, sequence, "/previous", json!(last.as_str()));
        last = Digest::of(lines[at(lines, uid, sequence)].as_bytes());
    }
}

fn sign_with(
    lines: &mut [String],
    number: u64,
    key: &SigningKey,
    change: impl Fn(&mut Checkpoint),
) {
    let index = checkpoint_at(lines, number);
    let Ok(Line::Checkpoint(signed)) = read_line(&lines[index]) else {
        return;
    };
    let mut checkpoint = signed.open(None).unwrap();
    change(&mut checkpoint);
    lines[index] = checkpoint.sign(key).to_line();
}

fn another_key() -> SigningKey {
    // The same file with another seed.
    let pem = case::KEY.lines().nth(1).unwrap();
    let changed = format!("{}AAAA", &pem[..pem.len() - 4]);
    SigningKey::from_pem(&case::KEY.replace(pem, &changed)).unwrap()
}

type Way = (&'static str, fn(&mut Vec<String>), &'static str);

const PROD: &str = "12345678";
const DATA: &str = "87654321";
const AGAIN: &str = "24682468";

/// Way, what it does, and what must be said.
const WAYS: &[Way] = &[
    // Edits. The record after the changed one no longer follows it, or a checkpoint knows another.
    (
        "edit the result",
        |l| edit(l, PROD, 3, "/result", json!("Ready")),
        "shop/prod-12345678: record 4 does not follow record 3",
    ),
    (
        "edit the action",
        |l| edit(l, PROD, 3, "/action", json!("Prune")),
        "record 4 does not follow record 3",
    ),
    (
        "edit the message",
        |l| edit(l, PROD, 3, "/ending/message", json!("fine")),
        "record 4 does not follow record 3",
    ),
    (
        "edit the class",
        |l| edit(l, PROD, 3, "/ending/class", json!("Environment")),
        "record 4 does not follow record 3",
    ),
    (
        "edit the revision",
        |l| {
            edit(
                l,
                PROD,
                2,
                "/source/revision",
                json!("main@sha1:ffffffffffffffffffffffffffffffffffffffff"),
            );
        },
        "record 3 does not follow record 2",
    ),
    (
        "edit the repository",
        |l| {
            edit(
                l,
                PROD,
                2,
                "/source/repository",
                json!("https://evil.example"),
            );
        },
        "record 3 does not follow record 2",
    ),
    (
        "edit the author",
        |l| {
            edit(
                l,
                PROD,
                5,
                "/source/commit/author",
                json!("Eve <eve@example.org>"),
            );
        },
        "record 6 does not follow record 5",
    ),
    (
        "edit the committer",
        |l| {
            edit(
                l,
                PROD,
                5,
                "/source/commit/committer",
                json!("Eve <eve@example.org>"),
            );
        },
        "record 6 does not follow record 5",
    ),
    (
        "edit the subject",
        |l| edit(l, PROD, 5, "/source/commit/subject", json!("reviewed")),
        "record 6 does not follow record 5",
    ),
    (
        "edit the digest",
        |l| {
            edit(
                l,
                PROD,
                5,
                "/digest",
                json!("sha256:0000000000000000000000000000000000000000000000000000000000000000"),
            );
        },
        "record 6 does not follow record 5",
    ),
    (
        "edit an image",
        |l| edit(l, PROD, 5, "/images/list/0/tag", json!("7")),
        "record 6 does not follow record 5",
    ),
    (
        "edit a changed object",
        |l| {
            edit(
                l,
                PROD,
                5,
                "/changes/objects/0/object",
                json!("Deployment shop/other"),
            );
        },
        "record 6 does not follow record 5",
    ),
    (
        "edit a gate",
        |l| edit(l, PROD, 6, "/gates/0/result", json!("passed")),
        "record 7 does not follow record 6",
    ),
    (
        "roll the clock",
        |l| edit(l, PROD, 4, "/times/ended", json!("2020-01-01T00:00:00Z")),
        "record 5 does not follow record 4",
    ),
    (
        "edit the trigger",
        |l| edit(l, PROD, 4, "/trigger/cause", json!("drift")),
        "record 5 does not follow record 4",
    ),
    (
        "edit the number of the attempt",
        |l| edit(l, PROD, 4, "/attempt", json!(40)),
        "record 5 does not follow record 4",
    ),
    (
        "edit the identity of the controller",
        |l| edit(l, PROD, 4, "/controller/identity", json!("plimsoll-9")),
        "record 5 does not follow record 4",
    ),
    (
        "edit the first record",
        |l| edit(l, DATA, 1, "/result", json!("Refused")),
        "shop/database-87654321: record 2 does not follow record 1",
    ),
    (
        "edit the last record that a checkpoint covers",
        |l| edit(l, DATA, 5, "/result", json!("Refused")),
        "record 5 is not the one that checkpoint 3 knows",
    ),
    (
        "edit a record and write all later hashes anew",
        |l| {
            edit(l, PROD, 2, "/result", json!("Failed"));
            rechain(l, PROD, 2);
        },
        "shop/prod-12345678: record 4 is not the one that checkpoint 1 knows",
    ),
    (
        "edit the previous hash alone",
        |l| {
            edit(
                l,
                PROD,
                7,
                "/previous",
                json!("sha256:0000000000000000000000000000000000000000000000000000000000000000"),
            );
        },
        "record 7 does not follow record 6",
    ),
    (
        "edit the sequence",
        |l| edit(l, PROD, 7, "/sequence", json!(8)),
        "record 7 is missing",
    ),
    (
        "edit the format",
        |l| edit(l, PROD, 7, "/format", json!(2)),
        "after record 6 of shop/prod-12345678: has format 2",
    ),
    (
        "edit the name of the Application",
        |l| edit(l, PROD, 7, "/application/name", json!("other")),
        "record 7 is missing",
    ),
    (
        "edit the UID of the Application",
        |l| edit(l, PROD, 7, "/application/uid", json!("99999999-x")),
        "record 7 is missing",
    ),
    (
        "edit the cluster",
        |l| edit(l, PROD, 7, "/cluster", json!("another")),
        "record 7 is of another cluster",
    ),
    (
        "add white space",
        |l| {
            let i = at(l, PROD, 7);
            l[i] = l[i].replacen(',', ", ", 1);
        },
        "after record 6 of shop/prod-12345678: is not in its canonical form",
    ),
    (
        "add a field twice",
        |l| {
            let i = at(l, PROD, 7);
            l[i] = l[i].replacen('{', "{\"action\":\"Sync\",", 1);
        },
        "is not in its canonical form",
    ),
    (
        "add a field",
        |l| {
            let i = at(l, PROD, 7);
            let mut v: Value = serde_json::from_str(&l[i]).unwrap();
            v["note"] = json!("approved");
            l[i] = canonical_json(&v);
        },
        "record 8 does not follow record 7",
    ),
    (
        "remove a field",
        |l| {
            let i = at(l, PROD, 6);
            let mut v: Value = serde_json::from_str(&l[i]).unwrap();
            v.as_object_mut().unwrap().remove("ending");
            l[i] = canonical_json(&v);
        },
        "record 7 does not follow record 6",
    ),
    (
        "cut a line short",
        |l| {
            let i = at(l, PROD, 7);
            let n = l[i].len() / 2;
            l[i].truncate(n);
        },
        "after record 6 of shop/prod-12345678: is no record",
    ),
    (
        "write rubbish in between",
        |l| l.insert(2, "\u{0}rubbish".into()),
        "line 3, after record 2 of shop/prod-12345678: is no record",
    ),
    // Records that go, come and move.
    (
        "delete a record in the middle",
        |l| {
            let i = at(l, PROD, 6);
            l.remove(i);
        },
        "shop/prod-12345678: record 6 is missing",
    ),
    (
        "delete three records",
        |l| {
            for n in 5..=7 {
                let i = at(l, PROD, n);
                l.remove(i);
            }
        },
        "records 5 to 7 are missing",
    ),
    (
        "delete a record and renumber the later ones",
        |l| {
            let i = at(l, PROD, 6);
            l.remove(i);
            for n in 7..=9 {
                edit(l, PROD, n, "/sequence", json!(n - 1));
            }
            rechain(l, PROD, 5);
        },
        "shop/prod-12345678: it ends with record 8, and checkpoint 2 knows record 9",
    ),
    (
        "delete the first record",
        |l| {
            let i = at(l, DATA, 1);
            l.remove(i);
        },
        "shop/database-87654321: it begins with record 2",
    ),
    (
        "truncate a chain",
        |l| {
            for n in [5, 4] {
                let i = at(l, DATA, n);
                l.remove(i);
            }
        },
        "shop/database-87654321: it ends with record 3, and checkpoint 3 knows record 5",
    ),
    (
        "truncate the file, where a checkpoint is kept elsewhere",
        |l| {
            let kept = l[checkpoint_at(l, 3)].clone();
            l.truncate(8);
            l.push(kept);
        },
        "shop/database-87654321: it ends with record 2, and checkpoint 3 knows record 5",
    ),
    (
        "delete a whole chain",
        |l| l.retain(|line| !line.contains("87654321-b\"},\"attempt")),
        "shop/database-87654321: no record is here, and checkpoint 1 knows record 2",
    ),
    (
        "duplicate a record",
        |l| {
            let i = at(l, PROD, 6);
            let again = l[i].clone();
            l.insert(i, again);
        },
        "record 6 stands twice",
    ),
    (
        "duplicate a record at the end",
        |l| {
            let again = l[at(l, PROD, 2)].clone();
            l.push(again);
        },
        "record 2 stands twice",
    ),
    (
        "put another record in its place",
        |l| {
            let i = at(l, PROD, 6);
            let other = l[i].replace("Ann", "Eve");
            l.insert(i + 1, other);
        },
        "there are two different records 6",
    ),
    (
        "swap two records",
        |l| {
            let (a, b) = (at(l, PROD, 6), at(l, PROD, 7));
            l.swap(a, b);
        },
        "record 6 comes after record 7",
    ),
    (
        "reverse a chain",
        |l| {
            for (a, b) in [(5, 9), (6, 8)] {
                let (a, b) = (at(l, PROD, a), at(l, PROD, b));
                l.swap(a, b);
            }
        },
        "records 5 to 8 are missing",
    ),
    (
        "insert a record and renumber the later ones",
        |l| {
            let i = at(l, DATA, 3);
            let forged = l[i].replace("Ann", "Eve");
            for n in (3..=5).rev() {
                edit(l, DATA, n, "/sequence", json!(n + 1));
            }
            l.insert(i, forged);
            rechain(l, DATA, 3);
        },
        "shop/database-87654321: record 5 is not the one that checkpoint 3 knows",
    ),
    (
        "append a record that follows nothing",
        |l| {
            let mut v: Value = serde_json::from_str(&l[at(l, AGAIN, 4)]).unwrap();
            v["sequence"] = json!(5);
            l.push(canonical_json(&v));
        },
        "shop/prod-24682468: record 5 does not follow record 4",
    ),
    (
        "splice the end of another chain on",
        |l| {
            for n in 4..=5 {
                let i = at(l, DATA, n);
                let other = l[at(l, AGAIN, n - 1)].clone();
                let mut v: Value = serde_json::from_str(&other).unwrap();
                v["sequence"] = json!(n);
                v["application"] =
                    json!({"namespace": "shop", "name": "database", "uid": "87654321-b"});
                l[i] = canonical_json(&v);
            }
        },
        "shop/database-87654321: record 4 does not follow record 3",
    ),
    (
        "exchange two whole chains",
        |l| {
            for line in l.iter_mut() {
                if line.starts_with("{\"action\"") {
                    *line = line
                        .replace("87654321-b", "tmp")
                        .replace("24682468-c", "87654321-b")
                        .replace("tmp", "24682468-c");
                }
            }
        },
        "record 3 does not follow record 2",
    ),
    // A name that is used again.
    (
        "let a later Application deny the earlier one",
        |l| {
            let i = at(l, AGAIN, 1);
            let mut v: Value = serde_json::from_str(&l[i]).unwrap();
            v.as_object_mut().unwrap().remove("succeeds");
            l[i] = canonical_json(&v);
            rechain(l, AGAIN, 1);
        },
        "shop/prod-24682468: record 1: neither it nor",
    ),
    (
        "drop the end of the earlier Application",
        |l| {
            let i = at(l, PROD, 9);
            l.remove(i);
        },
        "shop/prod-24682468: record 1: it names record 9",
    ),
    (
        "drop the earlier Application",
        |l| l.retain(|line| !line.contains("\"uid\":\"12345678-a\"},\"attempt")),
        "shop/prod-24682468: record 1: it names record 9 of the earlier Application",
    ),
    (
        "name an earlier Application in the middle",
        |l| {
            let i = at(l, PROD, 5);
            let mut v: Value = serde_json::from_str(&l[i]).unwrap();
            v["succeeds"] = json!({"uid": "x", "sequence": 1, "hash": Digest::of(b"x").as_str()});
            l[i] = canonical_json(&v);
        },
        "shop/prod-12345678: record 5: it is no first record",
    ),
    // Checkpoints.
    (
        "delete the newest checkpoint but one",
        |l| {
            let i = checkpoint_at(l, 2);
            l.remove(i);
        },
        "checkpoints 2 to 2 are missing",
    ),
    (
        "delete all checkpoints",
        |l| l.retain(|line| !line.starts_with("{\"checkpoint")),
        "no checkpoint that this key signed",
    ),
    (
        "edit a checkpoint",
        |l| {
            let i = checkpoint_at(l, 2);
            l[i] = l[i].replace("\\\"sequence\\\":9", "\\\"sequence\\\":8");
        },
        "checkpoint 2: it is not signed by this key",
    ),
    (
        "forge a checkpoint with another key",
        |l| {
            sign_with(l, 3, &another_key(), |c| {
                c.heads.clear();
            });
        },
        "checkpoint 3: it is not signed by this key",
    ),
    (
        "drop the signature",
        |l| {
            let i = checkpoint_at(l, 3);
            let mut v: Value = serde_json::from_str(&l[i]).unwrap();
            v["signature"] = json!("");
            l[i] = canonical_json(&v);
        },
        "checkpoint 3: it is not signed by this key",
    ),
    (
        "exchange the signatures of two checkpoints",
        |l| {
            let (a, b) = (checkpoint_at(l, 1), checkpoint_at(l, 2));
            let (mut one, mut two): (Value, Value) = (
                serde_json::from_str(&l[a]).unwrap(),
                serde_json::from_str(&l[b]).unwrap(),
            );
            std::mem::swap(&mut one["signature"], &mut two["signature"]);
            l[a] = canonical_json(&one);
            l[b] = canonical_json(&two);
        },
        "checkpoint 1: it is not signed by this key",
    ),
    (
        "sign two checkpoints of one number",
        |l| {
            let i = checkpoint_at(l, 3);
            let line = l[i].clone();
            l.push(line);
            let key = SigningKey::from_pem(case::KEY).unwrap();
            sign_with(l, 3, &key, |c| c.controller = "plimsoll-1".into());
        },
        "checkpoint 3: there are two different ones",
    ),
    (
        "sign a checkpoint that follows another history",
        |l| {
            let key = SigningKey::from_pem(case::KEY).unwrap();
            sign_with(l, 3, &key, |c| c.previous = Some(Digest::of(b"other")));
        },
        "checkpoint 3: it does not follow checkpoint 2",
    ),
];

#[test]
fn an_untouched_history_is_whole() {
    let lines = case::history();
    let verdict = case::verdict(lines.iter().map(String::as_str));
    assert_eq!(verdict.faults, []);
    assert_eq!(
        (
            verdict.records,
            verdict.checkpoints,
            verdict.newest_checkpoint
        ),
        (18, 3, Some(3))
    );
    let covered: Vec<(u64, Option<u64>)> = verdict
        .chains
        .iter()
        .map(|chain| (chain.head.sequence, chain.covered))
        .collect();
    assert_eq!(covered, [(5, Some(5)), (9, Some(9)), (4, Some(3))]);
}

#[test]
fn every_way_of_tampering_is_found_and_the_record_is_named() {
    assert!(WAYS.len() >= 30, "{}", WAYS.len());
    let mut missed = Vec::new();
    for (way, tamper, said) in WAYS {
        let mut lines = case::history();
        tamper(&mut lines);
        assert_ne!(lines, case::history(), "{way} does nothing");
        let verdict = case::verdict(lines.iter().map(String::as_str));
        let faults: Vec<String> = verdict.faults.iter().map(ToString::to_string).collect();
        if !faults.iter().any(|fault| fault.contains(said)) {
            missed.push(format!("{way}: expected {said:?}, found {faults:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_no_checkpoint_covers_is_told_by_the_status() {
    let mut lines = case::history();
    let last = lines.pop().unwrap();
    let told = read_record(&last).unwrap();
    let heads = [(
        told.chain.clone(),
        crate::api::RecordHead {
            sequence: told.sequence,
            hash: told.hash.clone(),
        },
    )];
    let verify = |lines: &[String]| {
        let mut verifier = Verifier::new(Expectations {
            heads: heads.iter().cloned().collect(),
            ..Expectations::default()
        });
        for line in lines {
            verifier.line(line);
        }
        verifier.finish().faults
    };
    let faults = verify(&lines);
    assert_eq!(faults.len(), 1);
    assert_eq!(
        faults[0].to_string(),
        "shop/prod-24682468: it ends with record 3, and the status of the Application knows record 4"
    );
    lines.push(last.replace("Ann", "Eve"));
    assert!(
        verify(&lines)[0]
            .to_string()
            .contains("record 4 is not the one that the status")
    );
}

#[test]
fn a_part_is_whole_only_where_a_part_is_expected() {
    let lines: Vec<String> = case::history().into_iter().skip(2).collect();
    let part = |partial| {
        let mut verifier = Verifier::new(Expectations {
            partial,
            ..Expectations::default()
        });
        for line in &lines {
            verifier.line(line);
        }
        verifier.finish()
    };
    assert!(part(true).is_whole(), "{:?}", part(true).faults);
    assert!(!part(false).is_whole());
}

#[test]
fn a_number_out_of_all_reason_takes_no_memory() {
    let mut lines = case::history();
    edit(&mut lines, PROD, 9, "/sequence", json!(u64::MAX));
    let verdict = case::verdict(lines.iter().map(String::as_str));
    assert!(
        verdict
            .faults
            .iter()
            .any(|fault| fault.to_string().contains("are missing"))
    );
}

/// Files of format 1, written when it was new. Every later release verifies them.
#[test]
fn the_golden_history_of_format_1_is_whole() {
    let golden = include_str!("testdata/format-1.jsonl");
    let key = PublicKey::from_pem(include_str!("testdata/key.pub.pem")).unwrap();
    let mut verifier = Verifier::new(Expectations {
        key: Some(key),
        ..Expectations::default()
    });
    for line in golden.lines() {
        verifier.line(line);
    }
    let verdict = verifier.finish();
    assert_eq!(verdict.faults, []);
    assert_eq!((verdict.records, verdict.checkpoints), (18, 3));
    let heads: Vec<&str> = verdict
        .chains
        .iter()
        .map(|chain| chain.head.hash.as_str())
        .collect();
    let written = include_str!("testdata/format-1.heads");
    assert_eq!(heads, written.lines().collect::<Vec<_>>());
}

/// What is written now is what was written then, but for the version: a changed form needs a new format.
#[test]
fn the_form_of_format_1_has_not_changed() {
    let plain = |text: &str| -> Vec<Value> {
        text.lines()
            .filter(|line| line.starts_with("{\"action\""))
            .map(|line| {
                let mut value: Value = serde_json::from_str(line).unwrap();
                value["controller"]["version"] = Value::Null;
                value.as_object_mut().unwrap().remove("previous");
                if let Some(succeeds) = value.pointer_mut("/succeeds/hash") {
                    *succeeds = Value::Null;
                }
                value
            })
            .collect()
    };
    assert_eq!(
        plain(&case::history().join("\n")),
        plain(include_str!("testdata/format-1.jsonl"))
    );
}

#[test]
fn keys_of_other_kinds_are_refused() {
    assert!(SigningKey::from_pem("").is_err());
    assert!(
        SigningKey::from_pem(&case::KEY.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vx")).is_err()
    );
    assert!(PublicKey::from_pem(case::KEY).is_err());
    let public = SigningKey::from_pem(case::KEY).unwrap().public();
    assert_eq!(PublicKey::from_pem(&public.to_pem()), Ok(public));
}
