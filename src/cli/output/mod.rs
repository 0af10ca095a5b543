//! The only printers.
//!
//! Enters: values of the rooms.
//! Leaves: text on standard output, messages on standard error.
//! Never: colour where it is not wanted; a value of a Secret.

mod diff;
mod print;
mod story;
mod table;
mod tree;

pub(super) use diff::plan;
pub(super) use print::{failure, json, message, text, usage, yaml};
pub(super) use story::{story, took};
pub(super) use table::table;
pub(super) use tree::{Branch, tree};
