//! Hooks beside the waves: those of a sync that fails, and those that ended and are not to be kept.
//!
//! Enters: the set of the attempt that fails; the sets whose hooks may have ended.
//! Leaves: Jobs started, once for each attempt, and noted for its record; Jobs deleted by their UID.
//! Never: a step that waits for a hook, or that one keeps from a return.

use tokio_util::sync::CancellationToken;

use serde_json::Value;

use super::{
    Context, Error, Memory, Subject,
    inventory::placed_set,
    watching,
    write::{leaving, note, plan_all},
};
use crate::{
    api::{Reason, SetStatus},
    apply,
    cluster::Identity,
    model::{Doomed, Object, Outcome, text},
    plan::{Change, runs_on_failure, tidy},
    report::Notice,
    rollout::State,
};

/// Returns the set of a sync that fails with this step. What was Ready before it failed was synced well, and a person
/// who cancels, or a newer commit, is no failure.
pub(super) fn failed(before: &State, after: &State) -> Option<SetStatus> {
    let target = match before {
        State::Applying { target, .. } | State::Watching { target, .. } => target,
        State::Idle
        | State::Soaking { .. }
        | State::Pruning
        | State::Returning { .. }
        | State::Failed { .. } => return None,
    };
    let fails = match after {
        State::Returning { .. } => true,
        State::Failed { failure, .. } => failure.reason != Reason::Cancelled,
        State::Idle
        | State::Applying { .. }
        | State::Watching { .. }
        | State::Soaking { .. }
        | State::Pruning => false,
    };
    fails.then(|| target.clone())
}

/// Starts the hooks of a sync that fails. Each is tried once; what cannot be started is told.
///
/// A hook that this attempt has started already, in an earlier life of the controller or in another phase, is not
/// started again: of the Jobs of earlier syncs the head knows the UIDs.
pub(super) async fn run(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
) {
    let why = match start(context, subject, memory, target).await {
        Ok(failed) if failed.is_empty() => return,
        Ok(failed) => text::list(&failed, 5),
        Err(error) => text::chain(&error),
    };
    memory.notices.push(Notice {
        warning: true,
        reason: Reason::ApplyFailed,
        message: text::cut(
            &format!(
                "{}: a SyncFail hook was not started: {why}",
                target.revision
            ),
            1024,
        ),
    });
}

async fn start(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
) -> Result<Vec<String>, Error> {
    let set = placed_set(context, subject, memory, target.attempt, &target.digest).await?;
    let hooks: Vec<Object> = set
        .iter()
        .filter(|object| runs_on_failure(object))
        .cloned()
        .collect();
    if hooks.is_empty() {
        return Ok(Vec::new());
    }
    let plan = match plan_all(context, subject, memory, &hooks).await? {
        Ok(plan) => plan,
        Err(refusals) => return Ok(refusals.iter().map(ToString::to_string).collect()),
    };
    let changes: Vec<Change> = plan.changes().chain(plan.on_failure()).cloned().collect();
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let writer = context
        .cluster
        .writer(subject.account.clone(), context.fence.clone());
    // Few, and not tried again: news does not keep them from being started.
    let outcome = apply::apply(&reader, &writer, &changes, &CancellationToken::new()).await;
    note(memory, &changes, &outcome);
    for (id, outcome) in &outcome.outcomes {
        if matches!(outcome, Outcome::Written { .. }) {
            tracing::info!(hook = %id, revision = %target.revision, "started a hook of a sync that failed");
        }
    }
    let mut left = leaving(&outcome);
    left.extend(outcome.refusals().map(ToString::to_string));
    Ok(left)
}

/// Deletes the hooks that ran to their end and whose delete policy says so, when the attempt has ended.
///
/// # Errors
/// The API server cannot be asked about one.
pub(super) async fn tidy_up(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    applied: &[Object],
    stop: &CancellationToken,
) -> Result<(), Error> {
    match memory.rollout.state {
        State::Idle | State::Soaking { .. } | State::Failed { .. } => {}
        State::Applying { .. }
        | State::Watching { .. }
        | State::Pruning
        | State::Returning { .. } => return Ok(()),
    }
    let mut hooks: Vec<Object> = applied
        .iter()
        .filter(|object| is_tidied(object))
        .cloned()
        .collect();
    if let State::Failed { target, .. } = memory.rollout.state.clone()
        && memory.sets.of(target.attempt).is_some()
    {
        let failed = placed_set(context, subject, memory, target.attempt, &target.digest).await?;
        hooks.extend(failed.iter().filter(|object| is_tidied(object)).cloned());
    }
    let mut doomed: Vec<Doomed> = Vec::new();
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    for hook in &hooks {
        let seen = watching::seen(context, subject, memory, hook).value();
        let Some(uid) = seen.as_ref().and_then(|seen| ended(hook, seen)) else {
            continue;
        };
        if memory.tidied.contains(&uid) {
            continue;
        }
        // What a watch shows may be old.
        let live = reader.get(hook.api_version(), hook.id()).await?;
        memory.tidied.insert(uid.clone());
        if live.as_ref().and_then(|live| ended(hook, live)).as_ref() == Some(&uid) {
            doomed.push(Doomed {
                id: hook.id().clone(),
                api_version: hook.api_version().to_owned(),
                uid,
            });
        }
    }
    if doomed.is_empty() {
        return Ok(());
    }
    let writer = context
        .cluster
        .writer(subject.account.clone(), context.fence.clone());
    let outcome = apply::delete(&writer, &doomed, stop).await;
    for (id, outcome) in &outcome.outcomes {
        match outcome {
            Outcome::Refused(refusal) => {
                tracing::warn!(hook = %id, %refusal, "could not delete a hook that ended");
            }
            Outcome::Written { .. }
            | Outcome::Unchanged
            | Outcome::Deleted
            | Outcome::Deleting { .. }
            | Outcome::Deferred { .. }
            | Outcome::Stopped => {
                tracing::info!(hook = %id, "deleted a hook that ended, as its delete policy says");
            }
        }
    }
    Ok(())
}

fn is_tidied(object: &Object) -> bool {
    let tidy = tidy(object);
    tidy.succeeded || tidy.failed
}

/// Returns the UID of a hook that ended in a way for which its policy deletes it, and that is ours.
fn ended(hook: &Object, live: &Value) -> Option<String> {
    let holds = |condition: &str| {
        let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|one| {
            let text = |key| one.get(key).and_then(Value::as_str);
            text("type") == Some(condition) && text("status") == Some("True")
        })
    };
    let tidy = tidy(hook);
    let goes = tidy.succeeded && holds("Complete") || tidy.failed && holds("Failed");
    let leaves = live.pointer("/metadata/deletionTimestamp").is_some();
    if !goes || leaves || crate::plan::belongs_to_other(hook, live).is_some() {
        return None;
    }
    Some(live.pointer("/metadata/uid")?.as_str()?.to_owned())
}
