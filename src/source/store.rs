//! One mirror's objects on disk: a bare repository without references.
//!
//! Enters: packs, hashes.
//! Leaves: commits, ancestry, handles for reading.
//! Never: a checkout, a name that a server chose as a file name, a network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository, RepositoryInitOptions, Sort};

use super::{
    DisplaySafeUrl, Error,
    connect::Net,
    pack::{PackError, PackGuard, PackLimits},
    tree::TreeFiles,
};

/// Tags of tags that are followed.
const MAX_TAGS: usize = 10;

/// A bare repository. Its directory is removed with the last one who holds it.
pub(super) struct Store {
    directory: PathBuf,
    url: DisplaySafeUrl,
    /// Handles that nobody uses at the moment; a handle serves one thread at a time.
    idle: Mutex<Vec<Repository>>,
    damaged: AtomicBool,
    bytes: AtomicU64,
    /// Trees that somebody reads, so that all Applications at one commit share what was decoded.
    pub(super) trees: Mutex<BTreeMap<Oid, Weak<TreeFiles>>>,
}

/// Handles that are kept open; more readers open their own for as long as they read.
const MAX_IDLE: usize = 8;

impl Store {
    /// Makes an empty store in a directory that does not exist yet.
    ///
    /// # Errors
    /// When the directory cannot be made or written.
    pub(super) fn create(url: &DisplaySafeUrl, directory: PathBuf) -> Result<Arc<Self>, Error> {
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
        Ok(Arc::new(Self {
            directory,
            url: url.clone(),
            idle: Mutex::new(vec![repository]),
            damaged: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            trees: Mutex::default(),
        }))
    }

    pub(super) fn url(&self) -> &DisplaySafeUrl {
        &self.url
    }

