//! One mirror's objects on disk: a bare repository without references.
//!
//! Enters: hashes.
//! Leaves: commits, ancestry, handles for reading.
//! Never: a checkout, a name that a server chose as a file name, a network.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use git2::{ObjectType, Oid, Repository, RepositoryInitOptions, RepositoryOpenFlags};

use super::{
    DisplaySafeUrl, Error,
    cache::{CacheDirectory, Key},
    connect::Net,
    tree::TreeFiles,
};

/// Tags of tags that are followed.
const MAX_TAGS: usize = 10;

/// A bare repository. One that was made here is removed with the last one who holds it.
pub(super) struct Store {
    directory: PathBuf,
    url: DisplaySafeUrl,
    idle: Mutex<Idle>,
    /// Commits that are there without their parents; a handle knows those of when it was opened.
    shallow: Mutex<BTreeSet<Oid>>,
    damaged: AtomicBool,
    bytes: AtomicU64,
    bases: OnceLock<Vec<Base>>,
    /// Packs that it may have before they are put together, where that failed before.
    may_have: AtomicUsize,
    /// Keeps the directory above for as long as this one is read; None where the repository is not ours to remove.
    cache: Option<Arc<CacheDirectory>>,
    /// Trees that somebody reads, so that all Applications at one commit share what was decoded.
    pub(super) trees: Mutex<BTreeMap<Oid, Weak<TreeFiles>>>,
}

/// Handles that nobody uses at the moment; a handle serves one thread at a time.
#[derive(Default)]
struct Idle {
    handles: Vec<Repository>,
    /// How often all of them were given up.
    generation: u64,
}

/// A pack that can stay as it is when later ones are put together: that of the first fetch, or one that was put together.
#[derive(Clone)]
pub(super) struct Base {
    /// Name of its files, without the extension.
    pub(super) name: OsString,
    /// What it leads to, together with the ones before it.
    pub(super) commits: Vec<Oid>,
    /// How often packs were put together that it holds the packs of; 0 for that of the first fetch.
    pub(super) rounds: u64,
}

/// Handles that are kept open; more readers open their own for as long as they read.
const MAX_IDLE: usize = 8;

