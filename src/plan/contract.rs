//! Contract: fields that another controller owns because our own set says so.
//!
//! Enters: a conflict of one object, and the whole set.
//! Leaves: whether the field yields by itself (law 6).
//! Never: a field that a person took; the word of a controller that git does not name.

use serde_json::Value;

use super::{field_path, is_manifest_tool};
use crate::model::{Conflict, Object};

/// Annotations by which an object asks an injector for a CA bundle.
const INJECTED: [&str; 4] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
];

/// Says whether another controller owns the field by contract.
///
/// The replicas of what an autoscaler of the same set scales are the autoscaler's: giving git's number back would
/// undo its work again and again. When it leaves git, they are drift like any other field. The CA bundle of an object
/// with an injector's annotation is the injector's.
pub fn by_contract(object: &Object, conflict: &Conflict, set: &[Object]) -> bool {
    if is_manifest_tool(&conflict.manager) {
        return false;
    }
    if conflict.path == ".spec.replicas" {
        return set.iter().any(|scaler| scales(scaler, object));
    }
    let is_bundle = conflict.path.ends_with(".caBundle");
    is_bundle
        && INJECTED.iter().any(|name| {
            let annotations = object.value().pointer("/metadata/annotations");
            annotations.is_some_and(|all| all.get(name).is_some())
        })
        && field_path::has(object.value(), &conflict.path)
}

/// Says whether one object of a set scales another.
fn scales(scaler: &Object, object: &Object) -> bool {
    let (scaler_id, id) = (scaler.id(), object.id());
    let is_scaler = scaler_id.is("autoscaling", "HorizontalPodAutoscaler")
        || scaler_id.is("keda.sh", "ScaledObject");
    if !is_scaler || scaler_id.namespace != id.namespace {
        return false;
    }
    let target = |key: &str| {
        scaler
            .value()
            .pointer("/spec/scaleTargetRef")
            .and_then(|target| target.get(key))
            .and_then(Value::as_str)
    };
    // A ScaledObject may leave the kind out: then it is a Deployment.
    let kind = target("kind").unwrap_or("Deployment");
    let group = match target("apiVersion") {
        Some(version) => version.split_once('/').map_or("", |(group, _)| group),
        None => "apps",
    };
    target("name") == Some(id.name.as_str()) && kind == id.kind && group == id.group
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        Object::new(value, None).unwrap()
    }

    fn conflict(manager: &str, path: &str) -> Conflict {
        Conflict {
            manager: manager.to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn replicas_are_the_autoscalers_while_git_has_one() {
        let workload = |kind: &str, name: &str| {
            object(
                json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": {"replicas": 2}}),
            )
        };
        let web = workload("Deployment", "web");
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let scaler = |namespace: &str| {
            object(json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "web", "namespace": namespace}, "spec": {"scaleTargetRef": target},
            }))
        };
        let taken = conflict("kube-controller-manager", ".spec.replicas");
        assert!(by_contract(&web, &taken, &[scaler("shop"), web.clone()]));
        assert!(!by_contract(&web, &taken, std::slice::from_ref(&web)));
        assert!(!by_contract(&web, &taken, &[scaler("other")]));
        for (kind, name) in [("StatefulSet", "web"), ("Deployment", "api")] {
            assert!(!by_contract(
                &workload(kind, name),
                &taken,
                &[scaler("shop")]
            ));
        }
        for other in [
            conflict("kubectl-edit", ".spec.paused"),
            conflict("kubectl-client-side-apply", ".spec.replicas"),
        ] {
            assert!(!by_contract(&web, &other, &[scaler("shop")]));
        }
        let keda = object(json!({
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": {"scaleTargetRef": {"name": "web"}},
        }));
        assert!(by_contract(&web, &taken, &[keda]));
    }

    #[test]
    fn a_bundle_is_the_injectors_where_the_object_asks_for_one() {
        let hook = |annotations: Value| {
            object(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "guard", "annotations": annotations},
                "webhooks": [{"name": "a.example.org", "clientConfig": {"caBundle": "Cg=="}}],
            }))
        };
        let path = ".webhooks[name=\"a.example.org\"].clientConfig.caBundle";
        let taken = conflict("cainjector", path);
        let asks = hook(json!({"cert-manager.io/inject-ca-from": "shop/ca"}));
        assert!(by_contract(&asks, &taken, &[]));
        assert!(!by_contract(&hook(json!({})), &taken, &[]));
        let other = conflict(
            "cainjector",
            ".webhooks[name=\"a.example.org\"].failurePolicy",
        );
        assert!(!by_contract(&asks, &other, &[]));
    }
}
