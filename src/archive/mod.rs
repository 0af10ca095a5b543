//! Archive: records and checkpoints, kept where the cluster cannot lose them.
//!
//! Enters: every record as it was written, the key that signs checkpoints.
//! Leaves: lines in every sink, a bounded number of records in the cluster, what waits and why.
//! Never: a record that leaves the cluster before every sink has it, where there is one; a line put behind one that it does not follow.

mod error;
mod file;
mod git;
mod heads;
mod housekeeping;
mod keep;
mod keeping;
mod settings;
mod sink;
mod standing;
#[cfg(test)]
mod tests;
mod upstream;

pub use error::Error;
pub use keeping::Archive;
pub use settings::{KeySource, Settings};
pub use standing::{SinkStanding, Standing};
pub use upstream::{Cause, Upstream};
