//! Gateway API.
//!
//! Enters: the object.
//! Leaves: Ready when its controller accepted it, for every parent and every listener.
//! Never: a failure: routes, gateways and classes come in any order, so a refusal may be past in a second.

use serde_json::Value;

use crate::api::Class;

use super::super::{
    aggregate::Health,
    case::Case,
    fields::{self, Condition},
};

pub(super) fn class(case: &mut Case<'_>) -> Health {
    let accepted = fields::condition(case.live, "Accepted");
    judged(case, &[("Accepted", accepted)])
}

pub(super) fn gateway(case: &mut Case<'_>) -> Health {
    let live = case.live;
    let mut wanted = vec![
        ("Accepted", fields::condition(live, "Accepted")),
        ("Programmed", fields::condition(live, "Programmed")),
    ];
    for listener in fields::items(live, &["status", "listeners"]) {
        for kind in ["Accepted", "ResolvedRefs", "Programmed"] {
            // A listener need not have all of them.
            if let Some(condition) = fields::condition_at(listener, &["conditions"], kind) {
                wanted.push((kind, Some(condition)));
            }
        }
    }
    judged(case, &wanted)
}

pub(super) fn route(case: &mut Case<'_>) -> Health {
    let live = case.live;
    let told = fields::items(live, &["status", "parents"]);
    let asked = fields::items(live, &["spec", "parentRefs"]);
    let mut wanted = Vec::new();
    for parent in told.iter().filter(|parent| {
        // Parents that the spec no longer names are left over.
        asked.is_empty() || asked.iter().any(|asked| is_same(asked, parent))
    }) {
        wanted.push((
            "Accepted",
            fields::condition_at(parent, &["conditions"], "Accepted"),
        ));
        if let Some(resolved) = fields::condition_at(parent, &["conditions"], "ResolvedRefs") {
            wanted.push(("ResolvedRefs", Some(resolved)));
        }
    }
    let answered = asked
        .iter()
        .all(|asked| told.iter().any(|parent| is_same(asked, parent)));
    if !answered || wanted.is_empty() {
        return case.waits_for(Class::Environment, "not every gateway has answered yet");
    }
    judged(case, &wanted)
}

/// Says whether a status speaks of this parent.
fn is_same(asked: &Value, told: &Value) -> bool {
    let Some(told) = told.get("parentRef") else {
        return false;
    };
    ["name", "sectionName"]
        .into_iter()
        .all(|key| fields::text_at(asked, &[key]) == fields::text_at(told, &[key]))
}

fn judged(case: &Case<'_>, wanted: &[(&str, Option<Condition<'_>>)]) -> Health {
    let generation = fields::integer(case.live, &["metadata", "generation"]);
    for (kind, condition) in wanted {
        match condition {
            Some(condition) if condition.is_older_than(generation) => return case.unobserved(),
            Some(condition) if condition.is_true() => {}
            Some(condition) if condition.is_false() => {
                return case
                    .waits_for(Class::Change, &format!("not {kind}: {}", condition.words()));
            }
            Some(_) | None => {
                return case.waits_for(
                    Class::Environment,
                    &format!("its controller has not said whether it is {kind}"),
                );
            }
        }
    }
    Health::Ready
}
