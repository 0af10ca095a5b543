//! Perform: the effects of a step, and the status.
//!
//! Enters: effects.
//! Leaves: records, events, a status that was written if it changed.
//! Never: an attempt reported as done before its record is written (law 10).

use std::time::Duration;

use serde_json::Value;

use super::{Context, Error, Memory, Subject, command, memory::Pending};
use crate::{
    api::{Application, ApplicationStatus, ConditionStatus, ConditionType, SetStatus, SyncRecord},
    cluster::{Event as ClusterEvent, EventType, RecordWrite, StatusWrite},
    history::{Command, Entry, RemoteEntry, SourceEntry, record},
    model::{Digest, Now, text},
    render::Rendered,
    report::{Facts, FetchState, Health, Notice, notices, status},
    rollout::{Action, Effect, Ending},
};

/// Shortest time between two status writes that say nothing new but time spent or a message (DESIGN.md, State).
const QUIET: Duration = Duration::from_secs(15);
/// Records that are stepped over to find the end of the chain after a lost status.
const FORWARD: u64 = 10_000;

/// Takes the effects of a step into memory; records are made now, from what is known now.
pub(super) fn queue(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    effects: Vec<Effect>,
) {
    for notice in notices(&effects) {
        memory.notices.push(notice);
    }
    for effect in effects {
        match effect {
            Effect::Persist => memory.pending.push_back(Pending::Status),
            Effect::Record {
                action,
                attempt,
                set,
                ending,
                details,
            } => {
                context
                    .metrics
                    .count_sync(&subject.key, action.as_str(), ending.as_str());
                note_lead_time(context, memory, action, &ending, set.as_ref());
                let entry = entry(
                    context, subject, memory, action, attempt, set, ending, details,
                );
                memory.pending.push_back(Pending::Record(Box::new(entry)));
            }
            Effect::Notice { .. } => {}
        }
    }
}

/// Performs what is pending, in order; what fails stays, and comes first the next time.
pub(super) async fn perform(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    for notice in std::mem::take(&mut memory.notices) {
        tell(context, subject, &notice).await;
    }
    while let Some(pending) = memory.pending.front().cloned() {
        match pending {
            Pending::Status => write_status(context, application, subject, memory, true).await?,
            Pending::Record(entry) => append(context, subject, memory, &entry).await?,
        }
        memory.pending.pop_front();
    }
    Ok(())
}

fn note_lead_time(
    context: &Context,
    memory: &Memory,
    action: Action,
    ending: &Ending,
    set: Option<&SetStatus>,
) {
    if action != Action::Sync || *ending != Ending::Ready {
        return;
    }
    let Some(wanted) = memory
        .wanted
        .as_ref()
        .filter(|wanted| Some(&wanted.desired.digest) == set.map(|set| &set.digest))
    else {
        return;
    };
    let now = (context.clock)();
    let seconds = (now.wall.as_millisecond() - wanted.commit.committed.as_millisecond()).max(0);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a lead time in milliseconds is far below 2^52"
    )]
    context
        .metrics
        .observe_commit_to_ready(seconds as f64 / 1000.0);
}

