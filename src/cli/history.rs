//! `plimsoll history`: the records of attempts and commands.
//!
//! Enters: filters.
//! Leaves: a table, an export, the story of one record; with --verify the verdict on each chain.
//! Never: trust in columns; what is shown and judged is the recorded text.

use std::collections::VecDeque;

use serde_json::Value;

use super::{
    Exit, Failure,
    args::{HistoryArgs, HistoryVerb, OutputFormat, RecordFormat, ShowArgs},
    output,
    records::{Store, filter, verdict},
};
use crate::{
    history::{
        Filter, Told, Verdict, cd_event, csv_header, csv_line, moment, record_name, statement, word,
    },
    model::text,
};

pub(super) async fn run(args: &HistoryArgs) -> Result<Exit, Failure> {
    if let Some(HistoryVerb::Show(args)) = &args.verb {
        return show(args).await;
    }
    let records = &args.records;
    let store = Store::open(&records.from, &records.connect, records.all_namespaces).await?;
    if args.verify {
        let verdict = verdict(&store, records, &args.key).await?;
        return say(&verdict, args.key.key.is_some());
    }
    let filter = filter(records, &store)?;
    match args.output {
        RecordFormat::Csv | RecordFormat::Jsonl | RecordFormat::Cdevents | RecordFormat::Intoto => {
            export(&store, &filter, args).await
        }
        RecordFormat::Table
        | RecordFormat::Wide
        | RecordFormat::Name
        | RecordFormat::Json
        | RecordFormat::Yaml => list(&store, &filter, args).await,
    }
}

/// Prints each record as it comes: no export is too long for the memory.
async fn export(store: &Store, filter: &Filter, args: &HistoryArgs) -> Result<Exit, Failure> {
    if args.limit.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "an export is whole: --limit is for tables",
        ));
    }
    if args.output == RecordFormat::Csv {
        output::text(&csv_header())?;
    }
    let format = args.output;
    store
        .each_meant(filter, |told, line| {
            let value = match format {
                RecordFormat::Csv => return output::text(&csv_line(&told.value)),
                RecordFormat::Cdevents => cd_event(&told.value, &told.hash),
                RecordFormat::Intoto => statement(&told.value, &told.hash),
                RecordFormat::Jsonl
                | RecordFormat::Table
                | RecordFormat::Wide
                | RecordFormat::Name
                | RecordFormat::Json
                | RecordFormat::Yaml => return output::text(&format!("{line}\n")),
            };
            value.map_or(Ok(()), |value| output::text(&format!("{value}\n")))
        })
        .await?;
    Ok(Exit::Ok)
}

async fn list(store: &Store, filter: &Filter, args: &HistoryArgs) -> Result<Exit, Failure> {
    let most = args.limit.unwrap_or(usize::MAX);
    let mut meant: VecDeque<Told> = VecDeque::new();
    store
        .each_meant(filter, |told, _| {
            meant.push_back(told);
            // With a limit twice as many are held at most, until they can be put in order of time.
            if meant.len() >= most.saturating_mul(2).max(1024) && args.limit.is_some() {
                newest(&mut meant, most);
            }
            Ok(())
        })
        .await?;
    if args.limit.is_some() {
        newest(&mut meant, most);
    }
    let mut all: Vec<Told> = meant.into();
    all.sort_by(|a, b| (&a.chain, a.sequence).cmp(&(&b.chain, b.sequence)));
    let values: Vec<&Value> = all.iter().map(|told| &told.value).collect();
    match args.output {
        RecordFormat::Json => output::json(&values)?,
        RecordFormat::Yaml => output::yaml(&values)?,
        RecordFormat::Name => {
            let names: Vec<String> = all
                .iter()
                .map(|told| {
                    let name = record_name(&told.chain.name, &told.chain.uid, told.sequence);
                    format!("syncrecord.plimsoll.dev/{name}\n")
                })
                .collect();
            output::text(&names.concat())?;
        }
        RecordFormat::Table
        | RecordFormat::Wide
        | RecordFormat::Csv
        | RecordFormat::Jsonl
        | RecordFormat::Cdevents
        | RecordFormat::Intoto => {
            let wide = args.output == RecordFormat::Wide;
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
                header.extend(["TRIGGER", "ACTOR", "AUTHOR", "SUBJECT"]);
            }
            output::text(&output::table(&header, &rows))?;
        }
    }
    Ok(Exit::Ok)
}

fn newest(meant: &mut VecDeque<Told>, most: usize) {
    meant
        .make_contiguous()
        .sort_by_key(|told| (moment(&told.value, "ended"), told.sequence));
    let excess = meant.len().saturating_sub(most);
    meant.drain(..excess);
}

