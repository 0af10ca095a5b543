//! The history: complete, elsewhere as well, verifiable, and without a secret's value.
//!
//! Enters: a cluster of its own, for its controller keeps records in a directory and at a server behind ssh.
//! Leaves: what an auditor would ask, asked.
//! Never: a moment chosen by a wait: a right that is missing holds the controller where it is to be killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    sshd::Sshd,
    story_support::{
        CONTROLLER, Controller, Place, SOON, Stage, allowed, config, deployment, plimsoll,
    },
    support::{OwnDevcluster, devcluster_of_its_own, eventually},
};

/// What no output, record or sink may hold: as it is, and as a Secret carries it.
const CANARY: [&str; 2] = ["canary-7f3a9c-value", "Y2FuYXJ5LTdmM2E5Yy12YWx1ZQ=="];

struct Scene {
    stage: Stage,
    place: Place,
    root: TempDir,
    /// Where the branch of records is kept.
    sshd: Option<Sshd>,
    /// Ends after everything else.
    _own: OwnDevcluster,
}

impl Scene {
    fn directory(&self) -> PathBuf {
        self.root.path().join("sink")
    }

    fn public_key(&self) -> String {
        self.root.path().join("key.pub.pem").display().to_string()
    }

    fn start(&self) -> Controller {
        let path = |name: &str| self.root.path().join(name).display().to_string();
        let audit = self.root.path().join("audit.git");
        let audit = self.sshd.as_ref().map(|sshd| sshd.url(&audit)).unwrap();
        Controller::start(
            &self.stage.kubeconfig,
            &[
                "--history-directory",
                &path("sink"),
                "--history-repository",
                &audit,
                "--history-repository-secret",
                "audit",
                "--allow-host",
                "127.0.0.1",
                "--history-fail-closed",
                "--history-keep",
                "100",
                "--checkpoint-key",
                &path("key.pem"),
                "--checkpoint-every",
                "3",
                "--checkpoint-interval",
                "1s",
            ],
        )
    }

    /// Ends a controller as `kill -9` does, and takes its Lease away, which otherwise takes 15 s.
    async fn kill(&self, controller: &Controller) {
        controller.kill();
        let lease = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll";
        if self.place.admin.get(lease).await.is_some() {
            self.place.admin.delete(lease).await;
        }
    }

    /// Gives the controller a right, or takes it away; waits until that holds.
    async fn may(&self, resource: &str, verb: &str, may: bool) {
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/plimsoll-controller";
        let role = self.place.admin.get(path).await.unwrap();
        let mut rules = role["rules"].clone();
        for rule in rules.as_array_mut().unwrap() {
            if rule["resources"] == json!([resource]) {
                let verbs = rule["verbs"].as_array_mut().unwrap();
                verbs.retain(|known| known != verb);
                if may {
                    verbs.push(json!(verb));
                }
            }
        }
        self.place.patch(path, &json!({"rules": rules})).await;
        eventually(SOON, "the right is as it is to be", || async {
            let is = allowed(
                &self.place.admin,
                CONTROLLER,
                verb,
                "plimsoll.dev",
                resource,
                &self.place.namespace,
            )
            .await;
            (is == may).then_some(())
        })
        .await;
    }

    fn run(&self, arguments: &[&str], code: i32) -> String {
        let output = self.place.cli(arguments);
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    fn sink(&self) -> String {
        all_text(&self.directory())
    }
}

/// Returns everything that is in the files of a directory.
fn all_text(directory: &Path) -> String {
    let mut names: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| fs::read_to_string(name).unwrap())
        .collect()
}

