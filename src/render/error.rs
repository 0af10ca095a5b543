//! Why files do not render.
//!
//! Enters: the renderer's errors.
//! Leaves: `Error` with a reason from the closed list.
//! Never: the value of a Secret; messages name fields and places.

use crate::{
    api::Reason,
    model::{Digest, Location, ObjectId},
};

/// Why files do not render, or a stored set does not restore.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is not in the revision.
    #[error("find {path} in the revision")]
    PathMissing {
        /// The path.
        path: String,
    },
    /// The files do not render. The renderer's message names file and line.
    #[error("render {path}")]
    Build {
        /// The path.
        path: String,
        /// What the renderer said.
        #[source]
        source: kustomize::Error,
    },
    /// A rendered value is no object.
    #[error("read the object rendered from {location}")]
    Object {
        /// Where it came from.
        location: Location,
        /// What is missing.
        #[source]
        source: crate::model::ObjectError,
    },
    /// Two objects have one identity.
    #[error("render one {id}: it comes from {first} and from {second}")]
    Duplicate {
        /// The identity.
        id: Box<ObjectId>,
        /// Where the first came from.
        first: Location,
        /// Where the second came from.
        second: Location,
    },
    /// A stored set does not have the digest under which it was stored.
    #[error("restore the set {expected}: its objects have the digest {found}")]
    Damaged {
        /// Digest under which it was stored.
        expected: Digest,
        /// Digest of what was read.
        found: Digest,
    },
}

impl Error {
    /// Returns the reason from the closed list.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PathMissing { .. } => Reason::PathNotFound,
            Self::Build { .. } | Self::Object { .. } => Reason::RenderFailed,
            Self::Duplicate { .. } => Reason::DuplicateObject,
            Self::Damaged { .. } => Reason::RollbackImpossible,
        }
    }

    /// Returns the place in the repository, where one is known.
    pub fn location(&self) -> Option<Location> {
        match self {
            Self::Build { source, .. } => source.location().map(|at| Location {
                file: at.file.trim_start_matches('/').to_owned(),
                line: at.line,
                column: at.column,
            }),
            Self::Object { location, .. } => Some(location.clone()),
            Self::Duplicate { second, .. } => Some(second.clone()),
            Self::PathMissing { .. } | Self::Damaged { .. } => None,
        }
    }
}
