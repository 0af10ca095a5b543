//! Any bytes as YAML: no panic, bounded work, and what is printed is printed the same again.
#![no_main]

use kustomize::yaml::{Limits, emit, locate, parse_nodes, parse_patches, parse_values};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        bytes: 1 << 16,
        nodes: 20_000,
        ..Limits::default()
    };
    for document in parse_nodes(data, &limits).into_iter().flatten() {
        drop(document.value.into_value());
    }
    drop(parse_patches(data, &limits));
    let _ = locate(data, 0, "/a/0/b");
    for document in parse_values(data, &limits).into_iter().flatten() {
        let mut once = String::new();
        if emit(&document.value, &mut once).is_err()
            || once.contains(['\u{85}', '\u{2028}', '\u{2029}'])
        {
            continue;
        }
        // Aliases may have made the text larger than the input.
        let limits = Limits {
            bytes: usize::MAX,
            nodes: usize::MAX,
            ..Limits::default()
        };
        let again = parse_values(once.as_bytes(), &limits).expect("what is printed can be read");
        let mut twice = String::new();
        for document in again {
            emit(&document.value, &mut twice).expect("what was printed can be printed");
        }
        let is_collection = document.value.is_object() || document.value.is_array();
        assert!(
            once == twice || !is_collection,
            "{once:?} becomes {twice:?}"
        );
    }
});
