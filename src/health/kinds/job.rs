//! Jobs.
//!
//! Enters: a Job, its pods, events about it.
//! Leaves: Ready when it is complete. A Job that runs is on its way.
//! Never: a crash of one pod as a failure: how often it may crash is the Job's own `backoffLimit`.

use crate::{
    api::{Class, Reason},
    model::Now,
};

use super::{
    super::{
        aggregate::Health,
        assess::Member,
        case::{Case, Look, of},
        fields::{self, Condition},
        pods::{self, Finding, Restarts},
        rules::Rules,
        sightings::{Memory, Row},
    },
    stateful_set::refusal,
};

pub(super) fn job(case: &mut Case<'_>) -> Health {
    let live = case.live;
    let holds = |kind| fields::condition(live, kind).filter(Condition::is_true);
    if holds("Complete").is_some() {
        case.memory.completed = true;
        return Health::Ready;
    }
    if let Some(failed) = holds("Failed") {
        let message = case.say(&failed.words());
        case.memory.job_failure = Some(message.clone());
        return Health::failed(Reason::JobFailed, Class::Change, message);
    }
    if fields::flag(live, &["spec", "suspend"]) {
        return if fields::flag(case.wanted, &["spec", "suspend"]) {
            Health::unjudged(case.say("git suspends it"))
        } else {
            Health::Progressing {
                reason: Reason::Paused,
                class: None,
                message: case.say("somebody suspended it"),
            }
        };
    }
    let uid = fields::uid(live).unwrap_or_default();
    let pods = case.index.pods_of(uid);
    let told = pods::examine(case, uid, pods, Restarts::OwnersMatter, None);
    let active = fields::count(live, &["status", "active"]);
    let refused = refusal(case, active == 0, false);
    if let Some(finding) = Finding::worse(told, refused) {
        return finding.health(case);
    }
    let failed = fields::count(live, &["status", "failed"]);
    let succeeded = fields::count(live, &["status", "succeeded"]);
    let completions = fields::integer(live, &["spec", "completions"])
        .unwrap_or(1)
        .max(0);
    let done = of(succeeded, completions, "pod");
    if let Some(target) = holds("FailureTarget") {
        return case.waits_for(Class::Change, &format!("it fails: {}", target.words()));
    }
    if failed > 0 {
        // A Job whose pods fail and whose time runs out did not wait for the cluster.
        return case.waits_for(
            Class::Change,
            &format!("{done} succeeded, {failed} failed, {active} running"),
        );
    }
    case.waits(&format!("{done} succeeded, {active} running"))
}

/// Judges a Job that the watch does not have: with a time to live it is deleted when it is done.
pub(super) fn absent(
    member: &Member<'_>,
    rules: &Rules,
    memory: &mut Memory,
    now: Now,
    look: &mut Look,
) -> Health {
    if let Some(message) = memory.job_failure.clone() {
        return Health::failed(Reason::JobFailed, Class::Change, message);
    }
    if memory.completed {
        return Health::Ready;
    }
    if fields::integer(member.wanted, &["spec", "ttlSecondsAfterFinished"]).is_none() {
        return memory.missing(member.id);
    }
    // Written in this attempt and not seen yet: the watch may only be late. Not written in this attempt, or seen
    // before: it ended and its time is over.
    if member.applied_generation.is_some() && !memory.seen {
        let window = rules.windows.silent;
        let elapsed = memory.meet(Row::Silent, now);
        if elapsed < window {
            look.again_in(window.saturating_sub(elapsed));
            return memory.missing(member.id);
        }
    }
    Health::Ready
}
