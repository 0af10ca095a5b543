//! Which fields the transformers change: upstream's defaults, `configurations:` and `crds:`.
//! Enters: files of the user.
//! Leaves: a `Configuration`: lists of field specs.

mod crds;
mod defaults;
mod field;
mod settings;

pub(crate) use crds::from_crds;
pub(crate) use field::{Create, FieldSpec, split_path, split_path_clever, walk};
pub(crate) use settings::{Configuration, NameReference, merge_all, merge_one};
