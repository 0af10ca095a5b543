//! Shared watches on a real API server.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{collections::BTreeSet, time::Duration};

use plimsoll::{
    api::Reason,
    cluster::{ApplicationEvent, Applications, Cluster, Hint, WatchKey, WatchState, Watches},
    model::{ApplicationKey, ObjectId, Seen},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Admin, audit_mark, audit_since, beside, connect, connect_with, eventually};

const SOON: Duration = Duration::from_secs(30);

fn application(namespace: &str, name: &str) -> ApplicationKey {
    ApplicationKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn marks(namespace: &str, name: &str) -> Value {
    json!({"plimsoll.dev/application": name, "plimsoll.dev/application-namespace": namespace})
}

fn config_map(namespace: &str, name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"a": "b"}})
}

fn watches(cluster: &Cluster) -> (Watches, mpsc::Receiver<Hint>) {
    let (send, hints) = mpsc::channel(1_024);
    let watches = Watches::with_linger(cluster, send, Duration::from_millis(300));
    (watches, hints)
}

fn only(key: &WatchKey) -> BTreeSet<WatchKey> {
    BTreeSet::from([key.clone()])
}

/// Takes hints until one is what the test waits for.
async fn hear(hints: &mut mpsc::Receiver<Hint>, what: &str, is_it: impl Fn(&Hint) -> bool) -> Hint {
    let heard = async {
        loop {
            let hint = hints.recv().await.unwrap();
            if is_it(&hint) {
                return hint;
            }
        }
    };
    tokio::time::timeout(SOON, heard).await.expect(what)
}

async fn synced(hints: &mut mpsc::Receiver<Hint>, key: &WatchKey) {
    hear(hints, "the watch is synced", |hint| {
        *hint == Hint::Synced(key.clone())
    })
    .await;
}

fn is_about(hint: &Hint, wanted: &ObjectId) -> bool {
    matches!(hint, Hint::Object { id, .. } if id == wanted)
}

#[tokio::test]
async fn only_marked_objects_are_seen() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("watch-marks").await;
    let (watches, mut hints) = watches(&connect().await);
    let ours = application(&namespace, "shop");
    let key = WatchKey {
        namespace: Some(namespace.clone()),
        ..WatchKey::shared("v1", "ConfigMap")
    };
    let id = |name: &str| ObjectId::new("", "ConfigMap", &namespace, name);
    assert!(matches!(watches.seen(&key, &id("ours")), Seen::Unknown));
    watches.demand(ours.clone(), only(&key));
    synced(&mut hints, &key).await;
    assert!(watches.is_synced(&key));
    assert!(matches!(watches.seen(&key, &id("ours")), Seen::Absent));

    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    admin
        .create(&collection, &config_map(&namespace, "foreign", &json!({})))
        .await;
    admin
        .create(
            &collection,
            &config_map(&namespace, "ours", &marks(&namespace, "shop")),
        )
        .await;
    let hint = hear(&mut hints, "the new object", |hint| {
        matches!(hint, Hint::Object { .. })
    })
    .await;
    assert_eq!(
        hint,
        Hint::Object {
            id: id("ours"),
            application: Some(ours.clone())
        }
    );
    let Some(seen) = watches.seen(&key, &id("ours")).value() else {
        panic!("not seen");
    };
    assert_eq!(seen["data"]["a"], "b");
    assert!(seen["metadata"].get("managedFields").is_none());
    assert!(matches!(watches.seen(&key, &id("foreign")), Seen::Absent));
    // Not covered by this watch at all.
    let elsewhere = ObjectId::new("", "ConfigMap", "default", "ours");
    assert!(matches!(watches.seen(&key, &elsewhere), Seen::Unknown));

    // A person takes our marks away: it looks like a delete, and is none.
    let path = format!("{collection}/ours");
    admin
        .patch(&path, "test", &json!({"metadata": {"labels": null}}))
        .await;
    let hint = hear(&mut hints, "the marks are gone", |hint| {
        is_about(hint, &id("ours"))
    })
    .await;
    assert!(matches!(hint, Hint::Object { application: Some(found), .. } if found == ours));
    assert!(matches!(watches.seen(&key, &id("ours")), Seen::Absent));
}

