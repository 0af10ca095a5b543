//! Names that we write into objects, each with one home.
//!
//! Enters: nothing.
//! Leaves: constants.
//! Never: a name spelled a second time elsewhere.

/// API group of our kinds.
pub const GROUP: &str = "plimsoll.dev";
/// Version of our kinds.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every object that an Application applies.
pub const FIELD_MANAGER: &str = "plimsoll";
/// Field manager of what the command line writes.
pub const FIELD_MANAGER_CLI: &str = "plimsoll-cli";
/// Finalizer of an Application under `deletion: Cascade`.
pub const FINALIZER: &str = "plimsoll.dev/cascade";
/// Mark on every object that we apply: name of its Application.
pub const LABEL_APPLICATION: &str = "plimsoll.dev/application";
/// Mark on every object that we apply: namespace of its Application.
pub const LABEL_APPLICATION_NAMESPACE: &str = "plimsoll.dev/application-namespace";
/// Label of stored state: UID of the Application.
pub const LABEL_UID: &str = "plimsoll.dev/uid";
/// Label of stored state: number of the attempt.
pub const LABEL_ATTEMPT: &str = "plimsoll.dev/attempt";
/// Label of stored state: `head` or `chunk`.
pub const LABEL_PART: &str = "plimsoll.dev/part";
/// Type of the Secrets that hold stored state.
pub const STATE_SECRET_TYPE: &str = "plimsoll.dev/state";
/// Annotation of the controller's Lease: which replicas there are, and which slots each holds.
pub const ANNOTATION_SHARES: &str = "plimsoll.dev/shares";
/// Annotation that protects an object from being pruned: any value but `false`.
pub const ANNOTATION_PROTECT: &str = "plimsoll.dev/protect";
/// Argo CD's ordering annotation, honoured as it stands: an integer, 0 by default.
pub const ANNOTATION_SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
/// Argo CD's hook annotation.
pub const ANNOTATION_HOOK: &str = "argocd.argoproj.io/hook";
/// Helm's hook annotation, as a rendered chart carries it.
pub const ANNOTATION_HELM_HOOK: &str = "helm.sh/hook";
/// When Argo CD deletes a hook.
pub const ANNOTATION_HOOK_DELETE: &str = "argocd.argoproj.io/hook-delete-policy";
/// When Helm deletes a hook.
pub const ANNOTATION_HELM_HOOK_DELETE: &str = "helm.sh/hook-delete-policy";
/// cli-utils' dependency annotation, honoured as it stands.
pub const ANNOTATION_DEPENDS_ON: &str = "config.kubernetes.io/depends-on";
/// Namespaces in which no Application is taken up, beside the controller's own.
pub const RESERVED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
