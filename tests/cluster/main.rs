//! Tests on a real control plane.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod deploy;
mod rights;
mod room_lease;
mod room_read;
mod room_state;
mod room_watch;
mod room_write;
mod story_drift;
mod story_return;
mod story_support;
mod story_sync;
mod support;
