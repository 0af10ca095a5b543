//! Exit codes and how a verb fails.
//!
//! Enters: errors of the rooms.
//! Leaves: a code from the table of DESIGN.md and one message.
//! Never: a code that is not in the table.

use std::process::ExitCode;

use crate::{api::Reason, cluster, model::text, pipeline, source};

/// Exit codes; part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Ok, or the same.
    Ok,
    /// The negative answer: differs, unhealthy, verification failed.
    Negative,
    /// Usage or configuration.
    Usage,
    /// A deadline passed.
    Deadline,
    /// Not allowed.
    NotAllowed,
    /// Not found.
    NotFound,
    /// Refused or held.
    Refused,
    /// Fetch or render failed.
    Render,
    /// The cluster is not reachable.
    Unreachable,
    /// A bug.
    Bug,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Returns the number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Deadline => 3,
            Self::NotAllowed => 4,
            Self::NotFound => 5,
            Self::Refused => 6,
            Self::Render => 7,
            Self::Unreachable => 8,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb failed, with the code that it exits with and what may help.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// What may help.
    pub hints: Vec<String>,
}

impl Failure {
    /// Returns a failure without hints.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Returns the failure with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<cluster::Error> for Failure {
    fn from(error: cluster::Error) -> Self {
        let exit = match &error {
            cluster::Error::Settings { .. } | cluster::Error::Name { .. } => Exit::Usage,
            cluster::Error::NotFound { .. } | cluster::Error::KindUnknown { .. } => Exit::NotFound,
            cluster::Error::Forbidden { .. }
            | cluster::Error::Impersonation { .. }
            | cluster::Error::Unauthorized { .. } => Exit::NotAllowed,
            cluster::Error::Timeout { .. } => Exit::Deadline,
            cluster::Error::Conflict { .. } | cluster::Error::Refused { .. } => Exit::Refused,
            cluster::Error::Unreachable { .. }
            | cluster::Error::Throttled { .. }
            | cluster::Error::Server { .. }
            | cluster::Error::DiscoveryIncomplete { .. } => Exit::Unreachable,
            cluster::Error::TooLarge { .. }
            | cluster::Error::Decode { .. }
            | cluster::Error::LeaseLost { .. }
            | cluster::Error::OutcomeUnknown { .. }
            | cluster::Error::Damaged { .. }
            | cluster::Error::Random { .. } => Exit::Bug,
        };
        let unknown = matches!(error, cluster::Error::KindUnknown { .. });
        let failure = Self::new(exit, text::chain(&error));
        if unknown {
            failure.hint("the definitions may not be installed: plimsoll crds | kubectl apply --server-side -f -")
        } else {
            failure
        }
    }
}

impl From<pipeline::Error> for Failure {
    fn from(error: pipeline::Error) -> Self {
        match error {
            pipeline::Error::Cluster(error) => error.into(),
            pipeline::Error::Source(error) => error.into(),
            pipeline::Error::Render(_) => Self::new(Exit::Render, text::chain(&error)),
            pipeline::Error::Failure(failure) if failure.0.reason == Reason::Internal => {
                Self::new(Exit::Bug, failure.to_string())
            }
            pipeline::Error::Failure(failure) => Self::new(Exit::Refused, failure.to_string()),
            pipeline::Error::Ended | pipeline::Error::Task { .. } => {
                Self::new(Exit::Bug, text::chain(&error))
            }
        }
    }
}

impl From<source::Error> for Failure {
    fn from(error: source::Error) -> Self {
        Self::new(Exit::Render, text::chain(&error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Bug, format!("write the output: {error}"))
    }
}
