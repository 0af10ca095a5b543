//! Custom resources: by CEL where the Application has a rule, else by conditions.
//!
//! Enters: an object of any kind.
//! Leaves: its health; without a rule and without conditions it is not assessed.
//! Never: Ready because nothing is said.

use crate::api::Class;

use super::super::{
    aggregate::Health,
    case::Case,
    expr::{Answer, Expression},
    fields::{self, Condition},
    rules::{Part, Rule},
};

/// Judges by the Application's own rule; None where it has none for the kind.
pub(super) fn by_expression(case: &mut Case<'_>) -> Option<Health> {
    let version = fields::text_at(case.live, &["apiVersion"]).unwrap_or_default();
    let rules = case.rules;
    let rule = rules.expression(&case.id.group_kind(), version)?;
    if case.is_behind() {
        return Some(case.unobserved());
    }
    let ask = |case: &Case<'_>, part: Part, expression: &Expression| match expression
        .evaluate(case.live)
    {
        Answer::Broken(why) => Err(case.waits_for(
            Class::Change,
            &format!(
                "spec.health.exprs: {part} cannot be evaluated: {}",
                fields::quote(&why)
            ),
        )),
        answer @ (Answer::Yes | Answer::No | Answer::NotYet) => Ok(answer),
    };
    Some(match expression_health(case, rule, ask) {
        Ok(health) | Err(health) => health,
    })
}

fn expression_health(
    case: &mut Case<'_>,
    rule: &Rule,
    ask: impl Fn(&Case<'_>, Part, &Expression) -> Result<Answer, Health>,
) -> Result<Health, Health> {
    if let Some(in_progress) = &rule.in_progress {
        match ask(case, Part::InProgress, in_progress)? {
            Answer::Yes => return Ok(case.waits("its rule inProgress holds")),
            // As in Flux: what cannot be told yet is in progress.
            Answer::NotYet => {
                return Ok(case.waits("its rule inProgress reads a field that is not there yet"));
            }
            Answer::No | Answer::Broken(_) => {}
        }
    }
    if let Some(failed) = &rule.failed {
        // A field that only a failure writes is missing as long as nothing failed.
        if ask(case, Part::Failed, failed)? == Answer::Yes {
            let words = match fields::condition(case.live, "Ready") {
                Some(ready) => format!("its rule failed holds: {}", ready.words()),
                None => "its rule failed holds".to_owned(),
            };
            return Ok(case.told(Class::Change, &words));
        }
    }
    Ok(match ask(case, Part::Current, &rule.current)? {
        Answer::Yes => Health::Ready,
        Answer::NotYet => case.waits("its rule current reads a field that is not there yet"),
        Answer::No | Answer::Broken(_) => case.waits("its rule current does not hold yet"),
    })
}

/// Judges by the conditions that kstatus knows, and by those that many controllers write instead.
pub(super) fn by_conditions(case: &mut Case<'_>) -> Health {
    if case.is_behind() {
        return case.unobserved();
    }
    let live = case.live;
    let generation = fields::integer(live, &["metadata", "generation"]);
    let current = |kind| {
        fields::condition(live, kind).filter(|condition| !condition.is_older_than(generation))
    };
    for kind in ["Stalled", "Failed"] {
        if let Some(failed) = current(kind).filter(Condition::is_true) {
            let words = format!("{kind}: {}", failed.words());
            return case.told(Class::Change, &words);
        }
    }
    if let Some(busy) = current("Reconciling").filter(Condition::is_true) {
        return case.waits(&format!("Reconciling: {}", busy.words()));
    }
    for kind in ["Ready", "Available", "Healthy", "Succeeded", "Complete"] {
        let Some(condition) = fields::condition(live, kind) else {
            continue;
        };
        if condition.is_older_than(generation) {
            return case.unobserved();
        }
        return match condition.status {
            "True" => Health::Ready,
            // Ready=False is what a controller says both before it succeeds and when it never will; only the
            // deadline can tell. The words are kept for its message.
            _ => case.waits(&format!("not {kind}: {}", condition.words())),
        };
    }
    // Silence of a controller that has not come to it yet must not pass for health.
    if case.is_settled() {
        Health::unjudged(case.say(
            "no rule: it has neither a condition that says whether it is ready nor an entry in spec.health.exprs",
        ))
    } else {
        case.waits("its controller has said nothing yet")
    }
}
