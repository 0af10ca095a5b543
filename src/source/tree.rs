//! The files of a commit, read straight from git's object database.
//!
//! Enters: absolute paths inside the tree.
//! Leaves: bytes, names, real paths.
//! Never: a checkout; a link that leads out of the tree; a file that is larger than allowed, even for a moment.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use git2::{ObjectType, Oid};
use kustomize::{EntryKind, Files, FilesError};

use super::store::Store;
use crate::model::sha256_hex;

/// Links followed before a path counts as a circle; the figure that Linux uses.
const MAX_LINKS: usize = 40;
/// Longest target of a link; the longest path that Linux takes.
const MAX_LINK_BYTES: usize = 4096;
/// Decoded directories kept for one tree.
const MAX_DIRECTORIES: usize = 20_000;
/// Bytes of git's form of one entry, at least: mode, space, one letter, zero, hash.
const MIN_ENTRY_BYTES: usize = 28;

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct TreeLimits {
    /// Largest file, bytes.
    pub(super) file_bytes: u64,
    /// Most names in a directory.
    pub(super) names: usize,
}

/// A tree of git as files.
pub(super) struct TreeFiles {
    store: Arc<Store>,
    root: Oid,
    limits: TreeLimits,
    directories: Mutex<HashMap<Oid, Arc<Directory>>>,
}

/// What makes a part of a tree unusable as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error(
        "it lies in a submodule, and submodules are not fetched; name its repository as a source of its own"
    )]
    Submodule,
    #[error(
        "it is a pointer of git LFS, whose content git does not hold; keep manifests in git itself"
    )]
    LargeFilePointer,
    #[error("the directory holds more than {0} names")]
    TooManyNames(usize),
    #[error("a name in the directory is not UTF-8, or not a name")]
    NameNotText,
    #[error("the target of the link is not a path")]
    LinkNotText,
}

struct Directory {
    entries: BTreeMap<String, (Oid, Kind)>,
    /// Whether names were left out because they are none, or not UTF-8.
    odd: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Directory,
    Submodule,
}

struct Found {
    real: String,
    oid: Oid,
    kind: Kind,
}

impl TreeFiles {
    pub(super) fn new(store: Arc<Store>, root: Oid, limits: TreeLimits) -> Self {
        Self {
            store,
            root,
            limits,
            directories: Mutex::default(),
        }
    }

    /// Returns the hash of the tree.
    pub(super) fn root(&self) -> Oid {
        self.root
    }

