//! http and https against a real `git http-backend`.

use plimsoll::{
    api::Reason,
    model::{Credentials, Secret},
    source::{Error, Retry},
};

use super::{
    http_server::{Behaviour, HttpServer},
    support::{Fixture, Repository, chain, read},
};

fn login(user: &str, password: &str) -> Credentials {
    Credentials {
        username: Some(user.to_owned()),
        password: Some(Secret::new(password.to_owned())),
        ..Credentials::default()
    }
}

fn trusting(server: &HttpServer) -> Credentials {
    Credentials {
        certificate_authority: server.authority.clone(),
        ..Credentials::default()
    }
}

#[tokio::test]
async fn a_commit_becomes_files() {
    let repository = Repository::new();
    let head = repository.commit_all("Release 1.2\n\nWith a body.");
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let snapshot = fixture.fetch(&server.url("shop"), None).await.unwrap();
    assert_eq!(snapshot.revision.to_string(), format!("main@sha1:{head}"));
    assert_eq!(snapshot.tree, repository.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(snapshot.commit.author, "Ann Author <ann@example.com>");
    assert_eq!(
        snapshot.commit.committer,
        "Carl Committer <carl@example.com>"
    );
    assert_eq!(snapshot.commit.authored.to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(
        snapshot.commit.committed.to_string(),
        "2026-01-02T03:04:06Z"
    );
    assert_eq!(snapshot.commit.subject, "Release 1.2");
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: ConfigMap\n");
}

#[tokio::test]
async fn only_what_is_new_is_fetched() {
    let repository = Repository::new();
    let old = repository.git(&["rev-parse", "HEAD"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    fixture.fetch(&url, Some("main")).await.unwrap();
    fixture.fetch(&url, Some("main")).await.unwrap();
    assert_eq!(server.questions(), (2, 1), "nothing new, nothing fetched");
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    let snapshot = fixture.fetch(&url, Some("main")).await.unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: Secret\n");
    assert_eq!(server.questions(), (3, 2));
    let request = server.requests().pop().unwrap();
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.contains(&format!("have {old}")), "{body}");
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (
            counts.ls_remotes,
            counts.fetches,
            counts.failures,
            counts.rebuilds
        ),
        (3, 2, 0, 0)
    );
}

#[tokio::test]
async fn one_connection_carries_a_whole_fetch() {
    let repository = Repository::new();
    for server in [
        HttpServer::plain(repository.root()),
        HttpServer::secure(repository.root()),
    ] {
        for behaviour in [Behaviour::Git, Behaviour::Chunked] {
            let (fixture, before) = (Fixture::new(), server.connections());
            server.behave(behaviour.clone());
            fixture
                .fetch_with(&server.url("shop"), None, &trusting(&server))
                .await
                .unwrap();
            assert_eq!(server.connections() - before, 1, "{behaviour:?}");
        }
    }
}

#[tokio::test]
async fn credentials_are_sent_and_their_refusal_is_told_apart() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    server.require_login("bot", "canary-password");
    let fixture = Fixture::new();
    let url = server.url("shop");
    let none = fixture.fetch(&url, None).await.unwrap_err();
    assert!(matches!(none, Error::CredentialsMissing { .. }), "{none:?}");
    let wrong = fixture
        .fetch_with(&url, None, &login("bot", "canary-wrong"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            wrong,
            Error::CredentialsRefused {
                status: Some(401),
                ..
            }
        ),
        "{wrong:?}"
    );
    for error in [none, wrong] {
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::GitAuth, Retry::OnChange)
        );
        assert!(
            !format!("{} {error:?}", chain(&error)).contains("canary"),
            "{error:?}"
        );
    }
    fixture
        .fetch_with(&url, None, &login("bot", "canary-password"))
        .await
        .unwrap();
    let inside = url.replace("://", "://bot:canary-password@");
    fixture.fetch(&inside, None).await.unwrap();
    let error = fixture
        .fetch(&inside.replace("/shop", "/none"), None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::RepositoryMissing {
                status: Some(404),
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.reason(), Reason::GitAuth);
    assert!(
        !format!("{} {error:?}", chain(&error)).contains("canary"),
        "{error:?}"
    );
}

#[tokio::test]
async fn credentials_do_not_travel_over_http() {
    let fixture = Fixture::new();
    // An address for documentation: a connection to it would not be refused, but wait.
    let error = fixture
        .fetch_with("http://192.0.2.1/shop", None, &login("bot", "canary"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::CredentialsUnusable { .. }),
        "{error:?}"
    );
    assert_eq!(error.reason(), Reason::CredentialsInvalid);
}

