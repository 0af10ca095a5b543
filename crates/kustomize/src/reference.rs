//! References by name: after renames, the fields that name an object get its new name.
//! Enters: objects with their history, the fields that hold references.
//! Leaves: the same objects, references mended.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use crate::config::{Configuration, Create, NameReference, split_path, walk};
use crate::error::{Error, ErrorKind};
use crate::identity::{Gvk, Id, NO_NAMESPACE, effective};
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::scalar;

/// What is known about an object that may be referred to.
struct Candidate {
    id: Id,
    /// Earlier kinds, names and namespaces.
    previous: Vec<(String, String)>,
    original_namespace: String,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// A field of a referring kind.
struct FieldPath {
    path: Vec<String>,
    text: Cow<'static, str>,
    target: usize,
}

/// Mends all references.
///
/// # Errors
/// When a reference could mean several objects.
pub(crate) fn fix(
    objects: &mut Objects,
    configuration: &Configuration,
    schema: &Schema,
) -> Result<(), Error> {
    let candidates: Vec<Candidate> = objects.iter().map(candidate).collect();
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        for (_, name) in &candidate.previous {
            let places = by_name.entry(name).or_default();
            if places.last() != Some(&index) {
                places.push(index);
            }
        }
    }
    let names = Names {
        by_name,
        candidates: &candidates,
    };
    let mut fields_by_kind: HashMap<(Gvk, String), Vec<FieldPath>> = HashMap::new();
    for (index, object) in objects.all_mut().iter_mut().enumerate() {
        let original = object.original().0.to_owned();
        let fields = fields_by_kind
            .entry((object.id.gvk.clone(), original.clone()))
            .or_insert_with(|| {
                fields_of(&object.id.gvk, &original, &configuration.name_references)
            });
        if fields.is_empty() {
            continue;
        }
        mend(
            object,
            index,
            fields,
            &names,
            &configuration.name_references,
        )
        .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))?;
        object.refresh(schema);
    }
    objects.identities_changed();
    Ok(())
}

fn candidate(object: &Object) -> Candidate {
    let (_, _, namespace) = object.original();
    let original_namespace = if object.memory.previous.is_empty() {
        object.id.effective_namespace()
    } else {
        effective(namespace)
    };
    Candidate {
        id: object.id.clone(),
        previous: object
            .memory
            .previous
            .iter()
            .map(|id| (id.kind.clone(), id.name.clone()))
            .collect(),
        original_namespace: original_namespace.to_owned(),
        prefixes: object.memory.prefixes.clone(),
        suffixes: object.memory.suffixes.clone(),
    }
}

fn fields_of(gvk: &Gvk, original_kind: &str, references: &[NameReference]) -> Vec<FieldPath> {
    let mut fields = Vec::new();
    for (target, reference) in references.iter().enumerate() {
        for spec in &reference.referrers {
            if gvk.is_selected_as(original_kind, &spec.gvk) {
                fields.push(FieldPath {
                    path: split_path(&spec.path, '/'),
                    text: spec.path.clone(),
                    target,
                });
            }
        }
    }
    fields
}

struct Names<'a> {
    by_name: HashMap<&'a str, Vec<usize>>,
    candidates: &'a [Candidate],
}

/// The object that refers.
struct Referrer<'a> {
    id: Id,
    prefixes: &'a [String],
    suffixes: &'a [String],
    /// Namespaces of the service accounts that a role binding names.
    subjects: Vec<String>,
    /// Group and kind of `roleRef`.
    role: Option<Gvk>,
}

