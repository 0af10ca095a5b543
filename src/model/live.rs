//! What the API server answered about the objects of a set, before anything was written.
//!
//! Enters: answers to dry-runs and reads, one for each object.
//! Leaves: `Live`; found, absent, forbidden and not reachable are told apart.
//! Never: an answer that was not given: an object that was not asked about says so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ObjectId, Packed, Refusal};

/// One field of ours that another manager owns, as the API server named it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The other manager, for example `kubectl-edit`.
    pub manager: String,
    /// Field path as server-side apply writes it, for example `.spec.replicas`.
    pub path: String,
}

/// An accepted server-side dry-run.
#[derive(Clone)]
pub struct DryRun {
    /// Whether the object was absent and would be created.
    pub created: bool,
    /// The live object as it stood before, where it was read. Packed: of a large set each object has such an answer.
    pub before: Option<Packed>,
    /// The object as it would be.
    pub after: Packed,
    /// Warning headers of the API server, in order.
    pub warnings: Vec<String>,
}

/// Values can be a Secret's: only the shape is printed.
impl std::fmt::Debug for DryRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DryRun")
            .field("created", &self.created)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// What is known of one object of a set.
#[derive(Clone, Debug)]
pub enum Observed {
    /// Not asked: its rendered form is what was last applied and nothing says that it drifted.
    Unchanged,
    /// The server would take it.
    Accepted(DryRun),
    /// Others own fields of it; `forced` is the dry-run that takes them.
    Conflicting {
        /// The fields and their owners.
        conflicts: Vec<Conflict>,
        /// The live object.
        before: Packed,
        /// Answer to a forced dry-run, if the caller asked for one and the server took it.
        forced: Option<DryRun>,
    },
    /// Others own fields of it, and policy leaves those to them: what is sent lacks them.
    Yielding {
        /// The fields that are left out, and their owners.
        conflicts: Vec<Conflict>,
        /// Those among them that were never ours.
        foreign: Vec<Conflict>,
        /// Whether the rest is taken by force: git changed the value of fields that had drifted.
        force: bool,
        /// Answer to a dry-run without those fields.
        answer: DryRun,
    },
    /// The server would not take it.
    Refused(Refusal),
    /// Refused only because it names an object of the same set that is not there yet.
    Deferred {
        /// What it waits for.
        on: ObjectId,
        /// What the server said.
        message: String,
        /// The live object, where there is one already.
        before: Option<Value>,
    },
    /// Refused for a field that may not change; the policy lets it be deleted and created again, and the server
    /// would take the new one.
    Replacing {
        /// The live object.
        before: Value,
        /// What the server said.
        message: String,
    },
}

/// What is known of every object of a set. Complete by construction: a partial answer is an error of the reader.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// One entry for each object of the set.
    pub objects: BTreeMap<ObjectId, Observed>,
}
