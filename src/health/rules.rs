//! The rules of one Application: windows, fail fast, CEL.
//!
//! Enters: `spec.health`.
//! Leaves: `Rules`, with every expression compiled once.
//! Never: `timeout` and `soak`; they are the rollout's.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{api::HealthSpec, model::GroupKind};

use super::expr::{Expression, ExpressionError};

/// How long each row of the failure table waits before it decides. All count monotonic time from the moment the
/// row was first met. The figures are those of research/promotion-rollback.md 4.2 unless a line says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Image not found, not allowed or not valid, no new pod Ready. Default 0: at first sight (DESIGN.md).
    pub image: Duration,
    /// A registry that answers with an error of its own, or not at all. Default 3m.
    pub registry: Duration,
    /// Crash loop, no new pod Ready. Default 60s.
    pub crash_loop: Duration,
    /// Configuration that a container names and that is not there, no new pod Ready. Default 30s: a Secret that an
    /// operator makes may come seconds later than the pod that needs it.
    pub config: Duration,
    /// Admission that denies the pod. Default 10s, our own: a policy engine that just started may deny at first.
    pub denied: Duration,
    /// The API server or a webhook fails while pods are created. Default 3m, our own: as a registry.
    pub api: Duration,
    /// Quota exhausted and no old pod of ours will free it. Default 60s, our own.
    pub quota: Duration,
    /// No node takes the pod. Default 5m; never seconds, because nodes scale up.
    pub unschedulable: Duration,
    /// The same, once an autoscaler said that it adds a node. Default 15m, our own.
    pub scale_up: Duration,
    /// Volumes or the pod's network are not there. Default 2m.
    pub mount: Duration,
    /// Any row that is the change's own, when some new pods are Ready. Default 3m.
    pub some_ready: Duration,
    /// An object that says itself that it failed must say so this long. Default 10s, our own: conditions flap early.
    pub object: Duration,
    /// A custom resource that is silent is waited for this long, then not assessed. Default 10s, our own.
    pub silent: Duration,
    /// A row that was not met for this long is forgotten. Default 3m, our own: longer than any pod needs to come back
    /// within a window, so that flapping cannot start a window anew.
    pub forget: Duration,
    /// Drops from ready to not ready of one pod that make it flap. Default 3.
    pub drops: u32,
    /// Kills for memory of one container that fail. Default 2: one can be chance.
    pub memory_kills: u32,
    /// Restarts of one container that make it crash even while it runs. Default 3.
    pub restarts: i64,
}

impl Default for Windows {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            image: Duration::ZERO,
            registry: seconds(180),
            crash_loop: seconds(60),
            config: seconds(30),
            denied: seconds(10),
            api: seconds(180),
            quota: seconds(60),
            unschedulable: seconds(300),
            scale_up: seconds(900),
            mount: seconds(120),
            some_ready: seconds(180),
            object: seconds(10),
            silent: seconds(10),
            forget: seconds(180),
            drops: 3,
            memory_kills: 2,
            restarts: 3,
        }
    }
}

/// Which expression of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `inProgress`.
    InProgress,
    /// `failed`.
    Failed,
    /// `current`.
    Current,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProgress => "inProgress",
            Self::Failed => "failed",
            Self::Current => "current",
        })
    }
}

/// Why rules cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// An expression does not compile.
    #[error("compile spec.health.exprs[{index}].{part} of {kind} ({api_version})")]
    Compile {
        /// Place in `spec.health.exprs`, from 0.
        index: usize,
        /// Which expression.
        part: Part,
        /// Kind of the rule.
        kind: String,
        /// Version of the rule.
        api_version: String,
        /// What is wrong with it.
        #[source]
        source: ExpressionError,
    },
}

/// The CEL rule of one kind.
#[derive(Debug)]
pub(super) struct Rule {
    api_version: String,
    pub(super) in_progress: Option<Expression>,
    pub(super) failed: Option<Expression>,
    pub(super) current: Expression,
}

/// The rules of one Application.
#[derive(Debug)]
pub struct Rules {
    pub(super) fail_fast: bool,
    pub(super) windows: Windows,
    expressions: BTreeMap<GroupKind, Vec<Rule>>,
}

impl Rules {
    /// Compiles the rules.
    ///
    /// # Errors
    /// An expression is not CEL, names a function that does not exist, or builds a message.
    pub fn new(spec: &HealthSpec) -> Result<Self, RuleError> {
        let mut expressions: BTreeMap<GroupKind, Vec<Rule>> = BTreeMap::new();
        for (index, expression) in spec.exprs.iter().enumerate() {
            let compile = |part, source: &str| {
                Expression::new(source).map_err(|source| RuleError::Compile {
                    index,
                    part,
                    kind: expression.kind.clone(),
                    api_version: expression.api_version.clone(),
                    source,
                })
            };
            // An empty text is how a form says that there is none.
            let optional = |part, source: Option<&String>| {
                source
                    .filter(|source| !source.trim().is_empty())
                    .map(|source| compile(part, source))
                    .transpose()
            };
            let group = expression
                .api_version
                .split_once('/')
                .map_or("", |(group, _)| group);
            let rule = Rule {
                api_version: expression.api_version.clone(),
                in_progress: optional(Part::InProgress, expression.in_progress.as_ref())?,
                failed: optional(Part::Failed, expression.failed.as_ref())?,
                current: compile(Part::Current, &expression.current)?,
            };
            expressions
                .entry(GroupKind::new(group, &expression.kind))
                .or_default()
                .push(rule);
        }
        Ok(Self {
            fail_fast: spec.fail_fast,
            windows: Windows::default(),
            expressions,
        })
    }

    /// Returns the rules with other windows.
    #[must_use]
    pub fn with_windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self
    }

    /// Returns the CEL rule of a kind: that of the same version, else the first, because a watch may
    /// read another version of the API than git wrote.
    pub(super) fn expression(&self, kind: &GroupKind, api_version: &str) -> Option<&Rule> {
        let rules = self.expressions.get(kind)?;
        rules
            .iter()
            .find(|rule| rule.api_version == api_version)
            .or_else(|| rules.first())
    }
}
