//! Whose certificates are trusted.
//!
//! Enters: the system's certificates, or those that a Secret names.
//! Leaves: a client configuration of rustls.
//! Never: a way to switch verification off.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{Address, Error, error::Cause};

/// Returns a configuration that trusts the certificates of the system.
///
/// # Errors
/// When the cryptography cannot be set up. A system without certificates trusts nobody, which shows when it connects.
pub(super) fn system() -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    let (_added, _ignored) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    config(roots)
}

/// Returns a configuration that trusts these authorities and no others.
///
/// # Errors
/// When the text holds no certificate, or one that cannot be read.
pub(super) fn only(address: &Address, pem: &str) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |problem, source: Option<Cause>| Error::CredentialsUnusable {
        url: address.display(),
        problem,
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = match certificate {
            Ok(certificate) => roots
                .add(certificate)
                .map_err(|source| Arc::new(source) as Cause),
            Err(source) => Err(Arc::new(source) as Cause),
        };
        added.map_err(|source| unusable("a certificate authority cannot be read", Some(source)))?;
    }
    if roots.is_empty() {
        return Err(unusable(
            "the certificate authority holds no certificate",
            None,
        ));
    }
    config(roots)
}

fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| Error::Internal {
        act: "set up TLS",
        source: Arc::new(source),
    })?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
