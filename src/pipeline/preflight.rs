//! Preflight: what a planned set would run into.
//!
//! Enters: a plan that nothing refuses, and who reads.
//! Leaves: findings, and what was not checked because it could not be read.
//! Never: a finding for what may not be read; a value of a Secret: only whether it is there.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream};

use super::{
    Error, Memory,
    lists::{self, Lists},
    memory::Wanted,
};
use crate::{
    api::{ApplicationSpec, Class, PreflightMode, PreflightRule, PreflightSpec, Reason},
    cluster::{self, Reader},
    model::{Object, ObjectId, text},
    plan::{Change, Plan},
    preflight::{Case, Facts, Finding, Findings, Scale, Touched, Wants, check, wants},
    report::Notice,
    rollout::Failure,
};

/// Questions in flight of one Application.
const AT_ONCE: usize = 8;
/// Names that one set may have looked up; further ones are not checked.
const REFERENCES: usize = 200;
/// Findings that a message holds.
const SHOWN: usize = 10;

/// What was found, and what could not be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Preflight {
    pub(super) findings: Findings,
    pub(super) not_checked: Vec<String>,
}

/// Looks at a plan with the rights of the reader. With `shared`, lists for rules that only tell may be a little old.
///
/// What it may not read is not checked.
///
/// # Errors
/// The cluster cannot be asked about what a rule refuses for: it is looked at again, and not let pass.
pub(super) async fn look(
    reader: &Reader,
    objects: &[Object],
    plan: &Plan,
    spec: &ApplicationSpec,
    shared: Option<(&Lists, Duration)>,
) -> Result<Preflight, Error> {
    let touched: Vec<Touched> = plan.changes().map(touched).collect();
    let wants = wants(objects, &touched, &spec.preflight);
    let mut not_checked = Vec::new();
    let facts = read(reader, wants, &spec.preflight, shared, &mut not_checked).await?;
    let timeout: Duration = spec.health.timeout.into();
    let case = Case {
        objects,
        touched: &touched,
        facts: &facts,
        timeout,
    };
    not_checked.sort_unstable();
    Ok(Preflight {
        findings: check(case, &spec.preflight),
        not_checked,
    })
}

fn touched(change: &Change) -> Touched {
    let replicas = change
        .fields
        .iter()
        .find(|field| field.path == ".spec.replicas");
    Touched {
        id: change.object.id().clone(),
        existed: change.existed && change.replaces.is_none(),
        rolls: change
            .fields
            .iter()
            .any(|field| field.path.starts_with(".spec.template")),
        scale: match replicas.map(|field| field.from.as_deref().map(str::parse)) {
            None => Scale::Same,
            Some(Some(Ok(before))) => Scale::From(before),
            Some(None | Some(Err(_))) => Scale::FirstStated,
        },
        warnings: change.warnings.clone(),
    }
}

async fn read(
    reader: &Reader,
    wants: Wants,
    spec: &PreflightSpec,
    shared: Option<(&Lists, Duration)>,
    not_checked: &mut Vec<String>,
) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for (namespaces, (api_version, kind, rule), into) in [
        (
            wants.quotas,
            ("v1", "ResourceQuota", PreflightRule::QuotaHeadroom),
            &mut facts.quotas,
        ),
        (
            wants.budgets,
            (
                "policy/v1",
                "PodDisruptionBudget",
                PreflightRule::DisruptionBudget,
            ),
            &mut facts.budgets,
        ),
        (
            wants.autoscalers,
            (
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                PreflightRule::AutoscaledReplicas,
            ),
            &mut facts.autoscalers,
        ),
    ] {
        for namespace in namespaces {
            // What refuses is judged by what is there now.
            let shared = shared.filter(|_| spec.mode(rule) == PreflightMode::Warn);
            let list = match shared {
                Some((lists, now)) => {
                    lists
                        .get(reader, (api_version, kind), &namespace, now)
                        .await
                }
                None => lists::read(reader, (api_version, kind), &namespace).await,
            };
            match list {
                Ok(Ok(all)) => {
                    into.insert(namespace, all.to_vec());
                }
                Ok(Err(why)) => {
                    not_checked.push(format!("{} of {namespace} ({why})", rule.as_str()));
                }
                Err(error) => not_checked.push(unread(spec, rule, &namespace, error)?),
            }
        }
    }
    let beyond = wants.references.len().saturating_sub(REFERENCES);
    if beyond > 0 {
        not_checked.push(format!(
            "{} of {beyond} further names",
            PreflightRule::MissingReference.as_str()
        ));
    }
    let names: Vec<ObjectId> = wants.references.into_iter().take(REFERENCES).collect();
    let asked: Vec<_> = names.iter().map(|id| is_absent(reader, id)).collect();
    let answers: Vec<Result<bool, cluster::Error>> =
        stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (id, absent) in names.into_iter().zip(answers) {
        match absent {
            Ok(true) => {
                facts.absent.insert(id);
            }
            Ok(false) => {}
            Err(error) => {
                let rule = PreflightRule::MissingReference;
                not_checked.push(unread(spec, rule, &id, error)?);
            }
        }
    }
    Ok(facts)
}

