//! The work on the Applications in our slots.
//!
//! Enters: our share as it changes, Applications, hints of the watches, ends of reconciles, time.
//! Leaves: reconciles, at most so many at once and one an Application; the word that work in slots has ended.
//! Never: one Application in the way of another; work in a slot that is not ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    allocator,
    crowd::{self, Crowd},
    queue::Queue,
    share::{Kept, Ours},
};
use crate::{
    api::{Application, Reason},
    cluster::{ApplicationEvent, Applications, Event, EventType, Hint, WatchKey, push_name},
    model::{ApplicationKey, GroupKind, ObjectId, RepositoryName, Slot, Slots, text},
    pipeline::{Context, Memory, Rest, Stop, Wake, reconcile},
};

/// Hints of one object that come together are looked at together.
const GATHER: Duration = Duration::from_millis(10);
/// How often stored sets of Applications that are gone are looked for, and how long those stay (DESIGN.md, State).
const TIDY: Duration = Duration::from_secs(600);
const MOURNED: Duration = Duration::from_secs(3600);
/// After how long without a reconcile an Application's memory is packed whole.
const REST: Duration = Duration::from_secs(30);
/// Between two times that free memory is given back while something is always under way.
const BUSY: Duration = Duration::from_secs(120);
/// How often the queue is measured: to count what is due is to go through it.
const MEASURE: Duration = Duration::from_millis(250);
/// Applications that are told before the watch waits for us.
const NEWS: usize = 256;
/// Pause after a reconcile that did not end as it must: a bug that comes again must not become a loop.
const AFTER_A_BUG: Duration = Duration::from_secs(30);
/// How long a stop waits for reconciles to come to an object boundary.
const PATIENCE: Duration = Duration::from_secs(8);

/// What comes from outside.
pub(super) struct News<'a> {
    /// What the watches saw.
    pub(super) hints: mpsc::Receiver<Hint>,
    /// Repositories that were pushed to.
    pub(super) pushes: &'a mut mpsc::Receiver<RepositoryName>,
    /// What is ours.
    pub(super) ours: Ours,
}

/// What is known of one Application outside of its reconciles.
pub(super) struct Entry {
    application: Arc<Application>,
    /// Name of its repository, as pushes tell it.
    pub(super) repository: Option<String>,
    memory: Option<Memory>,
    /// When it was worked on last.
    worked: Duration,
    touched: BTreeSet<ObjectId>,
    /// Whether a watch began, listed anew or was lost.
    watch_spoke: bool,
    /// Since when git is to be asked; taken by the next reconcile, for one may be under way.
    pub(super) ask: Option<Duration>,
    unwatchable: BTreeSet<GroupKind>,
    /// How it was found; taken when it is worked on first.
    found: Option<Found>,
    stop: CancellationToken,
    /// Ends the reconcile that is under way at its next object: there is news that it does not know.
    pub(super) interrupt: Stop,
}

/// How an Application was found.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// It was there when its slot became ours, with all the others.
    There,
    /// Its slot came to us later: another replica may have worked on it until then.
    Elsewhere,
    /// It came into being since: nobody has worked on it.
    New,
}

/// The end of one reconcile.
struct Done {
    key: ApplicationKey,
    uid: Option<String>,
    memory: Memory,
    wake: Wake,
}

pub(super) struct Work {
    pub(super) context: Arc<Context>,
    pub(super) entries: BTreeMap<ApplicationKey, Entry>,
    pub(super) busy: BTreeSet<ApplicationKey>,
    pub(super) queue: Queue,
    crowd: Crowd,
    /// When the queue was measured last.
    measured: Duration,
    tasks: JoinSet<Done>,
    given_back: Duration,
    running: BTreeMap<tokio::task::Id, ApplicationKey>,
    workers: usize,
    stop: CancellationToken,
    /// Applications that are gone, by UID, and since when: their stored sets go an hour later.
    pub(super) gone: BTreeMap<String, (Option<ApplicationKey>, Duration)>,
    /// When a repository is asked because of a push, the last time or the next.
    pub(super) pushed: BTreeMap<String, Duration>,
    /// Number of the next push that another replica tells of.
    pub(super) next_push: u64,
    /// Whether those that existed when the lease became ours have all been told: one that comes later is new.
    all_known: bool,
    /// What was stored when our slots became ours.
    pub(super) kept: Kept,
    pub(super) applications: Applications,
    pub(super) ours: Ours,
    /// The slots that we work in.
    pub(super) slots: Slots,
    /// Those of them that were ours before the Applications were listed.
    pub(super) first: Slots,
}

