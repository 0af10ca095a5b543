//! Prefixes and suffixes of names.

use super::compile;
use crate::config::{Create, FieldSpec};
use crate::error::{Error, ErrorKind};
use crate::identity::Gvk;
use crate::merge::Schema;
use crate::object::plain_text;
use crate::objects::Objects;
use crate::scalar;

/// Puts a text before names.
///
/// # Errors
/// When a name is no scalar.
pub(crate) fn prefix(
    objects: &mut Objects,
    text: &str,
    specs: &[FieldSpec],
    schema: &Schema,
) -> Result<(), Error> {
    rename(objects, text, specs, schema, true)
}

/// Puts a text behind names.
///
/// # Errors
/// When a name is no scalar.
pub(crate) fn suffix(
    objects: &mut Objects,
    text: &str,
    specs: &[FieldSpec],
    schema: &Schema,
) -> Result<(), Error> {
    rename(objects, text, specs, schema, false)
}

/// Kinds whose names mean something to the cluster.
fn is_skipped(gvk: &Gvk, kind: &str) -> bool {
    matches!(kind, "CustomResourceDefinition" | "Namespace")
        || (kind == "APIService" && gvk.group == "apiregistration.k8s.io")
}

fn rename(
    objects: &mut Objects,
    text: &str,
    specs: &[FieldSpec],
    schema: &Schema,
    before: bool,
) -> Result<(), Error> {
    let compiled = compile(specs);
    for object in objects.all_mut() {
        let original = object.original().0.to_owned();
        if is_skipped(&object.id.gvk, &original) {
            continue;
        }
        for spec in &compiled {
            if !object.id.gvk.is_selected_as(&original, &spec.spec.gvk) {
                continue;
            }
            if spec.spec.path == "metadata/name" && !text.is_empty() {
                if before {
                    object.memory.prefixes.push(text.to_owned());
                } else {
                    object.memory.suffixes.push(text.to_owned());
                }
                object.remember();
            }
            spec.apply(object, Create::Scalar, &mut |field| {
                if !scalar::is_scalar(field) {
                    return Err(Error::new(
                        ErrorKind::Transformer,
                        "rename: the name is no scalar",
                    ));
                }
                let old = plain_text(field);
                let new = if before {
                    format!("{text}{old}")
                } else {
                    format!("{old}{text}")
                };
                if !(new.is_empty() && scalar::is_left_out(field)) {
                    *field = scalar::untyped(field, &new);
                }
                Ok(())
            })?;
        }
        object.refresh(schema);
    }
    objects.identities_changed();
    Ok(())
}
