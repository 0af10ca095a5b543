//! What a record says, before it is written down.
//!
//! Enters: what the spine learned of one attempt, command or deletion.
//! Leaves: `Entry`.
//! Never: a value of a Secret; objects and fields are named, their values are not.

use jiff::Timestamp;

use crate::{
    api::Reason,
    model::{ApplicationKey, CommitInfo, Digest, ObjectId, Revision},
    rollout::{Action, Ending},
};

/// Where the set came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Repository, without credentials.
    pub repository: String,
    /// Path in it.
    pub path: String,
    /// Revision.
    pub revision: Revision,
    /// What the commit says of itself, where it was read.
    pub commit: Option<CommitInfo>,
    /// What was fetched beside the revision, and as what.
    pub remotes: Vec<RemoteEntry>,
}

/// A remote base or file of a kustomization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEntry {
    /// As the kustomization names it, without credentials.
    pub reference: String,
    /// Commit for git, digest for a file.
    pub pin: String,
}

/// What was done to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The object.
    pub id: ObjectId,
    /// What was done, for example `create`.
    pub action: String,
    /// Paths of the fields that changed; never their values.
    pub fields: Vec<String>,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// User name.
    pub name: String,
    /// Whether the API server vouches for the name: the policy that compares it with who wrote was in force.
    pub verified: bool,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The verb, for example `release`.
    pub verb: String,
    /// What it names: a digest, a plan, an attempt.
    pub subject: String,
    /// Who asked.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An attempt, which ended.
    Attempt {
        /// Its number.
        attempt: u64,
        /// What it did.
        action: Action,
        /// How it ended.
        ending: Ending,
        /// Why it was begun.
        trigger: Trigger,
    },
    /// A command, which was taken up.
    Command(Command),
    /// The Application was deleted and its objects with it; how many stay is in the details.
    Deletion,
}

/// Why an attempt was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Git has a new set.
    Commit,
    /// The Application was changed: another path, another namespace.
    Spec,
    /// Others changed live objects.
    Drift,
    /// The retry of an image that was not found is due.
    Retry,
    /// The set that ran failed.
    Failure(Reason),
    /// The set proved itself, and what left git may go.
    Soaked,
    /// A person asked.
    Command {
        /// The verb.
        verb: String,
        /// Who.
        by: Actor,
    },
}

impl Trigger {
    /// Every cause, as `as_str` says it.
    pub const CAUSES: [&'static str; 7] = [
        "commit", "spec", "drift", "retry", "failure", "soaked", "command",
    ];

    /// Returns the cause in one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Spec => "spec",
            Self::Drift => "drift",
            Self::Retry => "retry",
            Self::Failure(_) => "failure",
            Self::Soaked => "soaked",
            Self::Command { .. } => "command",
        }
    }
}

/// Something that had to be passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name: `dryRun`, `preflight`, `health`, `soak`, `limit`, `approval`, `dependsOn`, `rewind`, `quarantine`.
    pub name: &'static str,
    /// How it was passed.
    pub result: GateResult,
    /// The figure or the name that it was measured by; empty where there is none.
    pub detail: String,
}

/// How a gate was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateResult {
    /// It was.
    Passed,
    /// It was not.
    Refused,
}

impl GateResult {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
        }
    }
}

/// When each stage was over. What did not happen is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The set was first seen in git.
    pub seen: Option<Timestamp>,
    /// The attempt was begun: its head was stored.
    pub began: Timestamp,
    /// The last write of the set.
    pub applied: Option<Timestamp>,
    /// The failure that the return is for was decided.
    pub failed: Option<Timestamp>,
    /// The last known good was written again.
    pub restored: Option<Timestamp>,
    /// All over; for a sync that became Ready, the moment of that.
    pub ended: Timestamp,
}

impl Times {
    /// Returns the times of something that took none.
    pub fn at(now: Timestamp) -> Self {
        Self {
            seen: None,
            began: now,
            applied: None,
            failed: None,
            restored: None,
            ended: now,
        }
    }
}

/// Everything that a record says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// UID of the cluster: that of its namespace `kube-system`; empty where it could not be read.
    pub cluster: String,
    /// The Application.
    pub application: ApplicationKey,
    /// Its UID: a name can be used again.
    pub application_uid: String,
    /// What is recorded.
    pub what: What,
    /// Where the set came from.
    pub source: Option<SourceEntry>,
    /// Render digest of the set.
    pub digest: Option<Digest>,
    /// Images of the set, in order.
    pub images: Vec<String>,
    /// What was done to each object.
    pub changes: Vec<ObjectChange>,
    /// Objects that needed no write.
    pub unchanged: usize,
    /// What had to be passed.
    pub gates: Vec<Gate>,
    /// When.
    pub times: Times,
    /// Whether a controller that had not begun the attempt ended it.
    pub resumed: bool,
    /// Details for people.
    pub details: String,
    /// Identity of the controller, as in its lease.
    pub controller: String,
}

impl Entry {
    /// Returns the number of the attempt, if it is one.
    pub fn attempt(&self) -> Option<u64> {
        match &self.what {
            What::Attempt { attempt, .. } => Some(*attempt),
            What::Command(_) | What::Deletion => None,
        }
    }

    /// Returns what was done, in one word.
    pub fn action(&self) -> &str {
        match &self.what {
            What::Attempt { action, .. } => action.as_str(),
            What::Command(command) => &command.verb,
            What::Deletion => "delete",
        }
    }

    /// Returns how it ended, in one word.
    pub fn result(&self) -> &'static str {
        match &self.what {
            What::Attempt { ending, .. } => ending.as_str(),
            What::Command(_) | What::Deletion => "Done",
        }
    }
}
