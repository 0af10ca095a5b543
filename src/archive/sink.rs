//! One sink, whatever it is.
//!
//! Enters: settings; lines.
//! Leaves: how far it has come; lines that are kept.
//! Never: a decision what is due.

use std::{path::PathBuf, sync::Arc};

use super::{
    Error, Upstream,
    file::FileSink,
    git::{GitSink, branch},
    heads::Heads,
};
use crate::model::Now;

/// Where a sink is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A directory.
    Directory {
        /// Its path.
        path: PathBuf,
        /// Size at which a file is followed by the next.
        rotate: u64,
    },
    /// A repository on this machine.
    Repository {
        /// Path or `file://` URL.
        url: String,
    },
    /// A repository on a server.
    Upstream(Arc<dyn Upstream>),
}

impl Place {
    /// Returns the kind, as a label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "file",
            Self::Repository { .. } | Self::Upstream(_) => "git",
        }
    }
}

impl Place {
    /// Makes a copy level with its server.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) async fn bring(&self, cluster: &str) -> Result<(), Error> {
        let Self::Upstream(upstream) = self else {
            return Ok(());
        };
        let brought = upstream.bring(branch(cluster)).await;
        brought.map_err(|source| Error::Upstream {
            act: "read the audit branch at the server",
            source,
        })
    }

    /// Takes what was appended to a copy to its server.
    ///
    /// # Errors
    /// The server does not take it; the sink has to be opened anew.
    pub(super) async fn push(&self, cluster: &str, old: Option<String>) -> Result<(), Error> {
        let Self::Upstream(upstream) = self else {
            return Ok(());
        };
        let pushed = upstream.push(branch(cluster), old).await;
        pushed.map_err(|source| Error::Upstream {
            act: "push the audit branch",
            source,
        })
    }
}

/// A sink that is open.
#[derive(Debug)]
pub(super) enum Sink {
    File(FileSink),
    Git(GitSink),
}

impl Sink {
    /// Opens it. Blocks.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn open(place: &Place, cluster: &str) -> Result<Self, Error> {
        match place {
            Place::Directory { path, rotate } => {
                FileSink::open(path, cluster, *rotate).map(Self::File)
            }
            Place::Repository { url } => GitSink::open(url, cluster).map(Self::Git),
            Place::Upstream(upstream) => GitSink::at(upstream.copy(), cluster).map(Self::Git),
        }
    }

    /// Returns the commit that a branch is at; None for no branch.
    pub(super) fn tip(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Git(sink) => sink.tip(),
        }
    }

    pub(super) fn heads(&self) -> &Heads {
        match self {
            Self::File(sink) => &sink.heads,
            Self::Git(sink) => &sink.heads,
        }
    }

    /// Appends lines; after an error none of them is there. Blocks.
    ///
    /// # Errors
    /// The sink does not take them.
    pub(super) fn append(&mut self, lines: &[String], now: Now) -> Result<(), Error> {
        let heads = match self {
            Self::File(sink) => {
                sink.append(lines)?;
                &mut sink.heads
            }
            Self::Git(sink) => {
                sink.append(lines, now)?;
                &mut sink.heads
            }
        };
        for line in lines {
            // What was appended was read before.
            let _read = heads.read(line);
        }
        Ok(())
    }
}
