//! Replica counts.

use serde_json::Value;

use super::compile;
use crate::config::{Create, FieldSpec};
use crate::error::{Error, ErrorKind};
use crate::kustomization::Replica;
use crate::objects::Objects;
use crate::scalar;

/// Sets the count of the objects of a name.
///
/// # Errors
/// When no object matches.
pub(crate) fn replicas(
    objects: &mut Objects,
    replica: &Replica,
    specs: &[FieldSpec],
) -> Result<(), Error> {
    let mut found = false;
    for spec in compile(specs) {
        for object in objects.all_mut() {
            let gvk = &spec.spec.gvk;
            let matches = (object.id.name == replica.name && object.id.gvk.is_selected(gvk))
                || object.memory.previous.iter().any(|previous| {
                    previous.name == replica.name
                        && object.id.gvk.is_selected_as(&previous.kind, gvk)
                });
            if matches {
                found = true;
                spec.apply(object, Create::Scalar, &mut |field| {
                    if !scalar::is_scalar(field) {
                        return Err(Error::new(
                            ErrorKind::Transformer,
                            "set the replicas: the field is no scalar",
                        ));
                    }
                    // What had to be quoted stays quoted.
                    *field = if scalar::is_quoted(field) && !scalar::text(field).is_empty() {
                        Value::String(replica.count.to_string())
                    } else {
                        Value::from(replica.count)
                    };
                    Ok(())
                })?;
            }
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<&str> = specs.iter().map(|spec| spec.gvk.kind.as_ref()).collect();
    Err(Error::new(
        ErrorKind::Transformer,
        format!(
            "set the replicas of {}: there is no such object",
            replica.name
        ),
    )
    .field("replicas")
    .hint(format!("looked for one of {}", kinds.join(", "))))
}
