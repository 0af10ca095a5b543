//! The door: one look at a set.
//!
//! Enters: a view, rules, sightings, `Now`.
//! Leaves: an assessment and the sightings for the next look.
//! Never: Ready for an object that was not seen, or not seen as we applied it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    api::Class,
    model::{Now, ObjectId, Seen},
};

use super::{
    aggregate::{Assessment, Health},
    case::{Case, Look},
    fields,
    index::Index,
    kinds,
    rules::Rules,
    sightings::{Memory, Sightings},
};

/// One object of the set and what a watch or read knows of it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The object.
    pub id: &'a ObjectId,
    /// What is known of it.
    pub live: &'a Seen,
    /// Generation that our own apply of this attempt was answered with: an older one is not judged. None where the
    /// attempt did not write it.
    pub applied_generation: Option<i64>,
    /// The object as we applied it.
    pub wanted: &'a Value,
}

/// What is known of a set.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// The objects of the set.
    pub members: &'a [Member<'a>],
    /// Pods of their namespaces.
    pub pods: &'a [Arc<Value>],
    /// Replica sets of their namespaces.
    pub replica_sets: &'a [Arc<Value>],
    /// Events about those pods and about `StatefulSets`, `DaemonSets` and Jobs, of core/v1 or events.k8s.io/v1.
    /// May be empty. Only events tell why a volume is not mounted, why the pods of those kinds cannot be created, and
    /// that an autoscaler adds a node: without them such a failure is the environment's or the deadline's.
    pub events: &'a [Arc<Value>],
}

/// Looks at a set once.
///
/// Total: whatever JSON it is given, it answers. The same view, rules, sightings and time give the same answer.
pub fn assess(
    view: &View<'_>,
    rules: &Rules,
    mut sightings: Sightings,
    now: Now,
) -> (Assessment, Sightings) {
    let index = Index::new(view.pods, view.replica_sets, view.events);
    let known: BTreeSet<&str> = view
        .pods
        .iter()
        .filter_map(|pod| fields::uid(pod))
        .collect();
    let mut look = Look::default();
    let mut objects = BTreeMap::new();
    let mut remembered = BTreeMap::new();
    for member in view.members {
        let mut memory = sightings.objects.remove(member.id).unwrap_or_default();
        // Opened one after the other: of a large set all together would take a hundred megabytes.
        let live = member.live.value();
        let health = match (member.live, &live) {
            // That it could not be read is never the change's fault.
            (Seen::Unknown, _) | (Seen::Present(_), None) => {
                Health::waits_for(Class::Environment, format!("{}: not read yet", member.id))
            }
            (Seen::Absent, _) => kinds::absent(member, rules, &mut memory, now, &mut look),
            (Seen::Present(_), Some(live)) => {
                memory.seen = true;
                present(
                    member,
                    Case {
                        id: member.id,
                        live,
                        wanted: member.wanted,
                        index: &index,
                        rules,
                        now,
                        memory: &mut memory,
                        look: &mut look,
                    },
                )
            }
        };
        // A bare pod is its own pod.
        let own = live.as_ref().and_then(fields::uid);
        memory.end(now, rules.windows.forget, |uid| {
            known.contains(uid) || own == Some(uid)
        });
        let health = if rules.fail_fast {
            health
        } else {
            patient(health)
        };
        objects.insert(member.id.clone(), health);
        remembered.insert(member.id.clone(), memory);
    }
    look.stuck.sort();
    (
        Assessment {
            objects,
            next_look: look.next,
            stuck: look.stuck,
        },
        Sightings {
            objects: remembered,
        },
    )
}

fn present(member: &Member<'_>, mut case: Case<'_>) -> Health {
    let generation = fields::integer(case.live, &["metadata", "generation"]);
    if matches!((generation, member.applied_generation), (Some(seen), Some(applied)) if seen < applied)
    {
        return case.waits("the watch has not shown what was applied yet");
    }
    if fields::is_deleting(case.live) {
        let finalizers = fields::items(case.live, &["metadata", "finalizers"]).len();
        return case.waits_for(
            Class::Environment,
            &format!("it is being deleted and waits for {finalizers} finalizers"),
        );
    }
    kinds::judge(&mut case)
}

/// Without fail fast nothing fails before the deadline; what would have failed is told as what it waits for.
fn patient(health: Health) -> Health {
    match health {
        Health::Failed {
            reason,
            class,
            message,
            pod: _,
            container: _,
        } => Health::Progressing {
            reason,
            class: Some(class),
            message,
        },
        other @ (Health::Ready | Health::Progressing { .. } | Health::NotAssessed { .. }) => other,
    }
}

impl Memory {
    /// Returns the wait for an object that the watch does not have.
    pub(super) fn missing(&self, id: &ObjectId) -> Health {
        Health::waits(if self.seen {
            format!("{id}: it was there and is gone")
        } else {
            format!("{id}: not seen yet")
        })
    }
}
