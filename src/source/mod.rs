//! FETCH: a git commit in a repository somewhere becomes files that can be read; a branch of our own is brought and pushed.
//!
//! Enters: `SourceSpec`, `Credentials`, a reading of the clock.
//! Leaves: `Snapshot`: revision, commit, files; or an `Error` with its reason.
//! Never: a checkout, a process, a decision what a revision means; a failed look taken for an empty repository.

mod address;
mod advertisement;
mod branch;
mod cache;
mod checkout;
mod compact;
mod connect;
mod counts;
mod egress;
mod error;
mod http;
mod intake;
mod known_hosts;
mod lineage;
mod local;
mod local_peer;
mod mirror;
mod mirrors;
mod outgoing;
mod pack;
mod packet;
mod peer;
mod process;
mod receive_pack;
mod reference;
mod remote;
mod remote_file;
mod round;
mod settings;
mod smart_http;
mod snapshot;
mod ssh;
mod store;
mod threads;
mod tls;
mod tree;
mod upload_pack;

pub use address::{Address, AddressError, DisplaySafeUrl, Scheme};
pub use branch::Branch;
pub use checkout::checked_out;
pub use counts::Counts;
pub use egress::{Denied, Egress, Forbidden};
pub use error::{Cause, Error, Retry};
pub use lineage::Lineage;
pub use local::LocalFiles;
pub use mirrors::Mirrors;
pub use process::configure_process;
pub use remote::RemoteBases;
pub use settings::Settings;
pub use snapshot::Snapshot;
