//! What is shared, what is not, what is kept, and what heals by itself.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use plimsoll::{
    model::{Credentials, Secret},
    source::{Error, Mirrors, Settings},
};

use super::{
    http_server::{Behaviour, HttpServer},
    support::{Fixture, Repository, at, noise, read, spec, tick, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_applications_ask_once() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    let ask = |seconds: u64, freshness: u64| {
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (mirrors, spec) = (fixture.mirrors.clone(), spec(&url, Some("main")));
                tokio::spawn(async move {
                    let freshness = Duration::from_secs(freshness);
                    mirrors
                        .fetch(&spec, &Credentials::default(), freshness, at(seconds))
                        .await
                        .unwrap()
                })
            })
            .collect();
        async move {
            let mut commits = std::collections::BTreeSet::new();
            for task in tasks {
                commits.insert(task.await.unwrap().revision.commit);
            }
            commits
        }
    };
    assert_eq!(ask(100, 30).await.len(), 1);
    assert_eq!(server.questions(), (1, 1));
    let new = repository.commit("deploy/app.yaml", "kind: Secret\n");
    assert!(!ask(120, 30).await.contains(&new), "fresh enough");
    assert_eq!(server.questions(), (1, 1));
    assert_eq!(ask(131, 30).await, [new].into());
    assert_eq!(server.questions(), (2, 2));
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (counts.ls_remotes, counts.fetches, counts.mirrors),
        (2, 2, 1)
    );
}

#[tokio::test]
async fn different_references_of_one_mirror_are_fetched_together() {
    let repository = Repository::new();
    let names: Vec<String> = (0..20).map(|number| format!("env-{number}")).collect();
    for name in &names {
        repository.git(&["checkout", "--quiet", "-b", name]);
        repository.commit("name", name);
    }
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    for seconds in [100, 200] {
        let calls = names.iter().map(|name| {
            let (mirrors, spec) = (&fixture.mirrors, spec(&url, Some(name)));
            async move {
                let snapshot = mirrors
                    .fetch(
                        &spec,
                        &Credentials::default(),
                        Duration::from_secs(30),
                        at(seconds),
                    )
                    .await;
                assert_eq!(&read(&snapshot.unwrap(), "/name"), name);
            }
        });
        futures::future::join_all(calls).await;
        for name in &names {
            repository.git(&["checkout", "--quiet", name]);
            repository.commit("more", &format!("{name} at {seconds}"));
        }
    }
    assert_eq!(server.questions(), (2, 2));
}

