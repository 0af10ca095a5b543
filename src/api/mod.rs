//! The contract with the cluster: kinds, conditions, and every name that we write into objects.
//!
//! Enters: YAML and JSON of our own kinds.
//! Leaves: typed structs; the CRDs under `crds/` are generated from them.
//! Never: behaviour. What a field means is decided in the rooms.

mod application;
mod commands;
mod condition;
mod manifest;
mod names;
mod preflight;
mod status;
mod sync_record;

pub use application::{
    Application, ApplicationSpec, ApplySpec, Barrier, ConflictPolicy, ConflictRule, DeletionPolicy,
    Dependency, DriftPolicy, HealthExpression, HealthSpec, IgnoreRule, PruneSpec, RewindPolicy,
    RollbackMode, RollbackSpec, RuleTarget, SecretReference, Source, Target,
};
pub use commands::{Approve, Cancel, Commands, Ended, Pause, Pin, Release, SyncCommand};
pub use condition::{Class, Condition, ConditionStatus, ConditionType, Reason};
pub use manifest::{ManifestError, crds};
pub use names::*;
pub use preflight::{PreflightMode, PreflightRule, PreflightSpec};
pub use status::{
    ApplicationStatus, FailureStatus, HealthCounts, HeldStatus, Phase, PruneStatus, Quarantine,
    RecordHead, SetStatus,
};
pub use sync_record::{Predecessor, SyncRecord, SyncRecordSpec};
