//! What extends the API server: definitions, API services, webhooks.
//!
//! Enters: the object.
//! Leaves: Ready when the API server serves it.
//! Never: a call to it.

use crate::api::Class;

use super::super::{
    aggregate::Health,
    case::Case,
    fields::{self, Condition},
};

/// Annotations by which cert-manager is asked for a certificate authority.
const INJECTED: &[&str] = &[
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
];

pub(super) fn definition(case: &mut Case<'_>) -> Health {
    let live = case.live;
    if let Some(names) = fields::condition(live, "NamesAccepted").filter(Condition::is_false) {
        let words = format!("its names are taken: {}", names.words());
        return case.told(Class::Change, &words);
    }
    match fields::condition(live, "Established") {
        Some(established) if established.is_true() => Health::Ready,
        Some(established) if established.is_false() && established.reason != "Installing" => {
            case.waits(&format!("not established: {}", established.words()))
        }
        Some(_) | None => case.waits("not established yet"),
    }
}

pub(super) fn service(case: &mut Case<'_>) -> Health {
    match fields::condition(case.live, "Available") {
        Some(available) if available.is_true() => Health::Ready,
        // What serves it may be a Deployment of the same set, which is judged by itself.
        Some(available) => case.waits(&format!("not available: {}", available.words())),
        None => case.waits("not available yet"),
    }
}

pub(super) fn webhooks(case: &mut Case<'_>) -> Health {
    let live = case.live;
    let injected = INJECTED
        .iter()
        .any(|key| fields::annotation(live, key).is_some());
    let lacks = fields::items(live, &["webhooks"]).iter().any(|webhook| {
        fields::text_at(webhook, &["clientConfig", "caBundle"]).is_none_or(str::is_empty)
    });
    if injected && lacks {
        // Until then the API server cannot call it, and what it guards is refused. Whoever injects it is not of this set.
        case.waits_for(
            Class::Environment,
            "its certificate authority is not injected yet",
        )
    } else {
        Health::Ready
    }
}
