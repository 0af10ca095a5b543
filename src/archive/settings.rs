//! What the archive is told.
//!
//! Enters: flags of the controller.
//! Leaves: `Settings`.
//! Never: a key; only where it is.

use std::{path::PathBuf, time::Duration};

/// Where the key is that signs checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// A Secret in the controller's own namespace, under the key `key.pem`.
    Secret(String),
}

/// Settings of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Identity of the controller, as in its lease.
    pub identity: String,
    /// Directory of the file sink; None for none.
    pub directory: Option<PathBuf>,
    /// Repository of the git sink: a path, `file://`, or what an [`Upstream`](super::Upstream) reaches; None for none.
    pub repository: Option<String>,
    /// Size at which a file of the file sink is followed by the next. 64 MiB: it opens in less than a second.
    pub rotate_bytes: u64,
    /// Whether nothing is changed while a sink does not take records.
    pub fail_closed: bool,
    /// How long a record may wait for a sink before that counts. 30 s: longer than a slow disk, shorter than a rollout.
    pub patience: Duration,
    /// Newest records of each Application that stay in the cluster.
    pub keep: u64,
    /// Age after which a record leaves the cluster where there is no sink; the newest always stays.
    pub keep_age: Duration,
    /// Where the key of checkpoints is; None for no checkpoints.
    pub key: Option<KeySource>,
    /// Records after which a checkpoint is signed.
    pub checkpoint_every: u64,
    /// Time after which one is signed if anything is new.
    pub checkpoint_interval: Duration,
}

impl Settings {
    /// Returns the URL of the git sink if it is on a server.
    pub fn remote(&self) -> Option<&str> {
        self.repository
            .as_deref()
            .filter(|url| !url.starts_with('/') && !url.starts_with("file://"))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identity: String::new(),
            directory: None,
            repository: None,
            rotate_bytes: 64 << 20,
            fail_closed: false,
            patience: Duration::from_secs(30),
            keep: 100,
            keep_age: Duration::from_secs(90 * 24 * 3600),
            key: None,
            checkpoint_every: 100,
            checkpoint_interval: Duration::from_secs(600),
        }
    }
}
