//! The spine: strings the doors of the rooms together. It has no rules of its own.
//!
//! Enters: an Application, what is remembered of it, the context of the process.
//! Leaves: a cluster one step further, a record, a status, and when to look again.
//! Never: a wait: a reconcile observes once, decides, stores, and is woken by a watch or a deadline.

mod advance;
mod audit_branch;
mod barrier;
mod command;
mod context;
mod credentials;
mod dependency;
mod drift;
mod error;
mod events;
mod finalize;
mod health;
mod hooks;
mod inventory;
mod lists;
mod look;
mod marked;
mod memory;
mod observe;
mod perform;
mod pin;
mod placements;
mod preflight;
mod prepare;
mod preview;
mod prune;
mod record;
mod restore;
mod rewind;
mod sets;
mod stop;
mod stuck;
mod subject;
mod take_up;
mod verdict;
mod voice;
mod wake;
mod watching;
mod write;

pub use crate::archive::{Archive, KeySource, Settings as ArchiveSettings, Upstream};
pub use advance::{Stage, Wake, reconcile};
pub use audit_branch::AuditBranch;
pub use context::Context;
pub use error::Error;
pub use lists::Lists;
pub use marked::{Marked, marked};
pub use memory::{Memory, Rest};
pub use preview::{Preview, Request, preview, render_local};
pub use stop::Stop;
pub use subject::{Subject, application_key};
pub use voice::Voice;
