//! The table: which rule judges which kind.
//!
//! Enters: a case.
//! Leaves: its health by the rule of its kind: a CEL rule of the Application first, then ours, then conditions.
//! Never: Ready for a kind that nothing is known of.

use std::sync::LazyLock;

use crate::model::Now;

use super::{
    aggregate::Health,
    assess::Member,
    case::{Case, Look},
    rules::Rules,
    sightings::Memory,
};

mod custom;
mod daemon_set;
mod deployment;
mod extension;
mod gateway;
mod job;
mod namespace;
mod networking;
mod pod;
mod replica_set;
mod scaling;
mod stateful_set;
mod storage;

/// A rule: total over any JSON.
type Rule = fn(&mut Case<'_>) -> Health;

/// Rules by group and kind.
const TABLE: &[(&str, &str, Rule)] = &[
    ("", "Namespace", namespace::namespace),
    ("", "PersistentVolume", storage::volume),
    ("", "PersistentVolumeClaim", storage::claim),
    ("", "Pod", pod::pod),
    ("", "ReplicationController", replica_set::replica_set),
    ("", "ResourceQuota", namespace::quota),
    ("", "Service", networking::service),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        extension::webhooks,
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        extension::webhooks,
    ),
    (
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        extension::definition,
    ),
    ("apiregistration.k8s.io", "APIService", extension::service),
    ("apps", "DaemonSet", daemon_set::daemon_set),
    ("apps", "Deployment", deployment::deployment),
    ("apps", "ReplicaSet", replica_set::replica_set),
    ("apps", "StatefulSet", stateful_set::stateful_set),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        scaling::autoscaler,
    ),
    ("batch", "Job", job::job),
    ("gateway.networking.k8s.io", "GRPCRoute", gateway::route),
    ("gateway.networking.k8s.io", "Gateway", gateway::gateway),
    ("gateway.networking.k8s.io", "GatewayClass", gateway::class),
    ("gateway.networking.k8s.io", "HTTPRoute", gateway::route),
    ("gateway.networking.k8s.io", "TCPRoute", gateway::route),
    ("gateway.networking.k8s.io", "TLSRoute", gateway::route),
    ("gateway.networking.k8s.io", "UDPRoute", gateway::route),
    ("networking.k8s.io", "Ingress", networking::ingress),
    ("policy", "PodDisruptionBudget", scaling::budget),
];

/// Groups of Kubernetes itself. Their kinds without a rule above hold data or rights: they are Ready when they exist.
const BUILT_IN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// The table, in the order that a search needs.
static SORTED: LazyLock<Vec<&'static (&'static str, &'static str, Rule)>> = LazyLock::new(|| {
    let mut table: Vec<_> = TABLE.iter().collect();
    table.sort_by_key(|(group, kind, _)| (*group, *kind));
    table
});

fn rule(group: &str, kind: &str) -> Option<Rule> {
    SORTED
        .binary_search_by_key(&(group, kind), |(group, kind, _)| (*group, *kind))
        .ok()
        .and_then(|place| SORTED.get(place))
        .map(|(_, _, rule)| *rule)
}

/// Judges an object that is there.
pub(super) fn judge(case: &mut Case<'_>) -> Health {
    if let Some(health) = custom::by_expression(case) {
        return health;
    }
    match rule(&case.id.group, &case.id.kind) {
        Some(rule) => rule(case),
        None if BUILT_IN.contains(&case.id.group.as_str()) => Health::Ready,
        None => custom::by_conditions(case),
    }
}

/// Judges an object that the watch does not have: on its way, unless it is a Job that was done.
pub(super) fn absent(
    member: &Member<'_>,
    rules: &Rules,
    memory: &mut Memory,
    now: Now,
    look: &mut Look,
) -> Health {
    if member.id.is("batch", "Job") {
        job::absent(member, rules, memory, now, look)
    } else {
        memory.missing(member.id)
    }
}

/// Returns every kind with a rule of its own, for tests and documentation.
#[cfg(test)]
pub(super) fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|(group, kind, _)| (*group, *kind))
}
