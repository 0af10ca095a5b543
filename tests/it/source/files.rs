//! Reading a commit's files from git's object database.

use std::{fs, os::unix::fs::symlink, time::Duration};

use kustomize::{EntryKind, FilesError};
use plimsoll::{
    api::Reason,
    model::Credentials,
    source::{Error, Snapshot},
};
use tempfile::TempDir;

use super::{
    http_server::HttpServer,
    support::{Fixture, Repository, chain, read, spec, tick},
};

/// Returns the newest commit, and the directory that has to live as long as it is read.
async fn snapshot(repository: &Repository) -> (Snapshot, TempDir) {
    let server = HttpServer::plain(repository.root());
    let Fixture { mirrors, cache } = Fixture::new();
    let spec = spec(&server.url("shop"), None);
    let snapshot = mirrors
        .fetch(&spec, &Credentials::default(), Duration::ZERO, tick())
        .await;
    // The mirrors go; what is read stays.
    (snapshot.unwrap(), cache)
}

#[tokio::test]
async fn links_are_followed_inside_of_the_tree_only() {
    let repository = Repository::new();
    let path = repository.path();
    fs::create_dir_all(path.join("a/b")).unwrap();
    for (link, target) in [
        ("to-file", "deploy/app.yaml"),
        ("a/b/up", "../../deploy"),
        ("a/chain", "b/up/app.yaml"),
        ("a/dotted", "./b/../b/up/./app.yaml"),
        ("root", "."),
        ("dangling", "nowhere"),
        ("out", "../outside"),
        ("a/b/far", "../../../../../../etc/passwd"),
        ("absolute", "/etc/passwd"),
        ("loop", "loop"),
        ("ping", "pong"),
        ("pong", "ping"),
    ] {
        symlink(target, path.join(link)).unwrap();
    }
    repository.commit_all("links");
    let (snapshot, _cache) = snapshot(&repository).await;
    let files = snapshot.files();
    let app = Some(("/deploy/app.yaml".to_owned(), EntryKind::File));
    for link in [
        "/to-file",
        "/a/b/up/app.yaml",
        "/a/chain",
        "/a/dotted",
        "/root/root/to-file",
        "/deploy/app.yaml",
    ] {
        assert_eq!(files.resolve(link).unwrap(), app, "{link}");
        assert_eq!(read(&snapshot, link), "kind: ConfigMap\n");
    }
    assert_eq!(
        files.resolve("/a/b/up").unwrap(),
        Some(("/deploy".to_owned(), EntryKind::Directory))
    );
    assert_eq!(
        files.resolve("/").unwrap(),
        Some(("/".to_owned(), EntryKind::Directory))
    );
    for nothing in ["/dangling", "/none", "/deploy/app.yaml/x", "/deploy/none/x"] {
        assert_eq!(files.resolve(nothing).unwrap(), None, "{nothing}");
        assert!(
            matches!(files.read(nothing), Err(FilesError::Missing { .. })),
            "{nothing}"
        );
    }
    for escape in ["/out", "/out/file", "/a/b/far", "/absolute", "/.."] {
        assert!(
            matches!(files.resolve(escape), Err(FilesError::Escapes { .. })),
            "{escape}"
        );
        assert!(
            matches!(files.read(escape), Err(FilesError::Escapes { .. })),
            "{escape}"
        );
    }
    for circle in ["/loop", "/ping", "/ping/x"] {
        assert!(
            matches!(files.resolve(circle), Err(FilesError::Loop { .. })),
            "{circle}"
        );
    }
    assert_eq!(files.list("/a/b").unwrap(), ["far", "up"]);
    assert_eq!(files.list("/a/b/up").unwrap(), ["app.yaml"]);
    assert!(matches!(
        files.list("/to-file"),
        Err(FilesError::Missing { .. })
    ));
    assert!(matches!(
        files.read("/deploy"),
        Err(FilesError::Missing { .. })
    ));
}

#[tokio::test]
async fn the_directory_of_an_application_is_found() {
    let repository = Repository::new();
    symlink("deploy", repository.path().join("current")).unwrap();
    repository.commit_all("link");
    let (snapshot, _cache) = snapshot(&repository).await;
    for (path, expected) in [
        ("deploy", "/deploy"),
        ("./deploy/", "/deploy"),
        ("current", "/deploy"),
        ("", "/"),
        (".", "/"),
    ] {
        assert_eq!(snapshot.directory(path).unwrap(), expected);
    }
    for path in ["deploy/app.yaml", "none", "../x"] {
        let error = snapshot.directory(path).unwrap_err();
        assert!(matches!(error, Error::PathMissing { .. }), "{error:?}");
        assert_eq!(error.reason(), Reason::PathNotFound);
        assert!(
            chain(&error).contains(&snapshot.revision.commit),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_git_does_not_hold_is_an_error_where_it_is_used() {
    let repository = Repository::new();
    let commit = repository.git(&["rev-parse", "HEAD"]);
    repository.commit(
        "deploy/large.yaml",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
    );
    repository.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},deploy/vendor"),
    ]);
    repository.git(&["commit", "--quiet", "-m", "submodule"]);
    let (snapshot, _cache) = snapshot(&repository).await;
    let files = snapshot.files();
    // A directory that holds them can be used.
    assert_eq!(
        files.list("/deploy").unwrap(),
        ["app.yaml", "large.yaml", "vendor"]
    );
    assert_eq!(
        files.resolve("/deploy/vendor").unwrap(),
        Some(("/deploy/vendor".to_owned(), EntryKind::Directory))
    );
    for error in [
        files.read("/deploy/vendor/x.yaml").unwrap_err(),
        files.resolve("/deploy/vendor/x.yaml").unwrap_err(),
        files.list("/deploy/vendor").unwrap_err(),
    ] {
        assert!(chain(&error).contains("submodule"), "{error:?}");
    }
    let error = files.read("/deploy/large.yaml").unwrap_err();
    assert!(chain(&error).contains("git LFS"), "{error:?}");
}

