//! What is measured.
//!
//! Enters: arguments.
//! Leaves: sizes and places.
//! Never: a default that takes longer than a few minutes.

use std::path::PathBuf;

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Nothing happens
    Idle,
    /// One object of each Application changes
    One,
    /// All objects change
    All,
    /// One Application of the repository changes
    Monorepo,
    /// The controller starts again
    Start,
    /// Somebody changes an object
    Drift,
    /// An image that cannot be pulled
    BadImage,
    /// One Application of very many objects
    Large,
    /// Deployments with pods
    Pods,
    /// A repository, a blob, a directory that are too large, a branch that is rewritten, a render that explodes, a flood
    /// of webhooks: what it costs the others
    BadInput,
    /// Commits, one a second or as many as `--rate` says
    Soak,
}

impl Arguments {
    /// Says whether this is measured.
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Soak => self.soak.is_some(),
            Kind::BadImage if self.stub => false,
            Kind::Large | Kind::Pods | Kind::BadInput => self.parts.contains(&kind),
            Kind::Idle
            | Kind::One
            | Kind::All
            | Kind::Monorepo
            | Kind::Start
            | Kind::Drift
            | Kind::BadImage => self.parts.is_empty() || self.parts.contains(&kind),
        }
    }

    /// Returns how many nodes carry the pods: a node has 32 cores, a pod asks for a tenth of one.
    pub(crate) fn nodes(&self) -> usize {
        if self.wants(Kind::Pods) {
            3.max(self.pods.div_ceil(250))
        } else {
            3
        }
    }
}

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
    /// What is measured after the cold sync; none for all but the last four
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) parts: Vec<Kind>,
    /// Measures the controller alone, against an API server in memory that does as little as it can
    #[arg(long)]
    pub(crate) stub: bool,
    /// Objects of the large Application
    #[arg(long, default_value_t = 10_000)]
    pub(crate) large_objects: usize,
    /// Deployments with one simulated pod each, in Applications of thirty
    #[arg(long, default_value_t = 3000)]
    pub(crate) pods: usize,
    /// Seconds of one commit a second to an Application chosen at random; adds the part `soak`
    #[arg(long, value_name = "SECONDS")]
    pub(crate) soak: Option<u64>,
    /// Commits in each second of the part `soak`: more of them show sooner what each leaves behind
    #[arg(long, value_name = "COMMITS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rate: u32,
    /// Updates of one object of each Application before the part `soak`, so that what is kept of earlier ones (good
    /// sets, ten ReplicaSets of each Deployment) is all there
    #[arg(long, value_name = "UPDATES", default_value_t = 0)]
    pub(crate) warm_up: u32,
    /// Seed of what is chosen at random [default: the time]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
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
