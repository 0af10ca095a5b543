//! Blocking work on threads of its own, with an end.
//!
//! Enters: work that blocks.
//! Leaves: its result, or the fact that it did not end in time.
//! Never: a thread killed; what does not end when it is told to is counted for as long as it runs.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings,
    connect::Net,
    counts::{Counters, count},
};

/// Time for a thread to notice that its time is over, after which it counts as abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// Runs work that talks to a server, and tells it when its time is over. `None` means that it was abandoned.
pub(super) async fn in_time<T: Send + 'static>(
    settings: &Arc<Settings>,
    counters: &Arc<Counters>,
    work: impl FnOnce(Net) -> Result<T, Error> + Send + 'static,
) -> Option<Result<T, Error>> {
    let over = CancellationToken::new();
    let net = Net {
        settings: Arc::clone(settings),
        counters: Arc::clone(counters),
        over: over.clone(),
        handle: tokio::runtime::Handle::current(),
    };
    let mut thread = tokio::task::spawn_blocking(move || work(net));
    let act = "talk to a server";
    if let Ok(ended) = tokio::time::timeout(settings.total_timeout, &mut thread).await {
        return Some(flatten(ended, act));
    }
    over.cancel();
    if let Ok(ended) = tokio::time::timeout(GRACE, &mut thread).await {
        return Some(flatten(ended, act));
    }
    let counters = Arc::clone(counters);
    count(&counters.abandoned);
    tokio::spawn(async move {
        drop(thread.await);
        counters.abandoned.fetch_sub(1, Ordering::Relaxed);
    });
    None
}

/// Runs short work that reads from disk.
pub(super) async fn blocking<T: Send + 'static>(
    act: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    flatten(tokio::task::spawn_blocking(work).await, act)
}

fn flatten<T>(ended: Result<Result<T, Error>, JoinError>, act: &'static str) -> Result<T, Error> {
    ended.map_err(|source| Error::Internal {
        act,
        source: Arc::new(source),
    })?
}
