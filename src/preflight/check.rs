//! All rules, over one set.
//!
//! Enters: `Case`.
//! Leaves: `Findings`.
//! Never: a rule that is off; a rule that looks at another's findings.

use std::time::Duration;

use super::{
    availability, capacity,
    facts::{Facts, Touched},
    finding::{Finding, Findings},
    image, reference, version,
};
use crate::{
    api::{PreflightRule, PreflightSpec},
    model::Object,
};

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The set as it would be sent.
    pub objects: &'a [Object],
    /// What is to be written of it. Facts of the cluster count for these alone: what does not change ran before.
    pub touched: &'a [Touched],
    /// What is known of the cluster.
    pub facts: &'a Facts,
    /// Time that the Application gives its set to become Ready.
    pub timeout: Duration,
}

/// Looks at a set.
pub fn check(case: Case<'_>, spec: &PreflightSpec) -> Findings {
    let mut all = Vec::new();
    all.extend(capacity::headroom(case));
    all.extend(capacity::autoscaled(case));
    all.extend(availability::unprobed(case.objects));
    all.extend(availability::budgets(case));
    all.extend(availability::deadlines(case));
    all.extend(reference::missing(case));
    all.extend(image::mutable(case.objects));
    all.extend(version::deprecated(case.objects));
    all.extend(warnings(case));
    Findings::sorted(all, spec)
}

fn warnings(case: Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let warned = case
        .touched
        .iter()
        .filter(|touched| !touched.warnings.is_empty());
    for touched in warned {
        let Some(object) = case
            .objects
            .iter()
            .find(|object| *object.id() == touched.id)
        else {
            continue;
        };
        for warning in &touched.warnings {
            found.push(Finding::of(
                PreflightRule::ServerWarning,
                object,
                format!("the API server warns: {warning}"),
                "change what it names, or set this rule to off",
            ));
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::PreflightMode,
        model::Location,
        preflight::{Scale, wants},
    };

    pub(in crate::preflight) fn object(value: Value) -> Object {
        Object::new(value, Some(Location::line("deploy/all.yaml", 7))).unwrap()
    }

    pub(in crate::preflight) fn touched(object: &Object, existed: bool) -> Touched {
        Touched {
            id: object.id().clone(),
            existed,
            rolls: existed,
            scale: Scale::Same,
            warnings: Vec::new(),
        }
    }

    pub(in crate::preflight) fn facts() -> Facts {
        Facts::default()
    }

    pub(in crate::preflight) fn case<'a>(
        objects: &'a [Object],
        touched: &'a [Touched],
        facts: &'a Facts,
    ) -> Case<'a> {
        Case {
            objects,
            touched,
            facts,
            timeout: Duration::from_secs(300),
        }
    }

    fn sloppy() -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": {
                "serviceAccountName": "web", "containers": [{"name": "web", "image": "web"}],
            }}},
        }))
    }

    #[test]
    fn modes_divide_what_was_found() {
        let objects = [sloppy()];
        let facts = facts();
        let found = |spec: Value| {
            let spec: PreflightSpec = serde_json::from_value(spec).unwrap();
            let findings = check(case(&objects, &[], &facts), &spec);
            (findings.told().len(), findings.refused().len())
        };
        assert_eq!(found(json!({})), (1, 0));
        assert_eq!(found(json!({"default": "enforce"})), (0, 1));
        assert_eq!(found(json!({"default": "off"})), (0, 0));
        assert_eq!(
            found(json!({"default": "off", "rules": {"mutableTag": "enforce"}})),
            (0, 1)
        );
        let spec = PreflightSpec {
            default: PreflightMode::Enforce,
            ..PreflightSpec::default()
        };
        let told = check(case(&objects, &[], &facts), &spec).only_told();
        assert_eq!((told.told().len(), told.refused().len()), (1, 0));
    }

    #[test]
    fn what_the_server_warns_of_is_a_finding_of_its_object() {
        let objects = [sloppy()];
        let facts = facts();
        let warned = [Touched {
            warnings: vec!["unknown field \"spec.x\"".into()],
            ..touched(&objects[0], true)
        }];
        let spec: PreflightSpec = serde_json::from_value(json!({
            "default": "off", "rules": {"serverWarning": "warn"}
        }))
        .unwrap();
        let found = check(case(&objects, &warned, &facts), &spec);
        assert_eq!(
            found.told()[0].to_string(),
            "serverWarning: Deployment/shop/web (deploy/all.yaml:7): the API server warns: unknown field \"spec.x\"; change what it names, or set this rule to off"
        );
        let quiet = [touched(&objects[0], true)];
        assert_eq!(check(case(&objects, &quiet, &facts), &spec).told(), []);
    }

    #[test]
    fn nothing_is_read_for_rules_that_are_off_or_objects_that_stay() {
        let objects = [sloppy()];
        let new = [touched(&objects[0], false)];
        let spec = PreflightSpec::default();
        let wanted = wants(&objects, &new, &spec);
        assert_eq!((wanted.quotas.len(), wanted.budgets.len()), (1, 0));
        assert!(wanted.autoscalers.is_empty(), "no replicas are stated");
        assert_eq!(wanted.references.len(), 1);
        let enforced = PreflightSpec {
            rules: [("disruptionBudget".to_owned(), PreflightMode::Enforce)].into(),
            ..spec.clone()
        };
        assert_eq!(wants(&objects, &new, &enforced).budgets.len(), 1);
        let scaled = [Touched {
            scale: Scale::From(3),
            ..touched(&objects[0], true)
        }];
        assert_eq!(wants(&objects, &scaled, &spec).budgets.len(), 1);
        // Pods that stay as they are: neither room nor budgets are asked about.
        let same = [Touched {
            rolls: false,
            ..touched(&objects[0], true)
        }];
        let wanted = wants(&objects, &same, &spec);
        assert_eq!(wanted.quotas.len() + wanted.budgets.len(), 0);
        assert_eq!(wanted.references.len(), 1, "names outside of the set");
        assert_eq!(wants(&objects, &[], &spec), super::super::Wants::default());
        let off = PreflightSpec {
            default: PreflightMode::Off,
            ..spec
        };
        assert_eq!(wants(&objects, &new, &off), super::super::Wants::default());
    }
}
