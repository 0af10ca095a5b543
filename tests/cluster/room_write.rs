//! Writes, deletes and our own books on a real API server.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

use std::time::Duration;

use plimsoll::{
    api::{Application, Phase, SyncRecord},
    cluster::{
        Answer, Cluster, Deletion, Error, Event, EventType, Lease, LeaseSettings, RecordWrite,
        StatusWrite, Writer, Written,
    },
    model::{AccountName, ApplicationKey, Doomed, Object, ObjectId},
};
use serde_json::{Value, json};

use crate::support::{Admin, audit_mark, audit_since, clock, connect, eventually, open_fence};

const SOON: Duration = Duration::from_secs(20);

struct Tenant {
    admin: Admin,
    cluster: Cluster,
    namespace: String,
    account: AccountName,
    writer: Writer,
}

async fn tenant(prefix: &str) -> Tenant {
    let admin = Admin::new().await;
    let namespace = admin.namespace(prefix).await;
    let account = admin.account(&namespace, "deployer", "admin").await;
    let cluster = connect().await;
    let writer = cluster.writer(account.clone(), open_fence());
    Tenant {
        admin,
        cluster,
        namespace,
        account,
        writer,
    }
}

impl Tenant {
    fn config_map(&self, value: &str) -> Object {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": self.namespace},
            "data": {"key": value},
        });
        Object::new(object, None).unwrap()
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps/settings", self.namespace)
    }

    fn doomed(&self, uid: &str) -> Doomed {
        Doomed {
            id: ObjectId::new("", "ConfigMap", &self.namespace, "settings"),
            api_version: "v1".to_owned(),
            uid: uid.to_owned(),
        }
    }

    async fn application(&self, name: &str) -> Application {
        self.admin.install_crds().await;
        let object = json!({
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"source": {"repo": "https://git.example.org/shop"}, "target": {"serviceAccount": "deployer"}},
        });
        let created = self
            .admin
            .create(
                &format!(
                    "/apis/plimsoll.dev/v1alpha1/namespaces/{}/applications",
                    self.namespace
                ),
                &object,
            )
            .await;
        serde_json::from_value(created).unwrap()
    }
}

fn written(answer: Answer<Written>) -> Written {
    match answer {
        Answer::Accepted(written) => written,
        other => panic!("{other:?}"),
    }
}

