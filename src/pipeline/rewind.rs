//! A branch that went back: whether a revision may follow the applied one.
//!
//! Enters: what was applied, what git says now, what the mirror has of history.
//! Leaves: whether it descends; that it is refused.
//! Never: history fetched where nothing would change.

use super::{Context, Error, Memory, Subject};
use crate::{
    api::{Class, Reason, RewindPolicy},
    model::{Credentials, Digest, Revision, SourceSpec},
    rollout::{Event, Failure, State},
    source::Snapshot,
};

/// Returns the revision of what runs, where the set that was rendered is the same and nothing is under way or refused.
pub(super) fn at_rest(memory: &Memory, new: &Revision, digest: &Digest) -> Option<Revision> {
    let rollout = &memory.rollout;
    let rests = rollout.held.is_none() && matches!(rollout.state, State::Idle);
    rollout
        .applied
        .as_ref()
        .filter(|set| rests && set.digest == *digest && set.revision.reference == new.reference)
        .map(|set| set.revision.clone())
}

/// Says whether the mirror saw the reference go from what was applied to this, one checked step after another.
fn was_seen(memory: &Memory, applied: &Revision, snapshot: &Snapshot) -> bool {
    let running = memory
        .wanted
        .as_ref()
        .filter(|wanted| wanted.desired.revision == *applied);
    let older = running.and_then(|wanted| wanted.lineage.as_ref());
    older
        .zip(snapshot.lineage.as_ref())
        .is_some_and(|(older, new)| new.follows(older))
}

/// What a revision must descend from.
pub(super) struct Descent {
    applied: Revision,
    new: Revision,
    source: SourceSpec,
    credentials: Credentials,
}

impl Descent {
    /// Returns what a revision must descend from; None where the spec allows any, where a person pointed the Application at
    /// another reference, or where the mirror saw that it does.
    pub(super) fn of(subject: &Subject, memory: &Memory, snapshot: &Snapshot) -> Option<Self> {
        let new = &snapshot.revision;
        let RewindPolicy::Hold = subject.spec.source.rewind else {
            return None;
        };
        let applied = memory.rollout.applied.as_ref()?.revision.clone();
        let other = applied.commit != new.commit && applied.reference == new.reference;
        (other && !was_seen(memory, &applied, snapshot)).then(|| Self {
            applied,
            new: new.clone(),
            source: subject.source(),
            credentials: memory
                .credentials
                .as_ref()
                .map(|(_, known)| known.clone())
                .unwrap_or_default(),
        })
    }

    /// Says whether it descends, as far as that can be said without a word to the server.
    pub(super) async fn known(&self, context: &Context) -> Result<Option<bool>, Error> {
        tracing::debug!(revision = %self.new, "history is walked to what runs");
        Ok(context
            .mirrors
            .is_known_ancestor(&self.source, &self.credentials, &self.applied, &self.new)
            .await?)
    }

    /// Says whether it descends, by all of history. One that is not in the repository any more is no ancestor of anything:
    /// history was rewritten.
    pub(super) async fn by_history(&self, context: &Context) -> Result<bool, Error> {
        let now = (context.clock)();
        Ok(context
            .mirrors
            .is_ancestor(
                &self.source,
                &self.credentials,
                &self.applied,
                &self.new,
                now,
            )
            .await?)
    }

    /// Refuses a revision that does not descend.
    pub(super) fn went_back(self, memory: &mut Memory) -> Event {
        memory.wanted = None;
        let Self { applied, new, .. } = self;
        let failure = Failure {
            reason: Reason::RevisionWentBack,
            class: Class::Change,
            message: format!(
                "{} moved to {}, which does not descend from {}; still running {}; nothing was changed; set spec.source.rewind to allow, or push a commit on top of it",
                new.reference,
                new.short(),
                applied.short(),
                applied
            ),
        };
        Event::Refused {
            digest: None,
            revision: new,
            failure,
        }
    }
}
