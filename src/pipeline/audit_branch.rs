//! The branch of records on a server: git from the room source, the credentials from the controller's own namespace.
//!
//! Enters: the URL, the name of the Secret.
//! Leaves: an `Upstream` for the archive.
//! Never: a Secret of an Application; a credential that is kept after the exchange.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{FutureExt as _, future::BoxFuture};

use super::{Error, credentials};
use crate::{
    api::{Class, Reason},
    archive::{Cause, Upstream},
    cluster::Keeper,
    model::{Credentials, ObjectId},
    source::{Branch, Mirrors},
};

/// Where records are pushed to.
#[derive(Clone)]
pub struct AuditBranch {
    /// What reaches servers.
    pub mirrors: Mirrors,
    /// Reads the Secret.
    pub keeper: Keeper,
    /// The repository: https, ssh, or http to this very machine.
    pub url: String,
    /// Secret in the controller's own namespace, with the keys of `credentialsRef`; None for no credentials.
    pub secret: Option<String>,
    /// Directory of the copy.
    pub copy: PathBuf,
}

impl std::fmt::Debug for AuditBranch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        formatter
            .debug_struct("AuditBranch")
            .field("secret", &self.secret)
            .field("copy", &self.copy)
            .finish_non_exhaustive()
    }
}

impl AuditBranch {
    fn branch(&self, reference: String) -> Branch {
        Branch {
            url: self.url.clone(),
            reference,
            copy: self.copy.clone(),
        }
    }

    /// Read each time: a token that was changed counts at the next try.
    async fn credentials(&self) -> Result<Credentials, Error> {
        let Some(name) = &self.secret else {
            return Ok(Credentials::default());
        };
        let id = ObjectId::new("", "Secret", self.keeper.own_namespace(), name);
        let found = self.keeper.own_secret_object(name).await?;
        let secret = found.ok_or_else(|| {
            Error::failure(
                Reason::CredentialsInvalid,
                Class::Environment,
                format!("{id} does not exist; --history-repository-secret names it"),
            )
        })?;
        credentials::parse(&secret, &id)
    }
}

fn cause<E: std::error::Error + Send + Sync + 'static>(error: E) -> Cause {
    Arc::new(error)
}

impl Upstream for AuditBranch {
    fn copy(&self) -> &Path {
        &self.copy
    }

    fn bring(&self, reference: String) -> BoxFuture<'_, Result<(), Cause>> {
        async move {
            let credentials = self.credentials().await.map_err(cause)?;
            let brought = self.mirrors.bring(self.branch(reference), credentials);
            brought.await.map_err(cause)
        }
        .boxed()
    }

    fn push(&self, reference: String, old: Option<String>) -> BoxFuture<'_, Result<(), Cause>> {
        async move {
            let credentials = self.credentials().await.map_err(cause)?;
            let pushed = self.mirrors.push(self.branch(reference), credentials, old);
            pushed.await.map_err(cause)
        }
        .boxed()
    }
}
