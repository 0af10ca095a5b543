//! Hermetic tests: no cluster, no network.

mod code;
mod deploy;
mod examples;
mod generated;
mod source;
mod tidy;
mod tree;
