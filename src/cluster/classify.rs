//! What a refusal of the API server means: the one place that reads its Status.
//!
//! Enters: a metav1 Status and its HTTP code.
//! Leaves: `Said`, a closed list, and a message that a person may read.
//! Never: a value of a Secret in a message; a text that is read where a reason or a cause says it.

use kube::core::{Status, response::StatusCause};

use super::{
    Error, Resource,
    answer::MissingObject,
    request::{Call, Reply},
};
use crate::model::{Conflict, GroupKind, RefusalReason, text};

/// Longest message that is passed on.
const MESSAGE_BYTES: usize = 1024;
/// Longest part of a message that speaks of one field.
const CAUSE_BYTES: usize = 384;
/// Most fields that a message speaks of.
const CAUSES: usize = 8;

/// What the API server said no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The object itself is not there.
    Absent,
    /// Something that the object names is not there.
    Missing(MissingObject),
    /// Other managers own fields of it.
    Conflicts(Vec<Conflict>),
    /// It was changed since it was read, or its UID is another one.
    Changed,
    /// It is there already.
    Exists,
    /// The continue token or the resource version is too old.
    Expired,
    /// The account may not be acted as.
    NotImpersonated,
    /// Our own credentials are not accepted.
    Unauthorized,
    /// Not taken.
    Refused(RefusalReason),
    /// An error of the API server's own, or of a proxy.
    Failed,
}

/// Reads what the API server said. `own` is the object that the request was about, where its absence is an answer.
pub(super) fn said(status: &Status, code: u16, own: Option<(&Resource, &str)>) -> Said {
    if let Some(said) = by_cause(status) {
        return said;
    }
    let reason = status.reason.as_str();
    // A proxy's page: it is not the API server that says no.
    if reason.is_empty() && status.message.is_empty() && !matches!(code, 401 | 404 | 413) {
        return Said::Failed;
    }
    match (code, reason) {
        (401, _) => Said::Unauthorized,
        (404, _) => not_found(status, own),
        (409, "AlreadyExists") => Said::Exists,
        (409, _) => Said::Changed,
        (410, _) => Said::Expired,
        (413, _) => Said::Refused(RefusalReason::TooLarge),
        (403, _) => by_text(&status.message).unwrap_or(Said::Refused(RefusalReason::Denied)),
        (400 | 422, _) => {
            by_text(&status.message).unwrap_or_else(|| Said::Refused(invalid(status)))
        }
        (405 | 406 | 415, _) => Said::Refused(RefusalReason::Other),
        (500.., _) => by_text(&status.message).unwrap_or(Said::Failed),
        _ => Said::Refused(RefusalReason::Other),
    }
}

fn causes(status: &Status) -> &[StatusCause] {
    status
        .details
        .as_ref()
        .map_or(&[], |details| details.causes.as_slice())
}

fn by_cause(status: &Status) -> Option<Said> {
    let conflicts: Vec<Conflict> = causes(status)
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(conflict)
        .collect();
    if !conflicts.is_empty() {
        return Some(Said::Conflicts(conflicts));
    }
    causes(status)
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
        .then_some(Said::Refused(RefusalReason::NamespaceTerminating))
}

/// Reads the manager out of `conflict with "kubectl-edit" using apps/v1`, perhaps with `subresource "status"`
/// before it; the API server gives it in no other place. A name that holds quotes is escaped as Go does.
fn conflict(cause: &StatusCause) -> Conflict {
    let manager = cause
        .message
        .split_once("conflict with \"")
        .and_then(|(_, rest)| {
            let mut end = 0;
            let mut escaped = false;
            for character in rest.chars() {
                match character {
                    '"' if !escaped => return rest.get(..end),
                    '\\' => escaped = !escaped,
                    _ => escaped = false,
                }
                end += character.len_utf8();
            }
            None
        })
        .unwrap_or_default();
    Conflict {
        manager: clean(&manager.replace("\\\"", "\"").replace("\\\\", "\\")),
        path: text::cut(&cause.field, CAUSE_BYTES),
    }
}

