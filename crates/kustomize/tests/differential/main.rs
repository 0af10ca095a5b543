//! Random kustomization trees, ours against the real kustomize.
//!
//! Enters: a seed and a number of trees. Leaves: nothing, or the smallest tree that is built differently.
//! Never: skipped: without the real kustomize the test builds it, or says how to.
//!
//! `PLIMSOLL_DIFFERENTIAL_CASES` (default 2,000) and `PLIMSOLL_DIFFERENTIAL_SEED` (default 1) choose the trees;
//! `PLIMSOLL_DIFFERENTIAL_KEEP` is how many differences are collected before the test ends (default 1);
//! `PLIMSOLL_DIFFERENTIAL_REASONS` prints why trees are refused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::maybe_infinite_iter,
    clippy::semicolon_if_nothing_returned,
    clippy::redundant_closure,
    reason = "a test that cannot go on fails; it reads its own size from the environment"
)]

mod by_hand;
mod choose;
mod fields;
mod minimise;
mod objects;
mod oracle;
mod patches;
mod references;
mod tree;

use std::collections::BTreeMap;
use std::time::Instant;

use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::choose::Choose;
use crate::oracle::{Answer, Oracle};
use crate::tree::Tree;

/// Trees of the 2,000 of seed 1 that are known to differ. It only shrinks; any other seed says what it finds by
/// `PLIMSOLL_DIFFERENTIAL_KEEP`.
const KNOWN: usize = 0;

/// Trees that are asked about in one go.
const BATCH: usize = 100;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
        Err(_) => default,
    }
}

/// What each of the two makes of a tree.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Output(String),
    Refused,
}

fn ours(tree: &Tree) -> (Outcome, String) {
    match kustomize::build(&tree.memory(), &tree.directory, &tree.options()) {
        Ok(built) => (Outcome::Output(built.to_yaml()), String::new()),
        Err(error) => (Outcome::Refused, error.to_string()),
    }
}

fn theirs(answer: &Answer) -> Outcome {
    match &answer.error {
        Some(_) => Outcome::Refused,
        None => Outcome::Output(answer.output.clone()),
    }
}

/// Whether the two differ. A crash of the real one is no answer.
fn differs(tree: &Tree, oracle: &mut Oracle) -> bool {
    let answers = oracle.ask(std::slice::from_ref(tree));
    !answers[0].panic && ours(tree).0 != theirs(&answers[0])
}

#[test]
fn random_trees_are_built_as_the_real_kustomize_builds_them() {
    let cases = usize::try_from(number("PLIMSOLL_DIFFERENTIAL_CASES", 2_000)).unwrap();
    let seed = number("PLIMSOLL_DIFFERENTIAL_SEED", 1);
    let keep = usize::try_from(number("PLIMSOLL_DIFFERENTIAL_KEEP", 10)).unwrap();
    println!("seed {seed}, {cases} trees");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let trees = Just(()).prop_perturb(|(), rng| tree::tree(&mut Choose::new(rng)));

    let mut oracle = Oracle::start();
    let (mut built, mut refused, mut crashed) = (0, 0, 0);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    let started = Instant::now();
    let mut done = 0;
    while done < cases && found.len() < keep {
        let batch: Vec<Tree> = (0..BATCH.min(cases - done))
            .map(|_| trees.new_tree(&mut runner).unwrap().current())
            .collect();
        done += batch.len();
        for (tree, answer) in batch.iter().zip(oracle.ask(&batch)) {
            let (outcome, _) = ours(tree);
            match (&answer, theirs(&answer)) {
                (answer, _) if answer.panic => crashed += 1,
                (_, expected) if expected != outcome => found.push(tree.clone()),
                (_, Outcome::Output(_)) => built += 1,
                (_, Outcome::Refused) => {
                    refused += 1;
                    *reasons.entry(reason(&answer)).or_default() += 1;
                }
            }
        }
    }
    println!(
        "{built} built alike, {refused} refused by both, {crashed} crash the real one; {:.1?}",
        started.elapsed()
    );
    if std::env::var_os("PLIMSOLL_DIFFERENTIAL_REASONS").is_some() {
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
            .iter()
            .take(40)
            .for_each(|(reason, count)| println!("{count:6} {reason}"));
    }
    if found.len() > KNOWN {
        let reports: Vec<String> = found
            .iter()
            .take(keep)
            .map(|tree| report(tree, &mut oracle))
            .collect();
        panic!(
            "seed {seed}: {} differences\n{}",
            found.len(),
            reports.join("\n")
        );
    }
    assert!(
        built > refused,
        "most trees have to be valid: {built} built, {refused} refused"
    );
}

/// The end of an error, without what is particular to the tree.
fn reason(answer: &Answer) -> String {
    let error = answer.error.as_deref().unwrap_or_default();
    let error: String = error
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect();
    let start = error
        .char_indices()
        .rev()
        .nth(89)
        .map_or(0, |(index, _)| index);
    error[start..].replace('\n', " ")
}

/// Makes a tree smaller while it is still built differently, and describes what is left.
fn report(tree: &Tree, oracle: &mut Oracle) -> String {
    let small = minimise::minimise(tree, |tree| differs(tree, oracle));
    let answer = oracle.ask(std::slice::from_ref(&small)).remove(0);
    let (outcome, message) = ours(&small);
    let mut text = format!(
        "==== directory {:?}, flags {:?}\n",
        small.directory, small.flags
    );
    for (path, content) in small.rendered() {
        text.push_str(&format!("---- {path}\n{content}"));
    }
    match theirs(&answer) {
        Outcome::Output(output) => text.push_str(&format!("---- real kustomize\n{output}")),
        Outcome::Refused => text.push_str(&format!(
            "---- real kustomize refuses: {}\n",
            answer.error.unwrap_or_default()
        )),
    }
    match outcome {
        Outcome::Output(output) => text.push_str(&format!("---- ours\n{output}")),
        Outcome::Refused => text.push_str(&format!("---- ours refuses: {message}\n")),
    }
    text
}
