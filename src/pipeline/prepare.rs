//! Prepare: observe and plan the wanted set, and begin if nothing refuses it.
//!
//! Enters: the wanted set.
//! Leaves: an event: refused, held, satisfied, or begun with its head stored.
//! Never: a write to the cluster's objects.

use std::collections::BTreeSet;

use super::{
    Context, Error, Memory, Subject, dependency,
    inventory::{applied, forms, placed, written},
    memory::{Notes, Wanted},
    observe::{Manner, observe},
    restore::is_exempt,
};
use crate::{
    api::{Class, Reason, SetStatus},
    cluster::{Claim, Identity},
    model::{AttemptKind, Head, ObjectId, Refusal, RefusalReason, text},
    plan::{Plan, Policy, plan, questions},
    report::StageLabel,
    rollout::{Event, Failure, State},
};

/// What becomes of a preparation.
pub(super) enum Prepared {
    /// An event for the rollout.
    Event(Event),
    /// Nothing can be said now: tried again later.
    Later,
}

/// Prepares the wanted set.
pub(super) async fn prepare(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Prepared, Error> {
    let Some(wanted) = memory.sought().cloned() else {
        return Ok(Prepared::Later);
    };
    if let Some(failure) = hold_reason(context, subject, memory, &wanted).await? {
        return Ok(Prepared::Event(Event::Held {
            digest: Some(wanted.desired.digest.clone()),
            revision: wanted.desired.revision.clone(),
            failure,
        }));
    }
    let plan = match plan_wanted(context, subject, memory, &wanted).await {
        Ok(plan) => plan,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => return Ok(Prepared::Event(refused(&wanted, error.to_failure()))),
    };
    if plan.is_refused() {
        let failure = refusal_failure(memory, &wanted, &plan);
        return Ok(Prepared::Event(refused(&wanted, failure)));
    }
    begin(context, subject, memory, &wanted, plan).await
}

fn refused(wanted: &Wanted, failure: Failure) -> Event {
    Event::Refused {
        digest: Some(wanted.desired.digest.clone()),
        revision: wanted.desired.revision.clone(),
        failure,
    }
}

/// What keeps a set out although the API server might take it.
async fn hold_reason(
    context: &Context,
    subject: &Subject,
    memory: &Memory,
    wanted: &Wanted,
) -> Result<Option<Failure>, Error> {
    if let Some(entry) = memory.rollout.quarantined(&wanted.desired.digest) {
        return Ok(Some(Failure {
            reason: Reason::Quarantined,
            class: entry.class,
            message: format!(
                "the set {} failed before ({}) and is not tried again; push a change, or: plimsoll release {} {}",
                wanted.desired.digest.short(),
                entry.reason,
                subject.key.name,
                wanted.desired.digest.short()
            ),
        }));
    }
    if let Some(why) = context.archive.forbids_changes() {
        return Ok(Some(Failure {
            reason: Reason::HistoryStopped,
            class: Class::Environment,
            message: format!(
                "{}: nothing is changed while records cannot be kept: {why}",
                wanted.desired.revision
            ),
        }));
    }
    dependency::waits_for(context, subject).await
}

async fn plan_wanted(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    wanted: &Wanted,
) -> Result<Plan, Error> {
    let started = (context.clock)().monotonic;
    let desired = placed(context, subject, &wanted.rendered).await?;
    let before = applied(context, subject, memory).await?;
    let sets = written(context, subject, memory).await?;
    // A set was written in part: whatever the written sets hold is asked about anew.
    let mut doubtful: BTreeSet<ObjectId> = BTreeSet::new();
    if memory.rollout.partial {
        doubtful.extend(
            sets.iter()
                .flat_map(|(_, set)| set.iter().map(|object| object.id().clone())),
        );
    }
    doubtful.extend(memory.drifted.iter().cloned());
    if matches!(memory.rollout.state, State::Failed { returned: true, .. }) {
        // What the return left as it was is not what the restored set says.
        doubtful.extend(
            desired
                .iter()
                .filter(|object| is_exempt(object))
                .map(|object| object.id().clone()),
        );
    }
    let asked = questions(
        &desired,
        before.as_ref().map(|set| set.as_slice()),
        &doubtful,
    );
    let reader = context
        .cluster
        .reader(Identity::Account(subject.account.clone()));
    let manner = Manner {
        conflicts: subject.spec.apply.conflicts,
        drift: subject.spec.drift,
        read_all: false,
    };
    let live = observe(&reader, &asked, &desired, &forms(&sets), manner).await?;
    let policy = Policy {
        application: subject.key.clone(),
        conflicts: subject.spec.apply.conflicts,
        partial: subject.spec.apply.partial,
    };
    let plan = plan(
        desired.to_vec(),
        before.as_ref().map(|set| set.as_slice()),
        &live,
        &policy,
    );
    context
        .metrics
        .observe_stage(StageLabel::Observe, (context.clock)().since(started));
    Ok(plan)
}

/// Returns the failure that a refused plan is, every refusal listed.
pub(super) fn refusal_failure(memory: &Memory, wanted: &Wanted, plan: &Plan) -> Failure {
    let running = memory.rollout.applied.as_ref().map_or_else(
        || "nothing was applied".to_owned(),
        |set| format!("still running {}; nothing was changed", set.revision),
    );
    let failure = refusals_failure(plan.refused());
    Failure {
        message: format!(
            "{}: {}; {running}",
            wanted.desired.revision, failure.message
        ),
        ..failure
    }
}

/// Returns one failure for many refusals: the reason of the first, the class of the worst.
pub(super) fn refusals_failure(refusals: &[Refusal]) -> Failure {
    let reason = refusals
        .first()
        .map_or(Reason::DryRunRefused, |first| match first.reason {
            RefusalReason::Conflict => Reason::Conflict,
            RefusalReason::OwnedByOther => Reason::OwnedByOther,
            RefusalReason::Immutable => Reason::Immutable,
            RefusalReason::Forbidden => Reason::Forbidden,
            RefusalReason::QuotaExceeded => Reason::QuotaExceeded,
            RefusalReason::TooLarge => Reason::ObjectTooLarge,
            RefusalReason::WebhookDown | RefusalReason::Unavailable => Reason::ApiUnavailable,
            RefusalReason::Invalid
            | RefusalReason::Denied
            | RefusalReason::NamespaceMissing
            | RefusalReason::NamespaceTerminating
            | RefusalReason::KindUnknown
            | RefusalReason::Other => Reason::DryRunRefused,
        });
    let environment = !refusals.is_empty()
        && refusals
            .iter()
            .all(|refusal| refusal.reason.is_environment());
    Failure {
        reason,
        class: if environment {
            Class::Environment
        } else {
            Class::Change
        },
        message: text::cut(
            &format!(
                "the API server refuses {}: {}",
                text::plural(refusals.len(), "object"),
                text::list(refusals, 10)
            ),
            1500,
        ),
    }
}

/// Stores the head and with it the claim on the attempt (law 3), then remembers the plan.
async fn begin(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    wanted: &Wanted,
    plan: Plan,
) -> Result<Prepared, Error> {
    let now = (context.clock)();
    let attempt = memory.rollout.attempt + 1;
    let kept = memory
        .rollout
        .written
        .iter()
        .chain(memory.rollout.good.iter().map(|set| &set.attempt))
        .copied()
        .find(|known| {
            memory
                .sets
                .get(known)
                .is_some_and(|set| set.digest() == &wanted.desired.digest)
        });
    let set_attempt = kept.unwrap_or(attempt);
    let head = Head {
        application_uid: subject.uid.clone(),
        attempt,
        kind: AttemptKind::Sync,
        digest: wanted.desired.digest.clone(),
        revision: wanted.desired.revision.clone(),
        set_attempt,
        holder: context.identity.clone(),
        began: now.wall,
        asked: memory.asker.clone(),
        creates: plan.creates(),
        forces: plan.forces(),
        deletes: Vec::new(),
        carried: Vec::new(),
    };
    let stored = wanted.rendered.to_stored();
    let claim = context
        .keeper
        .store_head(&head, kept.is_none().then_some(&stored))
        .await?;
    if let Some(error) = claimed_by_other(memory, attempt, claim) {
        return Err(error);
    }
    memory.sets.insert(set_attempt, wanted.rendered.clone());
    let asked = memory.asker.take();
    memory.begin_notes(Notes {
        attempt,
        began: Some(now.wall),
        asked,
        before: memory
            .rollout
            .applied
            .as_ref()
            .map(|set| set.revision.commit.clone()),
        unchanged: plan.unchanged(),
        creates: head.creates.iter().cloned().collect(),
        ..Notes::default()
    });
    memory.plan = Some(plan);
    Ok(Prepared::Event(Event::Began {
        target: SetStatus {
            revision: wanted.desired.revision.clone(),
            digest: wanted.desired.digest.clone(),
            attempt: set_attempt,
        },
        attempt,
    }))
}

/// Another controller began this number: what we know is old, and everything is read anew.
pub(super) fn claimed_by_other(memory: &mut Memory, attempt: u64, claim: Claim) -> Option<Error> {
    match claim {
        Claim::Ours => None,
        // The head of an earlier life with the same number: it is taken up, not overwritten.
        Claim::AlreadyOurs(_) => {
            memory.loaded = false;
            Some(Error::failure(
                Reason::Superseded,
                Class::Environment,
                format!("attempt {attempt} was begun before; taking it up"),
            ))
        }
        Claim::Other { holder } => {
            memory.loaded = false;
            Some(Error::failure(
                Reason::Superseded,
                Class::Environment,
                format!("attempt {attempt} was begun by {holder}"),
            ))
        }
    }
}
