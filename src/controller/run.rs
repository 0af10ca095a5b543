//! Wiring: connections, lease, listener, then the work.
//!
//! Enters: `ControllerSettings`.
//! Leaves: on a stop, after what was under way came to an object boundary.
//! Never: a write without a share of the lease.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{house, share::Ours, work};
use crate::{
    clock,
    cluster::{self, Cluster, ConnectSettings, Keeper, Lease, LeaseSettings, Share, Watches},
    model::{RepositoryName, text},
    pipeline::{Archive, ArchiveSettings, AuditBranch, Context, Lists, Upstream, Voice},
    report::{Metrics, PerApplication},
    server::{self, Ready, Webhooks},
    source::{self, Mirrors},
};

/// Hints that wait to be read; when more come the watches wait, and nothing is lost.
const HINTS: usize = 4096;
/// Repositories that were pushed to and wait to be asked; when more come, webhooks are told to come again.
const PUSHES: usize = 1024;
/// Bytes of manifests that stay parsed for renders that share them: bases of a monorepo. They take about ten times the memory.
const PARSED: usize = 1 << 20;
/// How long a stop waits for reconciles to come to an object boundary.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// The API server.
    pub connect: ConnectSettings,
    /// Git.
    pub source: source::Settings,
    /// The controller's own namespace: lease, stored sets.
    pub namespace: String,
    /// Identity of this process in the lease and in the audit log; unique.
    pub identity: String,
    /// Address of health and metrics; None for no listener.
    pub listen: Option<SocketAddr>,
    /// Service account of Applications that name none.
    pub default_account: Option<String>,
    /// Reconciles at once.
    pub workers: usize,
    /// Whether metrics tell Applications apart.
    pub per_application: PerApplication,
    /// File with the secret of webhooks; None for no webhooks.
    pub webhook_secret: Option<PathBuf>,
    /// Where records are kept beside the cluster.
    pub archive: ArchiveSettings,
    /// Secret in the controller's own namespace that opens the repository of records; None for none.
    pub archive_secret: Option<String>,
    /// Hosts from which remote bases and files may come.
    pub remote_hosts: Vec<String>,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// The mirrors.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The listener.
    #[error("run the listener")]
    Serve(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A task of ours did not end as it must.
    #[error("wait for {what}")]
    Task {
        /// What was waited for.
        what: &'static str,
        /// Cause.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Runs until told to stop.
///
/// # Errors
/// The settings cannot be used, or the listener broke. What the API server or git says is no reason to end.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell spawns, and waits for what it spawned"
)]
pub async fn run(settings: ControllerSettings, stop: CancellationToken) -> Result<(), Error> {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, settings.per_application);
    let ready = Ready::default();
    let (told, mut pushes) = mpsc::channel(PUSHES);
    let webhooks = webhooks(&settings, told);
    let listener = settings.listen.map(|address| {
        tokio::spawn(server::serve(
            address,
            Arc::new(registry),
            ready.clone(),
            webhooks,
            stop.clone(),
        ))
    });

    let cluster = Cluster::connect(connection(&settings)).await?;
    let wait = cluster.wait_ready(Duration::from_secs(300));
    tokio::select! {
        answered = wait => answered?,
        () = stop.cancelled() => return Ok(()),
    }
    let mut source = settings.source.clone();
    source.egress.api_server_addresses = cluster.api_server_addresses().await?;
    let mirrors = Mirrors::open(source)?;
    let lease = LeaseSettings::new(&settings.namespace, "plimsoll", &settings.identity);
    let lease = Lease::new(&cluster, lease);
    let (mut share, desk) = (lease.share(), lease.desk());
    // The lease outlives the work: what is under way at a stop still comes to an object boundary under it.
    let release = CancellationToken::new();
    let lease_task = tokio::spawn(lease.run(release.clone()));
    ready.set(true);

    // Whether nothing is under way any more that was begun under the lease.
    let mut has_ended = true;
    while let Some(Share {
        membership, fence, ..
    }) = until_ours(&mut share, &stop).await
    {
        let ours = Ours::new(share.clone(), membership, desk.clone());
        tracing::info!(identity = settings.identity, "the lease is ours");
        let keeper = cluster.keeper(&settings.namespace, fence.clone());
        let cluster_uid = uid_of(&keeper).await;
        let upstream = upstream(&settings, &mirrors, &keeper);
        let archive = Archive::new(settings.archive.clone(), upstream, clock::now);
        let round = stop.child_token();
        let (hints, incoming) = mpsc::channel(HINTS);
        let context = Arc::new(Context {
            watches: Watches::new(&cluster, hints),
            keeper: keeper.clone(),
            archive: archive.clone(),
            cluster_uid: cluster_uid.clone(),
            cluster: cluster.clone(),
            mirrors: mirrors.clone(),
            fence: fence.clone(),
            metrics: metrics.clone(),
            clock: clock::now,
            identity: settings.identity.clone(),
            namespace: settings.namespace.clone(),
            default_account: settings.default_account.clone(),
            voice: Voice::default(),
            lists: Lists::default(),
            render: rendering(),
            remote_hosts: settings.remote_hosts.clone(),
        });
        let lost = ours.clone().lost();
        // The archive goes on until the last record of this round is offered.
        let archiving = CancellationToken::new();
        let news = work::News {
            hints: incoming,
            pushes: &mut pushes,
            ours: ours.clone(),
        };
        let working = async {
            let ended = work::work(context, news, settings.workers, round.clone()).await;
            archiving.cancel();
            ended
        };
        let keeping = house::keep_house(
            &archive,
            &keeper,
            &cluster_uid,
            ours.clone(),
            archiving.clone(),
        );
        let telling = house::tell_standing(&archive, &metrics, ours, archiving.clone());
        let working = async { tokio::join!(working, keeping, telling) };
        tokio::pin!(working);
        has_ended = tokio::select! {
            (ended, (), ()) = &mut working => ended,
            () = lost => {
                tracing::warn!("the lease is lost; everything stops at the next object");
                round.cancel();
                working.await.0
            }
        };
    }
    end_lease(lease_task, &release, has_ended).await;
    mirrors.close().await;
    match listener {
        Some(listener) => end_of(listener).await,
        None => Ok(()),
    }
}

