//! Preflight: what a set would run into although the API server takes it.

use serde_json::json;
use tempfile::TempDir;

use crate::{
    story_support::{Place, SOON, config, deployment},
    support::eventually,
};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

/// A Deployment behind the Service, on line 3 of its file, that names a Secret.
fn web(image: &str) -> String {
    let plain = deployment("web", image, 2);
    let pod = format!("containers:\n      - {{name: web, image: {image}}}");
    let named = format!(
        "containers:\n      - name: web\n        image: {image}\n        envFrom: [{{secretRef: {{name: missing}}}}]"
    );
    assert!(plain.contains(&pod));
    format!("# The shop.\n---\n{}", plain.replace(&pod, &named))
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_tell_once_or_refuse_before_anything_is_written() {
    let place = Place::new("preflight").await;
    let commit = place.repository.commit(&[
        ("deploy/service.yaml", Some(SERVICE)),
        ("deploy/web.yaml", Some(&web("web:latest"))),
    ]);
    // What the pods name is there for now.
    let secrets = format!("/api/v1/namespaces/{}/secrets", place.namespace);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "missing"}});
    place.admin.create(&secrets, &secret).await;
    place.application("shop", json!({})).await;
    place.until_good("shop", &commit).await;
    let told = place.events("shop", "PreflightWarning").await;
    assert_eq!(told.len(), 1, "{told:?}");
    for words in [
        "2 findings",
        "readinessProbe: Deployment/",
        "mutableTag: Deployment/",
        "(deploy/web.yaml:3)",
        "web:latest",
        "applied all the same",
    ] {
        assert!(told[0].contains(words), "{words:?} is missing in {told:?}");
    }
    let last = place.records("shop").await.pop().unwrap();
    let gates = last["gates"].as_array().unwrap();
    assert!(
        gates.contains(&json!({"name": "preflight", "result": "passed", "detail": "told of readinessProbe and mutableTag"})),
        "{gates:?}"
    );

    // Nothing new is told while nothing changes.
    place.ask("shop").await;
    place.until_good("shop", &commit).await;
    assert_eq!(place.events("shop", "PreflightWarning").await, told);

    // Enforced, a set that has the same fault is refused, and what runs stays.
    place
        .patch(
            &place.application_path("shop"),
            &json!({"spec": {"preflight": {"default": "off", "rules": {"missingReference": "enforce", "mutableTag": "enforce"}}}}),
        )
        .await;
    place.admin.delete(&format!("{secrets}/missing")).await;
    let mark = place.mark();
    let bad = place
        .push(
            "shop",
            &[
                ("deploy/web.yaml", Some(&web("web"))),
                ("deploy/more.yaml", Some(&config("more", "1"))),
            ],
        )
        .await;
    let seen = place.until_held("shop", &bad, "PreflightRefused").await;
    let message = seen.message("Ready");
    let missing = format!(
        "missingReference: Deployment/{}/web (deploy/web.yaml:3): container web names Secret/{}/missing",
        place.namespace, place.namespace
    );
    for words in [
        missing.as_str(),
        "mutableTag: Deployment/",
        "nothing was changed",
        "name a version or a digest",
    ] {
        assert!(message.contains(words), "{words:?} is missing in {message}");
    }
    assert!(!message.contains("readinessProbe"), "{message}");
    assert!(seen.is("Stalled", "True"));
    assert_eq!(place.written_since(mark), [""; 0]);
    let last = place.records("shop").await.pop().unwrap();
    assert_eq!(
        last["gates"],
        json!([{"name": "preflight", "result": "refused", "detail": "PreflightRefused"}])
    );

    // The command line says the same beforehand.
    let clone = TempDir::new().unwrap();
    git2::Repository::clone(&place.repository.url(), clone.path()).unwrap();
    let said = place.cli(&["diff", "shop", &clone.path().display().to_string()]);
    let output = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(6), "{output}");
    let place_of_it = format!(
        "({}/deploy/web.yaml:3): container web names Secret/",
        clone.path().display()
    );
    for words in ["! missingReference: Deployment/", &place_of_it] {
        assert!(output.contains(words), "{words:?} is missing in {output}");
    }

    // What the message asks for lets it pass.
    place.admin.create(&secrets, &secret).await;
    let fixed = place
        .push("shop", &[("deploy/web.yaml", Some(&web("web:2")))])
        .await;
    place.until_good("shop", &fixed).await;
    assert_eq!(place.events("shop", "PreflightWarning").await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_without_room_is_told_before_it_hangs() {
    let place = Place::new("preflight-room").await;
    let quotas = format!("/api/v1/namespaces/{}/resourcequotas", place.namespace);
    place
        .admin
        .create(
            &quotas,
            &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": {"pods": "2"}}}),
        )
        .await;
    place
        .until_object(&format!("{quotas}/team"), "the quota is counted", |quota| {
            quota["status"]["used"]["pods"] == "0"
        })
        .await;
    place
        .repository
        .commit(&[("deploy/web.yaml", Some(&deployment("web", "web:1", 3)))]);
    // Whoever says nothing of rules is told, and nothing is refused.
    let told = place.repository.commit(&[
        ("told/web.yaml", Some(&deployment("told", "web:1", 3))),
        ("too/web.yaml", Some(&deployment("too", "web:1", 3))),
    ]);
    let mark = place.mark();
    place
        .application("told", json!({"source": {"path": "told"}}))
        .await;
    let event = eventually(SOON, "it is told", || async {
        place.events("told", "PreflightWarning").await.pop()
    })
    .await;
    assert!(
        event.contains("quotaHeadroom: Deployment/") && event.contains("team leaves 2 of pods"),
        "{event}"
    );
    place
        .until("told", "it is applied all the same", |seen| {
            seen.text("/status/target/revision").contains(&told)
        })
        .await;
    // Another one of the same account is told by what was just read.
    place
        .application("too", json!({"source": {"path": "too"}}))
        .await;
    eventually(SOON, "it is told too", || async {
        place.events("too", "PreflightWarning").await.pop()
    })
    .await;
    let lists = |resource: &str| {
        let asked = place.asked_since(mark);
        let lists = asked.iter().filter(|entry| entry.verb == "list");
        lists.filter(|entry| entry.resource == resource).count()
    };
    assert_eq!(lists("resourcequotas"), 1);
    assert_eq!(lists("poddisruptionbudgets"), 0);
    for name in ["told", "too"] {
        place.admin.delete(&place.application_path(name)).await;
        place.admin.delete(&place.deployment_path(name)).await;
    }
    place
        .until_object(&format!("{quotas}/team"), "the quota is free", |quota| {
            quota["status"]["used"]["pods"] == "0"
        })
        .await;

    place
        .application(
            "shop",
            json!({"preflight": {"rules": {"quotaHeadroom": "enforce"}}}),
        )
        .await;
    let seen = place.until_held("shop", &told, "PreflightRefused").await;
    let message = seen.message("Ready");
    assert!(
        message.contains("ResourceQuota team leaves 2 of pods; wanted for 3 more pods: 3"),
        "{message}"
    );
    assert!(
        place
            .admin
            .get(&place.deployment_path("web"))
            .await
            .is_none()
    );
    let fits = place
        .push(
            "shop",
            &[("deploy/web.yaml", Some(&deployment("web", "web:1", 2)))],
        )
        .await;
    place.until_good("shop", &fits).await;

    // A rule that nobody knows is refused by the API server, not forgotten.
    let (code, answer) = place
        .try_patch(
            &place.application_path("shop"),
            &json!({"spec": {"preflight": {"rules": {"quotaHeadrooom": "enforce"}}}}),
        )
        .await;
    assert_eq!(code, 422, "{answer}");
    assert!(answer.to_string().contains("quotaHeadroom, "), "{answer}");
}
