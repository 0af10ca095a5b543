//! Runs every case in `cases/*.txt` and compares with what the real kustomize answered; see `regenerate.py` for the format.

#![expect(clippy::panic, reason = "a case that cannot be read fails")]

use std::collections::BTreeMap;
use std::path::Path;

use kustomize::{LoadRestrictions, MemoryFiles, Options, Reorder, build};

/// At least this many; a case that is lost by a slip in a file must not go unseen.
const LEAST: usize = 300;

#[derive(Default)]
struct Case {
    name: String,
    flags: Vec<String>,
    directory: String,
    files: BTreeMap<String, String>,
    links: Vec<(String, String)>,
    kind: String,
    expected: String,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut file: Option<String> = None;
    let mut in_expected = false;
    for line in text.split_inclusive('\n') {
        let word = line.trim_end();
        if let Some(name) = word.strip_prefix("@@@ ") {
            cases.push(Case {
                name: name.to_owned(),
                directory: ".".to_owned(),
                ..Case::default()
            });
            (file, in_expected) = (None, false);
            continue;
        }
        let case = cases
            .last_mut()
            .expect("the first line of a file begins a case");
        if let Some(flags) = word.strip_prefix("@ flags: ") {
            case.flags = flags.split_whitespace().map(str::to_owned).collect();
        } else if let Some(directory) = word.strip_prefix("@ dir: ") {
            directory.clone_into(&mut case.directory);
        } else if let Some(link) = word.strip_prefix("@@link ") {
            let (from, to) = link
                .split_once(' ')
                .expect("a link has a path and a target");
            case.links.push((from.to_owned(), to.to_owned()));
        } else if let Some(kind) = word.strip_prefix("@@> ") {
            kind.clone_into(&mut case.kind);
            in_expected = true;
        } else if let Some(name) = word.strip_prefix("@@ ") {
            file = Some(name.to_owned());
            case.files.insert(name.to_owned(), String::new());
        } else if in_expected {
            case.expected.push_str(line);
        } else if let Some(content) = file.as_ref().and_then(|file| case.files.get_mut(file)) {
            content.push_str(line);
        }
    }
    cases
}

fn options(flags: &[String]) -> Options {
    let mut options = Options::default();
    let mut words = flags.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--reorder" => {
                options.reorder = Some(if words.next() == Some("none") {
                    Reorder::None
                } else {
                    Reorder::Legacy
                });
            }
            "--load-restrictor" => {
                assert_eq!(words.next(), Some("LoadRestrictionsNone"));
                options.load_restrictions = LoadRestrictions::None;
            }
            "--enable-managedby-label" => options.managed_by_label = true,
            other => panic!("unknown flag {other}"),
        }
    }
    options
}

/// What the case files write for characters that an editor would hide.
fn unmask(text: &str) -> String {
    text.replace('␍', "\r")
        .replace('␀', "\0")
        .replace('⇥', "\t")
}

fn run(case: &Case, shared: &BTreeMap<String, String>) -> Result<(), String> {
    let mut files = MemoryFiles::new();
    for (path, content) in shared.iter().chain(&case.files) {
        files.insert(&format!("/tree/{path}"), unmask(content));
    }
    for (path, target) in &case.links {
        files.insert_link(&format!("/tree/{path}"), target);
    }
    let result = build(
        &files,
        &format!("/tree/{}", case.directory),
        &options(&case.flags),
    );
    match (result, case.kind.as_str()) {
        (Ok(built), "output") if built.to_yaml() == case.expected => Ok(()),
        (Ok(built), "output") => Err(format!(
            "--- expected\n{}--- ours\n{}",
            case.expected,
            built.to_yaml()
        )),
        (Err(error), "error") if !error.message().is_empty() => Ok(()),
        (Ok(built), _) => Err(format!(
            "an error was expected, there is\n{}",
            built.to_yaml()
        )),
        (Err(error), _) => Err(format!(
            "an output was expected, there is the error: {error:?}"
        )),
    }
}

#[test]
fn every_case_is_as_upstream_has_it() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let read = |path: &Path| parse(&std::fs::read_to_string(path).expect("the file was listed"));
    let shared = read(&directory.join("shared.txt")).remove(0).files;
    let mut paths: Vec<_> = std::fs::read_dir(&directory)
        .expect("the cases are part of the crate")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "txt")
                && !path.ends_with("shared.txt")
        })
        .collect();
    paths.sort();
    let mut count = 0;
    let mut failures = Vec::new();
    for path in paths {
        for case in read(&path) {
            count += 1;
            if let Err(failure) = run(&case, &shared) {
                let file = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                failures.push(format!("=== {file}: {}\n{failure}", case.name));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} cases differ\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(count >= LEAST, "only {count} cases were found");
}
