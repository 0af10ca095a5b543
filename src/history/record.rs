//! One record: content and canonical form.
//!
//! Enters: `Entry`.
//! Leaves: `Record`; its text is what the hash covers and what every sink keeps.
//! Never: a default that a reader would have to know: what is not there is not written.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    api::{RecordHead, SyncRecordSpec},
    model::{ApplicationKey, CommitInfo, Digest, ObjectId, Revision, canonical_json},
    rollout::{Action, Ending},
};

/// Version of the record's own format. A reader refuses one that it does not know.
pub(super) const FORMAT: u64 = 1;

/// Objects that a record in the cluster lists; longer lists are cut, with count and digest.
/// 800 objects with a few field paths each stay below 256 KiB.
const OBJECTS_LIMIT: usize = 800;
/// Field paths listed for each object.
const FIELDS_LIMIT: usize = 20;
/// Remote bases and files listed.
const REMOTES_LIMIT: usize = 50;
/// Longest text of a message, in bytes.
const TEXT_LIMIT: usize = 4096;

/// Where the set came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Repository, without credentials.
    pub repository: String,
    /// Path in it.
    pub path: String,
    /// Revision.
    pub revision: Revision,
    /// What the commit says of itself, where it was read.
    pub commit: Option<CommitInfo>,
    /// What was fetched beside the revision, and as what.
    pub remotes: Vec<RemoteEntry>,
}

/// A remote base or file of a kustomization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEntry {
    /// As the kustomization names it, without credentials.
    pub reference: String,
    /// Commit for git, digest for a file.
    pub pin: String,
}

/// What was done to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The object.
    pub id: ObjectId,
    /// What was done, for example `create`.
    pub action: String,
    /// Paths of the fields that changed; never their values.
    pub fields: Vec<String>,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The verb, for example `release`.
    pub verb: String,
    /// What it names: a digest, a plan, an attempt.
    pub subject: String,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// Everything that a record says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The Application.
    pub application: ApplicationKey,
    /// Its UID: a name can be used again.
    pub application_uid: String,
    /// Number of the attempt; None for a command of its own.
    pub attempt: Option<u64>,
    /// The command, where a person asked.
    pub command: Option<Command>,
    /// What was done; None for a command of its own.
    pub action: Option<Action>,
    /// How it ended; None for a command of its own.
    pub ending: Option<Ending>,
    /// Where the set came from.
    pub source: Option<SourceEntry>,
    /// Render digest of the set.
    pub digest: Option<Digest>,
    /// Images of the set, in order.
    pub images: Vec<String>,
    /// What was done to each object.
    pub changes: Vec<ObjectChange>,
    /// Objects that needed no write.
    pub unchanged: usize,
    /// When the attempt was begun.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Whether a controller that had not begun the attempt ended it.
    pub resumed: bool,
    /// Details for people.
    pub details: String,
    /// Identity of the controller, as in its lease.
    pub controller: String,
}

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

/// Makes the record that follows `previous`.
pub fn record(entry: &Entry, previous: Option<&RecordHead>) -> Record {
    let sequence = previous.map_or(1, |head| head.sequence + 1);
    let text = canonical_json(&content(entry, sequence, previous));
    let hash = Digest::of(text.as_bytes());
    let revision = entry
        .source
        .as_ref()
        .map(|source| source.revision.to_string());
    let action = match (&entry.action, &entry.command) {
        (Some(action), _) => action.as_str().to_owned(),
        (None, Some(command)) => command.verb.clone(),
        (None, None) => String::new(),
    };
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
            action,
            result: entry
                .ending
                .as_ref()
                .map_or("Done", Ending::as_str)
                .to_owned(),
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

fn content(entry: &Entry, sequence: u64, previous: Option<&RecordHead>) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    put("format", FORMAT.into());
    put("sequence", sequence.into());
    put(
        "previous",
        previous.map_or(Value::Null, |head| head.hash.as_str().into()),
    );
    put(
        "application",
        json!({"namespace": entry.application.namespace, "name": entry.application.name, "uid": entry.application_uid}),
    );
    put("attempt", entry.attempt.map_or(Value::Null, Value::from));
    put(
        "command",
        entry.command.as_ref().map_or(Value::Null, |command| {
            json!({
                "verb": command.verb, "subject": command.subject, "by": command.by,
                "at": command.at.to_string(), "reason": command.reason
            })
        }),
    );
    put(
        "action",
        entry
            .action
            .map_or(Value::Null, |action| action.as_str().into()),
    );
    put(
        "result",
        entry
            .ending
            .as_ref()
            .map_or(Value::Null, |ending| ending.as_str().into()),
    );
    put("ending", entry.ending.as_ref().map_or(Value::Null, ending));
    put("source", entry.source.as_ref().map_or(Value::Null, source));
    put(
        "digest",
        entry
            .digest
            .as_ref()
            .map_or(Value::Null, |digest| digest.as_str().into()),
    );
    if !entry.images.is_empty() {
        put("images", entry.images.clone().into());
    }
    put("changes", changes(entry));
    put("began", entry.began.to_string().into());
    put("ended", entry.ended.to_string().into());
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

fn cut(text: &str) -> String {
    crate::model::text::cut(text, TEXT_LIMIT)
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
        "repository": source.repository, "path": source.path, "revision": source.revision.to_string()
    });
    if let (Some(map), Some(commit)) = (value.as_object_mut(), &source.commit) {
        map.insert(
            "commit".to_owned(),
            json!({
                "author": cut(&commit.author), "committer": cut(&commit.committer),
                "authored": commit.authored.to_string(), "committed": commit.committed.to_string(),
                "subject": crate::model::text::cut(&commit.subject, 256)
            }),
        );
    }
    if let (Some(map), false) = (value.as_object_mut(), source.remotes.is_empty()) {
        let remotes = source.remotes.iter().take(REMOTES_LIMIT);
        let remotes: Vec<Value> = remotes
            .map(|remote| json!({"reference": crate::model::text::cut(&remote.reference, 512), "pin": remote.pin}))
            .collect();
        map.insert("remotes".to_owned(), remotes.into());
    }
    value
}

