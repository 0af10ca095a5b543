//! Places of errors, defects and nodes.

use serde_json::{Value, json};

use crate::yaml::{
    Document, Error, ErrorKind, Limits, NodeKind, UnprintableKind, emit, locate, parse_nodes,
    parse_patches, parse_spelled, parse_values,
};

#[test]
fn errors_say_where() {
    let cases: &[(&str, u32, u32, ErrorKind)] = &[
        ("a: 1\n\tb: 2\n", 1, 4, ErrorKind::Tab),
        ("a: \"x\"\n\tb: 2\n", 2, 1, ErrorKind::Tab),
        ("a: b: c\n", 1, 5, ErrorKind::MappingNotAllowed),
        ("é: \"x\" b: c\n", 1, 8, ErrorKind::ExpectedKey),
        ("a: 1\nb\nc: 2\n", 2, 1, ErrorKind::ExpectedColon),
        ("a:\n  b: 1\n c: 2\n", 3, 2, ErrorKind::ExpectedKey),
        ("a: [1, 2\n", 2, 1, ErrorKind::ExpectedComma(']')),
        ("a: {b: c\nd: e}\n", 2, 2, ErrorKind::ExpectedComma('}')),
        ("a: 'b\n", 1, 4, ErrorKind::UnclosedQuote),
        ("a: *x\n", 1, 4, ErrorKind::UnknownAnchor("x".to_owned())),
        ("a: @b\n", 1, 4, ErrorKind::UnexpectedCharacter('@')),
        ("a: - b\n", 1, 4, ErrorKind::SequenceNotAllowed),
        ("- a\nb: c\n", 2, 1, ErrorKind::ExpectedItem),
        (
            "a: 1\n--- b\nc: 2\n",
            2,
            4,
            ErrorKind::DocumentSeparator("b".to_owned()),
        ),
        ("a: \u{1}\n", 1, 4, ErrorKind::ControlCharacter('\u{1}')),
        ("a: 1\n---\nb: \"\\q\"\n", 3, 4, ErrorKind::Escape),
        ("a:\n- b\n  <<: 1\n", 3, 5, ErrorKind::MappingNotAllowed),
        ("a: {<<: 1}\n", 1, 5, ErrorKind::MergeValue),
        ("a: |x\n", 1, 4, ErrorKind::BlockHeader),
        (
            "%YAML 1.2\n---\na: 1\n",
            1,
            1,
            ErrorKind::Directive("only version 1.1 can be read"),
        ),
        ("a: !x!y z\n", 1, 4, ErrorKind::TagHandle("!x!".to_owned())),
    ];
    for (text, line, column, kind) in cases {
        let error = parse_values(text.as_bytes(), &Limits::default()).unwrap_err();
        assert_eq!(
            (error.line, error.column, &error.kind),
            (*line, *column, kind),
            "{text:?}: {error}"
        );
    }
    let error = parse_values(b"a: 1\nb: \xFF\n", &Limits::default()).unwrap_err();
    assert_eq!(
        (error.line, error.column, error.kind),
        (2, 4, ErrorKind::NotUtf8)
    );
    let error = parse_values(b"a: b: c\n", &Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read YAML at line 1, column 5: a mapping cannot begin here; the value may need quotes"
    );
}

#[test]
fn defects_wait_until_the_object_is_printed() {
    let text = b"a: 1\nb: {1: x}\n---\nc: 1\nd: 2\nc: 3\n---\ne: .inf\n---\nf: {g: 1, g: 2}\n";
    let documents = parse_values(text, &Limits::default()).unwrap();
    let defects: Vec<_> = documents
        .iter()
        .map(|document| document.defects.clone())
        .collect();
    let duplicate = |line, column, key: &str, first| Error {
        line,
        column,
        kind: ErrorKind::DuplicateKey {
            key: key.to_owned(),
            line: first,
        },
    };
    assert_eq!(
        defects,
        [
            vec![Error {
                line: 2,
                column: 5,
                kind: ErrorKind::NonTextKey("1".to_owned())
            }],
            vec![duplicate(6, 1, "c", 4)],
            vec![Error {
                line: 8,
                column: 4,
                kind: ErrorKind::NotFinite(".inf".to_owned())
            }],
            vec![duplicate(10, 11, "g", 10)],
        ]
    );
    assert_eq!(
        documents
            .iter()
            .map(|document| document.line)
            .collect::<Vec<_>>(),
        [1, 4, 8, 10]
    );
}

