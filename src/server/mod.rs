//! The listener: health, readiness, metrics and webhooks.
//!
//! Enters: an address, the metrics registry, whether the process is ready; what git servers tell, and the file with the secret that signs it.
//! Leaves: answers over http, and the names of repositories to ask.
//! Never: anything of one Application beyond its metrics; no log, no setting, no debug port.

mod routes;
mod webhook;

pub use routes::{Error, Ready, serve};
pub use webhook::Webhooks;
