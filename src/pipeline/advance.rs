//! Advance: one reconcile of one Application.
//!
//! Enters: the Application as the watch knows it, and memory.
//! Leaves: `Wake`: when to look again if nothing happens before.
//! Never: a wait inside; an error that stops another Application.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    Context, Error, Memory, Subject, barrier, command, finalize, health, hooks,
    inventory::placed_set,
    look,
    memory::{Hold, Rest},
    perform::{perform, queue, write_status},
    pin,
    prepare::{self, Prepared},
    prune,
    record::record_command,
    restore,
    stop::Stop,
    take_up,
    verdict::look_at_health,
    wake, watching,
    write::{self, Wrote},
};
use crate::{
    api::{Application, ApplicationStatus, Class, DeletionPolicy, FINALIZER, Reason},
    model::{Now, text},
    rollout::{self, Ending, Event, PruneOutcome, State, Work, step, work},
};

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Time from now.
    pub after: Duration,
    /// Whether the reconcile ended in an error.
    pub failed: bool,
    /// What the Application stands before.
    pub stage: Stage,
}

impl Wake {
    fn rests(after: Duration, failed: bool) -> Self {
        Self {
            after,
            failed,
            stage: Stage::Rests,
        }
    }
}

/// What an Application stands before, as far as it matters who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its set is written, or has to become Ready: somebody waits for it.
    UnderWay,
    /// It is Ready and soaks: nobody is waiting when that is over.
    Soaks,
    /// Neither.
    Rests,
}

/// Steps of one reconcile; a set goes from wanted to soaking in about eight.
const STEPS: usize = 32;
/// How soon an Application that waits for another is looked at again.
const DEPENDENCY_AGAIN: Duration = Duration::from_secs(2);

/// When an Application that cannot be worked on is looked at again, if it does not change before.
const REFUSED_AGAIN: Duration = Duration::from_secs(300);

/// Reconciles one Application as far as it goes without waiting.
pub async fn reconcile(
    context: &Context,
    application: &Application,
    memory: &mut Memory,
    stop: &Stop,
) -> Wake {
    let subject = match Subject::new(application, context) {
        Ok(subject) => subject.until(stop.asking()),
        Err(failure) if application.metadata.deletion_timestamp.is_some() => {
            match finalize::abandon(context, application, &failure).await {
                Ok(Some(failure)) => return refuse(context, application, memory, failure).await,
                Ok(None) => {
                    return Wake::rests(REFUSED_AGAIN, false);
                }
                Err(error) => {
                    tracing::warn!(error = %text::chain(&error), "could not let the Application go");
                    return Wake::rests(
                        memory.back_off((context.clock)().monotonic, Hold::Error),
                        true,
                    );
                }
            }
        }
        Err(failure) => return refuse(context, application, memory, failure).await,
    };
    if application.metadata.deletion_timestamp.is_none()
        && let Err(failure) = health::check(&subject, memory)
    {
        return refuse(context, application, memory, failure).await;
    }
    memory.blocked = None;
    let began = (context.clock)().monotonic;
    match run(context, application, &subject, memory, stop.writing()).await {
        // Ended, or done: what was asked is looked at anew when it is worked on again.
        Ok(()) => {
            memory.forgive();
            memory.rest(Rest::Short);
            context
                .metrics
                .count_reconcile(Some((context.clock)().wall.as_second()));
            Wake {
                after: wake::next(&subject, memory, began, (context.clock)()),
                failed: false,
                stage: stage(&memory.rollout.state),
            }
        }
        Err(error) => {
            context.metrics.count_reconcile(None);
            tracing::warn!(reason = error.reason().as_str(), error = %text::chain(&error), "reconcile failed; nothing was lost");
            let delay = memory.back_off((context.clock)().monotonic, Hold::Error);
            // What is known is said, if the API server can be asked at all; but nothing that is not recorded yet.
            if memory.pending.is_empty()
                && let Err(error) =
                    write_status(context, application, &subject, memory, false).await
            {
                tracing::debug!(error = %text::chain(&error), "could not write the status");
            }
            Wake::rests(delay, true)
        }
    }
}

