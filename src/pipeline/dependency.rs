//! Applications that must be Ready first.
//!
//! Enters: the names in `dependsOn` and what the cluster says of them.
//! Leaves: what is waited for, if anything.
//! Never: another namespace.

use std::collections::{BTreeSet, VecDeque};

use super::{Context, Error, Subject};
use crate::{
    api::{Application, Class, ConditionStatus, ConditionType, Reason},
    model::ApplicationKey,
    rollout::Failure,
};

/// Returns why the Application must wait, or None where all that it depends on is Ready.
pub(super) async fn waits_for(
    context: &Context,
    subject: &Subject,
) -> Result<Option<Failure>, Error> {
    for dependency in &subject.spec.depends_on {
        let invalid = |message: String| Failure {
            reason: Reason::DependencyInvalid,
            class: Class::Change,
            message,
        };
        if dependency.name == subject.key.name {
            return Ok(Some(invalid(
                "spec.dependsOn names the Application itself".to_owned(),
            )));
        }
        let key = ApplicationKey {
            namespace: subject.key.namespace.clone(),
            name: dependency.name.clone(),
        };
        let Some(other) = context.keeper.get_application(&key).await? else {
            return Ok(Some(invalid(format!(
                "spec.dependsOn names {key}, which does not exist"
            ))));
        };
        if is_ready(&other) && !names(&other).any(|name| name == subject.key.name) {
            continue;
        }
        if let Some(circle) = circle(context, subject, &other).await? {
            return Ok(Some(invalid(format!(
                "spec.dependsOn goes round in a circle: {}",
                circle.join(" -> ")
            ))));
        }
        if !is_ready(&other) {
            return Ok(Some(Failure {
                reason: Reason::DependencyNotReady,
                class: Class::Environment,
                message: format!("waits for Application {key} to be Ready"),
            }));
        }
    }
    Ok(None)
}

fn names(application: &Application) -> impl Iterator<Item = &str> {
    let dependencies = application.spec.depends_on.iter();
    dependencies.map(|dependency| dependency.name.as_str())
}

/// Returns how a dependency leads back to the Application, by name; None where it does not. Only those that are not
/// Ready are followed: one that is Ready lets others go on, whatever it depends on.
async fn circle(
    context: &Context,
    subject: &Subject,
    first: &Application,
) -> Result<Option<Vec<String>>, Error> {
    let own = subject.key.name.as_str();
    let start = vec![
        own.to_owned(),
        first.metadata.name.clone().unwrap_or_default(),
    ];
    let mut seen: BTreeSet<String> = start.iter().cloned().collect();
    let mut open: VecDeque<(Vec<String>, Application)> = [(start, first.clone())].into();
    while let Some((path, application)) = open.pop_front() {
        for name in names(&application) {
            let mut path = path.clone();
            path.push(name.to_owned());
            if name == own {
                return Ok(Some(path));
            }
            if seen.len() >= FOLLOWED || !seen.insert(name.to_owned()) {
                continue;
            }
            let key = ApplicationKey {
                namespace: subject.key.namespace.clone(),
                name: name.to_owned(),
            };
            if let Some(next) = context.keeper.get_application(&key).await?
                && !is_ready(&next)
            {
                open.push_back((path, next));
            }
        }
    }
    Ok(None)
}

/// Applications that are followed to find a circle: a chain that is longer waits, and says on what.
const FOLLOWED: usize = 32;

fn is_ready(application: &Application) -> bool {
    let generation = application.metadata.generation.unwrap_or_default();
    application.status.as_ref().is_some_and(|status| {
        status.observed_generation == generation
            && status.conditions.iter().any(|condition| {
                condition.kind == ConditionType::Ready && condition.status == ConditionStatus::True
            })
    })
}
