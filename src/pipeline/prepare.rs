//! Prepare: observe and plan the wanted set, and begin if nothing refuses it.
//!
//! Enters: the wanted set.
//! Leaves: an event: refused, held, satisfied, or begun with its head stored.
//! Never: a write to the cluster's objects.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Context, Error, Memory, Subject, dependency,
    inventory::{applied, empty_head, head_of, placed, written},
    memory::{Notes, Wanted},
    observe::{Hooks, Manner, observe_for},
    preflight,
    restore::is_exempt,
};
use crate::{
    api::{Class, Reason, SetStatus},
    cluster::Claim,
    model::{AttemptKind, Carried, Head, ObjectId, Refusal, RefusalReason, Yielded, text},
    plan::{Inventory, Plan, plan, questions, runs_anew},
    preflight::Finding,
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
    let told = match look_ahead(context, subject, memory, &wanted, &plan).await? {
        Ok(told) => told,
        Err(failure) => return Ok(Prepared::Event(refused(&wanted, failure))),
    };
    begin(context, subject, memory, &wanted, plan, &told).await
}

/// Returns what is to be told of a set that nothing refuses, or what the Application does not let pass.
async fn look_ahead(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    wanted: &Wanted,
    plan: &Plan,
) -> Result<Result<Vec<Finding>, Failure>, Error> {
    if plan.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let desired = placed(context, subject, memory, &wanted.rendered).await?;
    let reader = subject.reader(context);
    let shared = Some((&context.lists, (context.clock)().monotonic));
    let looked = preflight::look(&reader, &desired, plan, &subject.spec, shared).await?;
    if !looked.not_checked.is_empty() {
        tracing::info!(
            "the preflight did not check {}",
            text::list(&looked.not_checked, 10)
        );
    }
    let mut findings = looked.findings;
    if preflight::is_let_pass(memory, wanted) {
        findings = findings.only_told();
    }
    if !findings.refused().is_empty() {
        return Ok(Err(preflight::refusal(memory, wanted, findings.refused())));
    }
    Ok(Ok(findings.told().to_vec()))
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
    // First what runs: what both sets have alike is held once.
    let before = applied(context, subject, memory).await?;
    let desired = placed(context, subject, memory, &wanted.rendered).await?;
    let sets = written(context, subject, memory).await?;
    // A set was written in part: whatever the written sets hold is asked about anew.
    let mut doubtful: BTreeSet<ObjectId> = BTreeSet::new();
    if memory.rollout.partial {
        doubtful.extend(
            sets.iter()
                .flat_map(|written| written.set.iter().map(|object| object.id().clone())),
        );
    }
    doubtful.extend(memory.drifted.iter().cloned());
    doubtful.extend(
        desired
            .iter()
            .filter(|object| runs_anew(object))
            .map(|object| object.id().clone()),
    );
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
    let manner = Manner {
        read_all: false,
        hooks: Hooks::Run,
        ..Manner::of(&subject.spec)
    };
    let live = observe_for(context, subject, &asked, &desired, &sets, manner).await?;
    let policy = subject.policy();
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
    told: &[Finding],
) -> Result<Prepared, Error> {
    let now = (context.clock)();
    let attempt = memory.rollout.attempt + 1;
    let yields = yields(context, subject, memory, wanted, &plan).await?;
    let Carry {
        carried,
        from: carried_from,
    } = carry(context, subject, memory, wanted).await?;
    let kept = memory
        .rollout
        .written
        .iter()
        .chain(memory.rollout.good.iter().map(|set| &set.attempt))
        .copied()
        .find(|known| {
            let same = memory.sets.digest(*known) == Some(&wanted.desired.digest);
            // What is left to others, and what is carried, is known by the head that stored the set.
            let as_sent = memory
                .heads
                .get(known)
                .map_or(yields.is_empty(), |head| head.yields == yields);
            same && as_sent && carried_from.is_empty()
        });
    let set_attempt = kept.unwrap_or(attempt);
    let target = SetStatus {
        revision: wanted.desired.revision.clone(),
        digest: wanted.desired.digest.clone(),
        attempt: set_attempt,
    };
    let head = Head {
        asked: memory.asker.clone(),
        creates: plan.creates(),
        forces: plan.forces(),
        recreates: plan.recreates(),
        carried,
        carried_from,
        yields,
        ..empty_head(
            context,
            subject,
            attempt,
            AttemptKind::Sync,
            &target,
            now.wall,
        )
    };
    let rendered = wanted.rendered.rendered()?;
    let stored = kept.is_none().then(|| rendered.to_stored());
    let claim = context.keeper.store_head(&head, stored.as_ref()).await?;
    if let Some(error) = claimed_by_other(memory, attempt, claim) {
        return Err(error);
    }
    memory.sets.insert(set_attempt, rendered);
    memory.share_sets();
    let asked = memory.asker.take();
    memory.begin_notes(Notes {
        attempt,
        planned: memory.planning.as_ref().map(|planning| planning.since),
        began: Some(now.wall),
        asked,
        before: memory
            .rollout
            .applied
            .as_ref()
            .map(|set| set.revision.commit.clone()),
        unchanged: plan.unchanged(),
        creates: head.creates.iter().cloned().collect(),
        preflight: preflight::rules(told),
        ..Notes::default()
    });
    preflight::tell(memory, wanted, told);
    memory.plan = Some(Arc::new(plan));
    memory.plan_is_anew = false;
    let carried = head.carried_from.clone();
    if kept.is_none() {
        memory.heads.insert(attempt, Arc::new(head));
    }
    Ok(Prepared::Event(Event::Began {
        target,
        attempt,
        carried,
    }))
}