fn stage(state: &State) -> Stage {
    match state {
        State::Applying { .. }
        | State::Watching { .. }
        | State::Returning { .. }
        | State::Pruning => Stage::UnderWay,
        State::Soaking { .. } => Stage::Soaks,
        State::Idle | State::Failed { .. } => Stage::Rests,
    }
}

/// An Application that cannot be worked on says why, and is looked at again when it changes.
async fn refuse(
    context: &Context,
    application: &Application,
    memory: &mut Memory,
    failure: rollout::Failure,
) -> Wake {
    let status = application.status.clone().unwrap_or_default();
    let key = super::application_key(application);
    let generation = application.metadata.generation.unwrap_or_default();
    let next = crate::report::blocked(&failure, generation, &status, (context.clock)());
    memory.blocked = Some(failure);
    memory.loaded = false;
    let after = REFUSED_AGAIN;
    if next == status {
        return Wake::rests(after, false);
    }
    let mut resource = application.clone();
    resource.status = Some(next);
    match context.keeper.put_status(&resource).await {
        Ok(_) => Wake::rests(after, false),
        Err(error) => {
            tracing::warn!(application = %key, error = %text::chain(&error), "could not write the status");
            Wake::rests(Duration::from_secs(5), true)
        }
    }
}

async fn run(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if !memory.loaded {
        let is_first = !memory.taken_up;
        memory.look_anew();
        let fresh = fresh(context, application, memory).await?;
        memory.status = fresh.status.unwrap_or_default();
        memory.resource_version = fresh.metadata.resource_version.unwrap_or_default();
        let status: ApplicationStatus = memory.status.clone();
        if memory.is_new && is_first && application.status.is_none() {
            memory.nobody_before();
        } else {
            take_up::take_up(context, subject, memory, &status).await?;
        }
    }
    if application.metadata.deletion_timestamp.is_some() {
        return finalize::finalize(context, application, subject, memory, stop).await;
    }
    keep_finalizer(context, application, subject).await?;
    // What an earlier reconcile decided and could not perform comes before anything else.
    perform(context, application, subject, memory).await?;
    let mut events = commands(context, subject, memory).await?;
    let now = (context.clock)();
    let paused = command::paused(subject, now).is_some();
    if !paused {
        // The end of a pin asks git, so it comes first.
        events.extend(pin::take_up(context, subject, memory, now).await?);
        let looked = look::look(context, subject, memory, now).await;
        // What git says is known and not acted on while a person holds another set.
        if memory.pinned.is_none() {
            events.extend(looked);
        }
        events.extend(due_retries(memory, now));
        events.extend(is_approved(subject, memory).then_some(Event::PruneApproved));
    }
    for event in events {
        take(context, application, subject, memory, event, stop).await?;
    }
    for _ in 0..STEPS {
        if stop.is_cancelled() {
            break;
        }
        let git = memory.wanted.as_ref().map(|wanted| &wanted.desired);
        let desired = memory.pin().over(git);
        let next = work(&memory.rollout, desired.as_ref(), paused);
        if memory.ask_since.is_none() && is_wanted(memory) {
            // What a person asked for is there.
            memory.asker = None;
            memory.retry_due = false;
        }
        let event = match do_work(context, subject, memory, next, paused, stop).await {
            Err(Error::Ended) => None,
            done => done?,
        };
        let Some(event) = event else { break };
        take(context, application, subject, memory, event, stop).await?;
    }
    write_status(context, application, subject, memory, false).await?;
    sweep_if_due(context, subject, memory).await;
    Ok(())
}

/// Says whether what git wants is what runs.
fn is_wanted(memory: &Memory) -> bool {
    let wanted = memory.wanted.as_ref().map(|wanted| &wanted.desired.digest);
    let applied = memory.rollout.applied.as_ref().map(|set| &set.digest);
    wanted.is_some() && wanted == applied && !matches!(memory.rollout.state, State::Failed { .. })
}

/// Returns the Application to take up. The first time the watch's is new enough; a second time in one process means
/// that what was known was old, and the watch may be so too.
async fn fresh(
    context: &Context,
    application: &Application,
    memory: &mut Memory,
) -> Result<Application, Error> {
    let again = std::mem::replace(&mut memory.taken_up, true);
    if !again {
        return Ok(application.clone());
    }
    let key = super::application_key(application);
    Ok(context
        .keeper
        .get_application(&key)
        .await?
        .unwrap_or_else(|| application.clone()))
}

