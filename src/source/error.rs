//! Why a repository could not be read.
//!
//! Enters: what was being done, and with which address.
//! Leaves: `Error`, its reason and when to try again.
//! Never: a password, a token, a key, or anything that a server sent beyond its status.

use std::{io, sync::Arc, time::Duration};

use super::{DisplaySafeUrl, address::AddressError, egress::Denied};
use crate::api::Reason;

/// A cause. Shared, because many Applications wait for one fetch and all of them are told.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// When it makes sense to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By itself it may pass: soon, then less and less often.
    Backoff,
    /// Somebody has to change something: look again now and then.
    OnChange,
    /// It is a bug.
    Never,
}

/// Why a repository could not be read. Each message is a fragment that fits "failed to {error}".
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be read.
    #[error("read the address {url}")]
    Address {
        /// Address.
        url: DisplaySafeUrl,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// A local path, where none is allowed.
    #[error("open {url}: local repositories are not allowed here; use https:// or ssh://")]
    FileNotAllowed {
        /// Address.
        url: DisplaySafeUrl,
    },
    /// The reference cannot be a branch, a tag or a commit.
    #[error("read the reference {reference:?}: {problem}")]
    ReferenceInvalid {
        /// Reference as it was given.
        reference: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The host may not be connected to.
    #[error("connect to {url}")]
    Egress {
        /// Address.
        url: DisplaySafeUrl,
        /// Which rule refuses it.
        #[source]
        source: Denied,
    },
    /// The server sends us to another host, or to a less safe way.
    #[error(
        "fetch {url}: the server redirects to another host or to plain http, which is not followed; put the final address into the source"
    )]
    Redirected {
        /// Address.
        url: DisplaySafeUrl,
    },
    /// The host cannot be found, connected to, or broke the connection.
    #[error("{act} {url}")]
    Unreachable {
        /// What was being done: `resolve`, `connect to`, `read from` …
        act: &'static str,
        /// Address.
        url: DisplaySafeUrl,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The server has an error of its own, or is too busy.
    #[error("fetch {url}: the server answered {status}")]
    ServerError {
        /// Address.
        url: DisplaySafeUrl,
        /// Status of http.
        status: u16,
    },
    /// The time was over.
    #[error("fetch {url}: {what} took longer than {} s", limit.as_secs_f64())]
    TimedOut {
        /// Address.
        url: DisplaySafeUrl,
        /// What took too long.
        what: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// The process ends.
    #[error("fetch {url}: it was stopped")]
    Stopped {
        /// Address.
        url: DisplaySafeUrl,
    },
    /// The server wants credentials and none are given.
    #[error("fetch {url}: the server asks for credentials, and none are given")]
    CredentialsMissing {
        /// Address.
        url: DisplaySafeUrl,
    },
    /// The server refused the credentials.
    #[error("fetch {url}: the server refused the credentials{}", in_brackets(*status))]
    CredentialsRefused {
        /// Address.
        url: DisplaySafeUrl,
        /// Status of http; None for ssh.
        status: Option<u16>,
    },
    /// The server says that the repository does not exist, or hides it from these credentials.
    #[error("fetch {url}: there is no such repository, or these credentials may not see it{}", in_brackets(*status))]
    RepositoryMissing {
        /// Address.
        url: DisplaySafeUrl,
        /// Status of http; None for ssh.
        status: Option<u16>,
    },
    /// The credentials cannot be used with this address.
    #[error("use the credentials for {url}: {problem}")]
    CredentialsUnusable {
        /// Address.
        url: DisplaySafeUrl,
        /// What is wrong with them.
        problem: &'static str,
        /// What the parser said.
        #[source]
        source: Option<Cause>,
    },
    /// The ssh host's key is in no line of `known_hosts`.
    #[error(
        "trust {host}: its {algorithm} key {fingerprint} is not in known_hosts; compare it with what the host's operator publishes, then add it to the Secret"
    )]
    HostKeyUnknown {
        /// Host as `known_hosts` writes it.
        host: String,
        /// Algorithm of the key.
        algorithm: String,
        /// `SHA256:` and the digest in base64, as ssh-keygen prints it.
        fingerprint: String,
    },
    /// The ssh host has another key than `known_hosts` says.
    #[error(
        "trust {host}: its {algorithm} key {fingerprint} is not the one in known_hosts; the host was changed, or somebody stands between"
    )]
    HostKeyChanged {
        /// Host as `known_hosts` writes it.
        host: String,
        /// Algorithm of the key.
        algorithm: String,
        /// `SHA256:` and the digest in base64.
        fingerprint: String,
    },
    /// The certificate of the https host is not trusted.
    #[error("trust the certificate of {url}")]
    Certificate {
        /// Address.
        url: DisplaySafeUrl,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// What came is not git's protocol, or is damaged. Nothing of it is kept.
    #[error("fetch {url}: {problem}")]
    Protocol {
        /// Address.
        url: DisplaySafeUrl,
        /// What was wrong with it.
        problem: String,
        /// What the parser said.
        #[source]
        source: Option<Cause>,
    },
    /// The server listed other references, and not this one.
    #[error(
        "find {reference:?} in {url}: the repository has no branch or tag of that name{}",
        hint(reference)
    )]
    ReferenceGone {
        /// Address.
        url: DisplaySafeUrl,
        /// Reference.
        reference: String,
    },
    /// No branch and no tag contains the commit.
    #[error("find commit {commit} in {url}: no branch and no tag contains it")]
    CommitNotContained {
        /// Address.
        url: DisplaySafeUrl,
        /// Commit.
        commit: String,
    },
    /// The server did not move the branch.
    #[error(
        "push {reference:?} to {url}: the server refused it; somebody else moved the branch, it is protected, or a hook of the server says no"
    )]
    PushRefused {
        /// Address.
        url: DisplaySafeUrl,
        /// Reference.
        reference: String,
    },
    /// The reference does not lead to a commit.
    #[error("read {reference:?} of {url}: it leads to a {kind}, not to a commit")]
    NotACommit {
        /// Address.
        url: DisplaySafeUrl,
        /// Reference.
        reference: String,
        /// What it leads to.
        kind: &'static str,
    },
    /// No directory stands at the path.
    #[error("find {path:?} in {url} at {revision}: {problem}")]
    PathMissing {
        /// Address.
        url: DisplaySafeUrl,
        /// Path as it was given.
        path: String,
        /// Revision.
        revision: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What the tree said.
        #[source]
        source: Option<Cause>,
    },
    /// A limit of size.
    #[error("fetch {url}: {what} is larger than {limit}")]
    TooLarge {
        /// Address.
        url: DisplaySafeUrl,
        /// What is too large.
        what: &'static str,
        /// Largest size allowed, with its unit.
        limit: String,
    },
    /// The commit was not fetched yet, or not any more.
    #[error("find commit {commit} of {url}: it is not in the mirror")]
    NotInMirror {
        /// Address.
        url: DisplaySafeUrl,
        /// Commit.
        commit: String,
    },
    /// The mirror on disk is damaged. It is built again by the next fetch.
    #[error("read the mirror of {url}")]
    Damaged {
        /// Address.
        url: DisplaySafeUrl,
        /// What git's object database said.
        #[source]
        source: Cause,
    },
    /// The cache directory cannot be used.
    #[error("{act} in the cache")]
    Cache {
        /// What was being done.
        act: &'static str,
        /// What the system said.
        #[source]
        source: Cause,
    },
    /// The system's certificates, random numbers or git library cannot be set up, or a task ended in a panic.
    #[error("{act}")]
    Internal {
        /// What was being done.
        act: &'static str,
        /// What was said.
        #[source]
        source: Cause,
    },
}

