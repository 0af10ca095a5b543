//! One object under assessment, with all that its rule may look at.
//!
//! Enters: the member, the index of the view, the rules, the memory of the object.
//! Leaves: `Case`, handed to one rule.
//! Never: another object of the set, except through the index.

use std::time::Duration;

use serde_json::Value;

use crate::{
    api::{Class, Reason},
    model::{Now, ObjectId, text},
};

use super::{
    aggregate::{Health, StuckPod},
    fields,
    index::Index,
    rules::{Rules, Windows},
    sightings::{Memory, Row},
};

/// One object under assessment.
pub(super) struct Case<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) live: &'a Value,
    pub(super) wanted: &'a Value,
    pub(super) index: &'a Index<'a>,
    pub(super) rules: &'a Rules,
    pub(super) now: Now,
    pub(super) memory: &'a mut Memory,
    pub(super) look: &'a mut Look,
}

/// What a look leaves beside the health of each object.
#[derive(Default)]
pub(super) struct Look {
    /// When the next window closes.
    pub(super) next: Option<Duration>,
    /// Pods that block their `StatefulSets`.
    pub(super) stuck: Vec<StuckPod>,
}

impl Look {
    /// Asks for another look after `wait`.
    pub(super) fn again_in(&mut self, wait: Duration) {
        self.next = Some(self.next.map_or(wait, |next| next.min(wait)));
    }
}

impl<'a> Case<'a> {
    /// Returns the windows of the rules.
    pub(super) fn windows(&self) -> &'a Windows {
        &self.rules.windows
    }

    /// Meets a row; says whether its window has closed, and asks for a look when it will have.
    pub(super) fn has_held(&mut self, row: Row, window: Duration) -> bool {
        let elapsed = self.memory.meet(row, self.now);
        if elapsed >= window {
            return true;
        }
        self.look.again_in(window.saturating_sub(elapsed));
        false
    }

    /// Returns a failure that the object itself told, once it has told it for long enough.
    pub(super) fn told(&mut self, class: Class, words: &str) -> Health {
        let window = self.windows().object;
        self.told_within(Row::Object, window, Reason::ObjectFailed, class, words)
    }

    /// Returns a failure once its row has held for `window`, until then a wait with the same reason.
    pub(super) fn told_within(
        &mut self,
        row: Row,
        window: Duration,
        reason: Reason,
        class: Class,
        words: &str,
    ) -> Health {
        let message = self.say(words);
        if self.has_held(row, window) {
            Health::failed(reason, class, message)
        } else {
            Health::Progressing {
                reason,
                class: Some(class),
                message,
            }
        }
    }

    /// Says whether a silent controller was waited for long enough: by us, or since the object was made.
    ///
    /// The wall clock is good enough here: what follows is "not assessed", never a failure.
    pub(super) fn is_settled(&mut self) -> bool {
        let window = self.windows().silent;
        let age = fields::text_at(self.live, &["metadata", "creationTimestamp"])
            .and_then(|time| time.parse::<jiff::Timestamp>().ok())
            .and_then(|time| Duration::try_from(self.now.wall.duration_since(time)).ok())
            .unwrap_or_default();
        if age > window {
            return true;
        }
        self.has_held(Row::Silent, window)
    }

    /// Returns a wait without a suspected cause, with the object in front.
    pub(super) fn waits(&self, words: &str) -> Health {
        Health::waits(self.say(words))
    }

    /// Returns a wait of a suspected class, with the object in front.
    pub(super) fn waits_for(&self, class: Class, words: &str) -> Health {
        Health::waits_for(class, self.say(words))
    }

    /// Returns a message with the object in front.
    pub(super) fn say(&self, words: &str) -> String {
        fields::message(&format!("{}: {words}", self.id))
    }

    /// Says whether the controller of the object has not yet seen its newest spec.
    pub(super) fn is_behind(&self) -> bool {
        let generation = fields::integer(self.live, &["metadata", "generation"]);
        let observed = fields::integer(self.live, &["status", "observedGeneration"]);
        matches!((observed, generation), (Some(observed), Some(generation)) if observed < generation)
    }

    /// Says the same of a kind whose controller always writes `observedGeneration`: none is behind as well.
    pub(super) fn is_unobserved(&self) -> bool {
        self.is_behind() || fields::integer(self.live, &["status", "observedGeneration"]).is_none()
    }

    /// Returns the wait for a controller that has not seen the spec.
    pub(super) fn unobserved(&self) -> Health {
        self.waits(UNSEEN)
    }

    /// Returns the same for a kind of Kubernetes itself, whose controllers look at every spec, good or bad: where they have not, they are
    /// behind, and no change has been judged. Five thousand Deployments that change at once can keep them busy for minutes.
    pub(super) fn unobserved_by_kubernetes(&self) -> Health {
        self.waits_for(Class::Environment, UNSEEN)
    }
}

const UNSEEN: &str = "its controller has not seen the newest spec yet";

/// Returns `1 of 3 pods`.
pub(super) fn of(some: i64, all: i64, noun: &str) -> String {
    let all = usize::try_from(all.max(0)).unwrap_or(usize::MAX);
    format!("{some} of {}", text::plural(all, noun))
}
