//! The laws of the house that a reader of text can check: who imports whom, one home for each outside thing.
//!
//! Enters: the sources of this repository.
//! Leaves: file, line, rule and what to do instead.
//! Never: a rule without a test that it bites.

use std::fmt;

use crate::{
    code::{code_of, paths_of, without_tests},
    tree::{files_below, read},
};

/// Which rooms a room may import, as ARCHITECTURE.md draws it. `main.rs` is a room of its own here.
const ROOMS: &[(&str, &[&str])] = &[
    // Pure.
    ("model", &[]),
    ("api", &["model"]),
    ("render", &["model", "api"]),
    ("plan", &["model", "api", "render"]),
    ("preflight", &["model", "api"]),
    ("health", &["model", "api"]),
    ("rollout", &["model", "api", "health"]),
    ("history", &["model", "api", "rollout"]),
    (
        "report",
        &["model", "api", "plan", "health", "rollout", "history"],
    ),
    // IO.
    ("source", &["model", "api"]),
    ("cluster", &["model", "api", "report"]),
    ("apply", &["model", "plan", "cluster"]),
    ("archive", &["model", "api", "history", "cluster"]),
    // Wire.
    (
        "pipeline",
        &[
            "model",
            "api",
            "render",
            "plan",
            "preflight",
            "health",
            "rollout",
            "history",
            "report",
            "source",
            "cluster",
            "apply",
            "archive",
        ],
    ),
    ("telemetry", &["model"]),
    ("clock", &["model"]),
    // Shells.
    ("controller", SHELL),
    ("server", SHELL),
    ("cli", SHELL_OF_SHELLS),
    (
        "main",
        &["cli", "controller", "server", "telemetry", "clock"],
    ),
];

const SHELL: &[&str] = &[
    "pipeline",
    "cluster",
    "model",
    "api",
    "render",
    "plan",
    "preflight",
    "health",
    "rollout",
    "history",
    "report",
    "telemetry",
    "clock",
];

/// The command line starts the other two, and reads a directory as files.
const SHELL_OF_SHELLS: &[&str] = &[
    "pipeline",
    "cluster",
    "model",
    "api",
    "render",
    "plan",
    "preflight",
    "health",
    "rollout",
    "history",
    "report",
    "telemetry",
    "clock",
    "controller",
    "server",
    "source",
];

/// Rooms that decide in values: no IO, no clock, no waiting.
const PURE: &[&str] = &[
    "model",
    "api",
    "render",
    "plan",
    "preflight",
    "health",
    "rollout",
    "history",
    "report",
];

/// Paths that have a home: a prefix of a path, the files that may name it, and what the others do instead.
/// A home ends with `/` for a folder. `*::X` stands for the last part of any path.
const HOMES: &[(&str, &[&str], &str)] = &[
    (
        "git2",
        &["src/source/", "src/archive/"],
        "ask the room source",
    ),
    (
        "kube::Client",
        &["src/cluster/", "src/controller/"],
        "take a Reader, Writer or Keeper of the room cluster",
    ),
    (
        "kube::Api",
        &["src/cluster/", "src/controller/"],
        "take a Reader, Writer or Keeper of the room cluster",
    ),
    (
        "kube::client",
        &["src/cluster/", "src/controller/"],
        "take a Reader, Writer or Keeper of the room cluster",
    ),
    (
        "kube::api::Api",
        &["src/cluster/", "src/controller/"],
        "take a Reader, Writer or Keeper of the room cluster",
    ),
    ("axum", &["src/server/"], "serve from the room server"),
    (
        "clap",
        &[
            "src/cli/args.rs",
            "src/cli/build_args.rs",
            "src/cli/settings.rs",
        ],
        "declare it in cli/args.rs",
    ),
    ("clap_complete", &["src/cli/"], "declare it in cli/"),
    (
        "std::env",
        &["src/cli/settings.rs"],
        "read it in cli/settings.rs",
    ),
    ("std::process::exit", &[], "return an exit code from main"),
    (
        "std::thread::sleep",
        &[],
        "wait on a condition with a deadline",
    ),
    ("*::Timestamp::now", &["src/clock.rs"], "take `now`"),
    ("*::Zoned::now", &["src/clock.rs"], "take `now`"),
    ("*::SystemTime::now", &["src/clock.rs"], "take `now`"),
    ("*::Instant::now", &["src/clock.rs"], "take `now`"),
    (
        "serde_yaml",
        &["src/cli/output/"],
        "let the renderer read and write YAML, and cli/output write what is no object",
    ),
    ("saphyr", &[], "let the renderer read YAML"),
    ("serde_saphyr", &[], "let the renderer read YAML"),
];

/// What the pure rooms never name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "hyper",
    "http",
    "futures",
    "getrandom",
];

