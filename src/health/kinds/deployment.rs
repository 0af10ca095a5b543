//! Deployments.
//!
//! Enters: a Deployment, its replica sets and pods.
//! Leaves: Ready when all replicas are of the new revision and available and no older one is left.
//! Never: a judgement of old pods: they keep serving while the new ones fail.

use serde_json::Value;

use crate::api::{Class, Reason};

use super::super::{
    aggregate::Health,
    case::{Case, of},
    fields::{self, Condition},
    pods::{self, Finding, Floor, Restarts},
};

/// Label that the Deployment controller adds to the template of each revision.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotation with the number of a revision, on the Deployment and on its replica sets.
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn deployment(case: &mut Case<'_>) -> Health {
    if case.is_unobserved() {
        return case.unobserved_by_kubernetes();
    }
    let live = case.live;
    let wanted = fields::integer(live, &["spec", "replicas"])
        .unwrap_or(1)
        .max(0);
    let updated = fields::count(live, &["status", "updatedReplicas"]);
    let finding = finding(case, wanted, updated);
    if let Some(finding) = finding.clone().filter(Finding::is_decided) {
        return finding.health(case);
    }
    if let Some(progress) = fields::condition(live, "Progressing").filter(Condition::is_false) {
        // Whose fault it is that time ran out, the pods know better than the Deployment.
        if progress.reason == "ProgressDeadlineExceeded" {
            if finding.is_none()
                && updated > 0
                && newest(case).is_none_or(|set| !has_pods(case, set))
            {
                return case.waits("it ran out of time, and its new pods are not read yet");
            }
            let class = finding.as_ref().map_or(Class::Change, Finding::class);
            let words = match finding.map(|finding| finding.health(case)) {
                Some(Health::Progressing { message, .. }) => message,
                _ => case.say(&progress.words()),
            };
            return Health::failed(Reason::ObjectFailed, class, words);
        }
        if finding.is_none() {
            let ready = has_ready(live);
            let finding = pods::refused(case, progress.message, false, ready);
            return finding.health(case);
        }
    }
    let waits = waiting(live, wanted, updated);
    match (finding, waits) {
        (Some(finding), _) => finding.health(case),
        (None, None) => Health::Ready,
        (None, Some(words)) if fields::flag(live, &["spec", "paused"]) => {
            if fields::flag(case.wanted, &["spec", "paused"]) {
                Health::unjudged(case.say(&format!("git pauses its rollout: {words}")))
            } else {
                // A person's pause is nothing that a return would mend.
                Health::Progressing {
                    reason: Reason::Paused,
                    class: Some(Class::Environment),
                    message: case.say(&format!("somebody paused its rollout: {words}")),
                }
            }
        }
        (None, Some(words)) => case.waits(&words),
    }
}

/// Returns what the numbers still wait for.
fn waiting(live: &Value, wanted: i64, updated: i64) -> Option<String> {
    let all = fields::count(live, &["status", "replicas"]);
    let available = fields::count(live, &["status", "availableReplicas"]);
    if updated < wanted {
        Some(format!(
            "{} of the new revision made",
            of(updated, wanted, "pod")
        ))
    } else if all > updated {
        Some(format!(
            "{} of older revisions left",
            of(all.saturating_sub(updated), all, "pod")
        ))
    } else if updated > wanted {
        Some(format!(
            "{} too many",
            of(updated.saturating_sub(wanted), updated, "pod")
        ))
    } else if available < updated {
        Some(format!("{} available", of(available, updated, "pod")))
    } else {
        None
    }
}

fn finding(case: &mut Case<'_>, wanted: i64, updated: i64) -> Option<Finding> {
    let live = case.live;
    let newest = newest(case);
    let owner = newest.and_then(fields::uid);
    let pods = owner.map_or(&[][..], |owner| case.index.pods_of(owner));
    // Not seeing the replica set for a moment is no new revision: what was sighted stays.
    let floor = floor(live, wanted);
    let told = owner.and_then(|owner| pods::examine(case, owner, pods, Restarts::Count, floor));
    let failure = match newest {
        Some(set) => fields::condition(set, "ReplicaFailure"),
        None => fields::condition(live, "ReplicaFailure"),
    };
    let failure = failure.filter(|failure| failure.is_true() && updated < wanted);
    let refused = failure.map(|failure| {
        let old = fields::count(live, &["status", "replicas"]).saturating_sub(updated);
        let frees = old > 0 && takes_old_pods_away(live, wanted);
        let ready = pods.iter().any(|pod| pods::is_ready(pod));
        pods::refused(case, failure.message, frees, ready)
    });
    Finding::worse(told, refused)
}

