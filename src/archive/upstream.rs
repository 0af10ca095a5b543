//! The server that a branch of records is kept on.
//!
//! Enters: the name of the branch.
//! Leaves: a copy that is level with the server; the branch moved there.
//! Never: how a server is reached; a credential.

use std::{fmt, path::Path, sync::Arc};

use futures::future::BoxFuture;

/// Why a server could not be asked or did not move the branch.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A repository on a server, with a copy on this machine that nobody else writes.
pub trait Upstream: fmt::Debug + Send + Sync {
    /// Directory of the copy, a bare repository.
    fn copy(&self) -> &Path;

    /// Makes the branch in the copy what the server has, and gives up what the copy had beyond that.
    fn bring(&self, reference: String) -> BoxFuture<'_, Result<(), Cause>>;

    /// Moves the branch at the server from `old` (`None`: not there) to where the copy is; refused if it is elsewhere.
    fn push(&self, reference: String, old: Option<String>) -> BoxFuture<'_, Result<(), Cause>>;
}
