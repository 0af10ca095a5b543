//! Small readers of fields of live objects.
//!
//! Enters: JSON as the API server gave it, or as a hostile controller wrote it into a status.
//! Leaves: the field, or nothing where it is missing or of another type.
//! Never: a panic, an allocation for a field that is only read.

use serde_json::Value;

use crate::model::text;

/// Longest text of another's that goes into a message, in bytes: a registry's or a webhook's answer fits.
const LONGEST_QUOTE: usize = 384;
/// Longest message that leaves the room, in bytes.
const LONGEST_MESSAGE: usize = 768;

/// Returns the value at `path`.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// Returns the text at `path`.
pub(super) fn text_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path)?.as_str()
}

/// Returns the integer at `path`.
pub(super) fn integer(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path)?.as_i64()
}

/// Returns the integer at `path`, zero where there is none: how Kubernetes writes a count of zero.
pub(super) fn count(value: &Value, path: &[&str]) -> i64 {
    integer(value, path).unwrap_or(0).max(0)
}

/// Returns the flag at `path`, false where there is none.
pub(super) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// Returns the items of the list at `path`; no list is an empty one.
pub(super) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Returns an annotation.
pub(super) fn annotation<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    text_at(value, &["metadata", "annotations", key])
}

/// Returns a label.
pub(super) fn label<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    text_at(value, &["metadata", "labels", key])
}

/// Returns `metadata.uid`, if it is not empty.
pub(super) fn uid(value: &Value) -> Option<&str> {
    text_at(value, &["metadata", "uid"]).filter(|uid| !uid.is_empty())
}

/// Returns `metadata.name`.
pub(super) fn name(value: &Value) -> &str {
    text_at(value, &["metadata", "name"]).unwrap_or_default()
}

/// Returns the `name` of an item of a list, for example of a container.
pub(super) fn name_of(item: &Value) -> &str {
    text_at(item, &["name"]).unwrap_or_default()
}

/// Returns `metadata.namespace`.
pub(super) fn namespace(value: &Value) -> &str {
    text_at(value, &["metadata", "namespace"]).unwrap_or_default()
}

/// Returns the UID of the controller that owns the object.
pub(super) fn controller(value: &Value) -> Option<&str> {
    items(value, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| flag(owner, &["controller"]))
        .and_then(|owner| text_at(owner, &["uid"]))
}

/// Says whether deletion of the object was asked for.
pub(super) fn is_deleting(value: &Value) -> bool {
    at(value, &["metadata", "deletionTimestamp"]).is_some_and(|time| !time.is_null())
}

/// One condition of a status.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// Reason, or empty.
    pub reason: &'a str,
    /// Message, or empty.
    pub message: &'a str,
    /// Generation that it speaks of, where it says so.
    pub observed_generation: Option<i64>,
    /// When it last flipped, as text; only compared with itself.
    pub transition: &'a str,
}

impl<'a> Condition<'a> {
    fn read(value: &'a Value) -> Self {
        let text = |key| text_at(value, &[key]).unwrap_or_default();
        Self {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            observed_generation: integer(value, &["observedGeneration"]),
            transition: text("lastTransitionTime"),
        }
    }

    /// Says whether the condition holds.
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Says whether the condition is known not to hold.
    pub(super) fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Says whether the condition speaks of an older spec than `generation`.
    pub(super) fn is_older_than(&self, generation: Option<i64>) -> bool {
        matches!((self.observed_generation, generation), (Some(seen), Some(now)) if seen < now)
    }

    /// Returns reason and message as one text.
    pub(super) fn words(&self) -> String {
        match (self.reason, quote(self.message)) {
            ("", message) => message,
            (reason, message) if message.is_empty() => quote(reason),
            (reason, message) => format!("{}: {message}", quote(reason)),
        }
    }
}

/// Returns the condition of this type in the list at `path`.
pub(super) fn condition_at<'a>(
    value: &'a Value,
    path: &[&str],
    kind: &str,
) -> Option<Condition<'a>> {
    items(value, path)
        .iter()
        .find(|condition| text_at(condition, &["type"]) == Some(kind))
        .map(Condition::read)
}

/// Returns the condition of this type in `status.conditions`.
pub(super) fn condition<'a>(value: &'a Value, kind: &str) -> Option<Condition<'a>> {
    condition_at(value, &["status", "conditions"], kind)
}

/// Returns another's text on one line, without control characters, cut.
pub(super) fn quote(words: &str) -> String {
    // Cut first: a status may hold a megabyte.
    let cut = text::cut(words, LONGEST_QUOTE);
    cut.split(|character: char| character.is_control() || character.is_whitespace())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns a message of ours, cut.
pub(super) fn message(words: &str) -> String {
    text::cut(words, LONGEST_MESSAGE)
}

/// Resolves a number or percentage of `whole`, rounded up or down; None where it is neither.
pub(super) fn share(value: Option<&Value>, whole: i64, up: bool) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64().map(|number| number.max(0)),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
            let scaled = whole.max(0).saturating_mul(percent.max(0));
            Some(if up {
                scaled.saturating_add(99) / 100
            } else {
                scaled / 100
            })
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_field_is_nothing() {
        let object = json!({"status": {"replicas": "three", "conditions": {"type": "Ready"}}});
        assert_eq!(count(&object, &["status", "replicas"]), 0);
        assert!(condition(&object, "Ready").is_none());
        assert_eq!(controller(&Value::Null), None);
    }

    #[test]
    fn a_share_is_a_number_or_a_percentage() {
        let percent = json!("25%");
        assert_eq!(share(Some(&percent), 3, false), Some(0));
        assert_eq!(share(Some(&percent), 3, true), Some(1));
        assert_eq!(share(Some(&json!(2)), 3, true), Some(2));
        assert_eq!(share(Some(&json!("many")), 3, true), None);
        assert_eq!(
            share(Some(&json!("9223372036854775807%")), i64::MAX, true),
            Some(i64::MAX / 100)
        );
    }

    #[test]
    fn a_quote_stays_on_one_line() {
        assert_eq!(quote("a\n\tb\u{1b}[31m  c"), "a b [31m c");
        assert!(quote(&"é".repeat(10_000)).len() <= LONGEST_QUOTE);
    }
}
