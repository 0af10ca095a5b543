//! Remote bases and files of a kustomization, over the same mirrors and the same rule of egress.
//!
//! Enters: references that a build meets, and the hosts that an operator allows.
//! Leaves: trees, files, pins.
//! Never: a host that was not allowed; credentials, which belong to an Application's source alone.

use std::{sync::Arc, time::Duration};

use kustomize::{Error as BuildError, ErrorKind, Remote, RemotePin, RemoteReference, RemoteTree};
use tokio::runtime::Handle;

use super::{
    Address, DisplaySafeUrl, Error, Mirrors, egress::same_host, reference::Want, remote_file,
};
use crate::model::{Credentials, Digest, Now, SourceSpec};

/// Fetches what lies outside of the tree, for one build.
///
/// # Caveats
/// A build that uses it has to run on a blocking thread of a runtime of tokio: it waits.
pub struct RemoteBases {
    mirrors: Mirrors,
    allowed: Vec<String>,
    freshness: Duration,
    now: Now,
    handle: Handle,
}

impl RemoteBases {
    /// Returns a fetcher for the hosts of `--allow-remote`. An answer that is not older than `freshness` is taken
    /// without asking again.
    pub fn new(
        mirrors: Mirrors,
        allowed: Vec<String>,
        freshness: Duration,
        now: Now,
        handle: Handle,
    ) -> Self {
        Self {
            mirrors,
            allowed,
            freshness,
            now,
            handle,
        }
    }

    fn address(&self, text: &str, url: &str) -> Result<Address, BuildError> {
        let address = Address::parse(url).map_err(|source| {
            failed(
                text,
                Error::Address {
                    url: DisplaySafeUrl::redacted(url),
                    source,
                },
            )
        })?;
        if self
            .allowed
            .iter()
            .any(|host| same_host(host, &address.host))
        {
            return Ok(address);
        }
        let shown = DisplaySafeUrl::redacted(text);
        Err(BuildError::new(
            ErrorKind::Remote,
            format!("fetch {shown}: remote bases are off for {:?}", address.host),
        )
        .hint(format!(
            "allow the host with --allow-remote {}",
            address.host
        )))
    }
}

impl Remote for RemoteBases {
    fn fetch_tree(&self, reference: &RemoteReference) -> Result<RemoteTree, BuildError> {
        let (text, repository, reference, timeout) = match reference {
            RemoteReference::Git {
                text,
                repository,
                path: _,
                reference,
                timeout,
                submodules: _,
            } => (text, repository, reference, *timeout),
            RemoteReference::Https { url } => {
                return Err(BuildError::new(
                    ErrorKind::Remote,
                    format!(
                        "fetch {}: it is a file, not a repository",
                        DisplaySafeUrl::redacted(url)
                    ),
                ));
            }
        };
        let address = self.address(text, repository)?;
        let spec = SourceSpec {
            repository: repository.clone(),
            reference: reference.clone(),
            path: String::new(),
        };
        let anonymous = Credentials::default();
        let fetch = self
            .mirrors
            .fetch(&spec, &anonymous, self.freshness, self.now);
        let fetched = self
            .handle
            .block_on(async { tokio::time::timeout(timeout, fetch).await });
        let snapshot = fetched.unwrap_or_else(|_elapsed| {
            Err(Error::TimedOut {
                url: address.display(),
                what: "fetching a remote base",
                limit: timeout,
            })
        });
        let snapshot = snapshot.map_err(|error| failed(text, error))?;
        let pinned = matches!(Want::parse(reference.as_deref()), Ok(Want::Commit(_)));
        Ok(RemoteTree {
            files: snapshot.shared_files(),
            pin: RemotePin {
                reference: named(text, reference.as_deref()),
                url: address.display().to_string(),
                pin: snapshot.revision.commit,
                moves: !pinned,
            },
        })
    }

    fn fetch_file(&self, url: &str) -> Result<(Arc<[u8]>, RemotePin), BuildError> {
        let (base, query) = remote_file::split(url);
        let address = self.address(url, &base)?;
        let shown = address.display().to_string();
        let read = self.mirrors.read_file(address, query, self.allowed.clone());
        let content = self
            .handle
            .block_on(read)
            .map_err(|error| failed(url, error))?;
        let pin = RemotePin {
            reference: DisplaySafeUrl::redacted(url).to_string(),
            url: shown,
            pin: Digest::of(&content).to_string(),
            moves: true,
        };
        Ok((content.into(), pin))
    }
}

/// What is fetched, as people are told: of the query, which can hold a token, the reference alone.
fn named(text: &str, reference: Option<&str>) -> String {
    let shown = DisplaySafeUrl::redacted(text);
    reference.map_or_else(
        || shown.to_string(),
        |reference| format!("{shown}?ref={reference}"),
    )
}

fn failed(text: &str, error: Error) -> BuildError {
    let shown = DisplaySafeUrl::redacted(text);
    BuildError::new(ErrorKind::Remote, format!("fetch {shown}")).caused_by(error)
}
