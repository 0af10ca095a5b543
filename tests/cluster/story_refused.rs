//! Bad input: a message that names the place and the next step, nothing changed, and what ran still runs.

use serde_json::{Value, json};

use crate::story_support::{Place, config, deployment, shared};

const GOOD: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {key: one}\n";

async fn good(place: &Place) -> String {
    let commit = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(GOOD))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &commit).await;
    commit
}

/// A bad commit: it is held for this reason with these words, nothing is written, and the next good one goes on.
async fn held(place: &Place, changes: &[(&str, Option<&str>)], reason: &str, words: &[&str]) {
    let mark = place.mark();
    let running = place.get("shop").await["status"]["applied"]["revision"].clone();
    let bad = place.push("shop", changes).await;
    let seen = place.until_held("shop", &bad, reason).await;
    let message = seen.message("Ready");
    for word in words.iter().chain(&["nothing was changed"]) {
        assert!(
            message.contains(word),
            "{reason}: {word:?} is missing in: {message}"
        );
    }
    assert!(seen.is("Healthy", "True") && seen.is("Ready", "False"));
    assert_eq!(seen.0["status"]["applied"]["revision"], running);
    assert_eq!(place.written_since(mark), [""; 0], "{reason}");
    let undo: Vec<(&str, Option<&str>)> = changes
        .iter()
        .map(|(path, _)| (*path, (*path == "deploy/settings.yaml").then_some(GOOD)))
        .collect();
    let fixed = place.push("shop", &undo).await;
    let seen = place.until_good("shop", &fixed).await;
    assert!(!seen.has("Stalled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_render_is_held_and_names_file_and_line() {
    let place = Place::new("render").await;
    good(&place).await;
    held(
        &place,
        &[(
            "deploy/settings.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings\ndata: x\n"),
        )],
        "RenderFailed",
        &["deploy/settings.yaml", "line"],
    )
    .await;
    held(
        &place,
        &[(
            "deploy/kustomization.yaml",
            Some("resources: [settings.yaml]\nnoSuchField: 1\n"),
        )],
        "RenderFailed",
        &["deploy/kustomization.yaml", "noSuchField"],
    )
    .await;
    held(
        &place,
        &[(
            "deploy/kustomization.yaml",
            Some("resources: [missing.yaml]\n"),
        )],
        "RenderFailed",
        &["missing.yaml"],
    )
    .await;
    held(
        &place,
        &[("deploy/settings.yaml", Some("# nothing\n"))],
        "RenderEmpty",
        &["deploy"],
    )
    .await;
    held(
        &place,
        &[("deploy/again.yaml", Some(GOOD))],
        "RenderFailed",
        &["ConfigMap", "settings", "deploy/settings.yaml:1"],
    )
    .await;
    // The same only once the default namespace is set.
    let named = GOOD.replace(
        "{name: settings}",
        &format!("{{name: settings, namespace: {}}}", place.namespace),
    );
    held(
        &place,
        &[("deploy/again.yaml", Some(&named))],
        "DuplicateObject",
        &["ConfigMap/", "settings", "again.yaml", "settings.yaml"],
    )
    .await;
    // The path itself: everything moves away.
    let mark = place.mark();
    place
        .push(
            "shop",
            &[
                ("deploy/settings.yaml", None),
                ("elsewhere/settings.yaml", Some(GOOD)),
            ],
        )
        .await;
    let seen = place
        .until("shop", "the path is missed", |seen| {
            seen.reason("Stalled") == "PathNotFound" || seen.reason("Fetched") == "PathNotFound"
        })
        .await;
    assert!(seen.is("Healthy", "True"));
    let said = format!("{} {}", seen.message("Ready"), seen.message("Fetched"));
    assert!(said.contains("deploy"), "{said}");
    assert_eq!(place.written_since(mark), [""; 0]);
    let back = place
        .push("shop", &[("deploy/settings.yaml", Some(GOOD))])
        .await;
    place.until_good("shop", &back).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a story is told in one go")]
async fn what_the_api_server_refuses_is_held_and_names_the_object() {
    let place = Place::new("refused").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    good(&place).await;
    let first = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 1)))],
        )
        .await;
    place.until_good("shop", &first).await;
    held(
        &place,
        &[("deploy/bad.yaml", Some("apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999999}]}\n"))],
        "DryRunRefused",
        &["Service/", "bad"],
    )
    .await;
    held(
        &place,
        &[(
            "deploy/bad.yaml",
            Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: not-there}\n"),
        )],
        "DryRunRefused",
        &["not-there"],
    )
    .await;
    held(
        &place,
        &[(
            "deploy/bad.yaml",
            Some("apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: bad}\n"),
        )],
        "DryRunRefused",
        &["Widget", "example.org"],
    )
    .await;
    // An immutable field.
    let moved = deployment("web", "web:1", 1)
        .replace("{matchLabels: {app: web}}", "{matchLabels: {app: other}}")
        .replace(
            "labels: {app: web}}\n    spec",
            "labels: {app: other}}\n    spec",
        );
    let mark = place.mark();
    let bad = place
        .push("shop", &[("deploy/web.yaml", Some(&moved))])
        .await;
    let seen = place.until_held("shop", &bad, "Immutable").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("Deployment/") && message.contains("web") && message.contains("selector"),
        "{message}"
    );
    assert_eq!(place.written_since(mark), [""; 0]);
    let back = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 1)))],
        )
        .await;
    place.until_good("shop", &back).await;

    // Admission.
    let name = format!("{}-no-forbidden", place.namespace);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}]},
            "validations": [{"expression": "!object.metadata.name.startsWith('forbidden')", "message": "names of that kind are not for you"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}}}},
    });
    let base = "/apis/admissionregistration.k8s.io/v1";
    place
        .admin
        .create(&format!("{base}/validatingadmissionpolicies"), &policy)
        .await;
    place
        .admin
        .create(
            &format!("{base}/validatingadmissionpolicybindings"),
            &binding,
        )
        .await;
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "forbidden"}});
    let collection = format!("{}?dryRun=All", place.path("v1", "configmaps", ""));
    crate::support::eventually(crate::story_support::SOON, "the policy holds", || async {
        let (code, _) = place
            .admin
            .send(
                http::Method::POST,
                &collection,
                "application/json",
                Some(&probe),
            )
            .await;
        (code == 422).then_some(())
    })
    .await;
    held(
        &place,
        &[("deploy/bad.yaml", Some(&config("forbidden", "x")))],
        "DryRunRefused",
        &[
            "ConfigMap/",
            "forbidden",
            "names of that kind are not for you",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_read_changes_nothing() {
    let place = Place::new("git").await;
    let one = good(&place).await;
    let mark = place.mark();
    place.repository.hide(true);
    place.ask("shop").await;
    let seen = place
        .until("shop", "git is missed", |seen| seen.is("Fetched", "False"))
        .await;
    assert!(
        seen.is("Ready", "True") && seen.applied().contains(&one),
        "{:#}",
        seen.0["status"]
    );
    assert!(
        seen.message("Fetched").contains(&one),
        "{}",
        seen.message("Fetched")
    );
    // Drift is given back without git.
    let settings = place.config_path("settings");
    place
        .patch(&settings, &json!({"data": {"key": "theirs"}}))
        .await;
    place
        .until_object(&settings, "it is given back", |live| {
            live["data"]["key"] == "one"
        })
        .await;
    place.repository.hide(false);
    place.repository.rename_branch("main", "other");
    place.ask("shop").await;
    let seen = place
        .until("shop", "the branch is missed", |seen| {
            seen.reason("Fetched") == "ReferenceGone"
        })
        .await;
    assert!(
        seen.message("Fetched").contains("main"),
        "{}",
        seen.message("Fetched")
    );
    assert!(seen.is("Ready", "True"));
    let written = place.written_since(mark);
    assert_eq!(written, ["patch configmaps/settings"]);
    place.repository.rename_branch("other", "main");
    let two = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "two")))],
        )
        .await;
    let seen = place.until_good("shop", &two).await;
    assert!(seen.is("Fetched", "True"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_another_application_is_refused_and_one_handed_over_is_not_deleted() {
    let place = Place::new("owner").await;
    let one = place.repository.commit(&[
        ("deploy/settings.yaml", Some(GOOD)),
        ("deploy/shared.yaml", Some(&config("shared", "first"))),
        ("second/own.yaml", Some(&config("own", "second"))),
    ]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    place
        .application("second", json!({"source": {"path": "second"}}))
        .await;
    place.until_good("second", &one).await;
    let mark = place.mark();
    let two = place
        .push(
            "second",
            &[("second/shared.yaml", Some(&config("shared", "second")))],
        )
        .await;
    let seen = place.until_held("second", &two, "OwnedByOther").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("shared") && message.contains("shop"),
        "{message}"
    );
    assert_eq!(place.written_since(mark), [""; 0]);
    // It leaves the first: pruned there, and then free.
    let three = place.push("shop", &[("deploy/shared.yaml", None)]).await;
    place
        .until_object(
            &place.config_path("shared"),
            "it changes hands or is gone",
            |live| {
                live.is_null() || live["metadata"]["labels"]["plimsoll.dev/application"] == "second"
            },
        )
        .await;
    place.ask("second").await;
    place.until_good("second", &three).await;
    let live = place.admin.get(&place.config_path("shared")).await.unwrap();
    assert_eq!(live["data"]["key"], "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_act_is_named_and_nothing_is_done() {
    let (stage, _) = shared().await;
    let place = Place::without_account(stage, "rights").await;
    place
        .repository
        .commit(&[("deploy/settings.yaml", Some(GOOD))]);
    place
        .application("nobody", json!({"target": {"serviceAccount": null}}))
        .await;
    let seen = place
        .until("nobody", "it has no identity", |seen| {
            seen.reason("Ready") == "NoIdentity"
        })
        .await;
    assert!(
        seen.message("Ready").contains("spec.target.serviceAccount"),
        "{}",
        seen.message("Ready")
    );
    // Without leave for the controller to act as it.
    place.application("shop", json!({})).await;
    let seen = place
        .until("shop", "it may not be impersonated", |seen| {
            seen.is("Ready", "False") || seen.has("Stalled")
        })
        .await;
    let message = seen.message("Ready");
    assert!(
        message.contains("impersonate") && message.contains("deployer"),
        "{message}"
    );
    assert!(
        place
            .admin
            .get(&place.config_path("settings"))
            .await
            .is_none()
    );
    // With the account, which may only read.
    place.tenant("deployer", "view").await;
    place.ask("shop").await;
    let seen = place
        .until("shop", "it is forbidden", |seen| {
            seen.reason("Stalled") == "Forbidden"
        })
        .await;
    let message = seen.message("Ready");
    assert!(
        message.contains("deployer") && message.contains("settings"),
        "{message}"
    );

    let system = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application", "metadata": {"name": place.namespace, "namespace": "kube-system"},
        "spec": {"source": {"repo": place.repository.url()}, "target": {"serviceAccount": "default"}},
    });
    let path = "/apis/plimsoll.dev/v1alpha1/namespaces/kube-system/applications";
    place.admin.create(path, &system).await;
    let one = format!("{path}/{}", place.namespace);
    let seen: Value = place
        .until_object(&one, "it is refused", |found| {
            found["status"]["conditions"].is_array()
        })
        .await;
    assert_eq!(
        seen["status"]["conditions"][0]["reason"],
        "NamespaceReserved"
    );
    place.admin.delete(&one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_expression_that_is_none_is_refused_before_anything_is_written() {
    let place = Place::new("exprs").await;
    let one = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(GOOD))]);
    let rule = |current: &str| json!({"health": {"exprs": [{"apiVersion": "example.org/v1", "kind": "Widget", "current": current}]}});
    place
        .application("shop", rule("nonsense(status.phase)"))
        .await;
    let seen = place
        .until("shop", "the expression is refused", |seen| {
            seen.reason("Ready") == "InvalidSpec"
        })
        .await;
    let message = seen.message("Ready");
    assert!(
        message.contains("spec.health.exprs[0].current") && message.contains("nonsense()"),
        "{message}"
    );
    assert!(seen.is("Ready", "False") && seen.is("Stalled", "True"));
    let settings = place.config_path("settings");
    assert!(place.admin.get(&settings).await.is_none());
    let why = place.cli(&["why", "shop"]);
    assert_eq!(why.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&why.stdout).contains("spec.health.exprs[0].current"));

    // Corrected, it goes on; broken again, what runs stays, and is healthy once it is mended.
    let spec = |current: &str| json!({"spec": rule(current)});
    let path = place.application_path("shop");
    place.patch(&path, &spec("status.phase == 'Done'")).await;
    place.until_good("shop", &one).await;
    let mark = place.mark();
    place.patch(&path, &spec("status.phase ==")).await;
    let seen = place
        .until("shop", "the second one is refused", |seen| {
            seen.reason("Ready") == "InvalidSpec"
        })
        .await;
    assert!(seen.applied().contains(&one));
    place.patch(&path, &spec("status.phase == 'Done'")).await;
    place
        .until("shop", "it is mended", |seen| seen.is("Ready", "True"))
        .await;
    assert_eq!(place.written_since(mark), [""; 0]);
}
