//! Assess: what the objects of the applied set say.
//!
//! Enters: what the watches know.
//! Leaves: a verdict for the rollout; counts and the next look in memory.
//! Never: a request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Context, Error, Memory, Subject, watching};
use crate::{
    api::{Class, Reason},
    health::{self, Assessment, Member, Rules, Verdict as Assessed, View, assess},
    model::{Object, ObjectId, Seen},
    report::Health,
    rollout::{Failure, State, Verdict},
};

/// Assesses the applied set.
pub(super) fn look(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    objects: &[Object],
) -> Result<Verdict, Error> {
    let rules = rules(subject, memory)?;
    let mut seen = Vec::with_capacity(objects.len());
    for object in objects {
        let live = watching::seen(context, subject, memory, object);
        // Of an object that was created again, the watch may still show the one that went.
        let went = memory
            .replaced
            .get(object.id())
            .is_some_and(|uid| uid_of(&live).as_ref() == Some(uid));
        seen.push(if went { Seen::Unknown } else { live });
    }
    let members: Vec<Member<'_>> = objects
        .iter()
        .zip(&seen)
        .map(|(object, live)| Member {
            id: object.id(),
            live,
            applied_generation: memory.generations.get(object.id()).copied(),
            wanted: object.value(),
        })
        .collect();
    let namespaces: BTreeSet<&str> = objects
        .iter()
        .map(|object| object.id().namespace.as_str())
        .collect();
    let owners: BTreeSet<String> = objects
        .iter()
        .zip(&seen)
        .filter(|(object, _)| watching::has_pods(&object.group_kind()))
        .filter_map(|(_, live)| uid_of(live))
        .collect();
    let (mut pods, mut replica_sets) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        // A watch that has not listed yet shows no pods: nothing fails for that, and its listing wakes us.
        if let Some((more_pods, more_sets)) =
            context.watches.pods_and_replica_sets(namespace, &owners)
        {
            pods.extend(more_pods);
            replica_sets.extend(more_sets);
        }
    }
    let view = View {
        members: &members,
        pods: &pods,
        replica_sets: &replica_sets,
        events: &memory.events,
    };
    let now = (context.clock)();
    let (mut assessment, sightings) =
        assess(&view, &rules, std::mem::take(&mut memory.sightings), now);
    memory.sightings = sightings;
    memory.events_wanted = super::events::wanted(&assessment);
    excuse(memory, &mut assessment);
    memory.failing = failing(&assessment);
    memory.stuck.clone_from(&assessment.stuck);
    memory.next_look = assessment.next_look.map(|wait| now.monotonic + wait);
    let all_unknown = !seen.is_empty() && seen.iter().all(|live| matches!(live, Seen::Unknown));
    if !all_unknown {
        memory.counts = Some(assessment.counts());
    }
    let verdict = verdict(assessment.verdict(), objects);
    memory.health = Some(match &verdict {
        Verdict::Ready => Health::Ready,
        Verdict::Progressing { .. } if all_unknown => Health::Unknown,
        Verdict::Progressing { waiting, .. } => Health::Progressing {
            waiting: waiting.clone(),
        },
        Verdict::Failed(failure) => Health::Failed(failure.clone()),
    });
    Ok(verdict)
}

/// What failed in the same way before the attempt began is not its fault.
fn excuse(memory: &Memory, assessment: &mut Assessment) {
    let under_way = match memory.rollout.state {
        State::Applying { .. } | State::Watching { .. } | State::Soaking { .. } => true,
        State::Idle | State::Pruning | State::Returning { .. } | State::Failed { .. } => false,
    };
    if !under_way {
        return;
    }
    for (id, before) in &memory.before {
        match assessment.objects.get_mut(id) {
            Some(health::Health::Failed {
                reason,
                class,
                message,
                ..
            }) if reason == before => {
                *class = Class::PreExisting;
                message.push_str(" (as before this attempt)");
            }
            Some(health::Health::Progressing { reason, class, .. })
                if reason == before || *reason == Reason::Progressing =>
            {
                *class = Some(Class::PreExisting);
            }
            Some(
                health::Health::Failed { .. }
                | health::Health::Progressing { .. }
                | health::Health::Ready
                | health::Health::NotAssessed { .. },
            )
            | None => {}
        }
    }
}

fn failing(assessment: &Assessment) -> BTreeMap<ObjectId, Reason> {
    assessment
        .objects
        .iter()
        .filter_map(|(id, health)| match health {
            health::Health::Failed { reason, .. } => Some((id.clone(), *reason)),
            health::Health::Ready
            | health::Health::Progressing { .. }
            | health::Health::NotAssessed { .. } => None,
        })
        .collect()
}

fn uid_of(live: &Seen) -> Option<String> {
    Some(live.value()?.pointer("/metadata/uid")?.as_str()?.to_owned())
}

fn verdict(assessed: Assessed, objects: &[Object]) -> Verdict {
    // Where git says what an object is.
    let place = |id: &ObjectId| {
        let object = objects.iter().find(|object| object.id() == id)?;
        object.location().filter(|place| !place.file.is_empty())
    };
    let at = |id: &ObjectId, message: String| match place(id) {
        Some(place) => format!("{message} [{place}]"),
        None => message,
    };
    match assessed {
        Assessed::Ready { .. } => Verdict::Ready,
        Assessed::Progressing {
            id,
            message,
            class,
            waiting,
            ..
        } => Verdict::Progressing {
            waiting: match waiting {
                0 | 1 => at(&id, message),
                more => format!("{} (and {} more)", at(&id, message), more - 1),
            },
            // Nothing points at the environment: then it is the change that did not come up in time.
            class: class.unwrap_or(Class::Change),
        },
        Assessed::Failed {
            id,
            reason,
            class,
            message,
        } => Verdict::Failed(Failure {
            reason,
            class,
            message: at(&id, message),
        }),
    }
}

/// Says whether the rules of the spec can be used, before anything is written by it.
///
/// # Errors
/// An expression of `spec.health.exprs` cannot be used; the message names it.
pub(super) fn check(subject: &Subject, memory: &mut Memory) -> Result<(), Failure> {
    rules(subject, memory)
        .map(drop)
        .map_err(|error| error.to_failure())
}

/// Returns the compiled rules of the spec, made anew when its generation changes.
///
/// What is under way goes on with the rules that it began with where the new ones cannot be used: a slip in an
/// expression must not keep a bad set from being returned from.
fn rules(subject: &Subject, memory: &mut Memory) -> Result<Arc<Rules>, Error> {
    if let Some((generation, rules)) = &memory.rules
        && *generation == subject.generation
    {
        return Ok(rules.clone());
    }
    match (Rules::new(&subject.spec.health), &memory.rules) {
        (Ok(rules), _) => {
            let rules = Arc::new(rules);
            memory.rules = Some((subject.generation, rules.clone()));
            Ok(rules)
        }
        (Err(_), Some((_, before)))
            if memory.rollout.is_in_flight()
                || matches!(memory.rollout.state, State::Soaking { .. }) =>
        {
            Ok(before.clone())
        }
        (Err(error), _) => Err(Error::failure(
            Reason::InvalidSpec,
            Class::Change,
            crate::model::text::cut(
                &format!(
                    "failed to {}; nothing was changed; correct the expression in the Application",
                    crate::model::text::chain(&error)
                ),
                1500,
            ),
        )),
    }
}
