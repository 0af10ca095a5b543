//! A mirror begins without history, and fetches it where it must tell.

use plimsoll::{
    api::Reason,
    model::{Credentials, Secret},
    source::{Error, Retry, Snapshot},
};

use super::{
    http_server::HttpServer,
    sshd::Sshd,
    support::{Fixture, Repository, chain, git, noise, read, spec, tick},
};

/// A way to a repository.
struct Way {
    fixture: Fixture,
    url: String,
    credentials: Credentials,
}

impl Way {
    fn by_http(repository: &Repository) -> (Self, HttpServer) {
        Self::by_http_with(repository, Fixture::new())
    }

    fn by_http_with(repository: &Repository, fixture: Fixture) -> (Self, HttpServer) {
        let server = HttpServer::plain(repository.root());
        let way = Self {
            fixture,
            url: server.url("shop"),
            credentials: Credentials::default(),
        };
        (way, server)
    }

    fn by_ssh(repository: &Repository) -> (Self, Sshd) {
        let sshd = Sshd::start(&["ed25519"]);
        let way = Self {
            fixture: Fixture::new(),
            url: sshd.url(&repository.path()),
            credentials: Credentials {
                identity: Some(Secret::new(sshd.identity())),
                known_hosts: Some(sshd.known_hosts(&["ed25519"])),
                ..Credentials::default()
            },
        };
        (way, sshd)
    }

    fn by_path(repository: &Repository) -> Self {
        Self {
            fixture: Fixture::with(|settings| settings.allow_file = true),
            url: repository.path().display().to_string(),
            credentials: Credentials::default(),
        }
    }

    async fn fetch(&self, reference: &str) -> Snapshot {
        let fetched = self
            .fixture
            .fetch_with(&self.url, Some(reference), &self.credentials)
            .await;
        fetched.unwrap()
    }

    async fn is_ancestor(&self, older: &Snapshot, newer: &Snapshot) -> Result<bool, Error> {
        self.fixture
            .mirrors
            .is_ancestor(
                &spec(&self.url, None),
                &self.credentials,
                &older.revision,
                &newer.revision,
                tick(),
            )
            .await
    }

    /// Returns how many commits the newest mirror knows of those that lead to one.
    fn commits(&self, snapshot: &Snapshot) -> usize {
        let store = self.fixture.stores().pop().unwrap();
        let count = git(&store, &["rev-list", "--count", &snapshot.revision.commit]);
        count.parse().unwrap()
    }

    fn fetches(&self) -> u64 {
        self.fixture.mirrors.counts().fetches
    }
}

/// Says whether the mirror saw the reference go from one commit to the other.
fn is_seen(older: &Snapshot, newer: &Snapshot) -> bool {
    let (older, newer) = (older.lineage.as_ref(), newer.lineage.as_ref());
    newer.unwrap().follows(older.unwrap())
}

/// Plays the life of a mirror: a tip, what follows it, another branch, a question about what came before, a rewritten branch.
async fn a_life(repository: &Repository, way: &Way) {
    let elder = Way::by_path(repository);
    let long_ago = elder.fetch("main").await;
    for number in 0..4 {
        repository.commit("deploy/app.yaml", &format!("number: {number}\n"));
    }
    repository.git(&["branch", "live"]);
    let first = way.fetch("main").await;
    assert_eq!((way.commits(&first), way.fetches()), (1, 1));
    assert_eq!(read(&first, "/deploy/app.yaml"), "number: 3\n");

    repository.commit("deploy/app.yaml", "number: 4\n");
    repository.commit("deploy/app.yaml", "number: 5\n");
    let second = way.fetch("main").await;
    assert_eq!((way.commits(&second), way.fetches()), (3, 2));
    assert!(way.is_ancestor(&first, &second).await.unwrap());
    assert_eq!(way.fetches(), 2, "what came since is there");
    assert!(is_seen(&first, &second) && !is_seen(&second, &first));

    repository.git(&["checkout", "--quiet", "live"]);
    repository.commit("deploy/app.yaml", "live: 0\n");
    repository.commit("deploy/app.yaml", "live: 1\n");
    let live = way.fetch("live").await;
    assert_eq!((way.commits(&live), way.fetches()), (1, 3));
    repository.commit("deploy/app.yaml", "live: 2\n");
    let live = way.fetch("live").await;
    assert_eq!((way.commits(&live), way.fetches()), (2, 4));
    assert_eq!(read(&live, "/deploy/app.yaml"), "live: 2\n");
    assert!(!is_seen(&first, &live), "seen at another reference");

    // What was there before the mirror is found in all of history, and what was not is not.
    assert!(way.is_ancestor(&long_ago, &second).await.unwrap());
    assert_eq!(way.commits(&second), 7);
    assert!(!way.is_ancestor(&second, &live).await.unwrap());
    assert_eq!(way.fetches(), 5, "history is fetched once");
    repository.commit("deploy/app.yaml", "live: 3\n");
    let live = way.fetch("live").await;
    assert_eq!((way.commits(&live), way.fetches()), (9, 6));
    assert_eq!(way.fixture.mirrors.counts().failures, 0);
}

