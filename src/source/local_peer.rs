//! Git in a directory of this machine.
//!
//! Enters: an absolute path.
//! Leaves: references and packs, like a server's.
//! Never: a hook, a process, a lock in the other repository.

use std::io::Write;

use git2::{Config, ConfigLevel, ErrorCode, Oid, Repository, RepositoryOpenFlags};

use super::{
    Address, DisplaySafeUrl, Error,
    advertisement::Advertisement,
    connect::Net,
    error::Cause,
    outgoing::Outgoing,
    peer::{Peer, REPOSITORY, Request},
    upload_pack,
};

/// A repository in a directory.
pub(super) struct LocalPeer {
    net: Net,
    url: DisplaySafeUrl,
    repository: Repository,
}

impl LocalPeer {
    /// Opens the repository at a path, bare or not.
    ///
    /// # Errors
    /// When local paths are not allowed, or there is no repository.
    pub(super) fn open(net: Net, address: &Address) -> Result<Self, Error> {
        let url = address.display();
        if !net.settings.allow_file {
            return Err(Error::FileNotAllowed { url });
        }
        // No search in the directories above: the path that was given is meant.
        let none: [&str; 0] = [];
        match Repository::open_ext(&address.path, RepositoryOpenFlags::NO_SEARCH, none) {
            Ok(repository) => Ok(Self {
                net,
                url,
                repository,
            }),
            Err(error) if error.code() == ErrorCode::NotFound => {
                Err(Error::RepositoryMissing { url, status: None })
            }
            Err(error) => Err(unreadable(&url, error)),
        }
    }

    fn read(&self) -> Result<Advertisement, git2::Error> {
        let mut advertisement = Advertisement {
            capabilities: [upload_pack::SHALLOW.to_owned()].into(),
            ..Advertisement::default()
        };
        for reference in self.repository.references()? {
            let reference = reference?;
            let resolved = reference.resolve()?;
            let (Ok(name), Some(target)) = (reference.name(), resolved.target()) else {
                continue;
            };
            if name.starts_with("refs/heads/") || name.starts_with("refs/tags/") {
                advertisement.references.insert(name.to_owned(), target);
            }
        }
        match self.repository.head() {
            Ok(head) => {
                if let Some(target) = head.target() {
                    advertisement.references.insert("HEAD".to_owned(), target);
                }
                advertisement.head = head
                    .name()
                    .ok()
                    .filter(|name| *name != "HEAD")
                    .map(str::to_owned);
            }
            // HEAD may point to a branch that has no commit.
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
            }
            Err(error) => return Err(error),
        }
        Ok(advertisement)
    }

    /// How packs are made is our decision, not that of whose repository it is.
    fn settle(&self) -> Result<(), git2::Error> {
        let mut config = Config::new()?;
        config.add_file(&self.net.packing, ConfigLevel::App, false)?;
        self.repository.set_config(&config)
    }

    /// Returns what is to be sent, and the commits of it that may come without their parents.
    fn collect(&self, request: Request<'_>) -> Result<(Outgoing<'_>, Vec<Oid>), git2::Error> {
        let wants = request.wants.iter().copied();
        if request.tips_only {
            Outgoing::tips(&self.repository, wants)
        } else if request.shallow.is_empty() {
            Ok((
                Outgoing::collect(&self.repository, wants, request.haves)?,
                Vec::new(),
            ))
        } else {
            Outgoing::following(&self.repository, wants, request.haves)
        }
    }

    fn pass_on(&self, piece: &[u8], left: &mut u64, sink: &mut dyn Write) -> Result<(), Error> {
        self.net.check_time(&self.url)?;
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        *left = left.checked_sub(length).ok_or_else(|| self.too_large())?;
        sink.write_all(piece)
            .map_err(|error| upload_pack::wire_error(&self.url, error))
    }
}

impl Peer for LocalPeer {
    fn advertisement(&mut self) -> Result<Advertisement, Error> {
        let advertisement = self.read().map_err(|error| unreadable(&self.url, error))?;
        if advertisement.references.is_empty() {
            return Err(Error::protocol(
                &self.url,
                super::advertisement::AdvertisementError::Empty.to_string(),
            ));
        }
        Ok(advertisement)
    }

    fn pack(
        &mut self,
        _advertisement: &Advertisement,
        request: Request<'_>,
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<Vec<Oid>, Error> {
        let mut left = limit;
        let mut send = || {
            self.settle()?;
            let (outgoing, cut) = self.collect(request)?;
            let sent =
                outgoing.send(&self.net.over, |piece| self.pass_on(piece, &mut left, sink))?;
            Ok(sent.map(|()| cut))
        };
        send().map_err(|error| {
            self.net
                .unless_late(&self.url, unreadable(&self.url, error))
        })?
    }

    fn update(&mut self, _request: Vec<u8>, _reference: &str) -> Result<(), Error> {
        Err(Error::protocol(
            &self.url,
            "a repository on this machine is written to by its path",
        ))
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            url: self.url.clone(),
            what: REPOSITORY,
            limit: self.net.settings.repository_limit(),
        }
    }
}

fn unreadable(url: &DisplaySafeUrl, error: git2::Error) -> Error {
    Error::Protocol {
        url: url.clone(),
        problem: "the repository cannot be read".to_owned(),
        source: Some(std::sync::Arc::new(error) as Cause),
    }
}
