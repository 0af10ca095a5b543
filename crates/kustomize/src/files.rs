//! The tree that a build reads from.
//! Enters: absolute, '/'-separated, normalised paths inside the tree.
//! Leaves: real paths, bytes, sorted names.
//! Never: the disk, the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::shown::Shown;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// A read-only tree of files.
///
/// Paths are absolute inside the tree, separated by `/`, and normalised; the root is `/`.
/// An implementation follows symbolic links inside the tree and refuses those that leave it.
pub trait Files: Send + Sync {
    /// Answers the real path (links followed) and the kind of what stands at `path`, or `None` where nothing stands.
    ///
    /// # Errors
    /// When the path leaves the tree, or the tree cannot be read.
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError>;

    /// Returns the content of the file at `path`.
    ///
    /// # Errors
    /// When there is no such file, it is larger than the implementation allows, or it cannot be read.
    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError>;

    /// Returns the names in the directory at `path`, sorted.
    ///
    /// # Errors
    /// When there is no such directory or it cannot be read.
    fn list(&self, path: &str) -> Result<Vec<String>, FilesError>;
}

/// Why a tree did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The path, or a link on the way, leads out of the tree.
    #[error("follow {}: it leads out of the tree", Shown(path))]
    Escapes {
        /// The path asked for.
        path: String,
    },
    /// A link that leads to itself, directly or through others.
    #[error("follow {}: too many links", Shown(path))]
    Loop {
        /// The path asked for.
        path: String,
    },
    /// Nothing stands at the path.
    #[error("find {}", Shown(path))]
    Missing {
        /// The path asked for.
        path: String,
    },
    /// The file is larger than allowed.
    #[error("read {}: {size} bytes, the limit is {limit}", Shown(path))]
    TooLarge {
        /// The path asked for.
        path: String,
        /// Size of the file in bytes.
        size: u64,
        /// Largest size allowed, in bytes.
        limit: u64,
    },
    /// The store below failed.
    #[error("read {}", Shown(path))]
    Read {
        /// The path asked for.
        path: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How many links are followed before a path counts as a loop; the figure that Linux uses.
const LINKS: usize = 40;

/// A tree in memory, with symbolic links; for tests, examples and callers that hold their files already.
///
/// ```
/// use kustomize::{Files, MemoryFiles};
/// let files = MemoryFiles::new().with("/app/kustomization.yaml", "resources: []\n");
/// assert_eq!(files.list("/app").unwrap(), ["kustomization.yaml"]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryFiles {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    File(Arc<[u8]>),
    Link(String),
    Directory(BTreeSet<String>),
}

impl MemoryFiles {
    /// Returns an empty tree.
    #[must_use]
    pub fn new() -> Self {
        let mut entries = BTreeMap::new();
        entries.insert("/".to_owned(), Entry::Directory(BTreeSet::new()));
        Self { entries }
    }