#[test]
fn the_last_of_two_keys_holds_in_settings() {
    let document = parse_nodes(b"a: 1\nb: 2\na: 3\n", &Limits::default())
        .unwrap()
        .remove(0);
    let kind = ErrorKind::DuplicateKey {
        key: "a".to_owned(),
        line: 1,
    };
    assert_eq!(
        document.defects,
        [Error {
            line: 3,
            column: 1,
            kind
        }]
    );
    assert_eq!(document.value.into_value(), json!({"a": 3, "b": 2}));
}

#[test]
fn nodes_know_their_places() {
    let text = "# c\nresources:\n  - é.yaml\n  - &x {b: [1, two]}\nlabels: *x\n";
    let root = parse_nodes(text.as_bytes(), &Limits::default())
        .unwrap()
        .remove(0)
        .value;
    assert_eq!((root.line, root.column), (2, 1));
    let resources = root.get("resources").unwrap();
    assert_eq!((resources.line, resources.column), (3, 3));
    let NodeKind::Sequence(items) = &resources.kind else {
        panic!("{resources:?}")
    };
    assert_eq!(
        (items[0].line, items[0].column, items[0].as_str()),
        (3, 5, Some("é.yaml"))
    );
    let list = items[1].get("b").unwrap();
    let NodeKind::Sequence(inner) = &list.kind else {
        panic!("{list:?}")
    };
    assert_eq!((inner[1].line, inner[1].column), (4, 16));
    // What an alias stands for keeps the place of its anchor.
    assert_eq!(root.get("labels").unwrap().line, 4);
    assert_eq!(root.get("none"), None);
}

#[test]
fn pointers_are_located() {
    let text = b"a: 1\n---\n# c\n---\nb:\n  c/d:\n  - x\n  - {e~f: 2}\n";
    assert_eq!(locate(text, 0, "/a"), Some((1, 1)));
    assert_eq!(locate(text, 1, ""), Some((5, 1)));
    assert_eq!(locate(text, 1, "/b/c~1d/1/e~0f"), Some((8, 6)));
    assert_eq!(
        locate(text, 1, "/b/c~1d/7"),
        Some((6, 3)),
        "the deepest node on the way"
    );
    assert_eq!(locate(text, 2, ""), None);
}

#[test]
fn what_is_left_out_inline_deletes_in_a_patch() {
    let text = b"a: {b: , c: 1}\nd: {e}\n";
    let value = |documents: Vec<Document<Value>>| documents.into_iter().next().unwrap().value;
    let patch = value(parse_patches(text, &Limits::default()).unwrap());
    assert_eq!(patch, json!({"a": {"b": null, "c": 1}, "d": {"e": null}}));
    let object = value(parse_values(text, &Limits::default()).unwrap());
    assert_eq!(object, json!({"a": {"b": "", "c": 1}, "d": {"e": ""}}));
}

#[test]
fn an_unprintable_value_says_where() {
    let value = json!({"a": [{"b/c": "x\u{7f}"}]});
    let error = emit(&value, &mut String::new()).unwrap_err();
    assert_eq!(error.pointer, "/a/0/b~1c");
    assert_eq!(error.kind, UnprintableKind::ControlCharacter('\u{7f}'));
}

#[test]
fn spellings_are_kept_where_they_are_not_printed() {
    let text = "a: 0644\nb: [1, 1.10, x, 1.5]\nc: {d/e: 2020-01-01, f: ~, g: null}\nh:\ni: True\nj: 1e3\nk: !!binary aGk=\nl: '007'\nm: +1\n\
                n: &x {o: 0x1}\np: {<<: *x, q: true}\nr: *x\n---\ns: 1\n";
    let hold = |spelled, text: &str| serde_json::json!([format!("{spelled:?}"), text]);
    let documents = parse_spelled(text.as_bytes(), false, &Limits::default(), hold)
        .unwrap()
        .documents;
    let plain = |text: &str| serde_json::json!(["Plain", text]);
    assert_eq!(
        documents[0].value,
        serde_json::json!({
            "a": plain("0644"),
            "b": [1, plain("1.10"), "x", 1.5],
            "c": {"d/e": plain("2020-01-01"), "f": plain("~"), "g": null},
            "h": plain(""),
            "i": plain("True"),
            "j": plain("1e3"),
            "k": ["Binary", "aGk="],
            "l": "007",
            "m": plain("+1"),
            "n": {"o": plain("0x1")},
            "p": {"o": plain("0x1"), "q": true},
            "r": {"o": plain("0x1")},
        })
    );
    assert_eq!(documents[1].value, serde_json::json!({"s": 1}));
}
