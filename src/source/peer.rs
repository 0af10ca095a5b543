//! The other side of a fetch, whatever it is reached by.
//!
//! Enters: an address and credentials.
//! Leaves: a `Peer`.
//! Never: a decision about what to fetch.

use std::{io::Write, sync::Arc};

use git2::Oid;
use rustls::ClientConfig;

use super::{
    Address, Error, address::Scheme, advertisement::Advertisement, connect::Net,
    local_peer::LocalPeer, smart_http::SmartHttp, ssh::Ssh, tls,
};
use crate::model::Credentials;

/// What is too large when a whole repository is.
pub(super) const REPOSITORY: &str = "the repository";
/// What is too large when a list of references is.
pub(super) const REFERENCES: &str = "the list of references";

/// A server, or a repository on this machine, that is asked once for its references and then, perhaps, for a pack.
pub(super) trait Peer {
    /// Asks what there is.
    fn advertisement(&mut self) -> Result<Advertisement, Error>;

    /// Fetches what leads to `wants` and not to `haves`, at most `limit` bytes, into `sink`.
    fn pack(
        &mut self,
        advertisement: &Advertisement,
        wants: &[Oid],
        haves: &[Oid],
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<(), Error>;

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
            )?))
        }
        Scheme::Ssh => Ok(Box::new(Ssh::connect(net.clone(), address, credentials)?)),
        Scheme::File => Ok(Box::new(LocalPeer::open(net.clone(), address)?)),
    }
}
