//! What the API server answered about one object.
//!
//! Enters: the reply to a dry-run, an apply or a create.
//! Leaves: `Answer`: taken, conflicting, refused, or missing something that the object names.
//! Never: a refusal for what is no answer about the object; that is an `Error`.

use serde_json::Value;

use super::{
    Catalogue, Error, Resource,
    classify::{self, Said},
    request::{Call, Reply},
};
use crate::model::{Conflict, DryRun, GroupKind, Object, ObjectId, Packed, Refusal, RefusalReason};

/// What the API server answered about one object.
#[derive(Clone, Debug)]
pub enum Answer<T> {
    /// Taken, or it would be.
    Accepted(T),
    /// Others own fields of it.
    Conflict(Vec<Conflict>),
    /// Not taken.
    Refused(Refusal),
    /// Not taken, only because it names something that is not there.
    Missing(Missing),
}

/// What an object names and is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub object: MissingObject,
    /// The refusal that it is where nothing of the set brings what is missing.
    pub refusal: Refusal,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingObject {
    /// The object's own kind is not served.
    Kind(GroupKind),
    /// Its namespace does not exist.
    Namespace(String),
    /// Another object that it names.
    Other {
        /// Kind of the missing object.
        kind: GroupKind,
        /// Its name; its namespace is that of the object, or none.
        name: String,
    },
}

impl MissingObject {
    /// Says whether `id` is what is missing. A missing kind is brought by its CustomResourceDefinition:
    /// its name says the group only, so who asks must look at `spec.group` and `spec.names.kind`.
    pub fn is(&self, id: &ObjectId) -> bool {
        match self {
            Self::Kind(_) => false,
            Self::Namespace(name) => id.is("", "Namespace") && id.name == *name,
            Self::Other { kind, name } => id.group_kind() == *kind && id.name == *name,
        }
    }
}

/// An object that was written.
#[derive(Clone)]
pub struct Written {
    /// Whether it was created.
    pub created: bool,
    /// The object as the API server answered it.
    pub live: Value,
    /// Warning headers of the API server, in order.
    pub warnings: Vec<String>,
}

/// Values can be a Secret's: only the shape is printed.
impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written")
            .field("created", &self.created)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

impl From<Written> for DryRun {
    fn from(written: Written) -> Self {
        let Written {
            created,
            live,
            warnings,
        } = written;
        Self {
            created,
            before: None,
            after: Packed::of(&live),
            warnings,
        }
    }
}

/// Reads the reply to a request that would put `object`.
///
/// # Errors
/// The reply is no answer about the object: no identity, changed meanwhile, or an error of the API server's own.
pub(super) fn read(
    call: &Call,
    reply: &Reply,
    object: &Object,
    resource: &Resource,
    catalogue: &Catalogue,
) -> Result<Answer<Written>, Error> {
    let is_secret = resource.is_secret();
    if reply.is_success() {
        let warnings = if is_secret && !reply.warnings.is_empty() {
            vec!["a warning is not shown, for it can hold a value of the Secret".to_owned()]
        } else {
            reply.warnings.clone()
        };
        return Ok(Answer::Accepted(Written {
            created: reply.code == 201,
            live: reply.read(&call.act).map_err(|error| call.lost(error))?,
            warnings,
        }));
    }
    let status = reply.status();
    let said = classify::said(&status, reply.code, None);
    let message = classify::message(&status, reply.code, is_secret, &said);
    let refusal = |reason, message| Refusal {
        id: object.id().clone(),
        reason,
        message,
    };
    Ok(match said {
        Said::Conflicts(conflicts) => Answer::Conflict(conflicts),
        Said::Missing(missing) => {
            let (object, reason) = named(missing, object, catalogue);
            Answer::Missing(Missing {
                object,
                refusal: refusal(reason, message),
            })
        }
        Said::Refused(reason) => Answer::Refused(refusal(reason, message)),
        // Nothing in the set can change that an object of this name is on its way out; waiting can.
        Said::Exists
        | Said::Absent
        | Said::Changed
        | Said::Expired
        | Said::NotImpersonated
        | Said::Unauthorized
        | Said::Failed => return Err(classify::error_of(call, reply.code, &said, message)),
    })
}

/// Returns the answer for an object whose kind is not served.
pub(super) fn kind_unknown(object: &Object) -> Missing {
    let kind = object.group_kind();
    Missing {
        refusal: Refusal {
            id: object.id().clone(),
            reason: RefusalReason::KindUnknown,
            message: format!(
                "the API server does not serve {kind} in {}",
                object.api_version()
            ),
        },
        object: MissingObject::Kind(kind),
    }
}

/// Gives what is missing its kind, which the API server names by its plural, or not at all.
fn named(
    missing: MissingObject,
    object: &Object,
    catalogue: &Catalogue,
) -> (MissingObject, RefusalReason) {
    match missing {
        MissingObject::Kind(_) => (
            MissingObject::Kind(object.group_kind()),
            RefusalReason::KindUnknown,
        ),
        MissingObject::Namespace(name) => (
            MissingObject::Namespace(name),
            RefusalReason::NamespaceMissing,
        ),
        MissingObject::Other { kind, name } => {
            // For a missing Role the API server says `rolebindings "role" not found` (seen on 1.36.3).
            let by_reference = object
                .value()
                .pointer("/roleRef/kind")
                .and_then(Value::as_str)
                .filter(|_| kind.group == "rbac.authorization.k8s.io")
                .map(|role| GroupKind::new(&kind.group, role));
            let kind = by_reference
                .or_else(|| catalogue.kind_of_plural(&kind.group, &kind.kind))
                .unwrap_or(kind);
            (MissingObject::Other { kind, name }, RefusalReason::Other)
        }
    }
}