impl Error {
    /// Returns the reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Address { .. } | Self::ReferenceInvalid { .. } => Reason::InvalidSpec,
            Self::FileNotAllowed { .. } | Self::Egress { .. } | Self::Redirected { .. } => {
                Reason::EgressDenied
            }
            Self::Unreachable { .. }
            | Self::ServerError { .. }
            | Self::TimedOut { .. }
            | Self::Stopped { .. }
            | Self::NotInMirror { .. } => Reason::GitUnreachable,
            // Hosts answer "not found" for what these credentials may not see.
            Self::CredentialsMissing { .. }
            | Self::CredentialsRefused { .. }
            | Self::RepositoryMissing { .. } => Reason::GitAuth,
            Self::CredentialsUnusable { .. } => Reason::CredentialsInvalid,
            Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::Certificate { .. } => Reason::GitUntrusted,
            // Only what the controller itself keeps elsewhere is pushed; no Application shows it.
            Self::PushRefused { .. } => Reason::GitAuth,
            Self::Protocol { .. } | Self::Damaged { .. } => Reason::GitProtocol,
            Self::ReferenceGone { .. }
            | Self::CommitNotContained { .. }
            | Self::NotACommit { .. } => Reason::ReferenceGone,
            Self::PathMissing { .. } => Reason::PathNotFound,
            Self::TooLarge { .. } => Reason::SourceTooLarge,
            Self::Cache { .. } | Self::Internal { .. } => Reason::Internal,
        }
    }

    /// Returns when to try again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::ServerError { .. }
            | Self::TimedOut { .. }
            | Self::Stopped { .. }
            | Self::Protocol { .. }
            | Self::PushRefused { .. }
            | Self::NotInMirror { .. }
            | Self::Damaged { .. }
            // A full disk passes, for example.
            | Self::Cache { .. } => Retry::Backoff,
            Self::Address { .. }
            | Self::FileNotAllowed { .. }
            | Self::ReferenceInvalid { .. }
            | Self::Egress { .. }
            | Self::Redirected { .. }
            | Self::CredentialsMissing { .. }
            | Self::CredentialsRefused { .. }
            | Self::RepositoryMissing { .. }
            | Self::CredentialsUnusable { .. }
            | Self::HostKeyUnknown { .. }
            | Self::HostKeyChanged { .. }
            | Self::Certificate { .. }
            | Self::ReferenceGone { .. }
            | Self::CommitNotContained { .. }
            | Self::NotACommit { .. }
            | Self::PathMissing { .. }
            | Self::TooLarge { .. } => Retry::OnChange,
            Self::Internal { .. } => Retry::Never,
        }
    }

    /// Says that it came of fetching all of history, where that is what is too large or takes too long.
    pub(super) fn of_history(mut self) -> Self {
        if let Self::TooLarge { what, .. } | Self::TimedOut { what, .. } = &mut self {
            *what = "all of its history, which tells whether the branch was rewritten,";
        }
        self
    }

    /// Returns the error that an `io::Error` carries, or says that the connection broke.
    pub(super) fn from_io(url: &DisplaySafeUrl, act: &'static str, error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Protocol {
                url: url.clone(),
                problem: "what the server sent ends too early".to_owned(),
                source: Some(Arc::new(error)),
            },
            Err(error) => Self::Unreachable {
                act,
                url: url.clone(),
                source: Arc::new(error),
            },
        }
    }

    pub(super) fn protocol(url: &DisplaySafeUrl, problem: impl Into<String>) -> Self {
        Self::Protocol {
            url: url.clone(),
            problem: problem.into(),
            source: None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}

fn in_brackets(status: Option<u16>) -> String {
    status
        .map(|status| format!(" ({status})"))
        .unwrap_or_default()
}

fn hint(reference: &str) -> &'static str {
    if reference == "HEAD" {
        return "; its HEAD points to a branch that does not exist, so the source has to name one that does";
    }
    let hex = reference.len() >= 7 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex {
        "; a commit has to be given with all of its 40 digits"
    } else {
        ""
    }
}
