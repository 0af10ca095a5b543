//! Hooks: before, with, after and at the failure of a sync, and when they go.
//!
//! Enters: Jobs with the hook annotations of Argo CD.
//! Leaves: verdicts from the API server's audit log.
//! Never: a moment waited for by a clock.

use serde_json::{Value, json};

use crate::{
    story_support::{Place, SOON, config, deployment, job},
    support::eventually,
};

fn annotated(name: &str, image: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: Vec<String> = annotations
        .iter()
        .map(|(key, value)| format!("argocd.argoproj.io/{key}: \"{value}\""))
        .collect();
    job(name, image).replace(
        &format!("metadata: {{name: {name}}}"),
        &format!(
            "metadata: {{name: {name}, annotations: {{{}}}}}",
            annotations.join(", ")
        ),
    )
}

pub(crate) fn hook(name: &str, phase: &str, image: &str) -> String {
    annotated(name, image, &[("hook", phase)])
}

fn tidied(name: &str, phase: &str, image: &str, policy: &str) -> String {
    annotated(
        name,
        image,
        &[("hook", phase), ("hook-delete-policy", policy)],
    )
}

fn job_path(place: &Place, name: &str) -> String {
    place.path("batch/v1", "jobs", name)
}

async fn uid(place: &Place, name: &str) -> String {
    let job = place.admin.get(&job_path(place, name)).await.unwrap();
    job["metadata"]["uid"].as_str().unwrap().to_owned()
}

async fn until_succeeded(place: &Place, name: &str) -> Value {
    place
        .until_object(&job_path(place, name), "the Job has succeeded", |job| {
            job["status"]["succeeded"] == 1
        })
        .await
}

