//! What to fetch, with what, and what a commit says of itself.
//!
//! Enters: fields of an Application's source and of its Secret.
//! Leaves: `SourceSpec`, `Credentials`, `CommitInfo`.
//! Never: a connection.

use jiff::Timestamp;

use super::Secret;

/// Where an Application's files are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceSpec {
    /// Repository: `https://`, `ssh://`, scp style, `http://` or a local path.
    pub repository: String,
    /// Branch, tag or full commit hash; None for the remote's HEAD.
    pub reference: Option<String>,
    /// Path in the repository, `/`-separated, without a leading slash.
    pub path: String,
}

/// What opens a repository. Every part is optional; an empty value is an anonymous fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credentials {
    /// User name for https; `git` where only a token is given.
    pub username: Option<String>,
    /// Password or token for https.
    pub password: Option<Secret<String>>,
    /// Private key for ssh, in OpenSSH or PEM form.
    pub identity: Option<Secret<String>>,
    /// `known_hosts` lines for ssh; without them no ssh host is trusted.
    pub known_hosts: Option<String>,
    /// Certificate authorities for https, PEM.
    pub certificate_authority: Option<String>,
}

impl Credentials {
    /// Says whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a commit says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Author as `Name <mail>`.
    pub author: String,
    /// Committer as `Name <mail>`.
    pub committer: String,
    /// When the author wrote it.
    pub authored: Timestamp,
    /// When it was committed.
    pub committed: Timestamp,
    /// First line of the message.
    pub subject: String,
    /// Whether it carries a signature. Nobody has checked it.
    pub signed: bool,
}