#[tokio::test]
async fn a_failure_is_shared_as_well() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    server.behave(Behaviour::Status(500));
    let fixture = Fixture::new();
    let url = server.url("shop");
    for seconds in [100, 110, 120] {
        let freshness = Duration::from_secs(30);
        let result = fixture
            .mirrors
            .fetch(
                &spec(&url, None),
                &Credentials::default(),
                freshness,
                at(seconds),
            )
            .await;
        assert!(matches!(
            result,
            Err(Error::ServerError { status: 500, .. })
        ));
    }
    assert_eq!(server.questions(), (1, 0), "no storm of retries");
    server.behave(Behaviour::Git);
    fixture
        .mirrors
        .fetch(
            &spec(&url, None),
            &Credentials::default(),
            Duration::ZERO,
            at(121),
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mirror_is_shared_with_the_same_credentials_only() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    let of = |password: &str| Credentials {
        password: Some(Secret::new(password.to_owned())),
        ..Credentials::default()
    };
    let alice = of("alice");
    let revision = fixture
        .fetch_with(&url, None, &alice)
        .await
        .unwrap()
        .revision;
    assert!(
        fixture
            .mirrors
            .read(&spec(&url, None), &of("alice"), &revision)
            .await
            .is_ok()
    );
    let known_hosts = Credentials {
        known_hosts: Some("alice".to_owned()),
        ..Credentials::default()
    };
    let username = Credentials {
        username: Some("alice".to_owned()),
        ..Credentials::default()
    };
    for stranger in [Credentials::default(), of("bob"), known_hosts, username] {
        let result = fixture
            .mirrors
            .read(&spec(&url, None), &stranger, &revision)
            .await;
        assert!(matches!(result, Err(Error::NotInMirror { .. })));
    }
    fixture.fetch_with(&url, None, &of("bob")).await.unwrap();
    assert_eq!(fixture.mirrors.counts().mirrors, 2);
    let text: Vec<String> = fixture
        .stores()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(text.len(), 2);
    assert!(
        !text.concat().contains("alice") && !text.concat().contains("shop"),
        "{text:?}"
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_round_behind() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    server.behave(Behaviour::HangInPack);
    let fixture = Fixture::with(|settings| settings.idle_timeout = Duration::from_secs(1));
    let (mirrors, asked) = (fixture.mirrors.clone(), spec(&server.url("shop"), None));
    let call = tokio::spawn(async move {
        mirrors
            .fetch(&asked, &Credentials::default(), Duration::ZERO, at(1))
            .await
    });
    until("the pack is asked for", || server.questions() == (1, 1)).await;
    call.abort();
    server.behave(Behaviour::Git);
    let snapshot = fixture.fetch(&server.url("shop"), None).await.unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: ConfigMap\n");
    assert_eq!(
        (fixture.stores().len(), fixture.mirrors.counts().abandoned),
        (1, 0)
    );
}

#[tokio::test]
async fn a_damaged_mirror_is_built_again() {
    type Damage = fn(&Path);
    // And whether it can be seen while handles of git's library are open.
    let damages: [(Damage, bool); 6] = [
        (|store| fs::remove_dir_all(store).unwrap(), true),
        (
            |store| fs::remove_dir_all(store.join("objects/pack")).unwrap(),
            true,
        ),
        (|store| change_in_place(store), true),
        (|store| truncate(store, "pack"), false),
        (|store| truncate(store, "idx"), false),
        (
            |store| fs::write(store.join("HEAD"), "canary").unwrap(),
            false,
        ),
    ];
    for (number, (damage, seen)) in damages.into_iter().enumerate() {
        let repository = Repository::new();
        let server = HttpServer::plain(repository.root());
        let fixture = Fixture::new();
        let url = server.url("shop");
        drop(fixture.fetch(&url, None).await.unwrap());
        damage(&fixture.stores()[0]);
        // With and without something new to fetch.
        if number % 2 == 0 {
            repository.commit("more", "x");
        }
        for _ in 0..2 {
            // Objects that git's library holds in memory hide the damage until they are read from disk.
            let result = fixture.fetch(&url, None).await;
            if let Ok(snapshot) = result {
                snapshot.files().read("/deploy/app.yaml").ok();
            }
        }
        let snapshot = fixture.fetch(&url, None).await.unwrap();
        assert_eq!(
            read(&snapshot, "/deploy/app.yaml"),
            "kind: ConfigMap\n",
            "damage {number}"
        );
        drop(snapshot);
        assert_eq!(fixture.stores().len(), 1, "damage {number}");
        if seen {
            assert_eq!(fixture.mirrors.counts().rebuilds, 1, "damage {number}");
        }
    }
}

/// Changes every byte behind the head of each pack.
fn change_in_place(store: &Path) {
    for path in files_of(store, "pack") {
        let bytes: Vec<u8> = fs::read(&path)
            .unwrap()
            .iter()
            .skip(12)
            .map(|byte| !byte)
            .collect();
        make_writable(&path);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&bytes, 12)
            .unwrap();
    }
}

/// Puts the first bytes of each file in its place.
fn truncate(store: &Path, extension: &str) {
    for path in files_of(store, extension) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes[..40]).unwrap();
    }
}

fn make_writable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn files_of(store: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("objects/pack")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[tokio::test]
async fn a_damaged_mirror_is_kept_while_the_server_is_away() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    drop(fixture.fetch(&url, None).await.unwrap());
    fs::remove_dir_all(fixture.stores()[0].join("objects/pack")).unwrap();
    repository.commit("more", "x");
    server.behave(Behaviour::Status(503));
    let error = fixture.fetch(&url, None).await.unwrap_err();
    assert!(matches!(error, Error::ServerError { .. }), "{error:?}");
    server.behave(Behaviour::Git);
    let snapshot = fixture.fetch(&url, None).await.unwrap();
    assert_eq!(read(&snapshot, "/more"), "x");
}

