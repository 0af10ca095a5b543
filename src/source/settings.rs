//! What an operator may set for fetching.
//!
//! Enters: validated flags.
//! Leaves: `Settings`, handed to `Mirrors::open`.
//! Never: reading the environment.

use std::{path::PathBuf, time::Duration};

use super::Egress;

/// How repositories are fetched and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory for mirrors. It may be shared by processes: each makes a directory of its own in it and removes
    /// those that dead processes left. No default: only the edge knows a directory that may be written.
    pub cache: PathBuf,
    /// Time to resolve a host and connect to it, seconds. Default 10: a host that needs longer is down.
    pub connect_timeout: Duration,
    /// Time without a byte from the server, seconds. Default 30: a server that packs a large repository says
    /// something every 5 s (git's keep-alive).
    pub idle_timeout: Duration,
    /// Time for everything that one round with a server needs, indexing included, seconds. Default 180: a repository
    /// of 1 GiB at 10 MB/s, with room.
    pub total_timeout: Duration,
    /// Largest repository, bytes received and bytes kept. Default 1 GiB: a hundred times what manifests need.
    pub max_repository_bytes: u64,
    /// Most objects in one pack. Default 5 million; Linux has about 11, a large monorepo of manifests below 1.
    pub max_objects: u32,
    /// Largest object that has to be held in memory while a pack is taken in, unpacked, bytes: commits, directories,
    /// and every file that is stored as a difference, for a megabyte of differences can stand for terabytes. Files
    /// stored as they are count against `max_repository_bytes` alone. Default 64 MiB, twice the largest file that
    /// can be read.
    pub max_object_bytes: u64,
    /// Largest list of references, bytes. Default 32 MiB, about half a million references, which take as
    /// much memory again.
    pub max_advertisement_bytes: u64,
    /// Largest file that can be read from a snapshot, bytes. Default 32 MiB, as the renderer's own limit.
    pub max_file_bytes: u64,
    /// Most names in one directory. Default 50,000, far above what `git status` can bear.
    pub max_files: usize,
    /// Largest sum of all mirrors, bytes; the one used longest ago goes first. Default 4 GiB.
    pub max_cache_bytes: u64,
    /// Packs of one mirror after which they are put together. Default 16: a lookup asks each pack in turn, and git's library
    /// writes a message for each that does not have it; at 64 that was half of the CPU of a commit.
    pub max_packs: usize,
    /// Time to put packs together, seconds. Default 15: who waits for an answer waits for that as well. Where it takes longer, half as much is put
    /// together from then on.
    pub put_together_timeout: Duration,
    /// Rounds with servers at one time. Default 8: each holds a thread and a few times `max_object_bytes` of memory at most.
    pub concurrent_fetches: usize,
    /// Which hosts may be connected to. Default: every one whose addresses are not forbidden.
    pub egress: Egress,
    /// Whether local paths and `file://` are allowed. Default false: an Application must not read the controller's disk.
    pub allow_file: bool,
}

impl Settings {
    /// Returns the defaults, with mirrors below `cache`.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(3),
            max_repository_bytes: 1 << 30,
            max_objects: 5_000_000,
            max_object_bytes: 64 << 20,
            max_advertisement_bytes: 32 << 20,
            max_file_bytes: 32 << 20,
            max_files: 50_000,
            max_cache_bytes: 4 << 30,
            max_packs: 16,
            put_together_timeout: Duration::from_secs(15),
            concurrent_fetches: 8,
            egress: Egress::default(),
            allow_file: false,
        }
    }

    /// Returns the largest repository for a message, with the flag that sets it.
    pub(super) fn repository_limit(&self) -> String {
        format!(
            "{} bytes (--max-repository-size)",
            self.max_repository_bytes
        )
    }
}
