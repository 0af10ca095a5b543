//! `plimsoll diff`: what the controller would change.
//!
//! Enters: an Application of the cluster and a checked-out repository.
//! Leaves: the plan; exit 1 where something would change, 6 where it would be refused.
//! Never: a write; the person's own rights decide what can be seen.

use std::path::Path;

use serde_json::json;

use super::{
    Exit, Failure,
    args::{DiffArgs, OutputFormat},
    input, output, render,
};
use crate::{
    api::Application,
    model::{Doomed, text},
    pipeline::{self, Preview, Request},
    plan::{Change, Verdict},
    preflight::Finding,
    render::{RenderSpec, Rendered},
    source,
};

pub(super) async fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let key = connected.key(&args.application);
    let spec = &application.spec;
    let namespace = spec.target.namespace.as_ref().unwrap_or(&key.namespace);
    let rendered = render::local(&args.directory, &spec.source.path, namespace)?;
    let before = before(&args.directory, &application, namespace);
    let request = Request {
        key: &key,
        spec,
        rendered: &rendered,
        before: &before,
    };
    let mut preview = pipeline::preview(&connected.cluster, request).await?;
    preview.not_read.sort_unstable();
    let prunes = spec.prune.enabled;
    match args.output {
        OutputFormat::Json => output::json(&value(&preview, prunes))?,
        OutputFormat::Yaml => output::yaml(&value(&preview, prunes))?,
        OutputFormat::Name => {
            let written = preview
                .plan
                .changes()
                .map(|change| format!("{}\n", change.object.id()));
            let deleted = deletes(&preview, prunes)
                .iter()
                .map(|doomed| format!("{}\n", doomed.id));
            let names: Vec<String> = written.chain(deleted).collect();
            output::text(&names.concat())?;
        }
        OutputFormat::Table | OutputFormat::Wide => {
            output::text(&output::plan(
                &preview.plan,
                &preview.findings,
                &preview.prune,
                prunes,
            ))?;
        }
    }
    if !preview.not_read.is_empty() {
        output::message(&format!(
            "not read, so nothing is said of what would be deleted there: {}",
            text::list(&preview.not_read, 5)
        ));
    }
    if !preview.not_checked.is_empty() {
        output::message(&format!(
            "not read, so the preflight says nothing of it: {}",
            text::list(&preview.not_checked, 5)
        ));
    }
    if preview.plan.is_refused() || !preview.findings.refused().is_empty() {
        return Ok(Exit::Refused);
    }
    let same = preview.plan.is_empty() && deletes(&preview, prunes).is_empty();
    Ok(if same || args.exit_zero {
        Exit::Ok
    } else {
        Exit::Negative
    })
}

/// Renders the revisions in status again, from the repository of the directory; one counts if its digest agrees.
/// Without them drift cannot be told from a conflict, and what left git is known by the marks alone.
fn before(directory: &Path, application: &Application, namespace: &str) -> Vec<Rendered> {
    let Some(status) = &application.status else {
        return Vec::new();
    };
    let mut before: Vec<Rendered> = Vec::new();
    for set in [&status.last_known_good, &status.applied]
        .into_iter()
        .flatten()
    {
        if before.iter().any(|known| *known.digest() == set.digest) {
            continue;
        }
        let snapshot = match source::checked_out(directory, &set.revision) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return before,
            Err(error) => {
                output::message(&format!("not read: {}", text::chain(&error)));
                continue;
            }
        };
        let spec = RenderSpec {
            path: application.spec.source.path.clone(),
            default_namespace: namespace.to_owned(),
        };
        // A revision that does not render as it did is not what was applied, and says nothing here.
        if let Ok(rendered) = pipeline::render_local(
            snapshot.files(),
            &spec,
            &kustomize::Options::default(),
            &str::to_owned,
        ) && *rendered.digest() == set.digest
        {
            before.push(rendered);
        }
    }
    before
}

fn deletes(preview: &Preview, prunes: bool) -> &[Doomed] {
    if prunes { preview.prune.deletes() } else { &[] }
}

fn value(preview: &Preview, prunes: bool) -> serde_json::Value {
    let change = |change: &Change| {
        let fields: Vec<_> = change
            .fields
            .iter()
            .map(|field| json!({"path": field.path, "from": field.from, "to": field.to}))
            .collect();
        json!({
            "object": change.object.id().to_string(), "action": change.action.as_str(), "fields": fields,
            "warnings": change.warnings
        })
    };
    let needs_approval = match preview.prune.verdict() {
        Verdict::NeedsApproval { why } if prunes => {
            json!({"plan": preview.prune.hash(), "why": why})
        }
        Verdict::NeedsApproval { .. } | Verdict::Nothing | Verdict::Open => serde_json::Value::Null,
    };
    let finding = |refuses: bool| {
        move |finding: &Finding| {
            json!({
                "rule": finding.rule.as_str(), "object": finding.id.to_string(),
                "location": finding.location.as_ref().map(ToString::to_string),
                "message": finding.message, "advice": finding.advice, "refuses": refuses,
            })
        }
    };
    let refusing = preview.findings.refused().iter().map(finding(true));
    let told = preview.findings.told().iter().map(finding(false));
    let names = |ids: &[Doomed]| -> Vec<String> {
        ids.iter().map(|doomed| doomed.id.to_string()).collect()
    };
    json!({
        "apiVersion": "cli.plimsoll.dev/v1",
        "changes": preview.plan.changes().map(change).collect::<Vec<_>>(),
        "deletes": names(deletes(preview, prunes)),
        "needsApproval": needs_approval,
        "kept": preview.prune.kept().iter().map(|(id, why)| format!("{id} {why}")).collect::<Vec<_>>(),
        "refused": preview.plan.refused().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "preflight": refusing.chain(told).collect::<Vec<_>>(),
        "notChecked": preview.not_checked,
        "unchanged": preview.plan.unchanged(),
        "notRead": preview.not_read,
    })
}
