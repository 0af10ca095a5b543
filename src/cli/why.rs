//! `plimsoll why`: the cause on one screen.
//!
//! Enters: status, the newest record, the live objects and pods, read as the person.
//! Leaves: what is wrong, where it comes from, what runs, what to do next.
//! Never: anything stored; what a container said is shown to who may read the pod, and to nobody else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Exit, Failure,
    args::{ApplicationArgs, OutputFormat},
    get::condition,
    input::{self, Connected},
    output,
    tree::{self, Owned},
};
use crate::{
    api::{Application, Class, ConditionStatus, ConditionType, SyncRecord},
    health::Health,
};

/// Lines of each log, and logs, that are shown: the cause is in the last lines, and one screen is enough.
const LOG_LINES: u32 = 5;
const LOGS: usize = 3;
/// Different things that are said of objects, of pods, and of sets that are held: more do not fit on a screen.
const MOST: usize = 5;

pub(super) async fn run(args: &ApplicationArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let mut owned = tree::owned(&connected, &application, &args.application).await?;
    let is_well = owned
        .health
        .values()
        .all(|health| matches!(health, Health::Ready | Health::NotAssessed { .. }));
    // Where all is well, how a container ended once is no cause of anything.
    owned.pods.retain(|pod| !is_well || is_unready(pod));
    let record = about(&connected, &application, &args.application).await?;
    let logs = logs(&connected, &owned.pods).await;
    let lines = lines(&application, &owned, record.as_ref(), &logs);
    match args.output {
        OutputFormat::Json => {
            output::json(&json!({"apiVersion": "cli.plimsoll.dev/v1", "lines": lines}))?;
        }
        OutputFormat::Yaml => {
            output::yaml(&json!({"apiVersion": "cli.plimsoll.dev/v1", "lines": lines}))?;
        }
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Name => {
            output::text(&(lines.join("\n") + "\n"))?;
        }
    }
    let ready = condition(&application, ConditionType::Ready)
        .is_some_and(|ready| ready.status == ConditionStatus::True);
    Ok(if ready { Exit::Ok } else { Exit::Negative })
}

/// Reads the newest record of the revision that did not come to run, else the newest of the Application.
async fn about(
    connected: &Connected,
    application: &Application,
    name: &str,
) -> Result<Option<SyncRecord>, Failure> {
    let status = application.status.as_ref();
    let held = status.and_then(|status| status.held.as_ref().map(|held| &held.revision));
    let target = status.and_then(|status| status.target.as_ref().map(|set| &set.revision));
    let revision = held.or(target).map(ToString::to_string);
    let (mut of_revision, mut newest) = (None, None);
    let mut next = String::new();
    loop {
        let (records, more) = connected.records(false, Some(name), &next).await?;
        for record in records {
            if Some(&record.spec.revision) == revision.as_ref() {
                of_revision = Some(record.clone());
            }
            newest = Some(record);
        }
        if more.is_empty() {
            return Ok(of_revision.or(newest));
        }
        next = more;
    }
}

/// Reads the last lines of containers that ended badly, as the person; what may not be read is left out.
async fn logs(connected: &Connected, pods: &[Arc<Value>]) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in pods {
        for (container, previous) in crashed(pod) {
            if lines.len() >= LOGS * LOG_LINES as usize {
                return lines;
            }
            let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
            let (namespace, name) = (
                text("/metadata/namespace").unwrap_or_default(),
                text("/metadata/name").unwrap_or_default(),
            );
            let read = connected
                .reader
                .log_tail(namespace, name, &container, previous, LOG_LINES)
                .await;
            for line in read.ok().flatten().unwrap_or_default() {
                lines.push(format!("  log      {name}/{container}: {line}"));
            }
        }
    }
    lines
}

/// Returns the containers that ended badly, and whether the run before is meant.
fn crashed(pod: &Value) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for list in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod
            .pointer(&format!("/status/{list}"))
            .and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let failed = |state: &str| {
                status
                    .pointer(&format!("/{state}/terminated/exitCode"))
                    .and_then(Value::as_i64)
                    .is_some_and(|code| code != 0)
            };
            let name = status.get("name").and_then(Value::as_str);
            let (now, before) = (failed("state"), failed("lastState"));
            if now || before {
                all.push((name.unwrap_or_default().to_owned(), !now));
            }
        }
    }
    all
}

