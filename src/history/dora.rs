//! Figures of a period: what was deployed, how long it took, what failed, and how soon it was well again.
//!
//! Enters: records of chains, each in order.
//! Leaves: `Dora` for each Application.
//! Never: a repair of drift, a return or a command counted as a deployment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::query::{moment, word};

/// A deployment that is reverted within this time failed.
const REVERTED_WITHIN: i64 = 24 * 3600;

/// Figures of one Application, or of all together. Times in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sets that became Ready for the first time in a row: a new render digest, not drift, not a return.
    pub deployments: u64,
    /// From the author's time of the commit to Ready, sorted. Only the newest commit of a deployment is known.
    pub lead_times: Vec<i64>,
    /// Sets that failed, each once: returned from, failed by class Change, or reverted within a day.
    pub failures: u64,
    /// From the failure to the next moment at which the Application was well, sorted.
    pub recoveries: Vec<i64>,
    /// Deployments that followed a failure.
    pub rework: u64,
}

impl Figures {
    /// Returns failures as a share of all tries, in per mille; None where nothing was tried.
    pub fn failure_rate(&self, reverted: u64) -> Option<u64> {
        let tried = self.deployments + self.failures.saturating_sub(reverted);
        (tried > 0).then(|| self.failures * 1000 / tried)
    }
}

/// Figures with the failures as a share of all tries, in per mille; None where nothing was tried.
pub type Rated = (Figures, Option<u64>);

/// Returns the value below which so many per cent lie.
pub fn percentile(sorted: &[i64], per_cent: usize) -> Option<i64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last * per_cent + 50) / 100).copied()
}

/// What is known of one chain on the way.
#[derive(Clone, Debug, Default)]
struct Chain {
    /// Digests that were deployed, with when.
    deployed: Vec<(String, Timestamp)>,
    failed: BTreeSet<String>,
    broken_since: Option<Timestamp>,
}

/// Collects figures, record by record.
#[derive(Clone, Debug, Default)]
pub struct Dora {
    chains: BTreeMap<(String, String, String), Chain>,
    figures: BTreeMap<(String, String), Figures>,
    reverted: BTreeMap<(String, String), u64>,
    since: Option<Timestamp>,
}

impl Dora {
    /// Begins; what ended before `since` is known and not counted.
    pub fn new(since: Option<Timestamp>) -> Self {
        Self {
            since,
            ..Self::default()
        }
    }

    /// Takes the next record of its chain.
    pub fn record(&mut self, record: &Value) {
        let place = (
            word(record, "/application/namespace").to_owned(),
            word(record, "/application/name").to_owned(),
        );
        let uid = word(record, "/application/uid").to_owned();
        let Some(ended) = moment(record, "ended") else {
            return;
        };
        let counts = self.since.is_none_or(|since| ended >= since);
        let chain = self
            .chains
            .entry((place.0.clone(), place.1.clone(), uid))
            .or_default();
        let mut seen = Figures::default();
        let mut reverted = 0;
        let digest = word(record, "/digest").to_owned();
        match (word(record, "/action"), word(record, "/result")) {
            ("Sync", "Ready") => {
                let current = chain.deployed.last().map(|(digest, _)| digest.clone());
                if current.as_ref() != Some(&digest) {
                    seen.deployments = 1;
                    seen.rework =
                        u64::from(!chain.failed.is_empty() || chain.broken_since.is_some());
                    if let Ok(authored) =
                        word(record, "/source/commit/authored").parse::<Timestamp>()
                    {
                        seen.lead_times.push(seconds(authored, ended));
                    }
                    // Back to what ran before, soon: what ran in between was no good.
                    let back = chain
                        .deployed
                        .iter()
                        .rev()
                        .skip(1)
                        .any(|(known, _)| *known == digest);
                    if let Some((bad, at)) = chain.deployed.last()
                        && back
                        && seconds(*at, ended) <= REVERTED_WITHIN
                        && !chain.failed.contains(bad)
                    {
                        seen.failures = 1;
                        reverted = 1;
                    }
                    chain.failed.clear();
                    chain.deployed.push((digest, ended));
                }
                if let Some(since) = chain.broken_since.take() {
                    seen.recoveries.push(seconds(since, ended));
                }
            }
            ("Sync" | "Return", "Failed") if word(record, "/ending/class") == "Change" => {
                let failed_at = moment(record, "failed").unwrap_or(ended);
                seen.failures = u64::from(chain.failed.insert(digest));
                if record.pointer("/ending/returned").is_some() {
                    let since = chain.broken_since.take().unwrap_or(failed_at);
                    seen.recoveries.push(seconds(since, ended));
                } else if chain.broken_since.is_none() {
                    chain.broken_since = Some(failed_at);
                }
            }
            _ => {}
        }
        if counts {
            let sum = self.figures.entry(place.clone()).or_default();
            sum.add(seen);
            *self.reverted.entry(place).or_default() += reverted;
        }
    }

