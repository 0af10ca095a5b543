//! What was found of each object, and of the set as a whole.
//!
//! Enters: one `Health` for each object.
//! Leaves: `Verdict`, the worst of them by what a person should see first, and counts.
//! Never: time; how long a verdict must hold is `rollout`'s.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    api::{Class, HealthCounts, Reason},
    model::ObjectId,
};

/// The health of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does what its spec says, and says so of the spec that we applied.
    Ready,
    /// It is on its way.
    Progressing {
        /// `Progressing`, or the reason that it would fail for if nothing changed.
        reason: Reason,
        /// Whose fault it would be if the deadline passed now; None where nothing points at a cause.
        class: Option<Class>,
        /// What it waits for, bounded.
        message: String,
    },
    /// It failed, and waiting does not help.
    Failed {
        /// Reason from the closed list.
        reason: Reason,
        /// Change or Environment; `PreExisting` is for the caller to find, who knows how it was before.
        class: Class,
        /// Object → pod → container → the first telling message, bounded.
        message: String,
        /// Pod that told it.
        pod: Option<String>,
        /// Container that told it.
        container: Option<String>,
    },
    /// No rule says what healthy means here. It does not stand in the way, and is listed.
    NotAssessed {
        /// Why not.
        why: String,
    },
}

impl Health {
    /// Returns a wait without a suspected cause.
    pub(super) fn waits(message: impl Into<String>) -> Self {
        Self::Progressing {
            reason: Reason::Progressing,
            class: None,
            message: message.into(),
        }
    }

    /// Returns a wait whose suspected cause is of this class.
    pub(super) fn waits_for(class: Class, message: impl Into<String>) -> Self {
        Self::Progressing {
            reason: Reason::Progressing,
            class: Some(class),
            message: message.into(),
        }
    }

    /// Returns a failure that the object itself told.
    pub(super) fn failed(reason: Reason, class: Class, message: impl Into<String>) -> Self {
        Self::Failed {
            reason,
            class,
            message: message.into(),
            pod: None,
            container: None,
        }
    }

    /// Returns why the object is not judged.
    pub(super) fn unjudged(why: impl Into<String>) -> Self {
        Self::NotAssessed { why: why.into() }
    }
}

/// A pod that an ordered `StatefulSet` waits for before it replaces any other: of an older revision, and not Ready.
/// Where it will never be, the `StatefulSet` controller waits for ever; who restores a revision has to delete it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StuckPod {
    /// The `StatefulSet`.
    pub owner: ObjectId,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod, for the precondition of a delete.
    pub uid: String,
    /// Whether a container of it waits for what does not come by itself, or crashes.
    pub is_broken: bool,
}

/// What was found of every object of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// One entry for each member of the view.
    pub objects: BTreeMap<ObjectId, Health>,
    /// When to look again although nothing may have changed: a window closes then. None: only an event can change it.
    pub next_look: Option<Duration>,
    /// Pods of older revisions that block their `StatefulSets`, in order.
    pub stuck: Vec<StuckPod>,
}

/// The set as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every object that can be judged is Ready.
    Ready {
        /// Objects that are not judged, and why.
        not_assessed: Vec<(ObjectId, String)>,
    },
    /// Something is on its way, and nothing failed.
    Progressing {
        /// Object that a person should look at first.
        id: ObjectId,
        /// Its reason.
        reason: Reason,
        /// Whose fault it would be if the deadline passed now: Change where any object points at the change,
        /// else Environment where any points there, else None.
        class: Option<Class>,
        /// What it waits for.
        message: String,
        /// How many objects are on their way.
        waiting: usize,
    },
    /// Something failed.
    Failed {
        /// Object that a person should look at first.
        id: ObjectId,
        /// Its reason.
        reason: Reason,
        /// Its class.
        class: Class,
        /// Object → pod → container → the first telling message.
        message: String,
    },
}