/// Says what is not checked for want of a right; any other failure counts as one where the rule refuses.
fn unread(
    spec: &PreflightSpec,
    rule: PreflightRule,
    what: &dyn std::fmt::Display,
    error: cluster::Error,
) -> Result<String, Error> {
    let may_not = matches!(
        error,
        cluster::Error::Forbidden { .. } | cluster::Error::KindUnknown { .. }
    );
    if !may_not && spec.mode(rule) == PreflightMode::Enforce {
        return Err(error.into());
    }
    Ok(format!("{} of {what} ({error})", rule.as_str()))
}

async fn is_absent(reader: &Reader, id: &ObjectId) -> Result<bool, cluster::Error> {
    Ok(reader.get("v1", id).await?.is_none())
}

/// Says whether nothing refuses a set: it runs already, or a person chose it.
pub(super) fn is_let_pass(memory: &Memory, wanted: &Wanted) -> bool {
    let digest = &wanted.desired.digest;
    memory.pinned.is_some()
        || memory
            .rollout
            .applied
            .iter()
            .chain(&memory.rollout.good)
            .any(|set| set.digest == *digest)
}

/// Returns the failure of a set that findings refuse.
pub(super) fn refusal(memory: &Memory, wanted: &Wanted, refused: &[Finding]) -> Failure {
    let running = memory.rollout.applied.as_ref().map_or_else(
        || "nothing was applied".to_owned(),
        |set| format!("still running {}; nothing was changed", set.revision),
    );
    Failure {
        reason: Reason::PreflightRefused,
        class: Class::Change,
        message: text::cut(
            &format!(
                "{}: {} that may not pass: {}; {running}",
                wanted.desired.revision,
                text::plural(refused.len(), "finding"),
                text::list(refused, SHOWN)
            ),
            1500,
        ),
    }
}

/// Returns what people are told of a set that is applied all the same; nothing a second time for one digest.
pub(super) fn tell(memory: &mut Memory, wanted: &Wanted, told: &[Finding]) {
    let digest = &wanted.desired.digest;
    if told.is_empty() || memory.preflight_told.as_ref() == Some(digest) {
        return;
    }
    memory.preflight_told = Some(digest.clone());
    memory.notices.push(Notice {
        warning: true,
        reason: Reason::PreflightWarning,
        message: text::cut(
            &format!(
                "{}: {}, and the set is applied all the same: {}",
                wanted.desired.revision,
                text::plural(told.len(), "finding"),
                text::list(told, SHOWN)
            ),
            1000,
        ),
    });
}

/// Returns the names of the rules that found something, for the record.
pub(super) fn rules(findings: &[Finding]) -> String {
    let rules: BTreeSet<PreflightRule> = findings.iter().map(|finding| finding.rule).collect();
    let rules: Vec<&str> = rules.into_iter().map(PreflightRule::as_str).collect();
    text::list(&rules, PreflightRule::ALL.len())
}
