//! Random values and texts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::same;
use crate::yaml::{Limits, emit, locate, parse_nodes, parse_patches, parse_values};

#[test]
fn keys_without_an_order_are_sorted_all_the_same() {
    // v2 < v10 < v1a < v2, so that the standard library's sorting might panic.
    let keys = [
        "v1", "v2", "v3", "v10", "v11", "v20", "v1a", "v2a", "v10a", "v1b", "v01", "v001", "1",
        "01", "9", "10",
    ];
    let map: serde_json::Map<String, Value> = keys
        .iter()
        .flat_map(|key| {
            keys.iter()
                .map(move |other| (format!("{key}{other}"), json!(1)))
        })
        .collect();
    let mut out = String::new();
    emit(&Value::Object(map.clone()), &mut out).unwrap();
    let lines: std::collections::BTreeSet<&str> = out.lines().collect();
    assert_eq!(lines.len(), map.len());
}

/// Values that survive being printed and read: no control characters that YAML cannot hold.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[a-z '\"#:\\-\n\t]{0,100}",
        "\\PC{0,20}",
        "(true|no|~|0x1f|1e3|2020-01-01|=|<<|\\.inf|1:30)",
    ]
    .prop_filter("no line break but LF survives folding", |text| {
        !text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
    });
    let key = text
        .clone()
        .prop_filter("a << disappears", |text| text != "<<");
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        (-1e18..1e18).prop_map(|number: f64| json!(number + 0.5)),
        text.prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_reads_back_the_same(value in values()) {
        let value = json!({"v": value});
        let mut text = String::new();
        emit(&value, &mut text).unwrap();
        let documents = parse_values(text.as_bytes(), &Limits::default()).unwrap();
        prop_assert_eq!(documents.len(), 1, "{}", text);
        prop_assert!(documents[0].defects.is_empty(), "{}", text);
        prop_assert!(same(&documents[0].value, &value), "{}\n{}", text, documents[0].value);
    }

    #[test]
    fn no_text_panics(text in "([\\-?:,\\[\\]{}#&*!|>'\"%@` \n\ta1~]|<<|- |: |\r\n|\u{85}|\u{2028}|\u{feff}|é){0,60}") {
        let limits = Limits { nodes: 10_000, ..Limits::default() };
        for document in parse_values(text.as_bytes(), &limits).into_iter().flatten() {
            drop(emit(&document.value, &mut String::new()));
        }
        drop(parse_nodes(text.as_bytes(), &limits));
        drop(parse_patches(text.as_bytes(), &limits));
        let _ = locate(text.as_bytes(), 0, "/a/0/b");
    }
}
