//! A commit in, a healthy cluster out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story_support::{Place, config, deployment, shared};

/// The first sync: a Deployment and a ConfigMap; returns the commit.
async fn first(place: &Place, name: &str, image: &str) -> String {
    let commit = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", image, 3))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application(name, json!({})).await;
    place.until_good(name, &commit).await;
    commit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_becomes_ready_and_a_second_one_rolls() {
    let place = Place::new("sync").await;
    let one = first(&place, "shop", "web:1").await;
    let seen = place.until_good("shop", &one).await;
    assert_eq!(seen.attempt(), 1);
    assert!(seen.is("Healthy", "True") && seen.is("Fetched", "True"));
    assert!(!seen.has("Reconciling") && !seen.has("Stalled"));
    assert_eq!(
        seen.0["status"]["health"],
        json!({"ready": 2, "progressing": 0, "failed": 0, "notAssessed": 0})
    );
    let live = place
        .admin
        .get(&place.deployment_path("web"))
        .await
        .unwrap();
    assert_eq!(live["status"]["availableReplicas"], 3);
    assert_eq!(
        live["metadata"]["labels"]["plimsoll.dev/application"],
        "shop"
    );
    assert!(live["spec"]["template"]["metadata"]["labels"]["plimsoll.dev/application"].is_null());

    let two = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:slow-2s", 3)),
            )],
        )
        .await;
    let seen = place
        .until("shop", "the second set becomes Ready", |seen| {
            seen.phase() == "Watching"
        })
        .await;
    assert!(seen.is("Ready", "Unknown") && seen.is("Reconciling", "True"));
    assert!(
        seen.message("Ready").contains("web"),
        "{}",
        seen.message("Ready")
    );
    place
        .until("shop", "it soaks", |seen| seen.reason("Ready") == "Soaking")
        .await;
    let seen = place.until_good("shop", &two).await;
    assert_eq!(seen.attempt(), 2);
    assert_eq!(place.story("shop").await, ["1 Sync Ready", "2 Sync Ready"]);

    let records = place.records("shop").await;
    let second = &records[1];
    assert_eq!(
        second["source"]["commit"]["author"],
        "Ann Author <ann@example.com>"
    );
    assert_eq!(
        second["images"]["list"],
        json!([{"name": "web", "tag": "slow-2s"}])
    );
    assert_eq!(second["changes"]["count"], 1);
    assert_eq!(second["changes"]["unchanged"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printer_columns_show_what_a_person_asks_first() {
    let place = Place::new("columns").await;
    let one = first(&place, "shop", "web:1").await;
    let path = place.application_path("shop");
    let request = http::Request::get(&path)
        .header(
            http::header::ACCEPT,
            "application/json;as=Table;v=v1;g=meta.k8s.io",
        )
        .body(Vec::new())
        .unwrap();
    let table: Value = place.admin.client().request(request).await.unwrap();
    let names: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["Name", "Ready", "Health", "Revision", "Age", "Message"]
    );
    let cells = &table["rows"][0]["cells"];
    assert_eq!(cells[1], "True");
    assert_eq!(cells[2], "Healthy");
    assert_eq!(cells[3], format!("main@sha1:{one}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_changes_nothing_costs_no_attempt() {
    let place = Place::new("nothing").await;
    first(&place, "shop", "web:1").await;
    let mark = place.mark();
    let same = format!("# The same, with words.\n{}", deployment("web", "web:1", 3));
    let two = place
        .push("shop", &[("deploy/web.yaml", Some(&same))])
        .await;
    let seen = place
        .until("shop", "the new revision is named", |seen| {
            seen.applied().contains(&two) && seen.phase() == "Idle"
        })
        .await;
    assert_eq!(seen.attempt(), 1);
    assert!(seen.text("/status/lastKnownGood/revision").contains(&two));
    assert_eq!(place.written_since(mark), [""; 0]);
    assert_eq!(place.story("shop").await, ["1 Sync Ready"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_application_costs_no_request_in_sixty_seconds() {
    let place = Place::new("quiet").await;
    place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 3))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
        (
            "deploy/service.yaml",
            Some("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n"),
        ),
        (
            "deploy/secret.yaml",
            Some("apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: abc}\n"),
        ),
    ]);
    place.application("shop", json!({"interval": "10s"})).await;
    place
        .until("shop", "it is good", |seen| {
            seen.phase() == "Idle" && seen.is("Ready", "True")
        })
        .await;
    // What comes late of the sync itself: old stored sets, the last status.
    let settled = tokio::time::Instant::now() + Duration::from_secs(3);
    tokio::time::sleep_until(settled).await;
    let mark = place.mark();
    let over = tokio::time::Instant::now() + Duration::from_secs(60);
    tokio::time::sleep_until(over).await;
    let asked: Vec<String> = place
        .asked_since(mark)
        .iter()
        .map(|entry| format!("{} {}", entry.verb, entry.uri))
        .collect();
    println!(
        "requests in 60 s of an unchanged Application, watches left out: {}",
        asked.len()
    );
    assert_eq!(asked, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_and_its_instance_come_in_one_commit() {
    let place = Place::new("definition").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    let group = format!("{}.example.com", place.namespace);
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  names: {{kind: Widget, plural: widgets}}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}
"
    );
    let widget = |size: &str| {
        format!(
            "apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: one}}\nspec: {{size: {size}}}\n"
        )
    };
    // Its definition is not there and not in the set.
    let alone = place
        .repository
        .commit(&[("deploy/a-widget.yaml", Some(&widget("1")))]);
    place.application("shop", json!({})).await;
    let seen = place.until_held("shop", &alone, "DryRunRefused").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("Widget")
            && message.contains(&group)
            && message.contains("nothing was applied"),
        "{message}"
    );
    let both = place
        .push("shop", &[("deploy/z-definition.yaml", Some(&definition))])
        .await;
    place.until_good("shop", &both).await;
    let path = format!(
        "/apis/{group}/v1/namespaces/{}/widgets/one",
        place.namespace
    );
    assert_eq!(place.admin.get(&path).await.unwrap()["spec"]["size"], 1);
    // Drift of a kind that the controller itself may not watch is seen as the account.
    place.patch(&path, &json!({"spec": {"size": 7}})).await;
    place
        .until_object(&path, "the widget is given back", |live| {
            live["spec"]["size"] == 1
        })
        .await;
    let three = place
        .push("shop", &[("deploy/a-widget.yaml", Some(&widget("3")))])
        .await;
    place.until_good("shop", &three).await;
    assert_eq!(place.admin.get(&path).await.unwrap()["spec"]["size"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_and_what_is_in_it_come_in_one_commit() {
    let place = Place::new("namespaces").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    let other = format!("{}-made", place.namespace);
    let commit = place.repository.commit(&[
        (
            "deploy/a.yaml",
            Some(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {other}}}\ndata: {{key: one}}\n")),
        ),
        (
            "deploy/z.yaml",
            Some(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n")),
        ),
        (
            "deploy/role.yaml",
            Some(&format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: see, namespace: {other}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: see}}\nsubjects: []\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: see, namespace: {other}}}\nrules: []\n")),
        ),
    ]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &commit).await;
    let path = format!("/api/v1/namespaces/{other}/configmaps/settings");
    assert_eq!(place.admin.get(&path).await.unwrap()["data"]["key"], "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_waits_for_those_that_it_depends_on() {
    let place = Place::new("depends").await;
    place.repository.commit(&[
        (
            "deploy/web.yaml",
            Some(&deployment("web", "web:slow-2s", 1)),
        ),
        ("second/settings.yaml", Some(&config("second", "one"))),
    ]);
    let second = json!({"source": {"path": "second"}, "dependsOn": [{"name": "shop"}]});
    place.application("second", second).await;
    place
        .until("second", "it misses the other", |seen| {
            seen.reason("Stalled") == "DependencyInvalid"
        })
        .await;
    place.application("shop", json!({})).await;
    place
        .until("second", "it waits", |seen| {
            seen.reason("Reconciling") == "DependencyNotReady" && !seen.has("Stalled")
        })
        .await;
    assert!(
        place
            .admin
            .get(&place.config_path("second"))
            .await
            .is_none()
    );
    place
        .until("second", "it is Ready after the other", |seen| {
            seen.is("Ready", "True")
        })
        .await;
    assert!(place.get("shop").await["status"]["applied"].is_object());
    let (_, controller) = shared().await;
    assert!(controller.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_dependencies_is_refused_and_every_name_in_it_is_told() {
    let place = Place::new("circle").await;
    for name in ["one", "two", "three"] {
        place.repository.commit(&[(
            format!("{name}/settings.yaml").as_str(),
            Some(&config(name, "x")),
        )]);
    }
    let mark = place.mark();
    for (name, on) in [("one", "two"), ("two", "three"), ("three", "one")] {
        place
            .application(
                name,
                json!({"source": {"path": name}, "dependsOn": [{"name": on}]}),
            )
            .await;
    }
    let seen = place
        .until("one", "the circle is found", |seen| {
            seen.reason("Stalled") == "DependencyInvalid"
                && seen.message("Stalled").contains("circle")
        })
        .await;
    let message = seen.message("Stalled");
    assert!(message.contains("one -> two -> three -> one"), "{message}");
    assert_eq!(place.written_since(mark), [""; 0], "nothing is written");
    // Where the circle is cut, all go on.
    place
        .patch(
            &place.application_path("three"),
            &json!({"spec": {"dependsOn": []}}),
        )
        .await;
    for name in ["three", "two", "one"] {
        place.ask(name).await;
        place
            .until(name, "it goes on", |seen| seen.is("Ready", "True"))
            .await;
    }
}
