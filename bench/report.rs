//! The results, for people and as JSON.
//!
//! Enters: parts.
//! Leaves: lines as they are measured, a file at the end.
//! Never: a ratio without both of its figures.

use std::{collections::BTreeMap, io::Write as _};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    arguments::Arguments,
    audit::{Counts, total, writes},
    process,
};

/// One part.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// Until half of the Applications were Ready.
    pub(crate) ready_median_seconds: Option<f64>,
    /// From the first question to the last write of an object; the rest is waiting for Kubernetes' controllers.
    pub(crate) written_seconds: Option<f64>,
    /// The plain loop over the same objects, in the same run.
    pub(crate) bare_seconds: Option<f64>,
    /// The same, until Kubernetes' own controllers have taken up what the loop applied.
    pub(crate) bare_settled_seconds: Option<f64>,
    pub(crate) requests: Counts,
    /// CPU seconds by process: the controller, the parts of the control plane, the benchmark itself.
    pub(crate) cpu: BTreeMap<String, f64>,
    /// How much of the machine was used, by anybody: at 1 nothing can be faster without less work.
    pub(crate) busy: f64,
    pub(crate) controller_memory: f64,
    pub(crate) controller_peak: f64,
    pub(crate) server_memory: f64,
    /// From push to Ready of each commit to a neighbour of a bad input, the shortest first; empty in other parts.
    pub(crate) neighbours_seconds: Vec<f64>,
    pub(crate) notes: Vec<String>,
}

impl Part {
    /// Returns our rate beside the plain loop's.
    fn ratio(&self) -> Option<f64> {
        self.bare_seconds.map(|bare| bare / self.seconds)
    }

    /// The same beside the plain loop until its Deployments are taken up, which is what Ready means.
    fn settled_ratio(&self) -> Option<f64> {
        self.bare_settled_seconds.map(|bare| bare / self.seconds)
    }

    fn cpu_of(&self, name: &str) -> f64 {
        self.cpu.get(name).copied().unwrap_or_default()
    }
}

/// All parts.
pub(crate) struct Report {
    applications: usize,
    version: String,
    parts: Vec<Part>,
}

/// Says a line.
pub(crate) fn say(text: &str) {
    // A closed terminal is no reason to lose the file.
    let _closed = writeln!(std::io::stdout(), "{text}");
}

/// Says why it ended early.
pub(crate) fn fail(text: &str) {
    let _closed = writeln!(std::io::stderr(), "failed: {text}");
}

impl Report {
    pub(crate) fn new(arguments: &Arguments, version: &str) -> Self {
        say(&format!(
            "{} Applications of {} objects, plain loop with {} connections",
            arguments.applications, arguments.objects, arguments.connections
        ));
        say(&format!(
            "{:<42} {:>8} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "part",
            "Ready s",
            "written",
            "bare s",
            "settled",
            "of bare",
            "of settl.",
            "requests",
            "CPU",
            "API CPU",
            "MiB",
            "peak",
            "API MiB"
        ));
        Self {
            applications: arguments.applications,
            version: version.to_owned(),
            parts: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, part: Part) {
        let percent = |ratio: Option<f64>| {
            ratio.map_or("-".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0))
        };
        say(&format!(
            "{:<42} {:>8.2} {:>8} {:>8} {:>8} {:>6} {:>9} {:>9} {:>8.2} {:>8.2} {:>8.1} {:>8.1} {:>8.0}  {}",
            part.name,
            part.seconds,
            part.written_seconds
                .map_or("-".to_owned(), |written| format!("{written:.2}")),
            part.bare_seconds
                .map_or("-".to_owned(), |bare| format!("{bare:.2}")),
            part.bare_settled_seconds
                .map_or("-".to_owned(), |settled| format!("{settled:.2}")),
            percent(part.ratio()),
            percent(part.settled_ratio()),
            total(&part.requests),
            part.cpu_of("controller"),
            part.cpu_of("kube-apiserver"),
            part.controller_memory,
            part.controller_peak,
            part.server_memory,
            part.notes.join(", ")
        ));
        let cpu: Vec<String> = part
            .cpu
            .iter()
            .filter(|(_, seconds)| **seconds >= 0.05)
            .map(|(name, seconds)| format!("{name} {seconds:.1}"))
            .collect();
        say(&format!(
            "    {:.0} % of the machine used; CPU seconds: {}",
            part.busy * 100.0,
            cpu.join(", ")
        ));
        for (kind, count) in &part.requests {
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let each = *count as f64 / self.applications as f64;
            say(&format!(
                "    {kind:<38} {count:>8} {each:>10.2} an Application"
            ));
        }
        self.parts.push(part);
    }

    pub(crate) fn finish(self, arguments: &Arguments) -> Result<()> {
        let Some(file) = &arguments.json else {
            return Ok(());
        };
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| {
                json!({
                    "part": part.name,
                    "seconds": part.seconds,
                    "readyMedianSeconds": part.ready_median_seconds,
                    "writtenSeconds": part.written_seconds,
                    "bareSeconds": part.bare_seconds,
                    "bareSettledSeconds": part.bare_settled_seconds,
                    "ratio": part.ratio(),
                    "settledRatio": part.settled_ratio(),
                    "requests": total(&part.requests),
                    "writes": writes(&part.requests),
                    "requestsByKind": part.requests,
                    "cpuSeconds": part.cpu,
                    "machineUsed": part.busy,
                    "controllerMiB": part.controller_memory,
                    "controllerPeakMiB": part.controller_peak,
                    "apiServerMiB": part.server_memory,
                    "neighboursSeconds": part.neighbours_seconds,
                    "notes": part.notes,
                })
            })
            .collect();
        let results = json!({
            "version": self.version,
            "arguments": {
                "applications": arguments.applications,
                "objects": arguments.objects,
                "connections": arguments.connections,
                "workers": arguments.workers,
                "idleSeconds": arguments.idle_seconds,
            },
            "machine": process::machine(),
            "parts": parts,
        });
        std::fs::write(file, format!("{results:#}\n"))
            .with_context(|| format!("write {}", file.display()))
    }
}
