//! What can go wrong between the rooms.
//!
//! Enters: errors of the rooms.
//! Leaves: one `Error` with a reason and with how to try again.
//! Never: a message of its own where the room has said it.

use crate::{
    api::{Class, Reason},
    cluster, model, render,
    rollout::Failure,
    source,
};

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Git.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The renderer.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// Something that the person or the spec must set right.
    #[error("{0}")]
    Failure(Box<FailureError>),
    /// A person ended what was asked, or the round did: nothing was written by it.
    #[error("ended before the API server had answered every question")]
    Ended,
    /// A task of ours did not end as it must.
    #[error("wait for {what}")]
    Task {
        /// What was waited for.
        what: &'static str,
        /// Cause.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// A judged failure, as an error.
#[derive(Debug)]
pub struct FailureError(pub Failure);

impl std::fmt::Display for FailureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error {
    /// Wraps a judged failure.
    pub(super) fn failure(reason: Reason, class: Class, message: impl Into<String>) -> Self {
        Self::Failure(Box::new(FailureError(Failure {
            reason,
            class,
            message: message.into(),
        })))
    }

    /// Returns the reason from the closed list.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Source(error) => error.reason(),
            Self::Render(error) => {
                fetch_error(error).map_or_else(|| error.reason(), source::Error::reason)
            }
            Self::Cluster(error) => error.reason(),
            Self::Failure(failure) => failure.0.reason,
            Self::Ended => Reason::Cancelled,
            Self::Task { .. } => Reason::Internal,
        }
    }

    /// Says whether the same again can help without a change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => matches!(error.retry(), source::Retry::Backoff),
            // A remote base that cannot be reached now may be later.
            Self::Render(error) => fetch_error(error)
                .is_some_and(|error| matches!(error.retry(), source::Retry::Backoff)),
            Self::Cluster(error) => matches!(error.retry(), cluster::Retry::Backoff),
            Self::Failure(failure) => failure.0.class == Class::Environment,
            Self::Ended | Self::Task { .. } => true,
        }
    }

    /// Returns the failure that a person reads.
    pub fn to_failure(&self) -> Failure {
        if let Self::Failure(failure) = self {
            return failure.0.clone();
        }
        Failure {
            reason: self.reason(),
            class: if self.is_transient() {
                Class::Environment
            } else {
                Class::Change
            },
            message: model::text::cut(&model::text::chain(self), 1500),
        }
    }
}

/// Returns why a remote base could not be fetched, where that is why the files do not render.
fn fetch_error(error: &render::Error) -> Option<&source::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<source::Error>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
