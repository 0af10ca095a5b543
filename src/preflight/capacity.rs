//! Room for more pods, and who says how many.
//!
//! Enters: what is to be written, quotas and autoscalers of its namespaces.
//! Leaves: findings of `quotaHeadroom` and `autoscaledReplicas`.
//! Never: a quota with scopes, whose pods we cannot tell; a request that a LimitRange would fill in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    check::Case,
    facts::{Scale, Touched, touched_workloads},
    finding::Finding,
    quantity::{quantity, shown},
    workload::{Workload, share, text, workloads},
};
use crate::{
    api::PreflightRule,
    model::{Object, ObjectId, text::plural},
};

/// One pod, in the billionths in which quantities are counted.
const ONE: i128 = 1_000_000_000;

/// Says whether a write makes more pods than there were.
pub(super) fn needs_room(workload: &Workload<'_>, touched: &Touched) -> bool {
    growth(workload, touched) > 0 || surges(workload, touched)
}

/// Returns how many more pods there will be when the rollout is done.
fn growth(workload: &Workload<'_>, touched: &Touched) -> u64 {
    if !workload.is("apps", "Deployment") && !workload.is("apps", "StatefulSet") {
        return 0;
    }
    let after = workload.stated_replicas();
    match (touched.existed, touched.scale) {
        (false, _) => after.unwrap_or(1),
        (true, Scale::From(before)) => after.unwrap_or(before).saturating_sub(before),
        // How many there are then was an autoscaler's or a person's to say.
        (true, Scale::Same | Scale::FirstStated) => 0,
    }
}

/// Says whether a rollout goes on only with a pod more than before: no old one may go first.
fn surges(workload: &Workload<'_>, touched: &Touched) -> bool {
    if !touched.existed || !touched.rolls || !workload.is("apps", "Deployment") {
        return false;
    }
    let value = workload.object.value();
    if text(value, "/spec/strategy/type") == Some("Recreate") {
        return false;
    }
    let replicas = workload.stated_replicas().unwrap_or(1);
    let unavailable = value
        .pointer("/spec/strategy/rollingUpdate/maxUnavailable")
        .map_or(Some(replicas / 4), |most| share(most, replicas, false));
    unavailable == Some(0) && replicas > 0
}

/// Finds rollouts that a quota does not let end.
pub(super) fn headroom(case: Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    // What the workloads before take of each quota: by namespace, quota and resource.
    let mut taken: BTreeMap<(&str, &str, &str), i128> = BTreeMap::new();
    for (workload, touched) in touched_workloads(case.objects, case.touched) {
        let growth = growth(&workload, touched);
        let surge = u64::from(surges(&workload, touched));
        let quotas = case.facts.quotas.get(workload.namespace());
        if growth + surge == 0 {
            continue;
        }
        for quota in quotas.into_iter().flatten() {
            for (resource, left) in room(quota) {
                let Some(each) = needs(&workload, resource) else {
                    continue;
                };
                let name = text(quota, "/metadata/name").unwrap_or_default();
                let before = taken
                    .entry((workload.namespace(), name, resource))
                    .or_default();
                let free = left - *before;
                *before += each * i128::from(growth);
                let wanted = each * i128::from(growth + surge);
                if each == 0 || wanted <= free {
                    continue;
                }
                let message = format!(
                    "ResourceQuota {name} leaves {} of {resource}; wanted for {}: {}{}",
                    shown(resource, free.max(0)),
                    plural(
                        usize::try_from(growth + surge).unwrap_or(usize::MAX),
                        "more pod"
                    ),
                    shown(resource, wanted),
                    if surge > 0 {
                        "; no old pod may go before a new one is ready (maxUnavailable is 0), so the rollout cannot end"
                    } else {
                        ""
                    }
                );
                let advice = if surge > 0 {
                    "raise the quota, ask for less, or set maxUnavailable to 1"
                } else {
                    "raise the quota, or ask for less"
                };
                found.push(Finding::of(
                    PreflightRule::QuotaHeadroom,
                    workload.object,
                    message,
                    advice,
                ));
            }
        }
    }
    found
}

/// Returns what a quota has left, by resource; nothing of one that counts only some pods.
fn room(quota: &Value) -> impl Iterator<Item = (&str, i128)> {
    let scoped =
        quota.pointer("/spec/scopes").is_some() || quota.pointer("/spec/scopeSelector").is_some();
    let hard = quota
        .pointer("/status/hard")
        .and_then(Value::as_object)
        .filter(|_| !scoped);
    hard.into_iter().flatten().filter_map(|(resource, hard)| {
        let used = quota.get("status")?.get("used")?.get(resource)?;
        Some((resource.as_str(), quantity(hard)? - quantity(used)?))
    })
}

