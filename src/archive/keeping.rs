//! The archive: what is known of every chain, and a loop for each sink that brings it up to that.
//!
//! Enters: records as they are written.
//! Leaves: sinks that have them; how that goes.
//! Never: a wait of who offers a record: what does not fit into memory is read again from the cluster.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings, Standing, Upstream,
    heads::Heads,
    housekeeping, keep,
    sink::{Place, Sink},
    standing::SinkStanding,
};
use crate::{
    api::RecordHead,
    cluster::Keeper,
    history::{ChainId, Signed},
    model::{Now, text},
};

/// Bytes of records that are kept at hand; more are read from the cluster when their turn comes.
const AT_HAND: usize = 16 << 20;
/// Longest wait of a sink between two tries, and shortest.
const LONGEST: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(500);

/// Keeps records in the sinks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) clock: fn() -> Now,
    pub(super) places: Vec<Place>,
    state: Mutex<State>,
    /// Counts what is new.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<ChainId, RecordHead>,
    recent: BTreeMap<(ChainId, u64), String>,
    order: VecDeque<(ChainId, u64)>,
    bytes: usize,
    /// Of each sink: how far it has come; None until it was opened.
    heads: Vec<Option<Heads>>,
    /// Whether another replica keeps the records, and why that one forbids changes.
    is_elsewhere: bool,
    halt: Option<String>,
    /// Checkpoints that some sink may not have yet, by number.
    checkpoints: BTreeMap<u64, Signed>,
    standing: Standing,
}

/// Checkpoints that wait for a sink; the oldest go first, for the newest says what they said.
const CHECKPOINTS: usize = 256;

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self) -> BTreeMap<ChainId, RecordHead> {
        self.state().known.clone()
    }

    pub(super) fn recent(&self, chain: &ChainId, sequence: u64) -> Option<String> {
        self.state().recent.get(&(chain.clone(), sequence)).cloned()
    }

    /// Learns how far a chain has come.
    pub(super) fn know(&self, chain: ChainId, head: RecordHead) {
        let mut state = self.state();
        let newer = state
            .known
            .get(&chain)
            .is_none_or(|known| known.sequence < head.sequence);
        if newer {
            state.known.insert(chain, head);
            self.measure(&mut state);
            drop(state);
            self.news.send_modify(|news| *news += 1);
        }
    }

    /// Counts what each sink lacks.
    fn measure(&self, state: &mut State) {
        if state.is_elsewhere {
            for standing in &mut state.standing.sinks {
                (standing.waiting, standing.waiting_since) = (0, None);
            }
            return;
        }
        let now = (self.clock)().monotonic;
        let waiting: Vec<u64> = state
            .heads
            .iter()
            .map(|heads| {
                let has = |chain: &ChainId| {
                    heads
                        .as_ref()
                        .and_then(|heads| heads.chains.get(chain))
                        .map_or(0, |head| head.sequence)
                };
                let lacks = |(chain, head): (&ChainId, &RecordHead)| {
                    head.sequence.saturating_sub(has(chain))
                };
                state.known.iter().map(lacks).sum()
            })
            .collect();
        for (standing, waiting) in state.standing.sinks.iter_mut().zip(waiting) {
            standing.waiting = waiting;
            standing.waiting_since = match (waiting, standing.waiting_since) {
                (0, _) => None,
                (_, Some(since)) => Some(since),
                (_, None) => Some(now),
            };
        }
    }

    /// Notes how far a sink has come.
    fn has_come(&self, index: usize, heads: Heads, failure: Option<String>) {
        let mut state = self.state();
        if let Some(known) = state.heads.get_mut(index) {
            *known = Some(heads);
        }
        let now = (self.clock)().monotonic;
        if let Some(standing) = state.standing.sinks.get_mut(index) {
            standing.failure = failure;
            // It moves: what waits now waits from now on.
            standing.waiting_since = standing.waiting_since.map(|_| now);
        }
        self.measure(&mut state);
        let everywhere: Option<u64> = state
            .heads
            .iter()
            .map(|heads| {
                let checkpoint = heads.as_ref()?.checkpoint.as_ref()?;
                Some(checkpoint.open(None).ok()?.number)
            })
            .min()
            .flatten();
        if let Some(everywhere) = everywhere {
            state.checkpoints.retain(|number, _| *number > everywhere);
        }
    }

    fn failed(&self, index: usize, error: &Error) {
        let failure = text::chain(error);
        let mut state = self.state();
        if matches!(
            error,
            Error::OtherHistory { .. } | Error::OtherCluster { .. }
        ) {
            state.standing.verification_failures += 1;
        }
        let is_elsewhere = state.is_elsewhere;
        if let Some(standing) = state.standing.sinks.get_mut(index) {
            if standing.failure.as_ref() != Some(&failure) {
                tracing::error!(sink = standing.kind, failure, "records are not kept");
            }
            // Another replica's sink is well, whatever our last try at it came to.
            standing.failure = Some(failure).filter(|_| !is_elsewhere);
        }
        drop(state);
        self.news.send_modify(|news| *news += 1);
    }

    /// Returns the lowest number of a chain that every sink has; None where a sink was not opened yet.
    pub(super) fn everywhere(&self, chain: &ChainId) -> Option<u64> {
        let state = self.state();
        state
            .heads
            .iter()
            .map(|heads| {
                Some(
                    heads
                        .as_ref()?
                        .chains
                        .get(chain)
                        .map_or(0, |head| head.sequence),
                )
            })
            .min()
            .flatten()
    }

    /// Returns the newest checkpoint of any sink that is open.
    pub(super) fn newest_checkpoint(&self) -> Option<Signed> {
        let state = self.state();
        let all = state.heads.iter().flatten().filter_map(|heads| {
            let signed = heads.checkpoint.clone()?;
            Some((signed.open(None).ok()?.number, signed))
        });
        all.max_by_key(|(number, _)| *number)
            .map(|(_, signed)| signed)
    }

    pub(super) fn add_checkpoint(&self, number: u64, signed: Signed) {
        let mut state = self.state();
        state.standing.checkpoints += 1;
        if !self.places.is_empty() {
            state.checkpoints.insert(number, signed);
            while state.checkpoints.len() > CHECKPOINTS {
                state.checkpoints.pop_first();
            }
        }
        drop(state);
        self.news.send_modify(|news| *news += 1);
    }

    pub(super) fn count_verification_failure(&self) {
        self.state().standing.verification_failures += 1;
    }

    /// Returns checkpoints that a sink lacks and of which it has every record.
    fn due_checkpoints(&self, heads: &Heads) -> Vec<String> {
        let has = heads
            .checkpoint
            .as_ref()
            .and_then(|signed| signed.open(None).ok())
            .map_or(0, |checkpoint| checkpoint.number);
        let state = self.state();
        let covered = |signed: &Signed| {
            signed.open(None).is_ok_and(|checkpoint| {
                checkpoint.heads.iter().all(|(chain, head)| {
                    heads
                        .chains
                        .get(chain)
                        .is_some_and(|has| has.sequence >= head.sequence)
                })
            })
        };
        state
            .checkpoints
            .range(has + 1..)
            .map(|(_, signed)| signed)
            .take_while(|signed| covered(signed))
            .map(Signed::to_line)
            .collect()
    }
}

