//! Tests on a real control plane.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails; it spawns what it talks to and reads the clock"
)]

mod deploy;
mod room_lease;
mod room_read;
mod room_state;
mod room_watch;
mod room_write;
mod story_drift;
mod story_kill;
mod story_prune;
mod story_refused;
mod story_return;
mod story_support;
mod story_sync;
mod support;
