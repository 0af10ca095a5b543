//! The nouns: what flows between the rooms.
//!
//! Enters: nothing of ours; this room imports no other.
//! Leaves: plain values that every room and every test can build by hand.
//! Never: a cluster client, a clock, a file, a decision of the product.

mod account;
mod applied;
mod attempt;
mod canonical;
mod id;
mod live;
mod location;
mod object;
mod packed;
mod repository;
mod revision;
mod secret;
mod seen;
mod slot;
mod snapshot;
pub mod text;
mod time;

pub use account::{AccountName, ApplicationKey};
pub use applied::{Applied, Outcome, Refusal, RefusalReason, Takeover};
pub use attempt::{Asked, AttemptKind, Carried, Doomed, Head, StoredSet, Yielded};
pub use canonical::{canonical_json, sha256_hex};
pub use id::{GroupKind, ObjectId};
pub use live::{Conflict, DryRun, Live, Observed};
pub use location::Location;
pub use object::{Object, ObjectError};
pub use packed::Packed;
pub use repository::RepositoryName;
pub use revision::{Digest, ParseDigestError, ParseRevisionError, Revision};
pub use secret::Secret;
pub use seen::Seen;
pub use slot::{ParseSlotsError, SLOTS, Slot, Slots};
pub use snapshot::{CommitInfo, Credentials, SourceSpec};
pub use time::{Deadline, Now};
