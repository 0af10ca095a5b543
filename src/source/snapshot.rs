//! One commit, to be read.
//!
//! Enters: a commit in a store.
//! Leaves: its revision, what it says of itself, its files.
//! Never: a change; a snapshot stays readable when its mirror moves on or is given up.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use git2::{Commit, Signature};
use jiff::Timestamp;
use kustomize::{EntryKind, Files, FilesError};

use super::{
    Error, Lineage, Settings,
    round::Resolved,
    store::Store,
    tree::{TreeFiles, TreeLimits},
};
use crate::model::{CommitInfo, Revision};

/// Longest subject and name that are kept, characters.
const MAX_TEXT: usize = 256;

/// The files of a repository at one commit.
#[derive(Clone)]
pub struct Snapshot {
    /// Reference and commit.
    pub revision: Revision,
    /// What the commit says of itself.
    pub commit: CommitInfo,
    /// Hash of the tree, 40 hex digits: the same for two commits with the same files.
    pub tree: String,
    /// When the server was asked, on the monotonic clock of `now`, where an answer that was known already was taken.
    pub answered: Option<Duration>,
    /// Where the commit stands among those that the reference was at; None where it was not read at its tip.
    pub lineage: Option<Lineage>,
    files: Arc<TreeFiles>,
    store: Arc<Store>,
}

impl Snapshot {
    /// Returns the files; the root of the tree is the root of the repository.
    pub fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// Returns the files for a thread that outlives the caller.
    pub fn shared_files(&self) -> Arc<dyn Files> {
        Arc::<TreeFiles>::clone(&self.files)
    }

    /// Returns the directory at `path`, which is relative to the root of the repository, as the tree has it.
    ///
    /// # Errors
    /// When no directory stands there, or the path leads out of the repository.
    pub fn directory(&self, path: &str) -> Result<String, Error> {
        let missing = |problem, source: Option<FilesError>| Error::PathMissing {
            url: self.store.url().clone(),
            path: path.to_owned(),
            revision: self.revision.to_string(),
            problem,
            source: source.map(|source| Arc::new(source) as super::error::Cause),
        };
        match self.files.resolve(path) {
            Ok(Some((real, EntryKind::Directory))) => Ok(real),
            Ok(Some((_, EntryKind::File))) => Err(missing("it is a file, not a directory", None)),
            Ok(None) => Err(missing("it is not there", None)),
            Err(source) => Err(missing("it cannot be followed", Some(source))),
        }
    }

    /// Returns a mark of what stands at these paths: the same for two commits where every one of them is the same, links
    /// followed. None where one of them cannot be followed: then nothing is said.
    pub fn mark_of<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Option<String> {
        self.files.mark_of(paths)
    }

    /// Returns the same snapshot, of an answer that was given before.
    pub(super) fn answered_at(mut self, at: Option<Duration>) -> Self {
        self.answered = at;
        self
    }

    pub(super) fn read(
        store: &Arc<Store>,
        resolved: &Resolved,
        limits: TreeLimits,
    ) -> Result<Self, Error> {
        if !store.has(resolved.commit)? {
            return Err(Error::NotInMirror {
                url: store.url().clone(),
                commit: resolved.commit.to_string(),
            });
        }
        let (commit, root) = store.with(|repository| {
            let commit = repository.find_commit(resolved.commit)?;
            Ok((info(&commit), commit.tree_id()))
        })?;
        let mut trees = store.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = trees.get(&root).and_then(std::sync::Weak::upgrade);
        let files = shared.unwrap_or_else(|| {
            trees.retain(|_, files| files.strong_count() > 0);
            let files = Arc::new(TreeFiles::new(Arc::clone(store), root, limits));
            trees.insert(root, Arc::downgrade(&files));
            files
        });
        drop(trees);
        Ok(Self {
            revision: Revision {
                reference: resolved.reference.clone(),
                commit: resolved.commit.to_string(),
            },
            commit,
            tree: files.root().to_string(),
            answered: None,
            lineage: resolved.lineage.clone(),
            files,
            store: Arc::clone(store),
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision)
            .field("tree", &self.tree)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(super) fn tree_limits(&self) -> TreeLimits {
        TreeLimits {
            file_bytes: self.max_file_bytes,
            names: self.max_files,
        }
    }
}

fn info(commit: &Commit<'_>) -> CommitInfo {
    CommitInfo {
        author: person(&commit.author()),
        committer: person(&commit.committer()),
        authored: time(&commit.author()),
        committed: time(&commit.committer()),
        subject: one_line(commit.summary_bytes().unwrap_or_default()),
        signed: commit.header_field_bytes("gpgsig").is_ok()
            || commit.header_field_bytes("gpgsig-sha256").is_ok(),
    }
}

fn person(signature: &Signature<'_>) -> String {
    format!(
        "{} <{}>",
        one_line(signature.name_bytes()),
        one_line(signature.email_bytes())
    )
}

/// A commit may claim any second; one that no calendar has becomes the nearest one.
fn time(signature: &Signature<'_>) -> Timestamp {
    let seconds = signature.when().seconds();
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// What a commit says is shown to people in terminals: one line, without control characters.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .filter(|character| !character.is_control())
        .take(MAX_TEXT)
        .collect::<String>()
        .trim()
        .to_owned()
}