impl Assessment {
    /// Returns the set as a whole.
    ///
    /// A failure outweighs all waiting. Of several, one that is the change's own comes before one of the
    /// environment: it is the one that a person can mend in git. Then the order of reasons, then of ids.
    pub fn verdict(&self) -> Verdict {
        let failed = self
            .objects
            .iter()
            .filter_map(|(id, health)| match health {
                Health::Failed {
                    reason,
                    class,
                    message,
                    pod: _,
                    container: _,
                } => Some((*class, *reason, id, message)),
                Health::Ready | Health::Progressing { .. } | Health::NotAssessed { .. } => None,
            })
            .min();
        if let Some((class, reason, id, message)) = failed {
            return Verdict::Failed {
                id: id.clone(),
                reason,
                class,
                message: message.clone(),
            };
        }
        let waiting: Vec<_> = self
            .objects
            .iter()
            .filter_map(|(id, health)| match health {
                Health::Progressing {
                    reason,
                    class,
                    message,
                } => Some((suspicion(*class), *reason, id, message)),
                Health::Ready | Health::Failed { .. } | Health::NotAssessed { .. } => None,
            })
            .collect();
        if let Some((rank, reason, id, message)) = waiting.iter().min() {
            return Verdict::Progressing {
                id: (*id).clone(),
                reason: *reason,
                class: [
                    Some(Class::Change),
                    Some(Class::Environment),
                    Some(Class::PreExisting),
                    None,
                ]
                .into_iter()
                .find(|class| suspicion(*class) == *rank)
                .flatten(),
                message: (*message).clone(),
                waiting: waiting.len(),
            };
        }
        Verdict::Ready {
            not_assessed: self
                .objects
                .iter()
                .filter_map(|(id, health)| match health {
                    Health::NotAssessed { why } => Some((id.clone(), why.clone())),
                    Health::Ready | Health::Progressing { .. } | Health::Failed { .. } => None,
                })
                .collect(),
        }
    }

    /// Returns how many objects are in each state.
    pub fn counts(&self) -> HealthCounts {
        let mut counts = HealthCounts::default();
        for health in self.objects.values() {
            let count = match health {
                Health::Ready => &mut counts.ready,
                Health::Progressing { .. } => &mut counts.progressing,
                Health::Failed { .. } => &mut counts.failed,
                Health::NotAssessed { .. } => &mut counts.not_assessed,
            };
            *count = count.saturating_add(1);
        }
        counts
    }
}

/// Returns the place of a suspected class: known causes first, the change's own before all.
fn suspicion(class: Option<Class>) -> u8 {
    match class {
        Some(Class::Change) => 0,
        Some(Class::Environment) => 1,
        Some(Class::PreExisting) => 2,
        None => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(objects: &[(&str, Health)]) -> Verdict {
        Assessment {
            objects: objects
                .iter()
                .map(|(name, health)| {
                    (
                        ObjectId::new("apps", "Deployment", "shop", name),
                        health.clone(),
                    )
                })
                .collect(),
            next_look: None,
            stuck: Vec::new(),
        }
        .verdict()
    }

    #[test]
    fn the_change_comes_before_the_environment() {
        let verdict = check(&[
            (
                "a",
                Health::failed(Reason::Unschedulable, Class::Environment, "no node"),
            ),
            (
                "b",
                Health::failed(Reason::CrashLoop, Class::Change, "exit code 1"),
            ),
            ("c", Health::waits("2 of 3")),
        ]);
        assert!(
            matches!(&verdict, Verdict::Failed { id, class: Class::Change, .. } if id.name == "b"),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_wait_tells_whose_fault_a_deadline_would_be() {
        let verdict = check(&[
            ("a", Health::waits("2 of 3")),
            ("b", Health::waits_for(Class::Environment, "no node")),
            ("c", Health::Ready),
        ]);
        assert!(
            matches!(&verdict, Verdict::Progressing { id, class: Some(Class::Environment), waiting: 2, .. } if id.name == "b"),
            "{verdict:?}"
        );
    }

    #[test]
    fn what_is_not_assessed_is_listed_and_does_not_block() {
        let verdict = check(&[("a", Health::Ready), ("b", Health::unjudged("no rule"))]);
        let Verdict::Ready { not_assessed } = verdict else {
            unreachable!("{verdict:?}");
        };
        assert_eq!(not_assessed[0].1, "no rule");
    }
}
