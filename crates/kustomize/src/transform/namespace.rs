//! The namespace of every object that has one.

use serde_json::Value;

use super::{Compiled, compile};
use crate::config::{Create, FieldSpec, walk};
use crate::error::{Error, ErrorKind};
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::scalar;

/// Which subjects of role bindings move along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Subjects {
    /// Those named `default`.
    #[default]
    Default,
    AllServiceAccounts,
    Nothing,
}

impl Subjects {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "defaultOnly" => Some(Self::Default),
            "allServiceAccounts" => Some(Self::AllServiceAccounts),
            "none" => Some(Self::Nothing),
            _ => None,
        }
    }
}

/// What the transformer can be told.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamespaceOptions {
    pub(crate) namespace: String,
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

/// Sets the namespace.
///
/// # Errors
/// When two objects become one, or a field that should hold a namespace is no scalar.
pub(crate) fn namespace(
    objects: &mut Objects,
    options: &NamespaceOptions,
    specs: &[FieldSpec],
    schema: &Schema,
) -> Result<(), Error> {
    if options.namespace.is_empty() {
        return Ok(());
    }
    let compiled = compile(specs);
    for object in objects.all_mut() {
        if object.memory.helm {
            continue;
        }
        object.remember();
        set(object, options, &compiled)?;
        object.refresh(schema);
    }
    objects.identities_changed();
    objects.check_unique().map_err(|error| {
        error
            .field("namespace")
            .hint("two objects differ in their namespace only")
    })
}

/// Sets the namespace of one object, with no field specs.
///
/// # Errors
/// When a field that should hold a namespace is no scalar.
pub(crate) fn set_namespace_of(object: &mut Object, namespace: &str) -> Result<(), Error> {
    let options = NamespaceOptions {
        namespace: namespace.to_owned(),
        ..NamespaceOptions::default()
    };
    set(object, &options, &[])
}

fn set(
    object: &mut Object,
    options: &NamespaceOptions,
    specs: &[Compiled<'_>],
) -> Result<(), Error> {
    let mut write = |field: &mut Value| write(field, options);
    if !object.id.cluster_scoped {
        let path = ["metadata".to_owned(), "namespace".to_owned()];
        walk(&mut object.value, &path, Create::Scalar, &mut write)
            .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))?;
    }
    let binding = is_binding(&object.id.gvk.kind);
    if binding {
        set_subjects(&mut object.value, options)
            .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))?;
    }
    let core = object.id.gvk.group.is_empty() && object.id.gvk.version == "v1";
    for spec in specs {
        let path = spec.spec.path.as_ref();
        let skipped = path == "metadata/namespace"
            || (path == "metadata/name" && !core)
            || (binding && path == "subjects/namespace" && is_binding(&spec.spec.gvk.kind));
        if !skipped {
            spec.apply(object, Create::Scalar, &mut write)?;
        }
    }
    Ok(())
}

fn is_binding(kind: &str) -> bool {
    matches!(kind, "RoleBinding" | "ClusterRoleBinding")
}

fn write(field: &mut Value, options: &NamespaceOptions) -> Result<(), Error> {
    if !scalar::is_scalar(field) {
        return Err(Error::new(
            ErrorKind::Transformer,
            "set the namespace: the field is no scalar",
        ));
    }
    if options.unset_only && !scalar::is_null(field) && !scalar::text(field).is_empty() {
        return Ok(());
    }
    *field = Value::String(options.namespace.clone());
    Ok(())
}

fn set_subjects(value: &mut Value, options: &NamespaceOptions) -> Result<(), Error> {
    let (field, wanted) = match options.subjects {
        Subjects::Nothing => return Ok(()),
        Subjects::Default => ("name", "default"),
        Subjects::AllServiceAccounts => ("kind", "ServiceAccount"),
    };
    let refused = |what: &str| {
        let message = format!("set the namespace of subjects: {what}");
        Error::new(ErrorKind::Transformer, message).field("subjects")
    };
    let subjects = match value.get_mut("subjects") {
        None => return Ok(()),
        Some(subjects) if scalar::is_null(subjects) => return Ok(()),
        Some(Value::Array(subjects)) => subjects,
        Some(_) => return Err(refused("they are no list")),
    };
    for subject in subjects {
        if scalar::is_null(subject) {
            continue;
        }
        let Value::Object(fields) = subject else {
            return Err(refused("one is no mapping"));
        };
        let is_meant = match fields.get(field) {
            None => false,
            Some(value) if !scalar::is_scalar(value) => {
                return Err(refused(&format!("the {field} of one is no scalar")));
            }
            Some(value) => scalar::text(value) == wanted,
        };
        if is_meant {
            let entry = fields.entry("namespace").or_insert(Value::Null);
            write(entry, options)?;
        }
    }
    Ok(())
}
