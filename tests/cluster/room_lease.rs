//! Who acts: leases on a real API server.

use std::time::{Duration, Instant};

use plimsoll::cluster::{Lease, LeaseSettings};
use tokio_util::sync::CancellationToken;

use crate::support::{Admin, beside, connect, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn lease(namespace: &str, holder: &str) -> Lease {
    let settings = LeaseSettings {
        duration: Duration::from_secs(3),
        renew: Duration::from_millis(500),
        ..LeaseSettings::new(namespace, "shard-0", holder)
    };
    Lease::new(&connect().await, settings)
}

#[tokio::test]
async fn a_lease_that_is_released_is_taken_at_once() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-release").await;
    let first = lease(&namespace, "first").await;
    let second = lease(&namespace, "second").await;
    let (stop_first, stop_second) = (CancellationToken::new(), CancellationToken::new());
    let (mut held_first, mut held_second) = (first.held(), second.held());
    let (fence_first, fence_second) = (first.fence(), second.fence());
    assert!(!fence_first.holds_for(Duration::from_millis(1)));

    let first = beside(first.run(stop_first.clone()));
    held_first.wait_for(|held| *held).await.unwrap();
    assert!(fence_first.holds_for(Duration::from_secs(2)));
    let second = beside(second.run(stop_second.clone()));
    // Renewed while the other waits.
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/shard-0");
    let renewed = async || admin.get(&path).await.unwrap()["spec"]["renewTime"].clone();
    let before = renewed().await;
    eventually(SOON, "the lease is renewed", || async {
        (renewed().await != before).then_some(())
    })
    .await;
    assert!(!*held_second.borrow());
    assert!(!fence_second.holds_for(Duration::from_millis(1)));

    let start = Instant::now();
    stop_first.cancel();
    first.await.unwrap();
    assert!(!fence_first.holds_for(Duration::from_millis(1)));
    held_second.wait_for(|held| *held).await.unwrap();
    // Looked at every 2 s; without the release it would take 3 s from the last renewal.
    assert!(
        start.elapsed() < Duration::from_millis(2_900),
        "{:?}",
        start.elapsed()
    );
    let lease = admin.get(&path).await.unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "second");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    stop_second.cancel();
    second.await.unwrap();
}

#[tokio::test]
async fn a_holder_that_is_gone_is_followed_when_its_lease_is_over() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-expiry").await;
    let first = lease(&namespace, "first").await;
    let fence_first = first.fence();
    let mut held_first = first.held();
    let running = beside(first.run(CancellationToken::new()));
    held_first.wait_for(|held| *held).await.unwrap();
    // As a kill -9 would: no release.
    running.abort();
    let second = lease(&namespace, "second").await;
    let mut held_second = second.held();
    let stop = CancellationToken::new();
    let running = beside(second.run(stop.clone()));
    held_second.wait_for(|held| *held).await.unwrap();
    assert!(
        !fence_first.holds_for(Duration::from_millis(1)),
        "both fences were open at once"
    );
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn only_one_of_many_wins() {
    let admin = Admin::new().await;
    let namespace = admin.namespace("lease-race").await;
    let mut candidates = Vec::new();
    for holder in ["a", "b", "c", "d", "e"] {
        candidates.push(lease(&namespace, holder).await);
    }
    let rounds = candidates.iter_mut().map(Lease::round);
    futures::future::join_all(rounds).await;
    let held = candidates
        .iter()
        .filter(|lease| *lease.held().borrow())
        .count();
    assert_eq!(held, 1);
}
