//! The git sink: a branch `audit/<cluster>` of a repository on a path, which may be the copy of one on a server.
//!
//! Enters: lines.
//! Leaves: one commit a batch; files of 100 records of one chain each, and of checkpoints.
//! Never: a commit that does not follow the branch as we know it.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, FileMode, ObjectType, Oid, Repository, Signature, Time};

use super::{Error, heads::Heads};
use crate::{
    history::{ChainId, Line, Signed, Told, read_line},
    model::Now,
};

/// Records of one file.
const PER_FILE: u64 = 100;

/// A branch that is written to.
#[derive(Debug)]
pub(super) struct GitSink {
    path: PathBuf,
    branch: String,
    /// The commit that we left.
    tip: Option<Oid>,
    pub(super) heads: Heads,
}

/// Returns the whole name of the branch of a cluster.
pub(super) fn branch(cluster: &str) -> String {
    format!("refs/heads/audit/{cluster}")
}

fn git(act: &'static str) -> impl FnOnce(git2::Error) -> Error {
    move |source| Error::Git { act, source }
}

impl GitSink {
    /// Opens the repository; one that is not there is made. Reads how far the branch has come.
    ///
    /// # Errors
    /// The URL is none that can be written to, or git says no.
    pub(super) fn open(url: &str, cluster: &str) -> Result<Self, Error> {
        let path = match url.strip_prefix("file://") {
            Some(path) => path,
            None if url.contains("://") || !url.starts_with('/') => {
                return Err(Error::Scheme {
                    url: url.split('@').next_back().unwrap_or_default().to_owned(),
                });
            }
            None => url,
        };
        Self::at(Path::new(path), cluster)
    }

    /// Opens the repository at a path.
    ///
    /// # Errors
    /// Git says no.
    pub(super) fn at(path: &Path, cluster: &str) -> Result<Self, Error> {
        let repository = open(path)?;
        let mut sink = Self {
            branch: branch(cluster),
            path: path.to_owned(),
            tip: None,
            heads: Heads::default(),
        };
        sink.read(&repository)?;
        Ok(sink)
    }

    /// Returns the commit that the branch is at.
    pub(super) fn tip(&self) -> Option<String> {
        self.tip.map(|tip| tip.to_string())
    }

