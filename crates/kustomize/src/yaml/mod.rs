//! YAML as `kustomize build` reads and prints it.
//!
//! Enters: the bytes of a file, or a JSON value. Leaves: values, nodes with places, or text byte for byte as upstream prints it.
//! Never: a file system, a field's meaning, a YAML library: what upstream accepts and prints follows no standard that one keeps.
//!
//! Two dialects. *Objects* and strategic merge patches ([`parse_values`], [`parse_patches`]) are read with YAML 1.2 scalars, mostly: `yes` is text, `0644` is 420,
//! `2020-01-01` becomes `2020-01-01T00:00:00Z`. *Settings* ([`parse_nodes`]: kustomization files, configurations, JSON patches) are read with
//! YAML 1.1 scalars: `yes` is true.

mod block_lines;
mod block_text;
mod build;
mod characters;
mod cursor;
mod date;
mod dialect;
mod emit;
mod error;
mod flow;
mod handles;
mod key_order;
mod limits;
mod mapping;
mod meaning;
mod node;
mod nodes;
mod number;
mod parser;
mod properties;
mod read;
mod refold;
mod resolve;
mod source;
mod spelling;
mod style;
mod styled;
mod styled_print;
#[cfg(test)]
mod tests;
mod text;
mod unprintable;
mod value;
mod writer;

pub use emit::emit;
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use node::{Node, NodeKind};
pub(crate) use number::general_float;
pub use read::{Document, locate, parse_nodes, parse_patches, parse_values};
pub(crate) use read::{ObjectFile, nodes_of_objects, parse_spelled};
pub(crate) use refold::{is_lost_in_block, refolded};
pub(crate) use spelling::{binary_text, is_text_in_settings};
pub(crate) use style::through_json;
pub(crate) use styled::{Styled, View, Written};
pub use unprintable::{Unprintable, UnprintableKind};
pub(crate) use value::{Spelled, plain};
