//! Drift: a live object no longer has what we gave it.
//!
//! Enters: hints of the watches.
//! Leaves: an event, after what was changed is given back; or a note where policy leaves it.
//! Never: a request for a hint that shows no difference; a write where a dry-run shows none.

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject,
    inventory::{applied, empty_head, head_of, written, yields_of},
    memory::{Notes, REPAIRS},
    observe::{Manner, observe_for},
    prepare::{claimed_by_other, refusals_failure},
    restore::is_exempt,
    watching,
    write::{GONE_AGAIN, leaving, note, ours},
};
use crate::{
    api::{DriftPolicy, SetStatus},
    apply,
    model::{AttemptKind, Head, Live, Object, ObjectId, Observed, Packed, Seen, text},
    plan::{Phase, Plan, Policy, by_contract, live_differs, phase, plan, questions, without_paths},
    rollout::{Event, State},
};

/// Time in which so many repairs are a fight with another controller, and the pause that follows.
pub(super) const FIGHT: Duration = Duration::from_secs(60);

/// Looks at what the watches hinted at, and gives back what was changed.
pub(super) async fn repair(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let compared = memory.compared == Some(subject.generation);
    if compared && memory.drifted.is_empty()
        || memory
            .drift_hold
            .is_some_and(|until| (context.clock)().monotonic < until)
    {
        return Ok(None);
    }
    let (Some(set), Some(target)) = (
        applied(context, subject, memory).await?,
        memory.rollout.applied.clone(),
    ) else {
        memory.drifted.clear();
        return Ok(None);
    };
    if matches!(memory.rollout.state, State::Watching { .. })
        && !is_replaced(context, subject, memory, &set)
    {
        return Ok(None);
    }
    memory.drift_hold = None;
    if !compared {
        memory
            .drifted
            .extend(set.iter().map(|object| object.id().clone()));
    }
    let head = head_of(context, subject, memory, target.attempt).await?;
    let Differing {
        doubtful,
        what,
        unknown,
    } = differing(context, subject, memory, &set, head.as_deref());
    memory.compared = unknown.is_empty().then_some(subject.generation);
    if subject.spec.drift == DriftPolicy::Ignore || doubtful.is_empty() {
        memory.drift_message = None;
        let hinted = std::mem::replace(&mut memory.drifted, unknown);
        return Ok(resumed(memory, &target, &hinted));
    }
    let desired: Vec<Object> = set
        .iter()
        .filter(|object| doubtful.contains(object.id()))
        .cloned()
        .collect();
    let Planned {
        plan,
        yielding,
        others,
    } = plan_repair(context, subject, memory, &desired, &set).await?;
    if subject.spec.drift == DriftPolicy::Report {
        // It is looked at again with the next hint, and until then it stays said.
        memory.drifted = unknown;
        let found = !yielding.is_empty() || !plan.is_empty() || !plan.refused().is_empty();
        memory.drift_message = found.then(|| text::list(&what, 5));
        return Ok(None);
    }
    let unchanged: Vec<&Object> = desired
        .iter()
        .filter(|object| {
            !plan
                .changes()
                .any(|change| change.object.id() == object.id())
        })
        .filter(|object| {
            !plan
                .refused()
                .iter()
                .any(|refusal| refusal.id == *object.id())
        })
        .collect();
    for object in unchanged {
        // The server's own form of a value is no drift: from now on it is what we expect.
        if let Some(live) = watching::seen(context, subject, memory, object).value() {
            memory.expected.insert(
                object.id().clone(),
                Packed::of(&ours(object.value(), &live)),
            );
        }
        memory.drifted.remove(object.id());
    }
    if plan.is_empty() && plan.refused().is_empty() {
        let hinted = std::mem::replace(&mut memory.drifted, unknown);
        memory.drift_message = None;
        return Ok(resumed(memory, &target, &hinted));
    }
    if plan.is_empty() || memory.is_fighting((context.clock)().monotonic) {
        // Nothing can be written, or it was written again and again: said, and looked at again later.
        memory.drift_message = Some(in_vain(&plan, &what, &others));
        memory.drift_hold = Some((context.clock)().monotonic + FIGHT);
        return Ok(None);
    }
    memory.drift_message = None;
    memory.repairs.push((context.clock)().monotonic);
    give_back(context, subject, memory, &target, &plan, stop).await
}

