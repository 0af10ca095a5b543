//! ssh against a real sshd.

use std::{
    io::Read,
    net::TcpListener,
    time::{Duration, Instant},
};

use plimsoll::{
    api::Reason,
    model::{Credentials, Secret},
    source::{Error, Retry},
};

use super::{
    sshd::Sshd,
    support::{Fixture, Repository, chain, read},
};

fn with(identity: String, known_hosts: Option<String>) -> Credentials {
    Credentials {
        identity: Some(Secret::new(identity)),
        known_hosts,
        ..Credentials::default()
    }
}

#[tokio::test]
async fn a_repository_is_fetched_by_ssh() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519"]);
    let fixture = Fixture::new();
    let credentials = with(sshd.identity(), Some(sshd.known_hosts(&["ed25519"])));
    let url = sshd.url(&repository.path());
    let snapshot = fixture.fetch_with(&url, None, &credentials).await.unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: ConfigMap\n");
    fixture
        .fetch_with(&url, Some("main"), &credentials)
        .await
        .unwrap();
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    let snapshot = fixture
        .fetch_with(&url, Some("main"), &credentials)
        .await
        .unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: Secret\n");
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (counts.ls_remotes, counts.fetches, counts.failures),
        (3, 2, 0)
    );
}

#[tokio::test]
async fn a_host_is_known_by_any_of_its_keys_hashed_or_not() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519", "ecdsa", "rsa"]);
    let fixture = Fixture::new();
    let url = sshd.url(&repository.path());
    for known_hosts in [
        sshd.known_hosts(&["rsa"]),
        sshd.known_hosts(&["ecdsa"]),
        sshd.hashed_known_hosts(&["ed25519"]),
        sshd.hashed_known_hosts(&["rsa", "ecdsa"]),
    ] {
        fixture
            .fetch_with(&url, None, &with(sshd.identity(), Some(known_hosts)))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn keys_of_every_type_open() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519"]);
    let fixture = Fixture::new();
    for identity in sshd.identities() {
        let kind = identity.lines().next().unwrap_or_default().to_owned();
        let credentials = with(identity, Some(sshd.known_hosts(&["ed25519"])));
        let result = fixture
            .fetch_with(&sshd.url(&repository.path()), None, &credentials)
            .await;
        assert!(result.is_ok(), "{kind}: {result:?}");
    }
}

#[tokio::test]
async fn an_unknown_or_changed_host_hears_nothing_from_us() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519"]);
    let other = Sshd::start(&["ed25519"]);
    let fixture = Fixture::new();
    let url = sshd.url(&repository.path());
    let fingerprint = sshd.fingerprint("ed25519");
    let changed = other
        .known_hosts(&["ed25519"])
        .replace(&other.port.to_string(), &sshd.port.to_string());
    for known_hosts in [
        None,
        Some(String::new()),
        Some(other.known_hosts(&["ed25519"])),
    ] {
        let error = fixture
            .fetch_with(&url, None, &with(sshd.identity(), known_hosts))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error:?}");
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::GitUntrusted, Retry::OnChange)
        );
        assert!(chain(&error).contains(&fingerprint), "{error:?}");
    }
    let error = fixture
        .fetch_with(&url, None, &with(sshd.identity(), Some(changed)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HostKeyChanged { .. }), "{error:?}");
    assert_eq!(error.reason(), Reason::GitUntrusted);
    assert!(chain(&error).contains(&fingerprint), "{error:?}");
}

#[tokio::test]
async fn keys_that_do_not_open_are_told_apart() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519"]);
    let fixture = Fixture::new();
    let url = sshd.url(&repository.path());
    let known_hosts = Some(sshd.known_hosts(&["ed25519"]));
    let stranger = fixture
        .fetch_with(&url, None, &with(sshd.stranger(), known_hosts.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(stranger, Error::CredentialsRefused { status: None, .. }),
        "{stranger:?}"
    );
    assert_eq!(
        (stranger.reason(), stranger.retry()),
        (Reason::GitAuth, Retry::OnChange)
    );
    for key in [
        "-----BEGIN canary-----".to_owned(),
        String::new(),
        sshd.locked(),
    ] {
        let error = fixture
            .fetch_with(&url, None, &with(key, known_hosts.clone()))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::CredentialsUnusable { .. }),
            "{error:?}"
        );
        assert_eq!(error.reason(), Reason::CredentialsInvalid);
        assert!(
            !format!("{} {error:?}", chain(&error)).contains("canary"),
            "{error:?}"
        );
    }

    let none = Credentials {
        known_hosts,
        ..Credentials::default()
    };
    let error = fixture.fetch_with(&url, None, &none).await.unwrap_err();
    assert!(
        matches!(error, Error::CredentialsMissing { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_told_apart() {
    let repository = Repository::new();
    let sshd = Sshd::start(&["ed25519"]);
    let fixture = Fixture::new();
    let credentials = with(sshd.identity(), Some(sshd.known_hosts(&["ed25519"])));
    for path in [
        "none",
        "it's; touch pwned",
        "$(touch pwned)",
        "`touch pwned`",
    ] {
        let path = repository.root().join(path);
        let url = sshd.url(&path).replace(' ', "%20");
        let error = fixture
            .fetch_with(&url, None, &credentials)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::RepositoryMissing { status: None, .. }),
            "{error:?}"
        );
        assert_eq!(error.reason(), Reason::GitAuth);
    }
    assert!(!repository.root().join("pwned").exists());
}

#[tokio::test]
async fn a_host_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).ok();
        text
    });
    let fixture = Fixture::with(|settings| settings.total_timeout = Duration::from_secs(1));
    let start = Instant::now();
    let url = format!("ssh://git@127.0.0.1:{port}/shop");
    let error = fixture
        .fetch_with(&url, None, &with("key".to_owned(), None))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(fixture.mirrors.counts().abandoned, 0);
    assert!(heard.join().unwrap().starts_with(b"SSH-2.0-"));
}

#[tokio::test]
async fn a_host_that_is_no_sshd_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 canary\r\n\r\n").ok();
    });
    let fixture = Fixture::with(|settings| settings.total_timeout = Duration::from_secs(5));
    let url = format!("ssh://git@127.0.0.1:{port}/shop");
    let error = fixture
        .fetch_with(&url, None, &with("key".to_owned(), None))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::GitUnreachable, "{error:?}");
    assert!(
        !format!("{} {error:?}", chain(&error)).contains("canary"),
        "{error:?}"
    );
    server.join().unwrap();
}