impl Archive {
    /// Makes an archive; nothing is opened before it runs.
    ///
    /// `upstream` reaches the server of [`Settings::remote`]; None where the settings name none.
    pub fn new(
        settings: Settings,
        upstream: Option<Arc<dyn Upstream>>,
        clock: fn() -> Now,
    ) -> Self {
        let mut places = Vec::new();
        if let Some(path) = &settings.directory {
            places.push(Place::Directory {
                path: path.clone(),
                rotate: settings.rotate_bytes,
            });
        }
        match (&settings.repository, upstream) {
            (_, Some(upstream)) => places.push(Place::Upstream(upstream)),
            (Some(url), None) => places.push(Place::Repository { url: url.clone() }),
            (None, None) => {}
        }
        let state = State {
            heads: places.iter().map(|_| None).collect(),
            standing: Standing {
                sinks: places
                    .iter()
                    .map(|place| SinkStanding {
                        kind: place.kind(),
                        ..SinkStanding::default()
                    })
                    .collect(),
                ..Standing::default()
            },
            ..State::default()
        };
        Self {
            inner: Arc::new(Inner {
                settings,
                clock,
                places,
                state: Mutex::new(state),
                news: watch::Sender::new(0),
            }),
        }
    }

    /// Takes a record that was just written.
    pub fn offer(&self, chain: &ChainId, head: &RecordHead, text: &str) {
        let mut state = self.inner.state();
        if !self.inner.places.is_empty() && !state.is_elsewhere {
            state.bytes += text.len();
            let place = (chain.clone(), head.sequence);
            state.order.push_back(place.clone());
            state.recent.insert(place, text.to_owned());
            while state.bytes > AT_HAND {
                let Some(oldest) = state.order.pop_front() else {
                    break;
                };
                let freed = state.recent.remove(&oldest).map_or(0, |text| text.len());
                state.bytes = state.bytes.saturating_sub(freed);
            }
        }
        drop(state);
        self.inner.know(chain.clone(), head.clone());
    }

    /// Learns whether this process keeps the records, or another replica, and why that one forbids changes.
    pub fn is_kept_here(&self, is_here: bool, halt: Option<String>) {
        let mut state = self.inner.state();
        state.halt = halt;
        if state.is_elsewhere == is_here {
            state.is_elsewhere = !is_here;
            // What is at hand may grow old; it is read again where it is needed.
            state.recent.clear();
            state.order.clear();
            state.bytes = 0;
            for standing in &mut state.standing.sinks {
                standing.failure = None;
            }
            self.inner.measure(&mut state);
        }
    }

    /// Says whether nothing is changed while a sink does not take records.
    pub fn is_fail_closed(&self) -> bool {
        self.inner.settings.fail_closed
    }

    /// Learns how far a chain has come, from the status of its Application.
    pub fn know(&self, chain: ChainId, head: RecordHead) {
        self.inner.know(chain, head);
    }

