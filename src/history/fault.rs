//! What can be wrong with records, each in one sentence that names the record.
//!
//! Enters: what the verifier found.
//! Leaves: `Fault`.
//! Never: a guess who did it.

use super::{
    checkpoint::BadCheckpoint,
    line::{ChainId, Unreadable},
};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line is neither a record nor a checkpoint.
    #[error("line {line}, {}: {why}", placed(after.as_ref()))]
    Unreadable {
        /// Number of the line, from 1.
        line: usize,
        /// The record before it.
        after: Option<(ChainId, u64)>,
        /// Why.
        why: Unreadable,
    },
    /// A chain does not begin with its first record.
    #[error("{chain}: it begins with record {first}; record 1 to {} are not here", first - 1)]
    Beginning {
        /// The chain.
        chain: ChainId,
        /// Number of the first record that is there.
        first: u64,
    },
    /// Records are not there.
    #[error("{chain}: {}", missing(*from, *to))]
    Missing {
        /// The chain.
        chain: ChainId,
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
    /// A record names another predecessor than the record before it.
    #[error("{chain}: record {sequence} does not follow record {}: one of the two was changed, put in or exchanged", sequence.saturating_sub(1))]
    Follows {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
    },
    /// A record stands twice.
    #[error("{chain}: record {sequence} stands twice")]
    Twice {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
    },
    /// Two different records have one number.
    #[error("{chain}: there are two different records {sequence}")]
    Two {
        /// The chain.
        chain: ChainId,
        /// The number.
        sequence: u64,
    },
    /// A record comes after a later one.
    #[error("{chain}: record {sequence} comes after record {after}")]
    OutOfOrder {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
        /// The record before it.
        after: u64,
    },
    /// A record is of another cluster than the one before it.
    #[error("{chain}: record {sequence} is of another cluster")]
    OtherCluster {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
    },
    /// A chain ends earlier than a checkpoint, or the status, says.
    #[error("{chain}: it ends with record {last}, and {} knows record {expected}", witness(*checkpoint))]
    Truncated {
        /// The chain.
        chain: ChainId,
        /// Number of the last record that is there.
        last: u64,
        /// Number that is known.
        expected: u64,
        /// Number of the checkpoint; None for the status.
        checkpoint: Option<u64>,
    },
    /// A chain is not there at all.
    #[error("{chain}: no record is here, and {} knows record {sequence}", witness(*checkpoint))]
    ChainMissing {
        /// The chain.
        chain: ChainId,
        /// Number of the checkpoint; None for the status.
        checkpoint: Option<u64>,
        /// Number that is known.
        sequence: u64,
    },
    /// A record is not the one that a checkpoint, or the status, knows.
    #[error("{chain}: record {sequence} is not the one that {} knows: it was changed", witness(*checkpoint))]
    Differs {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
        /// Number of the checkpoint; None for the status.
        checkpoint: Option<u64>,
    },
    /// The columns beside a record say other than the record.
    #[error(
        "{chain}: the {what} beside record {sequence} is not that of the record: it was changed"
    )]
    Column {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
        /// Which.
        what: &'static str,
    },
    /// The first record of a chain does not continue the earlier Application of its name.
    #[error("{chain}: record {sequence}: {why}")]
    Succession {
        /// The chain.
        chain: ChainId,
        /// The record.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// A checkpoint does not count.
    #[error("checkpoint {}: it {why}", number.map_or_else(|| "?".to_owned(), |number| number.to_string()))]
    Checkpoint {
        /// What it says its number is.
        number: Option<u64>,
        /// Why.
        why: BadCheckpoint,
    },
    /// Two different checkpoints have one number.
    #[error("checkpoint {number}: there are two different ones")]
    TwoCheckpoints {
        /// The number.
        number: u64,
    },
    /// A checkpoint names another predecessor.
    #[error("checkpoint {number}: it does not follow checkpoint {}: one of the two was changed or exchanged", number.saturating_sub(1))]
    CheckpointFollows {
        /// The checkpoint.
        number: u64,
    },
    /// Checkpoints are not there.
    #[error("checkpoints {from} to {to} are missing")]
    CheckpointsMissing {
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
    /// A key was given and there is no checkpoint that it signed.
    #[error("there is no checkpoint that this key signed")]
    NoCheckpoint,
}

impl Fault {
    /// Returns the chain that it is of.
    pub fn chain(&self) -> Option<&ChainId> {
        match self {
            Self::Beginning { chain, .. }
            | Self::Missing { chain, .. }
            | Self::Follows { chain, .. }
            | Self::Twice { chain, .. }
            | Self::Two { chain, .. }
            | Self::OutOfOrder { chain, .. }
            | Self::OtherCluster { chain, .. }
            | Self::Truncated { chain, .. }
            | Self::ChainMissing { chain, .. }
            | Self::Differs { chain, .. }
            | Self::Column { chain, .. }
            | Self::Succession { chain, .. } => Some(chain),
            Self::Unreadable { after, .. } => after.as_ref().map(|(chain, _)| chain),
            Self::Checkpoint { .. }
            | Self::TwoCheckpoints { .. }
            | Self::CheckpointFollows { .. }
            | Self::CheckpointsMissing { .. }
            | Self::NoCheckpoint => None,
        }
    }
}

fn placed(after: Option<&(ChainId, u64)>) -> String {
    after.map_or_else(
        || "at the beginning".to_owned(),
        |(chain, sequence)| format!("after record {sequence} of {chain}"),
    )
}

fn missing(from: u64, to: u64) -> String {
    if from == to {
        format!("record {from} is missing")
    } else {
        format!("records {from} to {to} are missing")
    }
}

fn witness(checkpoint: Option<u64>) -> String {
    checkpoint.map_or_else(
        || "the status of the Application".to_owned(),
        |number| format!("checkpoint {number}"),
    )
}
