//! Versions of APIs that Kubernetes removes.
//!
//! Enters: `apiVersion` and kind of the objects of a set.
//! Leaves: findings of `deprecatedApi`: since when it is gone, and what takes its place.
//! Never: a version of somebody's own kinds: for those the API server warns.

use super::finding::Finding;
use crate::{api::PreflightRule, model::Object};

/// Kinds of one version: the version, its kinds (none for all), the release that removes it, what takes its place.
/// Source: the deprecated API migration guide of Kubernetes.
const REMOVED: &[(&str, &[&str], &str, &str)] = &[
    (
        "extensions/v1beta1",
        &["Ingress"],
        "1.22",
        "networking.k8s.io/v1",
    ),
    (
        "extensions/v1beta1",
        &["NetworkPolicy"],
        "1.16",
        "networking.k8s.io/v1",
    ),
    (
        "extensions/v1beta1",
        &["PodSecurityPolicy"],
        "1.16",
        "pod security admission",
    ),
    ("extensions/v1beta1", &[], "1.16", "apps/v1"),
    ("apps/v1beta1", &[], "1.16", "apps/v1"),
    ("apps/v1beta2", &[], "1.16", "apps/v1"),
    (
        "admissionregistration.k8s.io/v1beta1",
        &[
            "MutatingWebhookConfiguration",
            "ValidatingWebhookConfiguration",
        ],
        "1.22",
        "admissionregistration.k8s.io/v1",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        &[
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ],
        "1.34",
        "admissionregistration.k8s.io/v1",
    ),
    (
        "apiextensions.k8s.io/v1beta1",
        &[],
        "1.22",
        "apiextensions.k8s.io/v1",
    ),
    (
        "apiregistration.k8s.io/v1beta1",
        &[],
        "1.22",
        "apiregistration.k8s.io/v1",
    ),
    ("autoscaling/v2beta1", &[], "1.25", "autoscaling/v2"),
    ("autoscaling/v2beta2", &[], "1.26", "autoscaling/v2"),
    ("batch/v1beta1", &["CronJob"], "1.25", "batch/v1"),
    (
        "certificates.k8s.io/v1beta1",
        &["CertificateSigningRequest"],
        "1.22",
        "certificates.k8s.io/v1",
    ),
    (
        "coordination.k8s.io/v1beta1",
        &["Lease"],
        "1.22",
        "coordination.k8s.io/v1",
    ),
    (
        "discovery.k8s.io/v1beta1",
        &[],
        "1.25",
        "discovery.k8s.io/v1",
    ),
    ("events.k8s.io/v1beta1", &[], "1.25", "events.k8s.io/v1"),
    (
        "flowcontrol.apiserver.k8s.io/v1beta1",
        &[],
        "1.26",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta2",
        &[],
        "1.29",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1beta3",
        &[],
        "1.32",
        "flowcontrol.apiserver.k8s.io/v1",
    ),
    (
        "networking.k8s.io/v1beta1",
        &["Ingress", "IngressClass"],
        "1.22",
        "networking.k8s.io/v1",
    ),
    ("node.k8s.io/v1beta1", &[], "1.25", "node.k8s.io/v1"),
    (
        "policy/v1beta1",
        &["PodDisruptionBudget"],
        "1.25",
        "policy/v1",
    ),
    (
        "policy/v1beta1",
        &["PodSecurityPolicy"],
        "1.25",
        "pod security admission",
    ),
    (
        "rbac.authorization.k8s.io/v1beta1",
        &[],
        "1.22",
        "rbac.authorization.k8s.io/v1",
    ),
    (
        "scheduling.k8s.io/v1beta1",
        &[],
        "1.22",
        "scheduling.k8s.io/v1",
    ),
    (
        "storage.k8s.io/v1beta1",
        &["CSIStorageCapacity"],
        "1.27",
        "storage.k8s.io/v1",
    ),
    (
        "storage.k8s.io/v1beta1",
        &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
        "1.22",
        "storage.k8s.io/v1",
    ),
];

/// Finds objects in versions that Kubernetes removes.
pub(super) fn deprecated(objects: &[Object]) -> Vec<Finding> {
    objects
        .iter()
        .filter_map(|object| {
            let kind = object.id().kind.as_str();
            let (version, _, removed, instead) =
                REMOVED.iter().find(|(version, kinds, _, _)| {
                    *version == object.api_version() && (kinds.is_empty() || kinds.contains(&kind))
                })?;
            Some(Finding::of(
                PreflightRule::DeprecatedApi,
                object,
                format!("{kind} of {version} is not served since Kubernetes {removed}"),
                format!("write it for {instead}"),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::check::tests::object;

    #[test]
    fn the_release_and_what_comes_instead_are_named() {
        let of = |version: &str, kind: &str| {
            let object =
                object(json!({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}));
            deprecated(&[object]).first().map(ToString::to_string)
        };
        assert_eq!(
            of("batch/v1beta1", "CronJob").unwrap(),
            "deprecatedApi: CronJob/a (deploy/all.yaml:7): CronJob of batch/v1beta1 is not served since Kubernetes 1.25; write it for batch/v1"
        );
        assert!(
            of("extensions/v1beta1", "Ingress")
                .unwrap()
                .contains("1.22")
        );
        assert!(
            of("extensions/v1beta1", "Deployment")
                .unwrap()
                .contains("apps/v1")
        );
        assert_eq!(of("batch/v1", "CronJob"), None);
        assert_eq!(of("storage.k8s.io/v1beta1", "VolumeAttributesClass"), None);
        assert_eq!(of("example.org/v1beta1", "Thing"), None);
    }
}
