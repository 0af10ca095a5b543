//! Applications that must be Ready first.
//!
//! Enters: the names in `dependsOn` and what the cluster says of them.
//! Leaves: what is waited for, if anything.
//! Never: another namespace.

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
        if other
            .spec
            .depends_on
            .iter()
            .any(|back| back.name == subject.key.name)
        {
            return Ok(Some(invalid(format!(
                "{key} and this Application depend on each other"
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

fn is_ready(application: &Application) -> bool {
    let generation = application.metadata.generation.unwrap_or_default();
    application.status.as_ref().is_some_and(|status| {
        status.observed_generation == generation
            && status.conditions.iter().any(|condition| {
                condition.kind == ConditionType::Ready && condition.status == ConditionStatus::True
            })
    })
}