    fn find(&self, path: &str) -> Result<Option<Found>, FilesError> {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut above: Vec<(String, Oid)> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    above.pop().ok_or_else(|| FilesError::Escapes {
                        path: path.to_owned(),
                    })?;
                    continue;
                }
                _ => {}
            }
            let directory =
                self.directory(path, above.last().map_or(self.root, |(_, oid)| *oid))?;
            let Some(&(oid, kind)) = directory.entries.get(&name) else {
                return Ok(None);
            };
            let last = rest.iter().all(String::is_empty);
            match kind {
                Kind::Directory => above.push((name, oid)),
                Kind::Link => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FilesError::Loop {
                            path: path.to_owned(),
                        });
                    }
                    let target = self.link(path, oid)?;
                    if target.starts_with('/') {
                        return Err(FilesError::Escapes {
                            path: path.to_owned(),
                        });
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                // Where submodules are not fetched, an empty directory stands for one.
                Kind::File | Kind::Submodule if last => {
                    return Ok(Some(Found {
                        real: real(&above, Some(&name)),
                        oid,
                        kind,
                    }));
                }
                Kind::File => return Ok(None),
                Kind::Submodule => return Err(unusable(path, Unusable::Submodule)),
            }
        }
        let oid = above.last().map_or(self.root, |(_, oid)| *oid);
        Ok(Some(Found {
            real: real(&above, None),
            oid,
            kind: Kind::Directory,
        }))
    }

    /// As `Snapshot::mark_of`.
    pub(super) fn mark_of<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let mut text = String::new();
        for path in paths {
            let found = self.find(path).ok()?;
            let (real, oid) = found.map_or_else(
                || (String::new(), String::new()),
                |found| (found.real, found.oid.to_string()),
            );
            // No path holds a zero.
            text.push_str(&format!("{path}\0{real}\0{oid}\0"));
        }
        Some(sha256_hex(text.as_bytes()))
    }

    fn directory(&self, path: &str, oid: Oid) -> Result<Arc<Directory>, FilesError> {
        let mut known = self
            .directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = known.get(&oid) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(self.decode(path, oid)?);
        if known.len() >= MAX_DIRECTORIES {
            known.clear();
        }
        known.insert(oid, Arc::clone(&directory));
        Ok(directory)
    }

    fn decode(&self, path: &str, oid: Oid) -> Result<Directory, FilesError> {
        let names = self.limits.names;
        let decoded = self.store.with(|repository| {
            let (size, _kind) = repository.odb()?.read_header(oid)?;
            // Names are 255 bytes at most in practice; a longer directory is not read at all.
            if size > names.saturating_mul(MIN_ENTRY_BYTES + 255) {
                return Ok(None);
            }
            let tree = repository.find_tree(oid)?;
            if tree.len() > names {
                return Ok(None);
            }
            let mut directory = Directory {
                entries: BTreeMap::new(),
                odd: false,
            };
            for entry in &tree {
                let kind = match (entry.kind(), entry.filemode_raw()) {
                    (Some(ObjectType::Tree), _) => Kind::Directory,
                    (Some(ObjectType::Commit), _) => Kind::Submodule,
                    (_, 0o120_000) => Kind::Link,
                    (_, _) => Kind::File,
                };
                match entry.name() {
                    // Nothing that git itself writes, but an object can be made by hand.
                    Ok("." | "..") => directory.odd = true,
                    Ok(name) if name.contains('/') => directory.odd = true,
                    Ok(name) => {
                        directory
                            .entries
                            .insert(name.to_owned(), (entry.id(), kind));
                    }
                    Err(_not_utf8) => directory.odd = true,
                }
            }
            Ok(Some(directory))
        });
        match decoded {
            Ok(Some(directory)) => Ok(directory),
            Ok(None) => Err(unusable(path, Unusable::TooManyNames(names))),
            Err(source) => Err(FilesError::Read {
                path: path.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    fn link(&self, path: &str, oid: Oid) -> Result<String, FilesError> {
        let target = self.blob(path, oid, MAX_LINK_BYTES as u64)?;
        match std::str::from_utf8(&target) {
            Ok(target) if !target.is_empty() && !target.contains('\0') => Ok(target.to_owned()),
            Ok(_) | Err(_) => Err(unusable(path, Unusable::LinkNotText)),
        }
    }

    fn blob(&self, path: &str, oid: Oid, limit: u64) -> Result<Arc<[u8]>, FilesError> {
        let content = self.store.with(|repository| {
            let odb = repository.odb()?;
            let (size, _kind) = odb.read_header(oid)?;
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            if size > limit {
                return Ok(Err(size));
            }
            Ok(Ok(Arc::from(odb.read(oid)?.data())))
        });
        match content {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(size)) => Err(FilesError::TooLarge {
                path: path.to_owned(),
                size,
                limit,
            }),
            Err(source) => Err(FilesError::Read {
                path: path.to_owned(),
                source: Box::new(source),
            }),
        }
    }
}

impl Files for TreeFiles {
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        Ok(self.find(path)?.map(|found| match found.kind {
            Kind::File | Kind::Link => (found.real, EntryKind::File),
            Kind::Directory | Kind::Submodule => (found.real, EntryKind::Directory),
        }))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError> {
        let missing = || FilesError::Missing {
            path: path.to_owned(),
        };
        let found = self.find(path)?.ok_or_else(missing)?;
        match found.kind {
            Kind::File | Kind::Link => {}
            Kind::Directory => return Err(missing()),
            Kind::Submodule => return Err(unusable(path, Unusable::Submodule)),
        }
        let content = self.blob(path, found.oid, self.limits.file_bytes)?;
        if content.len() < 1024 && content.starts_with(b"version https://git-lfs.github.com/spec/")
        {
            return Err(unusable(path, Unusable::LargeFilePointer));
        }
        Ok(content)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        let missing = || FilesError::Missing {
            path: path.to_owned(),
        };
        let found = self.find(path)?.ok_or_else(missing)?;
        match found.kind {
            Kind::Directory => {}
            Kind::File | Kind::Link => return Err(missing()),
            Kind::Submodule => return Err(unusable(path, Unusable::Submodule)),
        }
        let directory = self.directory(path, found.oid)?;
        if directory.odd {
            return Err(unusable(path, Unusable::NameNotText));
        }
        Ok(directory.entries.keys().cloned().collect())
    }
}

fn real(above: &[(String, Oid)], name: Option<&str>) -> String {
    let names: Vec<&str> = above
        .iter()
        .map(|(name, _)| name.as_str())
        .chain(name)
        .collect();
    format!("/{}", names.join("/"))
}

fn unusable(path: &str, source: Unusable) -> FilesError {
    FilesError::Read {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