fn mend(
    object: &mut Object,
    index: usize,
    fields: &[FieldPath],
    names: &Names<'_>,
    references: &[NameReference],
) -> Result<(), Error> {
    let own = &names.candidates[index];
    let referrer = Referrer {
        id: own.id.clone(),
        prefixes: &own.prefixes,
        suffixes: &own.suffixes,
        subjects: subject_namespaces(object)?,
        role: role(&object.value),
    };
    for field in fields {
        let search = Search {
            names,
            referrer: &referrer,
            target: &references[field.target].target,
            is_role: field.text.ends_with("roleRef/name"),
        };
        walk(
            &mut object.value,
            &field.path,
            Create::Nothing,
            &mut |value| search.set(value),
        )
        .map_err(|error| {
            Error::new(
                ErrorKind::Reference,
                format!("mend the references of {}", own.id),
            )
            .field(field.text.as_ref())
            .caused_by(error)
        })?;
    }
    Ok(())
}

fn subject_namespaces(object: &Object) -> Result<Vec<String>, Error> {
    if object.id.gvk.kind != "RoleBinding" {
        return Ok(Vec::new());
    }
    let subjects = object.value.get("subjects").and_then(Value::as_array);
    let mut namespaces = Vec::new();
    for subject in subjects.into_iter().flatten() {
        let is_account = subject
            .get("kind")
            .is_some_and(|kind| scalar::text(kind) == "ServiceAccount");
        match subject.get("namespace").filter(|_| is_account) {
            None => {}
            Some(namespace) if scalar::meaning(namespace).is_string() => {
                namespaces.push(scalar::text(namespace));
            }
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::Object,
                    format!("read the subjects of {}: a namespace is no text", object.id),
                )
                .field("subjects"));
            }
        }
    }
    Ok(namespaces)
}

fn role(value: &Value) -> Option<Gvk> {
    let role = value.get("roleRef")?;
    Some(Gvk::new(
        &scalar::text(role.get("apiGroup")?),
        "",
        &scalar::text(role.get("kind")?),
    ))
}

struct Search<'a> {
    names: &'a Names<'a>,
    referrer: &'a Referrer<'a>,
    target: &'a Gvk,
    is_role: bool,
}

