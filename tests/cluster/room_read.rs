//! What the API server really answers to dry-runs and reads, and what the room makes of it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

use std::time::Duration;

use plimsoll::{
    cluster::{Answer, Error, Identity, ListQuery, MissingObject, Reader},
    model::{AccountName, Conflict, GroupKind, Object, ObjectId, RefusalReason},
};
use serde_json::{Value, json};

use crate::support::{Admin, audit_mark, audit_since, connect, connect_with, eventually};

const SOON: Duration = Duration::from_secs(20);

fn object(value: Value) -> Object {
    Object::new(value, None).unwrap()
}

fn config_map(namespace: &str, name: &str, data: &Value) -> Object {
    object(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }))
}

fn deployment(namespace: &str, selector: &str, replicas: u32) -> Object {
    object(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": selector}},
            "template": {
                "metadata": {"labels": {"app": selector}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]},
            },
        },
    }))
}

/// A namespace, an account that may edit it, and a reader as that account.
async fn tenant(prefix: &str) -> (Admin, String, AccountName, Reader) {
    let admin = Admin::new().await;
    let namespace = admin.namespace(prefix).await;
    let account = admin.account(&namespace, "deployer", "admin").await;
    let reader = connect().await.reader(Identity::Account(account.clone()));
    (admin, namespace, account, reader)
}

/// Dry-runs an object and returns why it was refused.
async fn refused(reader: &Reader, object: &Object) -> (RefusalReason, String) {
    match reader.dry_run(object, false).await.unwrap() {
        Answer::Refused(refusal) => {
            assert_eq!(&refusal.id, object.id());
            (refusal.reason, refusal.message)
        }
        other => panic!("{other:?}"),
    }
}