    /// Returns the figures of each Application, and of all together.
    pub fn finish(self) -> (BTreeMap<(String, String), Rated>, Rated) {
        let mut all = Figures::default();
        let mut of_all = 0;
        let mut each = BTreeMap::new();
        for (place, mut figures) in self.figures {
            let reverted = self.reverted.get(&place).copied().unwrap_or_default();
            all.add(figures.clone());
            of_all += reverted;
            figures.sort();
            let rate = figures.failure_rate(reverted);
            each.insert(place, (figures, rate));
        }
        all.sort();
        let rate = all.failure_rate(of_all);
        (each, (all, rate))
    }
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.deployments += other.deployments;
        self.lead_times.extend(other.lead_times);
        self.failures += other.failures;
        self.recoveries.extend(other.recoveries);
        self.rework += other.rework;
    }

    fn sort(&mut self) {
        self.lead_times.sort_unstable();
        self.recoveries.sort_unstable();
    }
}

/// A clock that jumped back makes no negative time.
fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_second() - from.as_second()).max(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(action: &str, result: &str, digest: &str, hour: u32, more: Value) -> Value {
        let mut record = json!({
            "application": {"namespace": "shop", "name": "prod", "uid": "u"}, "action": action, "result": result,
            "digest": digest, "source": {"commit": {"authored": "2026-01-01T00:00:00Z"}},
            "times": {"ended": format!("2026-01-01T{hour:02}:00:00Z")}
        });
        if let (Some(map), Value::Object(more)) = (record.as_object_mut(), more) {
            map.extend(more);
        }
        record
    }

    #[test]
    fn figures_count_what_was_meant_to_change() {
        let returned = json!({"ending": {"class": "Change", "returned": {}}, "times": {"failed": "2026-01-01T03:00:00Z", "ended": "2026-01-01T03:10:00Z"}});
        let held = json!({"ending": {"class": "Environment"}});
        let mut dora = Dora::new(None);
        for record in [
            record("Sync", "Ready", "a", 1, json!({})),
            record("DriftRepair", "Ready", "a", 2, json!({})),
            // Fails and is returned from; tried again after a release, it is the same failure.
            record("Sync", "Failed", "b", 3, returned.clone()),
            record("Sync", "Failed", "b", 4, returned),
            record("Sync", "Failed", "c", 5, held),
            // A deployment after a failure, reverted within the day.
            record("Sync", "Ready", "d", 6, json!({})),
            record("Sync", "Ready", "a", 8, json!({})),
            record("pause", "Done", "", 9, json!({})),
        ] {
            dora.record(&record);
        }
        let (each, (all, rate)) = dora.finish();
        assert_eq!(each.len(), 1);
        assert_eq!((all.deployments, all.failures, all.rework), (3, 2, 1));
        assert_eq!(all.lead_times, [3600, 6 * 3600, 8 * 3600]);
        assert_eq!(all.recoveries, [600, 600]);
        // Four sets were tried: a, b, d, a again; two of them were no good.
        assert_eq!(rate, Some(500));
        assert_eq!(percentile(&all.lead_times, 50), Some(6 * 3600));
        assert_eq!(percentile(&all.lead_times, 90), Some(8 * 3600));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn what_ended_before_the_period_is_known_and_not_counted() {
        let mut dora = Dora::new(Some("2026-01-01T02:00:00Z".parse().unwrap()));
        dora.record(&record("Sync", "Ready", "a", 1, json!({})));
        dora.record(&record("Sync", "Ready", "a", 3, json!({})));
        assert_eq!(dora.finish().1.0, Figures::default());
    }

    #[test]
    fn without_a_return_it_is_broken_until_it_is_ready_again() {
        let failed = json!({"ending": {"class": "Change"}});
        let mut dora = Dora::new(None);
        dora.record(&record("Sync", "Failed", "a", 1, failed));
        dora.record(&record("Sync", "Ready", "b", 4, json!({})));
        let (_, (all, _)) = dora.finish();
        assert_eq!(all.recoveries, [3 * 3600]);
    }
}
