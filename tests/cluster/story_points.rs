//! The controller is killed at each of its durable steps, found by counting its writes.
//!
//! Enters: a cluster of its own, and a proxy that lets the nth write through and holds its answer back.
//! Leaves: for each write the same end state, no orphan, no second delete, one record for each attempt.
//! Never: a moment chosen by hand, or by a clock: every write of a story is a point, until the story has no more.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    proxy::{Asked, Fate, Proxy},
    story_hooks::hook,
    story_support::{Controller, Place, SOON, Stage, config, deployment},
    support::{Devcluster, OwnDevcluster, devcluster_of_its_own, eventually},
};

/// More writes than any story has: a controller that writes on and on does not make the test endless.
const MOST: usize = 60;

/// One story at a time: they share the Lease.
static TURN: Mutex<()> = Mutex::const_new(());

fn cluster() -> &'static Devcluster {
    static CLUSTER: std::sync::OnceLock<OwnDevcluster> = std::sync::OnceLock::new();
    CLUSTER
        .get_or_init(|| devcluster_of_its_own("points"))
        .cluster()
}

/// A controller behind a proxy.
pub(crate) struct Bench {
    pub(crate) stage: Stage,
    pub(crate) proxy: Proxy,
    kubeconfig: PathBuf,
    controller: Option<Controller>,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl Bench {
    pub(crate) async fn set(name: &str) -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let turn = TURN.lock().await;
        let stage = Stage::set(cluster()).await;
        INSTALLED.get_or_init(|| async {}).await;
        let proxy = Proxy::start(cluster()).await;
        let kubeconfig = proxy.kubeconfig(&stage.kubeconfig, name);
        let mut bench = Self {
            stage,
            proxy,
            kubeconfig,
            controller: None,
            _turn: turn,
        };
        bench.restart().await;
        bench
    }

    pub(crate) fn controller(&self) -> &Controller {
        self.controller.as_ref().unwrap()
    }

    /// Ends the controller as `kill -9` does, and starts the next; the Lease of the dead one is taken away, which
    /// otherwise takes 15 s.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(|_| Fate::Pass).await;
    }

    /// The same, and the next one finds the way to the API server so.
    pub(crate) async fn restart_with(
        &mut self,
        rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) {
        if let Some(controller) = self.controller.take() {
            controller.kill();
        }
        self.proxy.heal();
        self.proxy.rule(rule);
        let lease = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll";
        if self.stage.admin.get(lease).await.is_some() {
            self.stage.admin.delete(lease).await;
        }
        let controller = Controller::start(&self.kubeconfig, &[]);
        controller.until_leading().await;
        self.controller = Some(controller);
    }

    /// Waits until so many more requests were broken.
    pub(crate) async fn until_broken(&self, count: usize) {
        let before = self.proxy.broken();
        eventually(SOON, &format!("{count} requests are broken"), || async {
            (self.proxy.broken() >= before + count).then_some(())
        })
        .await;
    }
}

/// Returns the objects of the place that carry our marks.
pub(crate) async fn marked(place: &Place) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (version, plural) in [
        ("v1", "configmaps"),
        ("apps/v1", "deployments"),
        ("batch/v1", "jobs"),
    ] {
        let path = format!(
            "{}?labelSelector=plimsoll.dev/application",
            place.path(version, plural, "")
        );
        let list = place.admin.get(&path).await.unwrap();
        for object in list["items"].as_array().unwrap() {
            all.insert(format!(
                "{plural}/{}",
                object["metadata"]["name"].as_str().unwrap()
            ));
        }
    }
    all
}

/// Fails unless every attempt has exactly one record, in a whole chain.
pub(crate) async fn one_record_each(place: &Place) {
    eventually(SOON, "every attempt has its record", || async {
        let newest = place.get("shop").await["status"]["attempt"].as_u64()?;
        let mut attempts: Vec<u64> = place
            .records("shop")
            .await
            .iter()
            .filter_map(|record| record["attempt"].as_u64())
            .collect();
        // A repair while a set becomes Ready ends before its sync does.
        attempts.sort_unstable();
        (attempts == (1..=newest).collect::<Vec<u64>>()).then_some(())
    })
    .await;
}

