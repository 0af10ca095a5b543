//! What became of each object of one apply.
//!
//! Enters: answers of the API server to writes and deletes.
//! Leaves: `Applied`: an outcome for each object that was tried.
//! Never: a message without the object and a reason from a closed list.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{ObjectId, Packed};

/// Why the API server, or we on its behalf, did not take an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The object does not fit its schema.
    Invalid,
    /// A field that may not change would change.
    Immutable,
    /// An admission plugin or webhook said no.
    Denied,
    /// The account may not do it.
    Forbidden,
    /// A quota is exhausted.
    QuotaExceeded,
    /// The namespace does not exist and is not in the set.
    NamespaceMissing,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The API server does not know the kind.
    KindUnknown,
    /// Another manager owns fields of it.
    Conflict,
    /// Another Application owns it.
    OwnedByOther,
    /// Larger than the API server takes.
    TooLarge,
    /// An admission webhook did not answer.
    WebhookDown,
    /// The API server was not reachable, too busy, or answered with an error of its own.
    Unavailable,
    /// Anything else that the API server said no to.
    Other,
}

impl RefusalReason {
    /// Returns the reason in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Immutable => "Immutable",
            Self::Denied => "AdmissionDenied",
            Self::Forbidden => "Forbidden",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::KindUnknown => "KindUnknown",
            Self::Conflict => "Conflict",
            Self::OwnedByOther => "OwnedByOther",
            Self::TooLarge => "TooLarge",
            Self::WebhookDown => "WebhookDown",
            Self::Unavailable => "ApiUnavailable",
            Self::Other => "ApiRefused",
        }
    }

    /// Says whether trying again without a change can help: the cause lies outside the set.
    pub fn is_environment(self) -> bool {
        match self {
            Self::QuotaExceeded
            | Self::NamespaceTerminating
            | Self::WebhookDown
            | Self::Unavailable => true,
            Self::Invalid
            | Self::Immutable
            | Self::Denied
            | Self::Forbidden
            | Self::NamespaceMissing
            | Self::KindUnknown
            | Self::Conflict
            | Self::OwnedByOther
            | Self::TooLarge
            | Self::Other => false,
        }
    }
}

/// One object that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub id: ObjectId,
    /// Reason from the closed list.
    pub reason: RefusalReason,
    /// What the server said, bounded; never a value of a Secret.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.reason.as_str(), self.id, self.message)
    }
}

/// Managed fields to write so that an object becomes ours, and the version of it that they were worked out from.
#[derive(Clone, Debug, PartialEq)]
pub struct Takeover {
    /// The whole list.
    pub managed_fields: Value,
    /// Resource version that the write insists on.
    pub resource_version: String,
    /// The managers that hand over, for people.
    pub from: Vec<String>,
}

/// What became of one object.
#[derive(Clone)]
pub enum Outcome {
    /// Written; the server's answer.
    Written {
        /// Whether it was created.
        created: bool,
        /// The object as the server answered it, packed.
        live: Packed,
    },
    /// Nothing to write.
    Unchanged,
    /// Deleted, or found gone.
    Deleted,
    /// Deletion was accepted and waits for finalizers.
    Deleting {
        /// The finalizers it waits for.
        finalizers: Vec<String>,
    },
    /// Not taken.
    Refused(Refusal),
    /// Waits for another object of the set.
    Deferred {
        /// What it waits for.
        on: ObjectId,
    },
    /// Not tried: the apply was stopped before it.
    Stopped,
}

/// Values can be a Secret's: only the kind of outcome is printed.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { created, .. } => write!(f, "Written {{ created: {created} }}"),
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Deleted => f.write_str("Deleted"),
            Self::Deleting { finalizers } => write!(f, "Deleting {{ finalizers: {finalizers:?} }}"),
            Self::Refused(refusal) => write!(f, "Refused({refusal})"),
            Self::Deferred { on } => write!(f, "Deferred {{ on: {on} }}"),
            Self::Stopped => f.write_str("Stopped"),
        }
    }
}

/// What became of every object of one apply.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// One outcome for each object that was planned to be written or deleted.
    pub outcomes: BTreeMap<ObjectId, Outcome>,
}

impl Applied {
    /// Returns the refusals, in the order of ids.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.outcomes.values().filter_map(|outcome| match outcome {
            Outcome::Refused(refusal) => Some(refusal),
            Outcome::Written { .. }
            | Outcome::Unchanged
            | Outcome::Deleted
            | Outcome::Deleting { .. }
            | Outcome::Deferred { .. }
            | Outcome::Stopped => None,
        })
    }

    /// Says whether the apply ended before every object was tried.
    pub fn is_stopped(&self) -> bool {
        self.outcomes
            .values()
            .any(|outcome| matches!(outcome, Outcome::Stopped))
    }
}
