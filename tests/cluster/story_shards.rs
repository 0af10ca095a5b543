//! Replicas share the Applications: each is worked on by one at a time, whoever comes and goes.
//!
//! Enters: a cluster of its own, three replicas, thirty Applications.
//! Leaves: what moves when one comes, is killed or stops, and how long that takes, printed; the audit log of all of it.
//! Never: a request about an Application while another replica works on it; a write that only a move caused.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use plimsoll::model::{ApplicationKey, SLOTS, Slot, Slots};
use serde_json::{Value, json};

use crate::{
    story_support::{CONTROLLER, Controller, Place, SOON, Stage, config},
    support::{AuditEntry, devcluster_of_its_own, eventually},
};

const APPLICATIONS: usize = 30;
const SECRET: &str = "a secret of webhooks";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/plimsoll-system/leases/plimsoll";

fn name(number: usize) -> String {
    format!("shop-{number:02}")
}

fn start(stage: &Stage, secret: &Path, identity: &str) -> Controller {
    let secret = secret.display().to_string();
    Controller::start(
        &stage.kubeconfig,
        &["--identity", identity, "--webhook-secret-file", &secret],
    )
}

/// Returns the slots of each replica, as the Lease has them.
async fn table(place: &Place) -> BTreeMap<String, Slots> {
    let lease = place.admin.get(LEASE).await.unwrap_or(Value::Null);
    let text = lease["metadata"]["annotations"]["plimsoll.dev/shares"]
        .as_str()
        .unwrap_or("{}");
    let table: Value = serde_json::from_str(text).unwrap();
    let members = table["members"].as_object().cloned().unwrap_or_default();
    members
        .into_iter()
        .map(|(name, member)| (name, member["slots"].as_str().unwrap().parse().unwrap()))
        .collect()
}

/// Waits until exactly these share everything evenly; returns who has what.
async fn until_shared(place: &Place, replicas: &[&str]) -> BTreeMap<String, Slots> {
    let wanted: BTreeSet<&str> = replicas.iter().copied().collect();
    eventually(SOON, &format!("{wanted:?} share evenly"), || async {
        let table = table(place).await;
        let names: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        let counts: Vec<usize> = table.values().map(Slots::len).collect();
        let even = SLOTS / wanted.len()..=SLOTS.div_ceil(wanted.len());
        let is_even = counts.iter().all(|count| even.contains(count));
        (names == wanted && is_even && counts.iter().sum::<usize>() == SLOTS).then_some(table)
    })
    .await
}

/// Returns who holds an Application.
fn holder(table: &BTreeMap<String, Slots>, place: &Place, number: usize) -> String {
    let key = ApplicationKey {
        namespace: place.namespace.clone(),
        name: name(number),
    };
    let slot = Slot::of(&key);
    let (name, _) = table
        .iter()
        .find(|(_, slots)| slots.contains(slot))
        .unwrap();
    name.clone()
}

fn holders(table: &BTreeMap<String, Slots>, place: &Place) -> Vec<String> {
    (0..APPLICATIONS)
        .map(|number| holder(table, place, number))
        .collect()
}

/// Deletes the object of an Application and waits until it is given back: somebody works on it.
async fn is_worked_on(place: &Place, number: usize) {
    let path = place.config_path(&name(number));
    let gone = place.admin.get(&path).await.unwrap()["metadata"]["uid"].clone();
    place.admin.delete(&path).await;
    place
        .until_object(&path, "it is given back", |live| {
            live["metadata"]["uid"].is_string() && live["metadata"]["uid"] != gone
        })
        .await;
}

/// Tells one replica of a push, as GitLab does.
async fn tell_push(controller: &Controller, url: &str) {
    let body = json!({"project": {"git_http_url": url}}).to_string();
    let header = [("x-gitlab-token", SECRET)];
    let (code, text) = controller.post("/webhook/gitlab", &header, &body).await;
    assert_eq!(code, 202, "{text}");
}

