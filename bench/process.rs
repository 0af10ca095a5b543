//! What a process used.
//!
//! Enters: a process id.
//! Leaves: CPU seconds, resident memory now and at its highest.
//! Never: a process that is not ours or the control plane's.

use std::fs;

/// What a process used until now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// User and system time, seconds.
    pub(crate) cpu: f64,
    /// Resident, MiB.
    pub(crate) resident: f64,
    /// Resident at its highest, MiB.
    pub(crate) peak: f64,
}

/// Clock ticks in a second: 100 on every Linux that we know.
const TICKS: f64 = 100.0;

/// Reads what a process used; zeros where `/proc` does not know it.
pub(crate) fn used(pid: u32) -> Used {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets can hold anything: what follows the last bracket is fields.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |at: usize| -> f64 {
        fields
            .get(at)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| -> f64 {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or_default()
    };
    Used {
        cpu: (ticks(11) + ticks(12)) / TICKS,
        resident: kilobytes("VmRSS:") / 1024.0,
        peak: kilobytes("VmHWM:") / 1024.0,
    }
}

/// What the whole machine did until now, in seconds of one core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole {
    /// Spent on anything.
    pub(crate) busy: f64,
    /// Spent on nothing, or waiting for a disk.
    pub(crate) idle: f64,
}

/// Reads what the whole machine did.
pub(crate) fn whole() -> Whole {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guests are counted in user.
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    let all: f64 = fields.iter().take(8).sum();
    Whole {
        busy: (all - idle) / TICKS,
        idle: idle / TICKS,
    }
}

/// Returns processor, kernel and load, for whoever compares.
pub(crate) fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    serde_json::json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": model,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "loadAtEnd": read("/proc/loadavg").trim(),
        "memoryMiB": read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .map(|kilobytes| kilobytes / 1024),
    })
}
