//! `ReplicaSets` and `ReplicationControllers` that git names itself.
//!
//! Enters: the object and its pods.
//! Leaves: Ready when all replicas are available.
//! Never: the replica sets of a Deployment; they are its own business.

use super::super::{
    aggregate::Health,
    case::{Case, of},
    fields,
    pods::{self, Finding, Restarts},
};

pub(super) fn replica_set(case: &mut Case<'_>) -> Health {
    if case.is_unobserved() {
        return case.unobserved_by_kubernetes();
    }
    let live = case.live;
    let wanted = fields::integer(live, &["spec", "replicas"])
        .unwrap_or(1)
        .max(0);
    let all = fields::count(live, &["status", "replicas"]);
    let available = fields::count(live, &["status", "availableReplicas"]);
    let owner = fields::uid(live).unwrap_or_default();
    let pods = case.index.pods_of(owner);
    let told = pods::examine(case, owner, pods, Restarts::Count, None);
    let refused = fields::condition(live, "ReplicaFailure")
        .filter(|failure| failure.is_true() && all < wanted)
        .map(|failure| pods::refused(case, failure.message, false, available > 0));
    if let Some(finding) = Finding::worse(told, refused) {
        return finding.health(case);
    }
    if all != wanted {
        case.waits(&format!("{} made", of(all, wanted, "pod")))
    } else if available < wanted {
        case.waits(&format!("{} available", of(available, wanted, "pod")))
    } else {
        Health::Ready
    }
}
