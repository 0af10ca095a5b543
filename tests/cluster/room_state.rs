//! Stored sets and claims on a real API server.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;

use plimsoll::{
    api::STATE_SECRET_TYPE,
    cluster::{Claim, Error, Keeper},
    model::{AttemptKind, Carried, Digest, Head, Location, Object, ObjectId, StoredSet, Yielded},
};
use serde_json::{Value, json};

use crate::support::{Admin, connect, open_fence};

async fn keeper(prefix: &str) -> (Admin, String, Keeper) {
    let admin = Admin::new().await;
    let namespace = admin.namespace(prefix).await;
    let keeper = connect().await.keeper(&namespace, open_fence());
    (admin, namespace, keeper)
}

fn set(count: usize) -> StoredSet {
    let objects = (0..count)
        .map(|index| {
            // Hashes, so that little of it compresses.
            let value = Digest::of(index.to_string().as_bytes());
            let object = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": format!("settings-{index}"), "namespace": "shop"},
                "data": {"key": value.hex(), "other": value.hex().to_uppercase()},
            });
            Object::new(object, Some(Location::line("base/settings.yaml", 7))).unwrap()
        })
        .collect();
    StoredSet {
        digest: Digest::of(count.to_string().as_bytes()),
        objects,
    }
}

fn head(uid: &str, attempt: u64, holder: &str, set: &StoredSet) -> Head {
    Head {
        application_uid: uid.to_owned(),
        attempt,
        kind: AttemptKind::Sync,
        digest: set.digest.clone(),
        revision: format!("main@sha1:{}", "a".repeat(40)).parse().unwrap(),
        set_attempt: attempt,
        holder: holder.to_owned(),
        began: jiff::Timestamp::UNIX_EPOCH,
        asked: None,
        creates: set
            .objects
            .iter()
            .map(|object| object.id().clone())
            .collect(),
        forces: Vec::new(),
        deletes: Vec::new(),
        carried: vec![Carried {
            id: ObjectId::new("apps", "Deployment", "shop", "web"),
            api_version: "apps/v1".to_owned(),
            protected: true,
        }],
        carried_from: vec![1],
        yields: vec![Yielded {
            id: ObjectId::new("", "ConfigMap", "shop", "settings"),
            paths: vec![".data.key".to_owned()],
        }],
        recreates: Vec::new(),
    }
}

const UID: &str = "6dff501c-32de-4994-bb1e-adbde4eb5ca2";

async fn secrets(admin: &Admin, namespace: &str) -> Vec<Value> {
    let list = admin
        .get(&format!("/api/v1/namespaces/{namespace}/secrets"))
        .await
        .unwrap();
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_small_set_takes_one_request_and_comes_back() {
    let (admin, namespace, keeper) = keeper("state-small").await;
    let set = set(4);
    let head = head(UID, 1, "me", &set);
    assert_eq!(
        keeper.store_head(&head, Some(&set)).await.unwrap(),
        Claim::Ours
    );
    let stored = secrets(&admin, &namespace).await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["type"], STATE_SECRET_TYPE);
    assert_eq!(stored[0]["immutable"], true);
    assert_eq!(stored[0]["metadata"]["name"], format!("{UID}-1"));
    assert_eq!(keeper.load_head(UID, 1).await.unwrap(), Some(head));
    let found = keeper.load_set(UID, 1, &set.digest).await.unwrap();
    assert_eq!(found.objects, set.objects);
    assert_eq!(found.objects[0].location(), set.objects[0].location());
    assert_eq!(keeper.load_head(UID, 2).await.unwrap(), None);
}

