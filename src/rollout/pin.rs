//! Pin: what is sought while a person holds a set.
//!
//! Enters: what git wants, and what a person pinned.
//! Leaves: the set that is to run.
//! Never: git's newest while a pin is in force, also where the pinned set is not found.

use super::Desired;

/// What a person pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Nothing: git says what is to run.
    None,
    /// A set that cannot be had now; what runs is kept.
    Sought,
    /// This set.
    To(Desired),
}

impl Pin {
    /// Returns the set that is to run; None keeps what runs.
    pub fn over(&self, git: Option<&Desired>) -> Option<Desired> {
        match self {
            Self::None => git.cloned(),
            Self::Sought => None,
            Self::To(pinned) => Some(pinned.clone()),
        }
    }
}
