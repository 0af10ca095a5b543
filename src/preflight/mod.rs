//! Preflight: what a set would run into although the API server takes it.
//!
//! Enters: the set as it would be sent, what is to be written of it, a few facts of the cluster.
//! Leaves: `Findings`: those that are told, and those that refuse the set; each says what to do.
//! Never: a request; a finding from what could not be read: that is not checked, and no more.

mod availability;
mod capacity;
mod check;
mod facts;
mod finding;
mod image;
mod quantity;
mod reference;
mod version;
mod workload;

pub use check::{Case, check};
pub use facts::{Facts, Scale, Touched, Wants, wants};
pub use finding::{Finding, Findings};
