//! Pods that must be there: probes, disruption budgets, deadlines.
//!
//! Enters: the set, budgets of its namespaces, the time that the Application gives.
//! Leaves: findings of `readinessProbe`, `disruptionBudget` and `progressDeadline`.
//! Never: a claim about pods of which we do not know how many there are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    capacity::{autoscalers, scales},
    check::Case,
    facts::Scale,
    finding::Finding,
    workload::{Workload, number, share, text, workloads},
};
use crate::{
    api::PreflightRule,
    model::{Object, text::duration},
};

/// Finds pods behind a Service that say nothing of being ready.
pub(super) fn unprobed(objects: &[Object]) -> Vec<Finding> {
    // By namespace and the first label that they select, so that large sets are gone through once.
    let mut services: BTreeMap<(&str, &str, &str), Vec<&Object>> = BTreeMap::new();
    for service in objects
        .iter()
        .filter(|object| object.id().is("", "Service"))
    {
        let selector = service.value().pointer("/spec/selector");
        let first = selector
            .and_then(Value::as_object)
            .and_then(|selector| selector.iter().next());
        if let Some((key, Value::String(value))) = first {
            services
                .entry((&service.id().namespace, key, value))
                .or_default()
                .push(service);
        }
    }
    let mut found = Vec::new();
    for workload in workloads(objects).filter(|workload| !workload.ends()) {
        let selects = |service: &&&Object| {
            let selector = service.value().pointer("/spec/selector");
            selector.is_some_and(|selector| workload.has_labels(selector))
        };
        let service = workload
            .labels()
            .filter_map(|(key, value)| services.get(&(workload.namespace(), key, value)))
            .flatten()
            .find(selects);
        let Some(service) = service else {
            continue;
        };
        let is_probed = workload.containers().any(|container| {
            container
                .get("readinessProbe")
                .is_some_and(|probe| !probe.is_null())
        }) || workload.pod().get("readinessGates").is_some();
        if !is_probed {
            found.push(Finding::of(
                PreflightRule::ReadinessProbe,
                workload.object,
                format!(
                    "{} sends requests to its pods, and no container has a readinessProbe: a pod counts as ready when it is started",
                    service.id()
                ),
                "add a readinessProbe",
            ));
        }
    }
    found
}

/// Finds disruption budgets that let no pod be evicted.
pub(super) fn budgets(case: Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let held = || {
        case.objects
            .iter()
            .filter(|object| object.id().is("policy", "PodDisruptionBudget"))
    };
    for object in held() {
        let selected = selected(case.objects, &object.id().namespace, object.value());
        if let Some(why) = never(case.objects, object.value(), &selected) {
            found.push(Finding::of(
                PreflightRule::DisruptionBudget,
                object,
                format!("{why}: no node can be drained"),
                "allow at least one pod to go",
            ));
        }
    }
    // Of those that are not in git only what is written now can be the cause.
    for touched in case.touched {
        let rescaled = !touched.existed || touched.scale != Scale::Same;
        let live = case
            .facts
            .budgets
            .get(&touched.id.namespace)
            .filter(|_| rescaled);
        for budget in live.into_iter().flatten() {
            let name = text(budget, "/metadata/name").unwrap_or_default();
            let in_set = held().any(|object| {
                object.id().name == name && object.id().namespace == touched.id.namespace
            });
            let selected = selected(case.objects, &touched.id.namespace, budget);
            let Some(workload) = selected
                .iter()
                .find(|workload| *workload.object.id() == touched.id)
                .filter(|_| !in_set)
            else {
                continue;
            };
            if let Some(why) = never(case.objects, budget, &selected) {
                found.push(Finding::of(
                    PreflightRule::DisruptionBudget,
                    workload.object,
                    format!("PodDisruptionBudget {name}: {why}: no node can be drained"),
                    "raise replicas, or let the budget allow one pod to go",
                ));
            }
        }
    }
    found
}

/// Returns the workloads of the set whose pods a budget selects.
fn selected<'a>(objects: &'a [Object], namespace: &str, budget: &Value) -> Vec<Workload<'a>> {
    let Some(selector) = budget.pointer("/spec/selector") else {
        return Vec::new();
    };
    workloads(objects)
        .filter(|workload| {
            workload.namespace() == namespace
                && !workload.ends()
                && workload.is_selected(selector) == Some(true)
        })
        .collect()
}