/// Returns what a person can do next.
fn next(application: &Application) -> Option<String> {
    let name = application.metadata.name.as_deref().unwrap_or_default();
    let status = application.status.as_ref()?;
    let ready = condition(application, ConditionType::Ready)?;
    let commands = &application.spec.commands;
    if commands
        .pause
        .as_ref()
        .is_some_and(|pause| pause.ended.is_none())
    {
        return Some(format!("plimsoll resume {name}"));
    }
    if commands.pin.as_ref().is_some_and(|pin| pin.ended.is_none()) {
        return Some(format!(
            "plimsoll rollback {name} --end, to follow git again"
        ));
    }
    if ready.status == ConditionStatus::True {
        return None;
    }
    let target = status.target.as_ref();
    let quarantined = status
        .quarantine
        .iter()
        .find(|entry| !entry.released && target.is_some_and(|set| set.digest == entry.digest));
    if let Some(held) = &status.held {
        return Some(format!(
            "mend it in git and push ({} keeps running)",
            status
                .applied
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), |set| set.revision.to_string())
        ))
        .filter(|_| held.failure.class == Class::Change);
    }
    match (&quarantined, &status.failure) {
        (Some(entry), _) => Some(format!(
            "push a change, or if the cause was outside: plimsoll release {name} {}",
            entry.digest.short()
        )),
        (None, Some(failure)) if failure.class != Class::Change => Some(format!(
            "mend the cause; it is watched and becomes Ready by itself; or go back: plimsoll rollback {name}"
        )),
        (None, Some(_)) => Some("push a change".to_owned()),
        (None, None) if ready.status == ConditionStatus::False => {
            Some(format!("push a fix, or go back: plimsoll rollback {name}"))
        }
        (None, None) => None,
    }
}

fn lines(
    application: &Application,
    owned: &Owned,
    record: Option<&SyncRecord>,
    logs: &[String],
) -> Vec<String> {
    let name = application.metadata.name.as_deref().unwrap_or_default();
    let mut lines = Vec::new();
    match condition(application, ConditionType::Ready) {
        None => lines.push(format!("{name}: the controller has not looked at it yet")),
        Some(ready) => {
            let word = match ready.status {
                ConditionStatus::True => "is Ready",
                ConditionStatus::False => "is not Ready",
                ConditionStatus::Unknown => "is on its way",
            };
            lines.push(format!("{name} {word} ({})", ready.reason));
            lines.push(format!("  said     {}", ready.message));
        }
    }
    for kind in [
        ConditionType::Fetched,
        ConditionType::PruneBlocked,
        ConditionType::Drifted,
        ConditionType::Paused,
    ] {
        if let Some(said) = condition(application, kind) {
            let bad = (kind == ConditionType::Fetched) != (said.status == ConditionStatus::True);
            if bad {
                lines.push(format!(
                    "  {:<8} {}: {}",
                    format!("{kind:?}").to_lowercase(),
                    said.reason,
                    said.message
                ));
            }
        }
    }
    // Each message names its object; what failed comes before what waits.
    let said = |failed: bool| {
        owned
            .health
            .values()
            .filter_map(move |health| match health {
                Health::Failed { message, .. } if failed => Some(message.clone()),
                Health::Progressing { message, .. } if !failed => Some(message.clone()),
                Health::Failed { .. }
                | Health::Progressing { .. }
                | Health::Ready
                | Health::NotAssessed { .. } => None,
            })
    };
    let objects: Vec<String> = said(true)
        .chain(said(false))
        .map(|message| format!("  object   {message}"))
        .collect();
    lines.extend(few(objects, "objects"));
    lines.extend(few(pods_lines(&owned.pods), "pods"));
    lines.extend(logs.iter().cloned());
    if let Some(record) = record {
        lines.extend(record_lines(record));
    }
    if let Some(status) = &application.status {
        if let Some(applied) = &status.applied {
            lines.push(format!(
                "  running  {} ({})",
                applied.revision,
                applied.digest.short()
            ));
        }
        let held = status.quarantine.iter().rev().map(|entry| {
            format!(
                "  held     {} of {}: {}",
                entry.digest.short(),
                entry.revision,
                entry.reason,
            )
        });
        lines.extend(few(held.collect(), "sets"));
    }
    if let Some(next) = next(application) {
        lines.push(format!("  next     {next}"));
    }
    lines
}

