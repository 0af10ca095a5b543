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
    let mut lines = Lines(vec![format!(
        "{}/{} record {}: {} {}",
        told.chain.namespace,
        told.chain.name,
        told.sequence,
        word(record, "/action"),
        word(record, "/result"),
    )]);
    who_and_what(record, &mut lines);
    for (key, name) in [
        ("seen", "seen"),
        ("began", "began"),
        ("applied", "applied"),
        ("failed", "failed at"),
        ("restored", "restored"),
        ("ended", "ended"),
    ] {
        let at = word(record, &format!("/times/{key}"));
        if !at.is_empty() {
            lines.say(name, &format!("{at}  +{}", took(record, "began", key)));
        }
    }
    lists(record, &mut lines);
    lines.join(
        record,
        "controller",
        &["identity", "version"].map(|key| format!("/controller/{key}")),
        " ",
    );
    lines.say("previous", word(record, "/previous"));
    lines.say("hash", told.hash.as_str());
    lines.0.join("\n") + "\n"
}

/// Lines of a story, each with a name before it.
struct Lines(Vec<String>);

impl Lines {
    fn say(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.0.push(format!("  {name:<10} {text}"));
        }
    }

    fn join(&mut self, record: &Value, name: &str, pointers: &[impl AsRef<str>], between: &str) {
        let parts: Vec<&str> = pointers
            .iter()
            .map(|pointer| word(record, pointer.as_ref()))
            .filter(|text| !text.is_empty())
            .collect();
        self.say(name, &parts.join(between));
    }
}

fn who_and_what(record: &Value, lines: &mut Lines) {
    if record.get("resumed").is_some() {
        lines.say("resumed", "a controller that had not begun it ended it");
    }
    let parts: [(&str, &[&str], &str); 11] = [
        (
            "because",
            &[
                "/trigger/cause",
                "/trigger/reason",
                "/trigger/verb",
                "/trigger/actor",
            ],
            " ",
        ),
        (
            "command",
            &["/command/verb", "/command/subject", "/command/reason"],
            " ",
        ),
        ("by", &["/command/by"], ""),
        (
            "failed",
            &["/ending/class", "/ending/reason", "/ending/message"],
            ": ",
        ),
        (
            "returned",
            &["/ending/returned/revision", "/ending/returned/digest"],
            " ",
        ),
        ("repository", &["/source/repository", "/source/path"], " "),
        ("revision", &["/source/revision"], ""),
        ("commit", &["/source/commit/subject"], ""),
        (
            "author",
            &["/source/commit/author", "/source/commit/authored"],
            ", ",
        ),
        (
            "committer",
            &["/source/commit/committer", "/source/commit/committed"],
            ", ",
        ),
        ("digest", &["/digest"], ""),
    ];
    for (name, pointers, between) in parts {
        lines.join(record, name, pointers, between);
    }
    for pointer in ["/command/verified", "/trigger/verified"] {
        if record.pointer(pointer) == Some(&Value::Bool(false)) {
            lines.say(
                "unverified",
                "the API server does not vouch for the name of who asked",
            );
        }
    }
}

fn lists(record: &Value, lines: &mut Lines) {
    for gate in list(record, "/gates") {
        lines.join(gate, "gate", &["/name", "/result", "/detail"], " ");
    }
    for image in list(record, "/images/list") {
        let part = |pointer, sign: &str| match word(image, pointer) {
            "" => String::new(),
            part => format!("{sign}{part}"),
        };
        let text = format!(
            "{}{}{}",
            word(image, "/name"),
            part("/tag", ":"),
            part("/digest", "@")
        );
        lines.say("image", &text);
    }
    lines.say("details", word(record, "/details"));
    for change in list(record, "/changes/objects") {
        lines.join(change, "changed", &["/action", "/object"], " ");
        for field in list(change, "/fields") {
            lines.say("", &format!("  {}", field.as_str().unwrap_or_default()));
        }
    }
}

fn list<'a>(record: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    record
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