/// Publishes a notice: log and Kubernetes event, one wording. A lost event is logged and no failure.
async fn tell(context: &Context, subject: &Subject, notice: &Notice) {
    if notice.warning {
        tracing::warn!(reason = notice.reason.as_str(), "{}", notice.message);
    } else {
        tracing::info!(reason = notice.reason.as_str(), "{}", notice.message);
    }
    let event = ClusterEvent {
        application: subject.key.clone(),
        application_uid: subject.uid.clone(),
        kind: if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: notice.reason.as_str().to_owned(),
        action: "Reconcile".to_owned(),
        note: notice.message.clone(),
        at: (context.clock)().wall,
        instance: context.identity.clone(),
    };
    let keeper = context.keeper.clone();
    if let Err(error) = keeper.publish(&event).await {
        tracing::warn!(error = %text::chain(&error), "could not publish an event");
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one record")]
fn entry(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    action: Action,
    attempt: u64,
    set: Option<SetStatus>,
    ending: Ending,
    details: String,
) -> Entry {
    let now = (context.clock)();
    let commit = memory
        .wanted
        .as_ref()
        .filter(|wanted| {
            set.as_ref()
                .is_some_and(|set| set.revision == wanted.desired.revision)
        })
        .map(|wanted| wanted.commit.clone());
    let rendered = set.as_ref().and_then(|set| memory.sets.get(&set.attempt));
    let images = rendered
        .map(|rendered| images(rendered.objects().iter().map(crate::model::Object::value)))
        .unwrap_or_default();
    Entry {
        application: subject.key.clone(),
        application_uid: subject.uid.clone(),
        attempt: Some(attempt),
        command: None,
        action: Some(action),
        ending: Some(ending),
        source: set.as_ref().map(|set| SourceEntry {
            repository: subject.spec.source.repo.clone(),
            path: subject.source().path,
            revision: set.revision.clone(),
            commit,
            remotes: rendered.map(|set| remotes(set)).unwrap_or_default(),
        }),
        digest: set.map(|set| set.digest),
        images,
        changes: memory.notes.changes.clone(),
        unchanged: memory.notes.unchanged,
        began: memory.notes.began.unwrap_or(now.wall),
        ended: now.wall,
        resumed: memory.notes.resumed,
        details,
        controller: context.identity.clone(),
    }
}

fn remotes(rendered: &Rendered) -> Vec<RemoteEntry> {
    let entry = |remote: &kustomize::RemotePin| RemoteEntry {
        reference: remote.reference.clone(),
        pin: remote.pin.clone(),
    };
    rendered.remotes().iter().map(entry).collect()
}

/// Returns the images of containers, sorted, each once.
fn images<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut images = Vec::new();
    for object in objects {
        for pointer in [
            "/spec/template/spec",
            "/spec/jobTemplate/spec/template/spec",
            "/spec",
        ] {
            let Some(pod) = object.pointer(pointer) else {
                continue;
            };
            for list in ["containers", "initContainers"] {
                let containers = pod
                    .get(list)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                images.extend(
                    containers.filter_map(|container| {
                        container.get("image")?.as_str().map(str::to_owned)
                    }),
                );
            }
        }
    }
    images.sort_unstable();
    images.dedup();
    images
}

/// Writes the record of a command of its own.
pub(super) async fn record_command(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    command: Command,
) -> Result<(), Error> {
    let now = (context.clock)();
    let entry = Entry {
        application: subject.key.clone(),
        application_uid: subject.uid.clone(),
        attempt: None,
        command: Some(command),
        action: None,
        ending: None,
        source: None,
        digest: None,
        images: Vec::new(),
        changes: Vec::new(),
        unchanged: 0,
        began: now.wall,
        ended: now.wall,
        resumed: false,
        details: String::new(),
        controller: context.identity.clone(),
    };
    append(context, subject, memory, &entry).await
}

/// Appends to the chain. Where a record stands already, it is ours from an earlier life (then it is done),
/// or the chain is longer than the status knew (then it is followed).
async fn append(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    entry: &Entry,
) -> Result<(), Error> {
    if memory.found.iter().any(|value| is_same(value, entry)) {
        return Ok(());
    }
    for _ in 0..FORWARD {
        let made = record(entry, memory.record.as_ref());
        let mut resource = SyncRecord::new(made.name(), made.spec().clone());
        resource.metadata.namespace = Some(subject.key.namespace.clone());
        match context.keeper.create_record(&resource).await? {
            RecordWrite::Created => {
                memory.record = Some(made.head().clone());
                context.metrics.count_record();
                return Ok(());
            }
            RecordWrite::Exists(existing) => {
                let text = &existing.spec.record;
                let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
                let follows = value.get("previous").and_then(Value::as_str)
                    == memory.record.as_ref().map(|head| head.hash.as_str());
                if !follows
                    || value.get("sequence").and_then(Value::as_u64) != Some(made.head().sequence)
                {
                    return Err(Error::failure(
                        crate::api::Reason::ChainForked,
                        crate::api::Class::Environment,
                        format!(
                            "SyncRecord {} is in the way and does not follow our chain; nothing is recorded until it is looked at",
                            made.name()
                        ),
                    ));
                }
                memory.record = Some(crate::api::RecordHead {
                    sequence: made.head().sequence,
                    hash: Digest::of(text.as_bytes()),
                });
                if is_same(&value, entry) {
                    return Ok(());
                }
            }
        }
    }
    Err(Error::failure(
        crate::api::Reason::ChainForked,
        crate::api::Class::Environment,
        "the chain of records does not end",
    ))
}

/// Says whether a record is that of the same attempt, or of the same command.
fn is_same(value: &Value, entry: &Entry) -> bool {
    match (&entry.command, entry.attempt) {
        (Some(command), _) => {
            let text = |key: &str| {
                value
                    .pointer(&format!("/command/{key}"))
                    .and_then(Value::as_str)
            };
            text("verb") == Some(command.verb.as_str())
                && text("subject") == Some(command.subject.as_str())
                && text("at") == Some(command.at.to_string().as_str())
        }
        (None, Some(attempt)) => value.get("attempt").and_then(Value::as_u64) == Some(attempt),
        (None, None) => false,
    }
}

/// Writes the status if it changed. `must` writes also what is only news of time.
pub(super) async fn write_status(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
    must: bool,
) -> Result<(), Error> {
    let now = (context.clock)();
    let next = new_status(subject, memory, now);
    set_ready_metric(context, subject, &next);
    if next == memory.status {
        return Ok(());
    }
    let quiet = memory
        .status_written
        .is_some_and(|at| now.since(at) < QUIET);
    if !must && quiet && says_the_same(&next, &memory.status) {
        return Ok(());
    }
    put(context, application, memory, next, now).await
}

async fn put(
    context: &Context,
    application: &Application,
    memory: &mut Memory,
    next: ApplicationStatus,
    now: Now,
) -> Result<(), Error> {
    let mut resource = application.clone();
    resource.status = Some(next.clone());
    resource.metadata.resource_version = Some(memory.resource_version.clone());
    match context.keeper.put_status(&resource).await? {
        StatusWrite::Written { resource_version } => {
            memory.resource_version = resource_version;
            memory.status = next;
            memory.status_written = Some(now.monotonic);
            Ok(())
        }
        StatusWrite::Gone => Ok(()),
        // Only the spec can have changed: nobody else writes the status. The newer version is read, and ours stands.
        StatusWrite::Conflict => {
            let key = super::application_key(application);
            let Some(fresh) = context.keeper.get_application(&key).await? else {
                return Ok(());
            };
            resource.metadata.resource_version = fresh.metadata.resource_version;
            match context.keeper.put_status(&resource).await? {
                StatusWrite::Written { resource_version } => {
                    memory.resource_version = resource_version;
                    memory.status = next;
                    memory.status_written = Some(now.monotonic);
                }
                StatusWrite::Gone => {}
                StatusWrite::Conflict => {
                    return Err(Error::failure(
                        crate::api::Reason::ApiUnavailable,
                        crate::api::Class::Environment,
                        "the Application changes faster than its status can be written",
                    ));
                }
            }
            Ok(())
        }
    }
}

fn new_status(subject: &Subject, memory: &Memory, now: Now) -> ApplicationStatus {
    let revision = memory
        .wanted
        .as_ref()
        .map(|wanted| wanted.desired.revision.clone());
    let facts = Facts {
        application: &subject.key,
        generation: subject.generation,
        rollout: &memory.rollout,
        fetch: memory.fetch.clone().unwrap_or(FetchState::NotYet),
        revision,
        health: memory.health.clone().unwrap_or(Health::Unknown),
        counts: memory.counts,
        paused: command::paused(subject, now),
        drifted: memory.drift_message.clone(),
        record: memory.record.clone(),
        handled: memory.handled.clone(),
    };
    status(&facts, &memory.status, now)
}

/// Says whether two statuses differ only in time spent and in wording.
fn says_the_same(next: &ApplicationStatus, known: &ApplicationStatus) -> bool {
    let plain = |status: &ApplicationStatus| {
        let mut status = status.clone();
        status.spent_seconds = 0;
        status.health = None;
        if let Some(failure) = &mut status.failure {
            failure.repeated = 0;
            failure.message.clear();
        }
        for condition in &mut status.conditions {
            condition.message.clear();
        }
        status
    };
    plain(next) == plain(known)
}

fn set_ready_metric(context: &Context, subject: &Subject, status: &ApplicationStatus) {
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.kind == ConditionType::Ready)
        .and_then(|condition| match condition.status {
            ConditionStatus::True => Some(true),
            ConditionStatus::False => Some(false),
            ConditionStatus::Unknown => None,
        });
    context.metrics.set_ready(&subject.key, ready);
}