/// Returns what is left to those who owned it first: what was just found, and of objects that nobody was asked about
/// because they did not change, what the applied set left.
async fn yields(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    wanted: &Wanted,
    plan: &Plan,
) -> Result<Vec<Yielded>, Error> {
    let mut yields = plan.yields().to_vec();
    let before = match memory.rollout.applied.clone() {
        Some(applied) => head_of(context, subject, memory, applied.attempt).await?,
        None => None,
    };
    let desired = placed(context, subject, memory, &wanted.rendered).await?;
    for known in before.iter().flat_map(|head| &head.yields) {
        if !plan.was_asked(&known.id) && desired.iter().any(|object| *object.id() == known.id) {
            yields.push(known.clone());
        }
    }
    yields.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(yields)
}

/// Sets that are kept as such; what older ones hold travels on as ids (DESIGN.md, State).
const SETS: usize = 16;

/// What a head carries of sets that leave `written`.
struct Carry {
    carried: Vec<Carried>,
    from: Vec<u64>,
}

async fn carry(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    wanted: &Wanted,
) -> Result<Carry, Error> {
    let excess = (memory.rollout.written.len() + 1).saturating_sub(SETS);
    let rollout = &memory.rollout;
    let needed: BTreeSet<u64> = rollout
        .applied
        .iter()
        .chain(&rollout.good)
        .map(|set| set.attempt)
        .collect();
    let from: Vec<u64> = rollout
        .written
        .iter()
        .copied()
        .filter(|attempt| !needed.contains(attempt))
        .take(excess)
        .collect();
    if from.is_empty() {
        return Ok(Carry {
            carried: Vec::new(),
            from,
        });
    }
    let mut carried = Inventory::default();
    let mut elsewhere: BTreeSet<ObjectId> = placed(context, subject, memory, &wanted.rendered)
        .await?
        .iter()
        .map(|object| object.id().clone())
        .collect();
    for written in written(context, subject, memory).await? {
        if from.contains(&written.head.attempt) {
            carried.add(written.set.iter());
            carried.carry(&written.head.carried);
        } else {
            elsewhere.extend(written.set.iter().map(|object| object.id().clone()));
        }
    }
    let carried = carried
        .iter()
        .filter(|(id, _)| !elsewhere.contains(id))
        .map(|(id, owned)| Carried {
            id: id.clone(),
            api_version: owned.api_version.clone(),
            protected: owned.protected,
        })
        .collect();
    Ok(Carry { carried, from })
}

/// Another controller began this number: what we know is old, and everything is read anew.
pub(super) fn claimed_by_other(memory: &mut Memory, attempt: u64, claim: Claim) -> Option<Error> {
    if let Some(stored) = &mut memory.stored {
        stored.insert(attempt);
    }
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
