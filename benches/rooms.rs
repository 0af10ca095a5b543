//! The rooms that every commit goes through, alone: render, digest, plan, records.
//!
//! Enters: sets of 4, 50 and 1,000 objects; chains of records.
//! Leaves: times, printed by divan: `cargo bench --bench rooms`.
//! Never: an assertion on a time; an API server, a disk, a network.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that cannot make its input must not print a figure"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use divan::{Bencher, black_box};
use jiff::Timestamp;
use kustomize::MemoryFiles;
use plimsoll::{
    api::{ConflictPolicy, RecordHead},
    history::{Entry, Expectations, Times, Trigger, Verifier, What, record},
    model::{
        ApplicationKey, Digest, DryRun, Live, Object, Observed, Packed, StoredSet, canonical_json,
    },
    plan::{Policy, plan, questions},
    render::{PackedSet, RenderSpec, Rendered, render, restore},
    rollout::{Action, Ending},
};

/// Objects of a set: an Application of the fleet benchmark, a larger one, a large one.
const SIZES: [usize; 3] = [4, 50, 1000];

fn main() {
    divan::main();
}

fn key() -> ApplicationKey {
    ApplicationKey {
        namespace: "shop".into(),
        name: "web".into(),
    }
}

/// One Deployment in four, the others ConfigMaps; of the first the image follows `version`.
fn manifests(count: usize, version: usize) -> String {
    let object = |at: usize| {
        let version = if at == 0 { version } else { 0 };
        if at.is_multiple_of(4) {
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{at}\n  labels: {{app: web-{at}}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: web-{at}}}}}\n  template:\n    metadata: {{labels: {{app: web-{at}}}}}\n    spec:\n      containers:\n      - name: web\n        image: registry.example.org/web:1.{version}\n        ports: [{{name: http, containerPort: 8080}}]\n        env: [{{name: COLOUR, value: '#34577c'}}, {{name: MESSAGE, value: hello}}]\n        resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}\n"
            )
        } else {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings-{at}\n  labels: {{app: web}}\ndata:\n  number: \"{at}\"\n  version: \"{version}\"\n"
            )
        }
    };
    (0..count).map(object).collect::<Vec<_>>().join("---\n")
}

/// An overlay over a base: images, labels, a patch.
fn tree(count: usize, version: usize) -> MemoryFiles {
    MemoryFiles::new()
        .with("/base/objects.yaml", manifests(count, version))
        .with(
            "/base/kustomization.yaml",
            "resources: [objects.yaml]\nlabels: [{pairs: {team: shop}}]\n",
        )
        .with(
            "/overlay/kustomization.yaml",
            "resources: [../base]\nnamespace: shop\nimages: [{name: registry.example.org/web, newTag: v7}]\npatches:\n- target: {kind: Deployment, name: web-0}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec/replicas\", \"value\": 2}]'\n",
        )
}

fn rendered_at(files: &MemoryFiles, path: &str) -> Rendered {
    let spec = RenderSpec {
        path: path.to_owned(),
        default_namespace: "shop".to_owned(),
    };
    render(files, &spec, &kustomize::Options::default()).expect("the manifests of this file build")
}

fn placed(set: &Rendered) -> Vec<Object> {
    set.placed(&key(), &|_| None)
}

/// A folder of plain manifests.
#[divan::bench(args = SIZES)]
fn render_folder(bencher: Bencher<'_, '_>, count: usize) {
    let files = MemoryFiles::new().with("/app/objects.yaml", manifests(count, 0));
    bencher.bench(|| rendered_at(black_box(&files), "app"));
}

/// An overlay over a base.
#[divan::bench(args = SIZES)]
fn render_overlay(bencher: Bencher<'_, '_>, count: usize) {
    let files = tree(count, 0);
    bencher.bench(|| rendered_at(black_box(&files), "overlay"));
}

/// The same where the base was parsed before, for another Application.
#[divan::bench(args = SIZES)]
fn render_overlay_parsed_before(bencher: Bencher<'_, '_>, count: usize) {
    let files = tree(count, 0);
    let spec = RenderSpec {
        path: "overlay".to_owned(),
        default_namespace: "shop".to_owned(),
    };
    let options = kustomize::Options {
        parsed: Some(Arc::new(kustomize::ParsedFiles::new(16 << 20))),
        ..kustomize::Options::default()
    };
    bencher.bench(|| render(black_box(&files), &spec, &options));
}

/// What tells two sets apart.
#[divan::bench(args = SIZES)]
fn digest(bencher: Bencher<'_, '_>, count: usize) {
    let set = rendered_at(&tree(count, 0), "overlay");
    let stored: StoredSet = set.to_stored();
    bencher
        .with_inputs(|| stored.clone())
        .bench_values(|stored| restore(stored).map(|set| set.digest().clone()));
}

