//! Finalize: an Application is deleted under `deletion: Cascade`.
//!
//! Enters: an Application that is being deleted and has our finalizer.
//! Leaves: its objects deleted, but for protected kinds; then the finalizer taken away.
//! Never: a delete of what was never ours; an Application that hangs for a right that nobody can give back.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject,
    inventory::{inventory, written},
    prune::{self, Left},
    record::{append, deletion, offer},
};
use crate::{
    api::{Application, Class, FINALIZER, Reason},
    cluster,
    model::{ObjectId, text},
};

/// Deletes what the Application owns and lets it go.
pub(super) async fn finalize(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let ours = application
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER);
    if !ours {
        return Ok(());
    }
    let kept = match delete_all(context, subject, memory, stop).await {
        Ok(left) => {
            let mut waits = left.waiting;
            waits.extend(left.failed.iter().map(ToString::to_string));
            if !waits.is_empty() {
                return Err(Error::failure(
                    Reason::PruneBlocked,
                    Class::Environment,
                    format!("deleting the Application: {}", text::list(&waits, 5)),
                ));
            }
            left.kept
        }
        // The account is gone and, its namespace being deleted, cannot come back: nothing more can be done.
        Err(error) if nobody_can(context, subject, &error).await? => vec![error.to_string()],
        Err(error) => return Err(error),
    };
    tracing::info!(
        kept = text::list(&kept, 5),
        "deleted what the Application owned"
    );
    let details = if kept.is_empty() {
        String::new()
    } else {
        format!("left: {}", text::list(&kept, 20))
    };
    let entry = deletion(context, subject, memory, details);
    match append(context, subject, memory, &entry).await {
        Ok(()) => {}
        // Nothing can be created in a namespace that is being deleted: the log is what is left.
        Err(error) if is_terminating(context, subject).await? => {
            tracing::warn!(error = %text::chain(&error), changes = entry.changes.len(), details = entry.details, "the deletion could not be recorded in the cluster");
            offer(context, subject, memory, &entry);
        }
        Err(error) => return Err(error),
    }
    context.keeper.put_finalizer(application, false).await?;
    Ok(())
}

async fn delete_all(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<Left, Error> {
    let sets = written(context, subject, memory).await?;
    let inventory = inventory(&sets);
    let ids: Vec<ObjectId> = inventory
        .iter()
        .map(|(id, _)| id.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    prune::remove(context, subject, memory, &ids, &inventory, stop).await
}

/// Says whether the account cannot act any more in a namespace that is being deleted.
async fn nobody_can(context: &Context, subject: &Subject, error: &Error) -> Result<bool, Error> {
    let denied = matches!(
        error,
        Error::Cluster(cluster::Error::Forbidden { .. } | cluster::Error::Impersonation { .. })
    );
    if !denied {
        return Ok(false);
    }
    is_terminating(context, subject).await
}

async fn is_terminating(context: &Context, subject: &Subject) -> Result<bool, Error> {
    let id = ObjectId::new("", "Namespace", "", &subject.key.namespace);
    let reader = context.cluster.reader(cluster::Identity::Controller);
    let namespace = reader.get("v1", &id).await?;
    Ok(
        namespace
            .is_none_or(|namespace| namespace.pointer("/metadata/deletionTimestamp").is_some()),
    )
}
