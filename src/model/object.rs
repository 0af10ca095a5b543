//! One object: JSON and where it came from.
//!
//! Enters: a JSON value that the renderer or the API server gave.
//! Leaves: `Object`, with its identity parsed once.
//! Never: typed structs of a kind; unknown fields pass through untouched.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use super::{GroupKind, Location, ObjectId};

/// Why a value is not an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A part of the identity is missing or is not text.
    #[error("read an object without `{field}` as text")]
    Missing {
        /// The field that is missing.
        field: &'static str,
    },
}

/// One Kubernetes object as JSON, with its identity and its place in git.
///
/// A clone shares all of it: a set, the plan that is made of it and what is remembered of it hold one tree. A change
/// copies it first, where it is shared.
#[derive(Clone)]
pub struct Object(Arc<Parts>);

#[derive(Clone, PartialEq)]
struct Parts {
    id: ObjectId,
    api_version: String,
    /// Shared for itself too: sets have most objects alike, and these move in their files.
    value: Arc<Value>,
    location: Option<Location>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// The kind and name only: values can be a Secret's.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.0.id)
            .field("location", &self.0.location)
            .finish_non_exhaustive()
    }
}

impl Object {
    /// Parses the identity of `value`.
    ///
    /// # Errors
    /// `apiVersion`, `kind` or `metadata.name` is missing or is not text.
    pub fn new(value: Value, location: Option<Location>) -> Result<Self, ObjectError> {
        let text = |pointer: &str, field: &'static str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .ok_or(ObjectError::Missing { field })
        };
        let api_version = text("/apiVersion", "apiVersion")?;
        let kind = text("/kind", "kind")?;
        let name = text("/metadata/name", "metadata.name")?;
        let namespace = value
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let group = api_version
            .split_once('/')
            .map_or_else(String::new, |(group, _)| group.to_owned());
        Ok(Self(Arc::new(Parts {
            id: ObjectId {
                group,
                kind,
                namespace,
                name,
            },
            api_version,
            value: Arc::new(value),
            location,
        })))
    }

    /// Returns the object's identity.
    pub fn id(&self) -> &ObjectId {
        &self.0.id
    }

    /// Returns `apiVersion`, for example `apps/v1`.
    pub fn api_version(&self) -> &str {
        &self.0.api_version
    }

    /// Returns the version without the group, for example `v1`.
    pub fn version(&self) -> &str {
        let text = self.api_version();
        text.rsplit_once('/').map_or(text, |(_, version)| version)
    }

    /// Returns the object's kind.
    pub fn group_kind(&self) -> GroupKind {
        self.0.id.group_kind()
    }

    /// Returns the whole object as JSON.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// Returns where the object stands in the repository, if it came from there.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// Says whether two objects are the same JSON, wherever they stand.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.value, &other.0.value) || self.0.value == other.0.value
    }

    /// Returns this object with the JSON of `other`, where that is the same: it is held once then.
    #[must_use]
    pub fn sharing(mut self, other: &Self) -> Self {
        if !self.is_same(other) {
            return self;
        }
        if self.0.location == other.0.location {
            return other.clone();
        }
        Arc::make_mut(&mut self.0).value = Arc::clone(&other.0.value);
        self
    }

    /// Returns the JSON and forgets the identity.
    pub fn into_value(self) -> Value {
        Arc::unwrap_or_clone(Arc::unwrap_or_clone(self.0).value)
    }

    /// Returns the object with `namespace` set, or removed where it is empty.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        let metadata = Arc::make_mut(&mut parts.value).get_mut("metadata");
        if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
            if namespace.is_empty() {
                metadata.remove("namespace");
            } else {
                metadata.insert("namespace".to_owned(), Value::from(namespace));
            }
        }
        namespace.clone_into(&mut parts.id.namespace);
        self
    }

    /// Returns a Secret with the texts of `stringData` in `data`, where they win, as the API server would put them.
    ///
    /// The API server writes `stringData` and never shows it: applied as it is, a text that left git would stay in
    /// `data` for ever, and one that somebody changed would look as it was written. What is not a map of texts stays,
    /// for the API server to refuse.
    #[must_use]
    pub fn with_plain_data(mut self) -> Self {
        if !self.id().is("", "Secret") || self.value().get("stringData").is_none() {
            return self;
        }
        let parts = Arc::make_mut(&mut self.0);
        let Some(fields) = Arc::make_mut(&mut parts.value).as_object_mut() else {
            return self;
        };
        let Some(Value::Object(texts)) = fields.get("stringData") else {
            return self;
        };
        let encoded: Option<serde_json::Map<String, Value>> = texts
            .iter()
            .map(|(key, text)| {
                let text = base64::engine::general_purpose::STANDARD.encode(text.as_str()?);
                Some((key.clone(), Value::from(text)))
            })
            .collect();
        let data = fields.get("data");
        if let Some(encoded) = encoded
            && data.is_none_or(|data| data.is_object() || data.is_null())
        {
            let mut whole = data.and_then(Value::as_object).cloned().unwrap_or_default();
            whole.extend(encoded);
            fields.remove("stringData");
            fields.insert("data".to_owned(), Value::Object(whole));
        }
        self
    }

    /// Returns the object under another name.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        let metadata = Arc::make_mut(&mut parts.value).get_mut("metadata");
        if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
            metadata.insert("name".to_owned(), Value::from(name));
        }
        name.clone_into(&mut parts.id.name);
        self
    }

    /// Changes the JSON in place; what makes the identity must stay as it is.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let parts = Arc::make_mut(&mut self.0);
        change(Arc::make_mut(&mut parts.value));
        let name = parts.value.pointer("/metadata/name");
        debug_assert_eq!(
            name.and_then(Value::as_str),
            Some(parts.id.name.as_str()),
            "the identity of an object does not change"
        );
    }

    /// Returns the value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata_text("labels", key)
    }

    /// Returns the value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata_text("annotations", key)
    }

    fn metadata_text(&self, map: &str, key: &str) -> Option<&str> {
        self.value().get("metadata")?.get(map)?.get(key)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_identity_is_group_kind_namespace_and_name() {
        let object = Object::new(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}),
            None,
        )
        .unwrap();
        assert_eq!(
            object.id(),
            &ObjectId::new("apps", "Deployment", "shop", "web")
        );
        assert_eq!(object.version(), "v1");
        assert_eq!(object.id().to_string(), "Deployment/shop/web");
    }

    #[test]
    fn a_clone_shares_its_json_until_one_of_them_changes() {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "c"}});
        let at = |line| Some(Location::line("a.yaml", line));
        let first = Object::new(value.clone(), at(1)).unwrap();
        let mut second = first.clone();
        assert!(std::ptr::eq(first.value(), second.value()));
        second.edit(|value| value["data"]["b"] = json!("d"));
        assert_eq!(first.value()["data"]["b"], "c");
        assert!(!first.is_same(&second));
        let moved = Object::new(value, at(7)).unwrap().sharing(&first);
        assert!(std::ptr::eq(first.value(), moved.value()), "held once");
        assert_eq!(moved.location(), at(7).as_ref());
        assert!(second.clone().sharing(&first) == second);
    }

    #[test]
    fn a_nameless_object_is_refused() {
        let error = Object::new(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}}),
            None,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "read an object without `metadata.name` as text"
        );
    }

    #[test]
    fn string_data_of_a_secret_becomes_data() {
        let plain = |kind: &str, more: Value| {
            let mut value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
            value
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let mut value = Object::new(value, None)
                .unwrap()
                .with_plain_data()
                .value()
                .clone();
            let fields = value.as_object_mut().unwrap();
            fields.retain(|key, _| key.contains("ata") && key != "metadata");
            value
        };
        assert_eq!(
            plain(
                "Secret",
                json!({"data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new", "c": ""}})
            ),
            json!({"data": {"a": "bmV3", "b": "Yg==", "c": ""}})
        );
        for left in [
            json!({"stringData": {"a": 1}}),
            json!({"stringData": ["a"]}),
            json!({"data": "a", "stringData": {"a": "b"}}),
        ] {
            assert_eq!(plain("Secret", left.clone()), left);
        }
        let other = json!({"stringData": {"a": "b"}});
        assert_eq!(plain("ConfigMap", other.clone()), other);
    }

    #[test]
    fn debug_does_not_print_values() {
        let object = Object::new(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"k": "canary"}}),
            None,
        )
        .unwrap();
        assert!(!format!("{object:?}").contains("canary"));
    }
}
