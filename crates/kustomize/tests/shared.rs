//! Builds that share what they have parsed: many at a time, over one base.
//!
//! Enters: trees in memory. Leaves: outputs, counts. Never: a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kustomize::{MemoryFiles, Options, ParsedFiles, build};

const OVERLAYS: usize = 200;
const PARTS: usize = 10;

/// A base of ten files with ten objects each, and overlays on it.
fn tree() -> MemoryFiles {
    let mut files = MemoryFiles::new();
    let mut list = "resources:\n".to_owned();
    for part in 0..PARTS {
        list.push_str(&format!("- part-{part}.yaml\n"));
        let objects = (0..10).fold(String::new(), |mut text, index| {
            text.push_str(&format!(
                    "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: app-{part}-{index}\n  annotations: {{version: 1.10}}\nspec:\n  \
                     template:\n    spec:\n      containers:\n      - name: app\n        image: app\n"
                ));
            text
        });
        files.insert(&format!("/base/part-{part}.yaml"), objects);
    }
    files.insert("/base/kustomization.yaml", list);
    for overlay in 0..OVERLAYS {
        files.insert(
            &format!("/overlays/{overlay}/kustomization.yaml"),
            format!(
                "resources: [../../base]\nnamespace: team-{overlay}\nnamePrefix: o{overlay}-\nimages: [{{name: app, newTag: v{overlay}}}]\n"
            ),
        );
    }
    files
}

fn sharing(bytes: usize) -> (Arc<ParsedFiles>, Options) {
    let parsed = Arc::new(ParsedFiles::new(bytes));
    let options = Options {
        parsed: Some(Arc::clone(&parsed)),
        ..Options::default()
    };
    (parsed, options)
}

#[test]
fn overlays_built_in_parallel_parse_their_base_once() {
    let files = tree();
    let (parsed, options) = sharing(1 << 20);
    let next = AtomicUsize::new(0);
    let built = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let overlay = next.fetch_add(1, Ordering::Relaxed);
                    if overlay >= OVERLAYS {
                        break;
                    }
                    let path = format!("/overlays/{overlay}");
                    let ours = build(&files, &path, &options).unwrap();
                    // What one build changes, another never sees.
                    let alone = build(&files, &path, &Options::default()).unwrap();
                    assert_eq!(ours.to_yaml(), alone.to_yaml());
                    assert_eq!(ours.read, alone.read);
                    assert_eq!(ours.resources, alone.resources);
                    built.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(built.into_inner(), OVERLAYS);
    let counts = parsed.counts();
    assert_eq!(counts.parsed, PARTS as u64);
    assert_eq!(counts.shared, (PARTS * (OVERLAYS - 1)) as u64);
    assert_eq!(counts.files, PARTS);
}

#[test]
fn a_file_is_known_by_path_and_content() {
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let mut files = MemoryFiles::new()
        .with("/a/kustomization.yaml", "resources: [r.yaml]\n")
        .with("/b/kustomization.yaml", "resources: [r.yaml]\n")
        .with("/a/r.yaml", object)
        .with("/b/r.yaml", object);
    let (parsed, options) = sharing(1 << 20);
    let a = build(&files, "/a", &options).unwrap();
    let b = build(&files, "/b", &options).unwrap();
    assert_eq!(a.resources[0].origin.file, "/a/r.yaml");
    assert_eq!(b.resources[0].origin.file, "/b/r.yaml");
    files.insert("/a/r.yaml", object.replace("name: a", "name: c"));
    let changed = build(&files, "/a", &options).unwrap();
    assert!(changed.to_yaml().contains("name: c"));
    assert_eq!(parsed.counts().parsed, 3);
}

#[test]
fn the_bound_holds_and_errors_are_not_kept() {
    let mut files = MemoryFiles::new().with("/a/kustomization.yaml", "resources: [r.yaml]\n");
    let (parsed, options) = sharing(1000);
    for index in 0..100 {
        files.insert(
            "/a/r.yaml",
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n{index}}}\n"),
        );
        build(&files, "/a", &options).unwrap();
        assert!(parsed.counts().bytes <= 1000);
    }
    assert!(parsed.counts().files > 5);
    // Larger than all that may be kept: parsed each time.
    files.insert(
        "/a/r.yaml",
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n}}\n# {}\n",
            "x".repeat(2000)
        ),
    );
    let before = parsed.counts();
    build(&files, "/a", &options).unwrap();
    assert_eq!(parsed.counts(), before);
    files.insert("/a/r.yaml", "kind: [\n");
    let first = build(&files, "/a", &options).unwrap_err();
    let second = build(&files, "/a", &options).unwrap_err();
    assert_eq!(first.to_string(), second.to_string());
    assert!(first.to_string().contains("/a/r.yaml:"), "{first}");
}