fn uid_of(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_apply_is_ours_and_says_what_it_did() {
    let tenant = tenant("apply").await;
    let mark = audit_mark();
    let first = written(
        tenant
            .writer
            .apply(&tenant.config_map("1"), false)
            .await
            .unwrap(),
    );
    assert!(first.created);
    let second = written(
        tenant
            .writer
            .apply(&tenant.config_map("2"), false)
            .await
            .unwrap(),
    );
    assert!(!second.created);
    assert_eq!(second.live["data"]["key"], "2");
    let managers = second.live["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(managers.len(), 1);
    assert_eq!(managers[0]["manager"], "plimsoll");
    assert_eq!(managers[0]["operation"], "Apply");

    let entries = eventually(SOON, "both writes are in the audit log", || async {
        let entries: Vec<_> = audit_since(mark)
            .into_iter()
            .filter(|entry| {
                // The cluster's own controllers write into a new namespace too.
                entry.namespace == tenant.namespace && entry.name == "settings" && entry.is_write()
            })
            .collect();
        (entries.len() == 2).then_some(entries)
    })
    .await;
    for entry in entries {
        assert_eq!(entry.impersonated, Some(tenant.account.user()), "{entry}");
        assert!(entry.uri.contains("timeout="), "{entry}");
    }
}

#[tokio::test]
async fn force_takes_a_field_only_when_asked() {
    let tenant = tenant("force").await;
    let applied = tenant.writer.apply(&tenant.config_map("1"), false).await;
    assert!(written(applied.unwrap()).created);
    tenant
        .admin
        .patch(
            &tenant.path(),
            "kubectl-edit",
            &json!({"data": {"key": "by hand"}}),
        )
        .await;
    let Answer::Conflict(conflicts) = tenant
        .writer
        .apply(&tenant.config_map("1"), false)
        .await
        .unwrap()
    else {
        panic!("no conflict");
    };
    assert_eq!(conflicts[0].manager, "kubectl-edit");
    assert_eq!(conflicts[0].path, ".data.key");
    let live = written(
        tenant
            .writer
            .apply(&tenant.config_map("1"), true)
            .await
            .unwrap(),
    )
    .live;
    assert_eq!(live["data"]["key"], "1");
}

#[tokio::test]
async fn a_delete_insists_on_the_uid() {
    let tenant = tenant("delete").await;
    let applied = tenant.writer.apply(&tenant.config_map("1"), false).await;
    let uid = uid_of(&written(applied.unwrap()).live);
    let other = tenant.doomed("00000000-0000-0000-0000-000000000000");
    assert_eq!(
        tenant.writer.delete(&other).await.unwrap(),
        Deletion::Replaced { uid: uid.clone() }
    );
    assert!(tenant.admin.get(&tenant.path()).await.is_some());
    let ours = tenant.doomed(&uid);
    assert_eq!(
        tenant.writer.delete(&ours).await.unwrap(),
        Deletion::Deleted
    );
    assert_eq!(tenant.writer.delete(&ours).await.unwrap(), Deletion::Gone);
}

#[tokio::test]
async fn a_delete_that_waits_says_for_what() {
    let tenant = tenant("finalizer").await;
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": tenant.namespace, "finalizers": ["example.org/held"]},
    });
    let live = tenant.admin.apply(&tenant.path(), &object).await;
    let doomed = tenant.doomed(&uid_of(&live));
    for _ in 0..2 {
        assert_eq!(
            tenant.writer.delete(&doomed).await.unwrap(),
            Deletion::Deleting {
                finalizers: vec!["example.org/held".to_owned()]
            }
        );
    }
    tenant
        .admin
        .patch(
            &tenant.path(),
            "test",
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
}

#[tokio::test]
async fn an_account_deletes_nothing_that_it_may_not() {
    let tenant = tenant("rights").await;
    let viewer = tenant
        .admin
        .account(&tenant.namespace, "viewer", "view")
        .await;
    let applied = tenant.writer.apply(&tenant.config_map("1"), false).await;
    let doomed = tenant.doomed(&uid_of(&written(applied.unwrap()).live));
    let writer = tenant.cluster.writer(viewer, open_fence());
    let Deletion::Refused(refusal) = writer.delete(&doomed).await.unwrap() else {
        panic!("not refused");
    };
    assert_eq!(refusal.reason.as_str(), "Forbidden");
    assert!(tenant.admin.get(&tenant.path()).await.is_some());
}

#[tokio::test]
async fn a_create_takes_over_nothing() {
    let tenant = tenant("create").await;
    assert!(written(tenant.writer.create(&tenant.config_map("1")).await.unwrap()).created);
    let error = tenant
        .writer
        .create(&tenant.config_map("2"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    let live = tenant.admin.get(&tenant.path()).await.unwrap();
    assert_eq!(live["data"]["key"], "1");
}

#[tokio::test]
async fn without_the_lease_nothing_is_written() {
    let tenant = tenant("fence").await;
    let settings = LeaseSettings::new(&tenant.namespace, "never-run", "me");
    let fence = Lease::new(&tenant.cluster, settings).fence();
    let mark = audit_mark();
    let writer = tenant.cluster.writer(tenant.account.clone(), fence.clone());
    let error = writer
        .apply(&tenant.config_map("1"), false)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    let error = writer.delete(&tenant.doomed("x")).await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    let keeper = tenant.cluster.keeper(&tenant.namespace, fence);
    let application = tenant.application("a").await;
    let error = keeper.put_status(&application).await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    let wrote: Vec<String> = audit_since(mark)
        .into_iter()
        .filter(|entry| entry.namespace == tenant.namespace && entry.is_write())
        .filter(|entry| entry.name == "settings" || entry.resource == "applications/status")
        .map(|entry| entry.to_string())
        .collect();
    assert_eq!(wrote, Vec::<String>::new());
}

#[tokio::test]
async fn a_status_is_written_only_over_what_it_came_from() {
    let tenant = tenant("status").await;
    let mut application = tenant.application("shop").await;
    let keeper = tenant.cluster.keeper(&tenant.namespace, open_fence());
    let old = application.clone();
    let status = application.status.get_or_insert_default();
    status.phase = Phase::Applying;
    status.attempt = 3;
    let StatusWrite::Written { resource_version } = keeper.put_status(&application).await.unwrap()
    else {
        panic!("not written");
    };
    let key = ApplicationKey {
        namespace: tenant.namespace.clone(),
        name: "shop".to_owned(),
    };
    let found = keeper.get_application(&key).await.unwrap().unwrap();
    assert_eq!(found.metadata.resource_version, Some(resource_version));
    assert_eq!(found.status.unwrap().attempt, 3);
    assert_eq!(found.spec, application.spec);
    assert_eq!(found.metadata.generation, application.metadata.generation);

    let mut stale = old.clone();
    stale.status.get_or_insert_default().attempt = 9;
    assert_eq!(
        keeper.put_status(&stale).await.unwrap(),
        StatusWrite::Conflict
    );
    stale.metadata.resource_version = None;
    assert!(keeper.put_status(&stale).await.is_err());

    let path = format!(
        "/apis/plimsoll.dev/v1alpha1/namespaces/{}/applications/shop",
        tenant.namespace
    );
    tenant.admin.delete(&path).await;
    assert_eq!(keeper.put_status(&old).await.unwrap(), StatusWrite::Gone);
    assert_eq!(keeper.get_application(&key).await.unwrap(), None);
    // Another Application of the same name is not the one that the status speaks of.
    tenant.application("shop").await;
    assert_eq!(
        keeper.put_status(&old).await.unwrap(),
        StatusWrite::Conflict
    );
}

#[tokio::test]
async fn the_finalizer_comes_and_goes_alone() {
    let tenant = tenant("cascade").await;
    let mut application = tenant.application("shop").await;
    let keeper = tenant.cluster.keeper(&tenant.namespace, open_fence());
    for wanted in [true, true, false] {
        let StatusWrite::Written { resource_version } =
            keeper.put_finalizer(&application, wanted).await.unwrap()
        else {
            panic!("not written");
        };
        application.metadata.resource_version = Some(resource_version);
        application.metadata.finalizers = wanted.then(|| vec!["plimsoll.dev/cascade".to_owned()]);
        let path = format!(
            "/apis/plimsoll.dev/v1alpha1/namespaces/{}/applications/shop",
            tenant.namespace
        );
        let live = tenant.admin.get(&path).await.unwrap();
        let finalizers = live["metadata"]["finalizers"]
            .as_array()
            .map_or(0, Vec::len);
        assert_eq!(finalizers, usize::from(wanted));
    }
}

fn record(namespace: &str, sequence: u64, action: &str) -> SyncRecord {
    serde_json::from_value(json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "SyncRecord",
        "metadata": {"name": format!("shop-12345678-{sequence:010}"), "namespace": namespace},
        "spec": {"record": "{}", "application": "shop", "sequence": sequence, "action": action, "result": "Ready", "hash": ""},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_record_is_created_once() {
    let tenant = tenant("records").await;
    tenant.admin.install_crds().await;
    let keeper = tenant.cluster.keeper(&tenant.namespace, open_fence());
    for sequence in [2, 1] {
        let created = keeper
            .create_record(&record(&tenant.namespace, sequence, "Sync"))
            .await
            .unwrap();
        assert_eq!(created, RecordWrite::Created);
    }
    let again = keeper
        .create_record(&record(&tenant.namespace, 2, "Return"))
        .await
        .unwrap();
    let RecordWrite::Exists(existing) = again else {
        panic!("created twice");
    };
    assert_eq!(existing.spec.action, "Sync");
    let key = ApplicationKey {
        namespace: tenant.namespace.clone(),
        name: "shop".to_owned(),
    };
    let sequences: Vec<u64> = keeper
        .list_records(&key)
        .await
        .unwrap()
        .iter()
        .map(|record| record.spec.sequence)
        .collect();
    assert_eq!(sequences, [1, 2]);
    let none = keeper.get_record(&tenant.namespace, "none").await.unwrap();
    assert_eq!(none, None);
}

#[tokio::test]
async fn an_event_is_published_once() {
    let tenant = tenant("events").await;
    let keeper = tenant.cluster.keeper(&tenant.namespace, open_fence());
    let event = Event {
        application: ApplicationKey {
            namespace: tenant.namespace.clone(),
            name: "shop".to_owned(),
        },
        application_uid: "u".to_owned(),
        kind: EventType::Warning,
        reason: "Returned".to_owned(),
        action: "Sync".to_owned(),
        note: "x".repeat(3_000),
        at: clock().wall,
        instance: "me".to_owned(),
    };
    keeper.publish(&event).await.unwrap();
    keeper.publish(&event).await.unwrap();
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        tenant.namespace
    );
    let events = tenant.admin.get(&path).await.unwrap();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["reason"], "Returned");
    assert_eq!(events[0]["type"], "Warning");
}

#[tokio::test]
async fn a_command_changes_the_commands_and_nothing_else() {
    let tenant = tenant("command").await;
    let application = tenant.application("shop").await;
    let key = ApplicationKey {
        namespace: tenant.namespace.clone(),
        name: "shop".to_owned(),
    };
    let commander = tenant.cluster.commander();
    let request = |id: &str| plimsoll::api::SyncCommand {
        by: "devcluster-admin".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
        reason: String::new(),
        id: id.to_owned(),
    };
    let push = async |id: &str| {
        let command = request(id);
        commander
            .command(&key, |_, commands| commands.sync.push(command.clone()))
            .await
    };
    // Two at once: neither is lost.
    let (first, second) = tokio::join!(push("a"), push("b"));
    first.unwrap();
    second.unwrap();
    let keeper = tenant.cluster.keeper(&tenant.namespace, open_fence());
    let found = keeper.get_application(&key).await.unwrap().unwrap();
    let mut ids: Vec<&str> = found
        .spec
        .commands
        .sync
        .iter()
        .map(|sync| sync.id.as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(found.spec.source, application.spec.source);
    assert!(
        found
            .metadata
            .managed_fields
            .unwrap()
            .iter()
            .any(|entry| entry.manager.as_deref() == Some("plimsoll-cli"))
    );
    let nobody = ApplicationKey {
        name: "none".to_owned(),
        ..key
    };
    let error = commander.command(&nobody, |_, _| {}).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}
