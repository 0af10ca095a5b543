//! An attempt as it is stored before its first write.
//!
//! Enters: what the plan will create, force and delete.
//! Leaves: `Head`, and `StoredSet`, the objects of one render digest on their way to or from the store.
//! Never: a result; a head says what was begun, not how it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Digest, Object, ObjectId, Revision};

/// What an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptKind {
    /// Takes the cluster to a new set.
    Sync,
    /// Restores the last known good set, after the failed one had been Ready.
    Return,
    /// Deletes what left git.
    Prune,
    /// Gives back what was changed by others.
    Drift,
}

impl AttemptKind {
    /// Returns the kind in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "Sync",
            Self::Return => "Return",
            Self::Prune => "Prune",
            Self::Drift => "Drift",
        }
    }
}

/// An object that an attempt will delete, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// The object.
    pub id: ObjectId,
    /// Version of the API to reach it by, for example `apps/v1`.
    pub api_version: String,
    /// UID that the delete insists on.
    pub uid: String,
}

/// A person's command that an attempt was begun for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The verb.
    pub verb: String,
    /// Who.
    pub by: String,
    /// Whether the API server vouches for the name.
    pub verified: bool,
}

/// An object of an older attempt whose set is not kept any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// The object.
    pub id: ObjectId,
    /// Version of the API to reach it by.
    pub api_version: String,
    /// Whether its set asked to keep it when it leaves git.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// Fields of one object that were left to those who owned them first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yielded {
    /// The object.
    pub id: ObjectId,
    /// Field paths as server-side apply writes them.
    pub paths: Vec<String>,
}

/// The intent of one attempt: stored before its first write or delete, and its claim on the Application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// UID of the Application.
    pub application_uid: String,
    /// Number of the attempt.
    pub attempt: u64,
    /// What the attempt does.
    pub kind: AttemptKind,
    /// Render digest of the set that the attempt takes the cluster to.
    pub digest: Digest,
    /// Revision that gave the set.
    pub revision: Revision,
    /// Attempt under whose number the set is stored: this one, or an older one that keeps the same digest.
    pub set_attempt: u64,
    /// Who holds the lease under which the attempt was begun.
    pub holder: String,
    /// When it was begun.
    pub began: Timestamp,
    /// Who asked for it; None where git, the cluster or the clock did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Objects that were absent when the attempt was planned.
    #[serde(default)]
    pub creates: Vec<ObjectId>,
    /// Objects whose drifted fields are taken back by force.
    #[serde(default)]
    pub forces: Vec<ObjectId>,
    /// Objects that will be deleted.
    #[serde(default)]
    pub deletes: Vec<Doomed>,
    /// Objects of the oldest attempts, carried along where `written` would grow too long.
    #[serde(default)]
    pub carried: Vec<Carried>,
    /// Attempts whose objects are carried: they leave `written` with this head.
    #[serde(default)]
    pub carried_from: Vec<u64>,
    /// Fields that the set holds and that were not sent, for somebody else owned them first.
    #[serde(default)]
    pub yields: Vec<Yielded>,
    /// Objects that are deleted and created again, as they were seen before.
    #[serde(default)]
    pub recreates: Vec<Doomed>,
}

/// The objects of one render digest; `render::restore` checks them against it.
#[derive(Clone, Debug)]
pub struct StoredSet {
    /// Digest under which they were stored.
    pub digest: Digest,
    /// The objects, in the order of the render, without marks.
    pub objects: Vec<Object>,
}
