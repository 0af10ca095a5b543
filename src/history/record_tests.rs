//! What a record says, and what it never says.
//!
//! Enters: entries of every kind.
//! Leaves: the fields that an auditor asks for.
//! Never: a value of a Secret.

use jiff::Timestamp;

use super::*;
use crate::{
    api::{Class, Reason},
    history::{Actor, Command, Gate, GateResult, case},
    model::ObjectId,
    rollout::{Action, Failure},
};

/// Longest record, in bytes: what the definition of SyncRecord takes.
const RECORD_LIMIT: usize = 256 * 1024;

fn change(name: &str, fields: usize, length: usize) -> ObjectChange {
    ObjectChange {
        id: ObjectId::new("apps", "Deployment", "shop", name),
        action: "update".into(),
        fields: (0..fields)
            .map(|field| format!(".spec.{field}.{}", "f".repeat(length)))
            .collect(),
    }
}

fn read(record: &Record) -> Value {
    serde_json::from_str(&record.spec().record).unwrap()
}

#[test]
fn the_chain_grows_by_one_and_names_its_predecessor() {
    let first = record(&case::entry(1), None, None);
    let second = record(&case::entry(2), Some(first.head()), None);
    assert_eq!((first.head().sequence, second.head().sequence), (1, 2));
    assert_eq!(second.name(), "prod-12345678-0000000002");
    assert_eq!(read(&second)["previous"], first.head().hash.as_str());
    assert_eq!(
        Digest::of(second.spec().record.as_bytes()),
        second.head().hash
    );
    assert_eq!(second.spec().result, "Ready");
}

#[test]
fn a_first_record_names_what_an_earlier_application_of_its_name_left() {
    let old = record(&case::entry(1), None, None);
    let predecessor = Predecessor {
        uid: "old".into(),
        head: old.head().clone(),
    };
    let first = record(&case::entry(1), None, Some(&predecessor));
    assert_eq!(read(&first)["succeeds"]["uid"], "old");
    assert_eq!(read(&first)["succeeds"]["hash"], old.head().hash.as_str());
    let second = record(&case::entry(2), Some(first.head()), Some(&predecessor));
    assert!(read(&second).get("succeeds").is_none());
}

#[test]
fn a_long_list_is_cut_with_its_count_and_digest_and_no_record_is_too_long() {
    let mut entry = case::entry(1);
    entry.changes = (0..10_000)
        .map(|index| change(&format!("web-{index}"), 30, 1))
        .collect();
    let made = record(&entry, None, None);
    let value = read(&made);
    assert_eq!(value["changes"]["count"], 10_000);
    assert!(value["changes"]["objects"].as_array().unwrap().len() > 100);
    assert!(value["changes"]["digest"].is_string());
    assert_eq!(value["changes"]["objects"][0]["moreFields"], 10);
    assert!(made.spec().record.len() < RECORD_LIMIT);

    // Everything at its longest, in characters that an escape makes six times as long.
    let long = "\u{1}".repeat(100_000);
    entry.changes = (0..1000)
        .map(|index| change(&format!("web-{index}"), 30, 5000))
        .collect();
    entry.images = (0..1000).map(|index| format!("{long}{index}")).collect();
    entry.details.clone_from(&long);
    entry.what = What::Attempt {
        attempt: 1,
        action: Action::Sync,
        ending: Ending::Failed {
            failure: Failure {
                reason: Reason::ImageNotFound,
                class: Class::Change,
                message: long.clone(),
            },
            returned: None,
        },
        trigger: Trigger::Commit,
    };
    if let Some(source) = &mut entry.source {
        source.repository.clone_from(&long);
        source.path.clone_from(&long);
        if let Some(commit) = &mut source.commit {
            commit.author.clone_from(&long);
            commit.committer.clone_from(&long);
            commit.subject.clone_from(&long);
        }
    }
    let made = record(&entry, None, None);
    assert!(
        made.spec().record.len() < RECORD_LIMIT,
        "{}",
        made.spec().record.len()
    );
}

#[test]
fn images_say_name_tag_and_digest_as_far_as_the_set_does() {
    let mut entry = case::entry(1);
    entry.images = [
        "registry:5000/web",
        "registry:5000/web:1",
        "web:1@sha256:ab",
        "web@sha256:ab",
    ]
    .map(str::to_owned)
    .to_vec();
    let list = read(&record(&entry, None, None))["images"]["list"].clone();
    let expected = json!([
        {"name": "registry:5000/web"}, {"name": "registry:5000/web", "tag": "1"},
        {"name": "web", "tag": "1", "digest": "sha256:ab"}, {"name": "web", "digest": "sha256:ab"},
    ]);
    assert_eq!(list, expected);
}

#[test]
fn a_command_says_who_and_whether_the_name_is_vouched_for() {
    let mut entry = case::entry(1);
    entry.what = What::Command(Command {
        verb: "release".into(),
        subject: "sha256:ab".into(),
        by: Actor {
            name: "ann".into(),
            verified: false,
        },
        at: Timestamp::UNIX_EPOCH,
        reason: "pushed".into(),
    });
    let made = record(&entry, None, None);
    let value = read(&made);
    assert_eq!(value["command"]["by"], "ann");
    assert_eq!(value["command"]["verified"], false);
    assert_eq!(
        (made.spec().action.as_str(), made.spec().result.as_str()),
        ("release", "Done")
    );
    assert!(entry.is_told_by(&value));
    assert!(!case::entry(1).is_told_by(&value));
}

#[test]
fn gates_times_and_trigger_are_told() {
    let mut entry = case::entry(1);
    entry.gates = vec![Gate {
        name: "health",
        result: GateResult::Refused,
        detail: "timeout 5m".into(),
    }];
    let value = read(&record(&entry, None, None));
    assert_eq!(
        value["gates"],
        json!([{"name": "health", "result": "refused", "detail": "timeout 5m"}])
    );
    assert_eq!(value["trigger"], json!({"cause": "commit"}));
    assert!(value["times"]["seen"].is_string() && value["times"]["ended"].is_string());
    assert!(value["times"].get("restored").is_none());
    assert_eq!(value["resumed"], Value::Null);
    entry.resumed = true;
    assert_eq!(read(&record(&entry, None, None))["resumed"], true);
}
