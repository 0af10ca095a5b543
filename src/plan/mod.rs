//! Plan: the ordered changes from the live objects to the rendered ones, and what is refused.
//!
//! Enters: the rendered set, what was applied before, what the API server answered, policy.
//! Leaves: `Plan` and `PrunePlan`, which are built nowhere else.
//! Never: a request, a clock; a delete is a plan of its own.

mod change;
mod contract;
mod diff;
mod drift;
mod field_path;
mod guard;
mod hook;
mod inventory;
mod order;
mod ownership;
mod question;

pub use change::{Action, Change, Plan, Policy, belongs_to_other, plan};
pub use contract::by_contract;
pub use diff::{FieldChange, field_changes, redacted};
pub use drift::{
    Judgement, conflict_policy, git_changed, judge, live_differs, without_conflicts,
    without_ignored, without_paths,
};
pub use guard::{Approval, Candidate, PruneLimits, PrunePlan, Verdict, plan_prune};
pub use hook::{Phase, Tidy, not_run, phase, runs_anew, runs_on_failure, tidy};
pub use inventory::{Inventory, Owned};
pub use order::{OrderError, Wave, is_before, waves};
pub use ownership::{is_manifest_tool, takeover};
pub use question::{Question, questions};
