//! Any bytes as a kustomization file beside some objects: no panic, bounded work.
#![no_main]

use kustomize::{Limits, MemoryFiles, Options, build};
use libfuzzer_sys::fuzz_target;

const OBJECTS: &str = include_str!("objects.yaml");

fuzz_target!(|data: &[u8]| {
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
});