/// Says whether somebody wrote another spec over one that we have just written. Only a generation above ours tells: a
/// watch may not have seen our own write yet, and what it lacks or shows is then older.
fn is_replaced(context: &Context, subject: &Subject, memory: &Memory, set: &[Object]) -> bool {
    set.iter()
        .filter(|object| memory.drifted.contains(object.id()))
        .any(|object| {
            let ours = memory.generations.get(object.id());
            let live = watching::seen(context, subject, memory, object);
            let live = live.value();
            let there = live
                .as_ref()
                .and_then(|live| live.pointer("/metadata/generation")?.as_i64());
            ours.zip(there).is_some_and(|(ours, there)| there > *ours)
        })
}

/// Says why drift stays for now.
fn in_vain(plan: &Plan, what: &[String], others: &[String]) -> String {
    if !plan.refused().is_empty() {
        let refused: Vec<String> = plan.refused().iter().map(ToString::to_string).collect();
        return format!("cannot be given back: {}", text::list(&refused, 5));
    }
    let who = match others {
        [] => "others".to_owned(),
        others => text::list(others, 5),
    };
    format!(
        "changed again and again by {who}: {}; given back {REPAIRS} times within {}, looked at again after that",
        text::list(what, 5),
        text::duration(FIGHT)
    )
}

/// A repair that an earlier life of the controller began and carried out is recorded.
fn resumed(memory: &mut Memory, target: &SetStatus, hinted: &BTreeSet<ObjectId>) -> Option<Event> {
    let attempt = memory.drift_attempt?;
    memory.compared.as_ref()?;
    memory.drift_attempt = None;
    let what: Vec<String> = hinted.iter().map(ToString::to_string).collect();
    tracing::info!(attempt, revision = %target.revision, "a repair was carried out before the restart");
    Some(Event::Repaired {
        attempt,
        what: text::list(&what, 5),
        failure: None,
    })
}

/// Objects that were hinted at.
struct Differing {
    /// Those that differ from what we gave them.
    doubtful: BTreeSet<ObjectId>,
    /// The same, with the field, for people.
    what: Vec<String>,
    /// Those that a watch does not know yet; its listing wakes us.
    unknown: BTreeSet<ObjectId>,
}

/// Returns the hinted objects that differ from what we gave them, by a look that costs no request.
fn differing(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    set: &[Object],
    head: Option<&Head>,
) -> Differing {
    let mut doubtful = BTreeSet::new();
    let mut what = Vec::new();
    let mut unknown = BTreeSet::new();
    // What a return leaves as it is differs by design.
    let returned = matches!(memory.rollout.state, State::Failed { returned: true, .. });
    for object in set
        .iter()
        .filter(|object| memory.drifted.contains(object.id()))
        .filter(|object| !(returned && is_exempt(object)))
        // One that ran for an earlier failure is as that set had it.
        .filter(|object| phase(object) != Phase::OnFailure)
    {
        let id = object.id();
        let expected = memory.expected.get(id).and_then(Packed::value);
        let difference = match watching::seen(context, subject, memory, object) {
            Seen::Unknown => {
                unknown.insert(id.clone());
                continue;
            }
            // A Job that ran is not run again because it was tidied away.
            Seen::Absent if object.id().is("batch", "Job") => None,
            Seen::Absent => Some("is gone".to_owned()),
            Seen::Present(live) => {
                let Some(live) = live.value() else { continue };
                let expected = expected.as_ref().unwrap_or(object.value());
                match head.and_then(|head| yields_of(head, id)) {
                    // What is left to its owner is not looked at.
                    Some(paths) => live_differs(&without_paths(expected, paths), &live),
                    None => live_differs(expected, &live),
                }
            }
        };
        if let Some(path) = difference {
            what.push(format!("{id} {path}"));
            doubtful.insert(id.clone());
        }
    }
    Differing {
        doubtful,
        what,
        unknown,
    }
}

