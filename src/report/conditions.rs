//! Conditions: what is said of each situation.
//!
//! Enters: where an Application stands.
//! Leaves: the list of conditions; a transition time moves only when a status flips.
//! Never: a condition that lies for lack of news: what is not known stays as it was.

use jiff::Timestamp;

use super::facts::{Facts, FetchState, Health};
use crate::{
    api::{Condition, ConditionStatus, ConditionType, Reason},
    model::text,
    rollout::{Failure, Held, State},
};

/// What is said of one type; None leaves it out.
struct Said {
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

fn say(status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Said {
    Said {
        status,
        reason,
        message: message.into(),
    }
}

/// Returns the conditions, given those that stood before.
pub(super) fn conditions(
    facts: &Facts<'_>,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    use ConditionStatus::{False, True};
    let mut list = Vec::new();
    let mut put = |kind: ConditionType, said: Option<Said>| {
        if let Some(said) = said {
            list.push(condition(kind, &said, facts.generation, previous, now));
        }
    };
    let held = previous
        .iter()
        .find(|condition| condition.kind == ConditionType::Ready);
    let stays = facts.paused.is_some() && held.is_some();
    if let Some(failure) = &facts.deleting {
        put(
            ConditionType::Ready,
            Some(say(False, failure.reason, failure.message.clone())),
        );
    } else if stays && let Some(ready) = held {
        let reason = Reason::parse(&ready.reason).unwrap_or(Reason::Paused);
        put(
            ConditionType::Ready,
            Some(say(ready.status, reason, ready.message.clone())),
        );
    } else {
        put(ConditionType::Ready, Some(ready(facts, previous)));
    }
    put(ConditionType::Reconciling, reconciling(facts));
    put(ConditionType::Stalled, stalled(facts));
    match facts.health {
        // Not looked at yet, for example after a restart: it stays as it was.
        Health::Unknown => {
            let known = previous
                .iter()
                .find(|condition| condition.kind == ConditionType::Healthy);
            let said = known.and_then(|known| {
                let reason = Reason::parse(&known.reason)?;
                Some(say(known.status, reason, known.message.clone()))
            });
            put(ConditionType::Healthy, said);
        }
        Health::Ready | Health::Progressing { .. } | Health::Failed(_) => {
            put(ConditionType::Healthy, healthy(facts));
        }
    }
    put(
        ConditionType::Fetched,
        match &facts.fetch {
            FetchState::NotYet => None,
            FetchState::Fetched => Some(say(True, Reason::Fetched, String::new())),
            FetchState::Failed { reason, message } => Some(say(False, *reason, message.clone())),
        },
    );
    put(
        ConditionType::Paused,
        match (&facts.paused, &facts.pinned) {
            (None, None) => None,
            (Some(paused), None) => Some(say(True, Reason::Paused, paused.clone())),
            (None, Some(pinned)) => Some(say(True, Reason::Pinned, pinned.clone())),
            (Some(paused), Some(pinned)) => {
                Some(say(True, Reason::Paused, format!("{paused}; {pinned}")))
            }
        },
    );
    put(
        ConditionType::PruneBlocked,
        facts
            .rollout
            .prune
            .as_ref()
            .map(|prune| {
                let hash = prune.plan.trim_start_matches("sha256:");
                let short = hash.get(..12).unwrap_or(hash);
                let why = match prune.why.as_str() {
                    "" => format!(
                        "would delete {}",
                        text::plural(prune.objects as usize, "object")
                    ),
                    why => why.to_owned(),
                };
                let message = format!(
                    "{why}; applied the other changes; deleted nothing; approve: plimsoll approve {} {short}",
                    facts.application.name
                );
                say(True, Reason::NeedsApproval, message)
            })
            .or_else(|| {
                let waits = facts.prune_waits.as_ref()?;
                Some(say(True, Reason::PruneBlocked, waits.clone()))
            }),
    );
    put(
        ConditionType::Drifted,
        facts
            .drifted
            .as_ref()
            .map(|message| say(True, Reason::DriftFound, message.clone())),
    );
    list
}

/// Returns the conditions of an Application that cannot be worked on at all.
pub(super) fn blocked_conditions(
    failure: &Failure,
    generation: i64,
    previous: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let said = |status| say(status, failure.reason, failure.message.clone());
    vec![
        condition(
            ConditionType::Ready,
            &said(ConditionStatus::False),
            generation,
            previous,
            now,
        ),
        condition(
            ConditionType::Stalled,
            &said(ConditionStatus::True),
            generation,
            previous,
            now,
        ),
    ]
}

/// Not looked at yet, for example after a restart: what was known of the same set stays as it was.
fn as_it_was(previous: &[Condition]) -> Said {
    let known = previous
        .iter()
        .find(|condition| condition.kind == ConditionType::Ready)
        .and_then(|ready| {
            let reason = Reason::parse(&ready.reason)?;
            matches!(reason, Reason::Healthy | Reason::Soaking | Reason::Degraded)
                .then(|| say(ready.status, reason, ready.message.clone()))
        });
    known.unwrap_or_else(|| {
        say(
            ConditionStatus::Unknown,
            Reason::Progressing,
            "not looked at yet",
        )
    })
}

fn ready(facts: &Facts<'_>, previous: &[Condition]) -> Said {
    use ConditionStatus::{False, True, Unknown};
    let refused = |failure: &Failure| say(False, failure.reason, failure.message.clone());
    // What the newest spec points at is not known: what is said of the set before would be said of another.
    if !facts.is_looked_at && !facts.rollout.is_in_flight() {
        return match &facts.fetch {
            FetchState::Failed { reason, message } => say(Unknown, *reason, message.clone()),
            FetchState::NotYet | FetchState::Fetched => say(
                Unknown,
                Reason::Progressing,
                "what the newest spec points at is not known yet",
            ),
        };
    }
    // What is under way is said first; a set that waits beside it is said when nothing is.
    if let Some(held) = facts
        .rollout
        .held
        .as_ref()
        .filter(|_| !facts.rollout.is_in_flight())
    {
        return waits(held);
    }
    match &facts.rollout.state {
        State::Idle if facts.rollout.applied.is_none() => match &facts.fetch {
            FetchState::Failed { reason, message } => say(Unknown, *reason, message.clone()),
            FetchState::NotYet | FetchState::Fetched => {
                say(Unknown, Reason::Progressing, "not applied yet")
            }
        },
        State::Idle | State::Pruning | State::Soaking { .. } => match &facts.health {
            Health::Failed(failure) => say(False, Reason::Degraded, failure.message.clone()),
            Health::Unknown => as_it_was(previous),
            Health::Ready | Health::Progressing { .. } => {
                let soaking = matches!(facts.rollout.state, State::Soaking { .. });
                let reason = if soaking {
                    Reason::Soaking
                } else {
                    Reason::Healthy
                };
                say(True, reason, applied_message(facts))
            }
        },
        State::Applying { target, .. } => say(
            Unknown,
            Reason::Applying,
            format!("applying {}", target.revision),
        ),
        State::Watching { target, .. } => {
            let waiting = match &facts.health {
                Health::Progressing { waiting } => format!(": {waiting}"),
                Health::Failed(failure) => format!(": {}", failure.message),
                Health::Unknown | Health::Ready => String::new(),
            };
            say(
                Unknown,
                Reason::Progressing,
                format!("{} becomes Ready{waiting}", target.revision),
            )
        }
        State::Returning { to, failure, .. } => say(
            Unknown,
            Reason::Returning,
            format!("{}; returning to {}", failure.message, to.revision),
        ),
        State::Failed {
            target,
            failure,
            returned: true,
        } => {
            let running = facts
                .rollout
                .applied
                .as_ref()
                .map_or_else(String::new, |set| set.revision.to_string());
            say(
                False,
                Reason::Returned,
                format!(
                    "{} of {} failed: {}; running {running}; the set {} is quarantined until a new commit or: plimsoll release {} {}",
                    failure.reason.as_str(),
                    target.revision,
                    failure.message,
                    target.digest.short(),
                    facts.application.name,
                    target.digest.short(),
                ),
            )
        }
        State::Failed { failure, .. } => refused(failure),
    }
}

fn waits(held: &Held) -> Said {
    if held.failure.reason == Reason::DependencyNotReady {
        return say(
            ConditionStatus::Unknown,
            held.failure.reason,
            held.failure.message.clone(),
        );
    }
    let again = match held.repeated {
        0 => String::new(),
        times => format!(" ({times} more times)"),
    };
    say(
        ConditionStatus::False,
        held.failure.reason,
        format!("{}{again}", held.failure.message),
    )
}

fn applied_message(facts: &Facts<'_>) -> String {
    facts
        .rollout
        .applied
        .as_ref()
        .map_or_else(String::new, |set| {
            let objects = facts.counts.map_or(0, |counts| {
                counts.ready + counts.progressing + counts.failed + counts.not_assessed
            });
            let not_assessed = match facts.counts.map_or(0, |counts| counts.not_assessed) {
                0 => String::new(),
                count => format!(", {count} not assessed"),
            };
            format!(
                "{}: {}{not_assessed}",
                set.revision,
                text::plural(objects as usize, "object")
            )
        })
}

fn reconciling(facts: &Facts<'_>) -> Option<Said> {
    let yes = |reason| Some(say(ConditionStatus::True, reason, String::new()));
    let awaits = facts
        .rollout
        .held
        .as_ref()
        .is_some_and(|held| held.failure.reason == Reason::DependencyNotReady);
    match &facts.rollout.state {
        State::Applying { .. } => yes(Reason::Applying),
        State::Watching { .. } => yes(Reason::Progressing),
        State::Returning { .. } => yes(Reason::Returning),
        State::Idle | State::Soaking { .. } | State::Pruning | State::Failed { .. } if awaits => {
            yes(Reason::DependencyNotReady)
        }
        State::Idle if facts.rollout.applied.is_none() && facts.rollout.held.is_none() => {
            yes(Reason::Progressing)
        }
        State::Idle | State::Soaking { .. } | State::Pruning | State::Failed { .. } => None,
    }
}

fn stalled(facts: &Facts<'_>) -> Option<Said> {
    if facts.rollout.is_in_flight() {
        return None;
    }
    if let Some(held) = &facts.rollout.held {
        let waits = held.failure.reason == Reason::DependencyNotReady;
        return (!waits).then(|| {
            say(
                ConditionStatus::True,
                held.failure.reason,
                held.failure.message.clone(),
            )
        });
    }
    match &facts.rollout.state {
        State::Failed {
            failure, returned, ..
        } => {
            let reason = if *returned {
                Reason::Returned
            } else {
                failure.reason
            };
            Some(say(ConditionStatus::True, reason, failure.message.clone()))
        }
        State::Idle
        | State::Applying { .. }
        | State::Watching { .. }
        | State::Soaking { .. }
        | State::Pruning
        | State::Returning { .. } => None,
    }
}

fn healthy(facts: &Facts<'_>) -> Option<Said> {
    use ConditionStatus::{False, True, Unknown};
    facts.rollout.applied.as_ref()?;
    Some(match &facts.health {
        Health::Unknown => return None,
        Health::Ready => say(True, Reason::Healthy, String::new()),
        Health::Progressing { waiting } => say(Unknown, Reason::Progressing, waiting.clone()),
        Health::Failed(failure) => say(False, failure.reason, failure.message.clone()),
    })
}

fn condition(
    kind: ConditionType,
    said: &Said,
    generation: i64,
    previous: &[Condition],
    now: Timestamp,
) -> Condition {
    let since = previous
        .iter()
        .find(|condition| condition.kind == kind && condition.status == said.status)
        .map_or(now, |condition| condition.last_transition_time);
    Condition {
        kind,
        status: said.status,
        observed_generation: generation,
        last_transition_time: since,
        reason: said.reason.as_str().to_owned(),
        message: text::cut(&said.message, 2048),
    }
}