#[tokio::test]
async fn large_files_and_directories_are_refused_before_they_are_read() {
    let repository = Repository::new();
    for number in 0..30 {
        fs::write(repository.path().join(format!("deploy/{number}")), "x").unwrap();
    }
    fs::create_dir(repository.path().join("small")).unwrap();
    fs::write(repository.path().join("small/large.yaml"), "x".repeat(2000)).unwrap();
    repository.commit_all("many");
    let server = HttpServer::plain(repository.root());
    let fixture = Fixture::with(|settings| {
        settings.max_file_bytes = 1000;
        settings.max_files = 20;
    });
    let snapshot = fixture.fetch(&server.url("shop"), None).await.unwrap();
    let error = snapshot.files().read("/small/large.yaml").unwrap_err();
    assert!(
        matches!(
            error,
            FilesError::TooLarge {
                size: 2000,
                limit: 1000,
                ..
            }
        ),
        "{error:?}"
    );
    let error = snapshot.files().list("/deploy").unwrap_err();
    assert!(chain(&error).contains("more than 20 names"), "{error:?}");
}

#[tokio::test]
async fn names_that_mean_something_to_git_or_a_shell_are_data() {
    let repository = Repository::new();
    let hostile = [
        "-rf",
        "$(id)",
        "a b",
        ".git",
        ".GIT",
        "git~1",
        "con",
        "a\\b",
        "...",
        "\u{1b}[31m",
    ];
    let blob = repository.git(&["hash-object", "-w", "deploy/app.yaml"]);
    let entry = |name: &&str| format!("100644 blob {blob}\t{name}\0");
    let entries = hostile.iter().map(entry).collect::<Vec<_>>().concat();
    let tree = repository.make_tree(&entries);
    // Such a tree is no work of git's own, but nothing keeps a server from sending it.
    let escape = repository.make_tree(&format!(
        "100644 blob {blob}\t..\0100644 blob {blob}\tplain.yaml\0"
    ));
    let root = repository.make_tree(&format!(
        "040000 tree {tree}\tdeploy\0040000 tree {escape}\tescape\0"
    ));
    let commit = repository.git(&["commit-tree", "-m", "names\u{1b}[31m", &root]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    let (snapshot, _cache) = snapshot(&repository).await;
    let mut names = snapshot.files().list("/deploy").unwrap();
    names.sort();
    let mut expected = hostile.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for name in hostile {
        assert_eq!(
            read(&snapshot, &format!("/deploy/{name}")),
            "kind: ConfigMap\n"
        );
    }
    assert_eq!(snapshot.commit.subject, "names[31m");
    assert_eq!(read(&snapshot, "/escape/plain.yaml"), "kind: ConfigMap\n");
    assert_eq!(
        snapshot.files().resolve("/escape/..").unwrap(),
        Some(("/".to_owned(), EntryKind::Directory))
    );
    assert!(chain(&snapshot.files().list("/escape").unwrap_err()).contains("not a name"));
}

#[tokio::test]
async fn a_name_that_is_not_text_is_not_left_out_silently() {
    use std::os::unix::ffi::OsStrExt;
    let repository = Repository::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.yaml");
    fs::create_dir(repository.path().join("odd")).unwrap();
    fs::write(repository.path().join("odd").join(name), "x").unwrap();
    fs::write(repository.path().join("odd/plain.yaml"), "y").unwrap();
    repository.commit_all("latin-1");
    let (snapshot, _cache) = snapshot(&repository).await;
    assert_eq!(read(&snapshot, "/odd/plain.yaml"), "y");
    assert!(chain(&snapshot.files().list("/odd").unwrap_err()).contains("not UTF-8"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_files_are_read_by_many_at_once() {
    let repository = Repository::new();
    for number in 0..1000 {
        let directory = repository.path().join(format!("apps/{}", number % 50));
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join(format!("{number}.yaml")),
            format!("value: {number}\n"),
        )
        .unwrap();
    }
    repository.commit_all("many");
    let (snapshot, _cache) = snapshot(&repository).await;
    let all = |snapshot: &Snapshot| {
        let files = snapshot.files();
        for number in 0..1000 {
            let path = format!("/apps/{}/{number}.yaml", number % 50);
            assert_eq!(
                files.read(&path).unwrap().as_ref(),
                format!("value: {number}\n").as_bytes()
            );
        }
    };
    all(&snapshot);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let snapshot = snapshot.clone();
            std::thread::spawn(move || all(&snapshot))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