fn not_found(status: &Status, own: Option<(&Resource, &str)>) -> Said {
    let Some(details) = status
        .details
        .as_ref()
        .filter(|details| !details.name.is_empty())
    else {
        // No name: the path itself is not served. What a proxy answers looks the same: discovery judges which it is.
        return Said::Missing(MissingObject::Kind(GroupKind::new("", "")));
    };
    if let Some((resource, name)) = own
        && details.name == name
        && details.group == resource.group
        && (details.kind == resource.plural || details.kind == resource.kind)
    {
        return Said::Absent;
    }
    if details.group.is_empty() && details.kind == "namespaces" {
        return Said::Missing(MissingObject::Namespace(details.name.clone()));
    }
    Said::Missing(MissingObject::Other {
        kind: GroupKind::new(&details.group, &details.kind),
        name: details.name.clone(),
    })
}

/// Texts by which the API server says what it gives no reason or cause for (seen on 1.36.3).
fn by_text(message: &str) -> Option<Said> {
    if message.contains(" cannot impersonate") {
        return Some(Said::NotImpersonated);
    }
    // First what quotes somebody else's words, which could say anything.
    if message.contains("admission webhook \"") && message.contains("denied the request")
        || message.contains("AdmissionPolicy '") && message.contains("denied request")
    {
        return Some(Said::Refused(RefusalReason::Denied));
    }
    if let Some(missing) = missing_by_text(message) {
        return Some(Said::Missing(missing));
    }
    let reason = if message.contains("failed calling webhook") {
        RefusalReason::WebhookDown
    } else if message.contains("exceeded quota: ") {
        RefusalReason::QuotaExceeded
    } else if message.contains(" cannot ") && message.contains(" resource \"")
        || message.contains("is attempting to grant RBAC permissions not currently held")
    {
        RefusalReason::Forbidden
    } else if message.starts_with("failed to create typed patch object")
        || message.starts_with("failed to convert new object")
    {
        RefusalReason::Invalid
    } else if message.contains("request is too large") {
        RefusalReason::TooLarge
    } else {
        return None;
    };
    Some(Said::Refused(reason))
}

fn missing_by_text(message: &str) -> Option<MissingObject> {
    let between = |start: &str, end: &str| {
        let (_, rest) = message.split_once(start)?;
        rest.split_once(end).map(|(name, _)| name.to_owned())
    };
    let other = |group, kind, name| MissingObject::Other {
        kind: GroupKind::new(group, kind),
        name,
    };
    if message.contains("error looking up service account ") {
        return between(": serviceaccount \"", "\" not found")
            .map(|name| other("", "ServiceAccount", name));
    }
    if let Some(name) = between("no PriorityClass with name ", " was found") {
        return Some(other("scheduling.k8s.io", "PriorityClass", name));
    }
    between("RuntimeClass \"", "\" not found")
        .map(|name| other("node.k8s.io", "RuntimeClass", name))
}

/// Texts of fields that may not change; the cause's reason is that of any wrong value.
const IMMUTABLE: [&str; 6] = [
    "is immutable",
    "may not change",
    "cannot change roleRef",
    "cannot be changed",
    "updates to ",
    "may not be changed",
];

fn invalid(status: &Status) -> RefusalReason {
    let mut fields = causes(status)
        .iter()
        // What CEL rules add when something else is wrong.
        .filter(|cause| cause.field != "<nil>")
        .peekable();
    if fields.peek().is_none() {
        return RefusalReason::Invalid;
    }
    // All of them: where anything else is wrong too, creating the object anew would fail as well.
    let all_immutable = fields.all(|cause| {
        matches!(
            cause.reason.as_str(),
            "FieldValueInvalid" | "FieldValueForbidden"
        ) && IMMUTABLE.iter().any(|text| cause.message.contains(text))
    });
    if all_immutable {
        RefusalReason::Immutable
    } else if causes(status).iter().any(|cause| {
        cause.reason == "FieldValueTooLong" && matches!(cause.field.as_str(), "[]" | "" | "data")
    }) {
        RefusalReason::TooLarge
    } else {
        RefusalReason::Invalid
    }
}

