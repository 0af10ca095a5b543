//! What is measured.
//!
//! Enters: arguments.
//! Leaves: sizes and places.
//! Never: a default that takes longer than a few minutes.

use std::path::PathBuf;

/// Measures Plimsoll beside a plain server-side-apply loop, on the devcluster.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    /// Applications, each of a ServiceAccount, a headless Service, a Deployment without replicas and an Ingress
    #[arg(long, default_value_t = 100)]
    pub(crate) applications: usize,
    /// Objects of each Application; above four they are ConfigMaps
    #[arg(long, default_value_t = 4)]
    pub(crate) objects: usize,
    /// Connections of the plain loop
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: usize,
    /// Reconciles at once of the controller; none for its default
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Seconds that the idle fleet is watched
    #[arg(long, default_value_t = 30)]
    pub(crate) idle_seconds: u64,
    /// Seconds before a part counts as failed
    #[arg(long, default_value_t = 600)]
    pub(crate) patience_seconds: u64,
    /// Leaves out drift and the bad image
    #[arg(long)]
    pub(crate) only_fleet: bool,
    /// Binary to measure [default: the one beside this program]
    #[arg(long)]
    pub(crate) plimsoll: Option<PathBuf>,
    /// File for the results as JSON
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Directory that is kept, with the logs of controller and control plane
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
}
