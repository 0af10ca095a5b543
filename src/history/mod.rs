//! Record: one entry for each attempt and command.
//!
//! Enters: how an attempt ended, what was changed, the previous head.
//! Leaves: `Record`: canonical bytes, their hash, and the sequence; verified again by the same rules.
//! Never: a value of a Secret; a record names objects and field paths.

#[cfg(test)]
mod case;
mod chain;
mod checkpoint;
mod compliance;
mod dora;
mod entry;
mod export;
mod fault;
mod line;
mod query;
mod record;
#[cfg(test)]
mod tamper_tests;
mod verifier;

pub use chain::{Broken, Link, verify};
pub use checkpoint::{BadCheckpoint, Checkpoint, KeyError, PublicKey, Signed, SigningKey};
pub use compliance::{Compliance, Listed, html, markdown, sections};
pub use dora::{Dora, Figures, Rated, percentile};
pub use entry::{
    Actor, Command, Entry, Gate, GateResult, ObjectChange, RemoteEntry, SourceEntry, Times,
    Trigger, What,
};
pub use export::{PREDICATE, cd_event, statement};
pub use fault::Fault;
pub use line::{ChainId, Line, Told, Unreadable, read_line, read_record};
pub use query::{COLUMNS, Filter, actors, csv_header, csv_line, moment, word};
pub use record::{Record, record, record_name};
pub use verifier::{ChainVerdict, Expectations, Verdict, Verifier};
