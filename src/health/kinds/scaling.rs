//! Autoscalers and disruption budgets.
//!
//! Enters: the object.
//! Leaves: Ready when its controller can work with it.
//! Never: a wait for load, for metrics or for pods: those say nothing of the set.

use crate::api::Class;

use super::super::{
    aggregate::Health,
    case::Case,
    fields::{self, Condition},
};

pub(super) fn autoscaler(case: &mut Case<'_>) -> Health {
    let live = case.live;
    if let Some(able) = fields::condition(live, "AbleToScale").filter(Condition::is_false) {
        return case.waits_for(Class::Change, &format!("it cannot scale: {}", able.words()));
    }
    match fields::condition(live, "ScalingActive").filter(Condition::is_false) {
        None => Health::Ready,
        // Somebody set the target to zero.
        Some(active) if active.reason == "ScalingDisabled" => Health::Ready,
        Some(active)
            if matches!(
                active.reason,
                "InvalidSelector" | "InvalidMetricSourceType" | "AmbiguousSelector"
            ) =>
        {
            case.waits_for(
                Class::Change,
                &format!("it does not scale: {}", active.words()),
            )
        }
        // Metrics come late and go with their server; the workload is judged by itself.
        Some(active) => {
            Health::unjudged(case.say(&format!("it has no metrics: {}", active.words())))
        }
    }
}

pub(super) fn budget(case: &mut Case<'_>) -> Health {
    if case.is_behind() {
        return case.unobserved_by_kubernetes();
    }
    match fields::condition(case.live, "DisruptionAllowed") {
        Some(allowed) if allowed.is_false() && allowed.reason == "SyncFailed" => case.waits_for(
            Class::Change,
            &format!("it cannot be kept: {}", allowed.words()),
        ),
        Some(_) | None => Health::Ready,
    }
}