/// Requests about one Application, in order of their coming, of replicas.
fn by_application(place: &Place, uids: &[String], all: &[AuditEntry]) -> Vec<Vec<AuditEntry>> {
    let mut found = vec![Vec::new(); APPLICATIONS];
    for entry in all {
        if entry.user != CONTROLLER || matches!(entry.verb.as_str(), "watch" | "list") {
            continue;
        }
        // Whoever has the first slot reads the records of all, for their sinks.
        if entry.resource == "syncrecords" && !entry.is_write() {
            continue;
        }
        let is_of = |number: usize| match entry.resource.as_str() {
            "secrets" => entry.name.starts_with(&uids[number]),
            _ => entry.namespace == place.namespace && entry.name.starts_with(&name(number)),
        };
        if let Some(number) = (0..APPLICATIONS).find(|number| is_of(*number)) {
            found[number].push(entry.clone());
        }
    }
    for entries in &mut found {
        entries.sort_by(|a, b| a.received.cmp(&b.received));
    }
    found
}

fn replica(entry: &AuditEntry) -> &str {
    let (_, identity) = entry.agent.split_once('(').unwrap();
    identity.trim_end_matches(')')
}

/// Fails where a request of one replica came before the last of another was answered; returns the first request after
/// each change of hands of each Application.
fn one_at_a_time(requests: &[Vec<AuditEntry>]) -> Vec<Vec<String>> {
    let mut moves = Vec::new();
    for entries in requests {
        assert!(!entries.is_empty());
        let mut changed = Vec::new();
        for (at, pair) in entries.windows(2).enumerate() {
            if replica(&pair[0]) != replica(&pair[1]) {
                changed.push(format!("{}: {}", replica(&pair[1]), pair[1]));
                let open = entries[..=at]
                    .iter()
                    .find(|before| before.answered > pair[1].received);
                assert!(open.is_none(), "{} while {open:?} was under way", pair[1]);
            }
        }
        moves.push(changed);
    }
    moves
}

/// Waits until every replica works by what the Lease says, and asks nothing more.
async fn until_calm(place: &Place, controllers: &[&Controller], shared: &BTreeMap<String, Slots>) {
    for controller in controllers {
        eventually(SOON, "the replica works in its share", || async {
            let (_, text) = controller.ask("/metrics").await;
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("plimsoll_slots "))?
                .parse::<usize>()
                .ok()?;
            let waits = text.contains("plimsoll_queue_depth 0");
            (waits && shared.values().any(|slots| slots.len() == count)).then_some(())
        })
        .await;
    }
    eventually(SOON, "nothing is asked for two seconds", || async {
        let mark = place.mark();
        let start = Instant::now();
        eventually(SOON, "two seconds pass", || async {
            (start.elapsed() > Duration::from_secs(2)).then_some(())
        })
        .await;
        place.asked_since(mark).is_empty().then_some(())
    })
    .await;
}

async fn thirty(place: &Place) -> Vec<String> {
    let files: Vec<(String, String)> = (0..APPLICATIONS)
        .map(|number| {
            let path = format!("apps/{}/config.yaml", name(number));
            (path, config(&name(number), "0"))
        })
        .collect();
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, content)| (path.as_str(), Some(content.as_str())))
        .collect();
    let commit = place.repository.commit(&files);
    for number in 0..APPLICATIONS {
        let path = format!("apps/{}", name(number));
        place
            .application(&name(number), json!({"source": {"path": path}}))
            .await;
    }
    let mut uids = Vec::new();
    for number in 0..APPLICATIONS {
        let seen = place.until_good(&name(number), &commit).await;
        uids.push(seen.text("/metadata/uid").to_owned());
    }
    uids
}