/// Says whether the rollout deletes old pods without waiting for new ones, so that their quota becomes free.
fn takes_old_pods_away(live: &Value, wanted: i64) -> bool {
    let strategy = fields::text_at(live, &["spec", "strategy", "type"]);
    if strategy == Some("Recreate") {
        return true;
    }
    may_be_unavailable(live, wanted) > 0
}

/// Returns how many pods a rolling update may take away before new ones are available.
fn may_be_unavailable(live: &Value, wanted: i64) -> i64 {
    let limit = |key: &str, up| {
        let value = fields::at(live, &["spec", "strategy", "rollingUpdate", key]);
        fields::share(value.or(Some(&Value::from("25%"))), wanted, up).unwrap_or(0)
    };
    // Where both come to zero, the controller takes one pod away.
    match (limit("maxUnavailable", false), limit("maxSurge", true)) {
        (0, 0) => 1,
        (unavailable, _) => unavailable,
    }
}

/// Returns what the rollout keeps available; None where it is recreated, and nothing is kept.
fn floor(live: &Value, wanted: i64) -> Option<Floor> {
    if fields::text_at(live, &["spec", "strategy", "type"]) == Some("Recreate") {
        return None;
    }
    Some(Floor {
        available: fields::count(live, &["status", "availableReplicas"]),
        least: wanted.saturating_sub(may_be_unavailable(live, wanted)),
    })
}

fn has_ready(live: &Value) -> bool {
    fields::count(live, &["status", "readyReplicas"]) > 0
}

/// Returns the replica set of the newest revision.
///
/// The one whose template is the Deployment's, as its controller decides; where templates were cut away, the one
/// whose number is the Deployment's. Of two, the oldest, as the controller does.
fn newest<'a>(case: &Case<'a>) -> Option<&'a Value> {
    let sets = case.index.replica_sets_of(fields::uid(case.live)?);
    let template = fields::at(case.live, &["spec", "template"]);
    let same = |set: &&&Value| match (template, fields::at(set, &["spec", "template"])) {
        (Some(template), Some(own)) => is_same_template(template, own),
        _ => false,
    };
    if let Some(set) = sets.iter().filter(same).min_by_key(|set| age(set)) {
        return Some(set);
    }
    let number = fields::annotation(case.live, REVISION)?;
    sets.iter()
        .find(|set| fields::annotation(set, REVISION) == Some(number))
        .copied()
}

fn has_pods(case: &Case<'_>, set: &Value) -> bool {
    fields::uid(set).is_some_and(|uid| !case.index.pods_of(uid).is_empty())
}

/// Returns what orders replica sets by age.
fn age(set: &Value) -> (&str, &str) {
    let made = fields::text_at(set, &["metadata", "creationTimestamp"]);
    (made.unwrap_or_default(), fields::name(set))
}

/// Compares two templates without the label that tells revisions apart.
fn is_same_template(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return false;
    };
    let labels = |template: &serde_json::Map<String, Value>| {
        template
            .get("metadata")
            .and_then(|metadata| metadata.get("labels"))
            .and_then(Value::as_object)
            .map(|labels| {
                labels
                    .iter()
                    .filter(|(key, _)| *key != TEMPLATE_HASH)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect::<std::collections::BTreeMap<_, _>>()
            })
            .unwrap_or_default()
    };
    let annotations = |template: &serde_json::Map<String, Value>| {
        template
            .get("metadata")
            .and_then(|metadata| metadata.get("annotations"))
            .filter(|annotations| annotations.as_object().is_some_and(|map| !map.is_empty()))
            .cloned()
    };
    one.contains_key("spec")
        && one.get("spec") == other.get("spec")
        && labels(one) == labels(other)
        && annotations(one) == annotations(other)
}
