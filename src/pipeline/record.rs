//! Record: what an attempt or a command did, appended to the chain.
//!
//! Enters: an effect of the rollout, a command, what was noted meanwhile.
//! Leaves: one SyncRecord, made or found.
//! Never: a second record of one attempt or command; a record over one that is not ours.

use serde_json::Value;

use super::{Context, Error, Memory, Subject, memory::Notes, pin, sets::Held};
use crate::{
    api::{Class, Reason, RecordHead, SetStatus, SyncRecord},
    cluster::RecordWrite,
    history::{
        Actor, ChainId, Command, Entry, Gate, GateResult, RemoteEntry, SourceEntry, Times, Trigger,
        What, record,
    },
    model::{Asked, Digest, Object, text},
    rollout::{Action, Ending},
};

/// Records that are stepped over to find the end of the chain after a lost status.
const FORWARD: u64 = 10_000;

/// An attempt that ended, as the rollout says it.
pub(super) struct Ended {
    pub(super) action: Action,
    pub(super) attempt: u64,
    pub(super) set: Option<SetStatus>,
    pub(super) ending: Ending,
    pub(super) details: String,
}

/// Returns the record of an attempt, from what is known now.
pub(super) fn entry(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    ended: Ended,
) -> Entry {
    let now = (context.clock)().wall;
    let mut notes = memory.notes_of(ended.attempt);
    if matches!(ended.ending, Ending::Refused(_)) {
        // It was never begun: what was asked for ends here.
        notes.asked = memory.asker.take();
        notes.before = memory
            .rollout
            .applied
            .as_ref()
            .map(|set| set.revision.commit.clone());
    }
    let set = ended.set.as_ref();
    let wanted = memory
        .sought()
        .into_iter()
        .chain(&memory.wanted)
        .find(|wanted| set.is_some_and(|set| set.revision == wanted.desired.revision));
    let refused = matches!(ended.ending, Ending::Refused(_));
    // What does not render has no set; the revision is what was refused.
    let revision = match set {
        Some(set) => Some(set.revision.clone()),
        None if refused => memory
            .rollout
            .held
            .as_ref()
            .map(|held| held.revision.clone()),
        None => None,
    };
    let newest = memory
        .newest
        .as_ref()
        .filter(|newest| Some(&newest.revision) == revision.as_ref());
    let held = set
        .and_then(|set| memory.sets.of(set.attempt))
        .or_else(|| wanted.map(|wanted| &wanted.rendered));
    let source = revision.as_ref().map(|revision| SourceEntry {
        repository: subject.spec.source.repo.clone(),
        path: subject.source().path,
        revision: revision.clone(),
        commit: newest
            .map(|newest| newest.commit.clone())
            .or_else(|| wanted.and_then(|wanted| wanted.commit.clone())),
        remotes: held.map(remotes).unwrap_or_default(),
    });
    let images = held.map(|held| images_of(memory, held)).unwrap_or_default();
    let times = Times {
        seen: newest
            .filter(|_| ended.action == Action::Sync)
            .map(|newest| newest.seen),
        began: notes.began.unwrap_or(now),
        applied: notes.applied,
        failed: notes.failed,
        restored: notes.restored,
        ended: now,
    };
    let details = match rolled_back(subject, memory, &ended) {
        Some(by) if ended.details.is_empty() => by,
        Some(by) => format!("{by}; {}", ended.details),
        None => ended.details.clone(),
    };
    let trigger = trigger(memory, &notes, &ended);
    Entry {
        cluster: context.cluster_uid.clone(),
        application: subject.key.clone(),
        application_uid: subject.uid.clone(),
        gates: gates(subject, &notes, &ended),
        source,
        digest: ended.set.map(|set| set.digest),
        images,
        changes: notes.changes,
        unchanged: notes.unchanged,
        times,
        resumed: notes.resumed,
        details,
        controller: context.identity.clone(),
        what: What::Attempt {
            attempt: ended.attempt,
            action: ended.action,
            ending: ended.ending,
            trigger,
        },
    }
}

