//! `plimsoll get`: Applications and how they are.
//!
//! Enters: a name or none.
//! Leaves: a table; exit 1 where one that was asked for is not Ready.
//! Never: a state that the status does not say.

use super::{
    Exit, Failure,
    args::{GetArgs, OutputFormat},
    input, output,
};
use crate::{
    api::{Application, Condition, ConditionStatus, ConditionType},
    clock,
    model::text,
};

pub(super) async fn run(args: &GetArgs) -> Result<Exit, Failure> {
    let connected = input::connect(&args.connect).await?;
    let applications = match &args.application {
        Some(name) => vec![connected.application(name).await?],
        None => connected.applications(args.all_namespaces).await?,
    };
    match args.output {
        OutputFormat::Json => output::json(&applications)?,
        OutputFormat::Yaml => output::yaml(&applications)?,
        OutputFormat::Name => {
            let names: Vec<String> = applications
                .iter()
                .map(|application| {
                    format!(
                        "application.plimsoll.dev/{}\n",
                        application.metadata.name.as_deref().unwrap_or_default()
                    )
                })
                .collect();
            output::text(&names.concat())?;
        }
        OutputFormat::Table | OutputFormat::Wide => {
            let wide = args.output == OutputFormat::Wide;
            output::text(&table(&applications, args.all_namespaces, wide))?;
        }
    }
    let asked_and_not_ready = args.application.is_some()
        && applications
            .iter()
            .any(|application| !is_ready(application));
    Ok(if asked_and_not_ready {
        Exit::Negative
    } else {
        Exit::Ok
    })
}

pub(super) fn condition(application: &Application, kind: ConditionType) -> Option<&Condition> {
    application
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.kind == kind)
}

fn is_ready(application: &Application) -> bool {
    condition(application, ConditionType::Ready)
        .is_some_and(|condition| condition.status == ConditionStatus::True)
}

fn table(applications: &[Application], all_namespaces: bool, wide: bool) -> String {
    let mut header = vec![
        "NAME", "READY", "HEALTH", "PHASE", "REVISION", "SINCE", "MESSAGE",
    ];
    if all_namespaces {
        header.insert(0, "NAMESPACE");
    }
    if wide {
        header.push("DIGEST");
        header.push("ATTEMPT");
    }
    let rows: Vec<Vec<String>> = applications
        .iter()
        .map(|application| {
            let mut row = row(application);
            if all_namespaces {
                row.insert(
                    0,
                    application.metadata.namespace.clone().unwrap_or_default(),
                );
            }
            if wide {
                let status = application.status.as_ref();
                let applied = status.and_then(|status| status.applied.as_ref());
                row.push(applied.map_or_else(String::new, |set| set.digest.short().to_owned()));
                row.push(status.map_or_else(String::new, |status| status.attempt.to_string()));
            }
            row
        })
        .collect();
    output::table(&header, &rows)
}

fn row(application: &Application) -> Vec<String> {
    let ready = condition(application, ConditionType::Ready);
    let healthy = condition(application, ConditionType::Healthy);
    let status = application.status.as_ref();
    let now = clock::now().wall;
    let word = |condition: Option<&Condition>| {
        condition.map_or("Unknown", |condition| match condition.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        })
    };
    let health = healthy.map_or_else(
        || "Unknown".to_owned(),
        |condition| condition.reason.clone(),
    );
    let since = ready.map_or_else(String::new, |condition| {
        let age = now
            .as_second()
            .saturating_sub(condition.last_transition_time.as_second());
        text::duration(std::time::Duration::from_secs(
            u64::try_from(age).unwrap_or_default(),
        ))
    });
    vec![
        application.metadata.name.clone().unwrap_or_default(),
        word(ready).to_owned(),
        health,
        status.map_or_else(String::new, |status| status.phase.as_str().to_owned()),
        status
            .and_then(|status| status.applied.as_ref())
            .map_or_else(String::new, |set| {
                format!("{}@{}", set.revision.reference, set.revision.short())
            }),
        since,
        ready.map_or_else(String::new, |condition| text::cut(&condition.message, 160)),
    ]
}
