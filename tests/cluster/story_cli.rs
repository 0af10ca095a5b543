//! What a person types, against what the controller does.

use std::{fs, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::story_support::{Place, config, deployment};

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a verb, checks its exit code, and returns what it printed.
fn run(place: &Place, arguments: &[&str], code: i32) -> String {
    let output = place.cli(arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}",
        text(&output)
    );
    text(&output)
}

fn value(place: &Place, arguments: &[&str], code: i32) -> Value {
    let output = place.cli(arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}",
        text(&output)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every output format of a verb says something of its own kind.
fn formats(place: &Place, arguments: &[&str], code: i32, word: &str) {
    for format in ["table", "wide", "name", "json", "yaml"] {
        let mut all = arguments.to_vec();
        all.extend(["-o", format]);
        let output = place.cli(&all);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{all:?}: {}",
            text(&output)
        );
        assert!(text(&output).contains(word), "{all:?}: {}", text(&output));
        match format {
            "json" => drop(serde_json::from_slice::<Value>(&output.stdout).unwrap()),
            "yaml" => drop(serde_yaml::from_slice::<Value>(&output.stdout).unwrap()),
            "name" => assert!(
                output
                    .stdout
                    .split(|byte| *byte == b'\n')
                    .all(|line| !line.contains(&b' ')),
                "{}",
                text(&output)
            ),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a story is told in one go")]
async fn the_command_line_says_what_is_and_asks_for_what_should_be() {
    let place = Place::new("cli").await;
    let web = deployment("web", "web:1", 2);
    let one = place.repository.commit(&[
        ("deploy/web.yaml", Some(&web)),
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
    ]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;

    formats(&place, &["get"], 0, "shop");
    formats(&place, &["get", "shop"], 0, "shop");
    formats(&place, &["tree", "shop"], 0, "web");
    formats(&place, &["history", "shop"], 0, "shop");
    let why = run(&place, &["why", "shop"], 0);
    assert!(why.contains(&one), "{why}");
    let verified = run(&place, &["history", "shop", "--verify"], 0);
    assert!(verified.starts_with("ok "), "{verified}");
    run(&place, &["get", "missing"], 5);
    run(&place, &["release", "shop", "abc"], 5);
    run(&place, &["resume", "shop"], 5);
    run(&place, &["get", "--no-such-flag"], 2);

    let stranger = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"},
        "spec": {"containers": [{"name": "stranger", "image": "stranger:bad-image"}]},
    });
    place
        .admin
        .create(&place.path("v1", "pods", ""), &stranger)
        .await;

    // The same as the controller does: nothing now, then what the commit will do.
    let checkout = TempDir::new().unwrap();
    fs::create_dir(checkout.path().join("deploy")).unwrap();
    let write = |name: &str, content: &str| {
        fs::write(checkout.path().join("deploy").join(name), content).unwrap();
    };
    write("web.yaml", &web);
    write("settings.yaml", &config("settings", "one"));
    let directory = checkout.path().display().to_string();
    run(&place, &["diff", "shop", &directory], 0);
    write("settings.yaml", &config("settings", "two"));
    let diff = value(&place, &["diff", "shop", &directory, "-o", "json"], 1);
    assert_eq!(diff["changes"].as_array().unwrap().len(), 1);
    assert!(
        diff["changes"][0]["object"]
            .as_str()
            .unwrap()
            .contains("settings")
    );
    run(&place, &["diff", "shop", &directory, "--exit-zero"], 0);
    write(
        "settings.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999999}]}\n",
    );
    run(&place, &["diff", "shop", &directory], 6);
    // What left git is named as deleted.
    fs::remove_file(checkout.path().join("deploy/settings.yaml")).unwrap();
    let diff = value(&place, &["diff", "shop", &directory, "-o", "json"], 1);
    assert!(diff["changes"].as_array().unwrap().is_empty(), "{diff:#}");
    assert_eq!(diff["deletes"].as_array().unwrap().len(), 1);
    assert!(diff["deletes"][0].as_str().unwrap().contains("settings"));
    assert_eq!(diff["notRead"], json!([]));
    let shown = run(&place, &["diff", "shop", &directory], 1);
    assert!(
        shown.contains("- delete ConfigMap/") && shown.contains("1 to delete"),
        "{shown}"
    );
    write("settings.yaml", "a: [\n");
    run(&place, &["diff", "shop", &directory], 7);

    // Asking and pausing.
    let pause = place.cli(&["pause", "shop", "--reason", "holidays"]);
    assert!(pause.status.success(), "{}", text(&pause));
    let seen = place
        .until("shop", "it is paused", |seen| seen.is("Paused", "True"))
        .await;
    assert!(seen.message("Paused").contains("holidays") && seen.is("Ready", "True"));
    let two = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "two")))]);
    let mark = place.mark();
    run(&place, &["sync", "shop", "--reason", "now"], 0);
    place
        .until("shop", "the command is dealt with", |seen| {
            seen.0["status"]["handled"]
                .as_array()
                .is_some_and(|all| all.len() >= 2)
        })
        .await;
    assert_eq!(place.written_since(mark), [""; 0], "paused");
    // Drift is told from a conflict by the revision in status, which a clone can render again.
    let settings = place.config_path("settings");
    place
        .patch(&settings, &json!({"data": {"key": "theirs"}}))
        .await;
    let clone = TempDir::new().unwrap();
    git2::Repository::clone(&place.repository.url(), clone.path()).unwrap();
    let cloned = clone.path().display().to_string();
    let diff = value(&place, &["diff", "shop", &cloned, "-o", "json"], 1);
    assert_eq!(diff["refused"], json!([]), "{diff:#}");
    assert_eq!(diff["changes"][0]["action"], "repair", "{diff:#}");
    write("settings.yaml", &config("settings", "two"));
    run(&place, &["diff", "shop", &directory], 6);
    run(&place, &["resume", "shop"], 0);
    place.until_good("shop", &two).await;
    let three = place
        .repository
        .commit(&[("deploy/settings.yaml", Some(&config("settings", "three")))]);
    run(&place, &["sync", "shop"], 0);
    place.until_good("shop", &three).await;

    // A failure, in the words of each verb; then released and tried again.
    let bad = place.repository.commit(&[(
        "deploy/web.yaml",
        Some(&deployment("web", "web:bad-image", 2)),
    )]);
    run(&place, &["sync", "shop"], 0);
    let seen = place.until_returned("shop", &bad).await;
    formats(&place, &["get", "shop"], 1, "shop");
    let why = run(&place, &["why", "shop"], 1);
    assert!(
        why.contains("bad-image")
            && why.contains("plimsoll release shop")
            && why.contains("[deploy/web.yaml")
            && why.contains(&bad),
        "{why}"
    );
    // A pod of the same namespace that is nobody's business.
    assert!(
        !why.contains("stranger") && why.lines().count() <= 24,
        "{why}"
    );
    let failed = value(
        &place,
        &["history", "shop", "--result", "failed", "-o", "json"],
        0,
    );
    assert_eq!(failed.as_array().unwrap().len(), 1);
    let digest = seen
        .text("/status/quarantine/0/digest")
        .trim_start_matches("sha256:")
        .to_owned();
    let attempt = seen.attempt();
    run(
        &place,
        &[
            "release",
            "shop",
            digest.get(..8).unwrap(),
            "--reason",
            "pushed",
        ],
        0,
    );
    place
        .until("shop", "it is tried again and returns again", |seen| {
            seen.attempt() > attempt && seen.reason("Ready") == "Returned"
        })
        .await;

    // An attempt that is under way is ended.
    place.repository.commit(&[(
        "deploy/web.yaml",
        Some(&deployment("web", "web:never-ready", 2)),
    )]);
    run(&place, &["sync", "shop"], 0);
    place
        .until("shop", "it is watched", |seen| seen.phase() == "Watching")
        .await;
    run(&place, &["cancel", "shop", "--reason", "enough"], 0);
    place
        .until("shop", "it was ended", |seen| {
            seen.reason("Stalled") == "Cancelled"
        })
        .await;
    let records = place.records("shop").await;
    for verb in ["pause", "resume", "sync", "release", "cancel"] {
        assert!(
            records
                .iter()
                .any(|record| record["command"]["verb"] == verb),
            "{verb}"
        );
    }
    assert!(records.iter().any(|record| record["result"] == "Cancelled"));
    let verified = run(&place, &["history", "shop", "--verify"], 0);
    assert!(verified.starts_with("ok "), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_render_prints_is_what_is_applied() {
    let place = Place::new("printed").await;
    let web = deployment("web", "web:1", 2);
    let one = place.repository.commit(&[("deploy/web.yaml", Some(&web))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    let checkout = TempDir::new().unwrap();
    fs::write(checkout.path().join("web.yaml"), &web).unwrap();
    let directory = checkout.path().display().to_string();
    let output = crate::story_support::plimsoll(&[
        "render",
        "--name",
        "shop",
        "--namespace",
        &place.namespace,
        &directory,
        "-o",
        "json",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    let rendered: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rendered = rendered.get(0).unwrap_or(&rendered);
    let live = place
        .admin
        .get(&place.deployment_path("web"))
        .await
        .unwrap();
    for pointer in [
        "/metadata/labels",
        "/spec/replicas",
        "/spec/selector",
        "/spec/template/metadata/labels",
    ] {
        assert_eq!(
            rendered.pointer(pointer),
            live.pointer(pointer),
            "{pointer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_application_leaves_its_objects_unless_told_otherwise() {
    let place = Place::new("deleted").await;
    let one = place.repository.commit(&[
        ("deploy/settings.yaml", Some(&config("settings", "one"))),
        ("cascade/gone.yaml", Some(&config("gone", "one"))),
    ]);
    place.application("shop", json!({})).await;
    place
        .application(
            "cascade",
            json!({"source": {"path": "cascade"}, "deletion": "Cascade"}),
        )
        .await;
    place.until_good("shop", &one).await;
    place.until_good("cascade", &one).await;
    place.admin.delete(&place.application_path("shop")).await;
    place.admin.delete(&place.application_path("cascade")).await;
    for name in ["shop", "cascade"] {
        place
            .until_object(&place.application_path(name), "it is gone", Value::is_null)
            .await;
    }
    assert!(place.admin.get(&place.config_path("gone")).await.is_none());
    assert!(
        place
            .admin
            .get(&place.config_path("settings"))
            .await
            .is_some()
    );
}
