//! One record: its canonical form.
//!
//! Enters: `Entry`, the head that it follows, the predecessor of a first one.
//! Leaves: `Record`; its text is what the hash covers and what every sink keeps.
//! Never: a default that a reader would have to know: what is not there is not written.

use serde_json::{Map, Value, json};

use super::entry::{Entry, ObjectChange, SourceEntry, Times, Trigger, What};
use crate::{
    api::{Predecessor, RecordHead, SyncRecordSpec},
    model::{Digest, canonical_json},
    rollout::Ending,
};

/// Version of the record's own format. A reader refuses one that it does not know.
pub(super) const FORMAT: u64 = 1;

/// Bytes that the changes of objects, and the images, may take of the 256 KiB that the definition of SyncRecord gives.
/// All other parts together stay below the rest.
const CHANGES_LIMIT: usize = 128 * 1024;
const IMAGES_LIMIT: usize = 16 * 1024;
/// Field paths listed for each object.
const FIELDS_LIMIT: usize = 20;
/// Longest text of a message, and of one path, in bytes.
const TEXT_LIMIT: usize = 4096;
const PATH_LIMIT: usize = 512;
/// Remote bases and files listed.
const REMOTES_LIMIT: usize = 50;

/// A record: the canonical text and what is copied from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    spec: SyncRecordSpec,
    head: RecordHead,
    name: String,
}

impl Record {
    /// Returns the content of the custom resource.
    pub fn spec(&self) -> &SyncRecordSpec {
        &self.spec
    }

    /// Returns the new head of the chain.
    pub fn head(&self) -> &RecordHead {
        &self.head
    }

    /// Returns the name of the custom resource: `<application>-<8 of uid>-<sequence, 10 digits>`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Makes the record that follows `previous`; a first one names what an earlier Application of its name left.
pub fn record(
    entry: &Entry,
    previous: Option<&RecordHead>,
    predecessor: Option<&Predecessor>,
) -> Record {
    let sequence = previous.map_or(1, |head| head.sequence + 1);
    let text = canonical_json(&content(entry, sequence, previous, predecessor));
    let hash = Digest::of(text.as_bytes());
    let revision = entry
        .source
        .as_ref()
        .map(|source| source.revision.to_string());
    Record {
        name: record_name(&entry.application.name, &entry.application_uid, sequence),
        head: RecordHead {
            sequence,
            hash: hash.clone(),
        },
        spec: SyncRecordSpec {
            record: text,
            application: entry.application.name.clone(),
            sequence,
            action: entry.action().to_owned(),
            result: entry.result().to_owned(),
            revision: revision.unwrap_or_default(),
            hash: hash.to_string(),
        },
    }
}

/// Returns the name under which a record is kept in the cluster.
pub fn record_name(application: &str, uid: &str, sequence: u64) -> String {
    let uid: String = uid.chars().take(8).collect();
    format!("{application}-{uid}-{sequence:010}")
}

fn content(
    entry: &Entry,
    sequence: u64,
    previous: Option<&RecordHead>,
    predecessor: Option<&Predecessor>,
) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    put("format", FORMAT.into());
    put("sequence", sequence.into());
    match previous {
        Some(head) => put("previous", head.hash.as_str().into()),
        None => put(
            "succeeds",
            predecessor.map_or(Value::Null, |old| {
                json!({"uid": old.uid, "sequence": old.head.sequence, "hash": old.head.hash.as_str()})
            }),
        ),
    }
    if !entry.cluster.is_empty() {
        put("cluster", entry.cluster.as_str().into());
    }
    put(
        "application",
        json!({"namespace": entry.application.namespace, "name": entry.application.name, "uid": entry.application_uid}),
    );
    put("action", entry.action().into());
    put("result", entry.result().into());
    match &entry.what {
        What::Attempt {
            attempt,
            action: _,
            ending: ended,
            trigger: cause,
        } => {
            put("attempt", (*attempt).into());
            put("ending", ending(ended));
            put("trigger", trigger(cause));
        }
        What::Command(command) => put(
            "command",
            json!({
                "verb": command.verb, "subject": cut(&command.subject), "by": command.by.name,
                "verified": command.by.verified, "at": command.at.to_string(), "reason": cut(&command.reason)
            }),
        ),
        What::Deletion => {}
    }
    put("source", entry.source.as_ref().map_or(Value::Null, source));
    put(
        "digest",
        entry
            .digest
            .as_ref()
            .map_or(Value::Null, |digest| digest.as_str().into()),
    );
    put("images", images(&entry.images));
    put("changes", changes(entry));
    put("gates", gates(entry));
    put("times", times(&entry.times));
    if entry.resumed {
        put("resumed", true.into());
    }
    if !entry.details.is_empty() {
        put("details", cut(&entry.details).into());
    }
    put(
        "controller",
        json!({"identity": entry.controller, "version": env!("CARGO_PKG_VERSION")}),
    );
    Value::Object(out)
}

