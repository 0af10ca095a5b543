//! Hermetic tests: no cluster, no network.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; it spawns what it talks to and reads the clock"
)]

mod build;
mod code;
mod deploy;
mod examples;
mod generated;
mod source;
mod tidy;
mod tree;
