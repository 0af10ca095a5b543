//! Report: results in the words that people and machines read.
//!
//! Enters: where an Application stands, what its objects say, what git said.
//! Leaves: the status with its conditions, notices, metrics.
//! Never: a second wording of one thing: events, conditions and the command line share it.

mod conditions;
mod facts;
mod metrics;
mod notice;
mod status;

pub use facts::{Facts, FetchState, Health};
pub use metrics::{Metrics, PerApplication, StageLabel};
pub use notice::{Notice, notices};
pub use status::{blocked, status};