/// Works until told to stop, then waits for what is under way. Says whether all of it ended.
pub(super) async fn work(
    context: Arc<Context>,
    news_from: News<'_>,
    workers: usize,
    stop: CancellationToken,
) -> bool {
    let News {
        mut hints,
        pushes,
        mut ours,
    } = news_from;
    let share = ours.now();
    let slots = share.as_ref().map_or(Slots::NONE, |share| share.slots);
    let applications = Applications::new(&context.cluster, None);
    let (told, mut news) = mpsc::channel(NEWS);
    let followed = applications.clone();
    let follow = followed.run(told);
    tokio::pin!(follow);
    let mut kept = Kept::default();
    if !slots.is_empty() {
        // The Applications are listed meanwhile, as far as the channel takes them: a start waits for the longer of both.
        tokio::select! {
            () = kept.read(&context.keeper, slots, slots) => {}
            () = &mut follow => return true,
        }
    }
    let mut work = Work {
        entries: BTreeMap::new(),
        busy: BTreeSet::new(),
        queue: Queue::default(),
        crowd: Crowd::default(),
        measured: Duration::ZERO,
        tasks: JoinSet::new(),
        given_back: Duration::ZERO,
        running: BTreeMap::new(),
        workers: workers.max(1),
        stop: stop.clone(),
        gone: BTreeMap::new(),
        pushed: BTreeMap::new(),
        next_push: share.as_ref().map_or(0, |share| share.next_push),
        all_known: false,
        kept,
        applications,
        ours: ours.clone(),
        slots,
        first: slots,
        context,
    };
    work.tell_ended();
    let mut tidy = tokio::time::interval(TIDY);
    // Nothing is gone for long when it begins, and everybody waits to be taken up.
    tidy.reset();
    let mut rest = tokio::time::interval(REST);
    loop {
        work.start_due();
        let sleep = work.sleep();
        tokio::select! {
            () = stop.cancelled() => break,
            () = &mut follow => break,
            Some(event) = news.recv() => work.application(event).await,
            Some(hint) = hints.recv() => work.hint(hint),
            Some(pushed) = pushes.recv() => work.pushed(&pushed),
            share = ours.changed() => work.share(share).await,
            Some(done) = work.tasks.join_next_with_id(), if !work.tasks.is_empty() => work.done(done),
            _ = tidy.tick() => work.tidy().await,
            _ = rest.tick() => work.rest(),
            () = sleep => {}
        }
    }
    work.stop.cancel();
    let rest = async { while work.tasks.join_next().await.is_some() {} };
    let ended = tokio::time::timeout(PATIENCE, rest).await.is_ok();
    if !ended {
        tracing::warn!("reconciles did not come to an object boundary in time; they are cut");
    }
    ended
}

/// Returns the name of an Application's repository, as pushes tell it.
fn repository_of(application: &Application) -> Option<String> {
    RepositoryName::parse(&application.spec.source.repo).map(|name| push_name(&name))
}

/// Says whether a person wants no more of what is under way, not even what is only asked for it.
fn ends(before: &Application, after: &Application) -> bool {
    let (old, new) = (&before.spec.commands, &after.spec.commands);
    old.cancel != new.cancel
        || old.pause != new.pause
        || before.metadata.deletion_timestamp != after.metadata.deletion_timestamp
}