/// Returns what one pod takes of a resource of quotas; None for what is none of pods, or is not stated.
fn needs(workload: &Workload<'_>, resource: &str) -> Option<i128> {
    match resource {
        "pods" | "count/pods" => Some(ONE),
        "cpu" | "requests.cpu" => sum(workload, "requests", "cpu"),
        "memory" | "requests.memory" => sum(workload, "requests", "memory"),
        "limits.cpu" => sum(workload, "limits", "cpu"),
        "limits.memory" => sum(workload, "limits", "memory"),
        _ => None,
    }
}

/// Returns what a pod asks for: all that run together, or one that runs before them, if that is more.
fn sum(workload: &Workload<'_>, list: &str, resource: &str) -> Option<i128> {
    let asks = |container: &Value| {
        let resources = container.get("resources")?;
        let of = |list: &str| resources.get(list)?.get(resource).and_then(quantity);
        // What limits a container is its request where it states none.
        of(list).or_else(|| of("limits"))
    };
    let mut together = 0;
    for container in workload.main_containers() {
        together += asks(container)?;
    }
    let mut most = 0;
    for container in workload.init_containers() {
        let asked = asks(container)?;
        if container.get("restartPolicy").is_some() {
            together += asked;
        } else {
            most = asked.max(most);
        }
    }
    Some(together.max(most))
}

/// Finds workloads whose replicas git and an autoscaler both state.
pub(super) fn autoscaled(case: Case<'_>) -> Vec<Finding> {
    let held: Vec<&Object> = autoscalers(case.objects).collect();
    let scaled_now: BTreeSet<&ObjectId> = case
        .touched
        .iter()
        .filter(|touched| !touched.existed || touched.scale != Scale::Same)
        .map(|touched| &touched.id)
        .collect();
    let mut found = Vec::new();
    for workload in workloads(case.objects) {
        let Some(replicas) = workload.stated_replicas() else {
            continue;
        };
        let in_set = held
            .iter()
            .filter(|object| object.id().namespace == workload.namespace())
            .map(|object| object.value());
        let live = case
            .facts
            .autoscalers
            .get(workload.namespace())
            .filter(|_| scaled_now.contains(workload.object.id()));
        let scaler = in_set
            .chain(live.into_iter().flatten())
            .find(|autoscaler| scales(autoscaler, &workload));
        if let Some(scaler) = scaler {
            let name = text(scaler, "/metadata/name").unwrap_or_default();
            found.push(Finding::of(
                PreflightRule::AutoscaledReplicas,
                workload.object,
                format!(
                    "replicas is {replicas} in git, and HorizontalPodAutoscaler {name} scales it"
                ),
                "leave replicas out of git, or list it in apply.ignore",
            ));
        }
    }
    found
}

/// Returns the autoscalers among these.
pub(super) fn autoscalers(objects: &[Object]) -> impl Iterator<Item = &Object> {
    objects
        .iter()
        .filter(|object| object.id().is("autoscaling", "HorizontalPodAutoscaler"))
}

