//! The work while the lease is ours.
//!
//! Enters: Applications, hints of the watches, ends of reconciles, time.
//! Leaves: reconciles, at most so many at once and one an Application.
//! Never: one Application in the way of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::queue::Queue;
use crate::{
    api::{Application, Reason},
    cluster::{ApplicationEvent, Applications, Event, EventType, Hint, Kept, WatchKey},
    model::{ApplicationKey, GroupKind, ObjectId, RepositoryName, text},
    pipeline::{Context, Memory, Rest, Wake, reconcile},
};

/// Hints of one object that come together are looked at together.
const GATHER: Duration = Duration::from_millis(10);
/// How often stored sets of Applications that are gone are looked for, and how long those stay (DESIGN.md, State).
const TIDY: Duration = Duration::from_secs(600);
const MOURNED: Duration = Duration::from_secs(3600);
/// After how long without a reconcile an Application's memory is packed whole.
const REST: Duration = Duration::from_secs(30);
/// Applications that are told before the watch waits for us.
const NEWS: usize = 256;
/// Pause after a reconcile that did not end as it must: a bug that comes again must not become a loop.
const AFTER_A_BUG: Duration = Duration::from_secs(30);
/// How long a stop waits for reconciles to come to an object boundary.
const PATIENCE: Duration = Duration::from_secs(8);

/// Pushes to one repository that come within this time are one.
const STORM: Duration = Duration::from_secs(1);

/// What comes from outside.
pub(super) struct News<'a> {
    /// What the watches saw.
    pub(super) hints: mpsc::Receiver<Hint>,
    /// Repositories that were pushed to.
    pub(super) pushes: &'a mut mpsc::Receiver<RepositoryName>,
}

/// What is known of one Application outside of its reconciles.
struct Entry {
    application: Arc<Application>,
    repository: Option<RepositoryName>,
    memory: Option<Memory>,
    /// When it was worked on last.
    worked: Duration,
    touched: BTreeSet<ObjectId>,
    /// Since when git is to be asked; taken by the next reconcile, for one may be under way.
    ask: Option<Duration>,
    unwatchable: BTreeSet<GroupKind>,
    /// How it was found; taken when it is worked on first.
    found: Option<Found>,
    stop: CancellationToken,
    /// Ends the reconcile that is under way at its next object: there is news that it does not know.
    interrupt: CancellationToken,
}

/// How an Application was found.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// It was there when the lease became ours.
    There,
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

struct Work {
    context: Arc<Context>,
    entries: BTreeMap<ApplicationKey, Entry>,
    busy: BTreeSet<ApplicationKey>,
    queue: Queue,
    tasks: JoinSet<Done>,
    running: BTreeMap<tokio::task::Id, ApplicationKey>,
    workers: usize,
    stop: CancellationToken,
    /// Applications that are gone, by UID, and since when: their stored sets go an hour later.
    gone: BTreeMap<String, (Option<ApplicationKey>, Duration)>,
    /// When a repository is asked because of a push, the last time or the next.
    pushed: BTreeMap<RepositoryName, Duration>,
    /// Whether those that existed when the lease became ours have all been told: one that comes later is new.
    all_known: bool,
    /// What was stored when the lease became ours, by UID; each is taken at the take-up of its Application.
    /// None where it could not be read: then each asks for itself.
    kept: Option<BTreeMap<String, Kept>>,
}

