//! The disk as files, for the command line.

use std::{fs, os::unix::fs::symlink};

use kustomize::{EntryKind, Files, FilesError};
use plimsoll::source::LocalFiles;
use tempfile::TempDir;

use super::support::chain;

#[test]
fn the_disk_is_a_tree() {
    let directory = TempDir::new().unwrap();
    let root = LocalFiles::absolute(directory.path()).unwrap();
    fs::create_dir(directory.path().join("a")).unwrap();
    fs::write(directory.path().join("a/file"), "text").unwrap();
    symlink("a/file", directory.path().join("link")).unwrap();
    symlink("/etc", directory.path().join("out")).unwrap();
    symlink("loop", directory.path().join("loop")).unwrap();
    symlink("nowhere", directory.path().join("dangling")).unwrap();
    let files = LocalFiles::new(1000, 10);
    let path = |name: &str| format!("{root}/{name}");
    assert_eq!(
        files.resolve(&path("link")).unwrap(),
        Some((path("a/file"), EntryKind::File))
    );
    assert_eq!(
        files.resolve(&path("a/../a")).unwrap(),
        Some((path("a"), EntryKind::Directory))
    );
    assert_eq!(
        files.resolve(&path("out")).unwrap(),
        Some(("/etc".to_owned(), EntryKind::Directory))
    );
    for nothing in ["none", "dangling", "a/file/x"] {
        assert_eq!(files.resolve(&path(nothing)).unwrap(), None, "{nothing}");
        assert!(
            matches!(files.read(&path(nothing)), Err(FilesError::Missing { .. })),
            "{nothing}"
        );
        assert!(
            matches!(files.list(&path(nothing)), Err(FilesError::Missing { .. })),
            "{nothing}"
        );
    }
    assert!(files.resolve(&path("loop")).is_err());
    assert_eq!(files.read(&path("link")).unwrap().as_ref(), b"text");
    assert!(matches!(
        files.read(&path("a")),
        Err(FilesError::Missing { .. })
    ));
    assert_eq!(
        files.list(&root).unwrap(),
        ["a", "dangling", "link", "loop", "out"]
    );
}

#[test]
fn links_on_the_way_are_followed_and_the_way_is_remembered_as_it_is() {
    let directory = TempDir::new().unwrap();
    let root = LocalFiles::absolute(directory.path()).unwrap();
    fs::create_dir(directory.path().join("a")).unwrap();
    fs::write(directory.path().join("a/file"), "text").unwrap();
    symlink("a/file", directory.path().join("link")).unwrap();
    symlink("a", directory.path().join("inner")).unwrap();
    symlink("loop", directory.path().join("loop")).unwrap();
    let files = LocalFiles::new(1000, 10);
    let path = |name: &str| format!("{root}/{name}");
    for (asked, real) in [
        ("inner/file", "a/file"),
        ("inner/../link", "a/file"),
        ("a/./file", "a/file"),
        ("a//file", "a/file"),
        ("inner/file", "a/file"),
    ] {
        let expected = Some((path(real), EntryKind::File));
        assert_eq!(files.resolve(&path(asked)).unwrap(), expected, "{asked}");
    }
    for above in ["/", "/etc"] {
        let expected = Some((above.to_owned(), EntryKind::Directory));
        assert_eq!(files.resolve(above).unwrap(), expected);
    }
    assert!(files.resolve(&path("loop/file")).is_err());
    assert!(files.resolve("/dev/null").is_err());

    let files = LocalFiles::new(1000, 10);
    files.remember_above(&path("a/file"));
    for (asked, kind) in [("a", EntryKind::Directory), ("a/file", EntryKind::File)] {
        let expected = Some((path(asked), kind));
        assert_eq!(files.resolve(&path(asked)).unwrap(), expected, "{asked}");
    }
}

#[test]
fn what_is_too_large_or_no_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let root = LocalFiles::absolute(directory.path()).unwrap();
    fs::write(directory.path().join("large"), "x".repeat(1001)).unwrap();
    fs::write(directory.path().join("fits"), "x".repeat(1000)).unwrap();
    let files = LocalFiles::new(1000, 1);
    assert_eq!(files.read(&format!("{root}/fits")).unwrap().len(), 1000);
    let error = files.read(&format!("{root}/large")).unwrap_err();
    assert!(
        matches!(
            error,
            FilesError::TooLarge {
                size: 1001,
                limit: 1000,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(chain(&files.list(&root).unwrap_err()).contains("more than 1 names"));
    for endless in ["/dev/zero", "/dev/tty"] {
        assert!(
            chain(&files.read(endless).unwrap_err()).contains("neither a file nor a directory"),
            "{endless}"
        );
    }
    assert!(matches!(
        LocalFiles::absolute(&directory.path().join("none")),
        Err(FilesError::Missing { .. })
    ));
}
