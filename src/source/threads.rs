//! Blocking work on threads of its own, with an end.
//!
//! Enters: work that blocks.
//! Leaves: its result, or the fact that it did not end in time.
//! Never: a thread killed; what does not end when it is told to is counted for as long as it runs.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::{JoinError, JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Error, Settings,
    connect::Net,
    counts::{Counters, count},
};

/// Time for a thread to notice that its time is over, after which it counts as abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// Everything that runs for the mirrors.
pub(super) struct Threads {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    packing: Arc<Path>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

impl Threads {
    pub(super) fn new(
        settings: Arc<Settings>,
        counters: Arc<Counters>,
        packing: Arc<Path>,
    ) -> Self {
        Self {
            settings,
            counters,
            packing,
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Runs a task that goes on when nobody waits for it any more.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(task)
    }

    /// Runs work that talks to a server, and tells it when its time is over. `None` means that it was abandoned.
    pub(super) async fn in_time<T: Send + 'static>(
        &self,
        work: impl FnOnce(Net) -> Result<T, Error> + Send + 'static,
    ) -> Option<Result<T, Error>> {
        let over = self.ended.child_token();
        let net = Net {
            settings: Arc::clone(&self.settings),
            counters: Arc::clone(&self.counters),
            packing: Arc::clone(&self.packing),
            over: over.clone(),
            ended: self.ended.clone(),
            tasks: self.tasks.clone(),
            handle: tokio::runtime::Handle::current(),
        };
        let mut thread = tokio::task::spawn_blocking(move || work(net));
        let act = "talk to a server";
        tokio::select! {
            ended = &mut thread => return Some(flatten(ended, act)),
            () = tokio::time::sleep(self.settings.total_timeout) => {}
            () = self.ended.cancelled() => {}
        }
        over.cancel();
        if let Ok(ended) = tokio::time::timeout(GRACE, &mut thread).await {
            return Some(flatten(ended, act));
        }
        let counters = Arc::clone(&self.counters);
        count(&counters.abandoned);
        self.tasks.spawn(async move {
            drop(thread.await);
            counters.abandoned.fetch_sub(1, Ordering::Relaxed);
        });
        None
    }

    /// Tells everything to end, and waits until it has, abandoned threads excepted.
    pub(super) async fn close(&self) {
        self.ended.cancel();
        self.tasks.close();
        // A round ends within its grace, and what it leaves behind is abandoned already.
        let limit = GRACE + GRACE;
        if let Err(_elapsed) = tokio::time::timeout(limit, self.tasks.wait()).await {
            tracing::warn!(tasks = self.tasks.len(), "fetches did not end in time");
        }
    }
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

#[cfg(test)]
mod tests {
    use super::{Arc, Counters, Duration, Path, Settings, Threads};

    #[tokio::test]
    async fn a_part_of_a_round_ends_before_the_round_and_with_it() {
        let settings = Arc::new(Settings::new("unused".into()));
        let threads = Threads::new(settings, Arc::<Counters>::default(), Path::new("").into());
        let ended = threads.in_time(|net| {
            let short = net.part(Duration::from_millis(1));
            let long = net.part(Duration::from_hours(1));
            let deadline = Duration::from_mins(1);
            net.handle
                .block_on(tokio::time::timeout(deadline, short.over.cancelled()))
                .unwrap();
            let before = (long.over.is_cancelled(), net.over.is_cancelled());
            net.over.cancel();
            Ok((before, long.over.is_cancelled()))
        });
        assert_eq!(ended.await.unwrap().unwrap(), ((false, false), true));
        threads.close().await;
    }
}
