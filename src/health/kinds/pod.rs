//! Pods that git names itself.
//!
//! Enters: the pod.
//! Leaves: Ready when it is Ready, or when it ran to its end.
//! Never: Ready for a pod that failed.

use crate::api::{Class, Reason};

use super::super::{
    aggregate::Health,
    case::Case,
    fields,
    pods::{self, Restarts},
};

pub(super) fn pod(case: &mut Case<'_>) -> Health {
    let live = case.live;
    let phase = fields::text_at(live, &["status", "phase"]).unwrap_or_default();
    let words = || {
        let reason = fields::text_at(live, &["status", "reason"]).unwrap_or(phase);
        let message = fields::text_at(live, &["status", "message"]).unwrap_or_default();
        fields::quote(&format!("{reason} {message}"))
    };
    match phase {
        "Succeeded" => return Health::Ready,
        "Failed" if pods::is_displaced(live) => {
            // Nothing makes a bare pod again; that its node let it go is still not the change's fault.
            let message = case.say(&words());
            return Health::failed(Reason::ObjectFailed, Class::Environment, message);
        }
        "Failed" => {
            let message = case.say(&words());
            return Health::failed(Reason::ObjectFailed, Class::Change, message);
        }
        "Unknown" => return case.waits_for(Class::Environment, "its node does not answer"),
        _ => {}
    }
    let uid = fields::uid(live).unwrap_or_default();
    if let Some(finding) = pods::examine(case, uid, &[live], Restarts::Count, None) {
        return finding.health(case);
    }
    if pods::is_ready(live) {
        Health::Ready
    } else {
        case.waits(if phase == "Running" {
            "it runs and is not ready yet"
        } else {
            "it does not run yet"
        })
    }
}
