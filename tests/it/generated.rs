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

/// Returns the reasons that a page lists: the first cell of each table row below the heading.
fn listed(page: &str, heading: &str) -> Vec<String> {
    let section = page.split_once(heading).map_or("", |(_, rest)| rest);
    let section = section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(reason, _)| reason.to_owned())
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