fn verified(arguments: &[&str], code: i32) -> String {
    let output = plimsoll(arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// Returns the text of every file on the audit branch.
fn branch(repository: &Path) -> String {
    let repository = git2::Repository::open_bare(repository).unwrap();
    let mut text = String::new();
    for reference in repository.references_glob("refs/heads/audit/*").unwrap() {
        let tree = reference.unwrap().peel_to_tree().unwrap();
        tree.walk(git2::TreeWalkMode::PreOrder, |_, entry| {
            if entry.kind() == Some(git2::ObjectType::Blob) {
                let blob = repository.find_blob(entry.id()).unwrap();
                text.push_str(std::str::from_utf8(blob.content()).unwrap());
            }
            git2::TreeWalkResult::Ok
        })
        .unwrap();
    }
    text
}

fn secret(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\nstringData: {{password: \"{value}\"}}\n"
    )
}

fn no_canary(what: &str, text: &str) {
    for canary in CANARY {
        assert!(!text.contains(canary), "{what} holds {canary}:\n{text}");
    }
}

async fn set_up() -> Scene {
    let own = devcluster_of_its_own("history");
    let stage = Stage::set(own.cluster()).await;
    let place = Place::on(&stage, "history").await;
    let root = TempDir::new().unwrap();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(root.path())
            .status()
            .unwrap();
        assert!(done.success());
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub.pem"]);
    git2::Repository::init_bare(root.path().join("audit.git")).unwrap();
    let sshd = Sshd::start(&["ed25519"]);
    let audit = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "audit", "namespace": "plimsoll-system"},
        "stringData": {"identity": sshd.identity(), "known_hosts": sshd.known_hosts(&["ed25519"])}
    });
    let path = "/api/v1/namespaces/plimsoll-system/secrets/audit";
    stage.admin.apply(path, &audit).await;
    Scene {
        stage,
        place,
        root,
        sshd: Some(sshd),
        _own: own,
    }
}

