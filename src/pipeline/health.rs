//! Assess: what the objects of the applied set say.
//!
//! Enters: what the watches know.
//! Leaves: a verdict for the rollout; counts and the next look in memory.
//! Never: a request.

use std::{collections::BTreeSet, sync::Arc};

use super::{Context, Error, Memory, Subject, watching};
use crate::{
    api::{Class, Reason},
    health::{self, Member, Rules, Verdict as Assessed, View, assess},
    model::{Object, Seen},
    report::Health,
    rollout::{Failure, Verdict},
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
        let went = memory.replaced.get(object.id()).is_some_and(|uid| {
            matches!(&live, Seen::Present(live) if live.pointer("/metadata/uid").and_then(serde_json::Value::as_str) == Some(uid))
        });
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
    let (mut pods, mut replica_sets) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        // A watch that has not listed yet shows no pods: nothing fails for that, and its listing wakes us.
        if let Some((more_pods, more_sets)) = context.watches.pods_and_replica_sets(namespace) {
            pods.extend(more_pods);
            replica_sets.extend(more_sets);
        }
    }
    let view = View {
        members: &members,
        pods: &pods,
        replica_sets: &replica_sets,
        events: &[],
    };
    let now = (context.clock)();
    let (assessment, sightings) = assess(&view, &rules, std::mem::take(&mut memory.sightings), now);
    memory.sightings = sightings;
    memory.stuck.clone_from(&assessment.stuck);
    memory.next_look = assessment.next_look.map(|wait| now.monotonic + wait);
    let all_unknown = !seen.is_empty() && seen.iter().all(|live| matches!(live, Seen::Unknown));
    if !all_unknown {
        memory.counts = Some(assessment.counts());
    }
    let verdict = verdict(assessment.verdict());
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

fn verdict(assessed: Assessed) -> Verdict {
    match assessed {
        Assessed::Ready { .. } => Verdict::Ready,
        Assessed::Progressing {
            message,
            class,
            waiting,
            ..
        } => Verdict::Progressing {
            waiting: match waiting {
                0 | 1 => message,
                more => format!("{message} (and {} more)", more - 1),
            },
            // Nothing points at the environment: then it is the change that did not come up in time.
            class: class.unwrap_or(Class::Change),
        },
        Assessed::Failed {
            reason,
            class,
            message,
            ..
        } => Verdict::Failed(Failure {
            reason,
            class,
            message,
        }),
    }
}

/// Returns the compiled rules of the spec, made anew when its generation changes.
fn rules(subject: &Subject, memory: &mut Memory) -> Result<Arc<Rules>, Error> {
    if let Some((generation, rules)) = &memory.rules
        && *generation == subject.generation
    {
        return Ok(rules.clone());
    }
    let rules = Arc::new(Rules::new(&subject.spec.health).map_err(
        |error: health::RuleError| {
            Error::failure(
                Reason::InvalidSpec,
                Class::Change,
                crate::model::text::chain(&error),
            )
        },
    )?);
    memory.rules = Some((subject.generation, rules.clone()));
    Ok(rules)
}
