//! The API server: how to ask, and nothing about what to do.
//!
//! Enters: objects, ids, an identity and, for every write, a fence.
//! Leaves: plain values of `model` and `api`; could-not-look and nothing-there are told apart.
//! Never: a decision of the product; a write without the account of an Application or a lease;
//!   a value of a Secret in a message.

mod answer;
mod applications;
mod checkpoints;
mod claim;
mod classify;
mod commander;
mod connect;
mod desk;
mod discover;
mod error;
mod event;
#[cfg(test)]
mod fault_tests;
mod fence;
mod follow;
mod keeper;
mod lease;
mod lease_file;
mod logs;
mod member;
mod owner;
mod prune;
mod read;
mod records;
mod request;
mod resource;
mod seen;
mod state;
mod stored;
mod sweep;
mod table;
mod watch;
mod watch_key;
mod write;

pub use answer::{Answer, Missing, MissingObject, Written};
pub use applications::{ApplicationEvent, Applications};
pub use checkpoints::KeptCheckpoints;
pub use claim::{LeaseClaim, LeaseView, Observed, claim};
pub use commander::Commander;
pub use connect::{Cluster, ConnectSettings, Identity};
pub use desk::{Desk, Share, Task, push_name};
pub use discover::{Catalogue, Discovery, Lookup};
pub use error::{Error, Retry};
pub use event::{Event, EventType};
pub use fence::Fence;
pub use keeper::{Keeper, StatusWrite};
pub use lease::{Lease, LeaseSettings};
pub use read::{ListQuery, Reader};
pub use records::{RecordName, RecordWrite};
pub use resource::Resource;
pub use state::Claim;
pub use sweep::{Kept, Newer};
pub use table::Push;
pub use watch::{Hint, Listed, WatchState, Watches};
pub use watch_key::WatchKey;
pub use write::{Deletion, Writer};
