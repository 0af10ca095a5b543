//! Any bytes as a replacement, as a transformer and as a configuration: no panic, bounded work.
#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| (entry::TARGETS[3].1)(data));