    /// Reads the newest file of each chain.
    fn read(&mut self, repository: &Repository) -> Result<(), Error> {
        self.tip = tip(repository, &self.branch)?;
        let Some(tip) = self.tip else { return Ok(()) };
        let tree = repository
            .find_commit(tip)
            .and_then(|commit| commit.tree())
            .map_err(git("read the branch"))?;
        let mut newest: std::collections::BTreeMap<String, (String, Oid)> =
            std::collections::BTreeMap::new();
        tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(ObjectType::Blob)
                && let Ok(name) = entry.name()
            {
                // Names are padded: the last in order is the newest.
                let known = newest
                    .entry(folder.to_owned())
                    .or_insert_with(|| (name.to_owned(), entry.id()));
                if known.0.as_str() < name {
                    *known = (name.to_owned(), entry.id());
                }
            }
            git2::TreeWalkResult::Ok
        })
        .map_err(git("read the branch"))?;
        for (folder, (name, blob)) in newest {
            let blob = repository.find_blob(blob).map_err(git("read a file"))?;
            let text = String::from_utf8_lossy(blob.content()).into_owned();
            if let Some((number, last)) = text.lines().enumerate().last() {
                self.heads.read(last).map_err(|why| Error::Damaged {
                    path: Path::new(&folder).join(&name),
                    line: number + 1,
                    why,
                })?;
            }
        }
        Ok(())
    }

    /// Appends lines in one commit.
    ///
    /// # Errors
    /// Git says no, or the branch was moved by somebody else: then nothing of these lines is there.
    pub(super) fn append(&mut self, lines: &[String], now: Now) -> Result<(), Error> {
        let repository = open(&self.path)?;
        if tip(&repository, &self.branch)? != self.tip {
            return Err(Error::Moved {
                path: self.path.clone(),
            });
        }
        let parent = match self.tip {
            Some(tip) => Some(
                repository
                    .find_commit(tip)
                    .map_err(git("read the branch"))?,
            ),
            None => None,
        };
        let mut tree = parent
            .as_ref()
            .map(git2::Commit::tree)
            .transpose()
            .map_err(git("read the branch"))?;
        for (file, text) in by_file(lines) {
            let before = tree
                .as_ref()
                .and_then(|tree| tree.get_path(Path::new(&file)).ok())
                .map(|entry| repository.find_blob(entry.id()))
                .transpose()
                .map_err(git("read a file"))?;
            let mut content = before.map_or_else(Vec::new, |blob| blob.content().to_vec());
            content.extend_from_slice(text.as_bytes());
            let blob = repository.blob(&content).map_err(git("write a file"))?;
            let mut update = git2::build::TreeUpdateBuilder::new();
            update.upsert(&file, blob, FileMode::Blob);
            let base = match tree {
                Some(tree) => tree,
                None => empty(&repository)?,
            };
            let id = update
                .create_updated(&repository, &base)
                .map_err(git("write a tree"))?;
            tree = Some(repository.find_tree(id).map_err(git("write a tree"))?);
        }
        let Some(tree) = tree else { return Ok(()) };
        let who = Signature::new(
            "plimsoll",
            "plimsoll@localhost",
            &Time::new(now.wall.as_second(), 0),
        )
        .map_err(git("name the author"))?;
        let message = format!("{} lines\n", lines.len());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        // Git itself refuses where the branch is not at the first parent any more.
        let made = repository
            .commit(Some(&self.branch), &who, &who, &message, &tree, &parents)
            .map_err(git("commit"))?;
        self.tip = Some(made);
        Ok(())
    }
}

fn open(path: &Path) -> Result<Repository, Error> {
    match Repository::open_bare(path) {
        Ok(repository) => Ok(repository),
        Err(error) if error.code() == ErrorCode::NotFound => {
            let mut options = git2::RepositoryInitOptions::new();
            options.bare(true).initial_head("main");
            Repository::init_opts(path, &options).map_err(git("make the repository"))
        }
        Err(error) => Err(git("open the repository")(error)),
    }
}

fn tip(repository: &Repository, branch: &str) -> Result<Option<Oid>, Error> {
    match repository.refname_to_id(branch) {
        Ok(tip) => Ok(Some(tip)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(git("read the branch")(error)),
    }
}

fn empty(repository: &Repository) -> Result<git2::Tree<'_>, Error> {
    repository
        .treebuilder(None)
        .and_then(|builder| builder.write())
        .and_then(|id| repository.find_tree(id))
        .map_err(git("write a tree"))
}

/// Returns the lines by the file that they belong to, in order.
fn by_file(lines: &[String]) -> std::collections::BTreeMap<String, String> {
    let mut files: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for line in lines {
        let file = match read_line(line) {
            Ok(Line::Record(told)) => record_file(&told),
            Ok(Line::Checkpoint(signed)) => checkpoint_file(&signed),
            Ok(Line::Header) | Err(_) => continue,
        };
        let text = files.entry(file).or_default();
        text.push_str(line);
        text.push('\n');
    }
    files
}

fn record_file(told: &Told) -> String {
    let ChainId {
        namespace,
        name,
        uid,
    } = &told.chain;
    let uid: String = uid.chars().take(8).collect();
    let hundred = (told.sequence - 1) / PER_FILE;
    format!("records/{namespace}/{name}-{uid}/{hundred:08}.jsonl")
}

fn checkpoint_file(signed: &Signed) -> String {
    let number = signed.open(None).map_or(0, |checkpoint| checkpoint.number);
    format!(
        "checkpoints/{:08}.jsonl",
        number.saturating_sub(1) / PER_FILE
    )
}