/// Names that say nothing about what a file holds.
const BANNED: &[&str] = &[
    "utils", "helpers", "common", "misc", "types", "manager", "handler",
];

/// Most lines of a file before its tests. 80 to 400 is a good size.
const LINES: usize = 700;

/// Most packages in Cargo.lock; 389 when the spine stood. Raise it with the reason in the commit.
const PACKAGES: usize = 400;

/// Breaches that stand: file, a part of what is said of them, and why or until when. One that is gone must go from
/// here as well, so this list only becomes shorter.
const STANDING: &[(&str, &str, &str)] = &[
    (
        "src/controller/run.rs",
        "controller may not import server",
        "starts the listener; until cli/controller.rs does",
    ),
    (
        "src/controller/run.rs",
        "controller may not import source",
        "opens the mirrors; until pipeline::Context does",
    ),
    (
        "src/cli/dispatch.rs",
        "clap::Parser",
        "until cli/args.rs has a `parse` of its own",
    ),
    (
        "src/cli/dispatch.rs",
        "clap::error::ErrorKind",
        "until cli/args.rs has a `parse` of its own",
    ),
    (
        "src/cli/output/print.rs",
        "clap::Error",
        "until cli/args.rs has a `parse` of its own",
    ),
    (
        "src/cli/render.rs",
        "serde_yaml::from_str",
        "reads an Application; until the renderer does",
    ),
    (
        "src/main.rs",
        "std::env::args_os",
        "the arguments, handed on as they are",
    ),
    (
        "src/plan/diff.rs",
        "getrandom::fill",
        "the salt of redacted values; until it is an argument",
    ),
];

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Returns the room of a file under `src/`, and the depth of its module below the crate.
fn room_of(file: &str) -> (String, usize) {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let parts: Vec<&str> = inner.split('/').filter(|part| *part != "mod").collect();
    (parts[0].to_owned(), parts.len())
}

/// Returns the room that a path of this crate names, if it is one.
fn room_named(path: &str, depth: usize) -> Option<&str> {
    if let Some(rest) = path
        .strip_prefix("crate::")
        .or_else(|| path.strip_prefix("plimsoll::"))
    {
        return rest.split("::").next();
    }
    let ups = path.split("::").take_while(|part| *part == "super").count();
    (ups >= depth && ups > 0)
        .then(|| path.split("::").nth(ups))
        .flatten()
}

fn is_test_file(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

fn import_breaches(file: &str, text: &str) -> Vec<Breach> {
    let code = without_tests(&code_of(text));
    let (room, depth) = room_of(file);
    let breach = |line, rule: String| Breach {
        file: file.to_owned(),
        line,
        rule,
    };
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![breach(
            1,
            format!("the room {room} is not in the table of tests/it/tidy.rs"),
        )];
    };
    paths_of(&code)
        .into_iter()
        .filter_map(|(path, line)| {
            let named = room_named(&path, depth)?;
            let is_room = ROOMS.iter().any(|(name, _)| *name == named);
            (is_room && named != room && !allowed.contains(&named)).then(|| {
                breach(
                    line,
                    format!(
                        "{room} may not import {named}; it may: {}",
                        allowed.join(", ")
                    ),
                )
            })
        })
        .collect()
}

fn home_breaches(file: &str, text: &str) -> Vec<Breach> {
    let code = without_tests(&code_of(text));
    let (room, _) = room_of(file);
    let mut breaches = Vec::new();
    for (path, line) in paths_of(&code) {
        for (name, homes, instead) in HOMES {
            let named = match name.strip_prefix("*::") {
                Some(tail) => path == tail || path.ends_with(&format!("::{tail}")),
                None => path == *name || path.starts_with(&format!("{name}::")),
            };
            let home = homes.iter().any(|home| match home.strip_suffix('/') {
                Some(_) => file.starts_with(home),
                None => file == *home,
            });
            if named && !home && !bare_word(&path) {
                breaches.push(Breach {
                    file: file.to_owned(),
                    line,
                    rule: format!("{path} has its home in {homes:?}; {instead}"),
                });
            }
        }
        let impure = IMPURE
            .iter()
            .any(|name| path.starts_with(&format!("{name}::")));
        if PURE.contains(&room.as_str()) && impure {
            breaches.push(Breach {
                file: file.to_owned(),
                line,
                rule: format!("{room} is pure and does not name {path}"),
            });
        }
    }
    if PURE.contains(&room.as_str())
        && let Some(at) = code.find("async fn")
    {
        breaches.push(Breach {
            file: file.to_owned(),
            line: code[..at].matches('\n').count() + 1,
            rule: format!("{room} is pure and waits for nothing"),
        });
    }
    breaches
}