#[tokio::test]
async fn a_tip_is_fetched_without_what_led_to_it_by_http() {
    let repository = Repository::new();
    let (way, server) = Way::by_http(&repository);
    a_life(&repository, &way).await;
    drop(server);
}

#[tokio::test]
async fn a_tip_is_fetched_without_what_led_to_it_by_ssh() {
    let repository = Repository::new();
    let (way, sshd) = Way::by_ssh(&repository);
    a_life(&repository, &way).await;
    drop(sshd);
}

#[tokio::test]
async fn a_tip_is_fetched_without_what_led_to_it_by_path() {
    let repository = Repository::new();
    a_life(&repository, &Way::by_path(&repository)).await;
}

/// A branch that is set back to before where the mirror began.
async fn a_way_back(repository: &Repository, way: &Way) {
    for number in 0..3 {
        repository.commit("deploy/app.yaml", &format!("number: {number}\n"));
    }
    let old = way.fetch("main").await;
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let back = way.fetch("main").await;
    assert_eq!(read(&back, "/deploy/app.yaml"), "number: 1\n");
    assert_eq!(
        (way.fetches(), way.fixture.mirrors.counts().rebuilds),
        (2, 0)
    );
    assert!(!is_seen(&old, &back));
    assert!(!way.is_ancestor(&old, &back).await.unwrap());
}

#[tokio::test]
async fn a_branch_that_is_set_back_comes_though_history_is_cut_off_by_http() {
    let repository = Repository::new();
    let (way, server) = Way::by_http(&repository);
    a_way_back(&repository, &way).await;
    drop(server);
}

#[tokio::test]
async fn a_branch_that_is_set_back_comes_though_history_is_cut_off_by_path() {
    let repository = Repository::new();
    a_way_back(&repository, &Way::by_path(&repository)).await;
}

/// A branch that is written anew from before where the mirror began.
async fn a_rewrite(repository: &Repository, way: &Way) {
    repository.commit("deploy/app.yaml", "number: 1\n");
    let old = way.fetch("main").await;
    repository.commit("deploy/app.yaml", "number: 2\n");
    let newer = way.fetch("main").await;
    repository.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    repository.commit("deploy/app.yaml", "number: 3\n");
    let other = way.fetch("main").await;
    assert_eq!(read(&other, "/deploy/app.yaml"), "number: 3\n");
    for older in [&old, &newer] {
        assert!(!is_seen(older, &other));
        assert!(!way.is_ancestor(older, &other).await.unwrap());
    }
    repository.commit("deploy/app.yaml", "number: 4\n");
    let last = way.fetch("main").await;
    assert!(way.is_ancestor(&other, &last).await.unwrap());
    assert!(is_seen(&other, &last) && !is_seen(&newer, &last));
    assert_eq!(way.fixture.mirrors.counts().rebuilds, 0);
}

#[tokio::test]
async fn a_rewritten_branch_is_seen_though_history_is_cut_off_by_http() {
    let repository = Repository::new();
    let (way, server) = Way::by_http(&repository);
    a_rewrite(&repository, &way).await;
    drop(server);
}

#[tokio::test]
async fn a_rewritten_branch_is_seen_though_history_is_cut_off_by_path() {
    let repository = Repository::new();
    a_rewrite(&repository, &Way::by_path(&repository)).await;
}

#[tokio::test]
async fn a_commit_at_the_tip_of_another_branch_is_still_an_ancestor() {
    let repository = Repository::new();
    repository.commit("deploy/app.yaml", "kind: Role\n");
    repository.git(&["branch", "live"]);
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    repository.commit("deploy/app.yaml", "kind: Service\n");
    let (way, _server) = Way::by_http(&repository);
    let (live, main) = (way.fetch("live").await, way.fetch("main").await);
    assert_eq!((way.commits(&live), way.commits(&main)), (1, 1));
    assert!(way.is_ancestor(&live, &main).await.unwrap());
}

