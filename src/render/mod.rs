//! Render: from the files of a revision to objects and their digest.
//!
//! Enters: a tree of files, a path, the default namespace.
//! Leaves: `Rendered`, which is built nowhere else, so that no room sees unrendered input.
//! Never: a clock, a disk, a network, a cluster.

mod digest;
mod error;
mod marks;
mod packed;
mod scope;
mod set;

pub use error::Error;
pub use kustomize::Files;
pub use marks::marked;
pub use packed::PackedSet;
pub use scope::{Scope, builtin_scope, defined_scopes};
pub use set::{Placer, RenderSpec, Rendered, render, render_naming, restore};
