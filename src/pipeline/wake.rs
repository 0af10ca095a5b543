//! When to look again if nothing happens before.
//!
//! Enters: what is remembered, when this reconcile began, the time.
//! Leaves: how long to wait.
//! Never: a moment lost that passed while the reconcile ran; a reconcile again and again for one that was seen.

use std::time::Duration;

use super::{Memory, Subject, command, look::next_ask};
use crate::{model::Now, rollout::State};

/// Shortest time between two looks that nothing else wakes.
const SHORTEST: Duration = Duration::from_millis(20);
/// Longest time between two looks at what is under way, if no watch and no window wakes us earlier: at first, and for
/// what takes long. Of a fleet that waits for its rollouts each is looked at so often: at 5 s that were 22 looks at each of
/// 5,000 Applications, and most of the controller's CPU.
const UNDER_WAY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// Returns how long to wait after a reconcile that began at `began`.
pub(super) fn next(subject: &Subject, memory: &Memory, began: Duration, now: Now) -> Duration {
    let asked = memory.asked.map_or(Duration::ZERO, |at| now.since(at));
    let longest = match command::paused_for(subject, now) {
        // Git is not asked meanwhile.
        Some(left) => left,
        None => next_ask(subject, memory).saturating_sub(asked),
    };
    let retry = memory.rollout.quarantine.iter();
    let retry = retry.filter_map(|entry| entry.retry_at).min().map(|at| {
        let left = at
            .as_millisecond()
            .saturating_sub(now.wall.as_millisecond());
        let apart = Duration::from_millis(left.unsigned_abs());
        if left < 0 {
            now.monotonic.saturating_sub(apart)
        } else {
            now.monotonic + apart
        }
    });
    let state = match memory.rollout.state {
        State::Watching { spent, .. } => {
            let left = subject.gates.timeout.saturating_sub(spent);
            Some(now.monotonic + between_looks(spent).min(left.max(UNDER_WAY.0)))
        }
        State::Applying { .. } | State::Returning { .. } => Some(now.monotonic + UNDER_WAY.0),
        State::Soaking { spent, .. } => {
            Some(now.monotonic + subject.gates.soak.saturating_sub(spent))
        }
        State::Idle | State::Pruning | State::Failed { .. } => None,
    };
    let moments = [
        memory.next_look,
        retry,
        memory.drift_hold,
        memory.status_due,
        memory.hold.as_ref().map(|(at, _)| *at),
        state,
    ];
    soonest(moments.into_iter().flatten(), began, now.monotonic, longest).max(SHORTEST)
}

/// Returns how long what has been watched for so long is left alone.
fn between_looks(spent: Duration) -> Duration {
    (spent / 8).clamp(UNDER_WAY.0, UNDER_WAY.1)
}

/// Returns the time until the first of these moments, at most `longest`. One that was there when the reconcile began
/// was seen by it; one that passed since was perhaps not, and a slow API server must not make us miss it.
fn soonest(
    moments: impl Iterator<Item = Duration>,
    began: Duration,
    now: Duration,
    longest: Duration,
) -> Duration {
    moments
        .filter(|at| *at > began)
        .map(|at| at.saturating_sub(now))
        .fold(longest, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_looked_at_less_often_and_never_seldom() {
        for (spent, pause) in [(0, 2), (16, 2), (40, 5), (120, 15), (1800, 15)] {
            let between = between_looks(Duration::from_secs(spent));
            assert_eq!(between, Duration::from_secs(pause), "after {spent} s");
        }
    }

    #[test]
    fn a_moment_that_passed_meanwhile_is_looked_at_at_once_and_only_once() {
        let at = Duration::from_secs;
        let wait = |moments: &[u64], began, now| {
            let moments = moments.iter().map(|seconds| at(*seconds));
            soonest(moments, at(began), at(now), at(600))
        };
        assert_eq!(wait(&[], 10, 13), at(600));
        assert_eq!(wait(&[20, 15], 10, 13), at(2));
        // It passed while the reconcile ran.
        assert_eq!(wait(&[12, 20], 10, 13), at(0));
        // The next one has seen it.
        assert_eq!(wait(&[12, 20], 13, 13), at(7));
        assert_eq!(wait(&[12], 13, 14), at(600));
    }
}
