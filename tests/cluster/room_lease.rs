//! Who works in which slots: leases on a real API server.

use std::time::{Duration, Instant};

use plimsoll::{
    cluster::{Desk, Lease, LeaseSettings, Share, Task},
    model::{RepositoryName, SLOTS, Slots},
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{Admin, audit_mark, audit_since, beside, connect, eventually};

const SOON: Duration = Duration::from_secs(20);

/// A replica whose work ends whenever it is told to.
struct Replica {
    share: watch::Receiver<Option<Share>>,
    desk: Desk,
    stop: CancellationToken,
    running: JoinHandle<()>,
    working: JoinHandle<()>,
}

async fn lease(namespace: &str, holder: &str) -> Lease {
    let settings = LeaseSettings {
        duration: Duration::from_secs(3),
        renew: Duration::from_millis(500),
        ..LeaseSettings::new(namespace, "plimsoll", holder)
    };
    Lease::new(&connect().await, settings)
}

impl Replica {
    async fn start(namespace: &str, holder: &str) -> Self {
        let lease = lease(namespace, holder).await;
        let (share, desk) = (lease.share(), lease.desk());
        let mut changes = lease.share();
        let ends = desk.clone();
        let working = beside(async move {
            loop {
                let version = changes
                    .borrow_and_update()
                    .as_ref()
                    .map(|share| share.version);
                for task in [Task::Work, Task::House] {
                    ends.has_ended(task, version.unwrap_or_default());
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        let stop = CancellationToken::new();
        Self {
            share,
            desk,
            running: beside(lease.run(stop.clone())),
            stop,
            working,
        }
    }

    fn slots(&self) -> Slots {
        let share = self.share.borrow();
        share.as_ref().map_or(Slots::NONE, |share| share.slots)
    }

    /// Waits until it works in so many slots, and may write.
    async fn until(&self, count: usize) -> Share {
        self.until_told(|share| share.slots.len() == count && is_open(share))
            .await
    }

    /// Waits until its share is so; what it returns holds up nobody who tells the next.
    async fn until_told(&self, is: impl Fn(&Share) -> bool) -> Share {
        let mut share = self.share.clone();
        let wait = share.wait_for(|share| share.as_ref().is_some_and(&is));
        let told = tokio::time::timeout(SOON, wait).await.unwrap().unwrap();
        told.clone().unwrap()
    }
}

fn is_open(share: &Share) -> bool {
    share.fence.holds_for(Duration::from_millis(1))
}

fn path(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/plimsoll")
}

#[tokio::test]
async fn one_alone_has_everything_and_asks_nothing_but_its_lease() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-alone").await;
    let replica = Replica::start(&namespace, "only").await;
    replica.until(SLOTS).await;
    let mark = audit_mark();
    let renewed = async || admin.get(&path(&namespace)).await.unwrap()["spec"]["renewTime"].clone();
    for _ in 0..3 {
        let before = renewed().await;
        eventually(SOON, "the lease is renewed", || async {
            (renewed().await != before).then_some(())
        })
        .await;
    }
    let asked: Vec<String> = audit_since(mark)
        .iter()
        .filter(|entry| entry.namespace == namespace && entry.agent.contains("plimsoll"))
        .map(|entry| format!("{} {}", entry.verb, entry.resource))
        .collect();
    assert!(asked.len() >= 2, "{asked:?}");
    assert!(
        asked.iter().all(|asked| asked == "update leases"),
        "{asked:?}"
    );
    replica.stop.cancel();
    replica.running.await.unwrap();
    let lease = admin.get(&path(&namespace)).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
}

#[tokio::test]
async fn two_share_evenly_and_one_that_stops_gives_all_at_once() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-share").await;
    let first = Replica::start(&namespace, "first").await;
    first.until(SLOTS).await;
    let second = Replica::start(&namespace, "second").await;
    let (half, other) = tokio::join!(first.until(SLOTS / 2), second.until(SLOTS / 2));
    assert!(half.slots.common(other.slots).is_empty());
    assert_eq!((half.members, other.members), (2, 2));

    // What one hears all hear.
    let repository = RepositoryName::parse("https://git.example.org/team/shop").unwrap();
    first.desk.announce(&repository);
    second
        .until_told(|share| share.pushes.iter().any(|push| push.by == "first"))
        .await;
    // And why nothing may be changed, from who keeps the records.
    first.desk.halt(Some("the disk is full".to_owned()));
    second
        .until_told(|share| share.halt.as_deref() == Some("the disk is full"))
        .await;

    let start = Instant::now();
    first.stop.cancel();
    first.running.await.unwrap();
    assert!(!is_open(&half));
    second.until(SLOTS).await;
    // Without the release it would take 3 s from the last renewal.
    println!("taken over after {:?}", start.elapsed());
    let lease = admin.get(&path(&namespace)).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "second");
    second.stop.cancel();
    second.running.await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_gone_is_followed_when_its_lease_is_over() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-expiry").await;
    let first = Replica::start(&namespace, "first").await;
    first.until(SLOTS).await;
    let second = Replica::start(&namespace, "second").await;
    let (before, _) = tokio::join!(first.until(SLOTS / 2), second.until(SLOTS / 2));
    // As a kill -9 would: no release.
    let start = Instant::now();
    first.running.abort();
    second.until(SLOTS).await;
    println!("taken over after {:?}", start.elapsed());
    assert!(!is_open(&before), "both fences were open at once");
    second.stop.cancel();
    second.running.await.unwrap();
}

#[tokio::test]
async fn many_at_once_share_evenly() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-race").await;
    let mut replicas = Vec::new();
    for holder in ["a", "b", "c", "d", "e"] {
        replicas.push(Replica::start(&namespace, holder).await);
    }
    eventually(SOON, "they share evenly", || async {
        let mut counts: Vec<usize> = replicas.iter().map(|one| one.slots().len()).collect();
        counts.sort_unstable();
        (counts == [51, 51, 51, 51, 52]).then_some(())
    })
    .await;
    let mut all = Slots::NONE;
    for replica in &replicas {
        assert!(all.common(replica.slots()).is_empty());
        all = all.and(replica.slots());
    }
    for replica in replicas {
        replica.stop.cancel();
        replica.running.await.unwrap();
        replica.working.await.unwrap();
    }
    let lease = admin.get(&path(&namespace)).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
}

/// A release that knows of one holder only is respected while it renews, and followed when it does not.
#[tokio::test]
async fn an_older_release_is_respected() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-older").await;
    let held = |transitions: u32| -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "plimsoll", "namespace": namespace},
            "spec": {"holderIdentity": "older", "leaseDurationSeconds": 3, "leaseTransitions": transitions},
        })
    };
    admin.apply(&path(&namespace), &held(0)).await;
    let replica = Replica::start(&namespace, "newer").await;
    let start = Instant::now();
    for renewal in 1..5 {
        eventually(SOON, "a second passes", || async {
            (start.elapsed() > Duration::from_secs(renewal.into())).then_some(())
        })
        .await;
        admin.apply(&path(&namespace), &held(renewal)).await;
        assert_eq!(replica.slots(), Slots::NONE);
    }
    replica.until(SLOTS).await;
    let lease = admin.get(&path(&namespace)).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "newer");
    replica.stop.cancel();
    replica.running.await.unwrap();
}