async fn missing(reader: &Reader, object: &Object) -> (MissingObject, RefusalReason) {
    match reader.dry_run(object, false).await.unwrap() {
        Answer::Missing(missing) => (missing.object, missing.refusal.reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_dry_run_tells_a_new_object_from_a_changed_one() {
    let (admin, namespace, _, reader) = tenant("dry-run").await;
    let new = config_map(&namespace, "settings", &json!({"a": "1"}));
    let Answer::Accepted(run) = reader.dry_run(&new, false).await.unwrap() else {
        panic!("not accepted");
    };
    assert!(run.created);
    assert_eq!(run.after.value().unwrap()["data"]["a"], "1");
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/settings");
    assert_eq!(admin.get(&path).await, None, "a dry-run wrote");

    admin.apply(&path, new.value()).await;
    let changed = config_map(&namespace, "settings", &json!({"b": "2"}));
    let Answer::Accepted(run) = reader.dry_run(&changed, false).await.unwrap() else {
        panic!("not accepted");
    };
    assert!(!run.created);
}

#[tokio::test]
async fn a_conflict_names_who_owns_which_field() {
    let (admin, namespace, _, reader) = tenant("conflict").await;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web");
    admin
        .create(
            &format!("/apis/apps/v1/namespaces/{namespace}/deployments?fieldManager=kubectl-edit"),
            deployment(&namespace, "web", 3).value(),
        )
        .await;
    let ours = deployment(&namespace, "web", 1);
    let Answer::Conflict(conflicts) = reader.dry_run(&ours, false).await.unwrap() else {
        panic!("no conflict");
    };
    assert_eq!(
        conflicts,
        [Conflict {
            manager: "kubectl-edit".to_owned(),
            path: ".spec.replicas".to_owned(),
        }]
    );
    let Answer::Accepted(run) = reader.dry_run(&ours, true).await.unwrap() else {
        panic!("force is not taken");
    };
    assert_eq!(run.after.value().unwrap()["spec"]["replicas"], 1);
    let live = admin.get(&path).await.unwrap();
    assert_eq!(live["spec"]["replicas"], 3, "a forced dry-run wrote");
}

#[tokio::test]
async fn what_does_not_fit_its_schema_is_invalid() {
    let (_, namespace, _, reader) = tenant("schema").await;
    let mut unknown = deployment(&namespace, "web", 1).into_value();
    unknown["spec"]["replics"] = json!(1);
    let (reason, message) = refused(&reader, &object(unknown)).await;
    assert_eq!(reason, RefusalReason::Invalid);
    assert!(message.contains(".spec.replics"), "{message}");

    let mut wrong_type = deployment(&namespace, "web", 1).into_value();
    wrong_type["spec"]["replicas"] = json!("one");
    assert_eq!(
        refused(&reader, &object(wrong_type)).await.0,
        RefusalReason::Invalid
    );

    let mut wrong_value = deployment(&namespace, "web", 1).into_value();
    wrong_value["spec"]["replicas"] = json!(-1);
    let (reason, message) = refused(&reader, &object(wrong_value)).await;
    assert_eq!(reason, RefusalReason::Invalid);
    assert!(message.starts_with("spec.replicas: "), "{message}");

    let large = config_map(&namespace, "large", &json!({"a": "x".repeat(1_100_000)}));
    assert_eq!(refused(&reader, &large).await.0, RefusalReason::TooLarge);
    let larger = config_map(&namespace, "large", &json!({"a": "x".repeat(3_500_000)}));
    assert_eq!(refused(&reader, &larger).await.0, RefusalReason::TooLarge);
}

#[tokio::test]
async fn a_value_of_a_secret_is_in_no_refusal() {
    let (_, namespace, _, reader) = tenant("secret").await;
    for (data, expected) in [
        (json!({"k": ["canary"]}), RefusalReason::Invalid),
        (json!({"k": "!!canary"}), RefusalReason::Invalid),
        (json!({"k k": "Y2FuYXJ5"}), RefusalReason::Invalid),
    ] {
        let secret = object(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": namespace},
            "data": data,
        }));
        let (reason, message) = refused(&reader, &secret).await;
        assert_eq!(reason, expected);
        assert!(!message.contains("canary"), "{message}");
    }
}

#[tokio::test]
async fn immutable_fields_are_told_from_wrong_ones() {
    let (admin, namespace, _, reader) = tenant("immutable").await;
    admin
        .apply(
            &format!("/apis/apps/v1/namespaces/{namespace}/deployments/web"),
            deployment(&namespace, "web", 0).value(),
        )
        .await;
    let mut other = deployment(&namespace, "other", 0);
    let Answer::Refused(refusal) = reader.dry_run(&other, true).await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(refusal.reason, RefusalReason::Immutable);
    assert!(
        refusal.message.contains("spec.selector"),
        "{}",
        refusal.message
    );
    // Where something else is wrong as well, creating it anew would fail too.
    let mut value = other.into_value();
    value["spec"]["replicas"] = json!(-1);
    other = object(value);
    let Answer::Refused(refusal) = reader.dry_run(&other, true).await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(refusal.reason, RefusalReason::Invalid);

    let job = |image: &str| {
        object(json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "migrate", "namespace": namespace},
            "spec": {"suspend": true, "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "migrate", "image": image}],
            }}},
        }))
    };
    admin
        .apply(
            &format!("/apis/batch/v1/namespaces/{namespace}/jobs/migrate"),
            job("a:1").value(),
        )
        .await;
    let Answer::Refused(refusal) = reader.dry_run(&job("a:2"), true).await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(
        refusal.reason,
        RefusalReason::Immutable,
        "{}",
        refusal.message
    );
    assert!(refusal.message.len() <= 1024);
}

#[tokio::test]
async fn a_quota_is_told_from_a_missing_right() {
    let (admin, namespace, account, reader) = tenant("quota").await;
    let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas");
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"count/secrets": "0"}}});
    admin.create(&quotas, &quota).await;
    let secret = object(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace}}),
    );
    eventually(SOON, "the quota is counted", || async {
        match reader.dry_run(&secret, false).await.unwrap() {
            Answer::Refused(refusal) => {
                assert_eq!(refusal.reason, RefusalReason::QuotaExceeded, "{refusal}");
                Some(())
            }
            _ => None,
        }
    })
    .await;

    let foreign = config_map("default", "a", &json!({}));
    let (reason, message) = refused(&reader, &foreign).await;
    assert_eq!(reason, RefusalReason::Forbidden);
    assert!(message.contains(&account.user()), "{message}");
}

