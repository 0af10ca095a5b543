//! What the fuzz targets do with any bytes; `tests/fuzz_slice.rs` does the same with a bounded number of them.
//! Enters: bytes. Leaves: nothing. Never: a panic; work without bound.

use kustomize::yaml::{self, emit, locate, parse_nodes, parse_patches, parse_values};
use kustomize::{Limits, MemoryFiles, Options, build};

const OBJECTS: &str = include_str!("fuzz_targets/objects.yaml");

/// A function that takes any bytes, and the name of its target.
type Target = (&'static str, fn(&[u8]));

/// The entry functions by the names of their targets.
pub(crate) const TARGETS: [Target; 4] = [
    ("yaml", text),
    ("kustomization", kustomization),
    ("patches", patches),
    ("replacements", replacements),
];

/// Any bytes as YAML: what is printed is printed the same again.
pub(crate) fn text(data: &[u8]) {
    let limits = yaml::Limits {
        bytes: 1 << 16,
        nodes: 20_000,
        ..yaml::Limits::default()
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
            // Upstream prints the text without quotes, and reads the sign behind `0o` as that of a number.
            || once.contains("0o-")
            || once.contains("0o+")
        {
            continue;
        }
        // Aliases may have made the text larger than the input.
        let limits = yaml::Limits {
            bytes: usize::MAX,
            nodes: usize::MAX,
            ..yaml::Limits::default()
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
}

/// Any bytes as a kustomization file beside some objects.
pub(crate) fn kustomization(data: &[u8]) {
    let files = MemoryFiles::new()
        .with("/a/kustomization.yaml", data)
        .with("/a/r.yaml", OBJECTS)
        .with("/a/e.env", "A=1\nB=2\n")
        .with(
            "/a/p.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 2}\n",
        )
        .with(
            "/a/j.json",
            "[{\"op\": \"add\", \"path\": \"/metadata/labels/x\", \"value\": \"y\"}]",
        )
        .with(
            "/b/kustomization.yaml",
            "resources: [r.yaml]\nnamePrefix: b-\n",
        )
        .with("/b/r.yaml", OBJECTS);
    let mut limits = Limits::default();
    limits.file_bytes = 1 << 16;
    limits.nodes = 20_000;
    let options = Options {
        limits,
        ..Options::default()
    };
    if let Ok(built) = build(&files, "/a", &options) {
        drop(built.to_yaml());
    }
}

/// Any bytes as a patch, in every place that takes one.
pub(crate) fn patches(data: &[u8]) {
    const PLACES: &[&str] = &[
        "patches: [{path: p}]\n",
        "patches: [{path: p, target: {kind: Deployment}}]\n",
        "patches: [{path: p, target: {name: .*}, options: {allowNameChange: true, allowKindChange: true}}]\n",
        "patchesStrategicMerge: [p]\n",
        "patchesJson6902: [{path: p, target: {version: v1, kind: ConfigMap, name: config}}]\n",
    ];
    let mut limits = Limits::default();
    limits.file_bytes = 1 << 16;
    limits.nodes = 20_000;
    let options = Options {
        limits,
        ..Options::default()
    };
    for place in PLACES {
        let files = MemoryFiles::new()
            .with(
                "/a/kustomization.yaml",
                format!("resources: [r.yaml]\n{place}"),
            )
            .with("/a/r.yaml", OBJECTS)
            .with("/a/p", data);
        if let Ok(built) = build(&files, "/a", &options) {
            drop(built.to_yaml());
        }
    }
}

/// Any bytes as a replacement, as a transformer and as a configuration.
pub(crate) fn replacements(data: &[u8]) {
    const PLACES: &[&str] = &[
        "replacements: [{path: p}]\n",
        "transformers: [p]\n",
        "configurations: [p]\nnamePrefix: x-\n",
        "crds: [p]\n",
        "openapi: {path: p}\npatches: [{path: q}]\n",
    ];
    let mut limits = Limits::default();
    limits.file_bytes = 1 << 16;
    limits.nodes = 20_000;
    let options = Options {
        limits,
        ..Options::default()
    };
    for place in PLACES {
        let files = MemoryFiles::new()
            .with("/a/kustomization.yaml", format!("resources: [r.yaml]\n{place}"))
            .with("/a/r.yaml", OBJECTS)
            .with("/a/q", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: main, env: [{name: B, value: x}]}]}}}\n")
            .with("/a/p", data);
        if let Ok(built) = build(&files, "/a", &options) {
            drop(built.to_yaml());
        }
    }
}
