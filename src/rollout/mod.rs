//! Decide: what happens next to an Application. Pure and total.
//!
//! Enters: where it stands, one event, the gates that its spec sets, both clocks.
//! Leaves: where it stands then, and the effects that must be performed.
//! Never: IO; a return from a return; a quarantined digest applied.

mod event;
mod failing;
mod gate;
mod pin;
mod readiness;
mod rollback;
mod state;
mod step;
mod upkeep;
mod work;

pub use event::{Action, Effect, Ending, Event, Failure, PruneOutcome, Verdict};
pub use gate::Gates;
pub use pin::Pin;
pub use rollback::{ReturnChoice, choose_return, retry_delay};
pub use state::{Desired, Held, ReturnStage, Rollout, State};
pub use step::{Step, step};
pub use work::{Work, work};

#[cfg(test)]
mod tests;
