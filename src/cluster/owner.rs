//! Whose an object is: by our marks, or by who controls it.
//!
//! Enters: live objects.
//! Leaves: the key of an Application, the id of a controller.
//! Never: a claim on an object; marks are a hint, for anybody can write a label.

use serde_json::Value;

use crate::{
    api::{LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE},
    model::{ApplicationKey, ObjectId},
};

/// Returns the Application that an object's marks name.
pub(super) fn marks_of(object: &Value) -> Option<ApplicationKey> {
    let labels = object.get("metadata")?.get("labels")?;
    let label = |name: &str| {
        labels
            .get(name)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    Some(ApplicationKey {
        namespace: label(LABEL_APPLICATION_NAMESPACE)?,
        name: label(LABEL_APPLICATION)?,
    })
}

/// Returns the object that controls this one, for example the ReplicaSet of a Pod.
pub(super) fn controller_of(object: &Value) -> Option<ObjectId> {
    let namespace = object
        .get("metadata")?
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let owner = controller(object)?;
    let text = |field: &str| owner.get(field).and_then(Value::as_str);
    let group = text("apiVersion")?
        .split_once('/')
        .map_or("", |(group, _)| group);
    Some(ObjectId::new(
        group,
        text("kind")?,
        namespace,
        text("name")?,
    ))
}

/// Returns the UID of what controls this object.
pub(super) fn controller_uid(object: &Value) -> Option<String> {
    let uid = controller(object)?.get("uid")?.as_str()?;
    Some(uid.to_owned())
}

fn controller(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("ownerReferences")?
        .as_array()?
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_marks_make_an_owner() {
        let object = |labels: Value| json!({"metadata": {"labels": labels}});
        assert_eq!(
            marks_of(&object(
                json!({LABEL_APPLICATION: "web", LABEL_APPLICATION_NAMESPACE: "shop"})
            )),
            Some(ApplicationKey {
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            })
        );
        assert_eq!(marks_of(&object(json!({LABEL_APPLICATION: "web"}))), None);
        assert_eq!(marks_of(&json!({})), None);
    }

    #[test]
    fn the_controller_is_found_among_the_owners() {
        let pod = json!({"metadata": {"namespace": "shop", "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": true},
        ]}});
        assert_eq!(
            controller_of(&pod),
            Some(ObjectId::new("apps", "ReplicaSet", "shop", "web-1"))
        );
    }
}