/// Every kind of attempt, with a secret value in each.
async fn play(scene: &Scene) -> String {
    let place = &scene.place;
    let web = deployment("web", "web:1", 1);
    let one = place.repository.commit(&[
        ("deploy/web.yaml", Some(&web)),
        ("deploy/token.yaml", Some(&secret(CANARY[0]))),
        (
            "deploy/old.yaml",
            Some(&secret(CANARY[0]).replace("token", "old")),
        ),
        ("deploy/extra.yaml", Some(&config("extra", "1"))),
    ]);
    place
        .application("shop", json!({"deletion": "Cascade"}))
        .await;
    place.until_good("shop", &one).await;

    // Drift of a Secret, and its prune.
    let token = place.path("v1", "secrets", "token");
    place
        .patch(&token, &json!({"data": {"password": "dGhlaXJz"}}))
        .await;
    place
        .until_object(&token, "it is given back", |live| {
            live["data"]["password"] == CANARY[1]
        })
        .await;
    let two = place.push("shop", &[("deploy/old.yaml", None)]).await;
    place.until_good("shop", &two).await;
    place
        .until_object(
            &place.path("v1", "secrets", "old"),
            "it is gone",
            Value::is_null,
        )
        .await;

    // A failure that is returned from, with a changed Secret.
    let bad = place
        .push(
            "shop",
            &[
                (
                    "deploy/web.yaml",
                    Some(&deployment("web", "web:bad-image", 1)),
                ),
                (
                    "deploy/token.yaml",
                    Some(&secret(&format!("{}-2", CANARY[0]))),
                ),
            ],
        )
        .await;
    place.until_returned("shop", &bad).await;

    // Refusals that quote what they refuse: a Secret that is none, files that do not render.
    let wrong = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\ndata: {{password: \"{}!\"}}\n",
        CANARY[0]
    );
    let refused = place
        .push(
            "shop",
            &[
                ("deploy/web.yaml", Some(&web)),
                ("deploy/token.yaml", Some(&wrong)),
            ],
        )
        .await;
    place
        .until("shop", "it is refused", |seen| {
            seen.text("/status/held/revision").contains(&refused)
        })
        .await;
    let torn = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\nstringData: {{password: {}: [\n",
        CANARY[0]
    );
    let unreadable = place
        .push("shop", &[("deploy/token.yaml", Some(&torn))])
        .await;
    place
        .until("shop", "it is refused", |seen| {
            seen.text("/status/held/revision").contains(&unreadable)
        })
        .await;

    ordered(scene, &web).await
}

/// What people ask for.
async fn ordered(scene: &Scene, web: &str) -> String {
    let place = &scene.place;
    // The sync comes first: a resume looks at git too, and would be the one that finds the commit.
    let three = place.repository.commit(&[
        (
            "deploy/token.yaml",
            Some(&secret(&format!("{}-3", CANARY[0]))),
        ),
        ("deploy/web.yaml", Some(web)),
    ]);
    scene.run(&["sync", "shop", "--reason", "now"], 0);
    place.until_good("shop", &three).await;
    scene.run(&["pause", "shop", "--reason", "holidays"], 0);
    place
        .until("shop", "it is paused", |seen| seen.is("Paused", "True"))
        .await;
    scene.run(&["resume", "shop"], 0);
    place
        .until("shop", "it is not paused any more", |seen| {
            !seen.is("Paused", "True")
        })
        .await;
    three
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_recorded_kept_elsewhere_and_verifiable_without_a_secret() {
    let scene = set_up().await;
    let place = &scene.place;
    let controller = scene.start();
    controller.until_leading().await;
    play(&scene).await;

    records_tell_all(place).await;
    let count = created_again(&scene).await;
    let key = scene.public_key();
    sinks_have_all(&scene, &controller, count, &key).await;
    nothing_holds_the_secret(&scene, &controller).await;
    tampered(&scene, &key);
    stopped(&scene, &controller).await;
}

async fn records_tell_all(place: &Place) {
    let records = place.records("shop").await;
    let told: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                "{} {}",
                record["action"].as_str().unwrap(),
                record["result"].as_str().unwrap()
            )
        })
        .collect();
    for wanted in [
        "Sync Ready",
        "DriftRepair Ready",
        "Prune Ready",
        "Sync Failed",
        "Sync Refused",
        "pause Done",
        "resume Done",
        "sync Done",
    ] {
        assert!(
            told.iter().any(|told| told == wanted),
            "{wanted} is missing: {told:?}"
        );
    }
    assert_eq!(
        told.iter().filter(|told| *told == "Sync Refused").count(),
        2,
        "{told:?}"
    );
    let first = &records[0];
    assert_eq!(first["trigger"]["cause"], "commit");
    assert_eq!(
        first["source"]["commit"]["author"],
        "Ann Author <ann@example.com>"
    );
    assert!(first["cluster"].is_string() && first["times"]["applied"].is_string());
    assert_eq!(
        first["images"]["list"][0],
        json!({"name": "web", "tag": "1"})
    );
    let asked = records
        .iter()
        .find(|record| record["action"] == "Sync" && record["trigger"]["cause"] == "command")
        .unwrap();
    assert_eq!(asked["trigger"]["verb"], "sync");
    assert_eq!(asked["trigger"]["verified"], true);
    let refused: Vec<&Value> = records
        .iter()
        .filter(|record| record["result"] == "Refused")
        .collect();
    assert!(
        refused
            .iter()
            .all(|record| record["source"]["revision"].is_string())
    );
}

/// Deleted with its objects, and created again under its name: a new chain that names the old one. Returns the records.
async fn created_again(scene: &Scene) -> usize {
    let place = &scene.place;
    let old = place.get("shop").await["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    place.admin.delete(&place.application_path("shop")).await;
    place
        .until_object(
            &place.application_path("shop"),
            "it is gone",
            Value::is_null,
        )
        .await;
    place.application("shop", json!({})).await;
    let seen = place
        .until("shop", "it is Ready again", |seen| seen.is("Ready", "True"))
        .await;
    let uid = seen.text("/metadata/uid").to_owned();
    let again: Value =
        serde_json::from_str(&scene.run(&["history", "shop", "-o", "json"], 0)).unwrap();
    let again = again.as_array().unwrap();
    let of = |uid: &str| {
        again
            .iter()
            .filter(|record| record["application"]["uid"] == *uid)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&old).last().unwrap()["action"], "delete");
    assert_eq!(of(&uid)[0]["succeeds"]["uid"], old.as_str());
    assert_eq!(
        of(&uid)[0]["succeeds"]["sequence"],
        of(&old).last().unwrap()["sequence"]
    );
    again.len()
}

/// Both sinks have every record, and a checkpoint that covers it.
async fn sinks_have_all(scene: &Scene, controller: &Controller, count: usize, key: &str) {
    eventually(SOON, "the sinks have every record", || async {
        let lines = |text: &str| {
            text.lines()
                .filter(|line| line.starts_with("{\"action\""))
                .count()
        };
        let whole = lines(&scene.sink()) == count
            && lines(&branch(&scene.root.path().join("audit.git"))) == count;
        let (_, metrics) = controller.ask("/metrics").await;
        (whole && metrics.contains("plimsoll_ledger_spool_length{sink=\"file\"} 0")).then_some(())
    })
    .await;
    let directory = scene.directory().display().to_string();
    eventually(SOON, "a checkpoint covers the newest record", || async {
        let output = plimsoll(&["history", "--verify", "--from", &directory, "--key", key]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && text.lines().all(|line| line.contains("signed up to")))
            .then_some(())
    })
    .await;
    let online = scene.run(&["history", "--verify", "--key", key], 0);
    assert!(online.contains("signatures checked"), "{online}");
}

/// No record, sink or output holds a secret's value.
async fn nothing_holds_the_secret(scene: &Scene, controller: &Controller) {
    let place = &scene.place;
    no_canary("the file sink", &scene.sink());
    no_canary(
        "the git sink",
        &branch(&scene.root.path().join("audit.git")),
    );
    no_canary("the log", &controller.logged());
    no_canary("the metrics", &controller.ask("/metrics").await.1);
    for (version, plural) in [
        ("plimsoll.dev/v1alpha1", "syncrecords"),
        ("plimsoll.dev/v1alpha1", "applications"),
        ("events.k8s.io/v1", "events"),
    ] {
        let list = place
            .admin
            .get(&place.path(version, plural, ""))
            .await
            .unwrap();
        no_canary(plural, &list.to_string());
    }
    let kept = "/api/v1/namespaces/plimsoll-system/configmaps";
    no_canary(
        "the ConfigMaps",
        &place.admin.get(kept).await.unwrap().to_string(),
    );
    for arguments in [
        &["history", "shop", "-o", "wide"][..],
        &["history", "shop", "-o", "csv"],
        &["history", "shop", "-o", "cdevents"],
        &["history", "shop", "-o", "intoto"],
        &["history", "show", "shop", "1"],
        &["why", "shop"],
        &["tree", "shop"],
        &["get", "shop"],
        &["report"],
        &["report", "-o", "html"],
        &["report", "dora"],
    ] {
        let text = scene.run(arguments, 0);
        no_canary(&arguments.join(" "), &text);
        assert!(text.contains("shop"), "{arguments:?}: {text}");
    }
}

/// A copy of the sink, changed: each change is found offline.
fn tampered(scene: &Scene, key: &str) {
    let copy = scene.root.path().join("copy.jsonl");
    let path = copy.display().to_string();
    let whole = scene.sink();
    let check = |text: &str, code: i32| {
        fs::write(&copy, text).unwrap();
        verified(
            &["history", "--verify", "--from", &path, "--key", key],
            code,
        )
    };
    check(&whole, 0);
    assert!(
        check(
            &whole.replacen("\"result\":\"Failed\"", "\"result\":\"Ready\"", 1),
            1
        )
        .contains("does not follow")
    );
    let lines: Vec<&str> = whole.lines().collect();
    let gone = lines
        .iter()
        .position(|line| line.contains("\"sequence\":3,"))
        .unwrap();
    let mut less = lines.clone();
    less.remove(gone);
    assert!(check(&less.join("\n"), 1).contains("record 3 is missing"));
    // Cut off at its end it is whole by itself; the newest checkpoint, kept elsewhere, knows better.
    let checkpoint = lines
        .iter()
        .rposition(|line| line.starts_with("{\"checkpoint"))
        .unwrap();
    let aside = scene.root.path().join("aside.jsonl");
    fs::write(&aside, lines[checkpoint]).unwrap();
    let first = lines
        .iter()
        .position(|line| line.starts_with("{\"checkpoint"))
        .unwrap();
    fs::write(&copy, lines[..=first].join("\n")).unwrap();
    let aside = aside.display().to_string();
    let text = verified(
        &[
            "history",
            "--verify",
            "--from",
            &path,
            "--key",
            key,
            "--checkpoints",
            &aside,
        ],
        1,
    );
    // The newest checkpoint speaks of the chains that changed last: of the old one, of the new one, or of both.
    let told = ["it ends with record", "no record is here, and checkpoint"];
    assert!(told.iter().any(|told| text.contains(told)), "{text}");
    let another = scene.root.path().join("another.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-outpubkey"])
        .arg(&another)
        .output()
        .unwrap();
    if made.status.success() {
        fs::write(&copy, &whole).unwrap();
        let text = verified(
            &[
                "history",
                "--verify",
                "--from",
                &path,
                "--key",
                &another.display().to_string(),
            ],
            1,
        );
        assert!(text.contains("is not signed by this key"), "{text}");
    }
}

