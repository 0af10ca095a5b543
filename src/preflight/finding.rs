//! One finding, and all of one set.
//!
//! Enters: what the rules found, and `spec.preflight`.
//! Leaves: findings in a stable order, divided into told and refused.
//! Never: a value of a Secret; rules look at names, counts and images.

use std::fmt;

use crate::{
    api::{PreflightMode, PreflightRule, PreflightSpec},
    model::{Location, Object, ObjectId},
};

/// Something that a set would run into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule that found it.
    pub rule: PreflightRule,
    /// The object that must be changed.
    pub id: ObjectId,
    /// Where it stands in git; None where that is not known.
    pub location: Option<Location>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

impl Finding {
    pub(super) fn of(
        rule: PreflightRule,
        object: &Object,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            id: object.id().clone(),
            location: object.location().cloned(),
            message: message.into(),
            advice: advice.into(),
        }
    }
}

/// `mutableTag: Deployment/shop/web (deploy/web.yaml:1): image web has no tag; name a version or a digest`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.as_str(), self.id)?;
        if let Some(location) = &self.location {
            write!(f, " ({location})")?;
        }
        write!(f, ": {}; {}", self.message, self.advice)
    }
}

/// What was found of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    told: Vec<Finding>,
    refused: Vec<Finding>,
}

impl Findings {
    pub(super) fn sorted(mut all: Vec<Finding>, spec: &PreflightSpec) -> Self {
        all.sort();
        all.dedup();
        let mut findings = Self::default();
        for finding in all {
            match spec.mode(finding.rule) {
                PreflightMode::Warn => findings.told.push(finding),
                PreflightMode::Enforce => findings.refused.push(finding),
                PreflightMode::Off => {}
            }
        }
        findings
    }

    /// Returns the findings that are told, by rule and object.
    pub fn told(&self) -> &[Finding] {
        &self.told
    }

    /// Returns the findings that refuse the set, by rule and object.
    pub fn refused(&self) -> &[Finding] {
        &self.refused
    }

    /// Returns the findings of a set that runs already, or that a person chose: nothing refuses it.
    #[must_use]
    pub fn only_told(mut self) -> Self {
        self.told.append(&mut self.refused);
        self.told.sort();
        self
    }
}
