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
    api::{Application, Class, DeletionPolicy, FINALIZER, Reason},
    cluster::{self, StatusWrite},
    model::{ObjectId, text},
    rollout::Failure,
};

/// Deletes what the Application owns and lets it go.
pub(super) async fn finalize(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if !has_finalizer(application) {
        return Ok(());
    }
    if subject.spec.deletion == DeletionPolicy::Orphan {
        tracing::info!("the objects of the Application stay, as its spec says now");
        return put_finalizer(context, application, false).await;
    }
    let kept = match delete_all(context, subject, memory, stop).await {
        Ok(left) => {
            let mut waits = left.waiting;
            waits.extend(left.failed.iter().map(ToString::to_string));
            if !waits.is_empty() {
                let error = Error::failure(
                    Reason::Deleting,
                    Class::Environment,
                    format!("deleting what it owns: {}{ORPHAN}", text::list(&waits, 5)),
                );
                memory.finalizing = Some(error.to_failure());
                return Err(error);
            }
            left.kept
        }
        // The account is gone and, its namespace being deleted, cannot come back: nothing more can be done.
        Err(error) if nobody_can(context, subject, &error).await? => vec![error.to_string()],
        Err(error) => {
            memory.finalizing = Some(Failure {
                reason: Reason::CannotCleanUp,
                class: Class::Environment,
                message: format!("{}{ORPHAN}", text::chain(&error)),
            });
            return Err(error);
        }
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
        Err(error) if is_leaving(context, &subject.key.namespace).await? => {
            tracing::warn!(error = %text::chain(&error), changes = entry.changes.len(), details = entry.details, "the deletion could not be recorded in the cluster");
            offer(context, subject, memory, &entry);
        }
        Err(error) => return Err(error),
    }
    put_finalizer(context, application, false).await
}

/// The way out that is always there.
const ORPHAN: &str =
    "; the finalizer stays until then; set spec.deletion to Orphan to leave what is there";

/// Lets an Application go that cannot be worked on, or says why it stays.
///
/// Without a valid spec there is no account to delete as: what it owns stays, and only a person can say so.
pub(super) async fn abandon(
    context: &Context,
    application: &Application,
    failure: &Failure,
) -> Result<Option<Failure>, Error> {
    if !has_finalizer(application) {
        return Ok(None);
    }
    let key = super::application_key(application);
    if application.spec.deletion == DeletionPolicy::Orphan
        || is_leaving(context, &key.namespace).await?
    {
        put_finalizer(context, application, false).await?;
        return Ok(None);
    }
    Ok(Some(Failure {
        reason: Reason::CannotCleanUp,
        class: failure.class,
        message: format!("{}{ORPHAN}", failure.message),
    }))
}

fn has_finalizer(application: &Application) -> bool {
    application
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER)
}

/// Puts our finalizer on an Application, or takes it away. What others changed meanwhile is read and stands.
pub(super) async fn put_finalizer(
    context: &Context,
    application: &Application,
    wanted: bool,
) -> Result<(), Error> {
    let key = super::application_key(application);
    let mut current = application.clone();
    for _ in 0..TRIES {
        match context.keeper.put_finalizer(&current, wanted).await? {
            StatusWrite::Written { .. } | StatusWrite::Gone => return Ok(()),
            StatusWrite::Conflict => {}
        }
        let fresh = context.keeper.get_application(&key).await?;
        match fresh.filter(|fresh| fresh.metadata.uid == application.metadata.uid) {
            Some(fresh) if has_finalizer(&fresh) == wanted => return Ok(()),
            // Nothing can be added to what is being deleted; its deletion is the next thing that is looked at.
            Some(fresh) if wanted && fresh.metadata.deletion_timestamp.is_some() => break,
            Some(fresh) => current = fresh,
            None => return Ok(()),
        }
    }
    Err(Error::failure(
        Reason::ApiUnavailable,
        Class::Environment,
        "the Application changes faster than its finalizers can be written",
    ))
}

/// Reads of a newer Application before a write of its finalizers is given up for now.
const TRIES: u32 = 3;

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
    is_leaving(context, &subject.key.namespace).await
}

/// Says whether a namespace is being deleted, or is gone.
async fn is_leaving(context: &Context, namespace: &str) -> Result<bool, Error> {
    let id = ObjectId::new("", "Namespace", "", namespace);
    let reader = context.cluster.reader(cluster::Identity::Controller);
    let namespace = reader.get("v1", &id).await?;
    Ok(
        namespace
            .is_none_or(|namespace| namespace.pointer("/metadata/deletionTimestamp").is_some()),
    )
}