/// An Application has a finalizer only under `Cascade` (DESIGN.md, State).
async fn keep_finalizer(
    context: &Context,
    application: &Application,
    subject: &Subject,
) -> Result<(), Error> {
    let has = application
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == FINALIZER);
    let wants = subject.spec.deletion == DeletionPolicy::Cascade;
    if has != wants {
        finalize::put_finalizer(context, application, wants).await?;
    }
    Ok(())
}

/// Takes up new commands: a record each, and their events.
async fn commands(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    for (identity, asked, event) in command::new_commands(subject, memory) {
        if asked.verb == "sync" || asked.verb == "release" {
            memory.ask_git((context.clock)().monotonic);
            memory.settle();
            events.extend(cancelled_before(memory));
        }
        let asker = record_command(context, subject, memory, &asked).await?;
        if asked.verb == "sync" || asked.verb == "release" {
            memory.asker = Some(asker);
        }
        command::handled(memory, identity);
        events.extend(event);
    }
    Ok(events)
}

/// Says whether the prune that waits is approved. Not the command counts but that it stands: it may have been given
/// while something else was under way.
fn is_approved(subject: &Subject, memory: &Memory) -> bool {
    memory.rollout.prune.as_ref().is_some_and(|prune| {
        let mut approvals = subject.spec.commands.approve.iter();
        approvals.any(|approve| approve.plan == prune.plan)
    })
}

/// What a person ended is taken up again when a person asks for it.
fn cancelled_before(memory: &Memory) -> Option<Event> {
    let held = memory.rollout.held.as_ref();
    if let Some(held) = held.filter(|held| held.failure.reason == Reason::Cancelled) {
        let digest = held.digest.clone();
        return digest.map(|digest| Event::Released { digest });
    }
    match &memory.rollout.state {
        State::Failed {
            target, failure, ..
        } if failure.reason == Reason::Cancelled => Some(Event::Released {
            digest: target.digest.clone(),
        }),
        State::Idle
        | State::Applying { .. }
        | State::Watching { .. }
        | State::Soaking { .. }
        | State::Pruning
        | State::Returning { .. }
        | State::Failed { .. } => None,
    }
}

/// Digests whose quarantine ends by itself: an image that was not found may have been pushed since.
fn due_retries(memory: &Memory, now: Now) -> Vec<Event> {
    let wanted = memory.sought().map(|wanted| &wanted.desired.digest);
    memory
        .rollout
        .quarantine
        .iter()
        .filter(|entry| {
            Some(&entry.digest) == wanted && entry.retry_at.is_some_and(|at| at <= now.wall)
        })
        .map(|entry| Event::RetryDue {
            digest: entry.digest.clone(),
        })
        .collect()
}

/// Takes a step and performs its effects.
async fn take(
    context: &Context,
    application: &Application,
    subject: &Subject,
    memory: &mut Memory,
    event: Event,
    stop: &CancellationToken,
) -> Result<(), Error> {
    if let Some(ended) = ends_prune(memory, &event) {
        // It has a record of its own, before what ends it goes on.
        Box::pin(take(context, application, subject, memory, ended, stop)).await?;
        memory.prune_attempt = None;
    }
    let now = (context.clock)();
    let before = std::mem::discriminant(&memory.rollout.state);
    let moment = Moment::of(&event);
    barrier::look(context, subject, memory).await?;
    let gates = barrier::gates(subject, memory);
    let ran_good = runs_good(memory);
    let taken = step(memory.rollout.clone(), event, &gates, now);
    let (rollout, effects) = taken.into_parts();
    if let Some(target) = hooks::failed(&memory.rollout.state, &rollout.state) {
        // Before the end is told: what ran belongs to the record of the attempt.
        hooks::run(context, subject, memory, &target).await;
    }
    tracing::debug!(
        phase = rollout.phase().as_str(),
        effects = effects.len(),
        "step"
    );
    note_moment(memory, moment, &rollout.state, now);
    let was_good = memory.rollout.good.clone();
    if matches!(rollout.state, State::Applying { wave: 0, .. })
        && rollout.attempt != memory.rollout.attempt
    {
        // A new attempt: what older ones had under way is over, and its clock is its own.
        memory.applying_since = Some(now.monotonic);
        memory.sightings = crate::health::Sightings::default();
        memory.return_begun = false;
        memory.prune_attempt = None;
        memory.drift_attempt = None;
        // What failed in the last known good before is not this attempt's fault, and no return would mend it.
        memory.before = if ran_good {
            std::mem::take(&mut memory.failing)
        } else {
            std::collections::BTreeMap::new()
        };
    }
    memory.rollout = rollout;
    memory.look_anew();
    if before != std::mem::discriminant(&memory.rollout.state) {
        entered(memory, now);
    }
    if memory.rollout.good != was_good && memory.rollout.good.is_some() {
        memory.sweep_due = true;
    }
    queue(context, subject, memory, effects);
    perform(context, application, subject, memory).await
}

