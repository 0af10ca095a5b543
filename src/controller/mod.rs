//! The controller: watches, queue, lease, shutdown.
//!
//! Enters: settings.
//! Leaves: when told to stop, with the lease released.
//! Never: a rule of the product; those are in the rooms that it wires.

mod allocator;
mod crowd;
#[cfg(any(target_env = "musl", test))]
mod first_memory;
mod house;
mod moves;
mod queue;
mod run;
mod share;
mod work;

pub use allocator::bound_memory;
pub use run::{ControllerSettings, Error, run};
