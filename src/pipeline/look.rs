//! Look at git: fetch and render.
//!
//! Enters: where the files are.
//! Leaves: the wanted set in memory, or why there is none.
//! Never: an empty set for an error (law 1): what cannot be read leaves what runs as it is.

use std::{sync::Arc, time::Duration};

use super::{
    Context, Error, Memory, Subject,
    credentials::credentials,
    memory::{Newest, Wanted},
    rewind::{Descent, at_rest},
    sets::Held,
};
use crate::{
    api::{Class, Reason},
    model::{CommitInfo, Now, Revision, text},
    render::{self, Rendered},
    report::{FetchState, StageLabel},
    rollout::{Desired, Event, Failure, Rollout},
    source::{RemoteBases, Snapshot},
};

/// How old another Application's answer from the same repository may be to count as ours, the first time and after a
/// failure. One second: Applications that are created together ask once, and nobody notices the age.
const SHARED: Duration = Duration::from_secs(1);

/// Asks git if it is due, and renders what is new. Returns events for the rollout.
pub(super) async fn look(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    now: Now,
) -> Vec<Event> {
    if !is_due(subject, memory, now) {
        return Vec::new();
    }
    let fresh = freshness(subject, memory, now);
    memory.asked = Some(now.monotonic);
    let fetched = fetch(context, subject, memory, fresh, now).await;
    let took = (context.clock)().since(now.monotonic);
    context.metrics.observe_stage(StageLabel::Fetch, took);
    let snapshot = match fetched {
        Ok(snapshot) => {
            memory.fetch = Some(FetchState::Fetched);
            memory.fetch_failures = 0;
            // Where another Application asked for us, ours is due when its answer is too old.
            memory.asked = snapshot
                .answered
                .map(|at| at.min(now.monotonic))
                .or(memory.asked);
            snapshot
        }
        Err(error) => {
            memory.fetch_failures = memory.fetch_failures.saturating_add(1);
            // The server may have refused an old credential: it is read anew before the next try.
            memory.credentials = None;
            memory.fetch = Some(FetchState::Failed {
                reason: error.reason(),
                message: fetch_message(memory, &error),
            });
            return Vec::new();
        }
    };
    let known = memory.newest.as_ref();
    if known.is_none_or(|known| known.revision != snapshot.revision) {
        memory.newest = Some(Newest {
            revision: snapshot.revision.clone(),
            commit: snapshot.commit.clone(),
            seen: now.wall,
        });
    }
    let looked = (subject.source(), subject.render());
    match adopt(context, subject, memory, &snapshot).await {
        Ok(event) => {
            memory.looked = Some(looked);
            event.into_iter().collect()
        }
        Err(error) if error.is_transient() || matches!(error, Error::Source(_)) => {
            memory.fetch_failures = memory.fetch_failures.saturating_add(1);
            if matches!(error, Error::Render(_) | Error::Source(_)) {
                // A remote base belongs to what is fetched, and so does the history that tells what may follow.
                memory.fetch = Some(FetchState::Failed {
                    reason: error.reason(),
                    message: fetch_message(memory, &error),
                });
            }
            tracing::warn!(error = %text::chain(&error), "could not take the revision");
            Vec::new()
        }
        Err(error) => {
            memory.looked = Some(looked);
            memory.wanted = None;
            vec![Event::Refused {
                digest: None,
                revision: snapshot.revision.clone(),
                failure: with_what_runs(memory, &snapshot.revision, &error.to_failure()),
            }]
        }
    }
}

fn fetch_message(memory: &Memory, error: &Error) -> String {
    let running = memory.rollout.applied.as_ref().map_or_else(
        || "nothing is applied yet".to_owned(),
        |set| format!("{} keeps running", set.revision),
    );
    text::cut(&format!("{}; {running}", text::chain(error)), 1500)
}

fn with_what_runs(memory: &Memory, revision: &Revision, failure: &Failure) -> Failure {
    let running = memory.rollout.applied.as_ref().map_or_else(
        || "nothing was applied".to_owned(),
        |set| format!("still running {}; nothing was changed", set.revision),
    );
    Failure {
        message: text::cut(&format!("{revision}: {}; {running}", failure.message), 1800),
        reason: failure.reason,
        class: failure.class,
    }
}

fn is_due(subject: &Subject, memory: &Memory, now: Now) -> bool {
    let Some(asked) = memory.asked else {
        return true;
    };
    if memory.ask_since.is_some() {
        return true;
    }
    now.since(asked) >= next_ask(subject, memory)
}

/// How old an answer may be that another Application got from the same repository.
fn freshness(subject: &Subject, memory: &mut Memory, now: Now) -> Duration {
    let interval: Duration = subject.spec.interval.into();
    match (memory.ask_since.take(), memory.asked) {
        // Whatever git said since then.
        (Some(since), _) => now.since(since),
        // One asks for all of one repository: what it learned is new enough for whoever polls as often.
        (None, Some(_)) if memory.fetch_failures == 0 => interval,
        (None, Some(_) | None) => SHARED,
    }
}

