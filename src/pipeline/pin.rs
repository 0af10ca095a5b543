//! Pin: the set that a person holds, from the store or rendered again.
//!
//! Enters: `spec.commands.pin`.
//! Leaves: the pinned set in memory, or a hold that says why it cannot be had.
//! Never: another set than the one that was recorded: its digest must be the same.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    Context, Error, Memory, Subject,
    credentials::credentials,
    look::render_snapshot,
    memory::{Hold, Pinned, Wanted},
    sets::Held,
};
use crate::{
    api::{Class, Pin, Reason, SyncRecord},
    cluster,
    history::record_name,
    model::{CommitInfo, Digest, Now, Revision, SourceSpec, text},
    render::{self, RenderSpec, Rendered},
    rollout::{Desired, Event},
};

/// Heads that are searched for a set that is kept: what status names, the last three good, and what lies between.
const HEADS: usize = 64;
/// A commit does not move: any answer about it counts.
const FRESH: Duration = Duration::from_secs(3600);

/// What is known of the pinned set before it is read.
struct Named {
    digest: Digest,
    /// Where it came from; None where only its digest is known.
    source: Option<Source>,
}

/// Where a recorded set came from.
struct Source {
    repository: String,
    path: String,
    revision: Revision,
    commit: Option<CommitInfo>,
}

/// Returns the pin that is in force.
pub(super) fn in_force(subject: &Subject) -> Option<&Pin> {
    subject
        .spec
        .commands
        .pin
        .as_ref()
        .filter(|pin| pin.ended.is_none())
}

/// Returns who pinned the Application to what, for people, while that holds.
pub(super) fn pinned(subject: &Subject, memory: &Memory) -> Option<String> {
    let pin = in_force(subject)?;
    let to = match memory
        .pinned
        .as_ref()
        .and_then(|known| known.wanted.as_ref())
    {
        Some(wanted) => format!(
            "{} ({})",
            wanted.desired.revision,
            wanted.desired.digest.short()
        ),
        None => subject_of(pin),
    };
    let why = match pin.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let name = &subject.key.name;
    Some(format!(
        "pinned by {} to {to}{why}; newer revisions are held; end: plimsoll rollback {name} --end",
        pin.by
    ))
}

/// Returns what a pin names, in the words of records.
pub(super) fn subject_of(pin: &Pin) -> String {
    match (&pin.digest, pin.record) {
        (Some(digest), _) => digest.clone(),
        (None, Some(record)) => format!("record {record}"),
        (None, None) => String::new(),
    }
}

/// Takes up a pin, or its end. Returns an event where the pinned set cannot be had.
pub(super) async fn take_up(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    now: Now,
) -> Result<Option<Event>, Error> {
    let Some(pin) = in_force(subject) else {
        if memory.pinned.take().is_some() {
            // What git wants meanwhile was not acted on: it is looked at anew.
            memory.wanted = None;
            memory.ask_git(now.monotonic);
            memory.settle();
        }
        return Ok(None);
    };
    let identity = format!("{}/{}", subject_of(pin), pin.at);
    if let Some(known) = &memory.pinned
        && known.identity == identity
        && (known.wanted.is_some() || memory.holds(now.monotonic, &Hold::Pin))
    {
        return Ok(None);
    }
    memory.pinned = Some(Pinned {
        identity: identity.clone(),
        wanted: None,
    });
    match find(context, subject, memory, pin, now).await {
        Ok(wanted) => {
            memory.pinned = Some(Pinned {
                identity,
                wanted: Some(wanted),
            });
            memory.settle();
            Ok(None)
        }
        Err(error @ Error::Cluster(_)) if error.is_transient() => Err(error),
        Err(error) => {
            memory.back_off(now.monotonic, Hold::Pin);
            let running = memory.rollout.applied.as_ref();
            let Some(revision) = running.map(|set| set.revision.clone()) else {
                return Err(error);
            };
            let mut failure = error.to_failure();
            failure.message = text::cut(
                &format!(
                    "{} cannot be rolled back to: {}; still running {revision}; nothing was changed",
                    subject_of(pin),
                    failure.message
                ),
                1800,
            );
            Ok(Some(Event::Held {
                digest: None,
                revision,
                failure,
            }))
        }
    }
}

fn impossible(message: impl Into<String>) -> Error {
    Error::failure(Reason::RollbackImpossible, Class::Change, message)
}

async fn find(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    pin: &Pin,
    now: Now,
) -> Result<Wanted, Error> {
    let named = name(context, subject, pin).await?;
    if let Some((rendered, revision)) = kept(context, subject, memory, &named.digest).await? {
        let source = named.source;
        return Ok(Wanted {
            desired: Desired {
                digest: named.digest,
                revision: source
                    .as_ref()
                    .map_or(revision, |source| source.revision.clone()),
            },
            lineage: None,
            rendered: Held::open(rendered),
            read: BTreeSet::new(),
            mark: None,
            commit: source.and_then(|source| source.commit),
            tree: String::new(),
            spec: subject.render(),
        });
    }
    let Some(source) = named.source else {
        return Err(impossible(
            "the set is not kept any more, and no record says where it came from",
        ));
    };
    again(context, subject, memory, named.digest, source, now).await
}

