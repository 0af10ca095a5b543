//! Branches, tags, commits, HEAD; what is gone and what was rewritten.

use plimsoll::{
    api::Reason,
    model::Credentials,
    source::{Error, Retry},
};

use super::{
    http_server::HttpServer,
    support::{Fixture, Repository, chain, read, spec, tick},
};

#[tokio::test]
async fn branches_tags_and_commits_lead_to_a_commit() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "-m", "annotated", "v1"]);
    repository.git(&["tag", "-a", "-m", "a tag of a tag", "v1-again", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "feature/a@b"]);
    let second = repository.commit("deploy/app.yaml", "kind: Secret\n");
    repository.git(&["checkout", "--quiet", "main"]);
    let server = HttpServer::plain(repository.root());
    let url = server.url("shop");
    let upper = second.to_uppercase();
    for (reference, name, commit) in [
        (None, "main", &first),
        (Some("main"), "main", &first),
        (Some("refs/heads/main"), "main", &first),
        (Some("feature/a@b"), "feature/a@b", &second),
        (Some("light"), "light", &first),
        (Some("v1"), "v1", &first),
        (Some("v1-again"), "v1-again", &first),
        (Some("refs/tags/v1"), "v1", &first),
        (Some(first.as_str()), "", &first),
        (Some(second.as_str()), "", &second),
        (Some(upper.as_str()), "", &second),
    ] {
        for fixture in [Fixture::new()] {
            let snapshot = fixture.fetch(&url, reference).await.unwrap();
            assert_eq!(
                (
                    snapshot.revision.reference.as_str(),
                    &snapshot.revision.commit
                ),
                (name, commit),
                "{reference:?}"
            );
            snapshot.files().read("/deploy/app.yaml").unwrap();
        }
    }
    let detached = Fixture::new();
    repository.git(&["checkout", "--quiet", "--detach", &second]);
    repository.git(&["branch", "--quiet", "-D", "feature/a@b"]);
    assert_eq!(
        detached.fetch(&url, None).await.unwrap().revision.reference,
        "HEAD"
    );
}

#[tokio::test]
async fn all_of_it_works_in_one_mirror_by_path_as_well() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "-a", "-m", "annotated", "v1"]);
    let second = repository.commit("deploy/app.yaml", "kind: Secret\n");
    repository.git(&["clone", "--quiet", "--bare", ".", "../bare.git"]);
    let fixture = Fixture::with(|settings| settings.allow_file = true);
    let path = repository.path();
    let bare = repository.root().join("bare.git");
    for url in [
        path.display().to_string(),
        format!("file://{}", path.display()),
        bare.display().to_string(),
    ] {
        for (reference, commit) in [
            (None, &second),
            (Some("v1"), &first),
            (Some(first.as_str()), &first),
        ] {
            let snapshot = fixture.fetch(&url, reference).await.unwrap();
            assert_eq!(&snapshot.revision.commit, commit, "{url} {reference:?}");
        }
    }
    let third = repository.commit("deploy/app.yaml", "kind: Service\n");
    let snapshot = fixture.fetch(path.to_str().unwrap(), None).await.unwrap();
    assert_eq!(snapshot.revision.to_string(), format!("main@sha1:{third}"));
    assert_eq!(read(&snapshot, "/deploy/app.yaml"), "kind: Service\n");
    let error = fixture
        .fetch(repository.root().to_str().unwrap(), None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::RepositoryMissing { .. }),
        "{error:?}"
    );
    let error = Fixture::new()
        .fetch(path.to_str().unwrap(), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::FileNotAllowed { .. }), "{error:?}");
    assert_eq!(error.reason(), Reason::EgressDenied);
}

#[tokio::test]
async fn what_is_gone_is_gone_and_what_was_read_stays() {
    let repository = Repository::new();
    repository.git(&["branch", "release"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    let before = fixture.fetch(&url, Some("release")).await.unwrap();
    repository.git(&["branch", "--quiet", "-D", "release"]);
    for (reference, hint) in [("release", false), ("never-was", false), ("abcdef0", true)] {
        let error = fixture.fetch(&url, Some(reference)).await.unwrap_err();
        assert!(matches!(error, Error::ReferenceGone { .. }), "{error:?}");
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::ReferenceGone, Retry::OnChange)
        );
        assert_eq!(chain(&error).contains("40 digits"), hint, "{error:?}");
    }
    repository.git(&["symbolic-ref", "HEAD", "refs/heads/nowhere"]);
    let error = fixture.fetch(&url, None).await.unwrap_err();
    assert!(matches!(error, Error::ReferenceGone { .. }), "{error:?}");
    assert!(
        chain(&error).contains("HEAD points to a branch"),
        "{error:?}"
    );
    let after = fixture
        .mirrors
        .read(&spec(&url, None), &Credentials::default(), &before.revision)
        .await
        .unwrap();
    assert_eq!(read(&after, "/deploy/app.yaml"), "kind: ConfigMap\n");
    for reference in ["refs/pull/1/head", "a b", "a..b"] {
        let error = fixture.fetch(&url, Some(reference)).await.unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidSpec, "{error:?}");
    }
}

