//! Endings: containers that are killed or crash, counted.
//!
//! Enters: the status of one container, what was sighted of it, windows.
//! Leaves: the words of the row that is met.
//! Never: what the container itself wrote; it can hold a secret.

use serde_json::Value;

use super::{fields, rules::Windows, sightings::ContainerMemory};
use crate::model::Now;

/// Counts kills for memory. The pod's limit is named: it is what a person has to change.
pub(super) fn killed(
    memory: &mut ContainerMemory,
    is_past: bool,
    pod: &Value,
    status: &Value,
    windows: &Windows,
    now: Now,
) -> Option<String> {
    for path in ["lastState", "state"] {
        let Some(terminated) = fields::at(status, &[path, "terminated"]) else {
            continue;
        };
        if fields::text_at(terminated, &["reason"]) != Some("OOMKilled") {
            continue;
        }
        let kill = fields::quote(
            fields::text_at(terminated, &["containerID"])
                .or_else(|| fields::text_at(terminated, &["finishedAt"]))
                .unwrap_or_default(),
        );
        if memory.last_kills.contains(&kill) && !kill.is_empty() {
            continue;
        }
        memory.last_kills.swap(0, 1);
        memory.last_kills[1] = kill;
        // A kill that a Ready pod carries from before we looked is not of this rollout.
        if !is_past {
            memory.memory_kills = memory.memory_kills.saturating_add(1);
            memory.killed = Some(now.monotonic);
        }
    }
    let recent = memory
        .killed
        .is_some_and(|killed| now.since(killed) < windows.forget);
    if memory.memory_kills < windows.memory_kills || !recent {
        return None;
    }
    let container = fields::name_of(status);
    let limit = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| fields::items(pod, &["spec", list]))
        .find(|spec| fields::name_of(spec) == container)
        .and_then(|spec| fields::text_at(spec, &["resources", "limits", "memory"]));
    Some(match limit {
        Some(limit) => format!(
            "killed {} times for more memory than its limit of {}",
            memory.memory_kills,
            fields::quote(limit)
        ),
        None => format!(
            "killed {} times for memory; it has no limit of its own",
            memory.memory_kills
        ),
    })
}

/// Says that a container crashes again and again, and how it ended first.
pub(super) fn crashing(
    memory: &mut ContainerMemory,
    first: bool,
    status: &Value,
    windows: &Windows,
    now: Now,
) -> Option<String> {
    let restarts = fields::count(status, &["restartCount"]);
    if first {
        memory.base_restarts = restarts;
        memory.restarts = restarts;
    }
    if restarts > memory.restarts {
        memory.restarts = restarts;
        memory.rose = Some(now.monotonic);
    }
    let backs_off =
        fields::text_at(status, &["state", "waiting", "reason"]) == Some("CrashLoopBackOff");
    let risen = memory.restarts.saturating_sub(memory.base_restarts) >= windows.restarts
        && memory
            .rose
            .is_some_and(|rose| now.since(rose) < windows.crash_loop);
    let terminated = fields::at(status, &["state", "terminated"])
        .or_else(|| fields::at(status, &["lastState", "terminated"]));
    if let (None, Some(terminated)) = (&memory.crash, terminated) {
        memory.crash = Some(exit(terminated));
    }
    if !backs_off && !risen {
        return None;
    }
    let how = memory.crash.as_deref().unwrap_or("it exits");
    Some(format!(
        "{how}, restarted {}",
        match restarts {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        }
    ))
}

/// Words how a container ended. Its own message is left out: it is the container's text and can hold a secret;
/// of a container that never ran it is the runtime's.
fn exit(terminated: &Value) -> String {
    let reason = fields::text_at(terminated, &["reason"]).unwrap_or_default();
    let code = fields::integer(terminated, &["exitCode"]).unwrap_or_default();
    match reason {
        "StartError" | "ContainerCannotRun" => format!(
            "cannot be started: {}",
            fields::quote(fields::text_at(terminated, &["message"]).unwrap_or(reason))
        ),
        "" | "Error" => format!("exits with code {code}"),
        _ => format!("exits with code {code} ({})", fields::quote(reason)),
    }
}
