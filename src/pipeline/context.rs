//! What every reconcile of this process shares.
//!
//! Enters: connections and settings that the shell made.
//! Leaves: `Context`.
//! Never: anything of one Application.

use super::{Voice, lists::Lists};
use crate::{
    archive::Archive,
    cluster::{Cluster, Fence, Keeper, Watches},
    model::Now,
    report::Metrics,
    source::Mirrors,
};

/// Connections and settings of the process.
pub struct Context {
    /// The API server.
    pub cluster: Cluster,
    /// The mirrors of repositories.
    pub mirrors: Mirrors,
    /// The shared watches.
    pub watches: Watches,
    /// Our own books.
    pub keeper: Keeper,
    /// Whether the lease is ours.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Metrics,
    /// Reads both clocks.
    pub clock: fn() -> Now,
    /// Identity of this process, as in the lease.
    pub identity: String,
    /// Where records are kept beside the cluster.
    pub archive: Archive,
    /// UID of the cluster, for records; empty where it could not be read.
    pub cluster_uid: String,
    /// The controller's own namespace.
    pub namespace: String,
    /// Service account of Applications that name none; looked up in their own namespace.
    pub default_account: Option<String>,
    /// How much good news is told.
    pub voice: Voice,
    /// What the preflight read of namespaces.
    pub lists: Lists,
    /// How files are rendered.
    pub render: kustomize::Options,
    /// Hosts from which remote bases and files may come; none by default.
    pub remote_hosts: Vec<String>,
}