/// Returns an empty memory, with what is known of an Application that is worked on for the first time.
fn first_memory(key: &ApplicationKey, entry: &mut Entry, kept: &mut Kept) -> Memory {
    let mut memory = Memory::new();
    let found = entry.found.take();
    match found {
        Some(Found::New) => memory.is_new(),
        Some(Found::There | Found::Elsewhere) => {
            if let Some(uid) = &entry.application.metadata.uid
                && let Some(kept) = kept.take(key, uid)
            {
                memory.was_kept(kept);
            }
        }
        // Worked on before, and what was remembered is lost: it looks for itself.
        None => {}
    }
    if let Some(Found::Elsewhere) = found {
        memory.was_elsewhere();
    }
    memory
}

impl Work {
    pub(super) fn now(&self) -> Duration {
        (self.context.clock)().monotonic
    }

    /// Returns a future that ends when the next Application is due.
    fn sleep(&self) -> impl Future<Output = ()> + use<> {
        let full = self.tasks.len() >= self.workers;
        let wait = match self.queue.next(&self.busy) {
            Some(at) if !full => at.saturating_sub(self.now()),
            Some(_) | None => Duration::from_secs(60),
        };
        tokio::time::sleep(wait)
    }

    fn start_due(&mut self) {
        let now = self.now();
        while self.tasks.len() < self.workers {
            let Some(key) = self.queue.take(now, &self.busy) else {
                break;
            };
            if self.yields(&key, now) {
                self.queue.at(&key, now + crowd::AGAIN);
                continue;
            }
            self.start(key);
        }
        // Where nothing is due there is nothing to count, and that is told at once.
        let oldest = self.queue.oldest(now);
        if oldest.is_zero() || now.saturating_sub(self.measured) >= MEASURE {
            self.measured = now;
            self.context
                .metrics
                .set_queue(self.queue.depth(now), oldest);
        }
    }

    /// Says whether nothing but the end of a soak is due, while many others are under way.
    fn yields(&self, key: &ApplicationKey, now: Duration) -> bool {
        let has_news = self
            .entries
            .get(key)
            .is_none_or(|entry| entry.ask.is_some() || !entry.touched.is_empty());
        !has_news && self.crowd.goes_first(key, now, 2 * self.workers)
    }

    fn start(&mut self, key: ApplicationKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let mut memory = match entry.memory.take() {
            Some(memory) => memory,
            None => first_memory(&key, entry, &mut self.kept),
        };
        if let Some(at) = entry.ask.take() {
            memory.ask_git(at);
        }
        for id in std::mem::take(&mut entry.touched) {
            memory.touched(id);
        }
        if std::mem::take(&mut entry.watch_spoke) {
            memory.look_anew();
        }
        for kind in &entry.unwatchable {
            memory.cannot_watch(kind.clone());
        }
        let application = entry.application.clone();
        entry.interrupt = Stop::of(&entry.stop);
        let stop = entry.interrupt.clone();
        let context = self.context.clone();
        self.busy.insert(key.clone());
        let span = tracing::info_span!(
            "reconcile",
            application = %key,
            generation = application.metadata.generation.unwrap_or_default()
        );
        let name = key.clone();
        let uid = application.metadata.uid.clone();
        let task = async move {
            let wake = reconcile(&context, &application, &mut memory, &stop).await;
            Done {
                key,
                uid,
                memory,
                wake,
            }
        };
        let id = self.tasks.spawn(task.instrument(span)).id();
        self.running.insert(id, name);
    }

    fn done(&mut self, done: Result<(tokio::task::Id, Done), tokio::task::JoinError>) {
        match done {
            Ok((
                id,
                Done {
                    key,
                    uid,
                    memory,
                    wake,
                },
            )) => {
                self.running.remove(&id);
                self.busy.remove(&key);
                let now = self.now();
                if let Some(entry) = self.entries.get_mut(&key) {
                    // An Application that was created again under the name is another one.
                    if entry.application.metadata.uid == uid {
                        entry.memory = Some(memory);
                        entry.worked = now;
                        self.crowd.note(&key, wake.stage, now, now + wake.after);
                        self.queue.at(&key, now + wake.after);
                    } else {
                        self.queue.at(&key, now);
                    }
                } else {
                    self.context.metrics.forget(&key);
                    self.context.watches.demand(key, BTreeSet::new());
                }
                self.tell_ended();
            }
            Err(error) => {
                // A bug in one reconcile must not stop the others: its Application starts with an empty memory.
                tracing::error!(error = %text::chain(&error), "a reconcile did not end as it must");
                if let Some(key) = self.running.remove(&error.id()) {
                    self.busy.remove(&key);
                    let later = self.now() + AFTER_A_BUG;
                    self.queue.at(&key, later);
                }
                self.tell_ended();
            }
        }
    }