/// While a sink does not take records nothing is changed; when it does, everything goes on.
async fn stopped(scene: &Scene, controller: &Controller) {
    let place = &scene.place;
    let away = scene.root.path().join("away");
    fs::rename(scene.directory(), &away).unwrap();
    fs::write(scene.directory(), "no directory").unwrap();
    // The first record afterwards finds out.
    scene.run(&["sync", "shop", "--reason", "is the sink there"], 0);
    eventually(SOON, "the sink is said not to be ready", || async {
        let (_, metrics) = controller.ask("/metrics").await;
        metrics
            .contains("plimsoll_ledger_sink_ready{sink=\"file\"} 0")
            .then_some(())
    })
    .await;
    let commit = place
        .push(
            "shop",
            &[("deploy/extra.yaml", Some(&config("extra", "2")))],
        )
        .await;
    place.until_held("shop", &commit, "HistoryStopped").await;
    let live = place.admin.get(&place.config_path("extra")).await.unwrap();
    assert_eq!(live["data"]["key"], "1", "nothing is changed");
    fs::remove_file(scene.directory()).unwrap();
    fs::rename(&away, scene.directory()).unwrap();
    place.until_good("shop", &commit).await;
    let directory = scene.directory().display().to_string();
    eventually(SOON, "what waited is kept", || async {
        let output = plimsoll(&[
            "history",
            "--verify",
            "--from",
            &directory,
            "--key",
            &scene.public_key(),
        ]);
        let records = scene
            .sink()
            .lines()
            .filter(|line| line.contains(&commit))
            .count();
        (output.status.success() && records > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_beside_its_record_leaves_exactly_one() {
    let own = devcluster_of_its_own("killed");
    let stage = Stage::set(own.cluster()).await;
    let place = Place::on(&stage, "killed").await;
    let scene = Scene {
        stage,
        place,
        root: TempDir::new().unwrap(),
        sshd: None,
        _own: own,
    };
    let place = &scene.place;
    let start = || Controller::start(&scene.stage.kubeconfig, &[]);
    let mut controller = start();
    controller.until_leading().await;
    let one = place
        .repository
        .commit(&[("deploy/a.yaml", Some(&config("a", "1")))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;

    // Applied, and killed before its record.
    scene.may("syncrecords", "create", false).await;
    let two = place
        .push("shop", &[("deploy/a.yaml", Some(&config("a", "2")))])
        .await;
    place
        .until_object(&place.config_path("a"), "it is applied", |live| {
            live["data"]["key"] == "2"
        })
        .await;
    controller
        .until_logged(&["reconcile failed", "create SyncRecord"])
        .await;
    scene.kill(&controller).await;
    scene.may("syncrecords", "create", true).await;
    controller = start();
    place.until_good("shop", &two).await;
    let of = |records: &[Value], commit: &str| -> Vec<Value> {
        let about = |record: &&Value| {
            record["source"]["revision"]
                .as_str()
                .is_some_and(|revision| revision.contains(commit))
        };
        records.iter().filter(about).cloned().collect()
    };
    let told = of(&place.records("shop").await, &two);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["result"], &told[0]["resumed"]),
        (&json!("Ready"), &json!(true))
    );

    // Recorded, and killed before its status: a sync, then a refusal.
    for (content, result) in [
        (config("a", "3"), "Ready"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_B}\n".to_owned(),
            "Refused",
        ),
    ] {
        let before = place.records("shop").await.len();
        scene.may("applications/status", "update", false).await;
        let commit = place
            .push("shop", &[("deploy/a.yaml", Some(&content))])
            .await;
        eventually(SOON, "it is recorded", || async {
            (place.records("shop").await.len() > before).then_some(())
        })
        .await;
        controller
            .until_logged(&["reconcile failed", "write the status"])
            .await;
        scene.kill(&controller).await;
        scene.may("applications/status", "update", true).await;
        controller = start();
        if result == "Ready" {
            place.until_good("shop", &commit).await;
        } else {
            place.until_held("shop", &commit, "DryRunRefused").await;
        }
        let told = of(&place.records("shop").await, &commit);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["result"], result);
    }
    assert_eq!(
        place
            .admin
            .send(
                Method::GET,
                &place.config_path("a"),
                "application/json",
                None
            )
            .await
            .0,
        200
    );
    drop(controller);
}