/// Returns the end of a prune that was begun, where this event ends it.
fn ends_prune(memory: &Memory, event: &Event) -> Option<Event> {
    let attempt = memory.prune_attempt?;
    let ending = match (&memory.rollout.state, event) {
        (State::Pruning, Event::Began { .. }) => Ending::Superseded,
        (State::Pruning, Event::Cancelled { by }) => Ending::Cancelled { by: by.clone() },
        _ => return None,
    };
    Some(Event::Prune {
        attempt: Some(attempt),
        outcome: PruneOutcome::Ended(ending),
    })
}

/// What an event is a moment of, for the record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Applied,
    Restored,
    RetryDue,
    Other,
}

impl Moment {
    fn of(event: &Event) -> Self {
        match event {
            Event::Applied => Self::Applied,
            Event::Restored => Self::Restored,
            Event::RetryDue { .. } => Self::RetryDue,
            _ => Self::Other,
        }
    }
}

fn note_moment(memory: &mut Memory, moment: Moment, next: &State, now: Now) {
    match moment {
        Moment::Applied => memory.notes.applied = Some(now.wall),
        Moment::Restored => memory.notes.restored = Some(now.wall),
        Moment::RetryDue => memory.retry_due = true,
        Moment::Other => {}
    }
    let returns = |state: &State| matches!(state, State::Returning { .. });
    if returns(next) && !returns(&memory.rollout.state) {
        memory.notes.failed = Some(now.wall);
    }
}

/// Says whether what runs is the last known good.
fn runs_good(memory: &Memory) -> bool {
    match (&memory.rollout.applied, &memory.rollout.good) {
        (Some(applied), Some(good)) => applied.digest == good.digest,
        (None, _) | (_, None) => false,
    }
}

/// What begins anew with a state: its clock, and what was sighted.
fn entered(memory: &mut Memory, now: Now) {
    memory.assessed = Some(now.monotonic);
    memory.next_look = None;
    match memory.rollout.state {
        State::Watching { .. } => {
            memory.watching_since = Some(now.monotonic);
            memory.sightings = crate::health::Sightings::default();
            memory.freed.clear();
            memory.settle();
        }
        State::Idle | State::Soaking { .. } => memory.settle(),
        State::Applying { .. } => memory.applying_since = Some(now.monotonic),
        State::Pruning | State::Returning { .. } | State::Failed { .. } => {}
    }
}

