//! Record: one entry for each attempt and command.
//!
//! Enters: how an attempt ended, what was changed, the previous head.
//! Leaves: `Record`: canonical bytes, their hash, and the sequence; verified again by the same rules.
//! Never: a value of a Secret; a record names objects and field paths.

mod chain;
mod record;

pub use chain::{Broken, Link, verify};
pub use record::{
    Command, Entry, ObjectChange, Record, RemoteEntry, SourceEntry, record, record_name,
};
