//! The command line: one file a verb, over the same stages as the controller.
//!
//! Enters: arguments.
//! Leaves: output on standard output, messages on standard error, an exit code.
//! Never: a decision that the controller would make otherwise; a second wording.

pub mod args;
mod build;
pub mod build_args;
mod command;
mod controller;
mod crds;
mod diff;
mod dispatch;
mod exit;
mod get;
mod history;
mod input;
mod output;
mod records;
mod render;
mod report;
mod rollback;
mod settings;
mod tenant;
mod tree;
mod why;

pub use dispatch::run;
pub use exit::{Exit, Failure};
