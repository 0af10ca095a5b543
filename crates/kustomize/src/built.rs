//! What a build leaves: objects with their origin, warnings, what was read, what was fetched.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::options::RemotePin;

/// Where an object came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Origin {
    /// Path of the file inside the tree; for a generated object, of the kustomization that generates it.
    pub file: String,
    /// Line on which the document begins, from 1; 0 where it is not known.
    pub line: u32,
}

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The object as it would be applied.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Something that upstream says on standard error while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file that it is about; empty where it is about the build as a whole.
    pub file: String,
    /// The text, without a trailing line break.
    pub message: String,
}

/// The result of a build.
#[derive(Debug, Clone, Default)]
pub struct Built {
    /// The objects in their final order.
    pub resources: Vec<Resource>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
    /// Every path of the tree whose content, or absence, the result depends on.
    pub read: BTreeSet<String>,
    /// What was fetched, and as what.
    pub remotes: Vec<RemotePin>,
}
