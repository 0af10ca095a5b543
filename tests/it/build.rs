//! `plimsoll build` as a process: upstream's flags, output and exit codes.
//!
//! Enters: trees on the disk, arguments.
//! Leaves: what was printed and written, and the exit code.
//! Never: a host asked.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// Writes files below a directory of their own.
pub(crate) fn tree(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (path, content) in files {
        let file = directory.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    directory
}

/// Runs `plimsoll build` in a directory, with an environment of its own.
pub(crate) fn build(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .arg("build")
        .args(arguments);
    command
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Asserts a refusal as upstream's: exit 1, nothing on standard output; returns what was said.
pub(crate) fn refused(output: &Output) -> &str {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(stdout(output), "", "{said}");
    assert!(
        said.contains("Error: ") || said.contains("error: "),
        "{said}"
    );
    said
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
const PRINTED: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

fn small() -> TempDir {
    tree(&[
        ("kustomization.yaml", "resources: [r.yaml]\n"),
        ("r.yaml", CONFIG_MAP),
    ])
}

#[test]
fn the_directory_is_the_current_one_by_default() {
    let files = small();
    let inner = tree(&[]);
    for (at, arguments) in [
        (files.path(), &[][..]),
        (files.path(), &["."]),
        (inner.path(), &[files.path().to_str().unwrap()]),
    ] {
        let output = build(at, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!((stdout(&output), stderr(&output)), (PRINTED, ""));
    }
}

#[test]
fn flags_that_need_what_is_not_done_are_refused_with_what_to_do() {
    let files = small();
    for (arguments, instead) in [
        (&["--enable-helm"][..], "helm template"),
        (&["--enable-helm=true"], "helm template"),
        (&["--helm-command", "helm3"], "helm template"),
        (&["--helm-api-versions", "v1"], "helm template"),
        (&["--helm-kube-version=1.33"], "helm template"),
        (&["--helm-debug"], "helm template"),
        (&["--enable-exec"], "commit its output"),
        (&["--network"], "commit its output"),
        (&["--network-name", "host"], "commit its output"),
        (&["--mount", "type=bind,src=/,dst=/x"], "commit its output"),
        (&["--env", "A=B"], "commit its output"),
        (&["-e", "A"], "commit its output"),
        (&["--as-current-user"], "commit its output"),
    ] {
        let output = build(files.path(), arguments);
        let said = refused(&output);
        let flag = arguments[0].split('=').next().unwrap();
        let flag = if flag == "-e" { "--env" } else { flag };
        assert!(said.contains(&format!("take {flag}:")), "{said}");
        assert!(
            said.contains("  next: ") && said.contains(instead),
            "{said}"
        );
    }
}

#[test]
fn flags_are_taken_in_every_form_that_upstream_takes() {
    let files = small();
    for arguments in [
        &["--enable-alpha-plugins"][..],
        &[
            "--enable-alpha-plugins=T",
            "--stack-trace",
            "--stack-trace=0",
        ],
        &[
            "--enable-helm=false",
            "--network=F",
            "--as-current-user=0",
            "--enable-exec=False",
        ],
        &[
            "--load-restrictor",
            "",
            "--load-restrictor=LoadRestrictionsNone",
        ],
        &["-o", "", "."],
        &[".", "--output="],
    ] {
        let output = build(files.path(), arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert_eq!(
            (stdout(&output), stderr(&output)),
            (PRINTED, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn wrong_usage_exits_as_upstream_does() {
    let files = small();
    for (arguments, said) in [
        (&["a", "b"][..], "specify one path to kustomization.yaml"),
        (&["--nope"], "--nope"),
        (
            &["--load-restrictor", "none"],
            "LoadRestrictionsRootOnly, LoadRestrictionsNone",
        ),
        (&["--reorder", "fifo"], "legacy, none"),
        (&["--stack-trace=perhaps"], "neither true nor false"),
        (&["nowhere"], "nowhere"),
        (&["r.yaml"], "r.yaml"),
        (&[""], "empty"),
        (&["-o", "nowhere/x"], "nowhere/x"),
    ] {
        let output = build(files.path(), arguments);
        let found = refused(&output);
        assert!(found.contains(said), "{arguments:?}: {found}");
    }
    assert_eq!(build(files.path(), &["--help"]).status.code(), Some(0));
}

#[test]
fn old_flags_work_and_say_that_they_are_old() {
    let files = tree(&[
        ("kustomization.yaml", "resources: [r.yaml, n.yaml]\n"),
        ("r.yaml", CONFIG_MAP),
        (
            "n.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n",
        ),
    ]);
    let output = build(files.path(), &["--reorder", "none"]);
    assert!(stdout(&output).starts_with(PRINTED), "{}", stdout(&output));
    assert!(stderr(&output).contains("--reorder has been deprecated"));
    let legacy = build(files.path(), &["--reorder=legacy"]);
    assert!(stdout(&legacy).ends_with(PRINTED), "{}", stdout(&legacy));
    let label = "app.kubernetes.io/managed-by: kustomize-v5.8.2";
    let marked = build(files.path(), &["--enable-managedby-label"]);
    assert_eq!(stdout(&marked).matches(label).count(), 2);
    assert!(stderr(&marked).contains("--enable-managedby-label has been deprecated"));
    for (value, count) in [("on", 2), ("true", 0)] {
        let output = command(files.path(), &[])
            .env("KUSTOMIZE_ENABLE_MANAGEDBY_LABEL", value)
            .output()
            .unwrap();
        assert_eq!(stdout(&output).matches(label).count(), count);
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn output_goes_to_a_file_or_one_file_an_object() {
    let files = tree(&[
        ("kustomization.yaml", "resources: [r.yaml]\n"),
        (
            "r.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: Web, namespace: one}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n",
        ),
    ]);
    fs::create_dir(files.path().join("out")).unwrap();
    let output = build(files.path(), &["-o", "out"]);
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
    let mut names: Vec<String> = fs::read_dir(files.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "default_v1_configmap_c.yaml",
            "one_apps_v1_deployment_web.yaml",
            "v1_namespace_one.yaml"
        ]
    );
    assert_eq!(
        fs::read_to_string(files.path().join("out/default_v1_configmap_c.yaml")).unwrap(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n"
    );
    let whole = build(files.path(), &["--output=all.yaml"]);
    assert_eq!(stdout(&whole), "");
    assert_eq!(
        fs::read_to_string(files.path().join("all.yaml")).unwrap(),
        stdout(&build(files.path(), &[]))
    );
}

#[test]
fn the_load_restrictor_is_lifted_by_its_flag() {
    let files = tree(&[
        (
            "app/kustomization.yaml",
            "configMapGenerator: [{name: a, files: [../f]}]\n",
        ),
        ("f", "x"),
    ]);
    let output = build(files.path(), &["app"]);
    let said = refused(&output);
    assert!(
        said.contains("/f") && said.contains("--load-restrictor LoadRestrictionsNone"),
        "{said}"
    );
    let output = build(
        files.path(),
        &["app", "--load-restrictor", "LoadRestrictionsNone"],
    );
    assert!(stdout(&output).contains("  f: x\n"), "{}", stderr(&output));
}

#[test]
fn a_stack_trace_gives_the_causes_one_a_line() {
    let files = tree(&[
        ("kustomization.yaml", "resources: [r.yaml]\n"),
        ("r.yaml", "a: [\n"),
    ]);
    for (arguments, lines) in [(&[][..], 1), (&["--stack-trace"], 1)] {
        let output = build(files.path(), arguments);
        let said = refused(&output);
        assert!(said.lines().count() >= lines, "{said}");
        assert!(said.contains("r.yaml:"), "{said}");
    }
}
