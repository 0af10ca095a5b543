//! Which findings of the preflight tell and which refuse.
//!
//! Enters: `spec.preflight` as users write it.
//! Leaves: a closed list of rules, and a mode for each.
//! Never: what a rule looks for; that is in the room `preflight`.

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive repeats each struct inside a function"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to findings before a set is applied.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreflightSpec {
    /// For rules that are not named below. Default warn.
    #[serde(default)]
    pub default: PreflightMode,
    /// For single rules, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(name, name in ['quotaHeadroom', 'readinessProbe', 'disruptionBudget', 'progressDeadline', 'missingReference', 'mutableTag', 'autoscaledReplicas', 'deprecatedApi', 'serverWarning'])").message("rules are quotaHeadroom, readinessProbe, disruptionBudget, progressDeadline, missingReference, mutableTag, autoscaledReplicas, deprecatedApi and serverWarning"))]
    pub rules: BTreeMap<String, PreflightMode>,
}

impl PreflightSpec {
    /// Returns what happens to findings of a rule.
    pub fn mode(&self, rule: PreflightRule) -> PreflightMode {
        self.rules
            .get(rule.as_str())
            .copied()
            .unwrap_or(self.default)
    }
}

/// What happens to a finding.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreflightMode {
    /// It is told, and the set is applied.
    #[default]
    Warn,
    /// The set is refused before anything is written.
    Enforce,
    /// It is not looked for. In YAML it is written `"off"`: kubectl reads YAML 1.1, where the bare word means false.
    Off,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// Rules of the preflight.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PreflightRule {
            $($(#[$doc])* $name),+
        }

        impl PreflightRule {
            /// Every rule, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the name by which `spec.preflight.rules` and messages call it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

rules! {
    /// More pods than a quota has room for: by growth, or by a rollout that keeps all old ones.
    QuotaHeadroom = "quotaHeadroom",
    /// Pods behind a Service that count as ready when they are started.
    ReadinessProbe = "readinessProbe",
    /// A disruption budget that lets no pod be evicted, ever.
    DisruptionBudget = "disruptionBudget",
    /// A deadline that ends before the pods' own probes can say ready.
    ProgressDeadline = "progressDeadline",
    /// A ConfigMap, Secret, ServiceAccount or claim that is neither in the set nor in the cluster.
    MissingReference = "missingReference",
    /// An image that can change under its name.
    MutableTag = "mutableTag",
    /// `replicas` in git for what an autoscaler scales.
    AutoscaledReplicas = "autoscaledReplicas",
    /// A version of an API that Kubernetes removes.
    DeprecatedApi = "deprecatedApi",
    /// What the API server itself warns of.
    ServerWarning = "serverWarning",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_not_named_has_the_default() {
        let spec: PreflightSpec = serde_json::from_value(
            serde_json::json!({"default": "off", "rules": {"mutableTag": "enforce"}}),
        )
        .unwrap();
        assert_eq!(spec.mode(PreflightRule::MutableTag), PreflightMode::Enforce);
        assert_eq!(spec.mode(PreflightRule::DeprecatedApi), PreflightMode::Off);
        assert_eq!(
            PreflightSpec::default().mode(PreflightRule::MutableTag),
            PreflightMode::Warn
        );
    }

    #[test]
    fn the_schema_knows_every_rule_and_no_other() {
        let definition = serde_json::to_string(&crate::api::crds().unwrap()[0].1).unwrap();
        let list = definition
            .split_once("name in [")
            .and_then(|(_, rest)| rest.split_once(']'))
            .unwrap()
            .0;
        let known: Vec<String> = list
            .split(", ")
            .map(|name| name.trim_matches('\'').to_owned())
            .collect();
        let all: Vec<&str> = PreflightRule::ALL
            .iter()
            .map(|rule| rule.as_str())
            .collect();
        assert_eq!(known, all);
    }
}