/// Works until told to stop, then waits for what is under way.
pub(super) async fn work(
    context: Arc<Context>,
    news_from: News<'_>,
    workers: usize,
    stop: CancellationToken,
) {
    let News { mut hints, pushes } = news_from;
    let applications = Applications::new(&context.cluster, None);
    let (told, mut news) = mpsc::channel(NEWS);
    let follow = applications.run(told);
    tokio::pin!(follow);
    let mut work = Work {
        entries: BTreeMap::new(),
        busy: BTreeSet::new(),
        queue: Queue::default(),
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
        workers: workers.max(1),
        stop: stop.clone(),
        gone: BTreeMap::new(),
        pushed: BTreeMap::new(),
        all_known: false,
        kept: kept_at_first(&context).await,
        context,
    };
    let mut tidy = tokio::time::interval(TIDY);
    let mut rest = tokio::time::interval(REST);
    loop {
        work.start_due();
        let sleep = work.sleep();
        tokio::select! {
            () = stop.cancelled() => break,
            () = &mut follow => break,
            Some(event) = news.recv() => work.application(event).await,
            Some(hint) = hints.recv() => work.hint(hint),
            Some(pushed) = pushes.recv() => work.pushed(pushed),
            Some(done) = work.tasks.join_next_with_id(), if !work.tasks.is_empty() => work.done(done),
            _ = tidy.tick() => work.tidy(&applications).await,
            _ = rest.tick() => work.rest(),
            () = sleep => {}
        }
    }
    work.stop.cancel();
    let rest = async { while work.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, rest).await.is_err() {
        tracing::warn!("reconciles did not come to an object boundary in time; they are cut");
    }
}

/// Reads once what is stored of all Applications: at take-up each would have to ask for its own.
async fn kept_at_first(context: &Context) -> Option<BTreeMap<String, Kept>> {
    match context.keeper.kept(None).await {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(error = %text::chain(&error), "could not list the stored sets; each Application asks for its own");
            None
        }
    }
}

/// Returns an empty memory, with what is known of an Application that is worked on for the first time.
fn first_memory(entry: &mut Entry, kept: &mut Option<BTreeMap<String, Kept>>) -> Memory {
    let mut memory = Memory::new();
    match (entry.found.take(), kept, &entry.application.metadata.uid) {
        (Some(Found::New), _, _) => memory.is_new(),
        (Some(Found::There), Some(kept), Some(uid)) => {
            memory.was_kept(kept.remove(uid).unwrap_or_default());
        }
        // Worked on before, and what was remembered is lost: it looks for itself.
        (Some(Found::There) | None, _, _) => {}
    }
    memory
}

