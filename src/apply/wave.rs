//! One wave.
//!
//! Enters: changes of one wave.
//! Leaves: an outcome for each.
//! Never: a second try that could write twice: an apply is idempotent, all else is read again.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::AT_ONCE;
use crate::{
    cluster::{Answer, Deletion, Error, Reader, Writer, Written},
    model::{Applied, Doomed, Object, ObjectId, Outcome, Packed, Refusal, RefusalReason, text},
    plan::{Action, Change, belongs_to_other},
};

/// Writes one wave. `stop` ends it at the next object.
///
/// # Guarantees
/// Every change has an outcome. A deferred object is dry-run again before it is written (law 2).
pub async fn apply(
    reader: &Reader,
    writer: &Writer,
    wave: &[Change],
    stop: &CancellationToken,
) -> Applied {
    // Made one by one: of a large wave the requests not begun would take more memory than its objects.
    let mut changes = wave.iter();
    let mut writes: FuturesUnordered<_> = changes
        .by_ref()
        .take(AT_ONCE)
        .map(|change| write_one(reader, writer, change, stop))
        .collect();
    let mut outcomes = BTreeMap::new();
    while let Some((id, outcome)) = writes.next().await {
        outcomes.insert(id, outcome);
        writes.extend(
            changes
                .next()
                .map(|change| write_one(reader, writer, change, stop)),
        );
    }
    Applied { outcomes }
}

async fn write_one(
    reader: &Reader,
    writer: &Writer,
    change: &Change,
    stop: &CancellationToken,
) -> (ObjectId, Outcome) {
    let outcome = if stop.is_cancelled() {
        Outcome::Stopped
    } else {
        write(reader, writer, change).await
    };
    (change.object.id().clone(), outcome)
}

async fn write(reader: &Reader, writer: &Writer, change: &Change) -> Outcome {
    let id = change.object.id();
    if change.action == Action::Deferred
        && let Some(outcome) = asked_again(reader, change).await
    {
        return outcome;
    }
    if let Some(doomed) = &change.replaces
        && let Some(outcome) = still_there(reader, writer, doomed).await
    {
        return outcome;
    }
    if let Some(takeover) = &change.takeover {
        match writer.take_over(&change.object, takeover).await {
            Ok(Answer::Accepted(())) => {}
            Ok(other) => return declined(id, other),
            Err(error) => return failed(id, &error),
        }
    }
    match apply_twice(writer, &change.object, change.force).await {
        Ok(Answer::Accepted(Written { created, live, .. })) => Outcome::Written {
            created,
            live: Packed::of(&live),
        },
        Ok(other) => declined(id, other),
        Err(error) => failed(id, &error),
    }
}

/// Asks about a deferred object what could not be asked before; None where it may be written.
async fn asked_again(reader: &Reader, change: &Change) -> Option<Outcome> {
    let id = change.object.id();
    match reader.dry_run(&change.object, change.force).await {
        Ok(Answer::Accepted(answer)) if answer.created => None,
        Ok(Answer::Accepted(_)) => match reader.get(change.object.api_version(), id).await {
            Ok(live) => belongs_to_other(&change.object, &live?).map(Outcome::Refused),
            Err(error) => Some(failed(id, &error)),
        },
        Ok(other) => Some(declined(id, other)),
        Err(error) => Some(failed(id, &error)),
    }
}

/// Deletes what must go before it is created again, once; None where its name is free, or another object has it.
async fn still_there(reader: &Reader, writer: &Writer, doomed: &Doomed) -> Option<Outcome> {
    let live = match reader.get(&doomed.api_version, &doomed.id).await {
        Ok(live) => live?,
        Err(error) => return Some(failed(&doomed.id, &error)),
    };
    let text = |pointer| live.pointer(pointer).and_then(serde_json::Value::as_str);
    if text("/metadata/uid") != Some(doomed.uid.as_str()) {
        return None;
    }
    if text("/metadata/deletionTimestamp").is_some() {
        return Some(Outcome::Deleting {
            finalizers: finalizers(&live),
        });
    }
    match writer.delete(doomed).await {
        Ok(Deletion::Deleted | Deletion::Gone | Deletion::Replaced { .. }) => None,
        Ok(Deletion::Deleting { finalizers }) => Some(Outcome::Deleting { finalizers }),
        Ok(Deletion::Refused(refusal)) => Some(Outcome::Refused(refusal)),
        Err(error) => Some(failed(&doomed.id, &error)),
    }
}

fn finalizers(live: &serde_json::Value) -> Vec<String> {
    live.pointer("/metadata/finalizers")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// An apply whose answer was lost is sent once more: it says the same again.
async fn apply_twice(
    writer: &Writer,
    object: &Object,
    force: bool,
) -> Result<Answer<Written>, Error> {
    match writer.apply(object, force).await {
        Err(error) if error.is_outcome_unknown() => writer.apply(object, force).await,
        answer => answer,
    }
}

fn declined<T>(id: &ObjectId, answer: Answer<T>) -> Outcome {
    match answer {
        Answer::Accepted(_) => Outcome::Unchanged,
        Answer::Refused(refusal) => Outcome::Refused(refusal),
        Answer::Missing(missing) => Outcome::Refused(missing.refusal),
        Answer::Conflict(conflicts) => {
            let fields: Vec<String> = conflicts
                .iter()
                .map(|conflict| format!("{} is owned by {}", conflict.path, conflict.manager))
                .collect();
            Outcome::Refused(Refusal {
                id: id.clone(),
                reason: RefusalReason::Conflict,
                message: text::list(&fields, 5),
            })
        }
    }
}

pub(super) fn failed(id: &ObjectId, error: &Error) -> Outcome {
    if matches!(error, Error::LeaseLost { .. }) {
        return Outcome::Stopped;
    }
    let reason = match error {
        Error::Forbidden { .. } | Error::Impersonation { .. } => RefusalReason::Forbidden,
        Error::KindUnknown { .. } => RefusalReason::KindUnknown,
        Error::TooLarge { .. } => RefusalReason::TooLarge,
        Error::Refused { reason, .. } => *reason,
        _ => RefusalReason::Unavailable,
    };
    Outcome::Refused(Refusal {
        id: id.clone(),
        reason,
        message: text::cut(&crate::model::text::chain(error), 1024),
    })
}