/// Says whether an autoscaler of its namespace scales a workload.
pub(super) fn scales(autoscaler: &Value, workload: &Workload<'_>) -> bool {
    let id = workload.object.id();
    let group = text(autoscaler, "/spec/scaleTargetRef/apiVersion")
        .map(|version| version.split_once('/').map_or("", |(group, _)| group));
    text(autoscaler, "/spec/scaleTargetRef/kind") == Some(id.kind.as_str())
        && text(autoscaler, "/spec/scaleTargetRef/name") == Some(id.name.as_str())
        && group.is_none_or(|group| group == id.group)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::{
        check::tests::{case, facts, object, touched},
        facts::Facts,
    };

    fn web(replicas: u64, strategy: &Value) -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": replicas, "strategy": strategy, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}}]},
            }},
        }))
    }

    fn quota(hard: &Value, used: &Value) -> Facts {
        let mut facts = facts();
        facts.quotas.insert(
            "shop".into(),
            vec![json!({"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}})],
        );
        facts
    }

    #[test]
    fn a_rollout_that_keeps_all_old_pods_needs_room_for_one_more() {
        let objects = [web(3, &Value::Null)];
        let rolls = [touched(&objects[0], true)];
        let full = quota(&json!({"pods": "3"}), &json!({"pods": "3"}));
        let found = headroom(case(&objects, &rolls, &full));
        assert_eq!(
            found[0].message,
            "ResourceQuota team leaves 0 of pods; wanted for 1 more pod: 1; no old pod may go before a new one is ready (maxUnavailable is 0), so the rollout cannot end"
        );
        assert!(needs_room(&workloads(&objects).next().unwrap(), &rolls[0]));
        let roomy = quota(&json!({"pods": "4"}), &json!({"pods": "3"}));
        assert_eq!(headroom(case(&objects, &rolls, &roomy)), []);
    }

    #[test]
    fn a_rollout_that_may_lose_a_pod_needs_no_room() {
        let full = quota(&json!({"pods": "3"}), &json!({"pods": "3"}));
        for strategy in [
            json!({"rollingUpdate": {"maxUnavailable": 1}}),
            json!({"rollingUpdate": {"maxUnavailable": "34%"}}),
            json!({"type": "Recreate"}),
        ] {
            let objects = [web(3, &strategy)];
            let rolls = [touched(&objects[0], true)];
            assert_eq!(headroom(case(&objects, &rolls, &full)), []);
            assert!(!needs_room(&workloads(&objects).next().unwrap(), &rolls[0]));
        }
    }

    #[test]
    fn growth_is_counted_over_all_workloads_and_resources() {
        let mut other = web(2, &Value::Null);
        other = other.with_name("other");
        let objects = [web(2, &Value::Null), other];
        let new = [touched(&objects[0], false), touched(&objects[1], false)];
        let facts = quota(
            &json!({"requests.cpu": "1500m", "requests.memory": "8Gi", "count/secrets": "0"}),
            &json!({"requests.cpu": "0", "requests.memory": "4Gi", "count/secrets": "0"}),
        );
        let found = headroom(case(&objects, &new, &facts));
        let said: Vec<(&str, &str)> = found
            .iter()
            .map(|finding| (finding.id.name.as_str(), finding.message.as_str()))
            .collect();
        assert_eq!(
            said,
            [(
                "other",
                "ResourceQuota team leaves 500m of requests.cpu; wanted for 2 more pods: 1000m"
            )]
        );
    }

    #[test]
    fn what_cannot_be_told_of_a_quota_is_no_finding() {
        let objects = [web(3, &Value::Null)];
        let new = [touched(&objects[0], false)];
        let mut scoped = quota(&json!({"pods": "1"}), &json!({"pods": "1"}));
        scoped.quotas.get_mut("shop").unwrap()[0]["spec"] = json!({"scopes": ["BestEffort"]});
        assert_eq!(headroom(case(&objects, &new, &scoped)), []);
        assert_eq!(headroom(case(&objects, &new, &facts())), []);
        // Requests of CPU that a LimitRange may fill in.
        let unsaid = quota(&json!({"limits.cpu": "1"}), &json!({"limits.cpu": "1"}));
        assert_eq!(headroom(case(&objects, &new, &unsaid)), []);
    }

    #[test]
    fn replicas_and_an_autoscaler_do_not_go_together() {
        let scaler = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        });
        let objects = [web(2, &Value::Null), object(scaler.clone())];
        let facts = facts();
        let found = autoscaled(case(&objects, &[], &facts));
        assert_eq!(
            found[0].to_string(),
            "autoscaledReplicas: Deployment/shop/web (deploy/all.yaml:7): replicas is 2 in git, and HorizontalPodAutoscaler web scales it; leave replicas out of git, or list it in apply.ignore"
        );
        // One that is not in git counts for what is written now.
        let objects = [web(2, &Value::Null)];
        let mut live = facts;
        live.autoscalers.insert("shop".into(), vec![scaler.clone()]);
        assert_eq!(autoscaled(case(&objects, &[], &live)), []);
        let new = [touched(&objects[0], false)];
        assert_eq!(autoscaled(case(&objects, &new, &live)).len(), 1);
        // Without replicas all is well.
        let mut unsaid = objects[0].clone();
        unsaid.edit(|value| {
            value["spec"].as_object_mut().unwrap().remove("replicas");
        });
        let objects = [unsaid, object(scaler)];
        assert_eq!(autoscaled(case(&objects, &new, &live)), []);
    }
}
