//! Any bytes as a replacement, as a transformer and as a configuration: no panic, bounded work.
#![no_main]

use kustomize::{Limits, MemoryFiles, Options, build};
use libfuzzer_sys::fuzz_target;

const OBJECTS: &str = include_str!("objects.yaml");
const PLACES: &[&str] = &[
    "replacements: [{path: p}]\n",
    "transformers: [p]\n",
    "configurations: [p]\nnamePrefix: x-\n",
    "crds: [p]\n",
    "openapi: {path: p}\npatches: [{path: q}]\n",
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
            .with("/a/kustomization.yaml", format!("resources: [r.yaml]\n{place}"))
            .with("/a/r.yaml", OBJECTS)
            .with("/a/q", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: main, env: [{name: B, value: x}]}]}}}\n")
            .with("/a/p", data);
        if let Ok(built) = build(&files, "/a", &options) {
            drop(built.to_yaml());
        }
    }
});
