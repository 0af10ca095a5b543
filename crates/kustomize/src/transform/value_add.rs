//! Adding a value to fields: the transformer without a field of its own.

use serde_json::Value;

use super::set_namespace_of;
use crate::error::{Error, ErrorKind};
use crate::files::shortest;
use crate::kustomization::Selector;
use crate::merge::Schema;
use crate::objects::Objects;
use crate::scalar;
use crate::select;

/// Where a value goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ValueTarget {
    pub(crate) selector: Option<Selector>,
    pub(crate) field_path: String,
    pub(crate) file_path_position: i64,
}

/// Adds a value.
///
/// # Errors
/// When a selector is malformed, or a field is no scalar, or there is no file path to insert into because null stands
/// above it.
pub(crate) fn add_value(
    objects: &mut Objects,
    value: &str,
    targets: &[ValueTarget],
    schema: &Schema,
) -> Result<(), Error> {
    for target in targets {
        let selected = match &target.selector {
            Some(selector) => select::select(objects, selector)?,
            None => (0..objects.len()).collect(),
        };
        for index in selected {
            let object = &mut objects.all_mut()[index];
            if target.field_path == "metadata/namespace" {
                set_namespace_of(object, value)?;
            } else {
                let path = fields(&target.field_path);
                let position = usize::try_from(target.file_path_position)
                    .ok()
                    .filter(|position| *position > 0);
                let Some(field) = lookup(&mut object.value, &path)? else {
                    if position.is_some() {
                        return Err(wrong(&path));
                    }
                    continue;
                };
                let old = if scalar::is_null(field) {
                    String::new()
                } else {
                    scalar::text(field)
                };
                let new = match position {
                    Some(position) => insert_part(&old, position - 1, value),
                    None => value.to_owned(),
                };
                *field = scalar::untyped(field, &new);
            }
            object.refresh(schema);
        }
    }
    objects.identities_changed();
    Ok(())
}

/// Splits a path; a leading slash makes an empty first field, which counts for nothing.
fn fields(path: &str) -> Vec<String> {
    let parts = crate::config::split_path(path, '/');
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

fn wrong(path: &[String]) -> Error {
    Error::new(
        ErrorKind::Transformer,
        format!("add a value at {}", path.join("/")),
    )
}

/// Returns the field, which is created where it is missing; None where null stands above it, which stays as it is
/// (the real kustomize, in `tests/cases/`).
fn lookup<'a>(value: &'a mut Value, path: &[String]) -> Result<Option<&'a mut Value>, Error> {
    let mut here = value;
    for (index, part) in path.iter().enumerate() {
        let last = index + 1 == path.len();
        if scalar::is_null(here) {
            return Ok(None);
        }
        let Value::Object(fields) = here else {
            return Err(wrong(path));
        };
        let next = fields.entry(part.clone()).or_insert_with(|| {
            if last {
                Value::String(String::new())
            } else {
                Value::Object(serde_json::Map::new())
            }
        });
        here = next;
    }
    if scalar::is_scalar(here) {
        Ok(Some(here))
    } else {
        Err(wrong(path))
    }
}

/// Inserts a part into a file path at a position; too large a position appends. Two slashes have an empty part between them. Only
/// what stands behind the slash at the begin is made shorter, so that a part with one of its own keeps it there.
fn insert_part(path: &str, position: usize, part: &str) -> String {
    let (root, below) = match path.strip_prefix('/') {
        Some(below) => ("/", below),
        None => ("", path),
    };
    let mut parts: Vec<&str> = below.split('/').collect();
    parts.insert(position.min(parts.len()), part);
    let Some(first) = parts.iter().find(|part| !part.is_empty()) else {
        return root.to_owned();
    };
    let is_rooted = first.starts_with('/');
    let short = shortest(parts.iter().flat_map(|part| part.split('/')));
    if is_rooted {
        // Nothing lies above a root.
        let below: Vec<&str> = short.into_iter().skip_while(|part| *part == "..").collect();
        format!("{root}/{}", below.join("/"))
    } else if short.is_empty() {
        format!("{root}.")
    } else {
        format!("{root}{}", short.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_file_paths() {
        for (path, position, expected) in [
            ("", 0, "P"),
            ("/", 0, "/P"),
            ("pie", 0, "P/pie"),
            ("/pie", 0, "/P/pie"),
            ("/raw", 1, "/raw/P"),
            ("a/nice/warm/pie", 3, "a/nice/warm/P/pie"),
            ("a", 99, "a/P"),
        ] {
            assert_eq!(insert_part(path, position, "P"), expected, "{path}");
        }
    }

    #[test]
    fn what_is_inserted_may_be_a_path() {
        for (path, position, part, expected) in [
            ("x", 1, "/v", "x/v"),
            ("x", 0, "/v", "/v/x"),
            ("x", 1, "a//b/", "x/a/b"),
            ("x", 1, "../v", "v"),
            ("x", 0, "../v", "../v/x"),
            ("/x", 1, "../../v", "/../v"),
            ("x", 1, "..", "."),
            ("/x", 0, "/v", "//v/x"),
            ("x//y", 2, "v", "x/v/y"),
            ("", 0, "", ""),
        ] {
            assert_eq!(insert_part(path, position, part), expected, "{part}");
        }
    }
}
