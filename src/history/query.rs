//! Which records are meant.
//!
//! Enters: a record, from whatever store it came.
//! Leaves: whether it is meant, and its fields as columns.
//! Never: a column that is not in the text.

use jiff::Timestamp;
use serde_json::Value;

/// Which records are meant; what is not given does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Namespace.
    pub namespace: Option<String>,
    /// Application.
    pub application: Option<String>,
    /// Ended at this moment or later.
    pub since: Option<Timestamp>,
    /// Ended before this moment.
    pub until: Option<Timestamp>,
    /// Result, whatever the case of its letters; `returned` for what failed and was returned from.
    pub result: Option<String>,
    /// Part of the name of who asked, wrote or committed.
    pub actor: Option<String>,
    /// Part of the revision.
    pub revision: Option<String>,
}

/// Returns a text of a record, empty where it has none.
pub fn word<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Returns a moment of a record.
pub fn moment(record: &Value, key: &str) -> Option<Timestamp> {
    word(record, &format!("/times/{key}")).parse().ok()
}

/// Returns everybody whom a record names.
pub fn actors(record: &Value) -> Vec<&str> {
    [
        "/command/by",
        "/trigger/actor",
        "/ending/by",
        "/source/commit/author",
        "/source/commit/committer",
    ]
    .into_iter()
    .map(|pointer| word(record, pointer))
    .filter(|name| !name.is_empty())
    .collect()
}

impl Filter {
    /// Says whether a record is meant.
    pub fn matches(&self, record: &Value) -> bool {
        let is = |wanted: &Option<String>, pointer: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| word(record, pointer) == wanted)
        };
        let ended = moment(record, "ended");
        let result = self.result.as_ref().is_none_or(|wanted| {
            word(record, "/result").eq_ignore_ascii_case(wanted)
                || (wanted.eq_ignore_ascii_case("returned")
                    && record.pointer("/ending/returned").is_some())
        });
        is(&self.namespace, "/application/namespace")
            && is(&self.application, "/application/name")
            && result
            && self
                .since
                .is_none_or(|since| ended.is_some_and(|ended| ended >= since))
            && self
                .until
                .is_none_or(|until| ended.is_some_and(|ended| ended < until))
            && self
                .revision
                .as_ref()
                .is_none_or(|part| word(record, "/source/revision").contains(part.as_str()))
            && self.actor.as_ref().is_none_or(|part| {
                actors(record)
                    .iter()
                    .any(|name| name.contains(part.as_str()))
            })
    }
}

/// Columns of the export for tables, each with the place of its value.
pub const COLUMNS: [(&str, &str); 26] = [
    ("namespace", "/application/namespace"),
    ("application", "/application/name"),
    ("uid", "/application/uid"),
    ("sequence", "/sequence"),
    ("attempt", "/attempt"),
    ("action", "/action"),
    ("result", "/result"),
    ("reason", "/ending/reason"),
    ("class", "/ending/class"),
    ("message", "/ending/message"),
    ("returned_to", "/ending/returned/revision"),
    ("trigger", "/trigger/cause"),
    ("actor", "/trigger/actor"),
    ("command_by", "/command/by"),
    ("command_subject", "/command/subject"),
    ("command_reason", "/command/reason"),
    ("repository", "/source/repository"),
    ("path", "/source/path"),
    ("revision", "/source/revision"),
    ("author", "/source/commit/author"),
    ("committer", "/source/commit/committer"),
    ("subject", "/source/commit/subject"),
    ("digest", "/digest"),
    ("changed", "/changes/count"),
    ("began", "/times/began"),
    ("ended", "/times/ended"),
];

/// Returns the header of the table.
pub fn csv_header() -> String {
    let mut line: String = COLUMNS.map(|(name, _)| name).join(",");
    line.push_str("\r\n");
    line
}

/// Returns a record as one line of the table (RFC 4180).
pub fn csv_line(record: &Value) -> String {
    let cells: Vec<String> = COLUMNS
        .iter()
        .map(|(_, pointer)| match record.pointer(pointer) {
            Some(Value::String(text)) => csv_cell(text),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_)) | None => {
                String::new()
            }
        })
        .collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell that a spreadsheet would take for a formula is text all the same: it begins with an apostrophe.
fn csv_cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Value {
        json!({
            "application": {"namespace": "shop", "name": "prod"}, "sequence": 3, "result": "Failed",
            "ending": {"returned": {"revision": "main@sha1:a"}, "message": "a, \"b\"\nc"},
            "source": {"revision": "main@sha1:abc", "commit": {"author": "=Ann <a@b>", "committer": "Ben <b@b>"}},
            "times": {"ended": "2026-01-02T00:00:00Z"}
        })
    }

    #[test]
    fn a_record_is_meant_when_everything_that_is_given_fits() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let text = |text: &str| Some(text.to_owned());
        let fits = [
            Filter::default(),
            Filter {
                result: text("failed"),
                ..Filter::default()
            },
            Filter {
                result: text("Returned"),
                ..Filter::default()
            },
            Filter {
                actor: text("Ben"),
                ..Filter::default()
            },
            Filter {
                revision: text("abc"),
                ..Filter::default()
            },
            Filter {
                since: at("2026-01-02T00:00:00Z"),
                until: at("2026-01-03T00:00:00Z"),
                ..Filter::default()
            },
            Filter {
                namespace: text("shop"),
                application: text("prod"),
                ..Filter::default()
            },
        ];
        for filter in fits {
            assert!(filter.matches(&record()), "{filter:?}");
        }
        let not = [
            Filter {
                result: text("Ready"),
                ..Filter::default()
            },
            Filter {
                actor: text("Eve"),
                ..Filter::default()
            },
            Filter {
                until: at("2026-01-02T00:00:00Z"),
                ..Filter::default()
            },
            Filter {
                since: at("2026-01-03T00:00:00Z"),
                ..Filter::default()
            },
            Filter {
                application: text("pro"),
                ..Filter::default()
            },
        ];
        for filter in not {
            assert!(!filter.matches(&record()), "{filter:?}");
        }
    }

    #[test]
    fn a_cell_is_quoted_and_no_formula() {
        let line = csv_line(&record());
        assert!(line.contains("\"a, \"\"b\"\"\nc\""), "{line}");
        assert!(line.contains("'=Ann"), "{line}");
        assert_eq!(csv_header().matches(',').count(), COLUMNS.len() - 1);
    }
}