#[tokio::test]
async fn ten_thousand_objects_come_back() {
    let (admin, namespace, keeper) = keeper("state-large").await;
    let set = set(10_000);
    let head = head(UID, 7, "me", &set);
    assert_eq!(
        keeper.store_head(&head, Some(&set)).await.unwrap(),
        Claim::Ours
    );
    let stored = secrets(&admin, &namespace).await;
    assert!(stored.len() > 2, "{}", stored.len());
    assert_eq!(keeper.load_head(UID, 7).await.unwrap(), Some(head.clone()));
    let found = keeper.load_set(UID, 7, &set.digest).await.unwrap();
    assert_eq!(found.objects, set.objects);

    let error = keeper
        .load_set(UID, 7, &Digest::of(b"other"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    admin
        .delete(&format!("/api/v1/namespaces/{namespace}/secrets/{UID}-7-1"))
        .await;
    let error = keeper.load_set(UID, 7, &set.digest).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    // Kept apart: the next attempt uses the set of an older one and stores none.
    let next = Head { attempt: 8, ..head };
    assert_eq!(keeper.store_head(&next, None).await.unwrap(), Claim::Ours);
    let error = keeper.load_set(UID, 8, &set.digest).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn only_one_of_two_controllers_begins_an_attempt() {
    let (_, _, keeper) = keeper("state-claim").await;
    let set = set(4);
    for attempt in 1..=10 {
        let mine = head(UID, attempt, "me", &set);
        let theirs = head(UID, attempt, "them", &set);
        let (first, second) = tokio::join!(
            keeper.store_head(&mine, Some(&set)),
            keeper.store_head(&theirs, Some(&set)),
        );
        let claims = [first.unwrap(), second.unwrap()];
        let won = claims.iter().filter(|claim| **claim == Claim::Ours).count();
        assert_eq!(won, 1, "{claims:?}");
        let holder = if claims[0] == Claim::Ours {
            "me"
        } else {
            "them"
        };
        assert!(claims.contains(&Claim::Other {
            holder: holder.to_owned()
        }));
        // The answer was lost: asked again, it is still ours.
        let ours = head(UID, attempt, holder, &set);
        assert_eq!(
            keeper.store_head(&ours, Some(&set)).await.unwrap(),
            Claim::AlreadyOurs(Box::new(ours))
        );
    }
}

#[tokio::test]
async fn only_one_of_two_controllers_begins_a_large_attempt() {
    let (_, _, keeper) = keeper("state-race").await;
    let large = set(6_000);
    let other = set(6_001);
    let mine = head(UID, 1, "me", &large);
    let theirs = head(UID, 1, "them", &other);
    let (first, second) = tokio::join!(
        keeper.store_head(&mine, Some(&large)),
        keeper.store_head(&theirs, Some(&other)),
    );
    let claims = [first.unwrap(), second.unwrap()];
    let (won, lost, set) = if claims[0] == Claim::Ours {
        ("me", &claims[1], &large)
    } else {
        assert_eq!(claims[1], Claim::Ours);
        ("them", &claims[0], &other)
    };
    assert_eq!(
        lost,
        &Claim::Other {
            holder: won.to_owned()
        }
    );
    // The loser left the winner's set alone.
    let found = keeper.load_set(UID, 1, &set.digest).await.unwrap();
    assert_eq!(found.objects, set.objects);
}

#[tokio::test]
async fn chunks_of_a_try_that_began_nothing_are_replaced() {
    let (admin, namespace, keeper) = keeper("state-left").await;
    let old = set(6_000);
    keeper
        .store_head(&head(UID, 1, "me", &old), Some(&old))
        .await
        .unwrap();
    // As if the process had ended between the chunks and the head.
    admin
        .delete(&format!("/api/v1/namespaces/{namespace}/secrets/{UID}-1"))
        .await;
    let newer = keeper.newer_heads(UID, 0).await.unwrap();
    assert_eq!(newer.unbegun, BTreeSet::from([1]));
    assert!(newer.heads.is_empty());

    let new = set(6_001);
    let claim = keeper
        .store_head(&head(UID, 1, "me", &new), Some(&new))
        .await;
    assert_eq!(claim.unwrap(), Claim::Ours);
    let found = keeper.load_set(UID, 1, &new.digest).await.unwrap();
    assert_eq!(found.objects, new.objects);
}

#[tokio::test]
async fn a_sweep_keeps_what_it_is_told_and_what_is_newer() {
    let (admin, namespace, keeper) = keeper("state-sweep").await;
    let small = set(4);
    let large = set(6_000);
    for attempt in 1..=5 {
        let set = if attempt == 2 { &large } else { &small };
        keeper
            .store_head(&head(UID, attempt, "me", set), Some(set))
            .await
            .unwrap();
    }
    let other = "00000000-0000-0000-0000-000000000001";
    keeper
        .store_head(&head(other, 1, "me", &small), Some(&small))
        .await
        .unwrap();
    // Not ours, whatever it is called.
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign", "labels": {"plimsoll.dev/uid": UID, "plimsoll.dev/attempt": "1", "plimsoll.dev/part": "head"}}});
    admin
        .create(&format!("/api/v1/namespaces/{namespace}/secrets"), &foreign)
        .await;

    let newer = keeper.newer_heads(UID, 3).await.unwrap();
    assert_eq!(newer.heads, BTreeSet::from([4, 5]));
    let swept = keeper.sweep(UID, &BTreeSet::from([3]), 4).await.unwrap();
    assert!(swept > 3, "{swept}");
    let kept = keeper.kept(None).await.unwrap();
    assert_eq!(kept[UID].heads, BTreeSet::from([3, 5]));
    assert!(kept[UID].chunks.is_empty());
    assert_eq!(kept[other].heads, BTreeSet::from([1]));

    keeper.sweep_orphan(other).await.unwrap();
    assert!(!keeper.kept(None).await.unwrap().contains_key(other));
    let names: Vec<Value> = secrets(&admin, &namespace)
        .await
        .iter()
        .map(|secret| secret["metadata"]["name"].clone())
        .collect();
    assert!(names.contains(&json!("foreign")), "{names:?}");
}

#[tokio::test]
async fn unbegun_chunks_are_discarded_and_begun_ones_stay() {
    let (admin, namespace, keeper) = keeper("state-unbegun").await;
    let large = set(6_000);
    for attempt in [1, 2] {
        keeper
            .store_head(&head(UID, attempt, "me", &large), Some(&large))
            .await
            .unwrap();
    }
    admin
        .delete(&format!("/api/v1/namespaces/{namespace}/secrets/{UID}-2"))
        .await;
    let discarded = keeper
        .discard_unbegun(UID, &BTreeSet::from([1, 2]))
        .await
        .unwrap();
    assert!(discarded > 0);
    let kept = keeper.kept(Some(UID)).await.unwrap();
    assert_eq!(kept[UID].heads, BTreeSet::from([1]));
    assert_eq!(kept[UID].chunks, BTreeSet::from([1]));
}
