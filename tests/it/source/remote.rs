//! Remote bases and files.

use std::{fs, time::Duration};

use kustomize::{ErrorKind, Remote, RemoteReference};
use plimsoll::source::RemoteBases;
use tokio::runtime::Handle;

use super::{
    http_server::{Behaviour, HttpServer},
    support::{Fixture, Repository, chain, tick},
};

fn git(url: &str, reference: Option<&str>) -> RemoteReference {
    RemoteReference::Git {
        text: format!("{url}//deploy?ref=x"),
        repository: url.to_owned(),
        path: "deploy".to_owned(),
        reference: reference.map(str::to_owned),
        timeout: Duration::from_secs(2),
        submodules: true,
    }
}

fn bases(fixture: &Fixture, allowed: &[&str]) -> RemoteBases {
    let allowed = allowed.iter().map(|host| (*host).to_owned()).collect();
    RemoteBases::new(
        fixture.mirrors.clone(),
        allowed,
        Duration::from_secs(30),
        tick(),
        Handle::current(),
    )
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test]
async fn a_remote_base_is_pinned_and_shared() {
    let repository = Repository::new();
    let commit = repository.git(&["rev-parse", "HEAD"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    for (reference, moves) in [
        (None, true),
        (Some("main"), true),
        (Some(commit.as_str()), false),
    ] {
        let (bases, reference) = (bases(&fixture, &["LOCALHOST"]), git(&url, reference));
        let tree = off_thread(move || bases.fetch_tree(&reference))
            .await
            .unwrap();
        assert_eq!(
            tree.files.read("/deploy/app.yaml").unwrap().as_ref(),
            b"kind: ConfigMap\n"
        );
        assert_eq!(
            (tree.pin.pin.as_str(), tree.pin.moves, &tree.pin.url),
            (commit.as_str(), moves, &url)
        );
    }
    assert_eq!(fixture.mirrors.counts().mirrors, 1);
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_asked() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    for allowed in [&[][..], &["github.com"], &["host"]] {
        let (tree, file) = (bases(&fixture, allowed), bases(&fixture, allowed));
        let (reference, url) = (
            git(&server.url("shop"), None),
            server.url("shop/file.yaml?token=canary"),
        );
        let tree = off_thread(move || tree.fetch_tree(&reference).err().unwrap()).await;
        let file = off_thread(move || file.fetch_file(&url).err().unwrap()).await;
        for error in [tree, file] {
            assert_eq!(error.kind(), ErrorKind::Remote);
            assert_eq!(
                error.advice(),
                Some("allow the host with --allow-remote localhost")
            );
            assert!(
                !format!("{} {error:?}", chain(&error)).contains("canary"),
                "{error:?}"
            );
        }
    }
    // Allowed here, and still refused by the rule for every connection.
    let strict = Fixture::with(|settings| settings.egress.allow_hosts.clear());
    let (bases, reference) = (
        bases(&strict, &["localhost"]),
        git(&server.url("shop"), None),
    );
    let error = off_thread(move || bases.fetch_tree(&reference).err().unwrap()).await;
    assert!(
        chain(&error).contains("--allow-host localhost"),
        "{error:?}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_file_is_read_from_allowed_hosts_only() {
    let directory = tempfile::TempDir::new().unwrap();
    fs::write(directory.path().join("crds.yaml"), "kind: List\n").unwrap();
    let server = HttpServer::plain(directory.path());
    server.behave(Behaviour::File);
    let fixture = Fixture::with(|settings| settings.max_file_bytes = 100);
    let read = |path: &str, allowed: &[&str]| {
        let (bases, url) = (bases(&fixture, allowed), server.url(path));
        off_thread(move || bases.fetch_file(&url))
    };
    let (content, pin) = read("crds.yaml?version=1", &["localhost"]).await.unwrap();
    assert_eq!(content.as_ref(), b"kind: List\n");
    assert_eq!(
        pin.pin,
        plimsoll::model::Digest::of(b"kind: List\n").to_string()
    );
    assert!(pin.moves);
    assert_eq!(
        server.requests()[0].line,
        "GET /crds.yaml?version=1 HTTP/1.1"
    );
    let missing = read("none.yaml", &["localhost"]).await.unwrap_err();
    assert!(chain(&missing).contains("404"), "{missing:?}");
    fs::write(directory.path().join("large.yaml"), "x".repeat(101)).unwrap();
    let large = read("large.yaml", &["localhost"]).await.unwrap_err();
    assert!(chain(&large).contains("100 bytes"), "{large:?}");
    let port = server.address.port();
    server.behave(Behaviour::Redirect(format!(
        "raw:http://127.0.0.1:{port}/crds.yaml"
    )));
    let away = read("crds.yaml", &["localhost"]).await.unwrap_err();
    assert!(chain(&away).contains("another host"), "{away:?}");
    let circle = read("crds.yaml", &["localhost", "127.0.0.1"])
        .await
        .unwrap_err();
    assert!(chain(&circle).contains("in a circle"), "{circle:?}");
}

#[tokio::test]
async fn a_base_that_takes_too_long_is_left() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    server.behave(Behaviour::Hang);
    let fixture = Fixture::with(|settings| settings.idle_timeout = Duration::from_secs(3));
    let (bases, reference) = (
        bases(&fixture, &["localhost"]),
        git(&server.url("shop"), None),
    );
    let start = std::time::Instant::now();
    let error = off_thread(move || bases.fetch_tree(&reference).err().unwrap()).await;
    assert!(chain(&error).contains("longer than 2 s"), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}