#[tokio::test]
async fn a_policy_says_no() {
    let (admin, namespace, _, reader) = tenant("policy").await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-bad-names"},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]},
            "validations": [{"expression": "!object.metadata.name.startsWith('bad-')", "message": "bad names are bad"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-bad-names"},
        "spec": {
            "policyName": "no-bad-names",
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    });
    admin
        .apply(
            &format!("{group}/validatingadmissionpolicies/no-bad-names"),
            &policy,
        )
        .await;
    admin
        .apply(
            &format!("{group}/validatingadmissionpolicybindings/no-bad-names"),
            &binding,
        )
        .await;
    let bad = config_map(&namespace, "bad-one", &json!({}));
    let refusal = eventually(SOON, "the policy is in force", || async {
        match reader.dry_run(&bad, false).await.unwrap() {
            Answer::Refused(refusal) => Some(refusal),
            _ => None,
        }
    })
    .await;
    assert_eq!(refusal.reason, RefusalReason::Denied);
    assert!(
        refusal.message.contains("bad names are bad"),
        "{}",
        refusal.message
    );
}

#[tokio::test]
async fn a_webhook_that_is_down_is_the_environments_fault() {
    let (admin, namespace, _, reader) = tenant("webhook").await;
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [{
            "name": "down.example.org",
            "clientConfig": {"url": "https://127.0.0.1:1/validate"},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 2,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }],
    });
    let path = format!(
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{namespace}"
    );
    admin.apply(&path, &webhook).await;
    let map = config_map(&namespace, "a", &json!({}));
    let refusal = eventually(SOON, "the webhook is called", || async {
        match reader.dry_run(&map, false).await.unwrap() {
            Answer::Refused(refusal) => Some(refusal),
            _ => None,
        }
    })
    .await;
    admin.delete(&path).await;
    assert_eq!(refusal.reason, RefusalReason::WebhookDown);
    assert!(refusal.reason.is_environment());
}

