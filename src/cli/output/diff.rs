//! A plan as text.
//!
//! Enters: the plans that the controller would make, of what is written and of what is deleted.
//! Leaves: one block an object: what happens and which fields.
//! Never: a value of a Secret; the plan has none.

use crate::{
    model::text,
    plan::{Action, Change, Plan, PrunePlan, Verdict},
    preflight::Findings,
};

/// Returns the plans for people. `prunes` says whether the Application deletes at all.
pub(in crate::cli) fn plan(
    plan: &Plan,
    findings: &Findings,
    prune: &PrunePlan,
    prunes: bool,
) -> String {
    let mut out = String::new();
    for change in plan.changes() {
        out.push_str(&block(change));
    }
    let word = if prunes {
        "- delete"
    } else {
        "  left alone, for prune is off:"
    };
    for doomed in prune.deletes() {
        out.push_str(&format!("{word} {}\n", doomed.id));
    }
    for (id, why) in prune.kept() {
        out.push_str(&format!("  keep {id}: it {why}\n"));
    }
    for refusal in plan.refused() {
        out.push_str(&format!("! {refusal}\n"));
    }
    for finding in findings.refused() {
        out.push_str(&format!("! {finding}\n"));
    }
    for finding in findings.told() {
        out.push_str(&format!("? {finding}\n"));
    }
    let changed = plan.changes().count();
    let created = plan
        .changes()
        .filter(|change| change.action == Action::Create)
        .count();
    out.push_str(&format!(
        "{} to create, {} to change, {} to delete, {} refused, {} unchanged\n",
        created,
        changed - created,
        if prunes { prune.deletes().len() } else { 0 },
        plan.refused().len(),
        text::plural(plan.unchanged(), "object"),
    ));
    if let Verdict::NeedsApproval { why } = prune.verdict()
        && prunes
    {
        out.push_str(&format!(
            "PruneLimit: {why}; nothing is deleted until plan {} is approved\n",
            prune.hash().short()
        ));
    }
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
        .location()
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
    out
}
