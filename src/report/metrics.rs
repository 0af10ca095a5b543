//! Metrics: names are a contract, labels are closed.
//!
//! Enters: counts and durations from the shells.
//! Leaves: series of prometheus-client, registered once.
//! Never: a revision, message, address or object as a label; series of an Application go with it.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{
    api::Reason,
    history::{Entry, Trigger, What},
    model::ApplicationKey,
    rollout::{Action, Ending},
};

/// A stage of the loop, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StageLabel {
    /// Git.
    Fetch,
    /// Files to objects.
    Render,
    /// Questions to the API server.
    Observe,
    /// Writes.
    Apply,
    /// From the last write to Ready.
    Health,
}

impl EncodeLabelValue for StageLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = match self {
            Self::Fetch => "fetch",
            Self::Render => "render",
            Self::Observe => "observe",
            Self::Apply => "apply",
            Self::Health => "health",
        };
        EncodeLabelValue::encode(&text, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApplicationLabels {
    application: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    application: String,
    namespace: String,
    action: &'static str,
    result: &'static str,
    trigger: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    application: String,
    namespace: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: StageLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    version: &'static str,
}

/// How much the series say of single Applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerApplication {
    /// Each has series of its own: four and more.
    Each,
    /// What is counted is counted for all together, under empty labels; whether one is Ready is not said.
    /// For fleets whose series are more than their Prometheus takes.
    Together,
}

/// Every metric of the controller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    per_application: PerApplication,
    ready: Family<ApplicationLabels, Gauge>,
    syncs: Family<ResultLabels, Counter>,
    returns: Family<CauseLabels, Counter>,
    drift: Family<ApplicationLabels, Counter>,
    records: Counter,
    spool: Family<SinkLabels, Gauge>,
    sink_ready: Family<SinkLabels, Gauge>,
    verification_failures: Gauge,
    stages: Family<StageLabels, Histogram>,
    commit_to_ready: Histogram,
    reconciles: Counter,
    reconcile_errors: Counter,
    queue_depth: Gauge,
    queue_age: Gauge<f64, AtomicU64>,
    leader: Gauge,
    members: Gauge,
    slots: Gauge,
    last_reconcile: Gauge,
}