/// Time between two questions to git: the interval, or a back-off after failures. Up to a tenth longer, by the
/// Application, so that one of many is the first to ask, and not all repositories are asked at one time.
pub(super) fn next_ask(subject: &Subject, memory: &Memory) -> Duration {
    let interval: Duration = subject.spec.interval.into();
    match memory.fetch_failures {
        0 => interval.mul_f64(1.0 + spread(&subject.uid)),
        failures => Duration::from_secs(5_u64 << failures.min(7).saturating_sub(1)).min(interval),
    }
}

/// Returns a number from 0 to 0.1, always the same for one Application.
fn spread(uid: &str) -> f64 {
    // FNV-1a: any hash that spreads does.
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    f64::from(hash % 1000) / 10_000.0
}

async fn fetch(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    fresh: Duration,
    now: Now,
) -> Result<Snapshot, Error> {
    let credentials = credentials(context, subject, memory, now).await?;
    Ok(context
        .mirrors
        .fetch(&subject.source(), &credentials, fresh, now)
        .await?)
}

/// Takes a snapshot: renders it unless the same tree was rendered with the same spec.
async fn adopt(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    snapshot: &Snapshot,
) -> Result<Option<Event>, Error> {
    let spec = subject.render();
    if let Some(wanted) = &mut memory.wanted
        && wanted.tree == snapshot.tree
        && wanted.spec == spec
    {
        wanted.desired.revision = snapshot.revision.clone();
        wanted.lineage.clone_from(&snapshot.lineage);
        wanted.commit = Some(snapshot.commit.clone());
        return Ok(None);
    }
    if let Some(wanted) = &mut memory.wanted
        && wanted.spec == spec
        && wanted.mark.is_some()
        && wanted.mark == snapshot.mark_of(wanted.read.iter().map(String::as_str))
        && runs(&memory.rollout, &wanted.desired)
    {
        // The commit is about other files: what runs is what it says, and nobody needs to be told.
        wanted.tree.clone_from(&snapshot.tree);
        tracing::debug!(revision = %snapshot.revision, "the commit is about other files");
        return Ok(None);
    }
    let mut unknown = None;
    if let Some(descent) = Descent::of(subject, memory, snapshot) {
        match descent.known(context).await? {
            Some(true) => {}
            Some(false) => return Ok(Some(descent.went_back(memory))),
            None => unknown = Some(descent),
        }
    }
    let started = (context.clock)().monotonic;
    let rendered = render_snapshot(context, snapshot.clone(), spec.clone()).await?;
    context
        .metrics
        .observe_stage(StageLabel::Render, (context.clock)().since(started));
    tracing::debug!(
        revision = %snapshot.revision,
        objects = rendered.objects().len(),
        "rendered"
    );
    if rendered.objects().is_empty() {
        return Err(Error::failure(
            Reason::RenderEmpty,
            Class::Change,
            format!(
                "{} renders to no objects; an empty set deletes nothing and is not applied",
                subject.source().path
            ),
        ));
    }
    let mut revision = snapshot.revision.clone();
    let mut commit: Option<CommitInfo> = Some(snapshot.commit.clone());
    let mut lineage = snapshot.lineage.clone();
    if let Some(descent) = unknown {
        if let Some(running) = at_rest(memory, &revision, rendered.digest()) {
            // A start on a branch that went on with other files: as when it is watched going on, nobody needs to be told.
            revision = running;
            commit = None;
            lineage = None;
        } else if !descent.by_history(context).await? {
            return Ok(Some(descent.went_back(memory)));
        }
    }
    let mut read = rendered.read().clone();
    read.insert(format!("/{}", spec.path.trim_matches('/')));
    memory.wanted = Some(Wanted {
        // What stands at a remote base is not known by the files of the commit.
        mark: rendered
            .remotes()
            .is_empty()
            .then(|| snapshot.mark_of(read.iter().map(String::as_str)))
            .flatten(),
        read,
        desired: Desired {
            digest: rendered.digest().clone(),
            revision,
        },
        lineage,
        rendered: Held::open(Arc::new(rendered)),
        commit,
        tree: snapshot.tree.clone(),
        spec,
    });
    Ok(None)
}

/// Says whether this set runs, and its revision is known to.
fn runs(rollout: &Rollout, desired: &Desired) -> bool {
    rollout
        .applied
        .as_ref()
        .is_some_and(|set| set.digest == desired.digest && set.revision == desired.revision)
}

pub(super) async fn render_snapshot(
    context: &Context,
    snapshot: Snapshot,
    spec: render::RenderSpec,
) -> Result<Rendered, Error> {
    let mut options = context.render.clone();
    if !context.remote_hosts.is_empty() {
        options.remote = Some(Arc::new(RemoteBases::new(
            context.mirrors.clone(),
            context.remote_hosts.clone(),
            SHARED,
            (context.clock)(),
            tokio::runtime::Handle::current(),
        )));
    }
    let task =
        tokio::task::spawn_blocking(move || render::render(snapshot.files(), &spec, &options));
    match task.await {
        Ok(rendered) => Ok(rendered?),
        Err(source) => Err(Error::Task {
            what: "the renderer",
            source,
        }),
    }
}
