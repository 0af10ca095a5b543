//! Report: results in the words that people and machines read.
//!
//! Enters: where an Application stands, what its objects say, what git said.
//! Leaves: the status with its conditions, notices, metrics.
//! Never: a second wording of one thing: events, conditions and the command line share it.

mod conditions;
mod metrics;
mod notice;
mod status;

pub use metrics::{Metrics, StageLabel};
pub use notice::{Notice, notices};
pub use status::{Facts, FetchState, Health, blocked, status};
