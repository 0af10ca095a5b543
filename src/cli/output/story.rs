//! The story of one record.
//!
//! Enters: a record.
//! Leaves: one line for each thing that it tells.
//! Never: a value of a field; a record has none.

use std::time::Duration;

use serde_json::Value;

use crate::{
    history::{Told, moment, word},
    model::text,
};

/// Returns the time between two moments of a record; empty where one is missing.
pub(in crate::cli) fn took(record: &Value, from: &str, to: &str) -> String {
    let (Some(from), Some(to)) = (moment(record, from), moment(record, to)) else {
        return String::new();
    };
    let millis = to.as_millisecond().saturating_sub(from.as_millisecond());
    text::duration(Duration::from_millis(
        u64::try_from(millis).unwrap_or_default(),
    ))
}

/// Returns the story for people.
pub(in crate::cli) fn story(told: &Told) -> String {
    let record = &told.value;
    let mut lines = vec![format!(
        "{}/{} record {}: {} {}",
        told.chain.namespace,
        told.chain.name,
        told.sequence,
        word(record, "/action"),
        word(record, "/result"),
    )];
    let mut say = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {name:<10} {text}"));
        }
    };
    let join = |pointers: &[&str], between: &str| {
        pointers
            .iter()
            .map(|pointer| word(record, pointer))
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(between)
    };
    if record.get("resumed").is_some() {
        say(
            "resumed",
            "a controller that had not begun it ended it".to_owned(),
        );
    }
    say(
        "because",
        join(
            &[
                "/trigger/cause",
                "/trigger/reason",
                "/trigger/verb",
                "/trigger/actor",
            ],
            " ",
        ),
    );
    say(
        "command",
        join(
            &["/command/verb", "/command/subject", "/command/reason"],
            " ",
        ),
    );
    let vouched = |pointer: &str| match record.pointer(pointer).and_then(Value::as_bool) {
        Some(false) => " (unverified)",
        Some(true) | None => "",
    };
    let by = word(record, "/command/by");
    if !by.is_empty() {
        say("by", format!("{by}{}", vouched("/command/verified")));
    }
    say(
        "failed",
        join(
            &["/ending/class", "/ending/reason", "/ending/message"],
            ": ",
        ),
    );
    say(
        "returned",
        join(
            &["/ending/returned/revision", "/ending/returned/digest"],
            " ",
        ),
    );
    say(
        "repository",
        join(&["/source/repository", "/source/path"], " "),
    );
    say("revision", join(&["/source/revision"], ""));
    say("commit", join(&["/source/commit/subject"], ""));
    say(
        "author",
        join(&["/source/commit/author", "/source/commit/authored"], ", "),
    );
    say(
        "committer",
        join(
            &["/source/commit/committer", "/source/commit/committed"],
            ", ",
        ),
    );
    say("digest", join(&["/digest"], ""));
    for (key, name) in [
        ("seen", "seen"),
        ("began", "began"),
        ("applied", "applied"),
        ("failed", "failed at"),
        ("restored", "restored"),
        ("ended", "ended"),
    ] {
        let at = word(record, &format!("/times/{key}"));
        let after = took(record, "began", key);
        if !at.is_empty() {
            say(name, format!("{at}  +{after}"));
        }
    }
    for gate in list(record, "/gates") {
        say(
            "gate",
            format!(
                "{} {} {}",
                word(gate, "/name"),
                word(gate, "/result"),
                word(gate, "/detail")
            ),
        );
    }
    for image in list(record, "/images/list") {
        let part = |pointer, sign: &str| match word(image, pointer) {
            "" => String::new(),
            part => format!("{sign}{part}"),
        };
        say(
            "image",
            format!(
                "{}{}{}",
                word(image, "/name"),
                part("/tag", ":"),
                part("/digest", "@")
            ),
        );
    }
    say("details", join(&["/details"], ""));
    for change in list(record, "/changes/objects") {
        say(
            "changed",
            format!("{} {}", word(change, "/action"), word(change, "/object")),
        );
        for field in list(change, "/fields") {
            say("", format!("  {}", field.as_str().unwrap_or_default()));
        }
    }
    say(
        "controller",
        join(&["/controller/identity", "/controller/version"], " "),
    );
    say("previous", join(&["/previous"], ""));
    say("hash", told.hash.to_string());
    lines.join("\n") + "\n"
}

fn list<'a>(record: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    record
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