#[tokio::test]
async fn a_branch_that_takes_the_place_of_a_directory_of_branches_is_fetched() {
    let repository = Repository::new();
    repository.git(&["branch", "a"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    fixture.fetch(&server.url("shop"), Some("a")).await.unwrap();
    repository.git(&["branch", "--quiet", "-D", "a"]);
    repository.git(&["branch", "a/b"]);
    let snapshot = fixture
        .fetch(&server.url("shop"), Some("a/b"))
        .await
        .unwrap();
    assert_eq!(snapshot.revision.reference, "a/b");
}

#[tokio::test]
async fn a_commit_is_found_behind_tags_of_tags_and_beside_tags_of_files() {
    let repository = Repository::new();
    let old = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "-m", "of a commit", "inner"]);
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    let side = repository.commit("deploy/app.yaml", "kind: Secret\n");
    repository.commit("deploy/app.yaml", "kind: Service\n");
    repository.git(&["tag", "-m", "of a tag", "outer", "inner"]);
    repository.git(&["tag", "-m", "of a file", "file", "HEAD:deploy/app.yaml"]);
    repository.git(&["tag", "-m", "of a directory", "directory", "HEAD:deploy"]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit("deploy/app.yaml", "kind: Role\n");
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    for commit in [&side, &old] {
        let snapshot = fixture.fetch(&url, Some(commit)).await.unwrap();
        assert_eq!(&snapshot.revision.commit, commit);
    }
    assert_eq!(fixture.mirrors.counts().rebuilds, 0);
}

#[tokio::test]
async fn a_commit_outside_of_branches_and_tags_is_refused() {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "-b", "fork"]);
    let inside = repository.commit("deploy/app.yaml", "kind: Secret\n");
    let outside = repository.commit("deploy/app.yaml", "kind: Evil\n");
    repository.git(&["update-ref", "refs/pull/1/head", &outside]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["branch", "--quiet", "--force", "fork", &inside]);
    // The server would hand it out, as forges do.
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    fixture.fetch(&url, Some(&inside)).await.unwrap();
    let nowhere = "0123456789012345678901234567890123456789";
    for commit in [outside.as_str(), nowhere] {
        let error = fixture.fetch(&url, Some(commit)).await.unwrap_err();
        assert!(
            matches!(error, Error::CommitNotContained { .. }),
            "{error:?}"
        );
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::ReferenceGone, Retry::OnChange)
        );
    }
    let tree = repository.git(&["rev-parse", "main^{tree}"]);
    let error = fixture.fetch(&url, Some(&tree)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ReferenceGone, "{error:?}");
    repository.git(&["tag", "of-a-tree", &tree]);
    let error = fixture.fetch(&url, Some("of-a-tree")).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotACommit {
                kind: "directory",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_commit_that_was_fetched_needs_no_server() {
    let repository = Repository::new();
    let commit = repository.git(&["rev-parse", "HEAD"]);
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    for _ in 0..3 {
        fixture
            .fetch(&server.url("shop"), Some(&commit))
            .await
            .unwrap();
    }
    assert_eq!(server.questions(), (1, 1));
}

#[tokio::test]
async fn a_rewritten_branch_is_seen() {
    let repository = Repository::new();
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::new();
    let url = server.url("shop");
    let first = fixture.fetch(&url, None).await.unwrap().revision;
    repository.commit("deploy/app.yaml", "kind: Secret\n");
    let second = fixture.fetch(&url, None).await.unwrap().revision;
    repository.git(&["reset", "--quiet", "--hard", &first.commit]);
    repository.commit("deploy/app.yaml", "kind: Service\n");
    let third = fixture.fetch(&url, None).await.unwrap().revision;
    let spec = spec(&url, None);
    let anonymous = Credentials::default();
    for (older, newer, expected) in [
        (&first, &first, true),
        (&first, &second, true),
        (&second, &first, false),
        (&first, &third, true),
        (&second, &third, false),
    ] {
        let answer = fixture
            .mirrors
            .is_ancestor(&spec, &anonymous, older, newer, tick())
            .await
            .unwrap();
        assert_eq!(answer, expected, "{older} {newer}");
    }
    let never = "main@sha1:0123456789012345678901234567890123456789"
        .parse()
        .unwrap();
    assert!(
        !fixture
            .mirrors
            .is_ancestor(&spec, &anonymous, &never, &third, tick())
            .await
            .unwrap()
    );
    let error = fixture
        .mirrors
        .is_ancestor(&spec, &anonymous, &third, &never, tick())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotInMirror { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_its_password() {
    let fixture = Fixture::new();
    for url in [
        "",
        "shop",
        "git://localhost/shop",
        "https://bot:canary@localhost",
        "https://bot:canary@h/a?b#c",
        "ext::sh -c id",
    ] {
        let error = fixture.fetch(url, None).await.unwrap_err();
        assert_eq!(
            (error.reason(), error.retry()),
            (Reason::InvalidSpec, Retry::OnChange),
            "{error:?}"
        );
        assert!(
            !format!("{} {error:?}", chain(&error)).contains("canary"),
            "{error:?}"
        );
    }
}