#[tokio::test]
async fn a_watch_is_shared_and_ends_when_nobody_wants_it() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("watch-shared").await;
    let (watches, mut hints) = watches(&connect().await);
    let key = WatchKey {
        namespace: Some(namespace.clone()),
        ..WatchKey::shared("v1", "ConfigMap")
    };
    let mark = audit_mark();
    let (a, b) = (application(&namespace, "a"), application(&namespace, "b"));
    watches.demand(a.clone(), only(&key));
    watches.demand(b.clone(), only(&key));
    watches.demand(b.clone(), only(&key));
    synced(&mut hints, &key).await;
    assert_eq!(watches.demanding(&key), [a.clone(), b.clone()]);
    let lists = audit_since(mark)
        .iter()
        .filter(|entry| entry.namespace == namespace && entry.verb == "list")
        .count();
    assert_eq!(lists, 1);

    watches.demand(a.clone(), BTreeSet::new());
    watches.demand(b.clone(), BTreeSet::new());
    // Wanted again before it ends: the same one goes on.
    watches.demand(a.clone(), only(&key));
    assert!(watches.is_synced(&key));
    let id = ObjectId::new("", "ConfigMap", &namespace, "late");
    admin
        .create(
            &format!("/api/v1/namespaces/{namespace}/configmaps"),
            &config_map(&namespace, "late", &marks(&namespace, "a")),
        )
        .await;
    hear(&mut hints, "it still tells", |hint| is_about(hint, &id)).await;

    watches.demand(a, BTreeSet::new());
    eventually(SOON, "the watch ends", || async {
        (watches.count() == 0).then_some(())
    })
    .await;
    assert_eq!(watches.state(&key), WatchState::Starting);
    assert!(matches!(watches.seen(&key, &id), Seen::Unknown));
}

#[tokio::test]
async fn what_the_controller_may_not_watch_is_watched_as_the_account() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("watch-account").await;
    let account = admin.account(&namespace, "deployer", "admin").await;
    let controller = admin.account(&namespace, "controller", "view").await;
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "impersonate", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}],
    });
    admin.create(&format!("{rbac}/roles"), &role).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "impersonate", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "impersonate"},
        "subjects": [{"kind": "ServiceAccount", "name": "controller", "namespace": namespace}],
    });
    admin
        .create(&format!("{rbac}/rolebindings"), &binding)
        .await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": marks(&namespace, "shop")}});
    admin
        .create(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret)
        .await;

    let cluster = connect_with(&admin.kubeconfig_of(&controller).await).await;
    let (watches, mut hints) = watches(&cluster);
    let ours = application(&namespace, "shop");
    let shared = WatchKey {
        namespace: Some(namespace.clone()),
        ..WatchKey::shared("v1", "Secret")
    };
    watches.demand(ours.clone(), only(&shared));
    let lost = hear(&mut hints, "it is told that it may not", |hint| {
        matches!(hint, Hint::Lost { .. })
    })
    .await;
    assert!(matches!(lost, Hint::Lost { key, reason: Reason::Forbidden, .. } if key == shared));
    let id = ObjectId::new("", "Secret", &namespace, "s");
    assert!(matches!(watches.seen(&shared, &id), Seen::Unknown));

    let as_account = WatchKey::of_account("v1", "Secret", Some(&namespace), &account);
    watches.demand(ours, only(&as_account));
    synced(&mut hints, &as_account).await;
    assert!(matches!(watches.seen(&as_account, &id), Seen::Present(_)));

    let stranger = plimsoll::model::AccountName::new("default", "default").unwrap();
    let foreign = WatchKey::of_account("v1", "Secret", Some(&namespace), &stranger);
    watches.demand(application(&namespace, "other"), only(&foreign));
    let lost = hear(
        &mut hints,
        "it may not act as a stranger",
        |hint| matches!(hint, Hint::Lost { key, .. } if *key == foreign),
    )
    .await;
    assert!(matches!(
        lost,
        Hint::Lost {
            reason: Reason::NoIdentity,
            ..
        }
    ));
}

#[tokio::test]
async fn a_kind_may_come_and_go() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("watch-kind").await;
    let (watches, mut hints) = watches(&connect().await);
    let key = WatchKey::shared("watch.example.org/v1", "Thing");
    let ours = application(&namespace, "shop");
    watches.demand(ours.clone(), only(&key));
    hear(&mut hints, "the kind is not served", |hint| {
        matches!(hint, Hint::Lost { .. })
    })
    .await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.watch.example.org"},
        "spec": {
            "group": "watch.example.org",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    admin.install_crd(&definition).await;
    synced(&mut hints, &key).await;
    let thing = json!({"apiVersion": "watch.example.org/v1", "kind": "Thing", "metadata": {"name": "a", "labels": marks(&namespace, "shop")}});
    admin
        .create(
            &format!("/apis/watch.example.org/v1/namespaces/{namespace}/things"),
            &thing,
        )
        .await;
    let id = ObjectId::new("watch.example.org", "Thing", &namespace, "a");
    hear(&mut hints, "the new object", |hint| is_about(hint, &id)).await;

    admin
        .delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.watch.example.org")
        .await;
    hear(&mut hints, "the kind is gone", |hint| {
        matches!(hint, Hint::Lost { .. })
    })
    .await;
    assert!(matches!(watches.seen(&key, &id), Seen::Unknown));
}