impl Search<'_> {
    fn set(&self, value: &mut Value) -> Result<(), Error> {
        match value {
            _ if scalar::is_null(value) => Ok(()),
            Value::Object(_) => self.set_mapping(value),
            Value::Array(items) => items.iter_mut().try_for_each(|item| match item {
                _ if scalar::is_null(item) => Ok(()),
                Value::Object(_) => self.set_mapping(item),
                Value::Array(_) => Err(Error::new(
                    ErrorKind::Reference,
                    "read a reference: an element is expected to be a text or a mapping",
                )),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    self.set_scalar(item)
                }
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.set_scalar(value)
            }
        }
    }

    fn set_scalar(&self, value: &mut Value) -> Result<(), Error> {
        let old = scalar::text(value);
        let same = |left: &Candidate, right: &Candidate| left.id.name == right.id.name;
        if let Some(found) = self.find(&old, |_| true, same)?
            && found.id.name != old
        {
            *value = scalar::untyped(value, &found.id.name);
        }
        Ok(())
    }

    /// A reference by name and namespace.
    fn set_mapping(&self, value: &mut Value) -> Result<(), Error> {
        let Value::Object(fields) = value else {
            return Ok(());
        };
        let name = fields.get("name").ok_or_else(|| {
            Error::new(
                ErrorKind::Reference,
                "read a reference: the mapping has no field `name`",
            )
        })?;
        let old = scalar::text(name);
        let same = |left: &Candidate, right: &Candidate| {
            left.id.name == right.id.name && left.id.namespace == right.id.namespace
        };
        let namespace = fields.get("namespace").map(scalar::text);
        let found = match &namespace {
            None => self.find(&old, |_| true, same)?,
            Some(namespace) => {
                let original = |candidate: &Candidate| {
                    candidate.original_namespace == *namespace
                        && candidate.original_namespace != NO_NAMESPACE
                };
                let current = |candidate: &Candidate| {
                    candidate.id.effective_namespace() == namespace && !candidate.id.cluster_scoped
                };
                let any_original = self
                    .names
                    .candidates
                    .iter()
                    .any(|candidate| self.reaches(candidate) && original(candidate));
                if any_original {
                    self.find(&old, original, same)?
                } else {
                    self.find(&old, current, same)?
                }
            }
        };
        let Some(found) = found else { return Ok(()) };
        if found.id.name == old && found.id.namespace.is_empty() {
            return Ok(());
        }
        if let Some(name) = fields.get_mut("name") {
            *name = scalar::untyped(name, &found.id.name);
        }
        if !found.id.namespace.is_empty() {
            fields.insert(
                "namespace".to_owned(),
                Value::String(found.id.namespace.clone()),
            );
        }
        Ok(())
    }

    /// Whether the referring object can refer to a candidate at all.
    fn reaches(&self, candidate: &Candidate) -> bool {
        let referrer = &self.referrer.id;
        referrer.cluster_scoped
            || candidate.id.cluster_scoped
            || referrer.effective_namespace() == candidate.id.effective_namespace()
            || self.referrer.subjects.contains(&candidate.id.namespace)
    }

    fn had_kind(candidate: &Candidate, selector: &Gvk) -> bool {
        candidate
            .previous
            .iter()
            .any(|(kind, _)| candidate.id.gvk.is_selected_as(kind, selector))
    }

    /// The one object that a name means; the rules are in the specification, part 3.6.
    fn find(
        &self,
        name: &str,
        also: impl Fn(&Candidate) -> bool,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&Candidate>, Error> {
        let Some(places) = self.names.by_name.get(name) else {
            return Ok(None);
        };
        let referrer = &self.referrer.id;
        let mut found: Vec<&Candidate> = places
            .iter()
            .map(|index| &self.names.candidates[*index])
            .filter(|candidate| self.reaches(candidate) && also(candidate))
            .filter(|candidate| Self::had_kind(candidate, self.target))
            .filter(|candidate| match &self.referrer.role {
                Some(role) if self.is_role => Self::had_kind(candidate, role),
                _ => true,
            })
            .filter(|candidate| {
                referrer.cluster_scoped
                    || candidate.id.cluster_scoped
                    || candidate.id.gvk.kind == "ServiceAccount"
                    || referrer.effective_namespace() == candidate.id.effective_namespace()
            })
            .collect();
        if found.len() == 1 {
            return Ok(Some(found[0]));
        }
        found.retain(|candidate| self.same_context(candidate, true));
        if found.len() > 1 {
            found.retain(|candidate| self.same_context(candidate, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, others @ ..] if others.iter().all(|other| same(first, other)) => {
                Ok(Some(first))
            }
            several => {
                let ids: Vec<String> = several
                    .iter()
                    .map(|candidate| candidate.id.to_string())
                    .collect();
                Err(Error::new(
                    ErrorKind::Reference,
                    format!(
                        "find what {name} means: it could be any of {}",
                        ids.join(", ")
                    ),
                ))
            }
        }
    }

    fn same_context(&self, candidate: &Candidate, allow_empty: bool) -> bool {
        let fits = |own: &[String], other: &[String]| {
            (allow_empty && (own.is_empty() || other.is_empty())) || same_ending(own, other)
        };
        fits(self.referrer.prefixes, &candidate.prefixes)
            && fits(self.referrer.suffixes, &candidate.suffixes)
    }
}

/// Whether the shorter list is the end of the longer one; an empty one only of an empty one.
fn same_ending(left: &[String], right: &[String]) -> bool {
    let (short, long) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    if short.is_empty() {
        long.is_empty()
    } else {
        long.ends_with(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        let list = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        for (left, right, expected) in [
            (list(&["a", "b"]), list(&["b"]), true),
            (list(&["a", "b"]), list(&["a"]), false),
            (list(&[]), list(&[]), true),
            (list(&[]), list(&["a"]), false),
        ] {
            assert_eq!(same_ending(&left, &right), expected, "{left:?} {right:?}");
        }
    }
}