/// A push that one replica hears of reaches the Applications of all.
async fn a_push_reaches_all(place: &Place, controller: &Controller) {
    let files: Vec<(String, String)> = (0..APPLICATIONS)
        .map(|number| {
            let path = format!("apps/{}/config.yaml", name(number));
            (path, config(&name(number), "1"))
        })
        .collect();
    let files: Vec<(&str, Option<&str>)> = files
        .iter()
        .map(|(path, content)| (path.as_str(), Some(content.as_str())))
        .collect();
    let commit = place.repository.commit(&files);
    let pushed = Instant::now();
    tell_push(controller, &place.repository.url()).await;
    for number in 0..APPLICATIONS {
        place
            .until(&name(number), "the push arrives", |seen| {
                seen.applied().contains(&commit)
            })
            .await;
    }
    println!(
        "a push told to one replica: all {APPLICATIONS} after {:.2?}",
        pushed.elapsed()
    );
    for number in 0..APPLICATIONS {
        place.until_good(&name(number), &commit).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_applications_and_none_is_worked_on_by_two() {
    let own = devcluster_of_its_own("shards");
    let stage = Stage::set(own.cluster()).await;
    let secret = stage.kubeconfig.with_file_name("webhook-secret");
    std::fs::write(&secret, SECRET).unwrap();
    let place = Place::on(&stage, "shards").await;
    let mark = place.mark();
    let a = start(&stage, &secret, "replica-a");
    let b = start(&stage, &secret, "replica-b");
    let c = start(&stage, &secret, "replica-c");
    let three = until_shared(&place, &["replica-a", "replica-b", "replica-c"]).await;
    let uids = thirty(&place).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for holder in holders(&three, &place) {
        *counts.entry(holder).or_default() += 1;
    }
    println!("Applications of each: {counts:?}");
    assert_eq!(counts.len(), 3);
    a_push_reaches_all(&place, &b).await;
    until_calm(&place, &[&a, &b, &c], &three).await;

    // A fourth comes: a quarter moves, and nothing is written for it.
    let before = place.mark();
    let came = Instant::now();
    let d = start(&stage, &secret, "replica-d");
    let all = ["replica-a", "replica-b", "replica-c", "replica-d"];
    let four = until_shared(&place, &all).await;
    println!("a fourth has its share after {:.2?}", came.elapsed());
    for (name, slots) in &three {
        assert!(four[name].without(*slots).is_empty(), "{name} got more");
    }
    let moved = (0..APPLICATIONS)
        .filter(|number| holder(&three, &place, *number) != holder(&four, &place, *number))
        .count();
    println!(
        "moved: {} of {SLOTS} slots, {moved} of {APPLICATIONS} Applications",
        four["replica-d"].len()
    );
    assert_eq!(four["replica-d"].len(), SLOTS / 4);
    until_calm(&place, &[&a, &b, &c, &d], &four).await;
    let asked = place.asked_since(before);
    let writes: Vec<String> = asked
        .iter()
        .filter(|entry| entry.is_write())
        .map(ToString::to_string)
        .collect();
    assert_eq!(writes, Vec::<String>::new());
    println!(
        "requests for {moved} Applications that moved: {}",
        asked.len()
    );
    let news = (0..APPLICATIONS)
        .find(|number| holder(&four, &place, *number) == "replica-d")
        .unwrap();
    is_worked_on(&place, news).await;

    // One is killed.
    let victims: Vec<usize> = (0..APPLICATIONS)
        .filter(|number| holder(&four, &place, *number) == "replica-c")
        .collect();
    let killed = Instant::now();
    c.kill();
    let rest = eventually(SOON, "its part is taken over", || async {
        let table = table(&place).await;
        (!table.contains_key("replica-c")).then_some(table)
    })
    .await;
    println!(
        "the part of one that was killed is taken over after {:.2?}",
        killed.elapsed()
    );
    for (name, slots) in &rest {
        assert!(four[name].without(*slots).is_empty(), "{name} lost a slot");
    }
    for number in &victims {
        is_worked_on(&place, *number).await;
    }
    println!(
        "all {} of its Applications are worked on after {:.2?}",
        victims.len(),
        killed.elapsed()
    );

    // One stops as it should.
    let stopped = Instant::now();
    b.terminate();
    let status = eventually(SOON, "it ends by itself", || async { b.ended() }).await;
    assert!(status.success(), "{status}");
    let two = until_shared(&place, &["replica-a", "replica-d"]).await;
    println!(
        "the part of one that stopped is taken over after {:.2?}",
        stopped.elapsed()
    );
    until_calm(&place, &[&a, &d], &two).await;
    for number in 0..APPLICATIONS {
        is_worked_on(&place, number).await;
    }
    until_calm(&place, &[&a, &d], &two).await;

    let all = stage.cluster.audit_since(mark);
    let moves = one_at_a_time(&by_application(&place, &uids, &all));
    let counts: Vec<usize> = moves.iter().map(Vec::len).collect();
    println!("each Application changed hands so often: {counts:?}");
    // One came, one was killed, one stopped.
    let most = moves.iter().max_by_key(|moves| moves.len()).unwrap();
    assert!(most.len() <= 3, "{most:#?}");
    for number in 0..APPLICATIONS {
        // Every chain is whole.
        assert!(!place.records(&name(number)).await.is_empty());
    }
}
