//! Random commits, faults, hands and kills against a model of what must be there.
//!
//! Enters: a seed, which is printed; `PLIMSOLL_SOAK_SECONDS` and `PLIMSOLL_SEED` for a longer or an earlier run.
//! Leaves: after each round the cluster as the model says, and the laws kept, as the audit log tells.
//! Never: a fault that stays: each round ends healed, and must then come to its end.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use crate::{
    proxy::{Asked, Fate},
    story_points::{Bench, marked, one_record_each},
    story_support::{Place, SOON, config},
    support::eventually,
};

/// Time of a run that nobody asked to be longer.
const SHORT: Duration = Duration::from_secs(40);

/// Returns a number that the environment sets.
#[expect(clippy::disallowed_methods, reason = "a test is a shell of its own")]
pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

type Fits = fn(&Asked) -> bool;

fn fault(random: &mut fastrand::Rng) -> (usize, Fits, Fate) {
    let fits: [Fits; 6] = [
        |asked| asked.writes,
        |asked| asked.is_dry_run(),
        |asked| asked.path.ends_with("/status"),
        |asked| asked.path.contains("/syncrecords"),
        |asked| asked.path.contains("/secrets"),
        |asked| asked.method == Method::GET && !asked.query.contains("watch="),
    ];
    let fate = match random.usize(..7) {
        0 => Fate::Drop,
        1 => Fate::Lose,
        2 => Fate::Truncate,
        3 => Fate::Answer(500, Vec::new()),
        4 => Fate::Answer(503, Vec::new()),
        5 => Fate::Answer(409, Vec::new()),
        _ => Fate::Answer(429, vec![("retry-after", "86400")]),
    };
    (
        1 + random.usize(..3),
        fits[random.usize(..fits.len())],
        fate,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn random_commits_faults_hands_and_kills_keep_the_laws() {
    let seed = setting("PLIMSOLL_SEED").unwrap_or_else(|| RandomState::new().hash_one(()) | 1);
    let time = setting("PLIMSOLL_SOAK_SECONDS").map_or(SHORT, Duration::from_secs);
    println!("seed of the model: {seed} (PLIMSOLL_SEED), for {time:?} (PLIMSOLL_SOAK_SECONDS)");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::set("model").await;
    let place = Place::on(&bench.stage, "model").await;
    let mut model: BTreeMap<String, usize> = (0..6).map(|at| (format!("c{at}"), 0)).collect();
    let file = |name: &str| format!("deploy/{name}.yaml");
    let first: Vec<(String, String)> = model
        .iter()
        .map(|(name, value)| (file(name), config(name, &value.to_string())))
        .collect();
    let changes: Vec<(&str, Option<&str>)> = first
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let mut commit = place.repository.commit(&changes);
    place
        .application("shop", json!({"health": {"soak": "300ms"}}))
        .await;
    place.until_good("shop", &commit).await;
    let began = Instant::now();
    let (mut rounds, mut kills, mut broken) = (0, 0, 0);
    while began.elapsed() < time {
        rounds += 1;
        let mark = place.mark();
        let before = model.clone();
        // Commits, one after the other or in a hurry.
        let mut changes: Vec<(String, Option<String>)> = Vec::new();
        for _ in 0..=random.usize(..3) {
            let name = format!("c{}", random.usize(..12));
            // Never most of them at once: that would ask a person.
            if model.contains_key(&name) && model.len() > 5 && random.usize(..3) == 0 {
                model.remove(&name);
                changes.push((file(&name), None));
            } else {
                let value = model.entry(name.clone()).or_default();
                *value += 1;
                changes.push((file(&name), Some(config(&name, &value.to_string()))));
            }
        }
        let (count, fits, fate) = fault(&mut random);
        let kill = random.usize(..3) == 0;
        println!(
            "round {rounds}: {} changes, {count} x {fate:?}, kill: {kill}",
            changes.len()
        );
        if kill {
            bench.proxy.strike_at(random.usize(..12));
        } else {
            bench.proxy.first(count, fits, fate);
        }
        let refs: Vec<(&str, Option<&str>)> = changes
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_deref()))
            .collect();
        commit = place.push("shop", &refs).await;
        // A hand that takes something away meanwhile.
        let hand = before.keys().find(|name| model.contains_key(*name));
        if let (Some(name), 0) = (hand, random.usize(..3)) {
            let (code, _) = place
                .try_patch(
                    &place.config_path(name),
                    &json!({"data": {"key": "a hand"}}),
                )
                .await;
            assert!(code == 200 || code == 404, "{code}");
        }
        if kill {
            let struck = tokio::time::timeout(Duration::from_secs(2), bench.proxy.struck())
                .await
                .is_ok();
            kills += usize::from(struck);
            bench.restart().await;
        }
        let what = format!("round {rounds} of seed {seed} ends as the model says");
        until_as_the_model(&place, &commit, &model, &what).await;
        broken += bench.proxy.heal();
        for entry in place.asked_since(mark) {
            let doomed =
                entry.verb == "delete" && entry.resource == "configmaps" && entry.is_write();
            assert!(
                !doomed || before.contains_key(&entry.name) && !model.contains_key(&entry.name),
                "seed {seed}, round {rounds}: {entry}"
            );
        }
        one_record_each(&place).await;
    }
    println!("model: {rounds} rounds, {kills} kills, {broken} requests broken, no violation");
    assert!(rounds > 0);
}

async fn until_as_the_model(
    place: &Place,
    commit: &str,
    model: &BTreeMap<String, usize>,
    what: &str,
) {
    let last = std::sync::Mutex::new(Value::Null);
    let ends = eventually(SOON * 2, what, || async {
        let app = place.get("shop").await;
        let status = &app["status"];
        last.lock().unwrap().clone_from(status);
        let there = status["phase"] == "Idle"
            && status["written"]
                .as_array()
                .is_some_and(|written| written.len() == 1)
            && status["applied"]["revision"]
                .as_str()
                .is_some_and(|at| at.contains(commit));
        if !there {
            return None;
        }
        for (name, value) in model {
            let live = place.admin.get(&place.config_path(name)).await?;
            if live["data"]["key"].as_str() != Some(value.to_string().as_str()) {
                return None;
            }
        }
        (marked(place).await.len() == model.len()).then_some(())
    });
    let in_time = tokio::time::timeout(SOON, ends).await.is_ok();
    let there = marked(place).await;
    let status = last.into_inner().unwrap();
    assert!(
        in_time,
        "not in {SOON:?}: {what}: {model:?}\n{status:#}\n{there:?}"
    );
}
