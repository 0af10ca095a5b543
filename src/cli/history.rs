//! `plimsoll history`: the records of attempts and commands.
//!
//! Enters: filters.
//! Leaves: a table, or the records themselves; with --verify the verdict on each chain.
//! Never: trust in columns; the verdict is of the recorded text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Exit, Failure,
    args::{HistoryArgs, OutputFormat},
    input, output,
};
use crate::{
    api::SyncRecord,
    history::{Link, verify},
    model::text,
};

pub(super) async fn run(args: &HistoryArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let mut records = connected.records(args.all_namespaces).await?;
    records.retain(|record| {
        args.application
            .as_ref()
            .is_none_or(|name| record.spec.application == *name)
    });
    records.sort_by_key(|record| {
        (
            record.metadata.namespace.clone(),
            chain_of(record),
            record.spec.sequence,
        )
    });
    if args.verify {
        return check(&records);
    }
    records.retain(|record| {
        args.result
            .as_ref()
            .is_none_or(|result| record.spec.result.eq_ignore_ascii_case(result))
    });
    let values: Vec<Value> = records
        .iter()
        .map(|record| serde_json::from_str(&record.spec.record).unwrap_or(Value::Null))
        .collect();
    match args.output {
        OutputFormat::Json => output::json(&values)?,
        OutputFormat::Yaml => output::yaml(&values)?,
        OutputFormat::Name => {
            let names: Vec<String> = records
                .iter()
                .map(|record| {
                    format!(
                        "syncrecord.plimsoll.dev/{}\n",
                        record.metadata.name.as_deref().unwrap_or_default()
                    )
                })
                .collect();
            output::text(&names.concat())?;
        }
        OutputFormat::Table | OutputFormat::Wide => {
            let wide = args.output == OutputFormat::Wide;
            let rows: Vec<Vec<String>> = values.iter().map(|value| row(value, wide)).collect();
            let mut header = vec![
                "SEQ",
                "APPLICATION",
                "ENDED",
                "ACTION",
                "RESULT",
                "REVISION",
                "CHANGED",
                "TOOK",
                "DETAILS",
            ];
            if wide {
                header.push("AUTHOR");
                header.push("SUBJECT");
            }
            output::text(&output::table(&header, &rows))?;
        }
    }
    Ok(Exit::Ok)
}

/// Records of one Application by its UID: a name that is used again begins a new chain.
fn chain_of(record: &SyncRecord) -> String {
    let name = record.metadata.name.as_deref().unwrap_or_default();
    name.rsplit_once('-')
        .map_or(name, |(chain, _)| chain)
        .to_owned()
}

fn check(records: &[SyncRecord]) -> Result<Exit, Failure> {
    let mut chains: BTreeMap<(String, String), Vec<Link>> = BTreeMap::new();
    for record in records {
        let namespace = record.metadata.namespace.clone().unwrap_or_default();
        chains
            .entry((namespace, chain_of(record)))
            .or_default()
            .push(Link {
                text: record.spec.record.clone(),
            });
    }
    let mut whole = true;
    for ((namespace, chain), links) in &chains {
        let line = match verify(links, None) {
            Ok(head) => {
                let hash = head.map_or_else(String::new, |head| head.hash.to_string());
                format!(
                    "ok      {namespace}/{chain}: {}, {hash}\n",
                    text::plural(links.len(), "record")
                )
            }
            Err(broken) => {
                whole = false;
                format!("BROKEN  {namespace}/{chain}: {broken}\n")
            }
        };
        output::text(&line)?;
    }
    Ok(if whole { Exit::Ok } else { Exit::Negative })
}

fn row(value: &Value, wide: bool) -> Vec<String> {
    let text_at = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let command = text_at("/command/verb");
    let action = if command.is_empty() {
        text_at("/action")
    } else {
        command
    };
    let result = match text_at("/result") {
        result if result.is_empty() => "Done".to_owned(),
        result if value.pointer("/ending/returned").is_some() => format!("{result}, returned"),
        result => result,
    };
    let revision = text_at("/source/revision");
    let short = revision
        .parse::<crate::model::Revision>()
        .map_or(revision, |revision| {
            format!("{}@{}", revision.reference, revision.short())
        });
    let details = [
        text_at("/ending/reason"),
        text_at("/ending/message"),
        text_at("/details"),
        text_at("/command/by"),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join(": ");
    let mut row = vec![
        number("/sequence").to_string(),
        text_at("/application/name"),
        text_at("/times/ended").chars().take(19).collect(),
        action,
        result,
        short,
        number("/changes/count").to_string(),
        took(&text_at("/times/began"), &text_at("/times/ended")),
        text::cut(&details, 100),
    ];
    if wide {
        row.push(text_at("/source/commit/author"));
        row.push(text_at("/source/commit/subject"));
    }
    row
}

fn took(began: &str, ended: &str) -> String {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (Some(began), Some(ended)) = (parse(began), parse(ended)) else {
        return String::new();
    };
    let millis = ended
        .as_millisecond()
        .saturating_sub(began.as_millisecond());
    text::duration(std::time::Duration::from_millis(
        u64::try_from(millis).unwrap_or_default(),
    ))
}