impl Work {
    fn now(&self) -> Duration {
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
            self.start(key);
        }
        self.context
            .metrics
            .set_queue(self.queue.depth(now), self.queue.oldest(now));
    }

    fn start(&mut self, key: ApplicationKey) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let mut memory = match entry.memory.take() {
            Some(memory) => memory,
            None => first_memory(entry, &mut self.kept),
        };
        if let Some(at) = entry.ask.take() {
            memory.ask_git(at);
        }
        for id in std::mem::take(&mut entry.touched) {
            memory.touched(id);
        }
        for kind in &entry.unwatchable {
            memory.cannot_watch(kind.clone());
        }
        let application = entry.application.clone();
        entry.interrupt = entry.stop.child_token();
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
                        self.queue.at(&key, now + wake.after);
                    } else {
                        self.queue.at(&key, now);
                    }
                } else {
                    self.context.watches.demand(key, BTreeSet::new());
                }
            }
            Err(error) => {
                // A bug in one reconcile must not stop the others: its Application starts with an empty memory.
                tracing::error!(error = %text::chain(&error), "a reconcile did not end as it must");
                if let Some(key) = self.running.remove(&error.id()) {
                    self.busy.remove(&key);
                    let later = self.now() + AFTER_A_BUG;
                    self.queue.at(&key, later);
                }
            }
        }
    }

    async fn application(&mut self, event: ApplicationEvent) {
        match event {
            ApplicationEvent::Valid(application) => self.changed(application),
            ApplicationEvent::Invalid {
                key, uid, error, ..
            } => {
                tracing::error!(application = %key, error, "cannot decode an Application; the others go on");
                self.forget(&key);
                self.tell_invalid(key, uid, error).await;
            }
            ApplicationEvent::Gone { key, uid } => {
                self.forget(&key);
                let now = self.now();
                self.gone.insert(uid, (Some(key), now));
            }
            ApplicationEvent::Synced => {
                self.all_known = true;
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

    fn changed(&mut self, application: Arc<Application>) {
        let key = crate::pipeline::application_key(&application);
        let now = self.now();
        match self.entries.get_mut(&key) {
            // Our own status write comes back as an event: only a change of the spec, or a deletion, is news.
            Some(entry) if entry.application.metadata.uid == application.metadata.uid => {
                let news = entry.application.metadata.generation != application.metadata.generation
                    || entry.application.metadata.deletion_timestamp
                        != application.metadata.deletion_timestamp
                    || entry.application.metadata.annotations != application.metadata.annotations;
                entry.repository = RepositoryName::parse(&application.spec.source.repo);
                entry.application = application;
                if news {
                    // A command, a deletion or another spec: a wave of thousands of objects does not go on before it.
                    entry.interrupt.cancel();
                    entry.ask = Some(now);
                    self.queue.at(&key, now);
                }
            }
            Some(_) | None => {
                self.forget(&key);
                self.entries.insert(
                    key.clone(),
                    Entry {
                        repository: RepositoryName::parse(&application.spec.source.repo),
                        application,
                        memory: None,
                        worked: now,
                        touched: BTreeSet::new(),
                        ask: None,
                        unwatchable: BTreeSet::new(),
                        found: Some(if self.all_known {
                            Found::New
                        } else {
                            Found::There
                        }),
                        interrupt: CancellationToken::new(),
                        stop: self.stop.child_token(),
                    },
                );
                self.queue.at(&key, now);
            }
        }
    }

    fn forget(&mut self, key: &ApplicationKey) {
        if let Some(entry) = self.entries.remove(key) {
            entry.stop.cancel();
            self.queue.forget(key);
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

    /// Deletes the stored sets of Applications that are gone since an hour. A set can hold the data of Secrets.
    fn rest(&mut self) {
        let now = self.now();
        for entry in self.entries.values_mut() {
            if now.saturating_sub(entry.worked) >= REST
                && let Some(memory) = &mut entry.memory
            {
                memory.rest(Rest::Long);
            }
        }
    }

    async fn tidy(&mut self, applications: &Applications) {
        let now = self.now();
        match self.context.keeper.kept(None).await {
            Ok(kept) => {
                let known = applications.uids();
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
            if self.lives(&uid, key.as_ref(), applications).await {
                continue;
            }
            if let Err(error) = self.context.keeper.sweep_orphan(&uid).await {
                tracing::warn!(uid, error = %text::chain(&error), "could not delete the stored sets of an Application that is gone");
            }
        }
    }

    /// Says whether an Application may still be there: by a quorum read where its name is known.
    async fn lives(
        &self,
        uid: &str,
        key: Option<&ApplicationKey>,
        applications: &Applications,
    ) -> bool {
        if applications.uids().iter().any(|known| known == uid) {
            return true;
        }
        let Some(key) = key else { return false };
        match self.context.keeper.get_application(key).await {
            Ok(found) => found.is_some_and(|found| found.metadata.uid.as_deref() == Some(uid)),
            Err(_) => true,
        }
    }

    /// A push wakes the Applications of that repository and no others. What comes again within a second waits for its
    /// end, so that a storm becomes one question a second.
    fn pushed(&mut self, repository: RepositoryName) {
        let now = self.now();
        self.pushed.retain(|_, at| now.saturating_sub(*at) < STORM);
        let at = match self.pushed.get(&repository) {
            Some(at) if *at > now => return,
            Some(at) => *at + STORM,
            None => now,
        };
        let mut woken = 0;
        for (key, entry) in &mut self.entries {
            if entry.repository.as_ref() == Some(&repository) {
                // A newer revision takes over at the next object; where it is none, what is under way goes on there.
                entry.interrupt.cancel();
                entry.ask = Some(at);
                self.queue.at(key, at);
                woken += 1;
            }
        }
        if woken > 0 {
            self.pushed.insert(repository, at);
        }
        tracing::debug!(applications = woken, "a repository was pushed to");
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
            if self.entries.contains_key(&name) {
                self.queue.at(&name, at);
            }
        }
    }
}
