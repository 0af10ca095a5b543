//! What went wrong between us and the API server.
//!
//! Enters: transport errors and answers that are no answer about an object.
//! Leaves: `Error`, with a reason from the closed list and whether trying again can help.
//! Never: a body, a header or a value of an object in a message.

use std::time::Duration;

use crate::{
    api::Reason,
    model::{RefusalReason, text},
};

/// Whether trying the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It can, later: exponential backoff with jitter.
    Backoff,
    /// Only after something changed: long re-check.
    OnChange,
    /// It cannot; it is a bug or a wrong setting.
    Never,
}

/// Why the API server could not be asked, or did not do what it was asked.
///
/// `act` says what was tried and as whom, for example `read Deployment/shop/web as shop/deployer`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig or the in-cluster files cannot be used.
    #[error("{act}")]
    Settings {
        /// What was tried.
        act: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something that must exist does not.
    #[error("{act}: not found")]
    NotFound {
        /// What was tried.
        act: String,
    },
    /// The API server does not serve the kind in this version.
    #[error("find {kind} of {api_version}: the API server does not serve it")]
    KindUnknown {
        /// `group/version`, or `version` for the core group.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// Whether the API server serves the kind could not be found out: the API behind its group does not answer.
    #[error("find {kind} of {api_version}: the API behind this group does not answer")]
    DiscoveryIncomplete {
        /// `group/version`, or `version` for the core group.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// A name that no object can have; it was not sent.
    #[error("name an object {name:?}: not a name that the API server takes")]
    Name {
        /// The name, cut.
        name: String,
    },
    /// The user may not do it.
    #[error("{act}: {message}")]
    Forbidden {
        /// What was tried.
        act: String,
        /// User as the API server knows it, or `the controller` or `you`.
        user: String,
        /// What the API server said: user, verb, resource and namespace.
        message: String,
    },
    /// The controller may not act as this account, or the account cannot be used.
    #[error("{act}: acting as {user} is not allowed: {message}")]
    Impersonation {
        /// What was tried.
        act: String,
        /// The user that was asked for.
        user: String,
        /// What the API server said.
        message: String,
    },
    /// The API server does not know who we are.
    #[error("{act}: the API server does not accept our credentials")]
    Unauthorized {
        /// What was tried.
        act: String,
    },
    /// Somebody else was faster; a fresh read helps.
    #[error("{act}: it was changed meanwhile")]
    Conflict {
        /// What was tried.
        act: String,
    },
    /// No connection, or it broke.
    #[error("{act}: the API server is not reachable")]
    Unreachable {
        /// What was tried.
        act: String,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{act}: no answer from the API server in {}", text::duration(*.after))]
    Timeout {
        /// What was tried.
        act: String,
        /// How long we waited.
        after: Duration,
    },
    /// The API server is too busy.
    #[error("{act}: the API server is too busy; next try in {}", text::duration(*.retry_after))]
    Throttled {
        /// What was tried.
        act: String,
        /// When to try again, capped at 30 s whatever the API server asked for.
        retry_after: Duration,
    },
    /// The API server answered with an error of its own.
    #[error("{act}: the API server failed with HTTP {code}: {message}")]
    Server {
        /// What was tried.
        act: String,
        /// HTTP status code.
        code: u16,
        /// What it said, bounded.
        message: String,
    },
    /// The API server refused it.
    #[error("{act}: {}: {message}", .reason.as_str())]
    Refused {
        /// What was tried.
        act: String,
        /// Reason from the closed list.
        reason: RefusalReason,
        /// What it said, bounded.
        message: String,
    },
    /// An answer or a set exceeds a limit of ours.
    #[error("{act}: larger than the limit of {limit} {unit}")]
    TooLarge {
        /// What was tried.
        act: String,
        /// The limit.
        limit: usize,
        /// What the limit counts.
        unit: &'static str,
    },
    /// An answer, or something to send, is not what it must be.
    #[error("{act}: it is not the JSON that was expected")]
    Decode {
        /// What was tried.
        act: String,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// The lease is not ours any more, or not for long enough.
    #[error("{act}: the lease is not ours for long enough")]
    LeaseLost {
        /// What was tried.
        act: String,
    },
    /// A write was sent and its answer was lost: it may have happened. Read again before anything else.
    #[error("{act}: sent, and the answer was lost")]
    OutcomeUnknown {
        /// What was tried.
        act: String,
        /// Cause.
        #[source]
        source: Box<Self>,
    },
    /// Stored state is not what was stored.
    #[error("{act}: {what}")]
    Damaged {
        /// What was tried.
        act: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system gives no randomness.
    #[error("draw a random number")]
    Random {
        /// Cause.
        #[source]
        source: getrandom::Error,
    },
}

impl Error {
    /// Returns the reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Settings { .. }
            | Self::DiscoveryIncomplete { .. }
            | Self::Unauthorized { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Throttled { .. }
            | Self::Server { .. }
            | Self::LeaseLost { .. } => Reason::ApiUnavailable,
            Self::KindUnknown { .. } | Self::Name { .. } => Reason::DryRunRefused,
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::Impersonation { .. } => Reason::NoIdentity,
            Self::Conflict { .. } => Reason::Conflict,
            Self::NotFound { .. } | Self::Refused { .. } => Reason::ApplyFailed,
            Self::TooLarge { .. } => Reason::ObjectTooLarge,
            Self::Decode { .. } | Self::Random { .. } => Reason::Internal,
            Self::OutcomeUnknown { source, .. } => source.reason(),
            Self::Damaged { .. } => Reason::InventoryDamaged,
        }
    }

    /// Says whether trying the same again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::DiscoveryIncomplete { .. }
            | Self::Conflict { .. }
            | Self::Unauthorized { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Throttled { .. }
            | Self::Server { .. }
            | Self::LeaseLost { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Random { .. } => Retry::Backoff,
            Self::Refused { reason, .. } => {
                if reason.is_environment() {
                    Retry::Backoff
                } else {
                    Retry::OnChange
                }
            }
            Self::NotFound { .. }
            | Self::KindUnknown { .. }
            | Self::Name { .. }
            | Self::Forbidden { .. }
            | Self::Impersonation { .. }
            | Self::TooLarge { .. }
            | Self::Damaged { .. } => Retry::OnChange,
            Self::Settings { .. } | Self::Decode { .. } => Retry::Never,
        }
    }

    /// Returns when the API server asked to be asked again, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(*retry_after),
            Self::OutcomeUnknown { source, .. } => source.retry_after(),
            Self::Settings { .. }
            | Self::NotFound { .. }
            | Self::KindUnknown { .. }
            | Self::DiscoveryIncomplete { .. }
            | Self::Name { .. }
            | Self::Forbidden { .. }
            | Self::Impersonation { .. }
            | Self::Unauthorized { .. }
            | Self::Conflict { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Server { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Decode { .. }
            | Self::LeaseLost { .. }
            | Self::Damaged { .. }
            | Self::Random { .. } => None,
        }
    }

    /// Says whether a write may have happened although it failed.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }
}
