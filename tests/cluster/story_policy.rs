//! What policy decides: fields of others by rule, fights, history that was rewritten, what is never deleted unasked.
//!
//! Enters: Applications whose spec says something else than the default.
//! Leaves: verdicts from live objects and from the API server's audit log.
//! Never: a policy taken from another Application's story.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{
    story_support::{Place, SOON, config},
    support::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_decides_for_its_fields_and_the_rest_stays_with_the_policy() {
    let place = Place::new("rules").await;
    let settings = place.config_path("settings");
    let theirs = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data});
    place
        .admin
        .apply(
            &settings,
            &theirs(json!({"left": "theirs", "taken": "theirs", "other": "theirs"})),
        )
        .await;
    let ours = |other: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, labels: {{tier: web}}}}\ndata: {{left: ours, taken: ours{other}}}\n"
        )
    };
    let one = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&ours(", other: ours")))]);
    let rules = json!([
        {"target": {"kind": "ConfigMap", "matchLabels": {"tier": "web"}}, "fields": ["/data/left"], "conflicts": "yield"},
        {"target": {"name": "settings"}, "fields": ["/data/taken"], "conflicts": "force"},
    ]);
    let mark = place.mark();
    place
        .application("shop", json!({"apply": {"conflictRules": rules}}))
        .await;
    // No rule is about the third field: it keeps the set out, and it alone is named.
    let seen = place.until_held("shop", &one, "Conflict").await;
    let message = seen.message("Ready");
    assert!(message.contains(".data.other"), "{message}");
    assert!(!message.contains(".data.left"), "{message}");
    assert!(!message.contains(".data.taken"), "{message}");
    assert_eq!(place.written_since(mark), [""; 0]);
    let two = place
        .push("shop", &[("deploy/settings.yaml", Some(&ours("")))])
        .await;
    place.until_good("shop", &two).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(
        live["data"],
        json!({"left": "theirs", "taken": "ours", "other": "theirs"})
    );
    // What was left stays theirs, and what was taken is given back.
    place
        .patch(
            &settings,
            &json!({"data": {"left": "edited", "taken": "edited"}}),
        )
        .await;
    let live = place
        .until_object(&settings, "what was taken is given back", |live| {
            live["data"]["taken"] == "ours"
        })
        .await;
    assert_eq!(live["data"]["left"], "edited");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_ignored_by_label() {
    let place = Place::new("labels").await;
    let labelled = |name: &str, tier: &str| {
        config(name, "one").replace(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}, labels: {{tier: {tier}}}}}"),
        )
    };
    let commit = place.repository.commit(&[
        ("deploy/a.yaml", Some(&labelled("a", "left"))),
        ("deploy/b.yaml", Some(&labelled("b", "kept"))),
    ]);
    let ignore = json!([{"target": {"matchLabels": {"tier": "left"}}, "fields": ["/data/key", "/metadata/labels"]}]);
    place
        .application("shop", json!({"apply": {"ignore": ignore}}))
        .await;
    place.until_good("shop", &commit).await;
    let (a, b) = (place.config_path("a"), place.config_path("b"));
    let live = place.admin.get(&a).await.unwrap();
    assert!(live["data"]["key"].is_null(), "{live:#}");
    // Our marks are put on afterwards: no rule takes them away.
    assert_eq!(
        live["metadata"]["labels"]["plimsoll.dev/application"],
        "shop"
    );
    for path in [&a, &b] {
        place.patch(path, &json!({"data": {"key": "theirs"}})).await;
    }
    place
        .until_object(&b, "the other is given back", |live| {
            live["data"]["key"] == "one"
        })
        .await;
    let live = place.admin.get(&a).await.unwrap();
    assert_eq!(live["data"]["key"], "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_is_named_and_backed_off_from() {
    let place = Place::new("fight").await;
    let commit = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "ours")))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &commit).await;
    let settings = place.config_path("settings");
    let mark = place.mark();
    let rounds = AtomicUsize::new(0);
    // Another controller sets its value whenever it is not there.
    let seen = eventually(SOON, "it is said to be a fight", || async {
        let seen = crate::story_support::Seen(place.get("shop").await);
        if seen.is("Drifted", "True") {
            return Some(seen);
        }
        let live = place.admin.get(&settings).await.unwrap();
        if live["data"]["key"] == "ours" {
            let round = rounds.fetch_add(1, Ordering::Relaxed);
            assert!(round < 39, "nobody says that it is a fight");
            let theirs = json!({"data": {"key": "theirs"}});
            place.admin.patch(&settings, "fighter", &theirs).await;
        }
        None
    })
    .await;
    let message = seen.message("Drifted");
    assert!(
        message.contains("again and again by fighter") && message.contains("settings"),
        "{message}"
    );
    assert!(seen.is("Ready", "True"), "it is no failure of the set");
    let writes = place.written_since(mark).len();
    assert_eq!(writes, 10, "as many repairs as are no fight yet");
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"]["key"], "theirs", "it is let be for now");
}

