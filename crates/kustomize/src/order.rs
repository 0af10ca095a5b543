//! The order of objects in the output.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::identity::Gvk;
use crate::kustomization::SortOptions;
use crate::object::Object;
use crate::objects::Objects;

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = [
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Ranks of kinds: negative for those that come first, positive for those that come last.
fn ranks<'a>(first: &[&'a str], last: &[&'a str]) -> HashMap<&'a str, i64> {
    let mut ranks = HashMap::new();
    for (rank, kind) in (-i64::try_from(first.len()).unwrap_or(i64::MAX)..).zip(first) {
        ranks.insert(*kind, rank);
    }
    for (rank, kind) in (1..).zip(last) {
        ranks.insert(*kind, rank);
    }
    ranks
}

/// By what the field specs of a list are sorted.
pub(crate) fn kind_key(gvk: &Gvk) -> (i64, String) {
    let first = FIRST.iter().position(|kind| *kind == gvk.kind);
    let last = LAST.iter().position(|kind| *kind == gvk.kind);
    let rank = match (first, last) {
        (Some(at), _) => i64::try_from(at).unwrap_or(0) - 22,
        (None, Some(at)) => i64::try_from(at).unwrap_or(0) + 1,
        (None, None) => 0,
    };
    (rank, gvk.sort_text())
}

/// Sorts as `sortOptions` say.
///
/// # Errors
/// When the options contradict themselves, or two objects have one identity.
pub(crate) fn sort(objects: &mut Objects, options: &SortOptions) -> Result<(), Error> {
    let failed =
        |message: &str| Err(Error::new(ErrorKind::Kustomization, message).field("sortOptions"));
    match (options.order.as_str(), &options.legacy) {
        ("fifo", None) => return Ok(()),
        ("fifo", Some(_)) => return failed("sort: legacySortOptions need the order legacy"),
        ("legacy", None) => sort_by(objects, &FIRST, &LAST),
        ("legacy", Some((first, last))) => {
            let first: Vec<&str> = first.iter().map(String::as_str).collect();
            let last: Vec<&str> = last.iter().map(String::as_str).collect();
            sort_by(objects, &first, &last);
        }
        _ => return failed("sort: the order must be fifo or legacy"),
    }
    objects.check_unique()
}

/// The order that upstream applies when nothing else is said.
pub(crate) fn legacy() -> SortOptions {
    SortOptions {
        order: "legacy".to_owned(),
        legacy: None,
    }
}

fn sort_by(objects: &mut Objects, first: &[&str], last: &[&str]) {
    let ranks = ranks(first, last);
    objects
        .all_mut()
        .sort_by_cached_key(|object| key(object, &ranks));
    objects.identities_changed();
}

/// Where an object goes. Namespaces without a group come before those of other groups, everything else after.
fn key(object: &Object, ranks: &HashMap<&str, i64>) -> (i64, u8, String, Vec<u8>, String) {
    let id = &object.id;
    let rank = ranks.get(id.gvk.kind.as_ref()).copied().unwrap_or(0);
    let foreign = u8::from(id.gvk.kind == "Namespace" && !id.gvk.group.is_empty());
    let or = |text: &str, other: &str| {
        if text.is_empty() {
            other.to_owned()
        } else {
            text.to_owned()
        }
    };
    let identity = format!(
        "{}|{}|{}",
        id.gvk,
        or(&id.namespace, "~X"),
        or(&id.name, "~N")
    );
    let text = id.gvk.sort_text();
    if id.gvk.kind == "Namespace" && id.gvk.group.is_empty() {
        // Among each other they come in the opposite order of their versions.
        let opposite = text.bytes().map(|byte| !byte).collect();
        return (
            rank,
            foreign,
            "~G_v1_Namespace".to_owned(),
            opposite,
            identity,
        );
    }
    (rank, foreign, text, Vec::new(), identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Schema;
    use crate::origin::Origin;
    use serde_json::json;

    fn check(order: &SortOptions, expected: &[&str]) {
        let schema = Schema::built_in();
        let mut objects = Objects::default();
        for (api_version, kind, name) in [
            ("example.com/v1", "Thing", "t"),
            ("v1", "Service", "b"),
            ("v1", "Service", "a"),
            (
                "admissionregistration.k8s.io/v1",
                "ValidatingWebhookConfiguration",
                "w",
            ),
            ("v1", "Namespace", "n"),
            ("v1", "Pod", "p"),
        ] {
            let value =
                json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
            objects
                .append(Object::new(value, Origin::default(), &schema))
                .unwrap();
        }
        sort(&mut objects, order).unwrap();
        let names: Vec<&str> = objects
            .iter()
            .map(|object| object.id.name.as_str())
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn orders() {
        check(&legacy(), &["n", "a", "b", "t", "p", "w"]);
        check(
            &SortOptions {
                order: "fifo".to_owned(),
                legacy: None,
            },
            &["t", "b", "a", "w", "n", "p"],
        );
        let own = Some((vec!["Pod".to_owned()], vec!["Service".to_owned()]));
        check(
            &SortOptions {
                order: "legacy".to_owned(),
                legacy: own,
            },
            &["p", "w", "t", "n", "a", "b"],
        );
    }
}