/// Canonical JSON of one Deployment.
#[divan::bench]
fn canonical(bencher: Bencher<'_, '_>) {
    let set = rendered_at(&tree(4, 0), "overlay");
    let deployment = set.objects()[0].value().clone();
    bencher.bench(|| canonical_json(black_box(&deployment)));
}

/// To bytes and back: what an Application costs that was at rest.
#[divan::bench(args = SIZES)]
fn pack_and_open(bencher: Bencher<'_, '_>, count: usize) {
    let set = rendered_at(&tree(count, 0), "overlay");
    bencher.bench(|| PackedSet::of(black_box(&set)).map(|packed| packed.open().is_ok()));
}

/// Marks and scopes: the form in which a set is sent.
#[divan::bench(args = SIZES)]
fn place(bencher: Bencher<'_, '_>, count: usize) {
    let set = rendered_at(&tree(count, 0), "overlay");
    bencher.bench(|| placed(black_box(&set)));
}

/// Which objects are asked about, where nothing changed.
#[divan::bench(args = SIZES)]
fn questions_of_an_unchanged_set(bencher: Bencher<'_, '_>, count: usize) {
    let (before, after) = (placed_version(count, 0), placed_version(count, 0));
    bencher.bench(|| questions(black_box(&after), Some(&before), &BTreeSet::new()).len());
}

/// The plan of a set of which one object changed.
#[divan::bench(args = SIZES)]
fn plan_of_one_change(bencher: Bencher<'_, '_>, count: usize) {
    let (before, after) = (placed_version(count, 0), placed_version(count, 1));
    planned(bencher, &after, Some(&before));
}

/// The plan of a set that is all new.
#[divan::bench(args = SIZES)]
fn plan_of_a_new_set(bencher: Bencher<'_, '_>, count: usize) {
    planned(bencher, &placed_version(count, 0), None);
}

fn placed_version(count: usize, version: usize) -> Vec<Object> {
    let files = MemoryFiles::new().with("/app/objects.yaml", manifests(count, version));
    placed(&rendered_at(&files, "app"))
}

fn planned(bencher: Bencher<'_, '_>, after: &[Object], before: Option<&[Object]>) {
    let asked: BTreeSet<_> = questions(after, before, &BTreeSet::new())
        .iter()
        .map(|question| question.object.id().clone())
        .collect();
    let answer = |object: &Object| {
        if !asked.contains(object.id()) {
            return Observed::Unchanged;
        }
        let old = before
            .unwrap_or_default()
            .iter()
            .find(|old| old.id() == object.id());
        Observed::Accepted(DryRun {
            created: old.is_none(),
            before: old.map(|old| Packed::of(old.value())),
            after: Packed::of(object.value()),
            warnings: Vec::new(),
        })
    };
    let live = Live {
        objects: after
            .iter()
            .map(|object| (object.id().clone(), answer(object)))
            .collect::<BTreeMap<_, _>>(),
    };
    let policy = Policy {
        application: key(),
        conflicts: ConflictPolicy::Fail,
        partial: false,
    };
    bencher
        .with_inputs(|| after.to_vec())
        .bench_values(|desired| plan(desired, before, &live, &policy));
}

fn entry(number: u64) -> Entry {
    let at = Timestamp::UNIX_EPOCH;
    Entry {
        cluster: "c1c1c1c1-0000-4000-8000-000000000000".into(),
        application: key(),
        application_uid: "a1a1a1a1-0000-4000-8000-00000000000a".into(),
        what: What::Attempt {
            attempt: number,
            action: Action::Sync,
            ending: Ending::Ready,
            trigger: Trigger::Commit,
        },
        source: None,
        digest: Some(Digest::of(&number.to_be_bytes())),
        images: vec![format!("registry.example.org/shop/web:{number}")],
        changes: Vec::new(),
        unchanged: 4,
        gates: Vec::new(),
        times: Times::at(at),
        resumed: false,
        details: String::new(),
        controller: "plimsoll-0".into(),
    }
}

fn chain(count: u64) -> Vec<String> {
    let mut head: Option<RecordHead> = None;
    (1..=count)
        .map(|number| {
            let made = record(&entry(number), head.as_ref(), None);
            head = Some(made.head().clone());
            made.spec().record.clone()
        })
        .collect()
}

/// One record after another: hashed and linked.
#[divan::bench(args = [1, 1000])]
fn chain_made(count: u64) -> usize {
    chain(count).len()
}

/// The same, verified.
#[divan::bench(args = [1, 1000])]
fn chain_verified(bencher: Bencher<'_, '_>, count: u64) {
    let lines = chain(count);
    bencher.bench(|| {
        let mut verifier = Verifier::new(Expectations::default());
        for line in &lines {
            verifier.line(black_box(line));
        }
        verifier.finish().is_whole()
    });
}
