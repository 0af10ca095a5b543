//! The other side of a fetch or a push, whatever it is reached by.
//!
//! Enters: an address and credentials.
//! Leaves: a `Peer`.
//! Never: a decision about what to fetch.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use git2::Oid;
use rustls::ClientConfig;

use super::{
    Address, Error, address::Scheme, advertisement::Advertisement, connect::Net,
    local_peer::LocalPeer, packet::Packets, smart_http::SmartHttp, ssh::Ssh, tls,
};
use crate::model::Credentials;

/// What is too large when a whole repository is.
pub(super) const REPOSITORY: &str = "the repository";
/// What is too large when a list of references is.
pub(super) const REFERENCES: &str = "the list of references";

/// What a server is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Hand out what it has.
    UploadPack,
    /// Take what it has not.
    ReceivePack,
}

impl Service {
    /// Returns the name of the service in git's protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// Reads what the server says it has.
    pub(super) fn read<R: Read>(self, packets: &mut Packets<R>) -> io::Result<Advertisement> {
        match self {
            Self::UploadPack => Advertisement::read(packets),
            Self::ReceivePack => Advertisement::read_any(packets),
        }
    }
}

/// What a pack is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// What is not there.
    pub(super) wants: &'a [Oid],
    /// Commits that are there, with all that leads to them but what is behind `shallow`.
    pub(super) haves: &'a [Oid],
    /// Commits that are there without their parents.
    pub(super) shallow: &'a [Oid],
    /// Whether the wanted commits are to come without their parents.
    pub(super) tips_only: bool,
}

/// A server, or a repository on this machine, that is asked once for its references and then, perhaps, for a pack.
pub(super) trait Peer {
    /// Asks what there is.
    fn advertisement(&mut self) -> Result<Advertisement, Error>;

    /// Fetches what leads to the wants and not to the haves, at most `limit` bytes, into `sink`. Returns the commits that
    /// may have come without their parents.
    fn pack(
        &mut self,
        advertisement: &Advertisement,
        request: Request<'_>,
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<Vec<Oid>, Error>;

    /// Sends a request that moves one reference, and hears whether it was moved.
    fn update(&mut self, request: Vec<u8>, reference: &str) -> Result<(), Error>;

    /// The error for a repository that is too large.
    fn too_large(&self) -> Error;
}

/// Returns the peer at an address.
///
/// # Errors
/// When the address or the credentials cannot be used.
pub(super) fn open(
    net: &Net,
    system_tls: &Arc<ClientConfig>,
    address: &Address,
    credentials: &Credentials,
    service: Service,
) -> Result<Box<dyn Peer>, Error> {
    match address.scheme {
        Scheme::Https | Scheme::Http => {
            let tls = match &credentials.certificate_authority {
                Some(pem) => tls::only(address, pem)?,
                None => Arc::clone(system_tls),
            };
            Ok(Box::new(SmartHttp::new(
                net.clone(),
                tls,
                address,
                credentials,
                service,
            )?))
        }
        Scheme::Ssh => Ok(Box::new(Ssh::connect(
            net.clone(),
            address,
            credentials,
            service,
        )?)),
        Scheme::File => Ok(Box::new(LocalPeer::open(net.clone(), address)?)),
    }
}
