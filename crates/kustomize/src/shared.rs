//! Values that upstream holds once and shows in several fields.
//! A label or annotation that a transformer adds to several fields of an object is one node there: whoever changes it in one field later, by a
//! patch, a label or a var, changes it in all. Real trees come to depend on that.
//! Enters: an object's value whose fields may have changed.
//! Leaves: the same, fields that are one value made equal.

use serde_json::{Map, Value};

use crate::config::{Create, walk};
use crate::error::Error;
use crate::merge;
use crate::scalar;

/// One value in several mappings.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// The key that it stands under in each of them.
    pub(crate) key: String,
    pub(crate) value: Value,
    /// The paths of the mappings.
    pub(crate) paths: Vec<Vec<String>>,
}

/// Carries changes of shared values into all fields that show them.
pub(crate) fn spread(root: &mut Value, groups: &mut Vec<Shared>) {
    groups.retain_mut(|group| spread_one(root, group));
}

/// Takes out the mappings that a patch is about to replace: what comes in their place shares nothing.
pub(crate) fn part(groups: &mut [Shared], patch: &Value) {
    for group in groups {
        group.paths.retain(|path| !is_replaced(patch, path));
    }
}

/// Whether a patch replaces a mapping, or one that it stands in; that of the whole object changes nothing.
fn is_replaced(patch: &Value, path: &[String]) -> bool {
    let mut fields = patch;
    for name in path {
        let Some(inner) = fields.get(name) else {
            return false;
        };
        if merge::replaces(inner) {
            return true;
        }
        fields = inner;
    }
    false
}

/// Makes the fields of a group equal. Whether they still are a group.
fn spread_one(root: &mut Value, group: &mut Shared) -> bool {
    let mut changed = None;
    group.paths.retain(|path| {
        let mut found = false;
        visit(root, path, &mut |fields| {
            if let Some(value) = fields.get(&group.key) {
                found = true;
                if *value != group.value {
                    // Upstream goes through the fields in this order; the last one wins.
                    changed = Some(value.clone());
                }
            }
        });
        found
    });
    let Some(new) = changed else {
        return group.paths.len() > 1;
    };
    if !scalar::is_scalar(&new) {
        return false;
    }
    for path in &group.paths {
        visit(root, path, &mut |fields| {
            if let Some(value) = fields.get_mut(&group.key) {
                value.clone_from(&new);
            }
        });
    }
    group.value = new;
    group.paths.len() > 1
}

fn visit(root: &mut Value, path: &[String], see: &mut dyn FnMut(&mut Map<String, Value>)) {
    let mut set = |field: &mut Value| -> Result<(), Error> {
        if let Value::Object(fields) = field {
            see(fields);
        }
        Ok(())
    };
    // A scalar in the way means that the field is gone, which is for the caller to see.
    walk(root, path, Create::Nothing, &mut set).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_in_one_field_is_one_in_all() {
        let mut value =
            json!({"kind": "K", "metadata": {"labels": {"a": "2"}}, "spec": {"sel": {"a": "1"}}});
        let path = |text: &str| text.split('/').map(str::to_owned).collect();
        let mut groups = vec![Shared {
            key: "a".to_owned(),
            value: json!("1"),
            paths: vec![path("metadata/labels"), path("spec/sel")],
        }];
        let mut replaced = groups.clone();
        part(
            &mut replaced,
            &json!({"metadata": {"labels": {"$patch": "replace"}}}),
        );
        spread(&mut value.clone(), &mut replaced);
        assert!(replaced.is_empty());
        spread(&mut value, &mut groups);
        assert_eq!(value["spec"]["sel"]["a"], "2");
    }
}
