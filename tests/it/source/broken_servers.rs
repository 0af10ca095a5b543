//! Servers that break, lie, hang or send too much: a typed error in time, and nothing lost.

use std::{
    fs,
    time::{Duration, Instant},
};

use plimsoll::{
    api::Reason,
    model::Credentials,
    source::{Error, Retry, Settings, Snapshot},
};

use super::{
    http_server::{Behaviour, HttpServer},
    support::{Fixture, Repository, chain, noise, read, spec, until},
};

fn quick(settings: &mut Settings) {
    settings.total_timeout = Duration::from_millis(4500);
    settings.idle_timeout = Duration::from_millis(1500);
    settings.max_advertisement_bytes = 1 << 20;
}

/// Fetches from a server that does nothing wrong; a busy machine can make it look slow.
async fn fetched(fixture: &Fixture, url: &str) -> Snapshot {
    for _ in 0..20 {
        match fixture.fetch(url, None).await {
            Ok(snapshot) => return snapshot,
            Err(Error::TimedOut { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("a server that does nothing wrong was too slow 20 times");
}

/// Fetches once, lets the server misbehave, and checks that the error is the right one and the mirror intact.
async fn check(behaviour: Behaviour, reason: Reason, retry: Retry) -> Error {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(quick);
    let url = server.url("shop");
    let good = fetched(&fixture, &url).await;
    let before = fixture.mirrors.counts();
    repository.commit("deploy/app.yaml", "kind: Secret\n");

    server.behave(behaviour.clone());
    let error = fixture.fetch(&url, None).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.retry()),
        (reason, retry),
        "{behaviour:?}: {error:?}"
    );
    assert!(
        !format!("{} {error:?}", chain(&error)).contains("canary"),
        "{error:?}"
    );
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (counts.failures, counts.abandoned),
        (before.failures + 1, before.abandoned),
        "{behaviour:?}"
    );

    let revision = &good.revision;
    let still = fixture
        .mirrors
        .read(&spec(&url, None), &Credentials::default(), revision)
        .await
        .unwrap();
    assert_eq!(read(&still, "/deploy/app.yaml"), "kind: ConfigMap\n");
    assert_eq!(
        fixture.stores().len(),
        1,
        "{behaviour:?}: nothing else is left"
    );
    let packs = fixture.stores()[0].join("objects/pack");
    let odd: Vec<String> = fs::read_dir(packs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["pack", "idx"].contains(&name.rsplit('.').next().unwrap()))
        .collect();
    assert_eq!(odd, Vec::<String>::new(), "{behaviour:?}");

    server.behave(Behaviour::Git);
    let next = fetched(&fixture, &url).await;
    assert_eq!(read(&next, "/deploy/app.yaml"), "kind: Secret\n");
    error
}

#[tokio::test]
async fn a_status_is_told_and_nothing_else() {
    for (status, reason, retry) in [
        (401, Reason::GitAuth, Retry::OnChange),
        (403, Reason::GitAuth, Retry::OnChange),
        (404, Reason::GitAuth, Retry::OnChange),
        (400, Reason::GitProtocol, Retry::Backoff),
        (429, Reason::GitUnreachable, Retry::Backoff),
        (500, Reason::GitUnreachable, Retry::Backoff),
        (503, Reason::GitUnreachable, Retry::Backoff),
    ] {
        let error = check(Behaviour::Status(status), reason, retry).await;
        if status != 401 && status != 403 {
            assert!(chain(&error).contains(&status.to_string()), "{error:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_git_is_not_a_deleted_branch() {
    for behaviour in [
        Behaviour::Html,
        Behaviour::HtmlAsGit,
        Behaviour::NoReferences,
        Behaviour::EmptyRepository,
        Behaviour::GitError,
        Behaviour::Dumb,
        Behaviour::NotHttp,
        Behaviour::TruncatedPack,
        Behaviour::DamagedPack,
    ] {
        check(behaviour, Reason::GitProtocol, Retry::Backoff).await;
    }
    let closed = check(Behaviour::Close, Reason::GitProtocol, Retry::Backoff).await;
    assert!(matches!(closed, Error::Protocol { .. }), "{closed:?}");
}

#[tokio::test]
async fn a_server_that_takes_too_long_is_left() {
    for behaviour in [Behaviour::Hang, Behaviour::HangInPack, Behaviour::Slow] {
        let start = Instant::now();
        let error = check(behaviour.clone(), Reason::GitUnreachable, Retry::Backoff).await;
        assert!(
            matches!(error, Error::TimedOut { .. }),
            "{behaviour:?}: {error:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{behaviour:?}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn an_endless_list_is_cut() {
    let error = check(
        Behaviour::EndlessReferences,
        Reason::SourceTooLarge,
        Retry::OnChange,
    )
    .await;
    assert!(chain(&error).contains("1048576 bytes"), "{error:?}");
}

#[tokio::test]
async fn nobody_listens() {
    let repository = Repository::new();
    let url = HttpServer::plain(repository.root()).url("shop");
    let fixture = Fixture::new();
    until("the port is closed", || {
        std::net::TcpStream::connect(url[7..].split('/').next().unwrap()).is_err()
    })
    .await;
    let error = fixture.fetch(&url, None).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                act: "connect to",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        (error.reason(), error.retry()),
        (Reason::GitUnreachable, Retry::Backoff)
    );
}

#[tokio::test]
async fn a_repository_that_is_too_large_leaves_nothing_on_disk() {
    let repository = Repository::new();
    let noise = noise(200_000);
    repository.commit("large.txt", &noise);
    let server = HttpServer::plain(repository.root());
    let url = server.url("shop");
    for (change, what) in [
        (
            (|settings| settings.max_repository_bytes = 100_000) as fn(&mut Settings),
            "the repository",
        ),
        (|settings| settings.max_object_bytes = 100, "an object"),
        (|settings| settings.max_objects = 3, "the pack"),
    ] {
        let fixture = Fixture::with(change);
        let error = fixture.fetch(&url, None).await.unwrap_err();
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::SourceTooLarge, Retry::OnChange),
            "{error:?}"
        );
        assert!(chain(&error).contains(what), "{error:?}");
        assert!(fixture.stores().is_empty(), "{:?}", fixture.stores());
    }
    let path = repository.path();
    let fixture = Fixture::with(|settings| {
        settings.max_repository_bytes = 100_000;
        settings.allow_file = true;
    });
    let error = fixture
        .fetch(path.to_str().unwrap(), None)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Reason::SourceTooLarge, "{error:?}");
    assert!(fixture.stores().is_empty());
}

/// Bytes of what is kept of a repository on this machine with this file and, perhaps, another that is nearly the same.
async fn kept_bytes(text: &str, twice: bool) -> u64 {
    let repository = Repository::new();
    repository.commit("one.txt", text);
    if twice {
        repository.commit("two.txt", &(text.to_owned() + "."));
    }
    let fixture = Fixture::with(|settings| settings.allow_file = true);
    let path = repository.path();
    fixture.fetch(path.to_str().unwrap(), None).await.unwrap();
    let packs = fixture.stores().remove(0).join("objects/pack");
    let files = std::fs::read_dir(packs).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[tokio::test]
async fn no_time_goes_into_differences_of_large_files_on_this_machine() {
    let (small, large) = (noise(5_000), noise(20_000));
    assert!(small.len() < 65_536 && large.len() > 65_536);
    let (one, two) = (
        kept_bytes(&small, false).await,
        kept_bytes(&small, true).await,
    );
    assert!(two < one + one / 4, "{one} {two}");
    // The limit counts what is sent: it comes at once, and not after minutes of packing.
    let (one, two) = (
        kept_bytes(&large, false).await,
        kept_bytes(&large, true).await,
    );
    assert!(two > one + one / 2, "{one} {two}");
}

#[tokio::test]
async fn a_mirror_that_grew_beyond_the_limit_is_built_again_if_that_helps() {
    let repository = Repository::new();
    let noise = |seed: u32| noise(9000 + seed).split_off(noise(seed).len());
    repository.commit("large.txt", &noise(1));
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| settings.max_repository_bytes = 90_000);
    let url = server.url("shop");
    fixture.fetch(&url, None).await.unwrap();
    // History is rewritten twice: what is fetched is small each time, what piles up is not.
    for seed in [100_000, 200_000, 300_000] {
        repository.git(&["checkout", "--quiet", "--orphan", &format!("b{seed}")]);
        repository.commit("large.txt", &noise(seed));
        repository.git(&["branch", "--force", "main", &format!("b{seed}")]);
        let snapshot = fixture.fetch(&url, Some("main")).await.unwrap();
        assert_eq!(read(&snapshot, "/large.txt"), noise(seed));
        drop(snapshot);
        assert_eq!(fixture.stores().len(), 1);
    }
    assert!(fixture.mirrors.counts().rebuilds > 0);
}

#[tokio::test]
async fn a_branch_that_is_too_large_keeps_nobody_from_another() {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "-b", "a-large-one"]);
    let large = repository.commit("large.txt", &noise(20_000));
    repository.git(&["checkout", "--quiet", "main"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| settings.max_repository_bytes = 50_000);
    let url = server.url("shop");
    for round in 0..3 {
        let head = repository.commit("deploy/app.yaml", &format!("kind: Round{round}\n"));
        let (commit, branch, main) = tokio::join!(
            fixture.fetch(&url, Some(&large)),
            fixture.fetch(&url, Some("a-large-one")),
            fixture.fetch(&url, Some("main")),
        );
        assert!(matches!(branch, Err(Error::TooLarge { .. })), "{branch:?}");
        assert!(matches!(commit, Err(Error::TooLarge { .. })), "{commit:?}");
        assert_eq!(main.unwrap().revision.commit, head);
        assert!(fixture.mirrors.counts().mirror_bytes < 50_000);
    }
}
