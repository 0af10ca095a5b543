//! `plimsoll diff`: what the controller would change.
//!
//! Enters: an Application of the cluster and a checked-out repository.
//! Leaves: the plan; exit 1 where something would change, 6 where it would be refused.
//! Never: a write; the person's own rights decide what can be seen.

use serde_json::json;

use super::{
    Exit, Failure,
    args::{DiffArgs, OutputFormat},
    input, output, render,
};
use crate::{
    pipeline,
    plan::{Change, Plan},
};

pub(super) async fn run(args: &DiffArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let application = connected.application(&args.application).await?;
    let key = connected.key(&args.application);
    let spec = &application.spec;
    let namespace = spec.target.namespace.as_ref().unwrap_or(&key.namespace);
    let rendered = render::local(&args.directory, &spec.source.path, namespace)?;
    let preview = pipeline::preview(&connected.cluster, &key, spec, &rendered).await?;
    match args.output {
        OutputFormat::Json => output::json(&value(&preview.plan))?,
        OutputFormat::Yaml => output::yaml(&value(&preview.plan))?,
        OutputFormat::Name => {
            let names: Vec<String> = preview
                .plan
                .changes()
                .map(|change| format!("{}\n", change.object.id()))
                .collect();
            output::text(&names.concat())?;
        }
        OutputFormat::Table | OutputFormat::Wide => output::text(&output::plan(&preview.plan))?,
    }
    if preview.plan.is_refused() {
        return Ok(Exit::Refused);
    }
    Ok(if preview.plan.is_empty() || args.exit_zero {
        Exit::Ok
    } else {
        Exit::Negative
    })
}

fn value(plan: &Plan) -> serde_json::Value {
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
    json!({
        "apiVersion": "cli.plimsoll.dev/v1",
        "changes": plan.changes().map(change).collect::<Vec<_>>(),
        "refused": plan.refused().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unchanged": plan.unchanged(),
    })
}
