//! Any bytes as a patch, in every place that takes one: no panic, bounded work.
#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| (entry::TARGETS[2].1)(data));