/// Says why a budget lets no pod go; None where it lets one go, or where we cannot tell.
fn never(objects: &[Object], budget: &Value, selected: &[Workload<'_>]) -> Option<String> {
    let most = budget.pointer("/spec/maxUnavailable");
    let least = budget.pointer("/spec/minAvailable");
    if let Some(most) = most.filter(|most| share(most, 100, true) == Some(0)) {
        return Some(format!("maxUnavailable is {most}"));
    }
    let least = least?;
    if least.as_str() == Some("100%") {
        return Some("minAvailable is 100%".to_owned());
    }
    let mut replicas = 0;
    for workload in selected {
        let scaled = autoscalers(objects)
            .filter(|scaler| scaler.id().namespace == workload.namespace())
            .find(|scaler| scales(scaler.value(), workload));
        replicas += match scaled {
            // An autoscaler may have more; what it keeps at most is what counts.
            Some(scaler) => scaler.value().pointer("/spec/maxReplicas")?.as_u64()?,
            None if workload.has_replicas() => workload.stated_replicas().unwrap_or(1),
            None => return None,
        };
    }
    let wanted = share(least, replicas, true)?;
    (replicas > 0 && wanted >= replicas).then(|| {
        format!(
            "minAvailable is {}, and there {}",
            text(budget, "/spec/minAvailable").map_or_else(|| least.to_string(), str::to_owned),
            if replicas == 1 {
                "is 1 replica".to_owned()
            } else {
                format!("are {replicas} replicas")
            }
        )
    })
}

/// Finds deadlines that end before the pods' own probes can say ready.
pub(super) fn deadlines(case: Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in workloads(case.objects).filter(|workload| !workload.ends()) {
        let Some((container, seconds)) = workload
            .containers()
            .map(|container| (container, until_ready(container)))
            .max_by_key(|(_, seconds)| *seconds)
            .filter(|(_, seconds)| *seconds > 0)
        else {
            continue;
        };
        let value = workload.object.value();
        let needed = seconds.saturating_add(number(value, "/spec/minReadySeconds", 0));
        let own = number(value, "/spec/progressDeadlineSeconds", 600);
        let (name, given) = if workload.is("apps", "Deployment") && own < case.timeout.as_secs() {
            ("progressDeadlineSeconds".to_owned(), own)
        } else {
            (
                format!(
                    "health.timeout of the Application ({})",
                    duration(case.timeout)
                ),
                case.timeout.as_secs(),
            )
        };
        if given < needed {
            found.push(Finding::of(
                PreflightRule::ProgressDeadline,
                workload.object,
                format!(
                    "the probes of container {} give it {needed} s to become ready, and {name} ends after {given} s",
                    text(container, "/name").unwrap_or_default()
                ),
                "give more time, or let the probes decide sooner",
            ));
        }
    }
    found
}

/// Returns how many seconds the probes of a container give it at least until it can be ready.
///
/// A startup probe lets it take its whole number of failures; of a readiness probe its delay and its successes count.
fn until_ready(container: &Value) -> u64 {
    let rounds = |probe: &Value, count: u64| {
        let period = number(probe, "/periodSeconds", 10);
        number(probe, "/initialDelaySeconds", 0).saturating_add(period.saturating_mul(count))
    };
    let probe = |name: &str| container.get(name).filter(|probe| probe.is_object());
    let startup = probe("startupProbe").map_or(0, |probe| {
        rounds(probe, number(probe, "/failureThreshold", 3))
    });
    let ready = probe("readinessProbe").map_or(0, |probe| {
        rounds(
            probe,
            number(probe, "/successThreshold", 1).saturating_sub(1),
        )
    });
    startup.max(ready)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::preflight::check::tests::{case, facts, object, touched};

    fn web(replicas: u64, container: &Value) -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": replicas, "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}}, "spec": {"containers": [container]},
            }},
        }))
    }

    fn service(selector: &Value) -> Object {
        object(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "shop"},
            "spec": {"selector": selector},
        }))
    }

    fn budget(spec: &Value) -> Object {
        object(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
            "spec": spec,
        }))
    }

    #[test]
    fn pods_behind_a_service_need_a_readiness_probe() {
        let bare = json!({"name": "web"});
        let found = unprobed(&[web(1, &bare), service(&json!({"app": "web"}))]);
        assert_eq!(
            found[0].to_string(),
            "readinessProbe: Deployment/shop/web (deploy/all.yaml:7): Service/shop/front sends requests to its pods, and no container has a readinessProbe: a pod counts as ready when it is started; add a readinessProbe"
        );
        let probed = json!({"name": "web", "readinessProbe": {"tcpSocket": {"port": 80}}});
        assert_eq!(
            unprobed(&[web(1, &probed), service(&json!({"app": "web"}))]),
            []
        );
        assert_eq!(
            unprobed(&[web(1, &bare), service(&json!({"app": "db"}))]),
            []
        );
        assert_eq!(unprobed(&[web(1, &bare), service(&Value::Null)]), []);
        assert_eq!(unprobed(&[web(1, &bare)]), []);
    }

    #[test]
    fn a_budget_that_lets_no_pod_go_is_found() {
        let bare = json!({"name": "web"});
        let facts = facts();
        let said = |replicas: u64, spec: Value| {
            let objects = [web(replicas, &bare), budget(&spec)];
            budgets(case(&objects, &[], &facts))
                .first()
                .map(|finding| finding.message.clone())
        };
        let selector = json!({"matchLabels": {"app": "web"}});
        for (replicas, spec, why) in [
            (
                2,
                json!({"selector": selector, "minAvailable": 2}),
                "minAvailable is 2, and there are 2 replicas",
            ),
            (
                1,
                json!({"selector": selector, "minAvailable": "50%"}),
                "minAvailable is 50%, and there is 1 replica",
            ),
            (
                9,
                json!({"selector": selector, "minAvailable": "100%"}),
                "minAvailable is 100%",
            ),
            (
                9,
                json!({"selector": selector, "maxUnavailable": 0}),
                "maxUnavailable is 0",
            ),
            (
                9,
                json!({"maxUnavailable": "0%"}),
                "maxUnavailable is \"0%\"",
            ),
        ] {
            assert_eq!(
                said(replicas, spec),
                Some(format!("{why}: no node can be drained"))
            );
        }
        for (replicas, spec) in [
            (3, json!({"selector": selector, "minAvailable": 2})),
            (1, json!({"selector": selector, "maxUnavailable": "1%"})),
            (0, json!({"selector": selector, "minAvailable": 1})),
            (
                1,
                json!({"selector": {"matchLabels": {"app": "db"}}, "minAvailable": 1}),
            ),
            (
                1,
                json!({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]}, "minAvailable": 1}),
            ),
            (
                1,
                json!({"selector": {"matchExpressions": [{"key": "tier", "operator": "Like"}]}, "minAvailable": 1}),
            ),
        ] {
            assert_eq!(said(replicas, spec), None);
        }
    }

    #[test]
    fn a_budget_of_the_cluster_counts_for_what_is_scaled_now() {
        let objects = [web(1, &json!({"name": "web"}))];
        let mut facts = facts();
        let live = json!({
            "metadata": {"name": "guard"},
            "spec": {"minAvailable": 1, "selector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}]}},
        });
        facts.budgets.insert("shop".into(), vec![live]);
        let mut changed = [touched(&objects[0], true)];
        assert_eq!(budgets(case(&objects, &changed, &facts)), []);
        changed[0].scale = Scale::From(3);
        assert_eq!(
            budgets(case(&objects, &changed, &facts))[0].message,
            "PodDisruptionBudget guard: minAvailable is 1, and there is 1 replica: no node can be drained"
        );
    }

    #[test]
    fn an_autoscaler_says_how_many_there_can_be() {
        let scaler = object(json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        }));
        let least =
            budget(&json!({"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1}));
        let objects = [web(1, &json!({"name": "web"})), least, scaler];
        assert_eq!(budgets(case(&objects, &[], &facts())), []);
    }

    #[test]
    fn a_deadline_shorter_than_the_probes_is_found() {
        let facts = facts();
        let said = |container: Value, timeout: u64, own: Option<u64>| {
            let mut object = web(1, &container);
            object.edit(|value| {
                value["spec"]["minReadySeconds"] = json!(5);
                if let Some(own) = own {
                    value["spec"]["progressDeadlineSeconds"] = json!(own);
                }
            });
            let objects = [object];
            let case = Case {
                timeout: Duration::from_secs(timeout),
                ..case(&objects, &[], &facts)
            };
            deadlines(case).first().map(|found| found.message.clone())
        };
        let slow = json!({"name": "web", "startupProbe": {"initialDelaySeconds": 10, "periodSeconds": 10, "failureThreshold": 60}});
        assert_eq!(
            said(slow.clone(), 300, None).unwrap(),
            "the probes of container web give it 615 s to become ready, and health.timeout of the Application (5m) ends after 300 s"
        );
        assert_eq!(
            said(slow.clone(), 1200, Some(100)).unwrap(),
            "the probes of container web give it 615 s to become ready, and progressDeadlineSeconds ends after 100 s"
        );
        assert_eq!(said(slow, 1200, Some(900)), None);
        let late = json!({"name": "web", "readinessProbe": {"initialDelaySeconds": 400}});
        assert!(said(late, 300, None).unwrap().contains("405 s"));
        let usual =
            json!({"name": "web", "readinessProbe": {"failureThreshold": 90, "periodSeconds": 10}});
        assert_eq!(said(usual, 300, None), None);
        assert_eq!(said(json!({"name": "web"}), 1, Some(1)), None);
    }
}
