//! One sink, whatever it is.
//!
//! Enters: settings; lines.
//! Leaves: how far it has come; lines that are kept.
//! Never: a decision what is due.

use std::path::PathBuf;

use super::{Error, file::FileSink, git::GitSink, heads::Heads};
use crate::model::Now;

/// Where a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory.
    Directory {
        /// Its path.
        path: PathBuf,
        /// Size at which a file is followed by the next.
        rotate: u64,
    },
    /// A repository.
    Repository {
        /// Path or `file://` URL.
        url: String,
    },
}

impl Place {
    /// Returns the kind, as a label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "file",
            Self::Repository { .. } => "git",
        }
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
