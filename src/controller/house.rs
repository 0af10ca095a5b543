//! What only one replica may do: the holder of the first slot keeps the records beside the cluster.
//!
//! Enters: our share as it changes.
//! Leaves: an archive that runs while the first slot is ours; the word that it has ended; how it stands.
//! Never: two replicas that write to one sink: the slot goes on when the archive has ended.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::share::Ours;
use crate::{
    cluster::{Keeper, Task},
    pipeline::Archive,
    report::Metrics,
};

/// How often it is looked whether a sink has been silent for too long.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the records while that is ours, until told to stop.
pub(super) async fn keep_house(
    archive: &Archive,
    keeper: &Keeper,
    cluster_uid: &str,
    mut ours: Ours,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        if !ours.keeps_house() {
            if let Some(share) = ours.now() {
                ours.desk.has_ended(Task::House, share.version);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _share = ours.changed() => continue,
            }
        }
        let end = stop.child_token();
        let running = archive.run(keeper.clone(), cluster_uid, end.clone());
        tokio::pin!(running);
        loop {
            // It stays ours, so nothing of it must end.
            if let Some(share) = ours.now().filter(|_| ours.keeps_house()) {
                ours.desk.has_ended(Task::House, share.version);
            } else {
                end.cancel();
            }
            tokio::select! {
                () = &mut running => break,
                _share = ours.changed(), if !end.is_cancelled() => {}
            }
        }
    }
}

/// Shows how the archive stands and what is ours, and tells the others whether changes may go on.
pub(super) async fn tell_standing(
    archive: &Archive,
    metrics: &Metrics,
    mut ours: Ours,
    stop: CancellationToken,
) {
    let mut news = archive.news();
    loop {
        let share = ours.now();
        let keeps = ours.keeps_house();
        let halt = share.as_ref().and_then(|share| share.halt.clone());
        archive.is_kept_here(keeps, halt);
        ours.desk.halt(archive.forbids_changes().filter(|_| keeps));
        metrics.set_leader(keeps);
        let (members, slots) = share.map_or((0, 0), |share| (share.members, share.slots.len()));
        metrics.set_share(members, slots);
        let standing = archive.standing();
        metrics.set_verification_failures(standing.verification_failures);
        for sink in &standing.sinks {
            metrics.set_sink(sink.kind, sink.waiting, sink.failure.is_none());
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = news.changed() => if changed.is_err() { break },
            _share = ours.changed() => {}
            () = tokio::time::sleep(LOOK), if archive.is_fail_closed() => {}
        }
    }
    metrics.set_leader(false);
    metrics.set_share(0, 0);
}
