//! Any bytes as a patch, in every place that takes one: no panic, bounded work.
#![no_main]

use kustomize::{Limits, MemoryFiles, Options, build};
use libfuzzer_sys::fuzz_target;

const OBJECTS: &str = include_str!("objects.yaml");
const PLACES: &[&str] = &[
    "patches: [{path: p}]\n",
    "patches: [{path: p, target: {kind: Deployment}}]\n",
    "patches: [{path: p, target: {name: .*}, options: {allowNameChange: true, allowKindChange: true}}]\n",
    "patchesStrategicMerge: [p]\n",
    "patchesJson6902: [{path: p, target: {version: v1, kind: ConfigMap, name: config}}]\n",
];

fuzz_target!(|data: &[u8]| {
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
});
