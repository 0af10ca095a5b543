//! Tests on a real control plane.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and one that measures says what"
)]

mod deploy;
mod proxy;
mod rights;
mod room_lease;
mod room_read;
mod room_state;
mod room_watch;
mod room_write;
mod scenario_rows;
#[expect(
    dead_code,
    reason = "the tests of the room source ask more of the server than a story does"
)]
#[path = "../it/source/sshd.rs"]
mod sshd;
mod story_apply;
mod story_bad_input;
mod story_cancel;
mod story_cli;
mod story_counts;
mod story_drift;
mod story_fair;
mod story_faults;
mod story_guarded;
mod story_history;
mod story_hooks;
mod story_kill;
mod story_large;
mod story_model;
mod story_outage;
mod story_points;
mod story_policy;
mod story_preflight;
mod story_prune;
mod story_refused;
mod story_return;
mod story_rollback;
mod story_scenarios;
mod story_shards;
mod story_support;
mod story_sync;
#[expect(
    dead_code,
    reason = "the harness offers more than each story of today needs"
)]
mod support;