    /// Returns how it stands.
    pub fn standing(&self) -> Standing {
        self.inner.state().standing.clone()
    }

    /// Returns why nothing may be changed now; None where changes may go on.
    pub fn forbids_changes(&self) -> Option<String> {
        if !self.inner.settings.fail_closed {
            return None;
        }
        let state = self.inner.state();
        if state.is_elsewhere {
            return state.halt.clone();
        }
        drop(state);
        let now = (self.inner.clock)().monotonic;
        self.standing().stopped(now, self.inner.settings.patience)
    }

    /// Returns a receiver that learns when anything is new.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    /// Keeps records until told to stop; then what waits is given one last try.
    pub async fn run(&self, keeper: Keeper, cluster: &str, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for (index, place) in self.inner.places.iter().cloned().enumerate() {
            let work = SinkLoop {
                inner: Arc::clone(&self.inner),
                keeper: keeper.clone(),
                cluster: cluster.to_owned(),
                index,
                place,
                sink: None,
                refused: BTreeMap::new(),
            };
            tasks.spawn(work.run(stop.clone()));
        }
        let inner = Arc::clone(&self.inner);
        let cluster = cluster.to_owned();
        tasks.spawn(async move { housekeeping::run(&inner, &keeper, &cluster, stop).await });
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = %text::chain(&error), "a task of the archive did not end as it must");
            }
        }
    }
}

/// Brings one sink up to what is known.
struct SinkLoop {
    inner: Arc<Inner>,
    keeper: Keeper,
    cluster: String,
    index: usize,
    place: Place,
    sink: Option<Sink>,
    /// Chains that the sink holds otherwise, and why; looked at again when it is opened anew.
    refused: BTreeMap<ChainId, String>,
}

impl SinkLoop {
    async fn run(mut self, stop: CancellationToken) {
        let mut news = self.inner.news.subscribe();
        let mut delay = SHORTEST;
        loop {
            let last = stop.is_cancelled();
            news.borrow_and_update();
            if !self.keeper.may_write() {
                // Another replica may have begun to write.
                if last {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(SHORTEST) => {}
                }
                continue;
            }
            let more = match self.step().await {
                Ok(more) => {
                    delay = SHORTEST;
                    more
                }
                Err(error) => {
                    self.inner.failed(self.index, &error);
                    if error.needs_opening() {
                        self.sink = None;
                        self.refused.clear();
                    }
                    if last {
                        return;
                    }
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(delay) => {}
                    }
                    delay = (delay * 2).min(LONGEST);
                    continue;
                }
            };
            if more {
                continue;
            }
            if last {
                return;
            }
            // A sink that holds another history may be set right by a person: it is opened anew now and then.
            let again = tokio::time::sleep(LONGEST);
            tokio::select! {
                () = stop.cancelled() => {}
                changed = news.changed() => if changed.is_err() { return },
                () = again => if !self.refused.is_empty() {
                    self.sink = None;
                    self.refused.clear();
                },
            }
        }
    }

    /// Appends one batch; says whether there is more to do at once.
    async fn step(&mut self) -> Result<bool, Error> {
        let mut sink = match self.sink.take() {
            Some(sink) => sink,
            None => self.open().await?,
        };
        let found = keep::batch(&self.inner, &self.keeper, sink.heads(), &self.refused).await;
        let batch = match found {
            Ok(batch) => batch,
            Err(error) => {
                self.sink = Some(sink);
                return Err(error);
            }
        };
        for (chain, error) in batch.refused {
            self.inner.failed(self.index, &error);
            self.refused.insert(chain, text::chain(&error));
        }
        let mut lines = batch.lines;
        if lines.is_empty() {
            lines = self.inner.due_checkpoints(sink.heads());
        }
        let any = !lines.is_empty();
        if any {
            let now = (self.inner.clock)();
            let old = sink.tip();
            let append = move || {
                let appended = sink.append(&lines, now);
                (sink, appended)
            };
            let (back, appended) = tokio::task::spawn_blocking(append)
                .await
                .map_err(Error::Task)?;
            sink = back;
            if let Err(error) = appended {
                self.sink = Some(sink);
                return Err(error);
            }
            self.place.push(&self.cluster, old).await?;
        }
        let failure = self.refused.values().next().cloned();
        self.inner
            .has_come(self.index, sink.heads().clone(), failure);
        self.sink = Some(sink);
        if any {
            self.inner.news.send_modify(|news| *news += 1);
        }
        Ok(any)
    }

    async fn open(&self) -> Result<Sink, Error> {
        self.place.bring(&self.cluster).await?;
        let (place, cluster) = (self.place.clone(), self.cluster.clone());
        tokio::task::spawn_blocking(move || Sink::open(&place, &cluster))
            .await
            .map_err(Error::Task)?
    }
}

#[cfg(test)]
impl Archive {
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }
}

#[cfg(test)]
impl Inner {
    pub(super) fn fail_for_test(&self, why: &str) {
        if let Some(sink) = self.state().standing.sinks.first_mut() {
            sink.failure = Some(why.to_owned());
        }
    }
}
