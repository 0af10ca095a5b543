//! Any bytes as YAML: no panic, bounded work, and what is printed is printed the same again.
#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| (entry::TARGETS[0].1)(data));
