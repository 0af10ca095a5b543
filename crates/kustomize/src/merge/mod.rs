//! Strategic merge and JSON patch.
//! Enters: a value and a patch.
//! Leaves: the patched value, or nothing where the patch deletes it.
//! Never: identities, files.

mod element;
mod json_patch;
mod schema;
mod strategic;

pub(crate) use json_patch::JsonPatch;
pub(crate) use schema::Schema;
pub(crate) use strategic::{merge, replaces};
