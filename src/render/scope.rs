//! Which kinds live at cluster scope.
//!
//! Enters: a kind; the CustomResourceDefinitions of a set.
//! Leaves: `Scope`.
//! Never: a question to the cluster: the digest must not depend on one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{GroupKind, Object};

/// Whether objects of a kind have a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They have.
    Namespaced,
    /// They have not.
    Cluster,
}

/// Built-in kinds at cluster scope: the API reference of Kubernetes 1.37, older versions included.
const CLUSTER_KINDS: &[(&str, &[&str])] = &[
    (
        "",
        &["ComponentStatus", "Namespace", "Node", "PersistentVolume"],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest", "ClusterTrustBundle"],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    (
        "networking.k8s.io",
        &["IngressClass", "IPAddress", "ServiceCIDR"],
    ),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &["PodSecurityPolicy"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    (
        "resource.k8s.io",
        &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
    ),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &[
            "CSIDriver",
            "CSINode",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Returns the scope of a built-in kind, None for one that is not built in.
pub fn builtin_scope(kind: &GroupKind) -> Option<Scope> {
    let (_, kinds) = CLUSTER_KINDS
        .iter()
        .find(|(group, _)| *group == kind.group)?;
    kinds
        .contains(&kind.kind.as_str())
        .then_some(Scope::Cluster)
}

/// Returns the scopes of the kinds that CustomResourceDefinitions of the set define.
pub fn defined_scopes(objects: &[Object]) -> BTreeMap<GroupKind, Scope> {
    objects
        .iter()
        .filter(|object| {
            object
                .id()
                .is("apiextensions.k8s.io", "CustomResourceDefinition")
        })
        .filter_map(|definition| {
            let text = |pointer| definition.value().pointer(pointer).and_then(Value::as_str);
            let kind = GroupKind::new(text("/spec/group")?, text("/spec/names/kind")?);
            let scope = match text("/spec/scope")? {
                "Cluster" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            Some((kind, scope))
        })
        .collect()
}