    /// Returns the bytes that its packs held when they were last measured.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
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
        let kept = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let repository = match kept {
            Some(repository) => Ok(repository),
            None => Repository::open_bare(&self.directory),
        };
        let result = repository.and_then(|repository| {
            let value = work(&repository)?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(repository);
            }
            Ok(value)
        });
        result.map_err(|source| {
            self.damaged.store(true, Ordering::Relaxed);
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

    /// Says whether `older` is `newer`, or an ancestor of it. All that leads to `newer` is there, so a commit that is not is none.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn is_ancestor(&self, older: Oid, newer: Oid) -> Result<bool, Error> {
        self.with(|repository| {
            if older == newer {
                return Ok(true);
            }
            Ok(repository.odb()?.exists(older) && repository.graph_descendant_of(newer, older)?)
        })
    }

    /// Says whether one of `tips` is `commit`, or descends from it.
    ///
    /// # Errors
    /// When the time is over, or the store is damaged.
    pub(super) fn contains(
        &self,
        net: &Net,
        tips: &BTreeSet<Oid>,
        commit: Oid,
    ) -> Result<bool, Error> {
        if !self.has(commit)? {
            return Ok(false);
        }
        let mut found = false;
        self.walk(tips, &[], |oid| {
            found = oid == commit;
            !found && !net.over.is_cancelled()
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
        self.walk(tips, &[], |oid| {
            newest.push(oid);
            newest.len() < count
        })?;
        Ok(newest)
    }

    fn walk(
        &self,
        tips: &BTreeSet<Oid>,
        without: &[Oid],
        mut visit: impl FnMut(Oid) -> bool,
    ) -> Result<(), Error> {
        self.with(|repository| {
            let mut walk = repository.revwalk()?;
            walk.set_sorting(Sort::TIME)?;
            for &tip in tips {
                match walk.push(tip) {
                    // A tag of something that is no commit leads nowhere.
                    Err(error) if error.code() == ErrorCode::InvalidSpec => {}
                    result => result?,
                }
            }
            for &commit in without {
                walk.hide(commit)?;
            }
            for oid in walk {
                if !visit(oid?) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Takes in a pack that `fill` writes.
    ///
    /// # Errors
    /// What `fill` says; when the pack is damaged, too large, or cannot be written. Nothing of it is kept then.
    pub(super) fn write_pack(
        &self,
        net: &Net,
        fill: impl FnOnce(&mut dyn io::Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failure = None;
        let result = self.with(|repository| {
            let odb = repository.odb()?;
            let mut writer = odb.packwriter()?;
            let over = net.over.clone();
            writer.progress(move |_| !over.is_cancelled());
            let limits = PackLimits {
                objects: net.settings.max_objects,
                object_bytes: net.settings.max_object_bytes,
            };
            let mut sink = Sink {
                guard: PackGuard::new(Indexer(writer), limits),
                net,
                url: &self.url,
            };
            failure = fill(&mut sink).and_then(|()| sink.finish()).err();
            Ok(())
        });
        self.measure()?;
        match failure {
            Some(error) => Err(error),
            None => result,
        }
    }

    /// Returns the number of packs, after what a broken fetch left was removed and the rest was measured.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn measure(&self) -> Result<usize, Error> {
        let read = || -> io::Result<(usize, u64)> {
            let (mut packs, mut bytes) = (0, 0);
            for entry in fs::read_dir(self.packs())? {
                let entry = entry?;
                let path = entry.path();
                let extension = path.extension().and_then(|extension| extension.to_str());
                let whole = match extension {
                    Some("pack") => path.with_extension("idx").exists(),
                    Some("idx") => path.with_extension("pack").exists(),
                    Some(_) | None => false,
                };
                if whole {
                    packs += usize::from(extension == Some("pack"));
                    bytes += entry.metadata()?.len();
                } else {
                    fs::remove_file(&path)?;
                }
            }
            Ok((packs, bytes))
        };
        match read() {
            Ok((packs, bytes)) => {
                self.bytes.store(bytes, Ordering::Relaxed);
                Ok(packs)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.damaged.store(true, Ordering::Relaxed);
                Err(Error::Damaged {
                    url: self.url.clone(),
                    source: Arc::new(error),
                })
            }
            Err(error) => Err(Error::Cache {
                act: "measure a mirror",
                source: Arc::new(error),
            }),
        }
    }

    /// Makes a store with the largest pack of this one and one more pack for everything that came after it.
    ///
    /// `base` is what the largest pack leads to, `tips` what has to be kept.
    ///
    /// # Errors
    /// When it cannot be made, or this one is damaged.
    pub(super) fn compact(
        &self,
        net: &Net,
        directory: PathBuf,
        base: &[Oid],
        tips: &BTreeSet<Oid>,
    ) -> Result<Arc<Self>, Error> {
        let compacted = Self::create(&self.url, directory)?;
        let link = || -> io::Result<()> {
            let mut largest: Option<(u64, PathBuf)> = None;
            for entry in fs::read_dir(self.packs())? {
                let entry = entry?;
                let (path, length) = (entry.path(), entry.metadata()?.len());
                if path
                    .extension()
                    .is_some_and(|extension| extension == "pack")
                    && largest.as_ref().is_none_or(|(most, _)| length > *most)
                {
                    largest = Some((length, path));
                }
            }
            for path in largest
                .into_iter()
                .flat_map(|(_, path)| [path.with_extension("idx"), path])
            {
                if let Some(name) = path.file_name() {
                    fs::hard_link(&path, compacted.packs().join(name))?;
                }
            }
            Ok(())
        };
        link().map_err(|error| Error::Cache {
            act: "put packs together",
            source: Arc::new(error),
        })?;
        compacted.write_pack(net, |sink| {
            self.with(|repository| {
                let mut walk = repository.revwalk()?;
                let mut builder = repository.packbuilder()?;
                for &tip in tips {
                    let mut object = repository.find_object(tip, None)?;
                    while let Some(tag) = object.as_tag() {
                        builder.insert_object(object.id(), None)?;
                        object = tag.target()?;
                    }
                    if object.as_commit().is_some() {
                        walk.push(object.id())?;
                    } else {
                        builder.insert_recursive(object.id(), None)?;
                    }
                }
                for &commit in base {
                    walk.hide(commit)?;
                }
                builder.insert_walk(&mut walk)?;
                let mut written = Ok(());
                let result = builder.foreach(|piece| {
                    written = sink.write_all(piece);
                    written.is_ok()
                });
                match written {
                    Err(error) => Ok(Err(error)),
                    Ok(()) => result.map(Ok),
                }
            })?
            .map_err(|error| Error::from_io(&self.url, "copy objects of", error))
        })?;
        Ok(compacted)
    }

    fn packs(&self) -> PathBuf {
        self.directory.join("objects").join("pack")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        if let Err(error) = fs::remove_dir_all(&self.directory)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.directory.display(), "a mirror could not be removed");
        }
    }
}

/// The object database as a sink whose errors say what happened.
struct Indexer<'a>(git2::OdbPackwriter<'a>);

impl io::Write for Indexer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .write(bytes)
            .map_err(|_says_nothing| io::Error::other(git2::Error::last_error(-1)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Sink<'a> {
    guard: PackGuard<Indexer<'a>>,
    net: &'a Net,
    url: &'a DisplaySafeUrl,
}

impl Sink<'_> {
    fn finish(self) -> Result<(), Error> {
        let (net, url) = (self.net, self.url);
        let mut indexer = self
            .guard
            .finish()
            .map_err(|error| Error::from_io(url, "read from", error))?;
        match indexer.0.commit() {
            Ok(_) => Ok(()),
            Err(error) => Err(not_indexed(net, url, error)),
        }
    }

    fn explain(&self, error: io::Error) -> Error {
        let error = match error.downcast::<git2::Error>() {
            Ok(error) => return not_indexed(self.net, self.url, error),
            Err(error) => error,
        };
        let too_large = |what, limit| Error::TooLarge {
            url: self.url.clone(),
            what,
            limit,
        };
        match error.downcast::<PackError>() {
            Ok(PackError::Objects(limit)) => too_large("the pack", format!("{limit} objects")),
            Ok(PackError::ObjectBytes(limit)) => {
                too_large("an object of the repository", format!("{limit} bytes"))
            }
            Ok(problem @ (PackError::NotAPack | PackError::Damaged)) => {
                Error::protocol(self.url, problem.to_string())
            }
            Err(error) => Error::from_io(self.url, "store what came from", error),
        }
    }
}

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.net.check_time(self.url)?;
        self.guard
            .write(bytes)
            .map_err(|error| self.explain(error).into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn not_indexed(net: &Net, url: &DisplaySafeUrl, error: git2::Error) -> Error {
    if let Err(over) = net.check_time(url) {
        return over;
    }
    let source = Arc::new(error);
    match source.class() {
        ErrorClass::Os | ErrorClass::Filesystem => Error::Cache {
            act: "store a pack",
            source,
        },
        ErrorClass::NoMemory => Error::Internal {
            act: "make room for a pack",
            source,
        },
        _ => Error::Protocol {
            url: url.clone(),
            problem: "the pack is damaged".to_owned(),
            source: Some(source),
        },
    }
}