#[tokio::test]
async fn what_broken_fetches_leave_is_removed() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    fixture.fetch(&url, None).await.unwrap();
    let packs = fixture.stores()[0].join("objects/pack");
    let leftovers = [
        "tmp_pack_x1",
        "pack_git2_abc",
        "pack-1234.idx.lock",
        "pack-5678.pack",
    ]
    .map(|name| packs.join(name));
    for path in &leftovers {
        fs::write(path, "half").unwrap();
    }
    repository.commit("more", "x");
    fixture.fetch(&url, None).await.unwrap();
    for path in leftovers {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn the_cache_is_swept_of_the_dead_and_spares_the_living() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    let snapshot = fixture.fetch(&url, None).await.unwrap();
    let cache = fixture.cache.path();
    let dead = cache.join("mirrors-1-dead");
    fs::create_dir_all(dead.join("x.git/objects")).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    let foreign = cache.join("something-else");
    fs::create_dir(&foreign).unwrap();
    let other = Mirrors::open(Settings::new(cache.to_owned())).unwrap();
    assert!(!dead.exists());
    fs::remove_dir(foreign).unwrap();
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: ConfigMap\n");
    assert_eq!(fixture.stores().len(), 1);
    drop((snapshot, other));
    let Fixture { mirrors, cache } = fixture;
    drop(mirrors);
    assert_eq!(
        fs::read_dir(cache.path()).unwrap().count(),
        0,
        "nothing is left at the end"
    );
}

#[tokio::test]
async fn the_mirror_used_longest_ago_makes_room() {
    let repository = Repository::new();
    let noise = noise(20_000);
    repository.commit("noise", &noise);
    for name in ["a", "b", "c"] {
        repository.git(&["clone", "--quiet", "--bare", ".", &format!("../{name}")]);
    }
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| settings.max_cache_bytes = 250_000);
    let a = fixture.fetch(&server.url("a"), None).await.unwrap();
    let one = fixture.mirrors.counts().mirror_bytes;
    assert!((80_000..125_000).contains(&one), "{one}");
    fixture.fetch(&server.url("b"), None).await.unwrap();
    fixture.fetch(&server.url("a"), None).await.unwrap();
    fixture.fetch(&server.url("c"), None).await.unwrap();
    let counts = fixture.mirrors.counts();
    assert_eq!((counts.evictions, counts.mirrors), (1, 2));
    assert_eq!(fixture.stores().len(), 2);
    let revision = &a.revision;
    let anonymous = Credentials::default();
    assert!(
        fixture
            .mirrors
            .read(&spec(&server.url("a"), None), &anonymous, revision)
            .await
            .is_ok()
    );
    assert!(
        fixture
            .mirrors
            .read(&spec(&server.url("b"), None), &anonymous, revision)
            .await
            .is_err()
    );
    fixture.fetch(&server.url("b"), None).await.unwrap();
    fixture.fetch(&server.url("c"), None).await.unwrap();
    // What somebody reads stays readable, though its mirror is gone.
    assert_eq!(read(&a, "/noise"), noise);
}

