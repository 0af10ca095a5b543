//! Values that upstream holds once and shows in several fields.
//! A label or annotation that a transformer adds to several fields of an object is one node there: whoever changes it in one field later, by a
//! patch, a label or a var, changes it in all. Real trees come to depend on that.
//! Enters: an object whose fields may have changed.
//! Leaves: the same, fields that are one value made equal.

use serde_json::{Map, Value};

use crate::config::{Create, walk};
use crate::error::Error;
use crate::object::Object;
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

impl Object {
    /// Carries a change of a shared value into all fields that show it.
    pub(crate) fn spread_shared(&mut self) {
        if self.shared.is_empty() {
            return;
        }
        let mut groups = std::mem::take(&mut self.shared);
        groups.retain_mut(|group| spread(&mut self.value, group));
        self.shared = groups;
    }
}

/// Makes the fields of a group equal. Whether they still are a group.
fn spread(root: &mut Value, group: &mut Shared) -> bool {
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
    use crate::built::Origin;
    use crate::merge::Schema;
    use serde_json::json;

    #[test]
    fn a_change_in_one_field_is_one_in_all() {
        let value =
            json!({"kind": "K", "metadata": {"labels": {"a": "2"}}, "spec": {"sel": {"a": "1"}}});
        let mut object = Object::new(value, Origin::default(), &Schema::built_in());
        let path = |text: &str| text.split('/').map(str::to_owned).collect();
        object.shared.push(Shared {
            key: "a".to_owned(),
            value: json!("1"),
            paths: vec![path("metadata/labels"), path("spec/sel")],
        });
        object.spread_shared();
        assert_eq!(object.value["spec"]["sel"]["a"], "2");
    }
}
