//! Hostile input: aliases, depth, size.

use crate::yaml::{ErrorKind, Limits, emit, parse_nodes, parse_values};

/// Kinds of the error of a text as objects.
fn refusal(text: &str) -> ErrorKind {
    parse_values(text.as_bytes(), &Limits::default())
        .unwrap_err()
        .kind
}

#[test]
fn an_alias_inside_its_own_anchor_is_refused() {
    // Upstream does not end on these.
    for text in [
        "a: &x [*x]\n",
        "&x {a: *x}\n",
        "a: &x\n  b: *x\n",
        "a: &x\n- *x\n",
        "a: &x {<<: *x}\n",
        "&x\na:\n- b: *x\n",
    ] {
        assert_eq!(
            refusal(text),
            ErrorKind::RecursiveAnchor("x".to_owned()),
            "{text:?}"
        );
    }
}

#[test]
fn aliases_that_multiply_are_bounded() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![before; 10].join(", ")
        ));
    }
    let limits = Limits {
        nodes: 100_000,
        ..Limits::default()
    };
    let ErrorKind::Aliases { aliased, limit } =
        parse_values(text.as_bytes(), &limits).unwrap_err().kind
    else {
        panic!("not refused for its aliases");
    };
    assert!(aliased > limit && limit >= 1000, "{aliased} {limit}");
    let keys = "? &k [a, b, c]\n: x\nl: [".to_owned() + &"*k, ".repeat(50_000) + "]\n";
    assert_eq!(
        parse_values(keys.as_bytes(), &limits).unwrap_err().kind,
        ErrorKind::Nodes(100_000)
    );
}

#[test]
fn a_text_on_one_line_takes_time_in_proportion() {
    // Counting the columns of each token from the beginning of the line would take minutes.
    let text = format!("{{a: [{}]}}\n", "é, {b: 'c'}, ".repeat(100_000));
    let started = std::time::Instant::now();
    assert_eq!(
        parse_values(text.as_bytes(), &Limits::default())
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        parse_nodes(text.as_bytes(), &Limits::default())
            .unwrap()
            .len(),
        1
    );
    assert!(
        started.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn depth_is_bounded_in_every_style() {
    let deep = 100_000;
    let texts = [
        "[".repeat(deep),
        "{a: ".repeat(deep),
        "- ".repeat(deep),
        "? ".repeat(deep),
        stairs(2_000),
        "[{a: ".repeat(deep),
        "!!seq [".repeat(deep),
        "[? ".repeat(deep),
    ];
    for text in texts {
        let kind = refusal(&text);
        assert_eq!(
            kind,
            ErrorKind::Depth(128),
            "{}",
            text.chars().take(20).collect::<String>()
        );
        assert!(parse_nodes(text.as_bytes(), &Limits::default()).is_err());
    }
}

#[test]
fn the_deepest_text_fits_the_stack_of_a_thread() {
    let texts = [
        format!("{}{}", "[".repeat(128), "]".repeat(128)),
        format!("{}x", "- ".repeat(128)),
        stairs(128),
    ];
    for text in texts {
        // Tests run on threads of 2 MiB.
        let document = parse_values(text.as_bytes(), &Limits::default())
            .unwrap()
            .remove(0);
        let mut out = String::new();
        emit(&document.value, &mut out).unwrap();
        assert!(!out.is_empty());
        parse_nodes(text.as_bytes(), &Limits::default()).unwrap();
    }
}

#[test]
fn size_documents_and_nodes_are_bounded() {
    let limits = Limits {
        bytes: 10,
        ..Limits::default()
    };
    assert_eq!(parse_values(b"a: 1234567", &limits).unwrap().len(), 1);
    assert_eq!(
        parse_values(b"a: 12345678", &limits).unwrap_err().kind,
        ErrorKind::Bytes(10)
    );
    let limits = Limits {
        documents: 2,
        ..Limits::default()
    };
    assert_eq!(
        parse_values(b"a: 1\n---\nb: 2\n", &limits).unwrap().len(),
        2
    );
    assert_eq!(
        parse_values(b"a: 1\n---\nb: 2\n---\nc: 3\n", &limits)
            .unwrap_err()
            .kind,
        ErrorKind::Documents(2)
    );
    let limits = Limits {
        nodes: 3,
        ..Limits::default()
    };
    assert!(parse_values(b"a: 1", &limits).is_ok());
    assert_eq!(
        parse_values(b"a: [1]", &limits).unwrap_err().kind,
        ErrorKind::Nodes(3)
    );
    // The nodes of all documents of a file count together.
    assert_eq!(
        parse_values(b"a: 1\n---\nb: 2\n", &limits)
            .unwrap_err()
            .kind,
        ErrorKind::Nodes(3)
    );
}

/// A mapping in a mapping, so many times.
fn stairs(levels: usize) -> String {
    (0..levels).fold(String::new(), |text, level| {
        text + &" ".repeat(level) + "a:\n"
    })
}
