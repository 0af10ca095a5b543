//! Making packs, as a server does.
//!
//! Enters: a repository, what is wanted, what is there already.
//! Leaves: the bytes of a pack, in pieces.
//! Never: a pack in memory as a whole.

use std::collections::BTreeSet;

use git2::{ErrorCode, ObjectType, Oid, PackBuilder, Repository, Revwalk};
use tokio_util::sync::CancellationToken;

/// A pack of what leads to some objects and not to some commits.
pub(super) struct Outgoing<'a>(PackBuilder<'a>);

impl<'a> Outgoing<'a> {
    /// Collects everything that leads to `wants` and not to `haves`; a have that is not there is passed over.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn collect(
        repository: &'a Repository,
        wants: impl IntoIterator<Item = Oid>,
        haves: &[Oid],
    ) -> Result<Self, git2::Error> {
        let mut builder = repository.packbuilder()?;
        let commits = insert_wants(repository, &mut builder, wants)?;
        builder.insert_walk(&mut walk(repository, &commits, haves)?)?;
        Ok(Self(builder))
    }

    /// As [`Outgoing::collect`], for somebody who has cut off what led to some of the haves. Returns the commits that may
    /// come without their parents as well.
    ///
    /// What is wanted and leads to a have is sent by itself: he need not have it.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn following(
        repository: &'a Repository,
        wants: impl IntoIterator<Item = Oid>,
        haves: &[Oid],
    ) -> Result<(Self, Vec<Oid>), git2::Error> {
        let mut builder = repository.packbuilder()?;
        let commits = insert_wants(repository, &mut builder, wants)?;
        let sent: BTreeSet<Oid> = walk(repository, &commits, haves)?.collect::<Result<_, _>>()?;
        builder.insert_walk(&mut walk(repository, &commits, haves)?)?;
        let mut cut = Vec::new();
        for commit in commits {
            if !sent.contains(&commit) {
                builder.insert_commit(commit)?;
                cut.push(commit);
            }
        }
        for &commit in &sent {
            let found = repository.find_commit(commit)?;
            if found.parent_ids().any(|parent| !sent.contains(&parent)) {
                cut.push(commit);
            }
        }
        Ok((Self(builder), cut))
    }

    /// Collects what `wants` hold, and nothing of what led to them. Returns the commits among them as well.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub(super) fn tips(
        repository: &'a Repository,
        wants: impl IntoIterator<Item = Oid>,
    ) -> Result<(Self, Vec<Oid>), git2::Error> {
        let mut builder = repository.packbuilder()?;
        let commits = insert_wants(repository, &mut builder, wants)?;
        for &commit in &commits {
            builder.insert_commit(commit)?;
        }
        Ok((Self(builder), commits))
    }

    /// Says whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.0.object_count() == 0
    }

    /// Hands the pack out piece by piece, until `send` fails. What comes before the first piece, looking for
    /// differences among everything that is sent, ends when the time is over as well.
    ///
    /// # Errors
    /// What the repository says, that the time is over among it; inside, what `send` says.
    pub(super) fn send<E>(
        mut self,
        over: &CancellationToken,
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, git2::Error> {
        let over = over.clone();
        self.0
            .set_progress_callback(move |_, _, _| !over.is_cancelled())?;
        let mut passed = Ok(());
        let result = self.0.foreach(|piece| {
            passed = send(piece);
            passed.is_ok()
        });
        match passed {
            Err(error) => Ok(Err(error)),
            Ok(()) => result.map(Ok),
        }
    }
}

/// Inserts what is wanted and no commit. Returns the commits.
fn insert_wants(
    repository: &Repository,
    builder: &mut PackBuilder<'_>,
    wants: impl IntoIterator<Item = Oid>,
) -> Result<Vec<Oid>, git2::Error> {
    let mut commits = Vec::new();
    for want in wants {
        // A tag object is not on the way of a walk over commits.
        let mut object = repository.find_object(want, None)?;
        while let Some(tag) = object.as_tag() {
            builder.insert_object(object.id(), None)?;
            object = tag.target()?;
        }
        if object.kind() == Some(ObjectType::Commit) {
            commits.push(object.id());
        } else {
            builder.insert_recursive(object.id(), None)?;
        }
    }
    Ok(commits)
}

/// Returns a walk over what leads to `commits` and not to `haves`; a have that is not there is passed over.
fn walk<'a>(
    repository: &'a Repository,
    commits: &[Oid],
    haves: &[Oid],
) -> Result<Revwalk<'a>, git2::Error> {
    let mut walk = repository.revwalk()?;
    for &commit in commits {
        walk.push(commit)?;
    }
    // The trees of all that is hidden are read through: of commits that follow each other, that of the last is enough.
    let parents: BTreeSet<Oid> = haves
        .iter()
        .filter_map(|&have| repository.find_commit(have).ok())
        .flat_map(|commit| commit.parent_ids().collect::<Vec<_>>())
        .collect();
    for &have in haves.iter().filter(|have| !parents.contains(have)) {
        match walk.hide(have) {
            Err(error) if error.code() != ErrorCode::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(walk)
}

#[cfg(test)]
mod tests {
    use super::{CancellationToken, Outgoing, Repository};

    #[test]
    fn nothing_is_sent_when_the_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(directory.path()).unwrap();
        let blob = repository.blob(b"kind: ConfigMap\n").unwrap();
        let mut tree = repository.treebuilder(None).unwrap();
        tree.insert("app.yaml", blob, 0o100_644).unwrap();
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let time = git2::Time::new(1_760_000_000, 0);
        let person = git2::Signature::new("Ada Miller", "ada@shop.example", &time).unwrap();
        let commit = repository
            .commit(None, &person, &person, "Change", &tree, &[])
            .unwrap();
        let over = CancellationToken::new();
        let send = || {
            let mut bytes = 0;
            let outgoing = Outgoing::collect(&repository, [commit], &[]).unwrap();
            let sent = outgoing.send(&over, |piece| {
                bytes += piece.len();
                Ok::<_, std::convert::Infallible>(())
            });
            (sent.is_ok(), bytes > 0)
        };
        assert_eq!(send(), (true, true));
        over.cancel();
        assert_eq!(send(), (false, false));
    }
}
