//! What the API server must be asked before a set is applied.
//!
//! Enters: the set as it would be sent, the set that was applied last, the objects that drifted.
//! Leaves: the objects to dry-run; the rest count as accepted (law 2).
//! Never: a question about an object that did not change.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Object, ObjectId};

/// One object to ask about.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The object as it would be sent.
    pub object: &'a Object,
    /// Whether it is what the last applied set had, as far as anybody knows: if not and it exists, its live form must
    /// be read, and what is live already is not written again.
    pub known: bool,
}

/// Returns the objects to ask about: new or changed against `applied`, or named in `drifted`.
pub fn questions<'a>(
    desired: &'a [Object],
    applied: Option<&[Object]>,
    drifted: &BTreeSet<ObjectId>,
) -> Vec<Question<'a>> {
    let applied: BTreeMap<&ObjectId, &Object> = applied
        .unwrap_or_default()
        .iter()
        .map(|object| (object.id(), object))
        .collect();
    desired
        .iter()
        .filter_map(|object| {
            let before = applied.get(object.id());
            let same = before.is_some_and(|before| before.is_same(object));
            let ask = !same || drifted.contains(object.id());
            ask.then_some(Question {
                object,
                known: before.is_some() && !drifted.contains(object.id()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, value: u32) -> Object {
        Object::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value.to_string()}}),
            None,
        )
        .unwrap()
    }

    #[test]
    fn only_what_changed_or_drifted_is_asked_about() {
        let applied = vec![
            object("same", 1),
            object("changed", 1),
            object("drifted", 1),
        ];
        let desired = vec![
            object("same", 1),
            object("changed", 2),
            object("drifted", 1),
            object("new", 1),
        ];
        let drifted = BTreeSet::from([desired[2].id().clone()]);
        let asked: Vec<(&str, bool)> = questions(&desired, Some(&applied), &drifted)
            .iter()
            .map(|question| (question.object.id().name.as_str(), question.known))
            .collect();
        assert_eq!(
            asked,
            [("changed", true), ("drifted", false), ("new", false)]
        );
        assert_eq!(questions(&desired, None, &BTreeSet::new()).len(), 4);
    }
}