#[tokio::test]
async fn https_is_trusted_by_its_authority_only() {
    let repository = Repository::new();
    let server = HttpServer::secure(repository.root());
    let other = HttpServer::secure(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    fixture
        .fetch_with(&url, None, &trusting(&server))
        .await
        .unwrap();
    let wrong_host = url.replace("localhost", "127.0.0.1");
    for (url, credentials) in [
        (&url, Credentials::default()),
        (&url, trusting(&other)),
        (&wrong_host, trusting(&server)),
    ] {
        let error = fixture
            .fetch_with(url, None, &credentials)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
        assert_eq!(error.reason(), Reason::GitUntrusted);
    }
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let credentials = Credentials {
            certificate_authority: Some(text.to_owned()),
            ..Credentials::default()
        };
        let error = fixture
            .fetch_with(&url, None, &credentials)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), Reason::CredentialsInvalid, "{error:?}");
    }
}

#[tokio::test]
async fn redirects_stay_on_the_host() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let other = HttpServer::plain(repository.root());
    server.require_login("bot", "canary");
    let fixture = Fixture::new();
    let port = server.address.port();
    // Another host, another port, another name of the same machine, a metadata service, no repository.
    for to in [
        format!("http://localhost:{}", other.address.port()),
        format!("http://127.0.0.1:{port}"),
        format!("//localhost:{}", other.address.port()),
        "http://169.254.169.254".to_owned(),
        "file://".to_owned(),
        format!("http://localhost:{port}@127.0.0.1:{}", other.address.port()),
    ] {
        server.behave(Behaviour::Redirect(to.clone()));
        let error = fixture
            .fetch_with(&server.url("shop"), None, &login("bot", "canary"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Redirected { .. }), "{to}: {error:?}");
        assert_eq!(error.reason(), Reason::EgressDenied);
    }
    server.behave(Behaviour::RedirectPack(
        other.url("").trim_end_matches('/').to_owned(),
    ));
    let error = fixture
        .fetch_with(&server.url("shop"), None, &login("bot", "canary"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
    assert!(
        other.requests().is_empty(),
        "the other host was not even asked"
    );
    for to in [
        "raw:/elsewhere",
        "raw:",
        &format!("http://localhost:{port}"),
    ] {
        server.behave(Behaviour::Redirect(to.to_owned()));
        let error = fixture
            .fetch_with(&server.url("shop"), None, &login("bot", "canary"))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{to}: {error:?}");
    }
}

#[tokio::test]
async fn redirects_on_the_host_are_followed_with_credentials() {
    let repository = Repository::new();
    let plain = HttpServer::plain(repository.root());
    let secure = HttpServer::secure(repository.root());
    secure.require_login("bot", "secret");
    plain.behave(Behaviour::Redirect(
        secure.url("").trim_end_matches('/').to_owned(),
    ));
    let fixture = Fixture::new();
    let credentials = Credentials {
        certificate_authority: secure.authority.clone(),
        ..login("bot", "secret")
    };
    let snapshot = fixture
        .fetch_with(&plain.url("shop"), None, &credentials)
        .await
        .unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: ConfigMap\n");
    assert_eq!((plain.questions(), secure.questions()), ((1, 0), (1, 1)));
    // And never the other way.
    secure.behave(Behaviour::Redirect(
        plain.url("").trim_end_matches('/').to_owned(),
    ));
    let error = fixture
        .fetch_with(&secure.url("shop"), None, &credentials)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
}

#[tokio::test]
async fn a_host_is_refused_by_name_and_by_address() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let port = server.address.port();
    let fixture = Fixture::with(|settings| settings.egress.allow_hosts.clear());
    for host in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        for url in [
            format!("http://{host}:{port}/shop"),
            format!("https://{host}:{port}/shop"),
        ] {
            let error = fixture.fetch(&url, None).await.unwrap_err();
            assert!(matches!(error, Error::Egress { .. }), "{url}: {error:?}");
            assert_eq!(
                (error.reason(), error.retry()),
                (Reason::EgressDenied, Retry::OnChange)
            );
            assert!(chain(&error).contains("--allow-host"), "{error:?}");
        }
    }
    let credentials = Credentials {
        identity: Some(Secret::new("key".to_owned())),
        ..Credentials::default()
    };
    let error = fixture
        .fetch_with(
            &format!("ssh://git@localhost:{port}/shop"),
            None,
            &credentials,
        )
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Egress { .. }), "{error:?}");
    assert!(server.requests().is_empty());

    let fixture = Fixture::with(|settings| {
        settings.egress.allow_hosts.clear();
        settings.egress.only_hosts = Some(vec!["git.example.com".to_owned()]);
    });
    let error = fixture
        .fetch("https://no-such-host.invalid/shop", None)
        .await
        .unwrap_err();
    assert!(
        chain(&error).contains("--only-host no-such-host.invalid"),
        "the name is not resolved: {error:?}"
    );
    let error = Fixture::new()
        .fetch("https://no-such-host.invalid/shop", None)
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.retry()),
        (Reason::GitUnreachable, Retry::Backoff),
        "{error:?}"
    );
}