/// Returns what a person may read of a refusal, bounded and on one line.
///
/// What the API server says of a Secret can quote its values (a wrong type does, and so can a policy), so of a
/// Secret only fields, causes and what holds no value by construction is passed on.
pub(super) fn message(status: &Status, code: u16, is_secret: bool, said: &Said) -> String {
    if is_secret && !holds_no_value(said) {
        let fields: Vec<String> = causes(status)
            .iter()
            .filter(|cause| !cause.field.is_empty() && !cause.reason.is_empty())
            .map(|cause| clean(&format!("{}: {}", cause.field, cause.reason)))
            .collect();
        let what = "the API server's words are not shown, for they can hold a value of the Secret";
        return if fields.is_empty() {
            what.to_owned()
        } else {
            format!("{} ({what})", text::list(&fields, CAUSES))
        };
    }
    let causes = causes(status);
    if causes.is_empty() || causes.iter().all(|cause| cause.field.is_empty()) {
        return if status.message.is_empty() {
            format!("HTTP {code} without a message")
        } else {
            text::cut(&clean(&status.message), MESSAGE_BYTES)
        };
    }
    let fields: Vec<String> = causes.iter().map(of_one_field).collect();
    text::cut(&text::list(&fields, CAUSES), MESSAGE_BYTES)
}

fn holds_no_value(said: &Said) -> bool {
    match said {
        Said::Absent
        | Said::Missing(_)
        | Said::Conflicts(_)
        | Said::Expired
        | Said::NotImpersonated
        | Said::Unauthorized => true,
        Said::Changed | Said::Exists | Said::Failed => false,
        Said::Refused(reason) => matches!(
            reason,
            RefusalReason::Forbidden
                | RefusalReason::QuotaExceeded
                | RefusalReason::NamespaceTerminating
                | RefusalReason::NamespaceMissing
                | RefusalReason::KindUnknown
        ),
    }
}

/// The value that a cause quotes can be a whole pod template; what is wrong with it stands behind it.
fn of_one_field(cause: &StatusCause) -> String {
    let line = cause.message.lines().next().unwrap_or_default();
    let said = if line.len() > CAUSE_BYTES {
        line.rsplit_once("}: ")
            .or_else(|| line.rsplit_once("]: "))
            .or_else(|| line.rsplit_once("\": "))
            .map_or(line, |(_, said)| said)
    } else {
        line
    };
    let field = if matches!(cause.field.as_str(), "" | "<nil>" | "[]") {
        String::new()
    } else {
        format!("{}: ", cause.field)
    };
    text::cut(&clean(&format!("{field}{said}")), CAUSE_BYTES)
}

/// Returns `text` on one line, without control characters and bounded.
pub(super) fn clean(text: &str) -> String {
    let line: String = text
        .chars()
        .take(MESSAGE_BYTES)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    line.trim().to_owned()
}

/// Returns the error for an answer that is no success.
pub(super) fn failure(call: &Call, own: Option<(&Resource, &str)>, reply: &Reply) -> Error {
    let status = reply.status();
    let said = said(&status, reply.code, own);
    let is_secret = own.is_some_and(|(resource, _)| resource.is_secret());
    let message = message(&status, reply.code, is_secret, &said);
    error_of(call, reply.code, &said, message)
}

pub(super) fn error_of(call: &Call, code: u16, said: &Said, message: String) -> Error {
    let act = call.act.clone();
    let user = || {
        call.identity
            .impersonated()
            .unwrap_or_else(|| call.identity.to_string())
    };
    match said {
        Said::Absent | Said::Missing(_) => Error::NotFound { act },
        Said::Conflicts(_) | Said::Changed | Said::Exists | Said::Expired => {
            Error::Conflict { act }
        }
        Said::NotImpersonated => Error::Impersonation {
            act,
            user: user(),
            message,
        },
        Said::Unauthorized => Error::Unauthorized { act },
        Said::Refused(RefusalReason::Forbidden) => Error::Forbidden {
            act,
            user: user(),
            message,
        },
        Said::Refused(reason) => Error::Refused {
            act,
            reason: *reason,
            message,
        },
        Said::Failed => call.lost(Error::Server { act, code, message }),
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