/// Returns whose return an attempt was, where a person pinned its set.
fn rolled_back(subject: &Subject, memory: &Memory, ended: &Ended) -> Option<String> {
    let pin = pin::in_force(subject)?;
    let pinned = memory.pinned.as_ref()?.wanted.as_ref()?;
    let set = ended.set.as_ref();
    let is_it =
        ended.action == Action::Sync && set.is_some_and(|set| set.digest == pinned.desired.digest);
    is_it.then(|| match pin.reason.as_str() {
        "" => format!("rolled back by {}", pin.by),
        reason => format!("rolled back by {}: {reason}", pin.by),
    })
}

fn trigger(memory: &mut Memory, notes: &Notes, ended: &Ended) -> Trigger {
    if let Some(asked) = &notes.asked {
        return Trigger::Command {
            verb: asked.verb.clone(),
            by: Actor {
                name: asked.by.clone(),
                verified: asked.verified,
            },
        };
    }
    match ended.action {
        Action::Return => match &ended.ending {
            Ending::Failed { failure, .. } | Ending::Refused(failure) => {
                Trigger::Failure(failure.reason)
            }
            Ending::Ready | Ending::Superseded | Ending::Cancelled { .. } => {
                Trigger::Failure(Reason::Degraded)
            }
        },
        Action::Prune => Trigger::Soaked,
        Action::DriftRepair => Trigger::Drift,
        Action::Sync if std::mem::take(&mut memory.retry_due) => Trigger::Retry,
        Action::Sync => {
            let wanted = ended.set.as_ref().map(|set| &set.revision.commit);
            if wanted.is_some() && wanted == notes.before.as_ref() {
                Trigger::Spec
            } else {
                Trigger::Commit
            }
        }
    }
}

/// Returns what the attempt had to pass, as far as it came.
fn gates(subject: &Subject, notes: &Notes, ended: &Ended) -> Vec<Gate> {
    let gate = |name, passed: bool, detail: String| Gate {
        name,
        result: if passed {
            GateResult::Passed
        } else {
            GateResult::Refused
        },
        detail,
    };
    let timeout = format!("timeout {}", text::duration(subject.gates.timeout));
    let depends = || {
        let names: Vec<&str> = subject
            .spec
            .depends_on
            .iter()
            .map(|other| other.name.as_str())
            .collect();
        (!names.is_empty()).then(|| gate("dependsOn", true, text::list(&names, 10)))
    };
    let mut gates = Vec::new();
    match (ended.action, &ended.ending) {
        (Action::Sync, Ending::Refused(failure)) => {
            let name = match failure.reason {
                Reason::RevisionWentBack => "rewind",
                Reason::RenderFailed | Reason::RenderEmpty | Reason::DuplicateObject => "render",
                Reason::PreflightRefused => "preflight",
                _ => "dryRun",
            };
            gates.push(gate(name, false, failure.reason.as_str().to_owned()));
        }
        (Action::Sync, ending) => {
            gates.extend(depends());
            gates.push(gate("dryRun", true, String::new()));
            if !notes.preflight.is_empty() {
                let told = format!("told of {}", notes.preflight);
                gates.push(gate("preflight", true, told));
            }
            match ending {
                Ending::Ready => gates.push(gate("health", true, timeout)),
                Ending::Failed { failure, .. } => {
                    let detail = format!("{}, {timeout}", failure.reason.as_str());
                    gates.push(gate("health", false, detail));
                }
                Ending::Refused(_) | Ending::Superseded | Ending::Cancelled { .. } => {}
            }
        }
        (Action::Prune, _) => {
            let soak = text::duration(subject.gates.soak);
            gates.push(gate("soak", true, soak));
            gates.push(match &notes.approved {
                Some(by) => gate("approval", true, by.clone()),
                None => gate("limit", true, String::new()),
            });
        }
        (Action::Return, Ending::Failed { returned, .. }) => {
            gates.push(gate("health", returned.is_some(), timeout));
        }
        (Action::Return | Action::DriftRepair, _) => {}
    }
    gates
}

fn remotes(held: &Held) -> Vec<RemoteEntry> {
    let entry = |remote: &kustomize::RemotePin| RemoteEntry {
        reference: remote.reference.clone(),
        pin: remote.pin.clone(),
    };
    held.remotes().iter().map(entry).collect()
}