/// What would be given back.
struct Planned {
    plan: Plan,
    /// What policy leaves as it is.
    yielding: BTreeSet<ObjectId>,
    /// Managers that have fields of ours, for people.
    others: Vec<String>,
}

async fn plan_repair(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    desired: &[Object],
    set: &[Object],
) -> Result<Planned, Error> {
    let sets = written(context, subject, memory).await?;
    let manner = Manner::of(&subject.spec);
    let asked = questions(desired, None, &BTreeSet::new());
    let mut live: Live = observe_for(context, subject, &asked, set, &sets, manner).await?;
    let others: BTreeSet<String> = live
        .objects
        .values()
        .flat_map(|observed| match observed {
            Observed::Conflicting { conflicts, .. } | Observed::Yielding { conflicts, .. } => {
                conflicts.as_slice()
            }
            Observed::Unchanged
            | Observed::Accepted(_)
            | Observed::Refused(_)
            | Observed::Deferred { .. }
            | Observed::Replacing { .. } => &[],
        })
        .map(|conflict| conflict.manager.clone())
        .collect();
    // What policy leaves to others is what runs: nothing to write for it, and under `report` it is said.
    let mut yielding = BTreeSet::new();
    live.objects.retain(|id, observed| {
        let Observed::Yielding {
            force: false,
            conflicts,
            ..
        } = observed
        else {
            return true;
        };
        // What an autoscaler set is nobody's drift.
        let object = desired.iter().find(|object| object.id() == id);
        if !object.is_some_and(|object| conflicts.iter().all(|one| by_contract(object, one, set))) {
            yielding.insert(id.clone());
        }
        false
    });
    let policy = Policy {
        partial: true,
        ..subject.policy()
    };
    Ok(Planned {
        plan: plan(desired.to_vec(), None, &live, &policy),
        yielding,
        others: others.into_iter().collect(),
    })
}

async fn give_back(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    target: &SetStatus,
    plan: &Plan,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let now = (context.clock)();
    let attempt = match memory.drift_attempt {
        Some(begun) => begun,
        None => {
            let attempt = memory.rollout.attempt + 1;
            let head = Head {
                creates: plan.creates(),
                forces: plan.forces(),
                recreates: plan.recreates(),
                ..empty_head(
                    context,
                    subject,
                    attempt,
                    AttemptKind::Drift,
                    target,
                    now.wall,
                )
            };
            let claim = context.keeper.store_head(&head, None).await?;
            if let Some(error) = claimed_by_other(memory, attempt, claim) {
                return Err(error);
            }
            attempt
        }
    };
    if memory.notes.attempt != attempt {
        memory.begin_notes(Notes {
            attempt,
            began: Some(now.wall),
            ..Notes::default()
        });
    }
    let reader = subject.reader(context);
    let writer = subject.writer(context);
    let mut refusals = plan.refused().to_vec();
    let mut what = Vec::new();
    for wave in plan.waves() {
        let outcome = apply::apply(&reader, &writer, wave, stop).await;
        note(memory, wave, &outcome);
        if outcome.is_stopped() || !leaving(&outcome).is_empty() {
            memory.drift_attempt = Some(attempt);
            memory.next_look = Some((context.clock)().monotonic + GONE_AGAIN);
            return Ok(None);
        }
        refusals.extend(outcome.refusals().cloned());
        for change in wave {
            memory.drifted.remove(change.object.id());
            let fields: Vec<&str> = change
                .fields
                .iter()
                .map(|field| field.path.as_str())
                .collect();
            what.push(match fields.as_slice() {
                [] => change.object.id().to_string(),
                fields => format!("{} {}", change.object.id(), text::list(fields, 3)),
            });
        }
    }
    for refusal in plan.refused() {
        memory.drifted.remove(&refusal.id);
        what.push(refusal.id.to_string());
    }
    memory.drift_attempt = None;
    context.metrics.count_drift(&subject.key);
    Ok(Some(Event::Repaired {
        attempt,
        what: text::list(&what, 5),
        failure: (!refusals.is_empty()).then(|| refusals_failure(&refusals)),
    }))
}