#[tokio::test]
async fn what_an_object_names_and_is_missing_is_named() {
    let (_, namespace, _, reader) = tenant("missing").await;
    let cluster = connect().await;
    let administrator = cluster.reader(Identity::Controller);

    let nowhere = config_map("nowhere", "a", &json!({}));
    assert_eq!(
        missing(&administrator, &nowhere).await,
        (
            MissingObject::Namespace("nowhere".to_owned()),
            RefusalReason::NamespaceMissing
        )
    );

    let unknown = object(
        json!({"apiVersion": "nobody.example.org/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": namespace}}),
    );
    assert_eq!(
        missing(&reader, &unknown).await,
        (
            MissingObject::Kind(GroupKind::new("nobody.example.org", "Thing")),
            RefusalReason::KindUnknown
        )
    );

    let binding = object(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "none"},
    }));
    let (found, _) = missing(&reader, &binding).await;
    assert!(
        found.is(&ObjectId::new(
            "rbac.authorization.k8s.io",
            "Role",
            &namespace,
            "none"
        )),
        "{found:?}"
    );

    let pod = object(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"serviceAccountName": "none", "containers": [{"name": "a", "image": "a"}]},
    }));
    let (found, _) = missing(&reader, &pod).await;
    assert!(
        found.is(&ObjectId::new("", "ServiceAccount", &namespace, "none")),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_object_without_a_namespace_is_refused_and_not_sent() {
    let (_, _, _, reader) = tenant("nameless").await;
    for value in [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a/../../secrets/b", "namespace": "x"}}),
    ] {
        assert_eq!(
            refused(&reader, &object(value)).await.0,
            RefusalReason::Invalid
        );
    }
}

#[tokio::test]
async fn a_namespace_on_its_way_out_takes_nothing_new() {
    let (admin, namespace, _, _) = tenant("terminating").await;
    let reader = connect().await.reader(Identity::Controller);
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": namespace, "finalizers": ["example.org/held"]}});
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/held");
    admin.apply(&path, &held).await;
    admin
        .delete(&format!("/api/v1/namespaces/{namespace}"))
        .await;
    let (reason, _) = refused(&reader, &config_map(&namespace, "new", &json!({}))).await;
    assert_eq!(reason, RefusalReason::NamespaceTerminating);
    admin
        .patch(&path, "test", &json!({"metadata": {"finalizers": null}}))
        .await;
}

#[tokio::test]
async fn a_kind_is_found_as_soon_as_it_is_served() {
    let (admin, namespace, _, _) = tenant("discovery").await;
    let reader = connect().await.reader(Identity::Controller);
    let thing = object(
        json!({"apiVersion": "discovery.example.org/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": namespace}}),
    );
    assert!(matches!(
        reader.dry_run(&thing, false).await.unwrap(),
        Answer::Missing(_)
    ));
    admin
        .install_crd(&json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.discovery.example.org"},
            "spec": {
                "group": "discovery.example.org",
                "scope": "Namespaced",
                "names": {"kind": "Thing", "plural": "things"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        }))
        .await;
    eventually(SOON, "the kind is found", || async {
        matches!(
            reader.dry_run(&thing, false).await.unwrap(),
            Answer::Accepted(_)
        )
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_api_that_is_down_makes_its_kinds_neither_known_nor_unknown() {
    let (admin, namespace, _, _) = tenant("aggregated").await;
    let cluster = connect().await;
    let reader = cluster.reader(Identity::Controller);
    let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.down.example.org";
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1.down.example.org"},
        "spec": {"group": "down.example.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true, "service": {"name": "none", "namespace": namespace}},
    });
    admin.apply(path, &service).await;
    let id = ObjectId::new("down.example.org", "Thing", &namespace, "a");
    let error = eventually(SOON, "the group is served", || async {
        match reader.get("down.example.org/v1", &id).await {
            Err(Error::KindUnknown { .. }) => None,
            other => Some(other),
        }
    })
    .await
    .unwrap_err();
    admin.delete(path).await;
    assert!(
        matches!(error, Error::DiscoveryIncomplete { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn absent_is_told_from_not_allowed_and_from_not_known() {
    let (_, namespace, account, reader) = tenant("absent").await;
    let get = async |api_version: &str, id: ObjectId| reader.get(api_version, &id).await;
    let absent = get("v1", ObjectId::new("", "ConfigMap", &namespace, "none")).await;
    assert_eq!(absent.unwrap(), None);
    let foreign = get("v1", ObjectId::new("", "ConfigMap", "kube-system", "none")).await;
    match foreign.unwrap_err() {
        Error::Forbidden { user, .. } => assert_eq!(user, account.user()),
        other => panic!("{other}"),
    }
    let unknown = get("v1", ObjectId::new("", "Nothing", &namespace, "none")).await;
    assert!(matches!(unknown.unwrap_err(), Error::KindUnknown { .. }));
}

#[tokio::test]
async fn a_list_is_whole_over_many_pages() {
    let (admin, namespace, _, reader) = tenant("list").await;
    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    for index in 0..1_100 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c-{index}"), "labels": {"n": "y"}}, "data": {"a": "b"}});
        admin.create(&collection, &map).await;
    }
    let query = ListQuery {
        namespace: Some(namespace),
        labels: "n=y".to_owned(),
        ..ListQuery::default()
    };
    let all = reader.list("v1", "ConfigMap", &query).await.unwrap();
    assert_eq!(all.len(), 1_100);
    assert!(all.iter().all(|map| map["kind"] == "ConfigMap"
        && map["apiVersion"] == "v1"
        && map["data"]["a"] == "b"));
    let query = ListQuery {
        metadata_only: true,
        ..query
    };
    let all = reader.list("v1", "ConfigMap", &query).await.unwrap();
    assert_eq!(all.len(), 1_100);
    assert!(
        all.iter()
            .all(|map| map.get("data").is_none() && map["kind"] == "ConfigMap")
    );
}

#[tokio::test]
async fn an_account_is_really_acted_as() {
    let (_, namespace, account, reader) = tenant("impersonate").await;
    let mark = audit_mark();
    let map = config_map(&namespace, "a", &json!({}));
    reader.dry_run(&map, false).await.unwrap();
    let entry = eventually(SOON, "the request is in the audit log", || async {
        audit_since(mark)
            .into_iter()
            .find(|entry| entry.namespace == namespace && entry.verb == "patch")
    })
    .await;
    assert_eq!(entry.impersonated, Some(account.user()));
    assert!(!entry.is_write());
    assert_eq!(entry.resource, "configmaps");
}

#[tokio::test]
async fn a_controller_without_the_right_to_impersonate_reads_nothing() {
    let (admin, namespace, account, _) = tenant("identity").await;
    let controller = admin.account(&namespace, "controller", "admin").await;
    let kubeconfig = admin.kubeconfig_of(&controller).await;
    let cluster = connect_with(&kubeconfig).await;
    // Its own rights would allow it: they must not be used.
    let id = ObjectId::new("", "ConfigMap", &namespace, "kube-root-ca.crt");
    let own = cluster.reader(Identity::Controller);
    eventually(SOON, "the account has its rights", || async {
        own.get("v1", &id).await.ok().flatten()
    })
    .await;
    let error = cluster
        .reader(Identity::Account(
            AccountName::new("default", "default").unwrap(),
        ))
        .get("v1", &id)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Impersonation { .. }), "{error}");
    assert_ne!(controller, account);
}

#[tokio::test]
async fn the_server_says_its_version_and_address() {
    let cluster = connect().await;
    cluster.wait_ready(SOON).await.unwrap();
    let version = cluster.server_version().await.unwrap();
    assert!(version.starts_with("v1."), "{version}");
    let addresses = cluster.api_server_addresses().await.unwrap();
    assert!(addresses.iter().all(std::net::IpAddr::is_loopback));
    assert!(!addresses.is_empty());
}
