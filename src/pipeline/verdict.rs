//! Verdict: gives back what drifted, then looks whether what is written is well.
//!
//! Enters: the set that was applied, what was seen of it, the barriers.
//! Leaves: an event, where the verdict means something for the state.
//! Never: a verdict over time in which the API server did not answer.

use std::{borrow::Cow, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject, barrier, drift, events, health, hooks, inventory::applied,
    restore, stuck, watching,
};
use crate::{
    model::Object,
    plan::{Phase, phase, runs_anew},
    report::StageLabel,
    rollout::{Event, ReturnStage, State, Verdict, step},
};

/// What is left of the lease while the API server answers: it lasts 15 s and is renewed every 5 s. With less, a renewal
/// failed, and the clock of a rollout stands still.
const ANSWERS: Duration = Duration::from_secs(8);

/// Gives back what drifted, then assesses; an event only where the verdict means something.
pub(super) async fn look_at_health(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    paused: bool,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let Some(objects) = applied(context, subject, memory).await? else {
        return Ok(None);
    };
    watching::demand(context, subject, memory, &objects);
    // While a set becomes Ready as well: what somebody put in its place says nothing of it.
    let is_written = match memory.rollout.state {
        State::Idle | State::Watching { .. } | State::Soaking { .. } | State::Failed { .. } => true,
        State::Applying { .. } | State::Pruning | State::Returning { .. } => false,
    };
    let may_change = || !paused && context.archive.forbids_changes().is_none();
    if is_written
        && may_change()
        && let Some(event) = drift::repair(context, subject, memory, stop).await?
    {
        return Ok(Some(event));
    }
    if may_change() {
        hooks::tidy_up(context, subject, memory, &objects, stop).await?;
    }
    let now = (context.clock)();
    // Nothing was seen meanwhile: time that the API server did not answer is not held against a set.
    if !context.fence.holds_for(ANSWERS) {
        memory.assessed = Some(now.monotonic);
        return Ok(None);
    }
    let elapsed = memory.assessed.map_or(Duration::ZERO, |at| now.since(at));
    memory.assessed = Some(now.monotonic);
    events::look(context, subject, memory).await;
    let assessed = counted(memory, &objects);
    let verdict = health::look(context, subject, memory, &assessed)?;
    memory.nothing_since = Some(now.monotonic);
    if let Some(event) = stuck::free(context, subject, memory, stop).await {
        return Ok(Some(event));
    }
    let means_something = match (&memory.rollout.state, &verdict) {
        (
            State::Watching { .. }
            | State::Soaking { .. }
            | State::Returning {
                stage: ReturnStage::Watching,
                ..
            },
            _,
        )
        | (
            State::Failed {
                returned: false, ..
            },
            Verdict::Ready,
        ) => true,
        (
            State::Idle
            | State::Applying { .. }
            | State::Pruning
            | State::Returning { .. }
            | State::Failed { .. },
            _,
        ) => false,
    };
    if !means_something {
        return Ok(None);
    }
    let event = Event::Assessed { verdict, elapsed };
    barrier::look(context, subject, memory).await?;
    let gates = barrier::gates(subject, memory);
    let taken = step(memory.rollout.clone(), event.clone(), &gates, now);
    let same = std::mem::discriminant(&taken.rollout().state)
        == std::mem::discriminant(&memory.rollout.state)
        && same_stage(&taken.rollout().state, &memory.rollout.state);
    if same {
        // Only time went by: kept, and nothing more to do now.
        memory.rollout = taken.into_parts().0;
        return Ok(None);
    }
    if matches!(memory.rollout.state, State::Watching { .. }) {
        let took = memory.notes.began.map_or(0, |began| {
            now.wall.as_millisecond() - began.as_millisecond()
        });
        context.metrics.observe_stage(
            StageLabel::Health,
            Duration::from_millis(u64::try_from(took).unwrap_or_default()),
        );
    }
    Ok(Some(event))
}

/// Returns the objects whose health is that of the set: a hook counts while its own sync is under way, and a Job that
/// a failed set created again counts no more when that is returned from (it is not taken back, law 7).
fn counted<'a>(memory: &Memory, objects: &'a [Object]) -> Cow<'a, [Object]> {
    let own = matches!(memory.rollout.state, State::Watching { .. });
    let counts = |object: &&Object| {
        if phase(object) == Phase::OnFailure {
            return false;
        }
        let again = memory.replaced.contains_key(object.id()) && restore::is_exempt(object);
        own || !(runs_anew(object) || again)
    };
    if objects.iter().all(|object| counts(&object)) {
        return Cow::Borrowed(objects);
    }
    Cow::Owned(objects.iter().filter(counts).cloned().collect())
}

fn same_stage(one: &State, other: &State) -> bool {
    match (one, other) {
        (State::Returning { stage: one, .. }, State::Returning { stage: other, .. }) => {
            one == other
        }
        _ => true,
    }
}
