//! Why records cannot be kept.
//!
//! Enters: errors of the disk, of git, of the API server.
//! Leaves: one `Error` that names the sink, the act and the record.
//! Never: a record's content.

use std::path::PathBuf;

use super::Cause;
use crate::{cluster, history};

/// Why a sink did not take what it was given, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("{act} {}", path.display())]
    Disk {
        /// What was done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Git.
    #[error("{act} in the audit repository")]
    Git {
        /// What was done.
        act: &'static str,
        /// Cause.
        #[source]
        source: git2::Error,
    },
    /// The server that a branch is kept on.
    #[error("{act}")]
    Upstream {
        /// What was done.
        act: &'static str,
        /// Cause.
        #[source]
        source: Cause,
    },
    /// The repository is none that can be written to.
    #[error("use {url} as audit repository: it is neither an absolute path nor a file:// URL")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// The sink holds the history of another cluster.
    #[error("use {}: it holds the history of cluster {found}, not of {ours}", path.display())]
    OtherCluster {
        /// The sink.
        path: PathBuf,
        /// UID of the cluster in it.
        found: String,
        /// UID of ours.
        ours: String,
    },
    /// The sink holds another history of one chain.
    #[error(
        "append record {sequence} of {chain}: the sink holds another history, up to record {has}"
    )]
    OtherHistory {
        /// The chain.
        chain: history::ChainId,
        /// The record that does not follow.
        sequence: u64,
        /// What the sink has.
        has: u64,
    },
    /// A file of the sink cannot be read as one.
    #[error("read {}, line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Somebody else wrote to the sink; it is read anew.
    #[error("append to {}: somebody else wrote to it", path.display())]
    Moved {
        /// The sink.
        path: PathBuf,
    },
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The key.
    #[error("use the key of checkpoints")]
    Key(#[source] history::KeyError),
    /// There is no key where it should be.
    #[error("find the key of checkpoints in {place}")]
    NoKey {
        /// Where it should be.
        place: String,
    },
    /// A task of ours did not end as it must.
    #[error("wait for the sink")]
    Task(#[source] tokio::task::JoinError),
}

impl Error {
    /// Says whether the sink must be opened anew before it is tried again.
    pub(super) fn needs_opening(&self) -> bool {
        match self {
            Self::Disk { .. }
            | Self::Git { .. }
            | Self::Upstream { .. }
            | Self::Moved { .. }
            | Self::Task(_) => true,
            Self::Scheme { .. }
            | Self::OtherCluster { .. }
            | Self::OtherHistory { .. }
            | Self::Damaged { .. }
            | Self::Cluster(_)
            | Self::Key(_)
            | Self::NoKey { .. } => false,
        }
    }
}