    async fn application(&mut self, event: ApplicationEvent) {
        match event {
            ApplicationEvent::Valid(application) => {
                self.tell_archive(&application);
                self.changed(application);
            }
            ApplicationEvent::Invalid {
                key, uid, error, ..
            } => {
                tracing::error!(application = %key, error, "cannot decode an Application; the others go on");
                self.forget(&key);
                if self.slots.covers(&key) {
                    self.tell_invalid(key, uid, error).await;
                }
            }
            ApplicationEvent::Gone { key, uid } => {
                self.forget(&key);
                if self.slots.contains(Slot::HOUSE) {
                    let now = self.now();
                    self.gone.insert(uid, (Some(key), now));
                }
            }
            ApplicationEvent::Synced => {
                self.all_known = true;
                self.kept.forget_others(&self.applications, self.slots);
                tracing::info!(
                    applications = self.entries.len(),
                    "all Applications are known"
                );
            }
            ApplicationEvent::Lost { reason, message } => {
                tracing::warn!(
                    reason = reason.as_str(),
                    message,
                    "cannot follow the Applications for now; what is known goes on"
                );
            }
        }
    }

    pub(super) fn changed(&mut self, application: Arc<Application>) {
        let key = crate::pipeline::application_key(&application);
        if !self.slots.covers(&key) {
            return;
        }
        let now = self.now();
        match self.entries.get_mut(&key) {
            // Our own status write comes back as an event: only a change of the spec, or a deletion, is news.
            Some(entry) if entry.application.metadata.uid == application.metadata.uid => {
                let news = entry.application.metadata.generation != application.metadata.generation
                    || entry.application.metadata.deletion_timestamp
                        != application.metadata.deletion_timestamp
                    || entry.application.metadata.annotations != application.metadata.annotations;
                let ends = ends(&entry.application, &application);
                entry.repository = repository_of(&application);
                entry.application = application;
                if news {
                    // A command, a deletion or another spec: a wave of thousands of objects does not go on before it.
                    if ends {
                        entry.interrupt.end();
                    }
                    entry.interrupt.news();
                    entry.ask = Some(now);
                    self.queue.at(&key, now);
                }
            }
            Some(_) | None => {
                self.forget(&key);
                let found = match (self.first.covers(&key), self.all_known) {
                    (true, true) => Found::New,
                    (true, false) => Found::There,
                    (false, _) => Found::Elsewhere,
                };
                self.entries.insert(
                    key.clone(),
                    Entry {
                        repository: repository_of(&application),
                        application,
                        memory: None,
                        worked: now,
                        touched: BTreeSet::new(),
                        watch_spoke: false,
                        ask: None,
                        unwatchable: BTreeSet::new(),
                        found: Some(found),
                        interrupt: Stop::of(&self.stop),
                        stop: self.stop.child_token(),
                    },
                );
                self.queue.at(&key, now);
            }
        }
    }

    pub(super) fn forget(&mut self, key: &ApplicationKey) {
        if let Some(entry) = self.entries.remove(key) {
            entry.stop.cancel();
            self.queue.forget(key);
            self.crowd.forget(key);
            self.context.watches.demand(key.clone(), BTreeSet::new());
            self.context.metrics.forget(key);
        }
    }

