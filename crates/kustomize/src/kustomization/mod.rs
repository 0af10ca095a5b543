//! The kustomization file.
//! Enters: its YAML with places.
//! Leaves: `Kustomization`, checked, legacy fields moved to where they belong, with warnings.
//! Never: other files.

mod arguments;
mod field;
mod file;

pub(crate) use arguments::{
    FieldOptions, GeneratorArguments, Image, Label, Patch, Replacement, ReplacementEntry, Replica,
    Selector, SortOptions, Source, TargetSelector, Variable, field_specs, gvk, loose_field_specs,
};
pub(crate) use field::{Field, Located, node_of};
pub(crate) use file::{Kind, Kustomization, NAMES};
