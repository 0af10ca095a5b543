//! `StatefulSets`.
//!
//! Enters: a `StatefulSet`, its pods, events about it.
//! Leaves: Ready when every pod that the partition lets roll is of the update revision and all are ready.
//! Never: Ready because nobody rolls: under `OnDelete` with older pods it is not assessed, and says so.

use std::{cmp::Reverse, time::Duration};

use serde_json::Value;

use super::super::{
    aggregate::{Health, StuckPod},
    case::{Case, of},
    fields,
    index::{event_text, event_time},
    pods::{self, Finding, Floor, Restarts},
};

/// Label with the revision of a pod.
pub(super) const REVISION_HASH: &str = "controller-revision-hash";
/// Events of a workload older than this are of another rollout.
const FRESH: Duration = Duration::from_mins(10);

/// Returns what a rolling update keeps available, which is all but one where it does not say; None under `OnDelete`.
pub(super) fn floor(live: &Value, wanted: i64, available: i64, up: bool) -> Option<Floor> {
    let strategy = fields::at(live, &["spec", "updateStrategy"]);
    let text = |key: &str| strategy.and_then(|strategy| strategy.get(key));
    if text("type").and_then(Value::as_str) == Some("OnDelete") {
        return None;
    }
    let limit = text("rollingUpdate").and_then(|rolling| rolling.get("maxUnavailable"));
    let unavailable = fields::share(limit, wanted, up).unwrap_or(1).max(1);
    Some(Floor {
        available,
        least: wanted.saturating_sub(unavailable),
    })
}

pub(super) fn stateful_set(case: &mut Case<'_>) -> Health {
    if case.is_unobserved() {
        return case.unobserved_by_kubernetes();
    }
    let live = case.live;
    let wanted = fields::integer(live, &["spec", "replicas"])
        .unwrap_or(1)
        .max(0);
    let all = fields::count(live, &["status", "replicas"]);
    let ready = fields::count(live, &["status", "readyReplicas"]);
    let update = fields::text_at(live, &["status", "updateRevision"]).unwrap_or_default();
    let owner = fields::uid(live).unwrap_or_default();
    let (new, old): (Vec<&Value>, Vec<&Value>) = case
        .index
        .pods_of(owner)
        .iter()
        .partition(|pod| fields::label(pod, REVISION_HASH) == Some(update));
    let floor = floor(live, wanted, ready, false);
    let told = pods::examine(case, update, &new, Restarts::Count, floor);
    let some_ready = new.iter().any(|pod| pods::is_ready(pod));
    let refused = refusal(case, all < wanted, some_ready);
    if let Some(finding) = Finding::worse(told, refused) {
        return finding.health(case);
    }
    // What is rolled: all, those from the partition on, or none.
    let updated = fields::count(live, &["status", "updatedReplicas"]);
    let rolled = fields::text_at(live, &["status", "currentRevision"]) == Some(update);
    let on_delete = fields::text_at(live, &["spec", "updateStrategy", "type"]) == Some("OnDelete");
    let partition = fields::count(
        live,
        &["spec", "updateStrategy", "rollingUpdate", "partition"],
    );
    let to_roll = wanted.saturating_sub(partition).max(0);
    if !rolled && updated < to_roll && !on_delete {
        return match stuck(case, &old) {
            Some(words) => case.waits(&words),
            None => case.waits(&format!(
                "{} of the new revision",
                of(updated, to_roll, "pod")
            )),
        };
    }
    if all != wanted {
        return case.waits(&format!("{} made", of(all, wanted, "pod")));
    }
    // With minReadySeconds a pod counts only when it stayed ready; without it both numbers agree.
    let available = fields::integer(live, &["status", "availableReplicas"])
        .filter(|_| fields::count(live, &["spec", "minReadySeconds"]) > 0)
        .unwrap_or(ready);
    if available.min(ready) < wanted {
        return match stuck(case, &old) {
            Some(words) => case.waits(&words),
            None => case.waits(&format!(
                "{} ready",
                of(available.min(ready), wanted, "pod")
            )),
        };
    }
    if on_delete && !rolled && updated < wanted {
        return Health::unjudged(case.say(&format!(
            "{} of the new revision; updateStrategy OnDelete leaves the others until somebody deletes them",
            of(updated, wanted, "pod")
        )));
    }
    Health::Ready
}

/// Returns why no pod is made, from the newest event: these kinds have no condition for it.
pub(super) fn refusal(case: &mut Case<'_>, is_short: bool, some_ready: bool) -> Option<Finding> {
    if !is_short {
        return None;
    }
    let event = case.index.event(fields::uid(case.live)?, "FailedCreate")?;
    let age = event_time(event)
        .parse::<jiff::Timestamp>()
        .ok()
        .and_then(|time| Duration::try_from(case.now.wall.duration_since(time)).ok())
        // A time ahead of our clock is fresh.
        .unwrap_or_default();
    (age <= FRESH).then(|| pods::refused(case, event_text(event), false, some_ready))
}

/// Finds the older pod that an ordered rollout waits for: the controller replaces pods from the highest ordinal down,
/// and none while one is not ready. Returns words where it is known not to become so.
fn stuck(case: &mut Case<'_>, old: &[&Value]) -> Option<String> {
    if fields::text_at(case.live, &["spec", "podManagementPolicy"]) == Some("Parallel") {
        return None;
    }
    let mut old: Vec<_> = old
        .iter()
        .filter(|pod| !pods::is_displaced(pod) && !pods::is_ready(pod))
        .collect();
    old.sort_by_key(|pod| Reverse(ordinal(pod)));
    let broken = old.iter().find(|pod| pods::is_broken(pod));
    let pod = broken.or(old.first())?;
    let is_broken = broken.is_some();
    case.look.stuck.push(StuckPod {
        owner: case.id.clone(),
        pod: fields::name(pod).to_owned(),
        uid: fields::uid(pod)?.to_owned(),
        is_broken,
    });
    is_broken.then(|| {
        format!(
            "pod {} of an older revision is broken and blocks the others until it is deleted",
            fields::quote(fields::name(pod))
        )
    })
}

fn ordinal(pod: &Value) -> u64 {
    fields::name(pod)
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
