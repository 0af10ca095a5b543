//! A branch of our own in a repository somewhere.
//!
//! Enters: an address, credentials, a bare repository on this machine.
//! Leaves: the branch as the server has it; the branch moved there.
//! Never: a branch moved by force, or from where it was not known to be.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use git2::{ErrorCode, Oid, Repository, RepositoryInitOptions};

use super::{
    Address, DisplaySafeUrl, Error, Mirrors,
    advertisement::Advertisement,
    connect::Net,
    outgoing::Outgoing,
    peer::{self, Peer, Request, Service},
    receive_pack,
};
use crate::model::{Credentials, Secret};

/// A branch that is kept elsewhere, and its copy here.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Where it is kept: https, ssh, or http to this very machine.
    pub url: Secret<String>,
    /// Whole name, `refs/heads/...`.
    pub reference: String,
    /// A bare repository on this machine that nobody else writes; made when it is not there.
    pub copy: PathBuf,
}

impl Mirrors {
    /// Makes the copy of a branch what the server has. What the copy had beyond that is given up.
    ///
    /// # Errors
    /// When the server cannot be asked, or what it sends cannot be kept; the copy stays as it was.
    pub async fn bring(&self, branch: Branch, credentials: Credentials) -> Result<(), Error> {
        self.on_branch(branch, credentials, BranchRound::bring)
            .await
    }

    /// Moves the branch at the server from `old` to where the copy is. `None` stands for a branch that is not there yet.
    ///
    /// # Errors
    /// When the server cannot be asked, or does not move it: then it is where it was, or the connection broke and
    /// [`bring`](Self::bring) tells.
    pub async fn push(
        &self,
        branch: Branch,
        credentials: Credentials,
        old: Option<String>,
    ) -> Result<(), Error> {
        self.on_branch(branch, credentials, move |round| round.push(old.as_deref()))
            .await
    }

    async fn on_branch(
        &self,
        branch: Branch,
        credentials: Credentials,
        work: impl FnOnce(&BranchRound) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let address = Address::parse(branch.url.expose()).map_err(|source| Error::Address {
            url: DisplaySafeUrl::redacted(branch.url.expose()),
            source,
        })?;
        let url = address.display();
        let tls = self.tls();
        let ended = self
            .threads()
            .in_time(move |net| {
                work(&BranchRound {
                    net,
                    tls,
                    address,
                    credentials,
                    branch,
                })
            })
            .await;
        ended.unwrap_or_else(|| {
            Err(Error::TimedOut {
                url,
                what: "the whole push",
                limit: self.settings().total_timeout,
            })
        })
    }
}

/// One exchange with the server. It runs on a blocking thread.
struct BranchRound {
    net: Net,
    tls: Arc<rustls::ClientConfig>,
    address: Address,
    credentials: Credentials,
    branch: Branch,
}

impl BranchRound {
    fn open(&self, service: Service) -> Result<Box<dyn Peer>, Error> {
        let (address, credentials) = (&self.address, &self.credentials);
        peer::open(&self.net, &self.tls, address, credentials, service)
    }

    /// A copy that cannot be read or written is made anew: what it had is at the server or still in the cluster.
    fn bring(&self) -> Result<(), Error> {
        match self.level() {
            Err(Error::Cache { .. }) if self.branch.copy.exists() => {
                let removed = std::fs::remove_dir_all(&self.branch.copy);
                removed.map_err(|source| Error::Cache {
                    act: "remove a damaged copy of a branch",
                    source: Arc::new(source),
                })?;
                self.level()
            }
            result => result,
        }
    }

    fn level(&self) -> Result<(), Error> {
        let reference = &self.branch.reference;
        let repository = open(&self.branch.copy).map_err(damaged)?;
        // An empty repository tells those who write, not those who read.
        let there = self.open(Service::ReceivePack)?.advertisement()?;
        let Some(&tip) = there.references.get(reference) else {
            return forget(&repository, reference).map_err(damaged);
        };
        if !repository.odb().map_err(damaged)?.exists(tip) {
            let mut peer = self.open(Service::UploadPack)?;
            let advertisement = peer.advertisement()?;
            self.take(&repository, peer.as_mut(), &advertisement, tip)?;
        }
        repository
            .reference(reference, tip, true, "as the server has it")
            .map_err(damaged)?;
        Ok(())
    }

    fn take(
        &self,
        repository: &Repository,
        peer: &mut dyn Peer,
        advertisement: &Advertisement,
        tip: Oid,
    ) -> Result<(), Error> {
        let odb = repository.odb().map_err(damaged)?;
        let mut writer = odb.packwriter().map_err(damaged)?;
        let known = repository.refname_to_id(&self.branch.reference).ok();
        let haves: Vec<Oid> = known.into_iter().collect();
        let limit = self.net.settings.max_repository_bytes;
        // What others keep is brought whole: its first commits are read.
        let request = Request {
            wants: &[tip],
            haves: &haves,
            shallow: &[],
            tips_only: false,
        };
        peer.pack(advertisement, request, limit, &mut writer)?;
        writer.commit().map_err(damaged)?;
        Ok(())
    }

    fn push(&self, old: Option<&str>) -> Result<(), Error> {
        let reference = &self.branch.reference;
        let repository = open(&self.branch.copy).map_err(damaged)?;
        let old = old.map(Oid::from_str).transpose().map_err(damaged)?;
        let new = repository.refname_to_id(reference).map_err(damaged)?;
        let mut peer = self.open(Service::ReceivePack)?;
        let there = peer.advertisement()?;
        let refused = || Error::PushRefused {
            url: self.address.display(),
            reference: reference.clone(),
        };
        if there.references.get(reference).copied() != old {
            return Err(refused());
        }
        if !there.can(receive_pack::REPORT) {
            return Err(Error::protocol(
                &self.address.display(),
                "the server does not report what becomes of a push",
            ));
        }
        let mut request = receive_pack::request(reference, old, new);
        let haves: Vec<Oid> = old.into_iter().collect();
        let mut pack = Pack {
            bytes: &mut request,
            left: self.net.settings.max_repository_bytes,
        };
        Outgoing::collect(&repository, [new], &haves)
            .and_then(|outgoing| outgoing.send(&self.net.over, |piece| pack.write_all(piece)))
            .map_err(|error| {
                self.net
                    .unless_late(&self.address.display(), damaged(error))
            })?
            .map_err(|_too_large| peer.too_large())?;
        peer.update(request, reference)
    }
}

/// A pack in memory: one batch of records, or the whole branch for a server that lost it.
struct Pack<'a> {
    bytes: &'a mut Vec<u8>,
    left: u64,
}

impl Write for Pack<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> Result<Repository, git2::Error> {
    match Repository::open_bare(path) {
        Err(error) if error.code() == ErrorCode::NotFound => {
            let mut options = RepositoryInitOptions::new();
            options
                .bare(true)
                .mkpath(true)
                .initial_head("main")
                .external_template(false);
            Repository::init_opts(path, &options)
        }
        opened => opened,
    }
}

fn forget(repository: &Repository, reference: &str) -> Result<(), git2::Error> {
    match repository.find_reference(reference) {
        Ok(mut found) => found.delete(),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn damaged(source: git2::Error) -> Error {
    Error::Cache {
        act: "keep a copy of a branch",
        source: Arc::new(source),
    }
}
