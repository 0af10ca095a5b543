//! Hermetic tests: no cluster, no network.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod code;
mod deploy;
mod examples;
mod generated;
mod source;
mod tidy;
mod tree;
