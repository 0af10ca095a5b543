//! `plimsoll why`: the cause on one screen.
//!
//! Enters: status, the newest record, the live objects and pods, read as the person.
//! Leaves: what is wrong, where it comes from, what runs, what to do next.
//! Never: anything stored; what a container said is shown to who may read the pod, and to nobody else.

use serde_json::{Value, json};

use super::{
    Exit, Failure,
    args::{ApplicationArgs, OutputFormat},
    get::condition,
    input, output,
    tree::{self, Owned},
};
use crate::{
    api::{Application, ConditionStatus, ConditionType, SyncRecord},
    health::Health,
};

pub(super) async fn run(args: &ApplicationArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let owned = tree::owned(&connected, &application, &args.application).await?;
    let record = connected.newest_record(&application).await?;
    let lines = lines(&application, &owned, record.as_ref());
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

fn lines(application: &Application, owned: &Owned, record: Option<&SyncRecord>) -> Vec<String> {
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
    for (id, health) in &owned.health {
        if let Health::Failed { message, .. } | Health::Progressing { message, .. } = health {
            lines.push(format!("  object   {id}: {message}"));
        }
    }
    for pod in &owned.pods {
        lines.extend(pod_lines(pod));
    }
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
        for entry in &status.quarantine {
            lines.push(format!(
                "  held     {} of {}: {}; next: push a change, or plimsoll release {name} {}",
                entry.digest.short(),
                entry.revision,
                entry.reason,
                entry.digest.short()
            ));
        }
    }
    lines
}

/// What the containers of a pod that is not well say themselves.
fn pod_lines(pod: &Value) -> Vec<String> {
    let name = pod
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut lines = Vec::new();
    for list in ["initContainerStatuses", "containerStatuses"] {
        let statuses = pod
            .pointer(&format!("/status/{list}"))
            .and_then(Value::as_array);
        for status in statuses.into_iter().flatten() {
            let container = status
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
            if let Some(reason) = text("/state/waiting/reason") {
                let message = text("/state/waiting/message").unwrap_or_default();
                lines.push(format!(
                    "  pod      {name}, container {container}: {reason} {message}"
                ));
            }
            if let Some(reason) = text("/lastState/terminated/reason") {
                let code = status
                    .pointer("/lastState/terminated/exitCode")
                    .and_then(Value::as_i64)
                    .unwrap_or_default();
                let message = text("/lastState/terminated/message").unwrap_or_default();
                lines.push(format!("  pod      {name}, container {container}: last ended {reason}, exit {code} {message}"));
            }
        }
    }
    lines
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
            "  commit   {} by {author}",
            text("/source/commit/subject")
        ));
    }
    lines
}
