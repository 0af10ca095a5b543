//! Perform: the effects of a step, and the status.
//!
//! Enters: effects.
//! Leaves: records, events, a status that was written if it changed.
//! Never: an attempt reported as done before its record is written (law 10).

use std::{sync::Arc, time::Duration};

use super::{
    Context, Error, Memory, Subject, command,
    memory::Pending,
    pin,
    record::{Ended, append, entry},
};
use crate::{
    api::{Application, ApplicationStatus, ConditionStatus, ConditionType, SetStatus},
    cluster::{Event as ClusterEvent, EventType, StatusWrite},
    model::{Now, text},
    report::{Facts, FetchState, Health, Notice, notices, status},
    rollout::{Action, Effect, Ending, State},
};

/// Shortest time between two status writes that say nothing new but time spent or a message (DESIGN.md, State).
const QUIET: Duration = Duration::from_secs(15);
/// An attempt that ends this soon after it began, or after its last write, is told once (DESIGN.md, State).
const MOMENT: Duration = Duration::from_secs(1);

/// How soon a status is tried again that was one of too many.
const AGAIN: Duration = Duration::from_secs(5);

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
                note_lead_time(context, memory, action, &ending, set.as_ref());
                let ended = Ended {
                    action,
                    attempt,
                    set,
                    ending,
                    details,
                };
                let entry = entry(context, subject, memory, ended);
                context.metrics.count_sync(&subject.key, &entry);
                memory.pending.push_back(Pending::Record(Arc::new(entry)));
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
    // A person's return is no delivery: its commit is old.
    let Some(wanted) = memory
        .wanted
        .as_ref()
        .filter(|_| memory.pinned.is_none())
        .filter(|wanted| Some(&wanted.desired.digest) == set.map(|set| &set.digest))
    else {
        return;
    };
    let Some(commit) = &wanted.commit else {
        return;
    };
    let now = (context.clock)();
    let seconds = (now.wall.as_millisecond() - commit.committed.as_millisecond()).max(0);
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
    if !notice.warning && !context.voice.may_say((context.clock)().monotonic) {
        return;
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
    memory.status_due = None;
    if next == memory.status {
        return Ok(());
    }
    if !must {
        let only_time = says_the_same(&next, &memory.status);
        let quiet = memory
            .status_written
            .is_some_and(|at| now.since(at) < QUIET);
        if quiet && only_time {
            return Ok(());
        }
        // What ends within a moment is told once, when it has ended; its head is stored, so nothing is lost.
        if let Some(due) = young(memory, now) {
            memory.status_due = Some(due);
            return Ok(());
        }
        // Of a fleet under way not everyone tells that it is, nor how long: the end is always told, and once what lasts.
        if let Some(since) = under_way(memory) {
            let (may, again) = if only_time {
                (context.voice.may_tell_time(now.monotonic), QUIET)
            } else {
                let lasts = now.since(since) >= QUIET;
                (lasts || context.voice.may_show(now.monotonic), AGAIN)
            };
            if !may {
                memory.status_due = Some(now.monotonic + again);
                return Ok(());
            }
        }
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
            is_told(memory, resource_version, next, now);
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
                    is_told(memory, resource_version, next, now);
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

/// The status was written.
fn is_told(memory: &mut Memory, resource_version: String, status: ApplicationStatus, now: Now) {
    if memory.status.under_way != status.under_way {
        memory.under_way_told = Some((status.under_way, now.wall));
    }
    memory.resource_version = resource_version;
    memory.status = status;
    memory.status_written = Some(now.monotonic);
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
        pinned: pin::pinned(subject, memory),
        is_looked_at: is_looked_at(subject, memory),
        drifted: memory.drift_message.clone(),
        prune_waits: memory.prune_waits.clone(),
        deleting: memory.finalizing.clone(),
        record: memory.record.clone(),
        handled: memory.handled.clone(),
    };
    status(&facts, &memory.status, now)
}

/// Returns until when an attempt is too young for a status write of its own.
fn young(memory: &Memory, now: Now) -> Option<Duration> {
    let due = under_way(memory)? + MOMENT;
    (now.monotonic < due).then_some(due)
}

/// Returns since when a set is written, or since when its health is watched.
fn under_way(memory: &Memory) -> Option<Duration> {
    match memory.rollout.state {
        State::Applying { .. } => memory.applying_since,
        State::Watching { .. } => Some(memory.applying_since?.max(memory.watching_since?)),
        State::Idle
        | State::Soaking { .. }
        | State::Pruning
        | State::Returning { .. }
        | State::Failed { .. } => None,
    }
}

/// Says whether what the spec points at is known. After a restart it is where the spec is the one that status speaks of.
fn is_looked_at(subject: &Subject, memory: &Memory) -> bool {
    match &memory.looked {
        Some((source, render)) => *source == subject.source() && *render == subject.render(),
        None => memory.status.observed_generation == subject.generation,
    }
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