/// Prints a verdict; the exit code says whether all is whole.
fn say(verdict: &Verdict, has_key: bool) -> Result<Exit, Failure> {
    for chain in &verdict.chains {
        let word = if chain.broken { "BROKEN" } else { "ok" };
        let from = if chain.first > 1 {
            format!(" (records 1 to {} are not here)", chain.first - 1)
        } else {
            String::new()
        };
        let covered = match chain.covered {
            Some(covered) => format!(", signed up to {covered}"),
            None => String::new(),
        };
        let records = usize::try_from(chain.head.sequence - chain.first + 1).unwrap_or(usize::MAX);
        output::text(&format!(
            "{word:<7} {}: {}{from}{covered}, {}\n",
            chain.chain,
            text::plural(records, "record"),
            chain.head.hash
        ))?;
    }
    for (chain, sequence) in &verdict.absent {
        output::text(&format!(
            "absent  {chain}: no record is here; a checkpoint knows {sequence}\n"
        ))?;
    }
    for fault in &verdict.faults {
        output::text(&format!("fault   {fault}\n"))?;
    }
    if verdict.more_faults > 0 {
        output::text(&format!("fault   and {} more\n", verdict.more_faults))?;
    }
    let newest = verdict
        .newest_checkpoint
        .map_or_else(String::new, |number| format!(", the newest is {number}"));
    let checked = match (verdict.checkpoints, has_key) {
        (0, _) => "no checkpoint: what was cut off at the end of a chain shows only in the status"
            .to_owned(),
        (count, true) => format!(
            "{}{newest}, signatures checked",
            text::plural(count, "checkpoint")
        ),
        (count, false) => format!(
            "{}{newest}, signatures not checked: give --key",
            text::plural(count, "checkpoint")
        ),
    };
    output::message(&checked);
    Ok(if verdict.is_whole() {
        Exit::Ok
    } else {
        Exit::Negative
    })
}

async fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let store = Store::open(&args.from, &args.connect, false).await?;
    let filter = Filter {
        namespace: store.namespace(&args.connect),
        application: Some(args.application.clone()),
        ..Filter::default()
    };
    let mut found: Option<Told> = None;
    store
        .each_meant(&filter, |told, _| {
            let later =
                |known: &Told| moment(&known.value, "ended") <= moment(&told.value, "ended");
            // Of Applications of one name the newest is meant.
            if told.sequence == args.number && found.as_ref().is_none_or(later) {
                found = Some(told);
            }
            Ok(())
        })
        .await?;
    let Some(told) = found else {
        return Err(Failure::new(
            Exit::NotFound,
            format!(
                "record {} of {} does not exist",
                args.number, args.application
            ),
        )
        .hint(format!("plimsoll history {} lists all", args.application)));
    };
    match args.output {
        OutputFormat::Json => output::json(&told.value)?,
        OutputFormat::Yaml => output::yaml(&told.value)?,
        OutputFormat::Name | OutputFormat::Table | OutputFormat::Wide => {
            output::text(&output::story(&told))?;
        }
    }
    Ok(Exit::Ok)
}

fn row(value: &Value, wide: bool) -> Vec<String> {
    let number = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    let result = match word(value, "/result") {
        result if value.pointer("/ending/returned").is_some() => format!("{result}, returned"),
        result => result.to_owned(),
    };
    let revision = word(value, "/source/revision").to_owned();
    let short = revision
        .parse::<crate::model::Revision>()
        .map_or(revision, |revision| {
            format!("{}@{}", revision.reference, revision.short())
        });
    let details = [
        "/ending/reason",
        "/ending/message",
        "/details",
        "/command/by",
        "/command/reason",
    ]
    .into_iter()
    .map(|pointer| word(value, pointer))
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join(": ");
    let mut row = vec![
        number("/sequence").to_string(),
        word(value, "/application/name").to_owned(),
        word(value, "/times/ended").chars().take(19).collect(),
        word(value, "/action").to_owned(),
        result,
        short,
        number("/changes/count").to_string(),
        output::took(value, "began", "ended"),
        text::cut(&details, 100),
    ];
    if wide {
        let actor = match word(value, "/command/by") {
            "" => word(value, "/trigger/actor"),
            by => by,
        };
        row.push(word(value, "/trigger/cause").to_owned());
        row.push(actor.to_owned());
        row.push(word(value, "/source/commit/author").to_owned());
        row.push(word(value, "/source/commit/subject").to_owned());
    }
    row
}