/// Finds out which digest a pin means, and where it came from.
async fn name(context: &Context, subject: &Subject, pin: &Pin) -> Result<Named, Error> {
    let key = &subject.key;
    if let Some(text) = &pin.digest {
        let digest: Digest = text
            .parse()
            .map_err(|_error| impossible(format!("{text:?} is not a render digest")))?;
        let records = context.keeper.list_records(key).await?;
        // Those of an earlier Application of the same name are no source of ours.
        let ours = |record: &&SyncRecord| {
            record.metadata.name.as_deref()
                == Some(&record_name(&key.name, &subject.uid, record.spec.sequence))
        };
        let source = records
            .iter()
            .rev()
            .filter(ours)
            .filter_map(read)
            .find_map(|(known, source)| (known == digest).then_some(source));
        return Ok(Named { digest, source });
    }
    let sequence = pin.record.unwrap_or_default();
    let name = record_name(&key.name, &subject.uid, sequence);
    let record = context.keeper.get_record(&key.namespace, &name).await?;
    let record = record.ok_or_else(|| impossible(format!("there is no record {sequence}")))?;
    let (digest, source) =
        read(&record).ok_or_else(|| impossible(format!("record {sequence} is of no set")))?;
    Ok(Named {
        digest,
        source: Some(source),
    })
}

/// Reads the set that a record is about; None where it is about none.
fn read(record: &SyncRecord) -> Option<(Digest, Source)> {
    let value: Value = serde_json::from_str(&record.spec.record).ok()?;
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let commit = || {
        let text = |key: &str| text(&format!("/source/commit/{key}"));
        Some(CommitInfo {
            author: text("author")?.to_owned(),
            committer: text("committer")?.to_owned(),
            authored: text("authored")?.parse().ok()?,
            committed: text("committed")?.parse().ok()?,
            subject: text("subject")?.to_owned(),
            signed: value
                .pointer("/source/commit/signed")
                .and_then(Value::as_bool)?,
        })
    };
    let source = Source {
        repository: text("/source/repository")?.to_owned(),
        path: text("/source/path")?.to_owned(),
        revision: text("/source/revision")?.parse().ok()?,
        commit: commit(),
    };
    Some((text("/digest")?.parse().ok()?, source))
}

/// Returns a set that is kept, with the revision that it was begun for.
async fn kept(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    digest: &Digest,
) -> Result<Option<(Arc<Rendered>, Revision)>, Error> {
    let heads = context.keeper.newer_heads(&subject.uid, 0).await?.heads;
    for attempt in heads.into_iter().rev().take(HEADS) {
        let head = context.keeper.load_head(&subject.uid, attempt).await?;
        let Some(head) = head.filter(|head| head.digest == *digest) else {
            continue;
        };
        if let Some(known) = memory.sets.get(head.set_attempt)
            && known.digest() == digest
        {
            return Ok(Some((known, head.revision)));
        }
        match context
            .keeper
            .load_set(&subject.uid, head.set_attempt, digest)
            .await
        {
            Ok(stored) => match render::restore(stored) {
                Ok(rendered) => return Ok(Some((Arc::new(rendered), head.revision))),
                Err(error) => {
                    tracing::warn!(attempt, error = %text::chain(&error), "a stored set cannot be used");
                }
            },
            // Swept, or damaged: another attempt may keep the same set, else it is rendered again.
            Err(error @ (cluster::Error::NotFound { .. } | cluster::Error::Damaged { .. })) => {
                tracing::debug!(attempt, error = %text::chain(&error), "a stored set is not there");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Renders a recorded revision again. It must get the recorded digest.
async fn again(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    digest: Digest,
    source: Source,
    now: Now,
) -> Result<Wanted, Error> {
    let spec = &subject.spec.source;
    if source.repository != spec.repo {
        return Err(impossible(format!(
            "the set is not kept any more, and it came from another repository ({})",
            source.repository
        )));
    }
    let wanted = SourceSpec {
        repository: source.repository.clone(),
        reference: Some(source.revision.commit.clone()),
        path: source.path.clone(),
    };
    let credentials = credentials(context, subject, memory, now).await?;
    let lost = |error: Error| {
        if error.is_transient() {
            error
        } else {
            impossible(format!(
                "the set is not kept any more, and {} cannot be rendered again: {}",
                source.revision,
                text::chain(&error)
            ))
        }
    };
    let snapshot = context
        .mirrors
        .fetch(&wanted, &credentials, FRESH, now)
        .await
        .map_err(|error| lost(error.into()))?;
    let spec = RenderSpec {
        path: source.path.clone(),
        ..subject.render()
    };
    let commit = snapshot.commit.clone();
    let tree = snapshot.tree.clone();
    let rendered = render_snapshot(context, snapshot, spec.clone())
        .await
        .map_err(lost)?;
    if *rendered.digest() != digest {
        return Err(impossible(format!(
            "the set is not kept any more, and {} renders to {} now, not to {}: a remote base, the target namespace or a generator changed",
            source.revision,
            rendered.digest().short(),
            digest.short()
        )));
    }
    Ok(Wanted {
        desired: Desired {
            digest,
            revision: source.revision,
        },
        lineage: None,
        rendered: Held::open(Arc::new(rendered)),
        // A pinned set stays whatever is committed.
        read: BTreeSet::new(),
        mark: None,
        commit: Some(commit),
        tree,
        spec,
    })
}
