//! Our marks on an object.
//!
//! Enters: a rendered object and the key of its Application.
//! Leaves: the object as it is sent.
//! Never: a pod template (a mark there would roll every pod), a version or a revision.

use serde_json::{Map, Value};

use crate::{
    api::{LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE},
    model::{ApplicationKey, Object},
};

/// Returns `object` with the two labels that say whose it is.
pub fn marked(object: &Object, key: &ApplicationKey) -> Object {
    let mut object = object.clone();
    object.edit(|value| {
        let Some(root) = value.as_object_mut() else {
            return;
        };
        let metadata = entry(root, "metadata");
        let labels = entry(metadata, "labels");
        labels.insert(LABEL_APPLICATION.to_owned(), Value::from(key.name.as_str()));
        labels.insert(
            LABEL_APPLICATION_NAMESPACE.to_owned(),
            Value::from(key.namespace.as_str()),
        );
    });
    object
}

/// Returns the map under `key`; a null or a value of another kind gives way.
fn entry<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = map
        .entry(key.to_owned())
        .or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(inner) => inner,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("the slot was made a map above")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_object_itself_is_marked() {
        let object = Object::new(
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": null},
                "spec": {"template": {"metadata": {"labels": {"app": "web"}}}}
            }),
            None,
        )
        .unwrap();
        let key = ApplicationKey {
            namespace: "shop".into(),
            name: "prod".into(),
        };
        let value = marked(&object, &key).into_value();
        assert_eq!(
            value["metadata"]["labels"],
            json!({"plimsoll.dev/application": "prod", "plimsoll.dev/application-namespace": "shop"})
        );
        assert_eq!(
            value["spec"]["template"]["metadata"]["labels"],
            json!({"app": "web"})
        );
    }
}
