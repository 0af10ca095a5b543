//! One object: JSON and where it came from.
//!
//! Enters: a JSON value that the renderer or the API server gave.
//! Leaves: `Object`, with its identity parsed once.
//! Never: typed structs of a kind; unknown fields pass through untouched.

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
/// Cloning is cheap in neither direction: sets are shared behind `Arc`.
#[derive(Clone, PartialEq)]
pub struct Object {
    id: ObjectId,
    api_version: String,
    value: Value,
    /// Where the object stands in the repository, if it came from there.
    pub location: Option<Location>,
}

/// The kind and name only: values can be a Secret's.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("id", &self.id)
            .field("location", &self.location)
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
        Ok(Self {
            id: ObjectId {
                group,
                kind,
                namespace,
                name,
            },
            api_version,
            value,
            location,
        })
    }

    /// Returns the object's identity.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Returns `apiVersion`, for example `apps/v1`.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Returns the version without the group, for example `v1`.
    pub fn version(&self) -> &str {
        self.api_version
            .rsplit_once('/')
            .map_or(self.api_version.as_str(), |(_, version)| version)
    }

    /// Returns the object's kind.
    pub fn group_kind(&self) -> GroupKind {
        self.id.group_kind()
    }

    /// Returns the whole object as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Returns the JSON and forgets the identity.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// Returns the object with `namespace` set, or removed where it is empty.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        if let Some(metadata) = self
            .value
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        {
            if namespace.is_empty() {
                metadata.remove("namespace");
            } else {
                metadata.insert("namespace".to_owned(), Value::from(namespace));
            }
        }
        namespace.clone_into(&mut self.id.namespace);
        self
    }

    /// Returns a Secret with the texts of `stringData` in `data`, where they win, as the API server would put them.
    ///
    /// The API server writes `stringData` and never shows it: applied as it is, a text that left git would stay in
    /// `data` for ever, and one that somebody changed would look as it was written. What is not a map of texts stays,
    /// for the API server to refuse.
    #[must_use]
    pub fn with_plain_data(mut self) -> Self {
        if !self.id.group.is_empty() || self.id.kind != "Secret" {
            return self;
        }
        let Some(fields) = self.value.as_object_mut() else {
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
        if let Some(metadata) = self
            .value
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
        {
            metadata.insert("name".to_owned(), Value::from(name));
        }
        name.clone_into(&mut self.id.name);
        self
    }

    /// Changes the JSON in place; what makes the identity must stay as it is.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.value);
        debug_assert_eq!(
            self.value.pointer("/metadata/name").and_then(Value::as_str),
            Some(self.id.name.as_str()),
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
        self.value.get("metadata")?.get(map)?.get(key)?.as_str()
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