/// Says whether a path is a single word: a variable may be called like a crate.
fn bare_word(path: &str) -> bool {
    !path.contains("::")
}

fn shape_breaches(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach = |line, rule: String| {
        breaches.push(Breach {
            file: file.to_owned(),
            line,
            rule,
        });
    };
    if !text.starts_with("//! ") {
        breach(
            1,
            "begins with `//!`: what enters, what leaves, what never happens here".to_owned(),
        );
    }
    let stem = file
        .rsplit('/')
        .next()
        .unwrap_or(file)
        .trim_end_matches(".rs");
    let folder = file.rsplit('/').nth(1).unwrap_or_default();
    if BANNED.contains(&stem) || BANNED.contains(&folder) {
        breach(
            1,
            format!("a name like {stem} says nothing; name the noun that it holds"),
        );
    }
    let own = text
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count();
    // A harness and a table of tests may be longer than what ships.
    if own > LINES && !is_test_file(file) && !file.starts_with("tests/") {
        breach(
            own,
            format!(
                "{own} lines before its tests, of at most {LINES}; cut it by the nouns that it holds"
            ),
        );
    }
    breaches
}

fn wildcard_breaches(file: &str, text: &str) -> Vec<Breach> {
    let code = without_tests(&code_of(text));
    let arm = |line: &str| line.starts_with("_ =>") || line.starts_with("_ if ");
    code.lines()
        .enumerate()
        .filter(|(_, line)| arm(line.trim_start()) || line.contains(" _ =>"))
        .map(|(index, _)| Breach {
            file: file.to_owned(),
            line: index + 1,
            rule: "no `_ =>` in rollout/: a new state or event must be thought of everywhere"
                .to_owned(),
        })
        .collect()
}