/// Keeps what fits, and says how much does not.
fn few(mut lines: Vec<String>, what: &str) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST);
    if more > 0 {
        lines.truncate(MOST);
        lines.push(format!("           and {more} more {what}"));
    }
    lines
}

fn is_unready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("Ready")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    });
    !ready && pod.pointer("/status/phase").and_then(Value::as_str) != Some("Succeeded")
}

/// What the containers of pods that are not well say themselves; pods that say the same are one line.
fn pods_lines(pods: &[Arc<Value>]) -> Vec<String> {
    let mut said: Vec<(String, String, usize)> = Vec::new();
    for pod in pods {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name").unwrap_or_default();
        for words in container_words(pod) {
            // A message of the kubelet names the pod and its UID.
            let same = words
                .replace(text("/metadata/uid").unwrap_or("\0"), "")
                .replace(name, "");
            match said.iter_mut().find(|(known, ..)| *known == same) {
                Some((.., count)) => *count += 1,
                None => said.push((same, format!("{name}, {words}"), 1)),
            }
        }
    }
    said.into_iter()
        .map(|(_, words, count)| match count {
            1 => format!("  pod      {words}"),
            more => format!("  pod      {words} (and {} more pods)", more - 1),
        })
        .collect()
}

fn container_words(pod: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for list in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod
            .pointer(&format!("/status/{list}"))
            .and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
            let container = text("/name").unwrap_or_default();
            if let Some(reason) = text("/state/waiting/reason") {
                let message = text("/state/waiting/message").unwrap_or_default();
                all.push(format!("container {container}: {reason} {message}"));
            }
            if let Some(reason) = text("/lastState/terminated/reason") {
                let code = status
                    .pointer("/lastState/terminated/exitCode")
                    .and_then(Value::as_i64)
                    .unwrap_or_default();
                let message = text("/lastState/terminated/message").unwrap_or_default();
                all.push(format!(
                    "container {container}: last ended {reason}, exit {code} {message}"
                ));
            }
        }
    }
    all
}

fn record_lines(record: &SyncRecord) -> Vec<String> {
    let value: Value = serde_json::from_str(&record.spec.record).unwrap_or(Value::Null);
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut lines = vec![format!(
        "  record   {} {} {} {}",
        record.spec.sequence, record.spec.action, record.spec.result, record.spec.revision
    )];
    let author = text("/source/commit/author");
    if !author.is_empty() {
        lines.push(format!(
            "  commit   {} {:?} by {author}",
            text("/source/revision"),
            text("/source/commit/subject")
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(index: usize, uid: &str, reason: &str) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": format!("web-{index}"), "uid": uid},
            "status": {"phase": "Pending", "containerStatuses": [{
                "name": "web",
                "state": {"waiting": {"reason": reason, "message": format!("back-off in pod web-{index} ({uid})")}},
            }]},
        }))
    }

    #[test]
    fn pods_that_say_the_same_are_one_line() {
        let mut pods: Vec<Arc<Value>> = (0..100)
            .map(|index| pod(index, &format!("uid-{index}"), "CrashLoopBackOff"))
            .collect();
        pods.push(pod(100, "other", "ErrImagePull"));
        let lines = pods_lines(&pods);
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(
            lines[0].contains("web-0, container web: CrashLoopBackOff")
                && lines[0].ends_with("(and 99 more pods)"),
            "{lines:#?}"
        );
        assert!(
            lines[1].contains("web-100") && !lines[1].contains("more"),
            "{lines:#?}"
        );
    }

    #[test]
    fn a_hundred_causes_fit_on_a_screen() {
        let lines: Vec<String> = (0..100).map(|index| format!("line {index}")).collect();
        let few = few(lines, "objects");
        assert_eq!(few.len(), MOST + 1);
        assert!(few[MOST].ends_with("and 95 more objects"), "{few:#?}");
        assert_eq!(super::few(vec!["one".to_owned()], "objects"), ["one"]);
    }

    #[test]
    fn only_a_pod_that_is_not_ready_is_a_cause_where_all_objects_are_well() {
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        assert!(!is_unready(&ready));
        assert!(!is_unready(&json!({"status": {"phase": "Succeeded"}})));
        assert!(is_unready(&pod(0, "uid", "ErrImagePull")));
    }
}
