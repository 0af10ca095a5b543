//! What is written, what is left to others, what is created again.

use http::Method;
use serde_json::{Value, json};

use crate::{
    story_support::{Place, SOON, config, deployment, job},
    support::{AuditEntry, eventually},
};

fn deletes(entries: &[AuditEntry], name: &str) -> usize {
    entries
        .iter()
        .filter(|entry| entry.verb == "delete" && entry.name == name && entry.is_write())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_was_left_to_its_owner_stays_his_whatever_git_changes_beside_it() {
    let place = Place::new("yield").await;
    let settings = place.config_path("settings");
    let theirs = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "theirs"},
    });
    place.admin.apply(&settings, &theirs).await;
    let with = |other: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{key: ours, other: \"{other}\"}}\n"
        )
    };
    let one = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&with("one")))]);
    place
        .application("shop", json!({"apply": {"conflicts": "yield"}}))
        .await;
    place.until_good("shop", &one).await;
    // Its owner changes it, and git changes what stands beside it.
    let edited = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "theirs again"}});
    place.admin.apply(&settings, &edited).await;
    let two = place
        .push("shop", &[("deploy/settings.yaml", Some(&with("two")))])
        .await;
    place.until_good("shop", &two).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"], json!({"key": "theirs again", "other": "two"}));
    // An unrelated change keeps what is known of it.
    let three = place
        .push("shop", &[("deploy/more.yaml", Some(&config("more", "x")))])
        .await;
    place.until_good("shop", &three).await;
    let four = place
        .push("shop", &[("deploy/settings.yaml", Some(&with("four")))])
        .await;
    place.until_good("shop", &four).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(
        live["data"],
        json!({"key": "theirs again", "other": "four"})
    );
    // What is ours in it is given back all the same.
    place
        .patch(&settings, &json!({"data": {"other": "drifted"}}))
        .await;
    let live = place
        .until_object(&settings, "our field is given back", |live| {
            live["data"]["other"] == "four"
        })
        .await;
    assert_eq!(live["data"]["key"], "theirs again");
    // Its owner lets go of it: it is ours with the next change.
    let empty = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    place.admin.apply(&settings, &empty).await;
    let five = place
        .push("shop", &[("deploy/settings.yaml", Some(&with("five")))])
        .await;
    place.until_good("shop", &five).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"], json!({"key": "ours", "other": "five"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drifted_under_report_is_taken_when_git_changes_its_value() {
    let place = Place::new("reported").await;
    let web = place.deployment_path("web");
    let one = place
        .repository
        .commit(&[("deploy/web.yaml", Some(&deployment("web", "web:1", 1)))]);
    place.application("shop", json!({"drift": "report"})).await;
    place.until_good("shop", &one).await;
    place.patch(&web, &json!({"spec": {"replicas": 3}})).await;
    place
        .until("shop", "it is reported", |seen| seen.is("Drifted", "True"))
        .await;
    let two = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 1)))],
        )
        .await;
    place.until_good("shop", &two).await;
    let live = place.admin.get(&web).await.unwrap();
    assert_eq!(live["spec"]["replicas"], 3, "git says the same as before");
    assert_eq!(
        live["spec"]["template"]["spec"]["containers"][0]["image"],
        "web:2"
    );
    let three = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:2", 2)))],
        )
        .await;
    place.until_good("shop", &three).await;
    assert_eq!(place.admin.get(&web).await.unwrap()["spec"]["replicas"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_field_recreates_only_the_kinds_that_are_listed() {
    let place = Place::new("recreate").await;
    let path = place.path("batch/v1", "jobs", "migrate");
    let one = place.repository.commit(&[
        ("deploy/job.yaml", Some(&job("migrate", "job:1"))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place
        .application("shop", json!({"apply": {"recreate": ["StatefulSet"]}}))
        .await;
    place.until_good("shop", &one).await;
    let before = place.admin.get(&path).await.unwrap();
    let mark = place.mark();
    let two = place
        .push(
            "shop",
            &[
                ("deploy/job.yaml", Some(&job("migrate", "job:2"))),
                ("deploy/settings.yaml", Some(&config("settings", "two"))),
            ],
        )
        .await;
    let seen = place.until_held("shop", &two, "Immutable").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("Job/")
            && message.contains("spec.template")
            && message.contains("nothing was changed"),
        "{message}"
    );
    assert_eq!(place.written_since(mark), [""; 0]);

    // Listed: deleted once, by UID, and created again; a finalizer is waited for.
    place
        .patch(
            &path,
            &json!({"metadata": {"finalizers": ["example.org/wait"]}}),
        )
        .await;
    let mark = place.mark();
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"apply": {"recreate": ["Job"]}}}),
        )
        .await;
    place
        .until_object(&path, "the old one is being deleted", |live| {
            live["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    place.ask("shop").await;
    place
        .until("shop", "the set is being written", |seen| {
            seen.phase() == "Applying"
        })
        .await;
    let free = json!({"metadata": {"finalizers": null}});
    place.patch(&path, &free).await;
    place.until_good("shop", &two).await;
    let after = place.admin.get(&path).await.unwrap();
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(
        after["spec"]["template"]["spec"]["containers"][0]["image"],
        "job:2"
    );
    assert_eq!(deletes(&place.asked_since(mark), "migrate"), 1);
    let record = place.records("shop").await.pop().unwrap();
    let changes = record["changes"].to_string();
    assert!(
        changes.contains("recreate") && changes.contains("migrate"),
        "{record:#}"
    );

    // What the server would not take as a new one is not deleted either.
    let mark = place.mark();
    let wrong = job("migrate", "job:3").replace("restartPolicy: Never", "restartPolicy: Always");
    let three = place
        .push("shop", &[("deploy/job.yaml", Some(&wrong))])
        .await;
    let seen = place
        .until("shop", "it is refused", |seen| {
            seen.text("/status/held/revision").contains(&three)
        })
        .await;
    assert!(
        seen.message("Ready").contains("migrate"),
        "{}",
        seen.message("Ready")
    );
    assert_eq!(place.written_since(mark), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_application_is_not_taken_by_waiting_for_what_it_names() {
    let place = Place::new("deferred").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    let binding = |namespace: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: readers, namespace: {namespace}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}\nsubjects: [{{kind: ServiceAccount, name: deployer}}]\n"
        )
    };
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: [{apiGroups: [\"\"], resources: [configmaps], verbs: [get]}]\n";
    let one = place.repository.commit(&[
        ("first/role.yaml", Some(role)),
        ("first/binding.yaml", Some(&binding(&place.namespace))),
        ("second/own.yaml", Some(&config("own", "x"))),
    ]);
    place
        .application("first", json!({"source": {"path": "first"}}))
        .await;
    place.until_good("first", &one).await;
    place
        .application(
            "second",
            json!({"source": {"path": "second"}, "drift": "ignore"}),
        )
        .await;
    place.until_good("second", &one).await;
    // The Role goes, and the second brings it back together with the binding.
    place
        .patch(
            &place.application_path("first"),
            &json!({"spec": {"drift": "ignore"}}),
        )
        .await;
    let path = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/reader",
        place.namespace
    );
    place.admin.delete(&path).await;
    let two = place
        .push(
            "second",
            &[
                ("second/role.yaml", Some(role)),
                ("second/binding.yaml", Some(&binding(&place.namespace))),
            ],
        )
        .await;
    let seen = place.until_held("second", &two, "OwnedByOther").await;
    assert!(
        seen.message("Ready").contains("readers"),
        "{}",
        seen.message("Ready")
    );
    let live = place
        .admin
        .get(&path.replace("roles/reader", "rolebindings/readers"))
        .await
        .unwrap();
    assert_eq!(
        live["metadata"]["labels"]["plimsoll.dev/application"],
        "first"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_says_on_what_it_waits_and_can_always_be_let_go() {
    let place = Place::new("cascade").await;
    let one = place.repository.commit(&[
        ("deploy/a.yaml", Some(&config("a", "one"))),
        ("deploy/b.yaml", Some(&config("b", "one"))),
    ]);
    let path = place.application_path("shop");
    place
        .application("shop", json!({"deletion": "Cascade"}))
        .await;
    place.until_good("shop", &one).await;
    place
        .patch(
            &place.config_path("a"),
            &json!({"metadata": {"finalizers": ["example.org/wait"]}}),
        )
        .await;
    place.admin.delete(&path).await;
    let seen = place
        .until("shop", "it says on what it waits", |seen| {
            seen.reason("Ready") == "Deleting"
        })
        .await;
    let message = seen.message("Ready");
    assert!(
        message.contains("example.org/wait") && message.contains("spec.deletion"),
        "{message}"
    );
    place
        .patch(
            &place.config_path("a"),
            &json!({"metadata": {"finalizers": null}}),
        )
        .await;
    place
        .until_object(&path, "the Application is gone", Value::is_null)
        .await;
    assert!(place.admin.get(&place.config_path("b")).await.is_none());

    // Without its account nothing can be deleted: it says so, and a person decides.
    place
        .application("shop", json!({"deletion": "Cascade"}))
        .await;
    let seen = place.until_good("shop", &one).await;
    assert!(seen.0["metadata"]["finalizers"].is_array());
    place
        .patch(
            &path,
            &json!({"spec": {"target": {"serviceAccount": null}}}),
        )
        .await;
    place
        .until("shop", "it has no identity", |seen| {
            seen.reason("Ready") == "NoIdentity"
        })
        .await;
    place.admin.delete(&path).await;
    let seen = place
        .until("shop", "it cannot clean up", |seen| {
            seen.reason("Ready") == "CannotCleanUp"
        })
        .await;
    assert!(
        seen.message("Ready").contains("spec.deletion"),
        "{}",
        seen.message("Ready")
    );
    assert!(place.admin.get(&place.config_path("a")).await.is_some());
    place
        .patch(&path, &json!({"spec": {"deletion": "Orphan"}}))
        .await;
    place
        .until_object(&path, "the Application is gone", Value::is_null)
        .await;
    assert!(place.admin.get(&place.config_path("a")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_object_under_another_group_is_not_deleted() {
    let place = Place::new("group").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    let event = |version: &str| {
        let (about, by) = if version == "v1" {
            ("involvedObject", "reportingComponent")
        } else {
            ("regarding", "reportingController")
        };
        let more = format!(
            "{about}: {{kind: Namespace, name: x, namespace: {}}}\n{by}: example.org/test\nreportingInstance: test\naction: Tested\neventTime: \"2026-11-21T08:24:08.000000Z\"\n",
            place.namespace
        );
        format!(
            "apiVersion: {version}\nkind: Event\nmetadata: {{name: told}}\ntype: Normal\nreason: Told\n{more}"
        )
    };
    let one = place.repository.commit(&[
        ("deploy/event.yaml", Some(&event("v1"))),
        ("deploy/stays.yaml", Some(&config("stays", "one"))),
    ]);
    place
        .application("shop", json!({"apply": {"conflicts": "force"}}))
        .await;
    place.until_good("shop", &one).await;
    let path = place.path("v1", "events", "told");
    let uid = place.admin.get(&path).await.unwrap()["metadata"]["uid"].clone();
    let mark = place.mark();
    let two = place
        .push(
            "shop",
            &[("deploy/event.yaml", Some(&event("events.k8s.io/v1")))],
        )
        .await;
    let seen = place
        .until("shop", "it is taken or refused", |seen| {
            seen.applied().contains(&two) && seen.phase() == "Idle" || seen.has("Stalled")
        })
        .await;
    assert!(!seen.has("Stalled"), "{}", seen.message("Stalled"));
    place.until_good("shop", &two).await;
    eventually(SOON, "the older set is not needed any more", || async {
        (place.get("shop").await["status"]["written"] == json!([2])).then_some(())
    })
    .await;
    assert_eq!(deletes(&place.asked_since(mark), "told"), 0);
    assert_eq!(
        place.admin.get(&path).await.unwrap()["metadata"]["uid"],
        uid
    );
    let (code, _) = place
        .admin
        .send(Method::DELETE, &path, "application/json", None)
        .await;
    assert_eq!(code, 200);
}

/// What `kubectl apply` did before there was server-side apply.
async fn applied_by_kubectl(place: &Place, path: &str, manager: &str, data: &Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": path.rsplit('/').next().unwrap(),
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": data.to_string()},
        },
        "data": data,
    });
    let collection = format!(
        "{}?fieldManager={manager}",
        place.path("v1", "configmaps", "")
    );
    place.admin.create(&collection, &object).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_tools_applied_becomes_ours_without_a_diff_and_a_removed_field_goes() {
    let place = Place::new("takeover").await;
    for (name, manager) in [
        ("one", "kubectl-client-side-apply"),
        ("two", "helm"),
        ("three", "argocd-controller"),
    ] {
        let data = json!({"key": "same", "gone": "later"});
        applied_by_kubectl(&place, &place.config_path(name), manager, &data).await;
    }
    // A person's own field beside it.
    place
        .patch(
            &place.config_path("one"),
            &json!({"data": {"hand": "theirs"}}),
        )
        .await;
    let file = |name: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{note: ours}}}}\ndata: {data}\n"
        )
    };
    let all = |data: &str| -> Vec<(String, String)> {
        ["one", "two", "three"]
            .iter()
            .map(|name| (format!("deploy/{name}.yaml"), file(name, data)))
            .collect()
    };
    let files = all("{key: same, gone: later}");
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let one = place.repository.commit(&changes);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    let live = place.admin.get(&place.config_path("one")).await.unwrap();
    assert_eq!(
        live["data"],
        json!({"key": "same", "gone": "later", "hand": "theirs"})
    );
    // A changed value is no conflict, and a field that leaves git goes.
    let files = all("{key: changed}");
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let two = place.push("shop", &changes).await;
    place.until_good("shop", &two).await;
    for name in ["one", "two", "three"] {
        let live = place.admin.get(&place.config_path(name)).await.unwrap();
        let mut expected = json!({"key": "changed"});
        if name == "one" {
            expected["hand"] = json!("theirs");
        }
        assert_eq!(live["data"], expected, "{name}");
        let managers = live["metadata"]["managedFields"].to_string();
        for tool in ["kubectl-client-side-apply", "helm", "argocd-controller"] {
            assert!(!managers.contains(tool), "{managers}");
        }
    }
    // Where git says another value from the first, it is taken over all the same.
    let data = json!({"key": "old", "gone": "at once"});
    applied_by_kubectl(&place, &place.config_path("four"), "helm", &data).await;
    let three = place
        .push(
            "shop",
            &[("deploy/four.yaml", Some(&file("four", "{key: new}")))],
        )
        .await;
    place.until_good("shop", &three).await;
    let live = place.admin.get(&place.config_path("four")).await.unwrap();
    assert_eq!(live["data"], json!({"key": "new"}));
}
