//! All mirrors of this process.
//!
//! Enters: what an Application wants, its credentials, a reading of the clock.
//! Leaves: snapshots; counts.
//! Never: two rounds with one server for what one round answers; a mirror shared across credentials.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use git2::Oid;
use rustls::ClientConfig;
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use super::{
    Address, Counts, DisplaySafeUrl, Error, Settings, Snapshot,
    cache::{CacheDirectory, Key},
    counts::{Counters, count},
    mirror::{Answers, Last, Mirror},
    reference::Want,
    remote_file,
    round::{Done, Kept, Resolved, Round},
    threads::{Threads, blocking},
    tls,
};
use crate::model::{Credentials, Now, Revision, SourceSpec};

/// How long a mirror is kept that nobody asks for: its Application is gone, or has other credentials now.
const UNUSED: Duration = Duration::from_hours(6);
/// Part of the rounds that may wait for servers which took too long the last time.
const SLOW_PART: usize = 4;
/// The mirrors of all repositories. A clone is another handle to the same mirrors.
///
/// # Guarantees
/// Applications with the same address and the same credentials share a mirror; others never do. Of all calls that
/// wait for one mirror at one time, one round with the server answers every one.
#[derive(Clone)]
pub struct Mirrors(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    cache: Arc<CacheDirectory>,
    tls: Arc<ClientConfig>,
    counters: Arc<Counters>,
    threads: Threads,
    permits: Arc<Semaphore>,
    /// Taken before a permit where the last round took too long, so that servers that hang leave room for the others.
    slow_permits: Arc<Semaphore>,
    mirrors: Mutex<BTreeMap<Key, Arc<Mirror>>>,
    uses: AtomicU64,
}

