//! A plan as text.
//!
//! Enters: the plan that the controller would make.
//! Leaves: one block an object: what happens and which fields.
//! Never: a value of a Secret; the plan has none.

use crate::{
    model::text,
    plan::{Action, Change, Plan},
};

/// Returns the plan for people.
pub(in crate::cli) fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    for change in plan.changes() {
        out.push_str(&block(change));
    }
    for refusal in plan.refused() {
        out.push_str(&format!("! {refusal}\n"));
    }
    let changed = plan.changes().count();
    let created = plan
        .changes()
        .filter(|change| change.action == Action::Create)
        .count();
    out.push_str(&format!(
        "{} to create, {} to change, {} refused, {} unchanged\n",
        created,
        changed - created,
        plan.refused().len(),
        text::plural(plan.unchanged(), "object"),
    ));
    out
}

fn block(change: &Change) -> String {
    let sign = match change.action {
        Action::Create => '+',
        Action::Recreate => '!',
        Action::Update | Action::Adopt | Action::Repair | Action::Deferred => '~',
    };
    let place = change
        .object
        .location
        .as_ref()
        .map_or_else(String::new, |location| format!("  ({location})"));
    let mut out = format!(
        "{sign} {} {}{place}\n",
        change.action.as_str(),
        change.object.id()
    );
    for field in &change.fields {
        match (&field.from, &field.to) {
            (Some(from), Some(to)) => {
                out.push_str(&format!("    {}: {from} -> {to}\n", field.path));
            }
            (None, Some(to)) => out.push_str(&format!("    {}: {to} (new)\n", field.path)),
            (Some(from), None) => out.push_str(&format!("    {}: {from} (removed)\n", field.path)),
            (None, None) => {}
        }
    }
    for warning in &change.warnings {
        out.push_str(&format!("    warning: {warning}\n"));
    }
    out
}
