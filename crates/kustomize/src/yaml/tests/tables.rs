//! The tables in `tables/`, whose expectations `oracle/regenerate.sh` fills in.

use serde_json::Value;

use super::same;
use crate::yaml::{Limits, emit, parse_nodes, parse_values};

/// What becomes of a text as objects: what is printed, or nothing where upstream refuses it.
fn printed(text: &[u8]) -> Option<String> {
    let mut out = String::new();
    for (index, document) in parse_values(text, &Limits::default())
        .ok()?
        .into_iter()
        .enumerate()
    {
        if !document.defects.is_empty()
            || !(document.value.is_object() || document.value.is_array())
        {
            return None;
        }
        if index > 0 {
            out.push_str("---\n");
        }
        emit(&document.value, &mut out).ok()?;
    }
    Some(out)
}

/// What becomes of a text as settings, as JSON; nothing where upstream refuses it.
fn settings(text: &[u8]) -> Option<Value> {
    let documents = parse_nodes(text, &Limits::default()).ok()?;
    Some(
        documents
            .into_iter()
            .next()
            .map(|document| document.value.into_value())
            .unwrap_or_default(),
    )
}

fn table(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// The text of an entry, in the place that its table gives it.
fn text_of(entry: &Value, place: impl Fn(&str) -> String) -> Vec<u8> {
    use base64::Engine as _;
    match entry.get("base64").and_then(Value::as_str) {
        Some(encoded) => base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .unwrap(),
        None => place(
            entry
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        )
        .into_bytes(),
    }
}

fn check_readings(table: &[Value], place: impl Fn(&str) -> String) {
    let mut wrong = Vec::new();
    for entry in table {
        let text = text_of(entry, &place);
        let shown = String::from_utf8_lossy(&text).into_owned();
        let expected = entry
            .get("printed")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let found = printed(&text);
        if found != expected {
            wrong.push(format!(
                "{shown:?} as an object\n  upstream {expected:?}\n  ours     {found:?}"
            ));
        }
        let expected = entry.get("settings");
        let found = settings(&text);
        let alike = match (expected, &found) {
            (Some(expected), Some(found)) => same(expected, found),
            (expected, found) => expected.is_none() && found.is_none(),
        };
        if !alike {
            wrong.push(format!(
                "{shown:?} as settings\n  upstream {expected:?}\n  ours     {found:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
}

#[test]
fn scalars_mean_what_they_mean_upstream() {
    let table = table(include_str!("../tables/scalars.json"));
    assert!(table.len() >= 300);
    check_readings(&table, |text| format!("v: {text}\n"));
}

#[test]
fn documents_are_read_as_upstream_reads_them() {
    let table = table(include_str!("../tables/documents.json"));
    assert!(table.len() >= 300);
    check_readings(&table, str::to_owned);
}

#[test]
fn values_are_printed_as_upstream_prints_them() {
    let table = table(include_str!("../tables/values.json"));
    assert!(table.len() >= 400);
    for entry in &table {
        let mut out = String::new();
        let found = emit(&entry["value"], &mut out).is_ok().then_some(out);
        let expected = entry
            .get("printed")
            .and_then(Value::as_str)
            .map(str::to_owned);
        assert_eq!(found, expected, "{}", entry["value"]);
    }
}