/// Returns how the API server is reached: by our identity the audit log tells replicas apart.
fn connection(settings: &ControllerSettings) -> ConnectSettings {
    let mut connect = settings.connect.clone();
    connect.agent = format!("{} ({})", connect.agent, settings.identity);
    connect
}

/// Ends our share: the others take it over at once, but where something of it may still be under way.
async fn end_lease(lease: JoinHandle<()>, release: &CancellationToken, has_ended: bool) {
    if !has_ended {
        // What was cut may still be on its way to the API server: nobody takes over before the lease runs out.
        lease.abort();
        return;
    }
    release.cancel();
    if tokio::time::timeout(PATIENCE, lease).await.is_err() {
        tracing::warn!("the lease was not released in time; it runs out by itself");
    }
}

/// Returns what reaches the repository of records, if it is on a server.
fn upstream(
    settings: &ControllerSettings,
    mirrors: &Mirrors,
    keeper: &Keeper,
) -> Option<Arc<dyn Upstream>> {
    let url = settings.archive.remote()?.clone();
    Some(Arc::new(AuditBranch {
        mirrors: mirrors.clone(),
        keeper: keeper.clone(),
        url,
        secret: settings.archive_secret.clone(),
        copy: settings.source.cache.join("history.git"),
    }))
}

/// Waits for the end of the listener.
async fn end_of(listener: JoinHandle<Result<(), server::Error>>) -> Result<(), Error> {
    match listener.await {
        Ok(served) => served.map_err(|error| Error::Serve(Box::new(error))),
        Err(source) => Err(Error::Task {
            what: "the listener",
            source,
        }),
    }
}

fn webhooks(
    settings: &ControllerSettings,
    pushes: mpsc::Sender<RepositoryName>,
) -> Option<Webhooks> {
    let secret = settings.webhook_secret.clone()?;
    Some(Webhooks { secret, pushes })
}

/// Waits until something is ours; None where we are told to stop before.
async fn until_ours(
    share: &mut watch::Receiver<Option<Share>>,
    stop: &CancellationToken,
) -> Option<Share> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        // A closed channel means that the lease task ended.
        share = share.wait_for(Option::is_some) => share.ok()?.clone(),
    }
}

/// Returns how sets are rendered: with one memory of parsed files for all Applications.
fn rendering() -> kustomize::Options {
    kustomize::Options {
        parsed: Some(Arc::new(kustomize::ParsedFiles::new(PARSED))),
        ..kustomize::Options::default()
    }
}

/// Returns the UID of the cluster; records go without it where it cannot be read.
async fn uid_of(keeper: &Keeper) -> String {
    keeper.cluster_uid().await.unwrap_or_else(|error| {
        tracing::warn!(error = %text::chain(&error), "could not read the UID of the cluster; records go without it");
        String::new()
    })
}
