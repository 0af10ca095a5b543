//! A branch that went back: whether a revision may follow the applied one.
//!
//! Enters: what was applied, what git says now, what the mirror has of history.
//! Leaves: whether it descends; that it is refused.
//! Never: history fetched where nothing would change.

use super::{Context, Error, Memory, Subject};
use crate::{
    api::{Class, Reason, RewindPolicy},
    model::{Credentials, Digest, Revision},
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

/// Returns the applied revision, where a revision that does not descend from it is held: unless the spec allows it, or a
/// person pointed the Application at another reference.
fn to_descend_from(subject: &Subject, memory: &Memory, new: &Revision) -> Option<Revision> {
    let RewindPolicy::Hold = subject.spec.source.rewind else {
        return None;
    };
    let applied = memory.rollout.applied.as_ref()?.revision.clone();
    let other = applied.commit != new.commit && applied.reference == new.reference;
    other.then_some(applied)
}

fn known_credentials(memory: &Memory) -> Credentials {
    memory
        .credentials
        .as_ref()
        .map(|(_, known)| known.clone())
        .unwrap_or_default()
}

/// Says whether a revision may follow the applied one, as far as that can be said without a word to the server.
pub(super) async fn descends_by_what_is_there(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    snapshot: &Snapshot,
) -> Result<Option<bool>, Error> {
    let Some(applied) = to_descend_from(subject, memory, &snapshot.revision) else {
        return Ok(Some(true));
    };
    let (source, credentials) = (subject.source(), known_credentials(memory));
    Ok(context
        .mirrors
        .is_known_ancestor(&source, &credentials, &applied, &snapshot.revision)
        .await?)
}

/// Says whether a revision may follow the applied one, by all of history. One that is not in the repository any more is
/// no ancestor of anything: history was rewritten.
pub(super) async fn descends_by_history(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    snapshot: &Snapshot,
) -> Result<bool, Error> {
    let Some(applied) = to_descend_from(subject, memory, &snapshot.revision) else {
        return Ok(true);
    };
    let (source, credentials) = (subject.source(), known_credentials(memory));
    let now = (context.clock)();
    Ok(context
        .mirrors
        .is_ancestor(&source, &credentials, &applied, &snapshot.revision, now)
        .await?)
}

pub(super) fn went_back(memory: &Memory, snapshot: &Snapshot) -> Event {
    let new = &snapshot.revision;
    let applied = memory.rollout.applied.as_ref();
    let (short, whole) = applied.map_or_else(Default::default, |set| {
        (set.revision.short().to_string(), set.revision.to_string())
    });
    let failure = Failure {
        reason: Reason::RevisionWentBack,
        class: Class::Change,
        message: format!(
            "{} moved to {}, which does not descend from {}; still running {}; nothing was changed; set spec.source.rewind to allow, or push a commit on top of it",
            new.reference,
            new.short(),
            short,
            whole
        ),
    };
    Event::Refused {
        digest: None,
        revision: new.clone(),
        failure,
    }
}
