//! A branch of our own at a real `git http-backend` and a real sshd.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use plimsoll::{
    model::{Credentials, Secret},
    source::{Branch, Error, Retry},
};
use tempfile::TempDir;

use super::{
    http_server::HttpServer,
    sshd::Sshd,
    support::{Fixture, chain, git},
};

const REFERENCE: &str = "refs/heads/audit/c1";

/// A bare repository on a server, empty, and a place for the copy.
struct Audit {
    root: TempDir,
    fixture: Fixture,
}

impl Audit {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        git(root.path(), &["init", "--bare", "--quiet", "audit.git"]);
        let audit = Self {
            root,
            fixture: Fixture::new(),
        };
        audit.at_server(&["config", "http.receivepack", "true"]);
        audit
    }

    fn at_server(&self, arguments: &[&str]) -> String {
        git(&self.root.path().join("audit.git"), arguments)
    }

    fn branch(&self, url: &str) -> Branch {
        Branch {
            url: url.to_owned(),
            reference: REFERENCE.to_owned(),
            copy: self.root.path().join("copy.git"),
        }
    }
}

/// Commits to the branch in a copy; returns where it was and is.
fn commit(copy: &Path, content: &str) -> (Option<String>, String) {
    let tree = git(copy, &["hash-object", "-t", "tree", "-w", "/dev/null"]);
    let list = git(copy, &["for-each-ref", "--format=%(objectname)", REFERENCE]);
    let old = (!list.is_empty()).then_some(list);
    let mut arguments = vec!["commit-tree", tree.as_str(), "-m", content];
    if let Some(old) = &old {
        arguments.extend(["-p", old]);
    }
    let new = git(copy, &arguments);
    git(copy, &["update-ref", REFERENCE, &new]);
    (old, new)
}

async fn a_batch(audit: &Audit, branch: &Branch, credentials: &Credentials) -> String {
    let mirrors = &audit.fixture.mirrors;
    mirrors
        .bring(branch.clone(), credentials.clone())
        .await
        .unwrap();
    let (old, new) = commit(&branch.copy, "one batch");
    mirrors
        .push(branch.clone(), credentials.clone(), old)
        .await
        .unwrap();
    assert_eq!(audit.at_server(&["rev-parse", REFERENCE]), new);
    new
}

#[tokio::test]
async fn a_branch_is_pushed_and_brought_by_http() {
    let audit = Audit::new();
    let server = HttpServer::plain(audit.root.path());
    let branch = audit.branch(&server.url("audit.git"));
    let nobody = Credentials::default();
    let one = a_batch(&audit, &branch, &nobody).await;
    let two = a_batch(&audit, &branch, &nobody).await;
    assert_eq!(
        audit.at_server(&["rev-list", REFERENCE]),
        format!("{two}\n{one}")
    );
    // The copy is lost with its pod.
    fs::remove_dir_all(&branch.copy).unwrap();
    let three = a_batch(&audit, &branch, &nobody).await;
    assert_eq!(
        audit.at_server(&["rev-list", REFERENCE]),
        format!("{three}\n{two}\n{one}")
    );
    audit.at_server(&["fsck", "--strict"]);
    // Or it is damaged.
    fs::remove_dir_all(branch.copy.join("objects")).unwrap();
    fs::write(branch.copy.join("objects"), "").unwrap();
    a_batch(&audit, &branch, &nobody).await;
}

#[tokio::test]
async fn a_branch_is_pushed_and_brought_by_ssh() {
    let audit = Audit::new();
    let sshd = Sshd::start(&["ed25519"]);
    let credentials = Credentials {
        identity: Some(Secret::new(sshd.identity())),
        known_hosts: Some(sshd.known_hosts(&["ed25519"])),
        ..Credentials::default()
    };
    let branch = audit.branch(&sshd.url(&audit.root.path().join("audit.git")));
    let one = a_batch(&audit, &branch, &credentials).await;
    fs::remove_dir_all(&branch.copy).unwrap();
    let two = a_batch(&audit, &branch, &credentials).await;
    assert_eq!(
        audit.at_server(&["rev-list", REFERENCE]),
        format!("{two}\n{one}")
    );
}

#[tokio::test]
async fn a_branch_that_somebody_moved_is_not_forced() {
    let audit = Audit::new();
    let server = HttpServer::plain(audit.root.path());
    let branch = audit.branch(&server.url("audit.git"));
    let mirrors = &audit.fixture.mirrors;
    let nobody = Credentials::default();
    a_batch(&audit, &branch, &nobody).await;
    let other = Branch {
        copy: audit.root.path().join("other.git"),
        ..branch.clone()
    };
    let theirs = a_batch(&audit, &other, &nobody).await;
    let (old, _ours) = commit(&branch.copy, "too late");
    let pushed = mirrors.push(branch.clone(), nobody.clone(), old).await;
    let error = pushed.unwrap_err();
    assert!(matches!(error, Error::PushRefused { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(audit.at_server(&["rev-parse", REFERENCE]), theirs);
    // What did not arrive is given up.
    mirrors.bring(branch.clone(), nobody.clone()).await.unwrap();
    assert_eq!(git(&branch.copy, &["rev-parse", REFERENCE]), theirs);
    // A branch that is gone is gone in the copy as well, and can begin anew.
    audit.at_server(&["update-ref", "-d", REFERENCE]);
    mirrors.bring(branch.clone(), nobody.clone()).await.unwrap();
    assert_eq!(git(&branch.copy, &["for-each-ref"]), "");
    a_batch(&audit, &branch, &nobody).await;
}

#[tokio::test]
async fn who_may_not_push_is_told_so_without_the_servers_words() {
    let audit = Audit::new();
    let server = HttpServer::plain(audit.root.path());
    let branch = audit.branch(&server.url("audit.git"));
    let mirrors = &audit.fixture.mirrors;
    let nobody = Credentials::default();
    a_batch(&audit, &branch, &nobody).await;
    let (old, _new) = commit(&branch.copy, "refused");

    let hook = audit.root.path().join("audit.git/hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho canary >&2\nexit 1\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = mirrors.push(branch.clone(), nobody.clone(), old.clone());
    let error = refused.await.unwrap_err();
    assert!(matches!(error, Error::PushRefused { .. }), "{error:?}");
    assert!(!chain(&error).contains("canary"), "{}", chain(&error));
    fs::remove_file(&hook).unwrap();

    server.require_login("auditor", "canary");
    let error = mirrors
        .push(branch.clone(), nobody.clone(), old.clone())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::CredentialsMissing { .. }),
        "{error:?}"
    );
    let mut auditor = Credentials {
        username: Some("auditor".to_owned()),
        password: Some(Secret::new("wrong".to_owned())),
        ..Credentials::default()
    };
    let error = mirrors
        .push(branch.clone(), auditor.clone(), old.clone())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::CredentialsRefused { .. }),
        "{error:?}"
    );
    auditor.password = Some(Secret::new("canary".to_owned()));
    mirrors.push(branch.clone(), auditor, old).await.unwrap();

    audit.at_server(&["config", "http.receivepack", "false"]);
    let error = mirrors.bring(branch, nobody).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::CredentialsMissing { .. } | Error::RepositoryMissing { .. }
        ),
        "{error:?}"
    );
}