fn trigger(trigger: &Trigger) -> Value {
    let mut value = json!({"cause": trigger.as_str()});
    if let Some(map) = value.as_object_mut() {
        match trigger {
            Trigger::Commit | Trigger::Spec | Trigger::Drift | Trigger::Retry | Trigger::Soaked => {
            }
            Trigger::Failure(reason) => {
                map.insert("reason".to_owned(), reason.as_str().into());
            }
            Trigger::Command { verb, by } => {
                map.insert("verb".to_owned(), verb.as_str().into());
                map.insert("actor".to_owned(), by.name.as_str().into());
                map.insert("verified".to_owned(), by.verified.into());
            }
        }
    }
    value
}

fn times(times: &Times) -> Value {
    let mut out = Map::new();
    let all = [
        ("seen", times.seen),
        ("began", Some(times.began)),
        ("applied", times.applied),
        ("failed", times.failed),
        ("restored", times.restored),
        ("ended", Some(times.ended)),
    ];
    for (key, at) in all {
        if let Some(at) = at {
            out.insert(key.to_owned(), at.to_string().into());
        }
    }
    Value::Object(out)
}

fn gates(entry: &Entry) -> Value {
    if entry.gates.is_empty() {
        return Value::Null;
    }
    entry
        .gates
        .iter()
        .map(|gate| {
            let mut value = json!({"name": gate.name, "result": gate.result.as_str()});
            if let (Some(map), false) = (value.as_object_mut(), gate.detail.is_empty()) {
                map.insert("detail".to_owned(), cut(&gate.detail).into());
            }
            value
        })
        .collect()
}

/// Returns the images by name, tag and digest, as far as the set says.
fn images(images: &[String]) -> Value {
    if images.is_empty() {
        return Value::Null;
    }
    let image = |image: &String| {
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (image.as_str(), None),
        };
        // A colon before the last slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            Some(_) | None => (rest, None),
        };
        let mut out = Map::new();
        out.insert("name".to_owned(), path_cut(name).into());
        for (key, part) in [("tag", tag), ("digest", digest)] {
            if let Some(part) = part {
                out.insert(key.to_owned(), path_cut(part).into());
            }
        }
        Value::Object(out)
    };
    let (kept, digest) = within(images.iter().map(image), IMAGES_LIMIT);
    let mut out = json!({"count": images.len(), "list": kept});
    if let (Some(map), Some(digest)) = (out.as_object_mut(), digest) {
        map.insert("digest".to_owned(), digest.as_str().into());
    }
    out
}

/// Returns as many of these as fit into so many bytes, and the digest of all where some do not.
fn within(all: impl Iterator<Item = Value>, limit: usize) -> (Vec<Value>, Option<Digest>) {
    let mut kept = Vec::new();
    let mut is_cut = false;
    // The canonical JSON of the whole list; the values beyond the limit are not held.
    let mut whole = String::from("[");
    for value in all {
        let text = canonical_json(&value);
        if whole.len() > 1 {
            whole.push(',');
        }
        whole.push_str(&text);
        is_cut |= whole.len() > limit;
        if !is_cut {
            kept.push(value);
        }
    }
    whole.push(']');
    (kept, is_cut.then(|| Digest::of(whole.as_bytes())))
}

