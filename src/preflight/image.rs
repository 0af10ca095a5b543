//! Images that can change under their name.
//!
//! Enters: containers of pod templates.
//! Leaves: findings of `mutableTag`.
//! Never: a question to a registry.

use super::{
    finding::Finding,
    workload::{text, workloads},
};
use crate::{api::PreflightRule, model::Object};

/// How an image is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name<'a> {
    /// By a digest: it is what it is.
    Digest,
    /// By a tag.
    Tag(&'a str),
    /// By neither: the registry takes `latest`.
    Bare,
}

fn name(image: &str) -> Name<'_> {
    if image.contains('@') {
        return Name::Digest;
    }
    // A colon before the last slash belongs to a port of the registry.
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) => Name::Tag(tag),
        None => Name::Bare,
    }
}

/// Finds images named by `latest`, or by no tag and no digest.
pub(super) fn mutable(objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in workloads(objects) {
        for container in workload.containers() {
            let Some(image) = text(container, "/image").filter(|image| !image.is_empty()) else {
                continue;
            };
            let what = match name(image) {
                Name::Tag("latest") => "is tagged latest",
                Name::Bare => "has neither tag nor digest, which means latest",
                Name::Digest | Name::Tag(_) => continue,
            };
            found.push(Finding::of(
                PreflightRule::MutableTag,
                workload.object,
                format!(
                    "image {image} of container {} {what}: a return to this set may not bring back what ran",
                    text(container, "/name").unwrap_or_default()
                ),
                "name a version or a digest",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::preflight::check::tests::object;

    #[test]
    fn only_latest_and_none_are_mutable() {
        let digest = format!("web@sha256:{}", "a".repeat(64));
        for (image, mutable) in [
            ("web", true),
            ("web:latest", true),
            ("registry:5000/team/web", true),
            ("registry:5000/team/web:1.2", false),
            ("web:1", false),
            (digest.as_str(), false),
            ("web:latest@sha256:00", false),
        ] {
            let found = super::mutable(&[object(json!({
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}},
            }))]);
            assert_eq!(!found.is_empty(), mutable, "{image}");
        }
    }

    #[test]
    fn the_container_is_named_with_file_and_line() {
        let found = mutable(&[object(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "shop"},
            "spec": {"initContainers": [{"name": "init", "image": "tool"}], "containers": [{"name": "web", "image": "web:1"}]},
        }))]);
        assert_eq!(
            found[0].to_string(),
            "mutableTag: Pod/shop/one (deploy/all.yaml:7): image tool of container init has neither tag nor digest, which means latest: a return to this set may not bring back what ran; name a version or a digest"
        );
    }
}
