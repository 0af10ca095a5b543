//! The listener: health, readiness and metrics.
//!
//! Enters: an address, the metrics registry, whether the process is ready.
//! Leaves: answers over http.
//! Never: anything of one Application beyond its metrics; no log, no setting, no debug port.

mod routes;
mod webhook;

pub use routes::{Error, Ready, serve};
pub use webhook::Webhooks;
