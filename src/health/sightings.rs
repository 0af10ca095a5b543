//! What was sighted before: the memory between two looks.
//!
//! Enters: rows that are met, readiness and restarts, as `assess` reads them.
//! Leaves: since when a row is met, and the first telling message of each container.
//! Never: a reset by a pod that flaps; never more than a bounded number of pods, containers and bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::model::{Now, ObjectId};

use super::classify::Pull;

/// Pods remembered for each object; of larger workloads the rest is judged without memory of readiness.
const MOST_PODS: usize = 512;
/// Containers remembered for each pod.
const MOST_CONTAINERS: usize = 64;

/// Memory between assessments of one attempt. It begins empty with the attempt and is handed from look to look.
/// Times are monotonic, so it does not outlive the process: after a restart the windows begin again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    pub(super) objects: BTreeMap<ObjectId, Memory>,
}

/// A row of the failure table. The order is what a person should see first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// An image name that is not valid.
    ImageName,
    /// An image that does not exist.
    ImageMissing,
    /// An image that may not be pulled.
    ImageDenied,
    /// Configuration that is not there.
    Config,
    /// Admission denies the pods.
    Denied,
    /// Killed for memory.
    Memory,
    /// Crash loop.
    Crash,
    /// Ready and not Ready in turns.
    Flapping,
    /// A volume names what is not there.
    MountConfig,
    /// An object says itself that it failed.
    Object,
    /// A registry fails.
    Registry,
    /// Quota.
    Quota,
    /// The API server or a webhook fails.
    Api,
    /// A volume or the pod's network is not there.
    Mount,
    /// The node does not answer.
    Node,
    /// No node.
    Unschedulable,
    /// An autoscaler adds a node.
    ScaleUp,
    /// A controller is silent.
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight {
    first: Duration,
    unmet_since: Option<Duration>,
}

/// What is remembered of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    revision: String,
    rows: BTreeMap<Row, Sight>,
    met: BTreeSet<Row>,
    pub(super) pods: BTreeMap<String, PodMemory>,
    pub(super) seen: bool,
    pub(super) completed: bool,
    /// Whether as many pods served since the revision came as its rollout keeps.
    pub(super) kept_floor: bool,
    /// What a Job that failed said, for when it is deleted after its time to live.
    pub(super) job_failure: Option<String>,
}

/// What is remembered of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodMemory {
    pub(super) ready: bool,
    pub(super) transition: String,
    pub(super) restarts: i64,
    pub(super) drops: u32,
    pub(super) dropped: Option<Duration>,
    containers: BTreeMap<String, ContainerMemory>,
}

/// What is remembered of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerMemory {
    pub(super) base_restarts: i64,
    pub(super) restarts: i64,
    pub(super) rose: Option<Duration>,
    pub(super) memory_kills: u32,
    pub(super) last_kills: [String; 2],
    pub(super) killed: Option<Duration>,
    pub(super) pull: Option<(Pull, String)>,
    pub(super) crash: Option<String>,
}

impl Memory {
    /// Begins a look at this revision. Rows belong to a revision: another one starts without them.
    pub(super) fn begin(&mut self, revision: &str) {
        if self.revision != revision {
            revision.clone_into(&mut self.revision);
            self.rows.clear();
            self.kept_floor = false;
        }
    }

    /// Meets a row and returns for how long it has been met, gaps that were too short to forget it included.
    pub(super) fn meet(&mut self, row: Row, now: Now) -> Duration {
        self.met.insert(row);
        let sight = self.rows.entry(row).or_insert(Sight {
            first: now.monotonic,
            unmet_since: None,
        });
        sight.unmet_since = None;
        now.since(sight.first)
    }

    /// Ends a look: rows that were not met for longer than `forget` go, and so do pods that are gone.
    pub(super) fn end(&mut self, now: Now, forget: Duration, is_known: impl Fn(&str) -> bool) {
        let met = std::mem::take(&mut self.met);
        self.rows.retain(|row, sight| {
            if met.contains(row) {
                return true;
            }
            let since = *sight.unmet_since.get_or_insert(now.monotonic);
            now.since(since) < forget
        });
        self.pods.retain(|uid, _| is_known(uid));
    }

    /// Returns the memory of a pod, and whether it is the first sight of it; None where there is no room.
    pub(super) fn pod(&mut self, uid: &str) -> Option<(&mut PodMemory, bool)> {
        let known = self.pods.contains_key(uid);
        if !known && self.pods.len() >= MOST_PODS {
            return None;
        }
        Some((self.pods.entry(uid.to_owned()).or_default(), !known))
    }
}

impl PodMemory {
    /// Returns the memory of a container, and whether it is the first sight of it; None where there is no room.
    pub(super) fn container(&mut self, name: &str) -> Option<(&mut ContainerMemory, bool)> {
        let known = self.containers.contains_key(name);
        if !known && self.containers.len() >= MOST_CONTAINERS {
            return None;
        }
        Some((self.containers.entry(name.to_owned()).or_default(), !known))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH,
            monotonic: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_short_gap_does_not_start_a_window_anew() {
        let forget = Duration::from_mins(3);
        let none = |_: &str| false;
        let mut memory = Memory::default();
        memory.begin("a");
        assert_eq!(memory.meet(Row::Crash, at(10)), Duration::ZERO);
        memory.end(at(10), forget, none);
        for second in [20, 100, 199] {
            memory.end(at(second), forget, none);
        }
        assert_eq!(memory.meet(Row::Crash, at(199)), Duration::from_secs(189));
        memory.end(at(199), forget, none);
        memory.end(at(200), forget, none);
        memory.end(at(380), forget, none);
        assert_eq!(memory.meet(Row::Crash, at(381)), Duration::ZERO);
    }

    #[test]
    fn a_silent_time_is_not_a_gap() {
        let mut memory = Memory::default();
        memory.meet(Row::Crash, at(0));
        memory.end(at(0), Duration::from_mins(3), |_| false);
        assert_eq!(memory.meet(Row::Crash, at(300)), Duration::from_mins(5));
    }

    #[test]
    fn rows_belong_to_a_revision() {
        let mut memory = Memory::default();
        memory.begin("a");
        memory.meet(Row::Crash, at(0));
        memory.begin("b");
        assert_eq!(memory.meet(Row::Crash, at(50)), Duration::ZERO);
    }
}