#[tokio::test]
async fn a_branch_is_seen_to_go_on_through_merges_and_tags() {
    let repository = Repository::new();
    let (way, _server) = Way::by_http(&repository);
    repository.git(&["tag", "-m", "a tag that moves", "stable"]);
    let (first, tagged) = (way.fetch("main").await, way.fetch("stable").await);
    repository.git(&["checkout", "--quiet", "-b", "feature"]);
    repository.commit("feature", "1\n");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit("other", "1\n");
    repository.git(&["merge", "--quiet", "--no-edit", "feature"]);
    repository.git(&["tag", "--force", "-m", "moved", "stable"]);
    let (merged, moved) = (way.fetch("main").await, way.fetch("stable").await);
    assert!(is_seen(&first, &merged) && is_seen(&tagged, &moved));
    assert_eq!(merged.revision.commit, moved.revision.commit);
    assert!(is_seen(&merged, &way.fetch("main").await), "nothing new");

    let commit = way.fetch(&first.revision.commit).await;
    assert!(commit.lineage.is_none(), "no reference was at it");
}

#[tokio::test]
async fn a_step_that_is_too_long_to_walk_begins_another_line() {
    let repository = Repository::new();
    let (way, _server) = Way::by_http(&repository);
    let first = way.fetch("main").await;
    repository.commit_empty(5_000);
    let last = way.fetch("main").await;
    assert_eq!(way.commits(&last), 5_001);
    assert!(!is_seen(&first, &last));
    // Who must know has the two compared.
    assert!(way.is_ancestor(&first, &last).await.unwrap());
}

#[tokio::test]
async fn packs_of_a_mirror_without_history_are_put_together() {
    let repository = Repository::new();
    for number in 0..3 {
        repository.commit("old", &format!("{number}"));
    }
    let fixture = Fixture::with(|settings| settings.max_packs = 3);
    let (way, _server) = Way::by_http_with(&repository, fixture);
    let first = way.fetch("main").await;
    let mut last = first.clone();
    for number in 0..12 {
        repository.commit("new", &format!("{number}"));
        last = way.fetch("main").await;
        assert_eq!(way.commits(&last), 2 + number);
    }
    assert!(way.is_ancestor(&first, &last).await.unwrap());
    assert!(is_seen(&first, &last), "through other stores");
    let counts = way.fixture.mirrors.counts();
    assert_eq!(
        (counts.fetches, counts.rebuilds, counts.failures),
        (13, 0, 0)
    );
}

#[tokio::test]
async fn packs_that_take_too_long_to_put_together_keep_nobody_from_an_answer() {
    let repository = Repository::new();
    for number in 0..3 {
        repository.commit("old", &format!("{number}"));
    }
    let fixture = Fixture::with(|settings| {
        settings.max_packs = 3;
        settings.put_together_timeout = std::time::Duration::ZERO;
    });
    let (way, _server) = Way::by_http_with(&repository, fixture);
    let first = way.fetch("main").await;
    for number in 0..12 {
        repository.commit("new", &format!("{number}"));
        let next = way.fetch("main").await;
        assert_eq!(read(&next, "/new"), number.to_string());
        assert_eq!(way.commits(&next), 2 + number);
        assert!(is_seen(&first, &next), "after {number}");
        assert!(way.is_ancestor(&first, &next).await.unwrap());
    }
    let counts = way.fixture.mirrors.counts();
    assert_eq!(
        (counts.fetches, counts.rebuilds, counts.failures),
        (13, 0, 0)
    );
}

#[tokio::test]
async fn a_history_that_is_too_large_keeps_nobody_from_its_tip() {
    let repository = Repository::new();
    let elder = Way::by_path(&repository);
    let long_ago = elder.fetch("main").await;
    repository.git(&["branch", "live"]);
    // Each of the two alone would fit.
    for (branch, content) in [
        ("live", noise(8_000)),
        ("main", noise(8_000).replace('a', "_")),
    ] {
        repository.git(&["checkout", "--quiet", branch]);
        repository.commit("large", &content);
        std::fs::remove_file(repository.path().join("large")).unwrap();
        repository.commit_all("what was large is gone");
    }
    let fixture = Fixture::with(|settings| settings.max_repository_bytes = 50_000);
    let (way, server) = Way::by_http_with(&repository, fixture);
    way.fetch("live").await;
    let tip = way.fetch("main").await;
    assert_eq!(read(&tip, "/deploy/app.yaml"), "kind: ConfigMap\n");
    let before = server.questions();
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let error = way.is_ancestor(&long_ago, &tip).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::SourceTooLarge, Retry::OnChange)
        );
        let text = chain(&error);
        assert!(
            text.contains("history") && text.contains("rewritten"),
            "{text}"
        );
        asked.insert(server.questions());
    }
    assert!(
        asked.len() == 1 && !asked.contains(&before),
        "tried once: {asked:?}"
    );
    way.fetch("live").await;
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    let next = way.fetch("main").await;
    assert_eq!(read(&next, "/deploy/app.yaml"), "kind: Secret\n");
    assert!(way.is_ancestor(&tip, &next).await.unwrap());
}