/// Does one piece of work; None where nothing more can be done now.
async fn do_work(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    next: Work,
    paused: bool,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let now = (context.clock)();
    match next {
        Work::Accept => Ok(memory.sought().map(|wanted| Event::Satisfied {
            revision: wanted.desired.revision.clone(),
        })),
        Work::Prepare if wanted_is_held(memory, now) => {
            look_at_health(context, subject, memory, paused, stop).await
        }
        Work::Prepare => prepare(context, subject, memory, paused, stop).await,
        Work::Apply { .. } | Work::Restore { .. } | Work::Remove { .. }
            if memory.holds(now.monotonic, &Hold::Error) =>
        {
            Ok(None)
        }
        Work::Apply { .. }
            if memory
                .applying_since
                .is_some_and(|at| now.since(at) >= subject.gates.timeout) =>
        {
            memory.plan = None;
            let (waits, class) = memory
                .apply_waits
                .take()
                .map_or((String::new(), Class::Environment), |(waits, class)| {
                    (format!(": waits for {waits}"), class)
                });
            Ok(Some(Event::ApplyFailed(rollout::Failure {
                reason: Reason::HealthTimeout,
                class,
                message: format!(
                    "not written within {}{waits}",
                    text::duration(subject.gates.timeout),
                ),
            })))
        }
        Work::Apply { target } => {
            let objects =
                placed_set(context, subject, memory, target.attempt, &target.digest).await?;
            watching::demand(context, subject, memory, &objects);
            match write::write_wave(context, subject, memory, &target, stop).await? {
                Wrote::Event(event) => {
                    if matches!(event, Event::ApplyFailed(_)) {
                        memory.back_off(now.monotonic, Hold::Set(target.digest.clone()));
                    }
                    Ok(Some(event))
                }
                Wrote::Wait(wait) => {
                    memory.next_look = Some(now.monotonic + wait);
                    Ok(None)
                }
            }
        }
        Work::Look if memory.sees_nothing_new(subject.generation, now.monotonic) => Ok(None),
        Work::Look => look_at_health(context, subject, memory, paused, stop).await,
        Work::Prune
            if memory.holds(now.monotonic, &Hold::Prune)
                || context.archive.forbids_changes().is_some() =>
        {
            look_at_health(context, subject, memory, paused, stop).await
        }
        Work::Prune => {
            let event = prune::prune(context, subject, memory, stop).await?;
            memory.prune_waits = None;
            if let Event::Prune {
                outcome: PruneOutcome::Partly { why },
                ..
            } = &event
            {
                memory.prune_waits = Some(why.clone());
                memory.back_off(now.monotonic, Hold::Prune);
            }
            Ok(Some(event))
        }
        Work::Restore { to, from } => {
            restore::restore(context, subject, memory, &to, &from, stop).await
        }
        Work::Remove { to, from } => Ok(Some(
            restore::remove(context, subject, memory, &to, &from, stop).await?,
        )),
    }
}

fn wanted_is_held(memory: &Memory, now: Now) -> bool {
    memory.sought().is_some_and(|wanted| {
        memory.holds(now.monotonic, &Hold::Set(wanted.desired.digest.clone()))
    })
}

fn hold_wanted(memory: &mut Memory, now: Now) {
    if let Some(digest) = memory.sought().map(|wanted| wanted.desired.digest.clone()) {
        memory.back_off(now.monotonic, Hold::Set(digest));
    }
}

async fn prepare(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    paused: bool,
    stop: &CancellationToken,
) -> Result<Option<Event>, Error> {
    let now = (context.clock)();
    memory.plans(now.wall);
    let prepared = prepare::prepare(context, subject, memory).await;
    if !matches!(prepared, Err(Error::Ended)) {
        memory.planning = None;
    }
    match prepared? {
        Prepared::Event(event) => {
            // Asked again later: the owner of a field, a right, or a dependency can change without git.
            match &event {
                Event::Held { failure, .. }
                    if matches!(
                        failure.reason,
                        Reason::DependencyNotReady | Reason::HistoryStopped
                    ) =>
                {
                    hold_wanted(memory, now);
                    memory.hold_at_most(now.monotonic + DEPENDENCY_AGAIN);
                }
                Event::Refused { .. } | Event::Held { .. } => hold_wanted(memory, now),
                _ => {}
            }
            Ok(Some(event))
        }
        Prepared::Later => look_at_health(context, subject, memory, paused, stop).await,
    }
}

/// Deletes stored sets that the status in the cluster does not name any more: never before it was written, for the
/// next life of the controller believes it.
async fn sweep_if_due(context: &Context, subject: &Subject, memory: &mut Memory) {
    let (status, rollout) = (&memory.status, &memory.rollout);
    let stored = status.written == rollout.written
        && status.applied == rollout.applied
        && status.last_known_good == rollout.good
        && status.earlier_good == rollout.earlier_good
        && status.attempt == rollout.attempt;
    if !memory.sweep_due || !stored || memory.rollout.is_in_flight() {
        return;
    }
    match take_up::sweep(context, subject, memory).await {
        Ok(()) => memory.sweep_due = false,
        Err(error) => tracing::debug!(error = %text::chain(&error), "could not sweep stored sets"),
    }
}
