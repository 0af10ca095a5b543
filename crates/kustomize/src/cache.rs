//! Parsed files that builds share.
//! Enters: the content of a file, its path, how to parse it.
//! Leaves: its objects, parsed once for all builds that share the cache.
//! Never: an error kept; a lock held while a file is parsed; more than the bound.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::object::Object;

/// Files by the digest of their path and content.
type Key = [u8; 32];

/// Objects of files that several builds read: overlays on one base, or one tree again and again.
///
/// A file is known by its content, so a cache can outlive commits and serve several trees. The caller owns it and hands it to
/// each build in [`crate::Options::parsed`]; builds in parallel share it, and wait for each other only where one needs a file that another is just
/// parsing. When the bound is passed, what was used longest ago goes.
///
/// ```
/// use std::sync::Arc;
/// use kustomize::{MemoryFiles, Options, ParsedFiles, build};
///
/// let files = MemoryFiles::new()
///     .with("/base/kustomization.yaml", "resources: [service.yaml]\n")
///     .with("/base/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n")
///     .with("/dev/kustomization.yaml", "resources: [../base]\nnamePrefix: dev-\n")
///     .with("/prod/kustomization.yaml", "resources: [../base]\nnamePrefix: prod-\n");
/// let options = Options { parsed: Some(Arc::new(ParsedFiles::new(1 << 20))), ..Options::default() };
/// build(&files, "/dev", &options)?;
/// build(&files, "/prod", &options)?;
/// assert_eq!(options.parsed.unwrap().counts().parsed, 1);
/// # Ok::<(), kustomize::Error>(())
/// ```
pub struct ParsedFiles {
    shelf: Mutex<Shelf>,
    most: usize,
    parsed: AtomicU64,
    shared: AtomicU64,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    uses: u64,
}

#[derive(Clone)]
struct Entry {
    /// `None` inside for a text that is no objects: the error depends on the build, and is made anew.
    objects: Arc<OnceLock<Option<Vec<Object>>>>,
    bytes: usize,
    used: u64,
}

/// What a cache has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParsedCounts {
    /// Files that were parsed.
    pub parsed: u64,
    /// Files that were taken from the cache.
    pub shared: u64,
    /// Files that it holds.
    pub files: usize,
    /// Bytes of their text.
    pub bytes: usize,
}

impl ParsedFiles {
    /// Returns an empty cache for files of at most so many bytes of text together. Objects take about ten times the memory of their text.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            shelf: Mutex::default(),
            most: bytes,
            parsed: AtomicU64::new(0),
            shared: AtomicU64::new(0),
        }
    }

    /// Returns what was done so far.
    #[must_use]
    pub fn counts(&self) -> ParsedCounts {
        let shelf = self.shelf();
        ParsedCounts {
            parsed: self.parsed.load(Ordering::Relaxed),
            shared: self.shared.load(Ordering::Relaxed),
            files: shelf.entries.len(),
            bytes: shelf.bytes,
        }
    }

    /// The objects of a file.
    ///
    /// # Errors
    /// What `parse` says.
    pub(crate) fn objects(
        &self,
        content: &[u8],
        file: &str,
        parse: impl Fn() -> Result<Vec<Object>, Error>,
    ) -> Result<Vec<Object>, Error> {
        if content.len() > self.most {
            return parse();
        }
        let objects = self.entry(key(content, file), content.len());
        let mut is_new = false;
        let kept = objects.get_or_init(|| {
            is_new = true;
            parse().ok()
        });
        let count = if is_new { &self.parsed } else { &self.shared };
        count.fetch_add(1, Ordering::Relaxed);
        match kept {
            Some(objects) => Ok(objects.clone()),
            None => parse(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, key: Key, bytes: usize) -> Arc<OnceLock<Option<Vec<Object>>>> {
        let mut shelf = self.shelf();
        shelf.uses += 1;
        let used = shelf.uses;
        if let Some(entry) = shelf.entries.get_mut(&key) {
            entry.used = used;
            return Arc::clone(&entry.objects);
        }
        if shelf.bytes + bytes > self.most {
            shelf.make_room(self.most / 4 * 3, bytes);
        }
        shelf.bytes += bytes;
        let objects = Arc::default();
        let entry = Entry {
            objects: Arc::clone(&objects),
            bytes,
            used,
        };
        shelf.entries.insert(key, entry);
        objects
    }
}

impl Shelf {
    /// Gives up what was used longest ago until `bytes` more fit into `most`; a quarter at once, so that this is rare.
    fn make_room(&mut self, most: usize, bytes: usize) {
        let mut by_use: Vec<(u64, Key)> = self
            .entries
            .iter()
            .map(|(key, entry)| (entry.used, *key))
            .collect();
        by_use.sort_unstable();
        for (_, key) in by_use {
            if self.bytes + bytes <= most {
                break;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.bytes;
            }
        }
    }
}

impl fmt::Debug for ParsedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedFiles")
            .field("counts", &self.counts())
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

fn key(content: &[u8], file: &str) -> Key {
    let mut digest = Sha256::new();
    digest.update(file.len().to_be_bytes());
    digest.update(file);
    digest.update(content);
    digest.finalize().into()
}