async fn push(place: &Place, files: &[(String, Option<String>)]) -> String {
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_deref()))
        .collect();
    place.push("shop", &files).await
}

/// Plays a story once for each of its writes. `begin` begins it, `ended` says whether it came to its end, and `check`
/// judges the end. Returns the number of points.
async fn at_every_write(
    bench: &mut Bench,
    what: &str,
    place: &Place,
    begin: impl AsyncFn(usize) -> String,
    ended: impl AsyncFn(usize, &str) -> bool,
    check: impl AsyncFn(usize, &str, crate::support::AuditMark),
) -> usize {
    for point in 0..MOST {
        let mark = place.mark();
        bench.proxy.passed();
        bench.proxy.strike_at(point);
        let commit = begin(point).await;
        let whole = tokio::select! {
            () = bench.proxy.struck() => false,
            () = async {
                eventually(SOON, &format!("{what} {point} ends or is struck"), || async {
                    ended(point, &commit).await.then_some(())
                })
                .await;
            } => true,
        };
        let last = bench.proxy.passed().pop();
        if !whole {
            let name = last.map_or_else(
                || "before the first".to_owned(),
                |asked| format!("after {} {}", asked.method, asked.path),
            );
            println!("{what}, point {point}: {name}");
            bench.restart().await;
            eventually(SOON, &format!("{what} {point} ends"), || async {
                ended(point, &commit).await.then_some(())
            })
            .await;
        }
        check(point, &commit, mark).await;
        one_record_each(place).await;
        if whole {
            println!("{what}: {point} kill points");
            return point;
        }
    }
    panic!("{what} has more than {MOST} writes");
}

fn deleted(place: &Place, mark: crate::support::AuditMark, name: &str) -> usize {
    place
        .asked_since(mark)
        .iter()
        .filter(|entry| entry.verb == "delete" && entry.name == name && entry.is_write())
        .count()
}

/// Counts the applies that made a Job: those that were answered 201.
fn created(place: &Place, mark: crate::support::AuditMark, name: &str) -> usize {
    place
        .asked_since(mark)
        .iter()
        .filter(|entry| entry.verb == "patch" && entry.name == name && entry.is_write())
        .filter(|entry| entry.code == 201)
        .count()
}

async fn is_good(place: &Place, commit: &str) -> bool {
    let app = place.get("shop").await;
    let status = &app["status"];
    let names = |set: &Value| {
        set["revision"]
            .as_str()
            .is_some_and(|at| at.contains(commit))
    };
    status["phase"] == "Idle"
        && names(&status["applied"])
        && names(&status["lastKnownGood"])
        && status["written"]
            .as_array()
            .is_some_and(|written| written.len() == 1)
}