fn sources(directory: &str) -> Vec<(String, String)> {
    files_below(directory)
        .into_iter()
        .filter(|file| {
            std::path::Path::new(file)
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
        .map(|file| {
            let text = read(&file);
            (file, text)
        })
        .collect()
}

fn breaches_in(directories: &[&str], rule: fn(&str, &str) -> Vec<Breach>) -> Vec<Breach> {
    let files: Vec<(String, String)> = directories
        .iter()
        .flat_map(|directory| sources(directory))
        .collect();
    assert!(!files.is_empty());
    let mut breaches: Vec<Breach> = files
        .iter()
        .flat_map(|(file, text)| rule(file, text))
        .collect();
    breaches.dedup();
    breaches
}

fn stands(breach: &Breach, (file, part, _): &(&str, &str, &str)) -> bool {
    breach.file == *file && breach.rule.contains(part)
}

fn check(directories: &[&str], rule: fn(&str, &str) -> Vec<Breach>) {
    let mut breaches = breaches_in(directories, rule);
    breaches.retain(|breach| !STANDING.iter().any(|standing| stands(breach, standing)));
    let list: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(
        breaches.is_empty(),
        "{} broken rules:\n{}",
        breaches.len(),
        list.join("\n")
    );
}

/// Test files of their own may look further than the code that they test.
fn code_only(rule: fn(&str, &str) -> Vec<Breach>, file: &str, text: &str) -> Vec<Breach> {
    if is_test_file(file) {
        Vec::new()
    } else {
        rule(file, text)
    }
}

fn imports(file: &str, text: &str) -> Vec<Breach> {
    code_only(import_breaches, file, text)
}

fn homes(file: &str, text: &str) -> Vec<Breach> {
    code_only(home_breaches, file, text)
}

#[test]
fn what_no_longer_stands_is_taken_off_the_list() {
    let mut breaches = breaches_in(&["src"], imports);
    breaches.extend(breaches_in(&["src"], homes));
    breaches.extend(breaches_in(
        &["src", "crates/kustomize/src"],
        shape_breaches,
    ));
    breaches.extend(breaches_in(&["src/rollout"], wildcard_breaches));
    for standing in STANDING {
        assert!(
            breaches.iter().any(|breach| stands(breach, standing)),
            "{standing:?} is mended: take it off STANDING in tests/it/tidy.rs"
        );
    }
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    check(&["src"], imports);
}

#[test]
fn a_forbidden_import_is_found() {
    for (file, text) in [
        ("src/plan/order.rs", "use crate::cluster::Reader;"),
        (
            "src/plan/order.rs",
            "use crate::{api::Reason, cluster::{Reader, Writer}, model};",
        ),
        (
            "src/plan/order.rs",
            "fn f() { let x = crate::source::fetch(); }",
        ),
        ("src/plan/mod.rs", "use super::cluster::Reader;"),
        ("src/plan/order.rs", "use super::super::cluster::Reader;"),
        ("src/model/id.rs", "use crate::api::GROUP;"),
        ("src/main.rs", "fn main() { plimsoll::pipeline::run(); }"),
        ("src/attic/mod.rs", "//! A room that nobody drew."),
    ] {
        assert!(!import_breaches(file, text).is_empty(), "{file}: {text}");
    }
    for (file, text) in [
        (
            "src/plan/order.rs",
            "use crate::{api, model::ObjectId, render::Rendered}; use super::change::Change;",
        ),
        (
            "src/plan/order.rs",
            "//! crate::cluster\nconst X: &str = \"crate::cluster\"; /* crate::cluster */",
        ),
        (
            "src/plan/order.rs",
            "#[cfg(test)]\nmod tests { use crate::cluster::Reader; }",
        ),
        ("src/cli/get.rs", "use crate::{cluster::Reader, pipeline};"),
    ] {
        assert_eq!(import_breaches(file, text), [], "{file}: {text}");
    }
}

#[test]
fn outside_things_stay_in_their_homes() {
    check(&["src"], homes);
}

#[test]
fn an_outside_thing_away_from_home_is_found() {
    for (file, text) in [
        ("src/pipeline/look.rs", "use git2::Repository;"),
        ("src/pipeline/look.rs", "use kube::{Client, Resource as _};"),
        ("src/cli/get.rs", "fn f(client: kube::Client) {}"),
        ("src/cli/get.rs", "let home = std::env::var(\"HOME\");"),
        ("src/cli/get.rs", "use std::{env::var, fmt};"),
        ("src/cli/get.rs", "#[derive(clap::Parser)] struct Get;"),
        ("src/controller/run.rs", "let now = jiff::Timestamp::now();"),
        (
            "src/controller/run.rs",
            "let now = tokio::time::Instant::now();",
        ),
        ("src/controller/run.rs", "let now = Instant::now();"),
        ("src/plan/order.rs", "serde_yaml::to_string(&x)"),
        ("src/cli/get.rs", "use axum::Router;"),
        ("src/plan/order.rs", "use std::fs::read;"),
        ("src/plan/order.rs", "async fn wait() {}"),
    ] {
        assert_eq!(home_breaches(file, text).len(), 1, "{file}: {text}");
    }
    for (file, text) in [
        ("src/source/git.rs", "use git2::Repository;"),
        ("src/cli/settings.rs", "std::env::var_os(name)"),
        ("src/clock.rs", "jiff::Timestamp::now()"),
        ("src/cli/output/print.rs", "serde_yaml::to_string(&x)"),
        (
            "src/plan/order.rs",
            "// std::env::var\nlet env = \"std::env\";",
        ),
    ] {
        assert_eq!(home_breaches(file, text), [], "{file}: {text}");
    }
}

#[test]
fn files_have_a_sign_a_name_and_a_size() {
    check(&["src", "crates/kustomize/src", "tests"], shape_breaches);
}

#[test]
fn a_file_without_sign_name_or_measure_is_found() {
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LINES + 1));
    let tested = format!(
        "//! Tested.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(LINES + 1)
    );
    assert_eq!(
        shape_breaches("src/plan/order.rs", "use std::fmt;").len(),
        1
    );
    assert_eq!(shape_breaches("src/plan/utils.rs", "//! Things.").len(), 1);
    assert_eq!(shape_breaches("src/helpers/mod.rs", "//! Things.").len(), 1);
    assert_eq!(shape_breaches("src/plan/order.rs", &long).len(), 1);
    assert_eq!(shape_breaches("src/plan/order.rs", &tested), []);
}

#[test]
fn the_rollout_thinks_of_every_case() {
    check(&["src/rollout"], wildcard_breaches);
}

#[test]
fn a_wildcard_arm_is_found() {
    let text = "match state {\n    State::Idle => 1,\n    _ => 2,\n}\n";
    assert_eq!(wildcard_breaches("src/rollout/step.rs", text)[0].line, 3);
    assert_eq!(
        wildcard_breaches("src/rollout/step.rs", "match s { A => 1, _ => 2 }").len(),
        1
    );
    assert_eq!(
        wildcard_breaches("src/rollout/step.rs", "match s { (A, _) => 1, B(_) => 2 }"),
        []
    );
}

fn packages_in(lock: &str) -> usize {
    lock.lines().filter(|line| *line == "[[package]]").count()
}

#[test]
fn dependencies_stay_few() {
    let packages = packages_in(&read("Cargo.lock"));
    assert!(packages > 0);
    assert!(
        packages <= PACKAGES,
        "Cargo.lock holds {packages} packages, of at most {PACKAGES}; leave one out, or raise the limit with the reason"
    );
    assert_eq!(
        packages_in("[[package]]\nname = \"a\"\n\n[[package]]\nname = \"b\"\n"),
        2
    );
}
