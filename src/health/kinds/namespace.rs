//! Namespaces and what the control plane keeps in them.
//!
//! Enters: the object.
//! Leaves: Ready when the control plane took it up.
//! Never: Ready for a namespace that goes.

use serde_json::Value;

use crate::api::Class;

use super::super::{aggregate::Health, case::Case, fields};

pub(super) fn namespace(case: &mut Case<'_>) -> Health {
    match fields::text_at(case.live, &["status", "phase"]) {
        Some("Active") => Health::Ready,
        Some("Terminating") => case.waits_for(Class::Environment, "it is being deleted"),
        _ => case.waits("not active yet"),
    }
}

pub(super) fn quota(case: &mut Case<'_>) -> Health {
    let keys = |path: &[&str]| {
        fields::at(case.live, path)
            .and_then(Value::as_object)
            .map(|limits| {
                limits
                    .keys()
                    .cloned()
                    .collect::<std::collections::BTreeSet<_>>()
            })
            .unwrap_or_default()
    };
    // Values are compared as text nowhere: `1` and `1000m` are the same.
    if keys(&["spec", "hard"]) == keys(&["status", "hard"]) {
        Health::Ready
    } else {
        case.waits("its limits are not in force yet")
    }
}