/// Returns the images of a set; a large one is not opened for that where it is open as it is sent.
fn images_of(memory: &Memory, held: &Held) -> Vec<String> {
    if let Some(placed) = memory.placed.any(held.digest()) {
        return images(placed.iter().map(Object::value));
    }
    held.rendered()
        .map(|rendered| images(rendered.objects().iter().map(Object::value)))
        .unwrap_or_default()
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

/// Writes the record of a command of its own; returns who asked, and whether the API server vouches for the name.
pub(super) async fn record_command(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    command: &Command,
) -> Result<Asked, Error> {
    let verified = context.keeper.commands_are_guarded().await?;
    let asked = Asked {
        verb: command.verb.clone(),
        by: command.by.name.clone(),
        verified,
    };
    let command = Command {
        by: Actor {
            name: asked.by.clone(),
            verified,
        },
        ..command.clone()
    };
    let entry = of_its_own(context, subject, What::Command(command));
    append(context, subject, memory, &entry).await?;
    Ok(asked)
}

/// Returns the record of the deletion of the Application together with its objects.
pub(super) fn deletion(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    details: String,
) -> Entry {
    Entry {
        changes: memory.notes.changes.clone(),
        details,
        ..of_its_own(context, subject, What::Deletion)
    }
}

fn of_its_own(context: &Context, subject: &Subject, what: What) -> Entry {
    Entry {
        cluster: context.cluster_uid.clone(),
        application: subject.key.clone(),
        application_uid: subject.uid.clone(),
        what,
        source: None,
        digest: None,
        images: Vec::new(),
        changes: Vec::new(),
        unchanged: 0,
        gates: Vec::new(),
        times: Times::at((context.clock)().wall),
        resumed: false,
        details: String::new(),
        controller: context.identity.clone(),
    }
}

/// Appends to the chain. Where a record stands already, it is ours from an earlier life (then it is done),
/// or the chain is longer than the status knew (then it is followed).
pub(super) async fn append(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    entry: &Entry,
) -> Result<(), Error> {
    if memory.found.iter().any(|value| entry.is_told_by(value)) {
        return Ok(());
    }
    for _ in 0..FORWARD {
        find_predecessor(context, subject, memory).await?;
        let made = record(entry, memory.record.as_ref(), memory.predecessor.as_ref());
        let mut resource = SyncRecord::new(made.name(), made.spec().clone());
        resource.metadata.namespace = Some(subject.key.namespace.clone());
        match context.keeper.create_record(&resource).await? {
            RecordWrite::Created => {
                memory.record = Some(made.head().clone());
                context.metrics.count_record();
                context
                    .archive
                    .offer(&chain_of(subject), made.head(), &made.spec().record);
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
                        Reason::ChainForked,
                        Class::Environment,
                        format!(
                            "SyncRecord {} is in the way and does not follow our chain; nothing is recorded until it is looked at",
                            made.name()
                        ),
                    ));
                }
                memory.record = Some(RecordHead {
                    sequence: made.head().sequence,
                    hash: Digest::of(text.as_bytes()),
                });
                if let Some(head) = &memory.record {
                    context.archive.offer(&chain_of(subject), head, text);
                }
                if entry.is_told_by(&value) {
                    return Ok(());
                }
            }
        }
    }
    Err(Error::failure(
        Reason::ChainForked,
        Class::Environment,
        "the chain of records does not end",
    ))
}

/// Makes a record that the cluster does not take any more, for the sinks only.
pub(super) fn offer(context: &Context, subject: &Subject, memory: &mut Memory, entry: &Entry) {
    let made = record(entry, memory.record.as_ref(), memory.predecessor.as_ref());
    context
        .archive
        .offer(&chain_of(subject), made.head(), &made.spec().record);
    memory.record = Some(made.head().clone());
}

/// Returns the chain of an Application.
pub(super) fn chain_of(subject: &Subject) -> ChainId {
    ChainId {
        namespace: subject.key.namespace.clone(),
        name: subject.key.name.clone(),
        uid: subject.uid.clone(),
    }
}

/// Before the first record of a chain: what did an earlier Application of this name leave?
async fn find_predecessor(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<(), Error> {
    if memory.record.is_none() && !memory.predecessor_sought {
        memory.predecessor = context
            .keeper
            .predecessor(&subject.key, &subject.uid)
            .await?;
        memory.predecessor_sought = true;
    }
    Ok(())
}