#[tokio::test]
async fn pods_lead_to_their_application() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("watch-pods").await;
    let (watches, mut hints) = watches(&connect().await);
    let ours = application(&namespace, "shop");
    let keys = BTreeSet::from([
        WatchKey {
            namespace: Some(namespace.clone()),
            ..WatchKey::shared("apps/v1", "Deployment")
        },
        WatchKey::pods(&namespace),
        WatchKey::replica_sets(&namespace),
    ]);
    watches.demand(ours.clone(), keys.clone());
    eventually(SOON, "the watches are synced", || async {
        keys.iter().all(|key| watches.is_synced(key)).then_some(())
    })
    .await;
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": marks(&namespace, "shop")},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1", "env": [{"name": "A", "value": "b"}]}]},
            },
        },
    });
    admin
        .create(
            &format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            &deployment,
        )
        .await;
    let hint = hear(
        &mut hints,
        "a pod",
        |hint| matches!(hint, Hint::Object { id, application: Some(_) } if id.kind == "Pod"),
    )
    .await;
    assert!(matches!(hint, Hint::Object { application: Some(found), .. } if found == ours));
    let uid =
        |object: &Value| BTreeSet::from([object["metadata"]["uid"].as_str().unwrap().to_owned()]);
    let web = ObjectId::new("apps", "Deployment", &namespace, "web");
    let Some(web) = watches.seen(keys.first().unwrap(), &web).value() else {
        panic!("the Deployment is known before its pods are")
    };
    let pods = eventually(SOON, "the pod is ready", || async {
        let (pods, replica_sets) = watches.pods_and_replica_sets(&namespace, &uid(&web))?;
        assert!(replica_sets.len() <= 1);
        let ready = pods.first()?["status"]["conditions"]
            .as_array()?
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        ready.then_some(pods)
    })
    .await;
    assert_eq!(
        pods[0]["spec"]["containers"],
        json!([{"name": "web", "image": "web:1"}])
    );
    let foreign = BTreeSet::from(["another".to_owned()]);
    let (none, no_sets) = watches.pods_and_replica_sets(&namespace, &foreign).unwrap();
    assert!(none.is_empty() && no_sets.is_empty());
}

#[tokio::test]
async fn an_application_that_cannot_be_decoded_is_told_and_stops_nobody() {
    let admin = Admin::new().await;
    admin.install_crds().await;
    let namespace = admin.namespace("watch-applications").await;
    let applications = Applications::new(&connect().await, Some(&namespace));
    let (send, mut events) = mpsc::channel(64);
    let running = {
        let applications = applications.clone();
        beside(async move { applications.run(send).await })
    };
    let mut next = async || {
        tokio::time::timeout(SOON, events.recv())
            .await
            .expect("an event in time")
            .unwrap()
    };
    assert!(matches!(next().await, ApplicationEvent::Synced));

    let collection = format!("/apis/plimsoll.dev/v1alpha1/namespaces/{namespace}/applications");
    let object = |name: &str| json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application", "metadata": {"name": name}, "spec": {"source": {"repo": "https://git.example.org/a"}}});
    admin.create(&collection, &object("bad")).await;
    assert!(
        matches!(next().await, ApplicationEvent::Valid(found) if found.metadata.name.as_deref() == Some("bad"))
    );
    // Fits the schema, and means nothing to us.
    let path = format!("{collection}/bad/status");
    let status = json!({"status": {"observedGeneration": 1, "phase": "Idle", "attempt": 1, "conditions": [], "revision": "no revision"}});
    admin.patch(&path, "test", &status).await;
    match next().await {
        ApplicationEvent::Invalid {
            key,
            error,
            resource_version,
            ..
        } => {
            assert_eq!(key, application(&namespace, "bad"));
            assert!(error.contains("no revision"), "{error}");
            assert!(!resource_version.is_empty());
        }
        other => panic!("{other:?}"),
    }
    admin.create(&collection, &object("good")).await;
    assert!(
        matches!(next().await, ApplicationEvent::Valid(found) if found.metadata.name.as_deref() == Some("good"))
    );
    assert_eq!(applications.list().len(), 1);
    assert!(applications.get(&application(&namespace, "good")).is_some());
    assert_eq!(applications.uids().len(), 2);
    admin.delete(&format!("{collection}/good")).await;
    assert!(
        matches!(next().await, ApplicationEvent::Gone { key, .. } if key == application(&namespace, "good"))
    );
    running.abort();
}
