//! What it costs: requests and renders, counted. No time is asserted.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    story_support::{CONTROLLER, Controller, Place, SOON, Stage, config, deployment, shared},
    support::{AuditEntry, AuditMark, audit_since, devcluster_of_its_own, eventually},
};

/// Requests of Plimsoll for this place, by what they are: as its account, or as itself in its namespace or about its
/// stored sets.
fn counts(place: &Place, mark: AuditMark, uids: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in audit_since(mark) {
        let about = entry.namespace == place.namespace
            || entry.impersonated.as_deref() == Some(&place.user("deployer"))
            || uids.iter().any(|uid| {
                entry.name.starts_with(uid.as_str()) || entry.uri.contains(uid.as_str())
            });
        if about && entry.user == CONTROLLER && entry.verb != "watch" {
            *counts.entry(kind_of(&entry)).or_default() += 1;
        }
    }
    counts
}

fn kind_of(entry: &AuditEntry) -> String {
    let verb = if entry.uri.contains("dryRun=All") {
        "dry-run"
    } else {
        &entry.verb
    };
    format!("{verb} {}", entry.resource)
}

async fn uid(place: &Place, name: &str) -> String {
    place.get(name).await["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_asks_nothing_that_it_knows() {
    let place = Place::new("counts").await;
    // Others of the same kinds, so that their watches run.
    let commit = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 0))),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("warm", json!({})).await;
    place.until_good("warm", &commit).await;
    let second = place.repository.commit(&[
        ("more/web.yaml", Some(&deployment("other", "web:1", 0))),
        ("more/settings.yaml", Some(&config("others", "one"))),
    ]);
    let mark = place.mark();
    place
        .application("shop", json!({"source": {"path": "more"}}))
        .await;
    place.until_good("shop", &second).await;
    let uids = [uid(&place, "shop").await];
    let mut found = counts(&place, mark, &uids);
    // Good news is left out where there is much of it; a second status write says that it soaked.
    let events = found.remove("create events").unwrap_or_default();
    assert!(events <= 2, "{events} events");
    let expected = [
        ("dry-run deployments", 1),
        ("dry-run configmaps", 1),
        ("patch deployments", 1),
        ("patch configmaps", 1),
        ("create secrets", 1),
        // What an earlier Application of this name left.
        ("list syncrecords", 1),
        ("create syncrecords", 1),
        ("update applications/status", 2),
    ];
    assert_eq!(
        found,
        expected
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_touches_one_of_many_costs_the_others_nothing() {
    let (_, controller) = shared().await;
    let place = Place::new("monorepo").await;
    let names = ["one", "two", "three", "four", "five"];
    let files: Vec<(String, String)> = names
        .iter()
        .flat_map(|name| {
            [
                (
                    format!("apps/{name}/kustomization.yaml"),
                    "resources: [../../base, own.yaml]\nnameSuffix: -".to_owned() + name + "\n",
                ),
                (format!("apps/{name}/own.yaml"), config("own", "one")),
            ]
        })
        .chain([
            (
                "base/kustomization.yaml".to_owned(),
                "resources: [shared.yaml]\n".to_owned(),
            ),
            ("base/shared.yaml".to_owned(), config("shared", "one")),
        ])
        .collect();
    let changes: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let first = place.repository.commit(&changes);
    for name in names {
        let path = format!("apps/{name}");
        place
            .application(name, json!({"source": {"path": path}}))
            .await;
    }
    for name in names {
        place.until_good(name, &first).await;
    }
    let mut uids = Vec::new();
    for name in names {
        uids.push(uid(&place, name).await);
    }
    let rendered = |name: &str| {
        let application = format!("{}/{name}", place.namespace);
        controller
            .logged()
            .lines()
            .filter(|line| line.contains("rendered") && line.contains(&application))
            .count()
    };
    let before: Vec<usize> = names.iter().map(|name| rendered(name)).collect();

    let mark = place.mark();
    let second = place
        .repository
        .commit(&[("apps/two/own.yaml", Some(&config("own", "two")))]);
    for name in names {
        place.ask(name).await;
    }
    place.until_good("two", &second).await;
    let looked = |name: &str| {
        let application = format!("{}/{name}", place.namespace);
        let short = &second[..7];
        controller.logged().lines().any(|line| {
            line.contains("other files") && line.contains(&application) && line.contains(short)
        })
    };
    eventually(SOON, "the others have looked at the commit", || async {
        names
            .iter()
            .filter(|name| **name != "two")
            .all(|name| looked(name))
            .then_some(())
    })
    .await;
    let after: Vec<usize> = names.iter().map(|name| rendered(name)).collect();
    let more: Vec<usize> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
    assert_eq!(more, [0, 1, 0, 0, 0]);
    let found = counts(&place, mark, &uids);
    let total: usize = found.values().sum();
    assert!(total <= 12, "{found:?}");
    assert_eq!(found.get("dry-run configmaps"), Some(&1), "{found:?}");
    assert_eq!(found.get("patch configmaps"), Some(&1), "{found:?}");
    assert_eq!(found.get("create secrets"), Some(&1), "{found:?}");

    // What all of them read is rendered by all.
    let third = place
        .repository
        .commit(&[("base/shared.yaml", Some(&config("shared", "two")))]);
    for name in names {
        place.ask(name).await;
    }
    for name in names {
        place.until_good(name, &third).await;
    }
    let last: Vec<usize> = names.iter().map(|name| rendered(name)).collect();
    let more: Vec<usize> = last.iter().zip(&after).map(|(a, b)| a - b).collect();
    assert_eq!(more, [1; 5]);

    // The mirror saw the branch go on; nobody walks over what came since its own last change.
    let place_of = format!("{}/", place.namespace);
    let logged = controller.logged();
    let walks = logged
        .lines()
        .filter(|line| line.contains("history is walked") && line.contains(&place_of));
    assert_eq!(walks.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_asks_for_each_thing_once() {
    let own = devcluster_of_its_own("start");
    let stage = Stage::set(own.cluster()).await;
    let controller = Controller::start(&stage.kubeconfig, &[]);
    controller.until_leading().await;
    let place = Place::on(&stage, "start").await;
    let names = ["one", "two", "three"];
    let mut commits = Vec::new();
    for name in names {
        let path = format!("apps/{name}");
        let file = format!("{path}/settings.yaml");
        let commit = place
            .repository
            .commit(&[(&file, Some(&config(name, "one")))]);
        let source = json!({"source": {"path": path}});
        place.application(name, source).await;
        place.until_good(name, &commit).await;
        commits.push(commit);
    }
    controller.terminate();
    eventually(SOON, "the controller has ended", || async {
        controller.ended()
    })
    .await;

    let mark = own.cluster().audit_mark();
    let controller = Controller::start(&stage.kubeconfig, &[]);
    controller.until_leading().await;
    let count = |verb: &str, resource: &str| {
        let of = |entry: &&AuditEntry| {
            entry.user == CONTROLLER && entry.verb == verb && entry.resource == resource
        };
        own.cluster().audit_since(mark).iter().filter(of).count()
    };
    eventually(SOON, "all are taken up", || async {
        let (_, metrics) = controller.ask("/metrics").await;
        let reconciles = metrics
            .lines()
            .filter(|line| line.starts_with("plimsoll_reconcile_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let asked = count("get", "syncrecords");
        (reconciles.sum::<f64>() >= 3.0 && asked >= names.len()).then_some(())
    })
    .await;
    // The record after the newest one of each, which is not there; their stored sets in one list.
    assert_eq!(count("get", "syncrecords"), names.len());
    assert_eq!(count("list", "secrets"), 1);
    assert_eq!(count("list", "syncrecords"), 0);
    assert_eq!(count("list", "applications"), 1);
    // The branch went on with the files of others, and nobody is told of that, nor is history asked for.
    assert_eq!(count("update", "applications"), 0);
    for (name, commit) in names.iter().zip(&commits) {
        let application = place.get(name).await;
        assert_eq!(
            application["status"]["applied"]["revision"],
            json!(format!("main@sha1:{commit}"))
        );
    }
}