/// Commits twice, and waits until the second is good. Returns both.
async fn at_the_second(place: &Place) -> (String, String) {
    let one = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "one")))]);
    let two = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "two")))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &two).await;
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_was_rewritten_is_held_until_a_person_allows_it() {
    let place = Place::new("rewind").await;
    let (one, _) = at_the_second(&place).await;
    // The branch is set back, and another commit put on that.
    let repository = git2::Repository::open_bare(place.repository.path()).unwrap();
    let old = git2::Oid::from_str(&one).unwrap();
    let set_back = || {
        repository
            .reference("refs/heads/main", old, true, "set back")
            .unwrap();
    };
    let mark = place.mark();
    set_back();
    place.ask("shop").await;
    let seen = place.until_held("shop", &one, "RevisionWentBack").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("does not descend from") && message.contains("spec.source.rewind"),
        "{message}"
    );
    let other = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "other")))],
        )
        .await;
    place.until_held("shop", &other, "RevisionWentBack").await;
    assert_eq!(place.written_since(mark), [""; 0]);
    let settings = place.config_path("settings");
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"]["key"], "two");
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"source": {"rewind": "allow"}}}),
        )
        .await;
    place.until_good("shop", &other).await;
    let live = place.admin.get(&settings).await.unwrap();
    assert_eq!(live["data"]["key"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_cannot_be_read_is_said_and_what_runs_goes_on() {
    let place = Place::new("history").await;
    let (base, two) = at_the_second(&place).await;
    // Only history holds this file, and nothing but history tells whether what comes now may follow.
    let repository = git2::Repository::open_bare(place.repository.path()).unwrap();
    let one = config("settings", "one");
    let blob = git2::Oid::hash_object(git2::ObjectType::Blob, one.as_bytes()).unwrap();
    let hash = blob.to_string();
    let (directory, name) = hash.split_at(2);
    let object = repository.path().join("objects").join(directory).join(name);
    let away = object.with_extension("away");
    std::fs::rename(&object, &away).unwrap();
    let base = git2::Oid::from_str(&base).unwrap();
    repository
        .reference("refs/heads/main", base, true, "set back")
        .unwrap();
    let mark = place.mark();
    let other = place
        .push(
            "shop",
            &[("deploy/settings.yaml", Some(&config("settings", "other")))],
        )
        .await;
    let seen = place
        .until("shop", "history cannot be read", |seen| {
            seen.is("Fetched", "False")
        })
        .await;
    assert_eq!(seen.reason("Fetched"), "GitProtocol");
    assert_eq!(seen.applied(), format!("main@sha1:{two}"));
    assert_eq!(place.written_since(mark), [""; 0]);
    std::fs::rename(&away, &object).unwrap();
    let seen = place.until_held("shop", &other, "RevisionWentBack").await;
    assert!(seen.is("Fetched", "True"));
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_claims_and_definitions_with_instances_go_only_with_approval() {
    let place = Place::new("kept").await;
    place.bind_cluster_wide("deployer", "cluster-admin").await;
    let space = format!("{}-more", place.namespace);
    let kind = "Parrot".to_owned();
    let group = format!("{}.example.org", place.namespace);
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {space}}}\n");
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let definition = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: parrots.{group}}}\nspec:\n  group: {group}\n  names: {{kind: {kind}, plural: parrots, singular: parrot, listKind: ParrotList}}\n  scope: Namespaced\n  versions:\n  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}\n"
    );
    let files: Vec<(String, String)> = (0..8)
        .map(|at| (format!("deploy/{at}.yaml"), config(&format!("c{at}"), "x")))
        .collect();
    let mut all: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    all.extend([
        ("deploy/space.yaml", Some(namespace.as_str())),
        ("deploy/claim.yaml", Some(claim)),
        ("deploy/definition.yaml", Some(definition.as_str())),
    ]);
    let one = place.repository.commit(&all);
    place
        .application(
            "shop",
            json!({"health": {"exprs": [], "soak": "300ms", "timeout": "20m"}}),
        )
        .await;
    // A claim that nobody mounts waits for its first consumer: that is no failure.
    place.until_good("shop", &one).await;
    let instances = format!("/apis/{group}/v1/namespaces/{}/parrots", place.namespace);
    let parrot =
        json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "polly"}});
    eventually(SOON, "the kind is served", || async {
        place.admin.get(&instances).await
    })
    .await;
    place.admin.create(&instances, &parrot).await;
    // An operator's child has our labels, copied from its parent.
    let children = format!("/api/v1/namespaces/{}/configmaps", place.namespace);
    let child = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "child", "labels": {
        "plimsoll.dev/application": "shop", "plimsoll.dev/application-namespace": place.namespace}}});
    place.admin.create(&children, &child).await;

    // Each in its turn, well below the limits of number.
    let definition_path =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/parrots.{group}");
    let claim_path = place.path("v1", "persistentvolumeclaims", "data");
    for (file, path, word) in [
        (
            "deploy/space.yaml",
            format!("/api/v1/namespaces/{space}"),
            "Namespace/",
        ),
        ("deploy/claim.yaml", claim_path, "PersistentVolumeClaim/"),
        (
            "deploy/definition.yaml",
            definition_path,
            "CustomResourceDefinition/",
        ),
    ] {
        let mark = place.mark();
        let commit = place.push("shop", &[(file, None)]).await;
        let seen = place
            .until("shop", "approval is asked for", |seen| {
                seen.is("PruneBlocked", "True") && seen.applied().contains(&commit)
            })
            .await;
        let message = seen.message("PruneBlocked").to_owned();
        assert!(message.contains(word), "{word}: {message}");
        assert!(seen.is("Ready", "True"), "{word}");
        let deletes = |writes: Vec<String>| {
            writes
                .iter()
                .filter(|one| one.starts_with("delete "))
                .count()
        };
        assert_eq!(deletes(place.written_since(mark)), 0, "{word}");
        assert!(place.admin.get(&path).await.is_some(), "{word}");
        let output = place.cli(&["approve", "shop", message.rsplit(' ').next().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        eventually(SOON, &format!("{word} goes"), || async {
            let live = place.admin.get(&path).await;
            live.is_none_or(|live| live["metadata"]["deletionTimestamp"].is_string())
                .then_some(())
        })
        .await;
        place
            .until("shop", "it rests", |seen| !seen.is("PruneBlocked", "True"))
            .await;
    }
    assert!(
        place.admin.get(&place.config_path("child")).await.is_some(),
        "what we did not write is not ours to delete"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_points_elsewhere_or_is_made_anew_deletes_nothing_unasked() {
    let place = Place::new("moved").await;
    let files: Vec<(String, String)> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| (format!("deploy/{name}.yaml"), config(name, "x")))
        .collect();
    let all: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let one = place.repository.commit(&all);
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &one).await;
    let uid = |name: &'static str| {
        let path = place.config_path(name);
        let admin = place.admin.clone();
        async move { admin.get(&path).await.unwrap()["metadata"]["uid"].clone() }
    };
    let before = uid("a").await;
    let deletes = |mark| {
        let writes = place.written_since(mark);
        writes
            .iter()
            .filter(|one| one.starts_with("delete "))
            .count()
    };

    // Deleted and made anew under its name, as after a reinstallation: the objects stay the same ones.
    let mark = place.mark();
    place.admin.delete(&place.application_path("shop")).await;
    eventually(SOON, "it is gone", || async {
        place.get("shop").await.is_null().then_some(())
    })
    .await;
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &one).await;
    assert_eq!(uid("a").await, before);
    assert_eq!(deletes(mark), 0);

    // Another path: everything would go, and nothing does without a person.
    let mark = place.mark();
    let two = place
        .repository
        .commit(&[("other/e.yaml", Some(&config("e", "x")))]);
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"source": {"path": "other"}}}),
        )
        .await;
    let seen = place
        .until("shop", "approval is asked for", |seen| {
            seen.is("PruneBlocked", "True") && seen.applied().contains(&two)
        })
        .await;
    let message = seen.message("PruneBlocked");
    assert!(message.contains("would delete 4 of"), "{message}");
    assert_eq!(deletes(mark), 0);
    assert_eq!(uid("a").await, before);
}