    /// Returns the tree with one more file; directories above it come into being.
    #[must_use]
    pub fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.insert(path, content);
        self
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.put(path, Entry::File(Arc::from(content.as_ref())));
    }

    /// Adds a symbolic link; `target` is relative to the link's directory, or absolute inside the tree.
    pub fn insert_link(&mut self, path: &str, target: &str) {
        self.put(path, Entry::Link(target.to_owned()));
    }

    /// Adds an empty directory.
    pub fn insert_directory(&mut self, path: &str) {
        let path = join("/", path).unwrap_or_else(|| "/".to_owned());
        if !self.entries.contains_key(&path) {
            self.put(&path, Entry::Directory(BTreeSet::new()));
        }
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = join("/", path).unwrap_or_else(|| "/".to_owned());
        let mut child = path.as_str();
        while let Some((parent, name)) = child.rsplit_once('/') {
            if name.is_empty() {
                break;
            }
            let parent = if parent.is_empty() { "/" } else { parent };
            match self.entries.get_mut(parent) {
                Some(Entry::Directory(names)) => {
                    names.insert(name.to_owned());
                    break;
                }
                Some(Entry::File(_) | Entry::Link(_)) | None => {
                    let names = BTreeSet::from([name.to_owned()]);
                    self.entries
                        .insert(parent.to_owned(), Entry::Directory(names));
                }
            }
            child = parent;
        }
        self.entries.insert(path, entry);
    }

    fn real(&self, path: &str) -> Result<Option<String>, FilesError> {
        let escapes = || FilesError::Escapes {
            path: path.to_owned(),
        };
        let mut wanted = join("/", path).ok_or_else(escapes)?;
        for _ in 0..LINKS {
            match self.first_link(&wanted) {
                None => return Ok(self.entries.contains_key(&wanted).then_some(wanted)),
                Some((link, target, rest)) => {
                    let base = link.rsplit_once('/').map_or("", |(parent, _)| parent);
                    let next = join(base, target).ok_or_else(escapes)?;
                    wanted = join(&next, rest).ok_or_else(escapes)?;
                }
            }
        }
        Err(FilesError::Loop {
            path: path.to_owned(),
        })
    }

    /// The first prefix of `path` that is a link: the prefix, where it leads, and what remains after it.
    fn first_link<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .filter(|&at| at > 0);
        for end in ends.chain(std::iter::once(path.len())) {
            if let Some(Entry::Link(target)) = self.entries.get(&path[..end]) {
                return Some((&path[..end], target, path[end..].trim_start_matches('/')));
            }
        }
        None
    }
}

impl Files for MemoryFiles {
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        let Some(real) = self.real(path)? else {
            return Ok(None);
        };
        let kind = match self.entries.get(&real) {
            Some(Entry::Directory(_)) => EntryKind::Directory,
            Some(Entry::File(_) | Entry::Link(_)) | None => EntryKind::File,
        };
        Ok(Some((real, kind)))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError> {
        match self.real(path)?.and_then(|real| self.entries.get(&real)) {
            Some(Entry::File(content)) => Ok(Arc::clone(content)),
            Some(Entry::Directory(_) | Entry::Link(_)) | None => Err(FilesError::Missing {
                path: path.to_owned(),
            }),
        }
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        match self.real(path)?.and_then(|real| self.entries.get(&real)) {
            Some(Entry::Directory(names)) => Ok(names.iter().cloned().collect()),
            Some(Entry::File(_) | Entry::Link(_)) | None => Err(FilesError::Missing {
                path: path.to_owned(),
            }),
        }
    }
}

/// Joins a path to a directory and normalises it; `None` when it leads above the root.
pub(crate) fn join(directory: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { directory };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The parts of the shortest relative path that means the same by its text alone: `..` goes up where it can, and stays where it
/// cannot.
pub(crate) fn shortest<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut short: Vec<&str> = Vec::new();
    for part in parts {
        match part {
            "" | "." => {}
            ".." if short.last().is_some_and(|last| *last != "..") => {
                short.pop();
            }
            part => short.push(part),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_the_tree_only() {
        let mut files = MemoryFiles::new().with("/a/b/file", "x");
        files.insert_link("/a/link", "b");
        files.insert_link("/out", "../../etc/passwd");
        files.insert_link("/loop", "loop");
        assert_eq!(
            files.resolve("/a/link/file").unwrap(),
            Some(("/a/b/file".to_owned(), EntryKind::File))
        );
        assert!(matches!(
            files.resolve("/out"),
            Err(FilesError::Escapes { .. })
        ));
        assert!(matches!(
            files.resolve("/loop"),
            Err(FilesError::Loop { .. })
        ));
        assert_eq!(files.resolve("/none").unwrap(), None);
    }

    #[test]
    fn paths_are_normalised() {
        for (directory, path, expected) in [
            ("/a", "b", Some("/a/b")),
            ("/a", "../b", Some("/b")),
            ("/a", "../../b", None),
            ("/a", "/b/./c/", Some("/b/c")),
        ] {
            assert_eq!(
                join(directory, path).as_deref(),
                expected,
                "{directory} {path}"
            );
        }
    }
}