#[tokio::test]
async fn a_mirror_that_nobody_asks_for_goes() {
    let repository = Repository::new();
    repository.git(&["clone", "--quiet", "--bare", ".", "../other"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let anonymous = Credentials::default();
    for (name, hours, left) in [
        ("shop", 1, 1),
        ("other", 2, 2),
        ("other", 6, 2),
        ("other", 8, 1),
    ] {
        let spec = spec(&server.url(name), None);
        fixture
            .mirrors
            .fetch(&spec, &anonymous, Duration::ZERO, at(hours * 3600))
            .await
            .unwrap();
        assert_eq!(fixture.stores().len(), left, "after {hours} h");
    }
    assert_eq!(fixture.mirrors.counts().evictions, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_hang_leave_room_for_others() {
    let repository = Repository::new();
    let (hanging, good) = (
        HttpServer::plain(repository.root()),
        HttpServer::plain(repository.root()),
    );
    hanging.behave(Behaviour::Hang);
    let fixture = Fixture::with(|settings| {
        settings.concurrent_fetches = 4;
        settings.idle_timeout = Duration::from_secs(2);
    });
    let hang = |number: u64, time: u64| {
        let (mirrors, spec) = (
            fixture.mirrors.clone(),
            spec(&hanging.url(&format!("r{number}")), None),
        );
        tokio::spawn(async move {
            mirrors
                .fetch(&spec, &Credentials::default(), Duration::ZERO, at(time))
                .await
        })
    };
    for call in (0..8).map(|number| hang(number, 1)).collect::<Vec<_>>() {
        assert!(matches!(call.await.unwrap(), Err(Error::TimedOut { .. })));
    }
    let before = hanging.connections();
    let calls: Vec<_> = (0..8).map(|number| hang(number, 2)).collect();
    until("one of them is asked again", || {
        hanging.connections() > before
    })
    .await;
    fixture.fetch(&good.url("shop"), None).await.unwrap();
    // It waited for none of the others: not even all of them were asked when it was answered.
    assert!(hanging.connections() - before < 8);
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
}

/// Packs of a mirror, each with its index.
fn packs(store: &Path) -> usize {
    fs::read_dir(store.join("objects/pack")).unwrap().count() / 2
}

#[tokio::test]
async fn packs_that_cannot_be_put_together_keep_nobody_from_an_answer() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| settings.max_packs = 4);
    let url = server.url("shop");
    fixture.fetch(&url, None).await.unwrap();
    let store = fixture.stores().remove(0);
    let name = store.to_str().unwrap().strip_suffix("-0.git").unwrap();
    // Where the next three mirrors would be made, something else is.
    for number in 1..=3 {
        fs::write(format!("{name}-{number}.git"), "in the way").unwrap();
    }
    let mut most = 0;
    for number in 0..30 {
        repository.commit("file", &format!("{number}"));
        let snapshot = fixture.fetch(&url, None).await.unwrap();
        assert_eq!(read(&snapshot, "/file"), number.to_string());
        let mirror = fixture.stores().into_iter().find(|path| path.is_dir());
        most = most.max(packs(&mirror.unwrap()));
    }
    // Tried with 5, 10 and 15, and done with 20.
    assert_eq!(most, 19);
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (counts.fetches, counts.rebuilds, counts.failures),
        (31, 0, 0)
    );
}

#[tokio::test]
async fn many_packs_become_few() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| settings.max_packs = 4);
    let url = server.url("shop");
    let first = fixture.fetch(&url, None).await.unwrap();
    let mut last = first.clone();
    let mut middle = first.clone();
    for number in 0..40 {
        repository.commit(&format!("file-{number}"), &format!("{number}"));
        repository.git(&["tag", "-a", "-m", "x", &format!("v{number}")]);
        last = fixture
            .fetch(&url, Some(&format!("v{number}")))
            .await
            .unwrap();
        let packs = packs(fixture.stores().last().unwrap());
        assert!(packs <= 4, "{packs}");
        if number == 20 {
            middle = last.clone();
        }
    }
    for number in 0..40 {
        assert_eq!(read(&last, &format!("/file-{number}")), number.to_string());
    }
    assert_eq!(read(&first, "/deploy/app.yaml"), "kind: ConfigMap\n");
    let (spec, anonymous) = (spec(&url, None), Credentials::default());
    for older in [&first, &middle] {
        assert!(
            fixture
                .mirrors
                .is_ancestor(&spec, &anonymous, &older.revision, &last.revision, tick())
                .await
                .unwrap()
        );
    }
    let counts = fixture.mirrors.counts();
    assert_eq!(
        (counts.fetches, counts.rebuilds, counts.failures),
        (41, 0, 0)
    );
    drop((first, middle, last));
    assert_eq!(fixture.stores().len(), 1);
}

#[tokio::test]
async fn a_round_ends_when_the_process_does() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let before = fixture.fetch(&server.url("shop"), None).await.unwrap();
    server.behave(Behaviour::Hang);
    let (mirrors, asked) = (fixture.mirrors.clone(), spec(&server.url("shop"), None));
    let call = tokio::spawn(async move {
        mirrors
            .fetch(&asked, &Credentials::default(), Duration::ZERO, tick())
            .await
    });
    until("the server is asked", || server.questions().0 == 2).await;
    let start = std::time::Instant::now();
    fixture.mirrors.close().await;
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Stopped { .. }), "{error:?}");
    assert_eq!(read(&before, "/deploy/app.yaml"), "kind: ConfigMap\n");
}
