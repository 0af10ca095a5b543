//! The examples do what they say: they render, and the API types take them.
//!
//! Enters: `examples/`.
//! Leaves: the example that does not render or decode.
//! Never: a cluster; the demo applies them to one.

use std::{collections::BTreeMap, process::Command};

use plimsoll::api::Application;
use serde_json::Value;

use crate::tree::{documents, files_below, read, rendered, title};

fn shop(environment: &str) -> BTreeMap<String, Value> {
    rendered(
        &["examples"],
        &format!("examples/shop/overlays/{environment}"),
        "default",
    )
    .objects()
    .iter()
    .map(|object| (title(object.value()), object.value().clone()))
    .collect()
}

/// Returns the object whose title begins so; generated names end in a hash.
fn one<'a>(objects: &'a BTreeMap<String, Value>, start: &str) -> &'a Value {
    let mut found = objects.iter().filter(|(title, _)| title.starts_with(start));
    let (_, object) = found
        .next()
        .unwrap_or_else(|| panic!("no {start} in {:?}", objects.keys()));
    assert!(found.next().is_none(), "several {start}");
    object
}

#[test]
fn every_environment_of_the_shop_renders() {
    for (environment, replicas, tag) in
        [("dev", 1, "1.2"), ("staging", 2, "1.1"), ("prod", 3, "1.0")]
    {
        let objects = shop(environment);
        assert_eq!(objects.len(), 7, "{:?}", objects.keys());
        let web = one(&objects, &format!("Deployment shop-{environment}/web"));
        assert_eq!(web["spec"]["replicas"], replicas);
        let pod = &web["spec"]["template"]["spec"];
        assert_eq!(
            pod["containers"][0]["image"],
            format!("registry.example/shop/web:{tag}")
        );
        assert_eq!(web["metadata"]["labels"]["environment"], environment);
        for (generated, reference) in [
            (
                "ConfigMap",
                &pod["containers"][0]["envFrom"][0]["configMapRef"]["name"],
            ),
            (
                "Secret",
                &pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"],
            ),
        ] {
            let object = one(&objects, &format!("{generated} shop-{environment}/shop-"));
            assert_eq!(
                &object["metadata"]["name"], reference,
                "the hash reaches the pod"
            );
        }
    }
}

#[test]
fn overlays_change_what_they_say() {
    let settings = |environment| {
        one(
            &shop(environment),
            &format!("ConfigMap shop-{environment}/shop-settings-"),
        )["data"]["LOG_LEVEL"]
            .clone()
    };
    assert_eq!(settings("dev"), "debug");
    assert_eq!(settings("prod"), "info");
    let prod = shop("prod");
    let web = one(&prod, "Deployment shop-prod/web");
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"],
        "256Mi"
    );
    assert_eq!(
        one(&prod, "PodDisruptionBudget")["spec"]["maxUnavailable"],
        "34%"
    );
}

#[test]
fn a_folder_of_plain_manifests_renders() {
    let objects = rendered(&["examples"], "examples/plain", "hello");
    let titles: Vec<String> = objects
        .objects()
        .iter()
        .map(|object| title(object.value()))
        .collect();
    assert_eq!(
        titles,
        [
            "ConfigMap hello/greeting",
            "Deployment hello/hello",
            "Service hello/hello"
        ]
    );
}

#[test]
fn applications_decode_and_point_into_the_examples() {
    for environment in ["dev", "staging", "prod"] {
        let text = read(&format!("examples/applications/{environment}.yaml"));
        let objects = documents(&text);
        assert_eq!(objects.len(), 1);
        let application: Application = serde_json::from_value(objects[0].clone()).unwrap();
        assert_eq!(
            application.metadata.namespace.as_deref(),
            Some(format!("shop-{environment}").as_str())
        );
        let path = format!(
            "examples/shop/{}/kustomization.yaml",
            application.spec.source.path
        );
        assert!(files_below("examples/shop").contains(&path), "{path}");
        let account = application.spec.target.service_account.unwrap();
        let tenants = documents(&read("examples/applications/tenants.yaml"));
        let wanted = format!("ServiceAccount shop-{environment}/{account}");
        assert!(
            tenants.iter().any(|object| title(object) == wanted),
            "tenants.yaml lacks {wanted}"
        );
    }
}

#[test]
fn tenants_are_what_the_command_prints() {
    let by_title = |objects: Vec<Value>| -> BTreeMap<String, Value> {
        objects
            .into_iter()
            .filter(|object| object["kind"] != "Namespace")
            .map(|object| (title(&object), object))
            .collect()
    };
    let mut printed = Vec::new();
    for environment in ["dev", "staging", "prod"] {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["tenant", &format!("shop-{environment}")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        printed.extend(documents(&String::from_utf8(output.stdout).unwrap()));
    }
    let examples = documents(&read("examples/applications/tenants.yaml"));
    assert_eq!(by_title(examples), by_title(printed));
}

#[test]
fn a_misspelled_application_does_not_decode() {
    let text = read("examples/applications/dev.yaml")
        .replace("drift:", "")
        .replace("repo:", "repository:");
    assert!(serde_json::from_value::<Application>(documents(&text)[0].clone()).is_err());
}

#[test]
fn the_smallest_application_of_the_readme_decodes() {
    let readme = read("README.md");
    let block = readme
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .find(|block| block.contains("kind: Application"))
        .expect("README.md shows an Application");
    let application: Application = serde_json::from_value(documents(block)[0].clone()).unwrap();
    assert!(application.spec.target.service_account.is_some());
}
