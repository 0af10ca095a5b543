//! Conditions and reasons: closed vocabularies.
//!
//! Enters: nothing.
//! Leaves: enums whose `as_str` is the condition type, condition reason, event reason and metric label.
//! Never: a reason made up from an error's text.

use jiff::Timestamp;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A condition as kstatus reads it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type, for example `Ready`.
    #[serde(rename = "type")]
    pub kind: ConditionType,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Generation of the spec that it speaks of.
    pub observed_generation: i64,
    /// When the status last flipped.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Timestamp,
    /// Reason from the closed list.
    pub reason: String,
    /// What happened and what to do next.
    pub message: String,
}

/// Types of conditions.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum ConditionType {
    /// Git says it, the cluster has it, and it is healthy.
    Ready,
    /// We are working on it.
    Reconciling,
    /// We cannot go on without a change or a person.
    Stalled,
    /// What runs is healthy.
    Healthy,
    /// Git was read.
    Fetched,
    /// A person stopped it.
    Paused,
    /// A prune waits for approval.
    PruneBlocked,
    /// Live objects differ and policy says to leave them.
    Drifted,
}

/// Status of a condition.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be said yet.
    Unknown,
}

/// Whose fault a failure is; it decides whether we return.
#[derive(
    JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Class {
    /// Ours: bad image, crash, bad configuration, admission denial. It returns.
    Change,
    /// The cluster's or a service's: node, quota, registry down. It is retried and does not return.
    Environment,
    /// It was failing before. It does not return.
    PreExisting,
}

impl Class {
    /// Returns the class in `UpperCamelCase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Change => "Change",
            Self::Environment => "Environment",
            Self::PreExisting => "PreExisting",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Reasons of conditions, events and metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name),+
        }

        impl Reason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the reason in `UpperCamelCase`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }

            /// Returns the reason of this name.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $(stringify!($name) => Some(Self::$name),)+
                    other => {
                        let _unknown = other;
                        None
                    }
                }
            }
        }
    };
}

reasons! {
    /// The set is live and healthy.
    Healthy,
    /// The set is healthy and proves it.
    Soaking,
    /// The set is being written.
    Applying,
    /// The set is written and becomes Ready.
    Progressing,
    /// Another Application is awaited.
    DependencyNotReady,
    /// An Application that `dependsOn` names does not exist, or they name each other in a circle.
    DependencyInvalid,
    /// The last known good is being restored.
    Returning,
    /// The last known good was restored.
    Returned,
    /// The return failed as well.
    ReturnFailed,
    /// There was nothing good to return to.
    NothingToReturnTo,
    /// A declared barrier stands between.
    ReturnBlocked,
    /// A record points at a set that is neither kept nor can be rendered again.
    RollbackImpossible,
    /// The digest failed before and is not tried again.
    Quarantined,
    /// It was Ready and no longer is, outside its rollout.
    Degraded,
    /// A live object was changed and given back.
    DriftRepaired,
    /// A live object was changed and policy leaves it.
    DriftFound,
    /// Objects that left git were deleted.
    Pruned,
    /// A prune exceeds its limit.
    PruneLimit,
    /// A prune would delete a protected object.
    NeedsApproval,
    /// A prune was refused by the API server.
    PruneBlocked,
    /// The Application is being deleted and waits for what it owns.
    Deleting,
    /// The Application is being deleted and cannot delete what it owns.
    CannotCleanUp,
    /// The inventory could not be read and was rebuilt from marks.
    InventoryDamaged,
    /// Git was read.
    Fetched,
    /// Git cannot be reached.
    GitUnreachable,
    /// Git refused the credentials.
    GitAuth,
    /// The host key is not known, or the certificate is not trusted.
    GitUntrusted,
    /// What git sent is not git, or is damaged.
    GitProtocol,
    /// The reference is gone.
    ReferenceGone,
    /// The path is not in the revision.
    PathNotFound,
    /// The revision does not descend from the applied one.
    RevisionWentBack,
    /// The repository or a file exceeds a limit.
    SourceTooLarge,
    /// The address may not be connected to.
    EgressDenied,
    /// The credentials Secret cannot be read or used.
    CredentialsInvalid,
    /// The files do not render.
    RenderFailed,
    /// The files render to nothing.
    RenderEmpty,
    /// Two rendered objects have one identity.
    DuplicateObject,
    /// The API server refused objects of the set.
    DryRunRefused,
    /// Before the set was applied something was found that is told and does not hold it.
    PreflightWarning,
    /// Before the set was applied something was found that the Application does not let pass.
    PreflightRefused,
    /// Another manager owns fields of ours.
    Conflict,
    /// Another Application owns an object of ours.
    OwnedByOther,
    /// An immutable field would change.
    Immutable,
    /// The API server refused a write.
    ApplyFailed,
    /// No service account is given, or it may not be impersonated.
    NoIdentity,
    /// The account may not do it.
    Forbidden,
    /// The Application stands in a namespace where none is taken up.
    NamespaceReserved,
    /// The Application cannot be decoded or its spec is not valid.
    InvalidSpec,
    /// The API server is not reachable or too busy.
    ApiUnavailable,
    /// The Application did not become Ready in time.
    HealthTimeout,
    /// An image does not exist.
    ImageNotFound,
    /// An image cannot be pulled for reasons of the registry.
    ImagePullFailed,
    /// An image name is not valid.
    InvalidImageName,
    /// A container crashes again and again.
    CrashLoop,
    /// A container exceeds its memory limit.
    OutOfMemory,
    /// A container names configuration that is not there.
    ConfigError,
    /// A pod is Ready and not Ready in turns.
    Flapping,
    /// A pod cannot be created: admission.
    PodDenied,
    /// A pod cannot be created: quota.
    QuotaExceeded,
    /// A pod cannot be placed.
    Unschedulable,
    /// The node of a pod does not answer.
    NodeLost,
    /// A volume cannot be mounted.
    MountFailed,
    /// A Job failed.
    JobFailed,
    /// An object says itself that it failed.
    ObjectFailed,
    /// A person paused it.
    Paused,
    /// A person pinned a set.
    Pinned,
    /// A person ended the attempt.
    Cancelled,
    /// A newer revision took over.
    Superseded,
    /// An object of the set is larger than the API server takes.
    ObjectTooLarge,
    /// Records in the cluster are not ours.
    ChainForked,
    /// Records cannot be kept, and the controller is told to change nothing then.
    HistoryStopped,
    /// A bug; the log has its trace.
    Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_text() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("Nonsense"), None);
    }
}
