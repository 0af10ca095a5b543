//! `plimsoll build` with remote bases and files.

use std::{fs, path::Path, process::Output};

use super::{
    http_server::{Behaviour, HttpServer},
    support::Repository,
};
use crate::build::{build, refused, stderr, stdout, tree};

const BASE: &str = "namePrefix: base-\nresources: [c.yaml]\n";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

/// A repository with a base below `deploy`, and its commit.
fn repository() -> (Repository, String) {
    let repository = Repository::new();
    repository.commit("deploy/kustomization.yaml", BASE);
    let commit = repository.commit("deploy/c.yaml", CONFIG_MAP);
    (repository, commit)
}

fn overlay(base: &str) -> tempfile::TempDir {
    tree(&[("kustomization.yaml", &format!("resources:\n- {base}\n"))])
}

fn built(directory: &Path, arguments: &[&str]) -> Output {
    let output = build(directory, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    output
}

#[test]
fn a_remote_base_is_fetched_from_a_host_that_is_named() {
    let (repository, commit) = repository();
    let server = HttpServer::plain(repository.root());
    let base = format!("{}//deploy?ref=main", server.url("shop"));
    let files = overlay(&base);
    let output = built(files.path(), &["--allow-remote", "localhost"]);
    assert_eq!(
        stdout(&output),
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: base-c\n"
    );
    // A branch can move: what it was is said.
    assert!(stderr(&output).contains(&commit), "{}", stderr(&output));
    assert!(stderr(&output).contains("ref=main"), "{}", stderr(&output));
    // A commit cannot.
    let files = overlay(&base.replace("main", &commit));
    let output = built(files.path(), &["--allow-remote", "localhost"]);
    assert_eq!(stderr(&output), "");
    // Nothing is left behind.
    let left = fs::read_dir(files.path().join(".cache/plimsoll")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_repository_can_be_built_itself() {
    let (repository, _) = repository();
    let server = HttpServer::plain(repository.root());
    let files = tree(&[]);
    let url = format!("{}//deploy?ref=main", server.url("shop"));
    let output = built(files.path(), &[&url, "--allow-remote=localhost"]);
    assert!(stdout(&output).contains("name: base-c\n"));
    let output = build(files.path(), &[&url]);
    assert!(refused(&output).contains("--allow-remote localhost"));
}

#[test]
fn a_base_is_asked_for_once() {
    let (repository, _) = repository();
    let server = HttpServer::plain(repository.root());
    let base = format!("{}//deploy?ref=main", server.url("shop"));
    let files = tree(&[
        ("kustomization.yaml", "resources: [a, b]\n"),
        (
            "a/kustomization.yaml",
            &format!("namePrefix: a-\nresources: [{base:?}]\n"),
        ),
        (
            "b/kustomization.yaml",
            &format!("namePrefix: b-\nresources: [{base:?}]\n"),
        ),
    ]);
    let output = built(files.path(), &["--allow-remote", "localhost"]);
    assert_eq!(stdout(&output).matches("-base-c\n").count(), 2);
    let asked = server
        .requests()
        .iter()
        .filter(|request| request.line.contains("info/refs"))
        .count();
    assert_eq!(asked, 1);
}

#[test]
fn a_remote_file_is_read() {
    let directory = tree(&[("crds/c.yaml", CONFIG_MAP), ("plain", CONFIG_MAP)]);
    let server = HttpServer::plain(directory.path());
    server.behave(Behaviour::File);
    let files = overlay(&server.url("crds/c.yaml"));
    let output = built(files.path(), &["--allow-remote", "localhost"]);
    assert!(stdout(&output).contains("name: c\n"));
    assert!(stderr(&output).contains("sha256:"), "{}", stderr(&output));
    let missing = overlay(&server.url("crds/none.yaml"));
    let output = build(missing.path(), &["--allow-remote", "localhost"]);
    let said = refused(&output);
    assert!(
        said.contains("404") && said.contains("kustomization.yaml:2:3"),
        "{said}"
    );
}

#[test]
fn what_is_not_allowed_names_the_flag_and_asks_nobody() {
    let (repository, _) = repository();
    let server = HttpServer::plain(repository.root());
    let port = server.address.port();
    for base in [
        format!("http://localhost:{port}/shop//deploy"),
        format!("http://localhost:{port}/x/c.yaml"),
        format!("http://user:canary@localhost:{port}/shop.git/deploy"),
    ] {
        let files = overlay(&base);
        for arguments in [&[][..], &["--allow-remote", "github.com"]] {
            let output = build(files.path(), arguments);
            let said = refused(&output);
            assert!(said.contains("--allow-remote localhost"), "{said}");
            assert!(said.contains("kustomization.yaml:2:3"), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn an_error_in_a_remote_base_names_the_repository() {
    let (repository, _) = repository();
    repository.commit("deploy/c.yaml", "kind: [\n");
    let server = HttpServer::plain(repository.root());
    let url = server.url("shop");
    let files = overlay(&format!("{url}//deploy"));
    let output = build(files.path(), &["--allow-remote", "localhost"]);
    let said = refused(&output);
    assert!(said.contains(&format!("{url}//deploy/c.yaml:")), "{said}");
}

#[test]
fn a_server_that_hangs_is_left_after_the_timeout_of_the_url() {
    let (repository, _) = repository();
    let server = HttpServer::plain(repository.root());
    server.behave(Behaviour::Hang);
    let files = overlay(&format!("{}//deploy?timeout=1", server.url("shop")));
    let output = build(files.path(), &["--allow-remote", "localhost"]);
    assert!(
        refused(&output).contains("longer than 1 s"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_reference_that_is_not_there_is_named() {
    let (repository, _) = repository();
    let server = HttpServer::plain(repository.root());
    let files = overlay(&format!("{}//deploy?ref=nowhere", server.url("shop")));
    let output = build(files.path(), &["--allow-remote", "localhost"]);
    assert!(refused(&output).contains("nowhere"), "{}", stderr(&output));
    let files = overlay(&format!("{}//elsewhere", server.url("shop")));
    let output = build(files.path(), &["--allow-remote", "localhost"]);
    assert!(
        refused(&output).contains("elsewhere"),
        "{}",
        stderr(&output)
    );
}