impl Entry {
    /// Says whether a record that was read is the one of this entry: of the same attempt, the same command.
    pub fn is_told_by(&self, record: &serde_json::Value) -> bool {
        let text = |pointer: &str| record.pointer(pointer).and_then(serde_json::Value::as_str);
        match &self.what {
            What::Attempt { attempt, .. } => {
                record.get("attempt").and_then(serde_json::Value::as_u64) == Some(*attempt)
            }
            What::Command(command) => {
                text("/command/verb") == Some(command.verb.as_str())
                    && text("/command/subject") == Some(cut(&command.subject).as_str())
                    && text("/command/at") == Some(command.at.to_string().as_str())
            }
            What::Deletion => text("/action") == Some("delete"),
        }
    }
}

/// Returns a text as a record keeps it: of one length at most, and nothing in it that a terminal would obey.
fn cut(text: &str) -> String {
    plain(&crate::model::text::cut(text, TEXT_LIMIT))
}

fn path_cut(text: &str) -> String {
    plain(&crate::model::text::cut(text, PATH_LIMIT))
}

fn plain(text: &str) -> String {
    text.replace(
        |character: char| character.is_control() && character != '\n',
        " ",
    )
}

fn ending(ending: &Ending) -> Value {
    match ending {
        Ending::Ready | Ending::Superseded => Value::Null,
        Ending::Cancelled { by } => json!({"by": by}),
        Ending::Refused(failure) => {
            json!({"reason": failure.reason.as_str(), "class": failure.class.as_str(), "message": cut(&failure.message)})
        }
        Ending::Failed { failure, returned } => {
            let mut value = json!({
                "reason": failure.reason.as_str(), "class": failure.class.as_str(), "message": cut(&failure.message)
            });
            if let (Some(map), Some(set)) = (value.as_object_mut(), returned) {
                map.insert(
                    "returned".to_owned(),
                    json!({"revision": set.revision.to_string(), "digest": set.digest.as_str()}),
                );
            }
            value
        }
    }
}

fn source(source: &SourceEntry) -> Value {
    let mut value = json!({
        "repository": cut(&source.repository), "path": cut(&source.path), "revision": source.revision.to_string()
    });
    if let (Some(map), Some(commit)) = (value.as_object_mut(), &source.commit) {
        map.insert(
            "commit".to_owned(),
            json!({
                "author": cut(&commit.author), "committer": cut(&commit.committer),
                "authored": commit.authored.to_string(), "committed": commit.committed.to_string(),
                "subject": path_cut(&commit.subject), "signed": commit.signed
            }),
        );
    }
    if let (Some(map), false) = (value.as_object_mut(), source.remotes.is_empty()) {
        let remotes = source.remotes.iter().take(REMOTES_LIMIT);
        let remotes: Vec<Value> = remotes
            .map(|remote| json!({"reference": path_cut(&remote.reference), "pin": remote.pin}))
            .collect();
        map.insert("remotes".to_owned(), remotes.into());
    }
    value
}

fn changes(entry: &Entry) -> Value {
    let object = |change: &ObjectChange| {
        let mut value = json!({"object": change.id.to_string(), "group": change.id.group, "action": change.action});
        if let (Some(map), false) = (value.as_object_mut(), change.fields.is_empty()) {
            let fields: Vec<String> = change
                .fields
                .iter()
                .take(FIELDS_LIMIT)
                .map(|path| path_cut(path))
                .collect();
            map.insert("fields".to_owned(), json!(fields));
            if change.fields.len() > FIELDS_LIMIT {
                map.insert(
                    "moreFields".to_owned(),
                    (change.fields.len() - FIELDS_LIMIT).into(),
                );
            }
        }
        value
    };
    let (kept, digest) = within(entry.changes.iter().map(object), CHANGES_LIMIT);
    let mut value = json!({"count": entry.changes.len(), "unchanged": entry.unchanged});
    if let Some(map) = value.as_object_mut() {
        if let Some(digest) = digest {
            map.insert("digest".to_owned(), digest.as_str().into());
        }
        if !kept.is_empty() {
            map.insert("objects".to_owned(), kept.into());
        }
    }
    value
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
