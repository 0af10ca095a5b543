//! Where an object came from.
//! Enters, leaves: nothing; these are words.

/// Where an object came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Origin {
    /// Path of the file inside the tree; for a generated object, of the kustomization that generates it.
    pub file: String,
    /// Line on which the document begins, from 1; 0 where it is not known.
    pub line: u32,
}
