//! `plimsoll report`: a period, for auditors; `report dora`: its figures.
//!
//! Enters: which records.
//! Leaves: Markdown, HTML or JSON; a table of figures.
//! Never: a report that does not say whether its records are whole.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exit, Failure,
    args::{DoraArgs, OutputFormat, ReportArgs, ReportFormat, ReportVerb},
    output,
    records::{Store, filter, verdict},
};
use crate::{
    clock,
    history::{
        Compliance, Dora, Figures, Filter, Rated, html, markdown, moment, percentile, sections,
    },
    model::text,
};

pub(super) async fn run(args: &ReportArgs) -> Result<Exit, Failure> {
    if let Some(ReportVerb::Dora(args)) = &args.verb {
        return dora(args).await;
    }
    let records = &args.records;
    let store = Store::open(&records.from, &records.connect, records.all_namespaces).await?;
    let filter = filter(records, &store)?;
    let verdict = verdict(&store, records, &args.key).await?;
    let mut report = Compliance::default();
    store
        .each_meant(&filter, |told, _| {
            report.record(&told.value);
            Ok(())
        })
        .await?;
    let has_key = args.key.key.is_some();
    match args.output {
        ReportFormat::Markdown => output::text(&markdown(&report, &verdict, has_key))?,
        ReportFormat::Html => output::text(&html(&report, &verdict, has_key))?,
        ReportFormat::Json => {
            let population: Vec<Value> = report
                .population
                .iter()
                .map(|((action, result), count)| json!({"action": action, "result": result, "records": count}))
                .collect();
            let lists: BTreeMap<&str, Value> = sections(&report)
                .into_iter()
                .map(|(title, listed)| {
                    (title, json!({"count": listed.count, "lines": listed.lines}))
                })
                .collect();
            let faults: Vec<String> = verdict.faults.iter().map(ToString::to_string).collect();
            output::json(&json!({
                "apiVersion": "cli.plimsoll.dev/v1", "period": report.period, "population": population,
                "applications": report.applications, "lists": lists,
                "verdict": {"whole": verdict.is_whole(), "records": verdict.records, "checkpoints": verdict.checkpoints,
                            "signaturesChecked": has_key, "faults": faults}
            }))?;
        }
    }
    Ok(if verdict.is_whole() {
        Exit::Ok
    } else {
        Exit::Negative
    })
}

async fn dora(args: &DoraArgs) -> Result<Exit, Failure> {
    let records = &args.records;
    let store = Store::open(&records.from, &records.connect, records.all_namespaces).await?;
    let meant = filter(records, &store)?;
    // What ran before the period decides what is new in it.
    let all = Filter {
        since: None,
        ..meant.clone()
    };
    let mut dora = Dora::new(meant.since);
    let mut first: Option<Timestamp> = None;
    store
        .each_meant(&all, |told, _| {
            let ended = moment(&told.value, "ended");
            first = match (first, ended) {
                (Some(first), Some(ended)) => Some(first.min(ended)),
                (first, ended) => first.or(ended),
            };
            dora.record(&told.value);
            Ok(())
        })
        .await?;
    let until = meant.until.unwrap_or_else(|| clock::now().wall);
    let days = meant
        .since
        .or(first)
        .map_or(0, |since| (until.as_second() - since.as_second()).max(0))
        .div_euclid(86_400)
        .max(1);
    let (each, total) = dora.finish();
    let mut rows: Vec<(String, Rated)> = each
        .into_iter()
        .map(|((namespace, name), figures)| (format!("{namespace}/{name}"), figures))
        .collect();
    rows.push(("all".to_owned(), total));
    match args.output {
        OutputFormat::Json | OutputFormat::Yaml => {
            let values: Vec<Value> = rows
                .iter()
                .map(|(name, (figures, rate))| {
                    json!({
                        "application": name, "days": days, "deployments": figures.deployments,
                        "leadTimeSeconds": {"median": percentile(&figures.lead_times, 50), "p90": percentile(&figures.lead_times, 90)},
                        "failures": figures.failures, "failureRatePerMille": rate,
                        "recoverySeconds": {"median": percentile(&figures.recoveries, 50), "p90": percentile(&figures.recoveries, 90)},
                        "rework": figures.rework
                    })
                })
                .collect();
            if args.output == OutputFormat::Json {
                output::json(&values)?;
            } else {
                output::yaml(&values)?;
            }
        }
        OutputFormat::Table | OutputFormat::Wide | OutputFormat::Name => {
            let header = [
                "APPLICATION",
                "DEPLOYMENTS",
                "A DAY",
                "LEAD TIME",
                "P90",
                "FAILED",
                "RATE",
                "RESTORED IN",
                "P90",
                "REWORK",
            ];
            let rows: Vec<Vec<String>> = rows
                .iter()
                .map(|(name, (figures, rate))| row(name, figures, *rate, days))
                .collect();
            output::text(&output::table(&header, &rows))?;
        }
    }
    Ok(Exit::Ok)
}

fn row(name: &str, figures: &Figures, rate: Option<u64>, days: i64) -> Vec<String> {
    let time = |sorted: &[i64], per_cent| {
        percentile(sorted, per_cent).map_or_else(
            || "-".to_owned(),
            |seconds| {
                text::duration(Duration::from_secs(
                    u64::try_from(seconds).unwrap_or_default(),
                ))
            },
        )
    };
    let tenth = |value: u64| format!("{}.{}", value / 10, value % 10);
    let days = u64::try_from(days).unwrap_or(1);
    vec![
        name.to_owned(),
        figures.deployments.to_string(),
        tenth(figures.deployments * 10 / days),
        time(&figures.lead_times, 50),
        time(&figures.lead_times, 90),
        figures.failures.to_string(),
        rate.map_or_else(|| "-".to_owned(), |rate| format!("{} %", tenth(rate))),
        time(&figures.recoveries, 50),
        time(&figures.recoveries, 90),
        figures.rework.to_string(),
    ]
}
