//! Requests, counted by the API server itself.
//!
//! Enters: the audit log.
//! Leaves: how many requests of which kind Plimsoll sent since a mark.
//! Never: a request of the benchmark itself, of the plain loop or of Kubernetes among them.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// As whom the benchmark asks, so that its requests can be told apart.
pub(crate) const BENCH: &str = "plimsoll-bench";

/// Requests by what they are.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A place in the audit log.
pub(crate) struct Audit {
    log: PathBuf,
    /// User of the kubeconfig, which is the controller's.
    controller: String,
}

impl Audit {
    pub(crate) fn new(log: &Path, controller: &str) -> Self {
        Self {
            log: log.to_owned(),
            controller: controller.to_owned(),
        }
    }

    /// Returns where the log ends now.
    pub(crate) fn mark(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.log)
            .context("find the audit log")?
            .len())
    }

    /// Returns what Plimsoll asked since a mark. The log is written with the answers: a moment settles it.
    pub(crate) async fn since(&self, mark: u64) -> Result<Counts> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut file = File::open(&self.log).context("open the audit log")?;
        file.seek(SeekFrom::Start(mark))?;
        let mut counts = Counts::new();
        for line in BufReader::new(file).split(b'\n') {
            let Ok(event) = serde_json::from_slice::<Value>(&line?) else {
                continue;
            };
            if let Some(kind) = self.kind_of(&event) {
                *counts.entry(kind).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Returns when the last object of an Application was written, as seconds after the first request since a mark.
    /// What follows is waiting for Kubernetes' own controllers.
    pub(crate) fn last_write(&self, mark: u64) -> Result<Option<f64>> {
        let mut file = File::open(&self.log).context("open the audit log")?;
        file.seek(SeekFrom::Start(mark))?;
        let (mut first, mut last) = (None, None);
        for line in BufReader::new(file).split(b'\n') {
            let Ok(event) = serde_json::from_slice::<Value>(&line?) else {
                continue;
            };
            let Some(kind) = self.kind_of(&event) else {
                continue;
            };
            let at = |pointer: &str| -> Option<jiff::Timestamp> {
                event.pointer(pointer)?.as_str()?.parse().ok()
            };
            if kind.starts_with("dry-run ") || kind.starts_with("patch ") {
                first = first
                    .into_iter()
                    .chain(at("/requestReceivedTimestamp"))
                    .min();
            }
            if kind.starts_with("patch ") {
                last = last.into_iter().chain(at("/stageTimestamp")).max();
            }
        }
        Ok(first
            .zip(last)
            .map(|(first, last)| last.duration_since(first).as_secs_f64()))
    }

    fn kind_of(&self, event: &Value) -> Option<String> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        if text("/user/username") != Some(&self.controller)
            || text("/impersonatedUser/username") == Some(BENCH)
        {
            return None;
        }
        let verb = text("/verb")?;
        // A watch is told when it begins and when it ends: counted once, as it begins.
        let stage = text("/stage")?;
        if stage != "ResponseComplete" && !(verb == "watch" && stage == "ResponseStarted")
            || verb == "watch" && stage == "ResponseComplete"
        {
            return None;
        }
        let what = if text("/requestURI")?.contains("dryRun=All") {
            "dry-run"
        } else {
            verb
        };
        let resource = text("/objectRef/resource").unwrap_or("other");
        Some(match text("/objectRef/subresource") {
            Some(subresource) => format!("{what} {resource}/{subresource}"),
            None => format!("{what} {resource}"),
        })
    }
}

/// Returns all requests; watches are open, not asked.
pub(crate) fn total(counts: &Counts) -> u64 {
    counts
        .iter()
        .filter(|(kind, _)| !kind.starts_with("watch "))
        .map(|(_, count)| count)
        .sum()
}

/// Returns the requests that write, leases apart.
pub(crate) fn writes(counts: &Counts) -> u64 {
    counts
        .iter()
        .filter(|(kind, _)| {
            ["create ", "update ", "patch ", "delete "]
                .iter()
                .any(|verb| kind.starts_with(verb))
                && !kind.ends_with(" leases")
        })
        .map(|(_, count)| count)
        .sum()
}