async fn until_gone(place: &Place, name: &str) {
    eventually(SOON, &format!("{name} is deleted"), || async {
        let job = place.admin.get(&job_path(place, name)).await;
        job.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_before_and_after_the_set_in_each_sync_and_waves_wait_for_health() {
    let place = Place::new("hooks").await;
    let web = |image: &str| {
        deployment("web", image, 1).replace(
            "metadata:\n  name: web\n",
            "metadata:\n  name: web\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}\n",
        )
    };
    let last = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last, annotations: {argocd.argoproj.io/sync-wave: \"2\"}}\ndata: {key: x}\n";
    let one = place.repository.commit(&[
        (
            "deploy/before.yaml",
            Some(&hook("before", "PreSync", "job:1")),
        ),
        ("deploy/web.yaml", Some(&web("web:1"))),
        ("deploy/last.yaml", Some(last)),
        (
            "deploy/after.yaml",
            Some(&hook("after", "PostSync", "job:1")),
        ),
        ("deploy/never.yaml", Some(&hook("never", "Skip", "job:1"))),
    ]);
    let mark = place.mark();
    place.application("shop", json!({})).await;
    place.until_good("shop", &one).await;
    assert_eq!(
        place.written_since(mark),
        [
            "patch jobs/before",
            "patch deployments/web",
            "patch configmaps/last",
            "patch jobs/after"
        ]
    );
    let path = |name: &str| place.path("batch/v1", "jobs", name);
    assert!(place.admin.get(&path("never")).await.is_none());
    let before = place.admin.get(&path("before")).await.unwrap();
    assert_eq!(
        before["status"]["succeeded"], 1,
        "it ended before the set was good"
    );
    // Nothing changed: nothing runs. Another set: each runs anew, once.
    let mark = place.mark();
    place.ask("shop").await;
    let two = place
        .push("shop", &[("deploy/web.yaml", Some(&web("web:2")))])
        .await;
    place.until_good("shop", &two).await;
    assert_eq!(
        place.written_since(mark),
        [
            "delete jobs/before",
            "patch jobs/before",
            "patch deployments/web",
            "delete jobs/after",
            "patch jobs/after"
        ]
    );
    let again = place.admin.get(&path("before")).await.unwrap();
    assert_ne!(again["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(again["status"]["succeeded"], 1);

    // A hook that fails ends the sync before the set is touched.
    let mark = place.mark();
    let bad = place
        .push(
            "shop",
            &[
                (
                    "deploy/before.yaml",
                    Some(&hook("before", "PreSync", "job:job-fail")),
                ),
                ("deploy/web.yaml", Some(&web("web:3"))),
            ],
        )
        .await;
    place.until_returned("shop", &bad).await;
    let writes = place.written_since(mark);
    assert!(
        !writes
            .iter()
            .any(|write| write.contains("web") || write.contains("after")),
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a story is told in one go")]
async fn a_hook_of_failure_runs_once_in_each_sync_that_fails_and_in_no_other() {
    let place = Place::new("hooks").await;
    let good = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 1))),
        ("deploy/fail.yaml", Some(&hook("fail", "SyncFail", "job:1"))),
        (
            "deploy/told.yaml",
            Some(&hook("told", "PostSync,SyncFail", "job:1")),
        ),
    ]);
    place.application("shop", json!({})).await;
    place.until_good("shop", &good).await;
    assert!(
        place.admin.get(&job_path(&place, "fail")).await.is_none(),
        "nothing failed"
    );
    let told = uid(&place, "told").await;

    // The new set fails while it is watched: before it is returned from, the hooks are started.
    let mark = place.mark();
    let bad = place
        .push(
            "shop",
            &[(
                "deploy/web.yaml",
                Some(&deployment("web", "web:bad-image", 1)),
            )],
        )
        .await;
    place.until_returned("shop", &bad).await;
    until_succeeded(&place, "fail").await;
    until_succeeded(&place, "told").await;
    let mut writes = place.written_since(mark);
    assert_eq!(
        (writes.remove(0), writes.pop()),
        (
            "patch deployments/web".to_owned(),
            Some("patch deployments/web".to_owned())
        ),
        "the set comes first and the return last"
    );
    writes.sort();
    assert_eq!(
        writes,
        ["delete jobs/told", "patch jobs/fail", "patch jobs/told"]
    );
    assert_ne!(uid(&place, "told").await, told, "it ran anew");
    let records = place.records("shop").await;
    let changes = records.last().unwrap()["changes"]["objects"].to_string();
    assert!(
        changes.contains("Job/") && changes.contains("/fail"),
        "{changes}"
    );

    // It fails before the set was written whole, for another hook: the same, and each Job is a new one.
    let first = uid(&place, "fail").await;
    let mark = place.mark();
    let bad = place
        .push(
            "shop",
            &[
                ("deploy/web.yaml", Some(&deployment("web", "web:2", 1))),
                (
                    "deploy/before.yaml",
                    Some(&hook("before", "PreSync", "job:job-fail")),
                ),
            ],
        )
        .await;
    place.until_returned("shop", &bad).await;
    let writes = place.written_since(mark);
    let count = |what: &str| writes.iter().filter(|write| *write == what).count();
    assert_eq!(
        (count("delete jobs/fail"), count("patch jobs/fail")),
        (1, 1),
        "{writes:?}"
    );
    assert_eq!(count("patch deployments/web"), 0, "{writes:?}");
    until_succeeded(&place, "fail").await;
    assert_ne!(uid(&place, "fail").await, first);

    // A set that is refused was never begun, and one that arrives did not fail.
    let mark = place.mark();
    let refused = place
        .push(
            "shop",
            &[
                ("deploy/before.yaml", None),
                ("deploy/bad.yaml", Some("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {key: [1]}\n")),
            ],
        )
        .await;
    place.until_held("shop", &refused, "DryRunRefused").await;
    let good = place
        .push(
            "shop",
            &[
                ("deploy/bad.yaml", None),
                ("deploy/web.yaml", Some(&deployment("web", "web:3", 1))),
            ],
        )
        .await;
    place.until_good("shop", &good).await;
    let writes = place.written_since(mark);
    assert!(
        !writes.iter().any(|write| write.ends_with("jobs/fail")),
        "{writes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_go_when_they_ended_as_their_delete_policies_say() {
    let place = Place::new("hooks").await;
    let good = place.repository.commit(&[
        ("deploy/web.yaml", Some(&deployment("web", "web:1", 1))),
        (
            "deploy/before.yaml",
            Some(&tidied("before", "PreSync", "job:1", "HookSucceeded")),
        ),
        (
            "deploy/with.yaml",
            Some(&tidied("with", "Sync", "job:1", "HookFailed")),
        ),
        (
            "deploy/after.yaml",
            Some(&tidied(
                "after",
                "PostSync",
                "job:1",
                "BeforeHookCreation,HookSucceeded",
            )),
        ),
        ("deploy/kept.yaml", Some(&hook("kept", "PostSync", "job:1"))),
    ]);
    let mark = place.mark();
    place
        .application("shop", json!({"health": {"soak": "1s"}}))
        .await;
    place.until_good("shop", &good).await;
    until_gone(&place, "before").await;
    until_gone(&place, "after").await;
    for name in ["with", "kept"] {
        let job = place.admin.get(&job_path(&place, name)).await.unwrap();
        assert_eq!(job["status"]["succeeded"], 1, "{name}");
    }
    let deleted = |writes: Vec<String>| -> Vec<String> {
        writes
            .into_iter()
            .filter(|write| write.starts_with("delete "))
            .collect()
    };
    let mut gone = deleted(place.written_since(mark));
    gone.sort();
    assert_eq!(gone, ["delete jobs/after", "delete jobs/before"]);
    // That they are gone is no drift, and they do not run again for it.
    let mark = place.mark();
    place.ask("shop").await;
    let next = place
        .push("shop", &[("deploy/more.yaml", Some(&config("more", "x")))])
        .await;
    place.until_good("shop", &next).await;
    until_gone(&place, "before").await;
    until_gone(&place, "after").await;
    let writes = place.written_since(mark);
    let count = |what: &str| writes.iter().filter(|write| *write == what).count();
    for (what, times) in [
        ("patch jobs/before", 1),
        ("delete jobs/with", 1),
        ("patch jobs/with", 1),
        ("patch jobs/after", 1),
        ("delete jobs/kept", 1),
        ("patch jobs/kept", 1),
        ("patch deployments/web", 0),
    ] {
        assert_eq!(count(what), times, "{what}: {writes:?}");
    }
    let app = place.get("shop").await;
    let drifted = app["status"]["conditions"].as_array().unwrap();
    assert!(
        !drifted
            .iter()
            .any(|condition| condition["type"] == "Drifted" && condition["status"] == "True"),
        "{drifted:?}"
    );

    // One that fails keeps the set out, and goes where its policy says that failures go.
    let bad = place
        .push(
            "shop",
            &[(
                "deploy/with.yaml",
                Some(&tidied("with", "Sync", "job:job-fail", "HookFailed")),
            )],
        )
        .await;
    place.until_returned("shop", &bad).await;
    until_gone(&place, "with").await;
}
