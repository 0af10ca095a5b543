//! A commit of a repository that a person has checked out.
//!
//! Enters: a directory in or above a working tree, a revision.
//! Leaves: the files of that commit, from the repository's own objects.
//! Never: a change of the repository, a look at its working tree.

use std::path::Path;

use git2::{Oid, Repository};

use super::{DisplaySafeUrl, Error, Settings, Snapshot, round::Resolved, store::Store};
use crate::model::Revision;

/// Reads a revision from the repository that a directory belongs to; None where it belongs to none.
///
/// # Errors
/// The repository does not have the commit (a shallow clone), or is damaged.
pub fn checked_out(directory: &Path, revision: &Revision) -> Result<Option<Snapshot>, Error> {
    // A directory that git does not know is nothing wrong.
    let Ok(repository) = Repository::discover(directory) else {
        return Ok(None);
    };
    let url = DisplaySafeUrl::redacted(&directory.display().to_string());
    let store = Store::lent(url.clone(), &repository);
    let commit = Oid::from_str(&revision.commit).map_err(|source| Error::Damaged {
        url,
        source: std::sync::Arc::new(source),
    })?;
    let resolved = Resolved {
        reference: revision.reference.clone(),
        commit,
        lineage: None,
    };
    let limits = Settings::new(directory.to_owned()).tree_limits();
    Snapshot::read(&store, &resolved, limits).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use git2::Signature;

    use super::*;

    fn revision(commit: &str) -> Revision {
        Revision {
            reference: "main".to_owned(),
            commit: commit.to_owned(),
        }
    }

    #[test]
    fn a_commit_is_read_although_the_working_tree_moved_on_and_nothing_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        assert!(
            checked_out(directory.path(), &revision(&"1".repeat(40)))
                .unwrap()
                .is_none()
        );
        let repository = Repository::init(directory.path()).unwrap();
        fs::create_dir(directory.path().join("deploy")).unwrap();
        let file = directory.path().join("deploy/a.yaml");
        fs::write(&file, "old").unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(Path::new("deploy/a.yaml")).unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let person = Signature::now("a", "a@localhost").unwrap();
        let commit = repository
            .commit(Some("HEAD"), &person, &person, "first", &tree, &[])
            .unwrap();
        fs::write(&file, "new").unwrap();
        let below = directory.path().join("deploy");
        let snapshot = checked_out(&below, &revision(&commit.to_string()))
            .unwrap()
            .unwrap();
        let read = snapshot.files().read("/deploy/a.yaml").unwrap();
        assert_eq!(read.as_ref(), b"old");
        drop(snapshot);
        assert!(directory.path().join(".git/HEAD").exists());
        let missing = checked_out(directory.path(), &revision(&"1".repeat(40))).unwrap_err();
        assert!(matches!(missing, Error::NotInMirror { .. }));
    }
}
