//! The Application: one path of one git repository, reconciled into one target.
//!
//! Enters: the custom resource as users write it.
//! Leaves: typed structs with defaults; the API server refuses early what the schema and CEL rules can see.
//! Never: behaviour.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each struct inside a function"
)]

use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApplicationStatus, Commands, PreflightSpec};

/// What an Application asks for.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "Application",
    plural = "applications",
    shortname = "papp",
    category = "plimsoll",
    namespaced,
    status = "ApplicationStatus",
    derive = "PartialEq",
    doc = "One path of one git repository, reconciled into one target.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name of an Application has at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].reason"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.applied.revision"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message")
)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// Where the files are.
    pub source: Source,
    /// Where the objects go and who applies them.
    #[serde(default)]
    pub target: Target,
    /// How often git is asked when no webhook says that it changed. A Go duration, at least 10s; default 5m.
    #[serde(default = "five_minutes")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h')").message("interval is from 10s to 24h"))]
    pub interval: Duration,
    /// How the set is applied.
    #[serde(default)]
    pub apply: ApplySpec,
    /// What happens to findings before the set is applied.
    #[serde(default)]
    pub preflight: PreflightSpec,
    /// What happens to objects that left git.
    #[serde(default)]
    pub prune: PruneSpec,
    /// What happens when a live object no longer has what we gave it. Default repair.
    #[serde(default)]
    pub drift: DriftPolicy,
    /// Applications of the same namespace that must be Ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub depends_on: Vec<Dependency>,
    /// When a set is good.
    #[serde(default)]
    pub health: HealthSpec,
    /// What happens when a set fails.
    #[serde(default)]
    pub rollback: RollbackSpec,
    /// What happens to the objects when the Application is deleted. Default Orphan.
    #[serde(default)]
    pub deletion: DeletionPolicy,
    /// What a person asks for; written by the command line, never by git.
    #[serde(default, skip_serializing_if = "Commands::is_empty")]
    pub commands: Commands,
}

fn five_minutes() -> Duration {
    std::time::Duration::from_secs(300).into()
}

/// Where an Application's files are.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Repository: `https://`, `ssh://`, scp style (`git@host:path`), `http://`, or `file://` where the controller is started with leave for it.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(
        validation = Rule::new("self.matches('^(https?|ssh|file)://[^[:space:]]+$') || self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^[:space:]]+$')").message("repo is an https, ssh, http or file URL, or user@host:path"),
        validation = Rule::new("!self.matches('^https?://[^/@]*:[^/@]*@')").message("repo holds no password; use credentialsRef")
    )]
    pub repo: String,
    /// Branch, tag or full commit hash that is reachable from one. Default: the remote's HEAD.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("!self.startsWith('-') && !self.contains('..') && !self.contains('@{') && !self.matches('[[:space:][:cntrl:]~^:?*\\\\[\\\\\\\\]')").message("ref is the name of a branch or tag, or a full commit hash"))]
    pub reference: Option<String>,
    /// Whether a revision that does not descend from the applied one is taken. Default hold.
    #[serde(default)]
    pub rewind: RewindPolicy,
    /// A kustomization or a folder of plain manifests, from the root of the repository. Default: the root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("!self.startsWith('/') && self.split('/').all(part, part != '..')").message("path is relative and does not leave the repository"))]
    pub path: String,
    /// Secret of the Application's namespace: username and password | token | identity and known_hosts | caFile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<SecretReference>,
}

/// A Secret in the Application's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whether a revision that does not descend from the applied one is taken.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewindPolicy {
    /// Wait for a person: a force push or a stale mirror is not a change to apply.
    #[default]
    Hold,
    /// Take it.
    Allow,
}

/// Where the objects go and who applies them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Namespace of objects that name none. Default: the Application's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Service account of the Application's namespace as which everything is read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account: Option<String>,
}

/// How the set is applied.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplySpec {
    /// What happens when another manager owns a field of ours. Default fail.
    #[serde(default)]
    pub conflicts: ConflictPolicy,
    /// Fields for which something else holds than `conflicts` says; of several rules the first holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub conflict_rules: Vec<ConflictRule>,
    /// Whether objects that the server takes are applied although it refuses others. Default false.
    #[serde(default)]
    pub partial: bool,
    /// Fields that we neither write nor compare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<IgnoreRule>,
    /// Kinds that may be deleted and created again when an immutable field changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub recreate: Vec<String>,
}

