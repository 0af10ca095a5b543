//! Plimsoll: a GitOps controller that returns by itself to the last known good state.
//!
//! The rooms, in the order in which data flows:
//! fetch → render → observe → plan → apply → assess → decide → record → report.
//! Pure rooms decide, IO rooms are thin, shells wire; `tests/it/tidy.rs` enforces who may import whom.

pub mod api;
pub mod apply;
pub mod archive;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod health;
pub mod history;
pub mod model;
pub mod pipeline;
pub mod plan;
pub mod preflight;
pub mod render;
pub mod report;
pub mod rollout;
pub mod server;
pub mod source;
pub mod telemetry;
