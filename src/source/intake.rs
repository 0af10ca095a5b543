//! Taking packs into a store.
//!
//! Enters: the bytes of a pack, from whoever fills the sink.
//! Leaves: a store that has its objects, or is as it was.
//! Never: what a broken fetch left, for longer than until the next look.

use std::{ffi::OsString, fs, io, sync::Arc};

use git2::{ErrorClass, Oid};

use super::{
    DisplaySafeUrl, Error,
    connect::Net,
    pack::{PackError, PackGuard, PackLimits},
    store::{Base, Store},
};

impl Store {
    /// Takes in a pack that `fill` writes.
    ///
    /// # Errors
    /// What `fill` says; when the pack is too large or cannot be written; [`Error::Damaged`] when the pack does not
    /// fit what is there, which can be the fault of either. Nothing of it is kept then.
    pub(super) fn write_pack(
        &self,
        net: &Net,
        fill: impl FnOnce(&mut dyn io::Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let taken = self.with(|repository| {
            let odb = repository.odb()?;
            let mut writer = odb.packwriter()?;
            let over = net.over.clone();
            writer.progress(move |_| !over.is_cancelled());
            let limits = PackLimits {
                objects: net.settings.max_objects,
                object_bytes: net.settings.max_object_bytes,
                file_bytes: net.settings.max_repository_bytes,
            };
            let mut sink = Sink {
                guard: PackGuard::new(Indexer(writer), limits),
                net,
                url: self.url(),
            };
            Ok(fill(&mut sink).and_then(|()| sink.finish()))
        });
        self.measure()?;
        taken?
    }

    /// Returns the number of packs, after what a broken fetch left was removed and the rest was measured.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn measure(&self) -> Result<usize, Error> {
        match self.measure_packs() {
            Ok((packs, bytes)) => {
                self.set_bytes(bytes);
                Ok(packs)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.set_damaged();
                Err(Error::Damaged {
                    url: self.url().clone(),
                    source: Arc::new(error),
                })
            }
            Err(error) => Err(Error::Cache {
                act: "measure a mirror",
                source: Arc::new(error),
            }),
        }
    }

    fn measure_packs(&self) -> io::Result<(usize, u64)> {
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
    }

    /// Notes that the one pack that is there is the first one, and leads to these tips.
    ///
    /// # Errors
    /// When the directory cannot be read, or the store is damaged.
    pub(super) fn note_first(&self, tips: impl IntoIterator<Item = Oid>) -> Result<(), Error> {
        if let Some(first) = self.new_base(&[], tips, 0)? {
            self.set_bases(vec![first]);
        }
        Ok(())
    }

    /// Returns the pack that is there beside `others`, and leads to these tips together with them.
    ///
    /// # Errors
    /// When the directory cannot be read, or the store is damaged.
    pub(super) fn new_base(
        &self,
        others: &[Base],
        tips: impl IntoIterator<Item = Oid>,
        rounds: u64,
    ) -> Result<Option<Base>, Error> {
        let find = || -> io::Result<Option<OsString>> {
            for entry in fs::read_dir(self.packs())? {
                let path = entry?.path();
                if let (Some(name), Some("pack")) = (
                    path.file_stem(),
                    path.extension().and_then(|extension| extension.to_str()),
                ) && others.iter().all(|other| other.name != name)
                {
                    return Ok(Some(name.to_owned()));
                }
            }
            Ok(None)
        };
        let found = find().map_err(|source| Error::Cache {
            act: "look for packs",
            source: Arc::new(source),
        })?;
        let Some(name) = found else {
            return Ok(None);
        };
        let mut commits = Vec::new();
        for tip in tips {
            commits.extend(self.peel(tip)?.ok());
        }
        Ok(Some(Base {
            name,
            commits,
            rounds,
        }))
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
                let settings = &self.net.settings;
                let limit = if limit == settings.max_repository_bytes {
                    settings.repository_limit()
                } else {
                    format!("{limit} bytes")
                };
                too_large("an object of the repository", limit)
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
        _ => Error::Damaged {
            url: url.clone(),
            source,
        },
    }
}
