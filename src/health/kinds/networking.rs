//! Services and Ingresses.
//!
//! Enters: the object.
//! Leaves: Ready when what was asked of a load balancer has an address.
//! Never: endpoints; the pods behind are judged with their workloads.

use serde_json::Value;

use crate::api::Class;

use super::super::{aggregate::Health, case::Case, fields};

pub(super) fn service(case: &mut Case<'_>) -> Health {
    let live = case.live;
    if fields::text_at(live, &["spec", "type"]) != Some("LoadBalancer") || has_address(live) {
        return Health::Ready;
    }
    case.waits_for(Class::Environment, "its load balancer has no address yet")
}

pub(super) fn ingress(case: &mut Case<'_>) -> Health {
    if has_address(case.live) {
        Health::Ready
    } else {
        // Many controllers serve an Ingress without ever writing its address: a wait for one says nothing, and holds
        // up every Application that has one.
        Health::unjudged(case.say("no controller has written an address"))
    }
}

fn has_address(live: &Value) -> bool {
    fields::items(live, &["status", "loadBalancer", "ingress"])
        .iter()
        .any(|point| {
            ["ip", "hostname"]
                .into_iter()
                .any(|key| fields::text_at(point, &[key]).is_some_and(|text| !text.is_empty()))
        })
}
