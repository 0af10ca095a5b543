//! `PersistentVolumeClaims` and `PersistentVolumes`.
//!
//! Enters: the object, and whether a pod of the view mounts it.
//! Leaves: Ready when bound. A claim that no pod mounts is not waited for: most storage binds with its first consumer.
//! Never: a wait of a claim and its consumer for each other.

use crate::api::Class;

use super::super::{aggregate::Health, case::Case, fields};

pub(super) fn claim(case: &mut Case<'_>) -> Health {
    let live = case.live;
    match fields::text_at(live, &["status", "phase"]) {
        Some("Bound") => Health::Ready,
        Some("Lost") => case.told(Class::Environment, "its volume is lost"),
        _ if case.index.is_claimed(&case.id.namespace, &case.id.name) => {
            case.waits_for(Class::Environment, "no volume is bound to it yet")
        }
        _ => Health::unjudged(case.say("waits for its first consumer")),
    }
}

pub(super) fn volume(case: &mut Case<'_>) -> Health {
    match fields::text_at(case.live, &["status", "phase"]) {
        Some("Available" | "Bound" | "Released") => Health::Ready,
        Some("Failed") => {
            let words = fields::text_at(case.live, &["status", "message"]).unwrap_or_default();
            let words = format!("its volume failed: {}", fields::quote(words));
            case.told(Class::Environment, &words)
        }
        _ => case.waits_for(Class::Environment, "its volume is not there yet"),
    }
}