    async fn tell_invalid(&self, key: ApplicationKey, uid: String, error: String) {
        let event = Event {
            application: key,
            application_uid: uid,
            kind: EventType::Warning,
            reason: Reason::InvalidSpec.as_str().to_owned(),
            action: "Decode".to_owned(),
            note: format!("this Application is not worked on until it is corrected: {error}"),
            at: (self.context.clock)().wall,
            instance: self.context.identity.clone(),
        };
        if let Err(error) = self.context.keeper.publish(&event).await {
            tracing::warn!(error = %text::chain(&error), "could not publish an event");
        }
    }

    /// Packs what nothing happens to, and gives back what a burst left.
    fn rest(&mut self) {
        let now = self.now();
        let worked = self
            .entries
            .values()
            .any(|entry| now.saturating_sub(entry.worked) < 2 * REST);
        // Where something is always under way it is given back all the same, less often.
        let is_due = now.saturating_sub(self.given_back) >= BUSY;
        if worked && (self.tasks.is_empty() || is_due) {
            allocator::give_back();
            self.given_back = now;
        }
        for entry in self.entries.values_mut() {
            if now.saturating_sub(entry.worked) >= REST
                && let Some(memory) = &mut entry.memory
            {
                memory.rest(Rest::Long);
            }
        }
    }

    /// Deletes the stored sets of Applications that are gone since an hour. A set can hold the data of Secrets. Of what
    /// belongs to no Application any more one replica takes care.
    async fn tidy(&mut self) {
        if !self.slots.contains(Slot::HOUSE) {
            return;
        }
        let now = self.now();
        match self.context.keeper.kept(None).await {
            Ok(kept) => {
                let known: BTreeSet<String> = self.applications.uids().into_iter().collect();
                for uid in kept.into_keys().filter(|uid| !known.contains(uid)) {
                    self.gone.entry(uid).or_insert((None, now));
                }
            }
            Err(error) => {
                tracing::debug!(error = %text::chain(&error), "could not list the stored sets");
            }
        }
        let due: Vec<String> = self
            .gone
            .iter()
            .filter(|(_, (_, since))| now.saturating_sub(*since) >= MOURNED)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in due {
            let Some((key, _)) = self.gone.remove(&uid) else {
                continue;
            };
            if self.lives(&uid, key.as_ref()).await {
                continue;
            }
            if let Err(error) = self.context.keeper.sweep_orphan(&uid).await {
                tracing::warn!(uid, error = %text::chain(&error), "could not delete the stored sets of an Application that is gone");
            }
        }
    }

    /// Says whether an Application may still be there: by a quorum read where its name is known.
    async fn lives(&self, uid: &str, key: Option<&ApplicationKey>) -> bool {
        if self.applications.uids().iter().any(|known| known == uid) {
            return true;
        }
        let Some(key) = key else { return false };
        match self.context.keeper.get_application(key).await {
            Ok(found) => found.is_some_and(|found| found.metadata.uid.as_deref() == Some(uid)),
            Err(_) => true,
        }
    }

    fn hint(&mut self, hint: Hint) {
        let soon = self.now() + GATHER;
        match hint {
            Hint::Object {
                id,
                application: Some(key),
            } => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.touched.insert(id);
                    self.queue.at(&key, soon);
                }
            }
            Hint::Object {
                application: None, ..
            } => {}
            Hint::Synced(key) => self.wake_demanding(&key, soon),
            Hint::Lost {
                key,
                reason,
                message,
            } => {
                let kind = GroupKind::new(
                    key.api_version
                        .split_once('/')
                        .map_or("", |(group, _)| group),
                    &key.kind,
                );
                tracing::warn!(kind = %kind, reason = reason.as_str(), message, "lost a watch");
                let denied = key.account.is_none()
                    && matches!(reason, Reason::Forbidden | Reason::NoIdentity);
                if denied {
                    for name in self.context.watches.demanding(&key) {
                        if let Some(entry) = self.entries.get_mut(&name) {
                            entry.unwatchable.insert(kind.clone());
                        }
                    }
                }
                self.wake_demanding(&key, soon);
            }
        }
    }

    fn wake_demanding(&mut self, key: &WatchKey, at: Duration) {
        for name in self.context.watches.demanding(key) {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.watch_spoke = true;
                self.queue.at(&name, at);
            }
        }
    }
}