impl Mirrors {
    /// Opens the cache and removes what dead processes left in it.
    ///
    /// # Errors
    /// When the cache directory cannot be made or written.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        let cache = CacheDirectory::open(&settings.cache)?;
        let (settings, counters) = (Arc::new(settings), Arc::<Counters>::default());
        let packing = cache.packing();
        Ok(Self(Arc::new(Inner {
            cache,
            tls: tls::system()?,
            threads: Threads::new(Arc::clone(&settings), Arc::clone(&counters), packing),
            counters,
            permits: Arc::new(Semaphore::new(settings.concurrent_fetches.max(1))),
            slow_permits: Arc::new(Semaphore::new(
                (settings.concurrent_fetches / SLOW_PART).max(1),
            )),
            mirrors: Mutex::default(),
            uses: AtomicU64::new(0),
            settings,
        })))
    }

    /// Asks the server what the reference of `spec` is at, and fetches it if it is not in the mirror.
    ///
    /// An answer that is not older than `freshness` is taken without asking, failures included. A commit that was
    /// fetched before is never asked for again.
    ///
    /// # Errors
    /// When the server cannot be asked, does not have it, or what it sends cannot be kept. The mirror stays as it was.
    pub async fn fetch(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        freshness: Duration,
        now: Now,
    ) -> Result<Snapshot, Error> {
        let want = Want::parse(spec.reference.as_deref())?;
        let address = parse(spec)?;
        let mirror = self.mirror(address, credentials);
        mirror.touch(now.monotonic);
        if let Want::Commit(commit) = want
            && let Some(kept) = mirror.kept()
            && let Ok(Some(snapshot)) = self.read_held(&kept, commit).await
        {
            return Ok(snapshot);
        }
        mirror.ask(&want, now.monotonic);
        let last = Arc::clone(&mirror.last).lock_owned().await;
        if let Some(outcome) = mirror.answered(last.as_ref(), &want, now, freshness) {
            let answered = last.as_ref().map(|last| last.at);
            drop(last);
            let snapshot = self.snapshot(&mirror, outcome?).await?;
            return Ok(snapshot.answered_at(answered));
        }
        // The round before may have taken the want along, and its answer be no good any more.
        mirror.ask(&want, now.monotonic);
        // In a task of its own: a caller that goes away must not leave a round without an owner.
        let round = self.clone().round(Arc::clone(&mirror), last);
        let task = self.0.threads.spawn(round);
        let answers = join(task, "run a round with a server").await??;
        match answers.get(&want) {
            Some(outcome) => self.snapshot(&mirror, outcome.clone()?).await,
            None => Err(want.gone(&mirror.address.display())),
        }
    }

    /// Reads a commit that was fetched before, without a word to the server.
    ///
    /// # Errors
    /// When it is not in the mirror (any more), or the mirror is damaged.
    pub async fn read(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        revision: &Revision,
    ) -> Result<Snapshot, Error> {
        let mirror = self.known(spec, credentials, revision)?;
        let resolved = Resolved {
            reference: revision.reference.clone(),
            commit: oid(&mirror.address.display(), &revision.commit)?,
            lineage: None,
        };
        self.snapshot(&mirror, resolved).await
    }

    /// Says whether `older` is `newer`, or an ancestor of it, without a word to the server; None where history is cut off
    /// and what is there does not tell.
    ///
    /// # Errors
    /// When `newer` is not in the mirror (any more), or the mirror is damaged.
    pub async fn is_known_ancestor(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        older: &Revision,
        newer: &Revision,
    ) -> Result<Option<bool>, Error> {
        let (mirror, older, newer) = self.pair(spec, credentials, older, newer)?;
        compare(&mirror, older, newer).await
    }

    /// Says whether `older` is `newer`, or an ancestor of it. A branch on which it is not was rewritten.
    ///
    /// A mirror begins without history: where what it has does not tell, all of it is fetched, once.
    ///
    /// # Errors
    /// When `newer` is not in the mirror (any more), the mirror is damaged, or history cannot be fetched.
    pub async fn is_ancestor(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        older: &Revision,
        newer: &Revision,
        now: Now,
    ) -> Result<bool, Error> {
        let (mirror, older, newer) = self.pair(spec, credentials, older, newer)?;
        if let Some(known) = compare(&mirror, older, newer).await? {
            return Ok(known);
        }
        self.with_history(&mirror, older, newer, now).await?;
        // With all of history there is an answer, unless the mirror was built anew since.
        let known = compare(&mirror, older, newer).await?;
        known.ok_or_else(|| not_in_mirror(&mirror, older))
    }

    /// Ends all rounds and waits until they have ended, at most 10 s. Whoever waits for one is told so; what was
    /// fetched can still be read.
    pub async fn close(&self) {
        self.0.threads.close().await;
    }

    /// Returns what was done so far.
    pub fn counts(&self) -> Counts {
        let mirrors = self.all();
        let stores: Vec<Kept> = mirrors.iter().filter_map(|mirror| mirror.kept()).collect();
        let bytes = stores.iter().map(|kept| kept.store.bytes()).sum();
        self.0
            .counters
            .read(u64::try_from(stores.len()).unwrap_or(u64::MAX), bytes)
    }

    /// Certificates that the system trusts.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.tls)
    }

    pub(super) fn threads(&self) -> &Threads {
        &self.0.threads
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn all(&self) -> Vec<Arc<Mirror>> {
        self.0
            .mirrors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn mirror(&self, address: Address, credentials: &Credentials) -> Arc<Mirror> {
        let key = self.0.cache.key(&address, credentials);
        let mut mirrors = self
            .0
            .mirrors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mirror = mirrors
            .entry(key)
            .or_insert_with(|| Arc::new(Mirror::new(key, address, credentials.clone())));
        mirror.used.store(
            self.0.uses.fetch_add(1, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        Arc::clone(mirror)
    }

    fn known(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        revision: &Revision,
    ) -> Result<Arc<Mirror>, Error> {
        let address = parse(spec)?;
        let url = address.display();
        let key = self.0.cache.key(&address, credentials);
        let mirror = self
            .0
            .mirrors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        mirror.ok_or_else(|| Error::NotInMirror {
            url,
            commit: revision.commit.clone(),
        })
    }

    /// Returns the mirror that two revisions are compared in, and their commits.
    fn pair(
        &self,
        spec: &SourceSpec,
        credentials: &Credentials,
        older: &Revision,
        newer: &Revision,
    ) -> Result<(Arc<Mirror>, Oid, Oid), Error> {
        let mirror = self.known(spec, credentials, newer)?;
        let url = mirror.address.display();
        let (older, newer) = (oid(&url, &older.commit)?, oid(&url, &newer.commit)?);
        Ok((mirror, older, newer))
    }

    /// Fetches all that led to what the mirror has, in place of what it has; what cannot be fetched changes nothing.
    async fn with_history(
        &self,
        mirror: &Arc<Mirror>,
        older: Oid,
        newer: Oid,
        now: Now,
    ) -> Result<(), Error> {
        let mut last = Arc::clone(&mirror.last).lock_owned().await;
        // Others waited for the same.
        if compare(mirror, older, newer).await?.is_some() {
            return Ok(());
        }
        if let Some(error) = mirror.no_history(now.monotonic) {
            return Err(error);
        }
        let this = self.clone();
        let of = Arc::clone(mirror);
        let task = self.0.threads.spawn(async move {
            let permits = vec![
                permit(&this.0.slow_permits).await?,
                permit(&this.0.permits).await?,
            ];
            let (at, wants) = of.wanted();
            let fetched = this
                .run(&of, true, wants, BTreeSet::new(), permits)
                .await
                .and_then(all_fit);
            match fetched {
                Ok(Done { kept, answers }) => {
                    of.keep(Some(kept));
                    *last = Some(Last {
                        at,
                        outcome: Ok(answers),
                    });
                    Ok(())
                }
                Err(error) => {
                    count(&this.0.counters.failures);
                    let error = error.of_history();
                    of.note_no_history(now.monotonic, &error);
                    Err(error)
                }
            }
        });
        join(task, "fetch the history of a repository").await?
    }

    async fn read_held(&self, kept: &Kept, commit: Oid) -> Result<Option<Snapshot>, Error> {
        let (kept, limits) = (kept.clone(), self.0.settings.tree_limits());
        blocking("read a commit", move || {
            if !kept.holds(commit)? {
                return Ok(None);
            }
            Snapshot::read(
                &kept.store,
                &Resolved {
                    reference: String::new(),
                    commit,
                    lineage: None,
                },
                limits,
            )
            .map(Some)
        })
        .await
    }

    async fn snapshot(&self, mirror: &Mirror, resolved: Resolved) -> Result<Snapshot, Error> {
        let limits = self.0.settings.tree_limits();
        let Some(kept) = mirror.kept() else {
            return Err(not_in_mirror(mirror, resolved.commit));
        };
        blocking("read a commit", move || {
            Snapshot::read(&kept.store, &resolved, limits)
        })
        .await
    }

    /// Runs one round for everybody who has asked until now, and notes its outcome.
    async fn round(
        self,
        mirror: Arc<Mirror>,
        mut last: OwnedMutexGuard<Option<Last>>,
    ) -> Result<Answers, Error> {
        let mut permits = Vec::new();
        if let Some(Last {
            outcome: Err(Error::TimedOut { .. }),
            ..
        }) = last.as_ref()
        {
            permits.push(permit(&self.0.slow_permits).await?);
        }
        permits.push(permit(&self.0.permits).await?);
        let (at, wants) = mirror.wanted();
        let proven = last.as_ref().map(Last::answered).unwrap_or_default();
        let proven = wants.intersection(&proven).cloned().collect();
        let result = self.run(&mirror, false, wants, proven, permits).await;
        let outcome = match result {
            Ok(Done { kept, answers }) => {
                mirror.keep(Some(kept));
                Ok(answers)
            }
            Err(error) => {
                count(&self.0.counters.failures);
                Err(error)
            }
        };
        *last = Some(Last {
            at,
            outcome: outcome.clone(),
        });
        drop(last);
        self.evict(&mirror).await;
        outcome
    }

    /// Runs a round on what is kept, or, for all of history, on nothing.
    async fn run(
        &self,
        mirror: &Arc<Mirror>,
        whole: bool,
        wants: BTreeSet<Want>,
        proven: BTreeSet<Want>,
        permits: Vec<OwnedSemaphorePermit>,
    ) -> Result<Done, Error> {
        let inner = &self.0;
        let (address, credentials) = (mirror.address.clone(), mirror.credentials.clone());
        let (tls, cache) = (Arc::clone(&inner.tls), Arc::clone(&inner.cache));
        let key = mirror.key;
        let kept = mirror.kept();
        let lineages = kept.as_ref().map(|kept| kept.lineages.clone());
        let kept = kept.filter(|_| !whole);
        let ended = inner
            .threads
            .in_time(move |net| {
                let round = Round {
                    net,
                    tls,
                    cache,
                    key,
                    address,
                    credentials,
                    wants,
                    proven,
                    whole,
                    lineages: lineages.unwrap_or_default(),
                };
                let result = round.run(kept);
                drop(permits);
                result
            })
            .await;
        ended.unwrap_or_else(|| {
            // What an abandoned thread works on is not used any more.
            if !whole {
                mirror.keep(None);
            }
            Err(Error::TimedOut {
                url: mirror.address.display(),
                what: "the whole fetch",
                limit: inner.settings.total_timeout,
            })
        })
    }

    /// Reads one file by http or https, without credentials, from hosts that `allowed` names and no others.
    pub(super) async fn read_file(
        &self,
        url: Address,
        query: String,
        allowed: Vec<String>,
    ) -> Result<Vec<u8>, Error> {
        let _permit = permit(&self.0.permits).await?;
        let (tls, shown) = (Arc::clone(&self.0.tls), url.display());
        let limit = self.0.settings.total_timeout;
        let ended = self
            .0
            .threads
            .in_time(move |net| remote_file::read(&net, tls, url, query, &allowed));
        ended.await.unwrap_or(Err(Error::TimedOut {
            url: shown,
            what: "the whole fetch",
            limit,
        }))
    }

    /// Gives up the mirrors that nobody asks for, and those that were used longest ago until the rest fits. The one just used stays.
    async fn evict(&self, current: &Arc<Mirror>) {
        let mut mirrors = self.all();
        mirrors.sort_by_key(|mirror| mirror.used.load(Ordering::Relaxed));
        let size = |mirror: &Mirror| mirror.kept().map_or(0, |kept| kept.store.bytes());
        let mut bytes: u64 = mirrors.iter().map(|mirror| size(mirror)).sum();
        let mut given_up = Vec::new();
        let now = current.latest();
        for mirror in mirrors {
            let unused = now.saturating_sub(mirror.latest()) > UNUSED;
            let full = bytes > self.0.settings.max_cache_bytes && size(&mirror) > 0;
            if !Arc::ptr_eq(&mirror, current) && (unused || full) {
                bytes -= size(&mirror);
                count(&self.0.counters.evictions);
                self.0
                    .mirrors
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&mirror.key);
                given_up.push(mirror);
            }
        }
        if !given_up.is_empty() {
            // Files are removed here.
            let removed = tokio::task::spawn_blocking(move || drop(given_up)).await;
            if let Err(error) = removed {
                tracing::error!(%error, "mirrors could not be given up");
            }
        }
    }
}

/// Passes on what a round brought, unless something that is wanted did not fit.
fn all_fit(done: Done) -> Result<Done, Error> {
    let too_large = done
        .answers
        .values()
        .filter_map(|answer| answer.as_ref().err())
        .find(|error| matches!(error, Error::TooLarge { .. }));
    match too_large {
        Some(error) => Err(error.clone()),
        None => Ok(done),
    }
}

/// Says whether a commit is another, or an ancestor of it; None where what is kept does not tell.
async fn compare(mirror: &Mirror, older: Oid, newer: Oid) -> Result<Option<bool>, Error> {
    let not_there = not_in_mirror(mirror, newer);
    let Some(Kept { store, .. }) = mirror.kept() else {
        return Err(not_there);
    };
    blocking("compare commits", move || {
        if !store.has(newer)? {
            return Err(not_there);
        }
        store.is_ancestor(older, newer)
    })
    .await
}

fn not_in_mirror(mirror: &Mirror, commit: Oid) -> Error {
    Error::NotInMirror {
        url: mirror.address.display(),
        commit: commit.to_string(),
    }
}

fn parse(spec: &SourceSpec) -> Result<Address, Error> {
    Address::parse(&spec.repository).map_err(|source| Error::Address {
        url: DisplaySafeUrl::redacted(&spec.repository),
        source,
    })
}

fn oid(url: &DisplaySafeUrl, commit: &str) -> Result<Oid, Error> {
    match Oid::from_str(commit) {
        Ok(oid) if commit.len() == 40 => Ok(oid),
        Ok(_) | Err(_) => Err(Error::NotInMirror {
            url: url.clone(),
            commit: commit.to_owned(),
        }),
    }
}

async fn permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let permit = Arc::clone(permits).acquire_owned().await;
    permit.map_err(|source| Error::Internal {
        act: "wait for other fetches",
        source: Arc::new(source),
    })
}

async fn join<T>(task: JoinHandle<T>, act: &'static str) -> Result<T, Error> {
    task.await.map_err(|source| Error::Internal {
        act,
        source: Arc::new(source),
    })
}