const QUICK: &str = "300ms";

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_of_a_sync_and_its_prune() {
    let mut bench = Bench::set("points-sync").await;
    let place = Place::on(&bench.stage, "points").await;
    let name = |point: usize| format!("extra-{point}");
    let files = |point: usize| {
        let mut files = vec![
            (
                "deploy/settings.yaml".to_owned(),
                Some(config("settings", &format!("{point}"))),
            ),
            (
                format!("deploy/{}.yaml", name(point)),
                Some(config(&name(point), "x")),
            ),
        ];
        if point > 0 {
            files.push((format!("deploy/{}.yaml", name(point - 1)), None));
        }
        files
    };
    let first: Vec<(String, Option<String>)> = files(0);
    let first: Vec<(&str, Option<&str>)> = first
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_deref()))
        .collect();
    let commit = place.repository.commit(&first);
    place
        .application("shop", json!({"health": {"soak": QUICK}}))
        .await;
    place.until_good("shop", &commit).await;
    at_every_write(
        &mut bench,
        "sync and prune",
        &place,
        async |point| push(&place, &files(point + 1)).await,
        async |_, commit| is_good(&place, commit).await,
        async |point, _, mark| {
            let expected: BTreeSet<String> = [
                "configmaps/settings".to_owned(),
                format!("configmaps/{}", name(point + 1)),
            ]
            .into();
            assert_eq!(marked(&place).await, expected);
            let live = place
                .admin
                .get(&place.config_path("settings"))
                .await
                .unwrap();
            assert_eq!(live["data"]["key"], (point + 1).to_string());
            assert_eq!(deleted(&place, mark, &name(point)), 1);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_of_a_recreation() {
    let mut bench = Bench::set("points-recreate").await;
    let place = Place::on(&bench.stage, "points").await;
    let job = |point: usize| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - {{name: run, image: \"job:{point}\"}}\n"
        )
    };
    let commit = place
        .repository
        .commit(&[("deploy/job.yaml", Some(&job(0)))]);
    let spec = json!({"apply": {"recreate": ["Job"]}, "health": {"soak": QUICK}});
    place.application("shop", spec).await;
    place.until_good("shop", &commit).await;
    let path = place.path("batch/v1", "jobs", "migrate");
    at_every_write(
        &mut bench,
        "recreate",
        &place,
        async |point| {
            push(
                &place,
                &[("deploy/job.yaml".to_owned(), Some(job(point + 1)))],
            )
            .await
        },
        async |_, commit| is_good(&place, commit).await,
        async |point, _, mark| {
            let live = place.admin.get(&path).await.unwrap();
            assert_eq!(
                live["spec"]["template"]["spec"]["containers"][0]["image"],
                format!("job:{}", point + 1)
            );
            assert_eq!(deleted(&place, mark, "migrate"), 1);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_of_a_return() {
    let mut bench = Bench::set("points-return").await;
    let place = Place::on(&bench.stage, "points").await;
    let good = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 1))),
        ("deploy/settings.yaml", Some(&config("settings", "good"))),
        ("deploy/told.yaml", Some(&hook("told", "SyncFail", "job:1"))),
    ]);
    place
        .application("shop", json!({"health": {"soak": QUICK}}))
        .await;
    place.until_good("shop", &good).await;
    let mut expected = marked(&place).await;
    expected.insert("jobs/told".to_owned());
    at_every_write(
        &mut bench,
        "return",
        &place,
        async |point| {
            push(
                &place,
                &[
                    (
                        "deploy/web.yaml".to_owned(),
                        Some(deployment("web", &format!("web-{point}:bad-image"), 1)),
                    ),
                    (
                        "deploy/settings.yaml".to_owned(),
                        Some(config("settings", &format!("bad {point}"))),
                    ),
                    ("deploy/new.yaml".to_owned(), Some(config("new", "x"))),
                ],
            )
            .await
        },
        async |_, commit| {
            let app = place.get("shop").await;
            let status = &app["status"];
            status["phase"] == "Failed"
                && status["returned"] == true
                && status["target"]["revision"]
                    .as_str()
                    .is_some_and(|at| at.contains(commit))
        },
        async |point, _, mark| {
            assert_eq!(marked(&place).await, expected);
            // The hook of a failure ran once, be the controller killed before, in the midst or after.
            assert_eq!(deleted(&place, mark, "told"), usize::from(point > 0));
            assert_eq!(created(&place, mark, "told"), 1, "point {point}");
            let live = place
                .admin
                .get(&place.config_path("settings"))
                .await
                .unwrap();
            assert_eq!(live["data"]["key"], "good");
            let live = place
                .admin
                .get(&place.deployment_path("web"))
                .await
                .unwrap();
            assert_eq!(
                live["spec"]["template"]["spec"]["containers"][0]["image"],
                "web:1"
            );
            // It may have been struck before it was created.
            assert!(deleted(&place, mark, "new") <= 1);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_write_of_a_cascade() {
    let mut bench = Bench::set("points-cascade").await;
    let place = Place::on(&bench.stage, "points").await;
    let commit = place.repository.commit(&[
        ("deploy/a.yaml", Some(&config("a", "x"))),
        ("deploy/b.yaml", Some(&config("b", "x"))),
    ]);
    let path = place.application_path("shop");
    for point in 0..MOST {
        bench.proxy.heal();
        place
            .application(
                "shop",
                json!({"deletion": "Cascade", "health": {"soak": QUICK}}),
            )
            .await;
        place.until_good("shop", &commit).await;
        bench.proxy.passed();
        let mark = place.mark();
        bench.proxy.strike_at(point);
        place.admin.delete(&path).await;
        let gone = async || place.admin.get(&path).await.is_none();
        let whole = tokio::select! {
            () = bench.proxy.struck() => false,
            () = async {
                eventually(SOON, "the Application is gone or the controller struck", || async {
                    gone().await.then_some(())
                })
                .await;
            } => true,
        };
        if !whole {
            println!(
                "cascade, point {point}: {:?}",
                bench.proxy.passed().pop().map(|asked| asked.path)
            );
            bench.restart().await;
            eventually(SOON, "the Application is gone", || async {
                gone().await.then_some(())
            })
            .await;
        }
        assert_eq!(marked(&place).await, BTreeSet::new());
        for name in ["a", "b"] {
            assert_eq!(deleted(&place, mark, name), 1, "{name}");
        }
        if whole {
            println!("cascade: {point} kill points");
            return;
        }
    }
    panic!("a cascade has more than {MOST} writes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_does_nothing_by_itself() {
    let bench = Bench::set("points-none").await;
    let place = Place::on(&bench.stage, "points").await;
    let commit = place
        .repository
        .commit(&[("deploy/a.yaml", Some(&config("a", "x")))]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &commit).await;
    assert!(
        bench
            .proxy
            .passed()
            .iter()
            .any(|asked| asked.path.ends_with("/configmaps/a"))
    );
    // And what it is told to break is broken.
    bench.proxy.rule(|asked| {
        if asked.path.ends_with("/configmaps/a") {
            Fate::Answer(500, Vec::new())
        } else {
            Fate::Pass
        }
    });
    place
        .push("shop", &[("deploy/a.yaml", Some(&config("a", "y")))])
        .await;
    bench
        .controller()
        .until_logged(&["the proxy says so"])
        .await;
    assert!(bench.proxy.heal() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_set_is_rebuilt_from_the_marks_and_nothing_is_deleted_without_a_person() {
    let mut bench = Bench::set("points-lost").await;
    let place = Place::on(&bench.stage, "lost").await;
    let file = |name: &str| format!("deploy/{name}.yaml");
    let one = place.repository.commit(&[
        (&file("a"), Some(&config("a", "1"))),
        (&file("b"), Some(&config("b", "1"))),
        (&file("c"), Some(&config("c", "1"))),
        (&file("d"), Some(&config("d", "1"))),
    ]);
    let spec = json!({"prune": {"enabled": false}});
    place.application("shop", spec).await;
    place.until_good("shop", &one).await;
    let two = place
        .push(
            "shop",
            &[(&file("a"), None), (&file("b"), Some(&config("b", "2")))],
        )
        .await;
    place.until_good("shop", &two).await;
    // Somebody deletes what the first attempt stored, and the controller knows nothing but the cluster.
    let uid = place.get("shop").await["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    place
        .admin
        .delete(&format!(
            "/api/v1/namespaces/plimsoll-system/secrets/{uid}-1"
        ))
        .await;
    bench.restart().await;
    let enabled = json!({"spec": {"prune": {"enabled": true}}});
    place.patch(&place.application_path("shop"), &enabled).await;
    let mark = place.mark();
    let three = place
        .push("shop", &[(&file("b"), Some(&config("b", "3")))])
        .await;
    let seen = place
        .until("shop", "a person is asked", |seen| {
            seen.is("PruneBlocked", "True") && seen.applied().contains(&three)
        })
        .await;
    let message = seen.message("PruneBlocked").to_owned();
    assert!(
        message.contains("InventoryDamaged")
            && message.contains("4 objects")
            && message.contains("/a"),
        "{message}"
    );
    assert!(
        !place
            .written_since(mark)
            .iter()
            .any(|write| write.starts_with("delete"))
    );
    let output = place.cli(&["approve", "shop", message.rsplit(' ').next().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    place
        .until_object(
            &place.config_path("a"),
            "it is deleted",
            serde_json::Value::is_null,
        )
        .await;
    place
        .until("shop", "it is whole again", |seen| {
            !seen.has("PruneBlocked") && seen.phase() == "Idle"
        })
        .await;
}
