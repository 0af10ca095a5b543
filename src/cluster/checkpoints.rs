//! Checkpoints in the cluster, and the key that signs them: in the controller's own namespace.
//!
//! Enters: lines of checkpoints, the public key.
//! Leaves: one ConfigMap, written over the version that it came from.
//! Never: a key in a message; a Secret of another namespace.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use super::{
    Error, Resource,
    classify::{self, Said},
    keeper::{Keeper, WHO},
    read,
    request::JSON,
};
use crate::model::Secret;

/// Name of the ConfigMap.
const NAME: &str = "plimsoll-checkpoints";
/// Its keys.
const LINES: &str = "checkpoints.jsonl";
const PUBLIC_KEY: &str = "key.pub.pem";

/// Checkpoints as they stand in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptCheckpoints {
    /// One line each, oldest first.
    pub lines: String,
    /// Public key, as PEM.
    pub public_key: String,
    /// Version that the next write builds on; None where there are none yet.
    pub resource_version: Option<String>,
}

impl Keeper {
    /// Reads the checkpoints that are kept in the cluster.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses.
    pub async fn checkpoints(&self) -> Result<KeptCheckpoints, Error> {
        let resource = Resource::config_maps();
        let found = read::get(&self.cluster, &WHO, &resource, &self.namespace, NAME).await?;
        let Some(value) = found else {
            return Ok(KeptCheckpoints::default());
        };
        let text = |section: &str, key: &str| {
            value
                .get(section)
                .and_then(|section| section.get(key))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Ok(KeptCheckpoints {
            lines: text("data", LINES).unwrap_or_default(),
            public_key: text("data", PUBLIC_KEY).unwrap_or_default(),
            resource_version: text("metadata", "resourceVersion"),
        })
    }

    /// Writes the checkpoints over the version that they came from; false where they changed meanwhile.
    ///
    /// # Errors
    /// As for `put_status`.
    pub async fn put_checkpoints(&self, kept: &KeptCheckpoints) -> Result<bool, Error> {
        let resource = Resource::config_maps();
        let act = format!("write ConfigMap {}/{NAME}", self.namespace);
        let (method, path) = match kept.resource_version {
            Some(_) => (Method::PUT, resource.object(&self.namespace, NAME)?),
            None => (Method::POST, resource.collection(Some(&self.namespace))?),
        };
        let body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self.namespace, "resourceVersion": kept.resource_version},
            "data": {LINES: kept.lines, PUBLIC_KEY: kept.public_key},
        });
        let (call, reply) = self.write(act, method, path, JSON, &body).await?;
        if reply.is_success() {
            return Ok(true);
        }
        let own = Some((&resource, NAME));
        match classify::said(&reply.status(), reply.code, own) {
            Said::Changed | Said::Exists | Said::Absent => Ok(false),
            Said::Missing(_)
            | Said::Conflicts(_)
            | Said::Expired
            | Said::NotImpersonated
            | Said::Unauthorized
            | Said::Refused(_)
            | Said::Failed => Err(classify::failure(&call, own, &reply)),
        }
    }

    /// Reads a Secret in the controller's own namespace.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses.
    pub async fn own_secret_object(&self, name: &str) -> Result<Option<Value>, Error> {
        let resource = Resource::secrets();
        read::get(&self.cluster, &WHO, &resource, &self.namespace, name).await
    }

    /// Returns the namespace of the controller.
    pub fn own_namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads one value of a Secret in the controller's own namespace.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses.
    pub async fn own_secret(&self, name: &str, key: &str) -> Result<Option<Secret<String>>, Error> {
        let found = self.own_secret_object(name).await?;
        let text = found
            .as_ref()
            .and_then(|found| found.get("data")?.get(key)?.as_str())
            .and_then(|data| STANDARD.decode(data).ok())
            .and_then(|data| String::from_utf8(data).ok());
        Ok(text.map(Secret::new))
    }
}
