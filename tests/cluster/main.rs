//! Tests on a real control plane.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod deploy;
mod room_read;
mod support;
