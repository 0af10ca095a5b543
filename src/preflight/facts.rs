//! Facts of the cluster that rules need, and which those are.
//!
//! Enters: the set, and what is to be written of it.
//! Leaves: `Wants` for who reads, `Facts` for the rules.
//! Never: a fact that was not read: a namespace that could not be listed is not in the map.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    capacity,
    reference::references,
    workload::{Workload, workloads},
};
use crate::{
    api::{PreflightMode, PreflightRule, PreflightSpec},
    model::{Object, ObjectId},
};

/// What becomes of the replicas of an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// They stay.
    Same,
    /// They change from this number.
    From(u64),
    /// They were not stated before.
    FirstStated,
}

/// An object that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The object.
    pub id: ObjectId,
    /// Whether it is there already.
    pub existed: bool,
    /// Whether its pods are replaced.
    pub rolls: bool,
    /// What becomes of its replicas.
    pub scale: Scale,
    /// What the API server warned of.
    pub warnings: Vec<String>,
}

/// What the rules want to know of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Namespaces whose ResourceQuotas count.
    pub quotas: BTreeSet<String>,
    /// Namespaces whose PodDisruptionBudgets count.
    pub budgets: BTreeSet<String>,
    /// Namespaces whose HorizontalPodAutoscalers count.
    pub autoscalers: BTreeSet<String>,
    /// Objects that the set names and does not hold.
    pub references: BTreeSet<ObjectId>,
}

/// What is known of the cluster. What could not be read is not there.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// ResourceQuotas by namespace.
    pub quotas: BTreeMap<String, Vec<Value>>,
    /// PodDisruptionBudgets by namespace.
    pub budgets: BTreeMap<String, Vec<Value>>,
    /// HorizontalPodAutoscalers by namespace.
    pub autoscalers: BTreeMap<String, Vec<Value>>,
    /// Objects of which the API server said that they do not exist.
    pub absent: BTreeSet<ObjectId>,
}

/// Returns what must be read for the objects that are to be written. Nothing, where they make no pods: quotas only
/// where there will be more pods than before, budgets and autoscalers only where replicas change, or refuse a new set.
pub fn wants(objects: &[Object], touched: &[Touched], spec: &PreflightSpec) -> Wants {
    let on = |rule: PreflightRule| spec.mode(rule) != PreflightMode::Off;
    let mut wants = Wants::default();
    let held: BTreeSet<&ObjectId> = objects.iter().map(Object::id).collect();
    for (workload, touched) in touched_workloads(objects, touched) {
        let namespace = workload.namespace().to_owned();
        if on(PreflightRule::QuotaHeadroom) && capacity::needs_room(&workload, touched) {
            wants.quotas.insert(namespace.clone());
        }
        // That a budget or an autoscaler waits for what is not there yet is rare: not asked where it is only told.
        let scaled = |rule: PreflightRule| {
            let refuses = spec.mode(rule) == PreflightMode::Enforce;
            let is_other = touched.existed && touched.scale != Scale::Same;
            on(rule) && workload.has_replicas() && (is_other || !touched.existed && refuses)
        };
        if scaled(PreflightRule::DisruptionBudget) {
            wants.budgets.insert(namespace.clone());
        }
        if workload.stated_replicas().is_some() && scaled(PreflightRule::AutoscaledReplicas) {
            wants.autoscalers.insert(namespace);
        }
        if on(PreflightRule::MissingReference) {
            wants.references.extend(
                references(&workload)
                    .into_iter()
                    .map(|reference| reference.id)
                    .filter(|id| !held.contains(id)),
            );
        }
    }
    wants
}

/// Returns the workloads that are to be written.
pub(super) fn touched_workloads<'a>(
    objects: &'a [Object],
    touched: &'a [Touched],
) -> impl Iterator<Item = (Workload<'a>, &'a Touched)> {
    let touched: BTreeMap<&ObjectId, &Touched> = touched
        .iter()
        .map(|touched| (&touched.id, touched))
        .collect();
    workloads(objects).filter_map(move |workload| {
        let touched = touched.get(workload.object.id()).copied()?;
        Some((workload, touched))
    })
}
