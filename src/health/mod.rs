//! ASSESS: is what was applied healthy, on its way, or broken, and whose fault is it?
//!
//! Enters: live objects, pods and events as JSON, the rules of an Application, what was sighted before, `Now`.
//! Leaves: one `Health` for each object of the set, and the sightings for the next look.
//! Never: a clock, a read, a panic; a deadline, a soak or a decision to return: those are `rollout`'s.

mod aggregate;
mod assess;
mod case;
mod classify;
mod cost;
mod ending;
mod expr;
mod fields;
mod index;
mod kinds;
mod pods;
mod rules;
mod sightings;
#[cfg(test)]
mod tests;

pub use aggregate::{Assessment, Health, StuckPod, Verdict};
pub use assess::{Member, View, assess};
pub use expr::ExpressionError;
pub use rules::{Part, RuleError, Rules, Windows};
pub use sightings::Sightings;