impl Metrics {
    /// Registers every metric under the prefix `plimsoll`.
    pub fn register(registry: &mut Registry, per_application: PerApplication) -> Self {
        let registry = registry.sub_registry_with_prefix("plimsoll");
        let metrics = Self {
            per_application,
            ready: Family::default(),
            syncs: Family::default(),
            returns: Family::default(),
            drift: Family::default(),
            records: Counter::default(),
            spool: Family::default(),
            sink_ready: Family::default(),
            verification_failures: Gauge::default(),
            // 1 ms to about 16 s, then to 4.5 min: a fetch and a rollout on one scale.
            stages: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 10))
            }),
            commit_to_ready: Histogram::new(exponential_buckets(0.5, 2.0, 14)),
            reconciles: Counter::default(),
            reconcile_errors: Counter::default(),
            queue_depth: Gauge::default(),
            queue_age: Gauge::default(),
            leader: Gauge::default(),
            members: Gauge::default(),
            slots: Gauge::default(),
            last_reconcile: Gauge::default(),
        };
        registry.register(
            "application_ready",
            "Ready of an Application: 1, 0, or -1 for unknown",
            metrics.ready.clone(),
        );
        registry.register(
            "sync",
            "Attempts that ended, by action, result and trigger",
            metrics.syncs.clone(),
        );
        registry.register(
            "rollback",
            "Returns to the last known good, by cause",
            metrics.returns.clone(),
        );
        registry.register(
            "drift_corrected",
            "Attempts that gave back what others changed",
            metrics.drift.clone(),
        );
        registry.register("ledger_entries", "Records written", metrics.records.clone());
        registry.register(
            "ledger_spool_length",
            "Records that a sink does not have yet",
            metrics.spool.clone(),
        );
        registry.register(
            "ledger_sink_ready",
            "1 where a sink takes records",
            metrics.sink_ready.clone(),
        );
        registry.register(
            "ledger_verification_failures",
            "Chains and checkpoints that a sink holds otherwise than the cluster, since the start",
            metrics.verification_failures.clone(),
        );
        registry.register_with_unit(
            "stage_duration",
            "Time of one stage",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        registry.register_with_unit(
            "commit_to_ready",
            "Time from the commit to Ready",
            Unit::Seconds,
            metrics.commit_to_ready.clone(),
        );
        metrics.register_work(registry);
        metrics
    }

    fn register_work(&self, registry: &mut Registry) {
        registry.register("reconcile", "Reconciles", self.reconciles.clone());
        registry.register(
            "reconcile_errors",
            "Reconciles that ended in an error",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "queue_depth",
            "Applications that wait for a reconcile",
            self.queue_depth.clone(),
        );
        registry.register_with_unit(
            "queue_age",
            "Time that the Application waits for a reconcile which waits longest",
            Unit::Seconds,
            self.queue_age.clone(),
        );
        registry.register(
            "leader",
            "1 where this process keeps the records beside the cluster and what nobody owns any more",
            self.leader.clone(),
        );
        registry.register(
            "replicas",
            "Replicas that share the Applications, as this process sees them; 0 where it is none of them",
            self.members.clone(),
        );
        registry.register(
            "slots",
            "Slots of 256 that this process holds; an Application falls into one by its name",
            self.slots.clone(),
        );
        registry.register_with_unit(
            "reconcile_last_success_timestamp",
            "When a reconcile last succeeded",
            Unit::Seconds,
            self.last_reconcile.clone(),
        );
        let build = Family::<VersionLabels, Gauge>::default();
        build
            .get_or_create(&VersionLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        registry.register("build_info", "Version of this process", build);
    }

    /// Sets whether an Application is Ready; None for unknown.
    pub fn set_ready(&self, application: &ApplicationKey, ready: Option<bool>) {
        if self.per_application == PerApplication::Together {
            return;
        }
        let value = match ready {
            Some(true) => 1,
            Some(false) => 0,
            None => -1,
        };
        let labels = self.labels(application);
        self.ready.get_or_create(&labels).set(value);
    }

    /// Counts an attempt that ended; commands are none.
    pub fn count_sync(&self, application: &ApplicationKey, entry: &Entry) {
        let What::Attempt {
            action,
            ending,
            trigger,
            attempt: _,
        } = &entry.what
        else {
            return;
        };
        let ApplicationLabels {
            application,
            namespace,
        } = self.labels(application);
        let labels = ResultLabels {
            application,
            namespace,
            action: action.as_str(),
            result: ending.as_str(),
            trigger: trigger.as_str(),
        };
        self.syncs.get_or_create(&labels).inc();
    }

    /// Counts a return.
    pub fn count_return(&self, application: &ApplicationKey, cause: &'static str) {
        let ApplicationLabels {
            application,
            namespace,
        } = self.labels(application);
        let labels = CauseLabels {
            application,
            namespace,
            cause,
        };
        self.returns.get_or_create(&labels).inc();
    }

    /// Counts a drift repair.
    pub fn count_drift(&self, application: &ApplicationKey) {
        let labels = self.labels(application);
        self.drift.get_or_create(&labels).inc();
    }

    /// Counts a record.
    pub fn count_record(&self) {
        self.records.inc();
    }

    /// Sets how many records a sink lacks, and whether it takes them.
    pub fn set_sink(&self, sink: &'static str, waiting: u64, ready: bool) {
        let labels = SinkLabels { sink };
        self.spool
            .get_or_create(&labels)
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.sink_ready.get_or_create(&labels).set(i64::from(ready));
    }

    /// Sets what was found that a sink holds otherwise.
    pub fn set_verification_failures(&self, failures: u64) {
        self.verification_failures
            .set(i64::try_from(failures).unwrap_or(i64::MAX));
    }

    /// Notes the time of one stage.
    pub fn observe_stage(&self, stage: StageLabel, time: std::time::Duration) {
        self.stages
            .get_or_create(&StageLabels { stage })
            .observe(time.as_secs_f64());
    }

    /// Notes the time from a commit to Ready.
    pub fn observe_commit_to_ready(&self, seconds: f64) {
        self.commit_to_ready.observe(seconds);
    }

    /// Counts a reconcile; `at` is wall time in seconds where it succeeded.
    pub fn count_reconcile(&self, at: Option<i64>) {
        self.reconciles.inc();
        match at {
            Some(at) => {
                self.last_reconcile.set(at);
            }
            None => {
                self.reconcile_errors.inc();
            }
        }
    }

    /// Sets how many Applications wait, and how long the one has that waits longest.
    pub fn set_queue(&self, depth: usize, oldest: std::time::Duration) {
        self.queue_depth
            .set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.queue_age.set(oldest.as_secs_f64());
    }

    /// Sets whether this process keeps the records beside the cluster.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// Sets how many replicas there are, and how many slots this one holds.
    pub fn set_share(&self, members: usize, slots: usize) {
        self.members.set(i64::try_from(members).unwrap_or(i64::MAX));
        self.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// Removes the series of an Application that is gone.
    pub fn forget(&self, application: &ApplicationKey) {
        if self.per_application == PerApplication::Together {
            return;
        }
        let labels = self.labels(application);
        self.ready.remove(&labels);
        self.drift.remove(&labels);
        for action in Action::ALL {
            for result in Ending::RESULTS {
                for trigger in Trigger::CAUSES {
                    self.syncs.remove(&ResultLabels {
                        application: application.name.clone(),
                        namespace: application.namespace.clone(),
                        action: action.as_str(),
                        result,
                        trigger,
                    });
                }
            }
        }
        for cause in Reason::ALL {
            self.returns.remove(&CauseLabels {
                application: application.name.clone(),
                namespace: application.namespace.clone(),
                cause: cause.as_str(),
            });
        }
    }

    fn labels(&self, application: &ApplicationKey) -> ApplicationLabels {
        match self.per_application {
            PerApplication::Each => ApplicationLabels {
                application: application.name.clone(),
                namespace: application.namespace.clone(),
            },
            PerApplication::Together => ApplicationLabels {
                application: String::new(),
                namespace: String::new(),
            },
        }
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