impl Store {
    /// Makes an empty store in a directory of its own.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub(super) fn create(
        url: &DisplaySafeUrl,
        cache: &Arc<CacheDirectory>,
        key: &Key,
    ) -> Result<Arc<Self>, Error> {
        let directory = cache.fresh(key);
        let mut options = RepositoryInitOptions::new();
        options
            .bare(true)
            .no_reinit(true)
            .mkdir(true)
            .mkpath(true)
            .external_template(false);
        let repository =
            Repository::init_opts(&directory, &options).map_err(|source| Error::Cache {
                act: "make a mirror",
                source: Arc::new(source),
            })?;
        let cache = Some(Arc::clone(cache));
        Ok(Self::at(directory, url.clone(), vec![repository], cache))
    }

    /// Reads a repository that somebody else keeps.
    pub(super) fn lent(url: DisplaySafeUrl, repository: &Repository) -> Arc<Self> {
        Self::at(repository.commondir().to_owned(), url, Vec::new(), None)
    }

    fn at(
        directory: PathBuf,
        url: DisplaySafeUrl,
        handles: Vec<Repository>,
        cache: Option<Arc<CacheDirectory>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            url,
            idle: Mutex::new(Idle {
                handles,
                generation: 0,
            }),
            shallow: Mutex::default(),
            damaged: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            bases: OnceLock::new(),
            may_have: AtomicUsize::new(0),
            cache,
            trees: Mutex::default(),
        })
    }

    pub(super) fn url(&self) -> &DisplaySafeUrl {
        &self.url
    }

    /// Returns the bytes that its packs held when they were last measured.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes how many bytes its packs hold.
    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns the packs that can stay as they are, that of the first fetch first.
    pub(super) fn bases(&self) -> &[Base] {
        self.bases.get().map_or(&[], Vec::as_slice)
    }

    /// Notes the packs that can stay as they are; later ones change nothing.
    pub(super) fn set_bases(&self, bases: Vec<Base>) {
        self.bases.get_or_init(|| bases);
    }

    /// Returns the packs that it may have before they are put together: 0 until they were, or until that failed.
    pub(super) fn may_have(&self) -> usize {
        self.may_have.load(Ordering::Relaxed)
    }

    /// Puts off that packs are put together until there are more of them than this.
    pub(super) fn put_off(&self, packs: usize) {
        self.may_have.store(packs, Ordering::Relaxed);
    }

    /// Remembers that it is damaged.
    pub(super) fn set_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Lends a handle. What git's library says of objects that must be there means damage, which is remembered.
    ///
    /// # Errors
    /// What `work` says, as [`Error::Damaged`].
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Repository) -> Result<T, git2::Error>,
    ) -> Result<T, Error> {
        let (kept, generation) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            (idle.handles.pop(), idle.generation)
        };
        let repository = match kept {
            Some(repository) => Ok(repository),
            // `open_bare` would not read where history is cut off.
            None => Repository::open_ext(
                &self.directory,
                RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE,
                std::iter::empty::<&str>(),
            ),
        };
        let result = repository.and_then(|repository| {
            let value = work(&repository)?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.handles.len() < MAX_IDLE && idle.generation == generation {
                idle.handles.push(repository);
            }
            Ok(value)
        });
        result.map_err(|source| {
            self.set_damaged();
            Error::Damaged {
                url: self.url.clone(),
                source: Arc::new(source),
            }
        })
    }

    /// Says whether an object is there.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn has(&self, oid: Oid) -> Result<bool, Error> {
        self.with(|repository| Ok(repository.odb()?.exists(oid)))
    }

    /// Follows tags to a commit whose tree is there.
    ///
    /// # Errors
    /// With the kind of the object when it is not a commit; when the store is damaged.
    pub(super) fn peel(&self, oid: Oid) -> Result<Result<Oid, &'static str>, Error> {
        self.with(|repository| {
            let mut object = repository.find_object(oid, None)?;
            for _ in 0..=MAX_TAGS {
                match object.kind() {
                    Some(ObjectType::Commit) => {
                        repository.find_commit(object.id())?.tree()?;
                        return Ok(Ok(object.id()));
                    }
                    Some(ObjectType::Tag) => match object.as_tag() {
                        Some(tag) => object = tag.target()?,
                        None => return Ok(Err("tag")),
                    },
                    Some(ObjectType::Tree) => return Ok(Err("directory")),
                    Some(ObjectType::Blob) => return Ok(Err("file")),
                    Some(ObjectType::Any) | None => return Ok(Err("something unknown")),
                }
            }
            Ok(Err("chain of tags"))
        })
    }

    /// Says whether `older` is `newer`, or an ancestor of it; None where it was not found and history is cut off: it may
    /// lie behind the cut.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn is_ancestor(&self, older: Oid, newer: Oid) -> Result<Option<bool>, Error> {
        let is_whole = self.is_whole();
        self.with(|repository| {
            if older == newer {
                return Ok(Some(true));
            }
            let found =
                repository.odb()?.exists(older) && repository.graph_descendant_of(newer, older)?;
            Ok((found || is_whole).then_some(found))
        })
    }

    /// Says whether `commit` is found among the newest `most` commits that lead to `tips`, which are part of them.
    ///
    /// # Errors
    /// When the time is over, or the store is damaged.
    pub(super) fn contains(
        &self,
        net: &Net,
        tips: &BTreeSet<Oid>,
        commit: Oid,
        most: usize,
    ) -> Result<bool, Error> {
        if !self.has(commit)? {
            return Ok(false);
        }
        let (mut found, mut seen) = (false, 0);
        self.walk(tips, |oid| {
            found = oid == commit;
            seen += 1;
            !found && seen < most && !net.over.is_cancelled()
        })?;
        net.check_time(&self.url)?;
        Ok(found)
    }

    /// Returns the newest commits that lead to `tips`, at most `count`.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn newest(&self, tips: &BTreeSet<Oid>, count: usize) -> Result<Vec<Oid>, Error> {
        let mut newest = Vec::new();
        self.walk(tips, |oid| {
            newest.push(oid);
            newest.len() < count
        })?;
        Ok(newest)
    }

    /// Visits what leads to `tips` by date, the newest first, until that is enough.
    fn walk(&self, tips: &BTreeSet<Oid>, mut visit: impl FnMut(Oid) -> bool) -> Result<(), Error> {
        self.with(|repository| {
            let mut starts = BTreeSet::new();
            for &tip in tips {
                let mut object = repository.find_object(tip, None)?;
                while let Some(tag) = object.as_tag() {
                    object = tag.target()?;
                }
                // A tag of something that is no commit leads nowhere.
                if let Some(commit) = object.as_commit() {
                    starts.insert((commit.time().seconds(), commit.id()));
                }
            }
            // Without an order git's library goes on by date from what was pushed last, and reads no more than it is asked
            // for; to be told an order it reads all of history first.
            let mut walk = repository.revwalk()?;
            for (_, commit) in starts {
                walk.push(commit)?;
            }
            for oid in walk {
                if !visit(oid?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Says whether all that led to its tips is there.
    pub(super) fn is_whole(&self) -> bool {
        self.shallow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Returns the commits that are there without their parents; none where all that led to its tips is there.
    pub(super) fn shallow(&self) -> BTreeSet<Oid> {
        self.shallow
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes which of these commits are there without their parents: a walk ends at them.
    ///
    /// # Errors
    /// When it cannot be written, or the store is damaged.
    pub(super) fn cut(&self, commits: impl IntoIterator<Item = Oid>) -> Result<(), Error> {
        let cut = self.with(|repository| {
            let odb = repository.odb()?;
            let mut cut = BTreeSet::new();
            for commit in commits.into_iter().filter(|&commit| odb.exists(commit)) {
                let found = repository.find_commit(commit)?;
                let mut parents = found.parent_ids();
                if parents.any(|parent| !odb.exists(parent)) {
                    cut.insert(commit);
                }
            }
            Ok(cut)
        })?;
        let mut shallow = self.shallow.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shallow.len();
        shallow.extend(cut);
        if shallow.len() == before {
            return Ok(());
        }
        let mut lines: Vec<String> = shallow.iter().map(ToString::to_string).collect();
        lines.push(String::new());
        // Under this name git's library looks for it when it opens a repository.
        let (new, file) = (
            self.directory.join("shallow.new"),
            self.directory.join("shallow"),
        );
        fs::write(&new, lines.join("\n"))
            .and_then(|()| fs::rename(&new, &file))
            .map_err(|source| Error::Cache {
                act: "note where history was cut off",
                source: Arc::new(source),
            })?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.handles.clear();
        idle.generation += 1;
        Ok(())
    }

    /// Returns the directory of its packs.
    pub(super) fn packs(&self) -> PathBuf {
        self.directory.join("objects").join("pack")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handles
            .clear();
        if self.cache.is_some()
            && let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.directory.display(), "a mirror could not be removed");
        }
    }
}
