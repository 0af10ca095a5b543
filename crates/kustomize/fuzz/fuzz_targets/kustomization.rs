//! Any bytes as a kustomization file beside some objects: no panic, bounded work.
#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| (entry::TARGETS[1].1)(data));
