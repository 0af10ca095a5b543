//! Generated files are as the types of today generate them.
//!
//! Enters: the files of the repository.
//! Leaves: the command that brings a stale one up to date.
//! Never: a file written by a test.

use std::collections::BTreeSet;

use plimsoll::api::{Reason, crds};

use crate::tree::{files_below, read};

#[test]
fn definitions_are_up_to_date() {
    let mut expected = BTreeSet::from(["kustomization.yaml".to_owned()]);
    for (name, value) in crds().unwrap() {
        let origin = kustomize::Origin::default();
        let yaml = kustomize::Resource { value, origin }.to_yaml();
        // YAML 1.1, which kubectl and Helm read, would take the bare word for false.
        assert!(!yaml.contains("- Off\n"), "{name}");
        for directory in ["crds", "charts/plimsoll/crds"] {
            assert!(
                read(&format!("{directory}/{name}")) == yaml,
                "{directory}/{name} is out of date; run: make generate"
            );
        }
        assert!(
            read("crds/kustomization.yaml").contains(name),
            "crds/kustomization.yaml does not name {name}"
        );
        expected.insert(name.to_owned());
    }
    let found: BTreeSet<String> = files_below("crds")
        .iter()
        .map(|path| path.trim_start_matches("crds/").to_owned())
        .collect();
    assert_eq!(found, expected, "crds/ holds a file that nothing generates");
}

/// Returns the names that a page lists: what is code in the first cell of each table row below the heading.
fn listed(page: &str, heading: &str) -> Vec<String> {
    let section = page.split_once(heading).map_or("", |(_, rest)| rest);
    let section = section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"))
        .flat_map(|(cell, _)| cell.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect()
}

#[test]
fn every_reason_is_explained() {
    let page = read("docs/operations.md");
    let expected: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str().to_owned())
        .collect();
    assert_eq!(
        listed(&page, "\n## Reasons\n"),
        expected,
        "docs/operations.md, section Reasons: one row for each reason, in the order of src/api/condition.rs"
    );
}

#[test]
fn a_missing_reason_is_noticed() {
    let page = "# x\n## Reasons\n| a | b |\n|---|---|\n| `Healthy` | it is |\n## Next\n| `Soaking` | no |\n";
    assert_eq!(listed(page, "\n## Reasons\n"), ["Healthy"]);
}

/// Returns the names of all series, as they are registered, without the ending `_total` of what only grows.
fn registered(source: &str) -> BTreeSet<String> {
    source
        .split("registry.register")
        .skip(1)
        .filter_map(|call| {
            let (call, _) = call.split_once(';')?;
            let name = call.split('"').nth(1)?;
            let unit = if call.contains("Unit::Seconds") {
                "_seconds"
            } else {
                ""
            };
            Some(format!("plimsoll_{name}{unit}"))
        })
        .collect()
}

#[test]
fn every_metric_is_explained() {
    let expected = registered(&read("src/report/metrics.rs"));
    assert!(
        expected.contains("plimsoll_stage_duration_seconds") && expected.len() > 10,
        "the names cannot be read any more: {expected:?}"
    );
    let page = read("docs/operations.md");
    let found: BTreeSet<String> = listed(&page, "\n## Metrics\n")
        .iter()
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect();
    assert_eq!(
        found, expected,
        "docs/operations.md, section Metrics: one row for each series of src/report/metrics.rs"
    );
}

/// Returns the fields of a schema, as the documentation names them: two levels, without what people ask for.
fn fields(schema: &serde_json::Value) -> BTreeSet<String> {
    let properties = |schema: &serde_json::Value| {
        let map = schema.get("properties").and_then(|map| map.as_object());
        map.cloned().unwrap_or_default()
    };
    let mut all = BTreeSet::new();
    for (outer, schema) in properties(schema) {
        let inner = properties(&schema);
        if outer == "commands" || inner.is_empty() {
            all.insert(outer);
        } else {
            all.extend(inner.keys().map(|inner| format!("{outer}.{inner}")));
        }
    }
    all
}

#[test]
fn every_field_is_explained() {
    let definitions = crds().unwrap();
    let (_, definition) = definitions
        .iter()
        .find(|(name, _)| name.ends_with("applications.yaml"))
        .unwrap();
    let schema = definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
        .unwrap();
    let mut expected = fields(schema);
    assert!(expected.remove("commands"), "{expected:?}");
    let page = read("docs/application.md");
    let mut found = BTreeSet::new();
    for heading in [
        "Source and target",
        "Apply",
        "Health and return",
        "Deletion",
    ] {
        let names = listed(&page, &format!("\n## {heading}\n"));
        // An annotation is no field.
        let names = names.iter().filter(|name| !name.contains('/'));
        found.extend(names.map(|name| {
            let name = name.split("[]").next().unwrap();
            name.trim_end_matches(".name").to_owned()
        }));
    }
    assert_eq!(
        found, expected,
        "docs/application.md: one row for each field of spec (src/api/application.rs)"
    );
}
