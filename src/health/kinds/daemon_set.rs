//! `DaemonSets`.
//!
//! Enters: a `DaemonSet`, its pods, events about it.
//! Leaves: Ready when every node that should has an available pod of the new revision.
//! Never: a node that should not run it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::{
        aggregate::Health,
        case::{Case, of},
        fields,
        pods::{self, Finding, Restarts},
    },
    stateful_set::{REVISION_HASH, floor, refusal},
};

/// Label of each pod with the number of the template that made it.
const TEMPLATE_LABEL: &str = "pod-template-generation";
/// Annotation of the `DaemonSet` with the number of its newest template.
const TEMPLATE_ANNOTATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn daemon_set(case: &mut Case<'_>) -> Health {
    if case.is_unobserved() {
        return case.unobserved_by_kubernetes();
    }
    let live = case.live;
    let wanted = fields::count(live, &["status", "desiredNumberScheduled"]);
    let made = fields::count(live, &["status", "currentNumberScheduled"]);
    let updated = fields::count(live, &["status", "updatedNumberScheduled"]);
    let available = fields::count(live, &["status", "numberAvailable"]);
    let number = fields::annotation(live, TEMPLATE_ANNOTATION).unwrap_or_default();
    let new = newest(case, number);
    let floor = floor(live, wanted, available, true);
    let told = pods::examine(case, number, &new, Restarts::Count, floor);
    let some_ready = new.iter().any(|pod| pods::is_ready(pod));
    let refused = refusal(case, made < wanted, some_ready);
    if let Some(finding) = Finding::worse(told, refused) {
        return finding.health(case);
    }
    let on_delete = fields::text_at(live, &["spec", "updateStrategy", "type"]) == Some("OnDelete");
    if updated < wanted && !on_delete {
        case.waits(&format!(
            "{} of the new revision",
            of(updated, wanted, "pod")
        ))
    } else if available < wanted {
        case.waits(&format!("{} available", of(available, wanted, "pod")))
    } else if updated < wanted {
        Health::unjudged(case.say(&format!(
            "{} of the new revision; updateStrategy OnDelete leaves the others until somebody deletes them",
            of(updated, wanted, "pod")
        )))
    } else {
        Health::Ready
    }
}

/// Returns the pods of the newest template: those with its number, and those with the same content, which the
/// controller keeps when a template comes back.
fn newest<'a>(case: &Case<'a>, number: &str) -> Vec<&'a Value> {
    let owner = fields::uid(case.live).unwrap_or_default();
    let pods = case.index.pods_of(owner);
    let hashes: BTreeSet<&str> = pods
        .iter()
        .filter(|pod| !number.is_empty() && fields::label(pod, TEMPLATE_LABEL) == Some(number))
        .filter_map(|pod| fields::label(pod, REVISION_HASH))
        .collect();
    pods.iter()
        .copied()
        .filter(|pod| {
            fields::label(pod, REVISION_HASH).is_some_and(|hash| hashes.contains(hash))
                || !number.is_empty() && fields::label(pod, TEMPLATE_LABEL) == Some(number)
        })
        .collect()
}