fn changes(entry: &Entry) -> Value {
    let object = |change: &ObjectChange| {
        let mut value = json!({"object": change.id.to_string(), "group": change.id.group, "action": change.action});
        if let (Some(map), false) = (value.as_object_mut(), change.fields.is_empty()) {
            let fields: Vec<&String> = change.fields.iter().take(FIELDS_LIMIT).collect();
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
    let all: Vec<Value> = entry.changes.iter().map(object).collect();
    let mut value = json!({"count": all.len(), "unchanged": entry.unchanged});
    if let Some(map) = value.as_object_mut() {
        if all.len() > OBJECTS_LIMIT {
            map.insert(
                "digest".to_owned(),
                Digest::of(canonical_json(&Value::from(all.clone())).as_bytes())
                    .as_str()
                    .into(),
            );
        }
        if !all.is_empty() {
            map.insert(
                "objects".to_owned(),
                all.into_iter().take(OBJECTS_LIMIT).collect(),
            );
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Class, Reason},
        rollout::Failure,
    };

    fn entry(changes: usize) -> Entry {
        Entry {
            application: ApplicationKey {
                namespace: "shop".into(),
                name: "prod".into(),
            },
            application_uid: "12345678-aaaa".into(),
            attempt: Some(3),
            command: None,
            action: Some(Action::Sync),
            ending: Some(Ending::Failed {
                failure: Failure {
                    reason: Reason::ImageNotFound,
                    class: Class::Change,
                    message: "web: not found".into(),
                },
                returned: None,
            }),
            source: None,
            digest: Some(Digest::of(b"set")),
            images: vec!["web:1".into()],
            changes: (0..changes)
                .map(|index| ObjectChange {
                    id: ObjectId::new("apps", "Deployment", "shop", &format!("web-{index}")),
                    action: "update".into(),
                    fields: (0..30).map(|field| format!(".spec.f{field}")).collect(),
                })
                .collect(),
            unchanged: 2,
            began: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            resumed: false,
            details: String::new(),
            controller: "plimsoll-0".into(),
        }
    }

    #[test]
    fn the_chain_grows_by_one_and_names_its_predecessor() {
        let first = record(&entry(1), None);
        let second = record(&entry(1), Some(first.head()));
        assert_eq!((first.head().sequence, second.head().sequence), (1, 2));
        assert_eq!(second.name(), "prod-12345678-0000000002");
        assert!(second.spec().record.contains(first.head().hash.as_str()));
        assert_eq!(
            Digest::of(second.spec().record.as_bytes()),
            second.head().hash
        );
        assert_eq!(second.spec().result, "Failed");
    }

    #[test]
    fn a_long_list_is_cut_with_its_count_and_digest() {
        let record = record(&entry(10_000), None);
        assert!(
            record.spec().record.len() < 256 * 1024 * 2,
            "{}",
            record.spec().record.len()
        );
        let value: Value = serde_json::from_str(&record.spec().record).unwrap();
        assert_eq!(value["changes"]["count"], 10_000);
        assert_eq!(
            value["changes"]["objects"].as_array().unwrap().len(),
            OBJECTS_LIMIT
        );
        assert!(value["changes"]["digest"].is_string());
        assert_eq!(value["changes"]["objects"][0]["moreFields"], 10);
    }
}
