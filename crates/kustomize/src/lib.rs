//! Native, pure rendering of Kustomize bases and overlays: `build` of kustomize v5.8.2.
//!
//! Enters: a tree of files ([`Files`]), the path of a directory in it, [`Options`].
//! Leaves: [`Built`]: objects in order, warnings, the paths read, remote pins.
//! Never: disk, network, clock, environment, global state.
//!
//! ```
//! use kustomize::{MemoryFiles, Options, build};
//!
//! let files = MemoryFiles::new()
//!     .with("/app/kustomization.yaml", "namePrefix: dev-\nresources: [service.yaml]\n")
//!     .with("/app/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n");
//! let built = build(&files, "/app", &Options::default())?;
//! assert_eq!(built.to_yaml(), "apiVersion: v1\nkind: Service\nmetadata:\n  name: dev-web\n");
//! # Ok::<(), kustomize::Error>(())
//! ```

mod accumulate;
mod apply;
mod built;
mod builtin;
mod cache;
mod config;
mod documents;
mod error;
mod expression;
mod files;
mod finish;
mod generate;
mod identity;
mod kustomization;
mod load;
mod merge;
mod object;
mod objects;
mod options;
mod order;
mod origin;
mod patching;
mod plain;
mod read;
mod reference;
mod remote;
mod scalar;
mod select;
mod shared;
mod shown;
mod trail;
mod transform;
pub mod yaml;

pub use built::{Built, Resource, Warning};
pub use cache::{ParsedCounts, ParsedFiles};
pub use error::{Error, ErrorKind, Location};
pub use files::{EntryKind, Files, FilesError, MemoryFiles};
pub use options::{
    ChartRequest, Charts, Limits, LoadRestrictions, Options, Remote, RemotePin, RemoteReference,
    RemoteTree, Reorder,
};
pub use origin::Origin;
pub use plain::{find_kustomization, load_plain};

/// Builds the kustomization in the directory `path` of the tree, or in the git repository whose URL `path` is (see
/// [`is_repository`]), which [`Options::remote`] then has to fetch.
///
/// # Errors
/// When the kustomization, or anything that it refers to, cannot be used. Where several things are wrong with one file,
/// the error holds all of them ([`Error::all`]).
pub fn build(files: &dyn Files, path: &str, options: &Options) -> Result<Built, Error> {
    accumulate::build(files, path, options)
}

/// Whether a text is the URL of a git repository, in any of the forms that upstream takes, rather than a path:
/// `https://`, `http://`, `ssh://` and `file://` URLs, `user@host:path`, `github.com/owner/name`.
///
/// ```
/// assert!(kustomize::is_repository("https://example.org/team/repository//deploy?ref=v1"));
/// assert!(!kustomize::is_repository("../base"));
/// ```
#[must_use]
pub fn is_repository(text: &str) -> bool {
    remote::parse_git(text).is_some()
}