/// What happens when another manager owns a field of ours.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictPolicy {
    /// The set is refused and the owner is named.
    #[default]
    Fail,
    /// The field is left to its owner.
    Yield,
    /// The field is taken.
    Force,
}

/// Fields of some objects that we neither write nor compare.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IgnoreRule {
    /// The objects.
    pub target: RuleTarget,
    /// JSON pointers, for example `/spec/replicas`.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(field, field.startsWith('/') && field.size() <= 512)").message("fields are JSON pointers"))]
    pub fields: Vec<String>,
}

/// What happens when another manager owns one of these fields.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConflictRule {
    /// The objects.
    pub target: RuleTarget,
    /// JSON pointers, for example `/spec/replicas`; what lies below one is meant too.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(field, field.startsWith('/') && field.size() <= 512)").message("fields are JSON pointers"))]
    pub fields: Vec<String>,
    /// What happens.
    pub conflicts: ConflictPolicy,
}

/// The objects of a rule: every part that is given must agree.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleTarget {
    /// API group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels that they carry in git.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub match_labels: std::collections::BTreeMap<String, String>,
}

/// What happens to objects that left git.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneSpec {
    /// Whether they are deleted at all. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Objects that may go without approval. Default 10 (fault matrix, R04).
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_objects: u32,
    /// Percent of the inventory that may go without approval; the larger of the two limits holds. Default 20.
    #[serde(default = "twenty")]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: u32,
}

impl Default for PruneSpec {
    fn default() -> Self {
        Self {
            enabled: yes(),
            max_objects: ten(),
            max_percent: twenty(),
        }
    }
}

fn yes() -> bool {
    true
}

fn ten() -> u32 {
    10
}

fn twenty() -> u32 {
    20
}

/// What happens when a live object no longer has what we gave it.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftPolicy {
    /// It is given back.
    #[default]
    Repair,
    /// It is said in a condition.
    Report,
    /// Nothing.
    Ignore,
}

/// An Application of the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Name of the Application.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// When a set is good.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSpec {
    /// Time to become Ready, on our own monotonic clock. A Go duration; default 5m.
    #[serde(default = "five_minutes")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("timeout is from 1s to 24h"))]
    pub timeout: Duration,
    /// Time that a set must stay Ready before it is good. A Go duration; default 30s.
    #[serde(default = "thirty_seconds")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('0s') && duration(self) <= duration('24h')").message("soak is from 0s to 24h"))]
    pub soak: Duration,
    /// Whether a failure that decides ends the wait before the timeout. Default true.
    #[serde(default = "yes")]
    pub fail_fast: bool,
    /// CEL rules for custom resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub exprs: Vec<HealthExpression>,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            timeout: five_minutes(),
            soak: thirty_seconds(),
            fail_fast: yes(),
            exprs: Vec::new(),
        }
    }
}

fn thirty_seconds() -> Duration {
    std::time::Duration::from_secs(30).into()
}

/// A CEL rule for the health of one kind, in the shape that Flux users know.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthExpression {
    /// `group/version`, or `version` for the core group.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// True when the object is Ready.
    #[schemars(length(min = 1, max = 4096))]
    pub current: String,
    /// True when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub failed: Option<String>,
    /// True while it is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub in_progress: Option<String>,
}

/// What happens when a set fails.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RollbackSpec {
    /// Whether the last known good is restored by itself. Default Auto.
    #[serde(default)]
    pub mode: RollbackMode,
    /// Objects that cannot be undone: once one of them ran, nothing returns by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub barriers: Vec<Barrier>,
}

/// Whether the last known good is restored by itself.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackMode {
    /// It is.
    #[default]
    Auto,
    /// It is not. In YAML it is written `"Off"`: kubectl reads YAML 1.1, where the bare word means false.
    Off,
}

/// Objects that cannot be undone.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Barrier {
    /// Kind.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Labels that they carry; none means every object of the kind.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub match_labels: std::collections::BTreeMap<String, String>,
}

/// What happens to the objects when the Application is deleted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// They stay.
    #[default]
    Orphan,
    /// They are deleted.
    Cascade,
}
