//! Our own books: status, finalizer and events, as the controller itself.
//!
//! Enters: Applications with their status, Events.
//! Leaves: whether each was written, was there already, or is overtaken.
//! Never: a write to an object of a tenant; a status without the resource version that it was worked out from.

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Cluster, Error, Event, Fence, Identity, Resource,
    classify::{self, Said},
    read,
    request::{Call, JSON, JSON_PATCH, Reply},
};
use crate::{
    api::{Application, FINALIZER},
    model::ApplicationKey,
};

/// What became of a status write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusWrite {
    /// Written.
    Written {
        /// The resource version that the next write builds on.
        resource_version: String,
    },
    /// The Application was changed meanwhile: read it and work the status out again.
    Conflict,
    /// The Application is gone.
    Gone,
}

/// Keeps our own books, as the controller itself. Every write checks the lease.
#[derive(Clone, Debug)]
pub struct Keeper {
    pub(super) cluster: Cluster,
    /// The controller's own namespace.
    pub(super) namespace: String,
    pub(super) fence: Fence,
}

/// As whom books are kept.
pub(super) const WHO: Identity = Identity::Controller;

impl Keeper {
    pub(super) fn new(cluster: Cluster, namespace: String, fence: Fence) -> Self {
        Self {
            cluster,
            namespace,
            fence,
        }
    }

    /// Says whether the lease is ours long enough for a write beside the cluster, which no deadline bounds.
    pub fn may_write(&self) -> bool {
        self.fence.is_open()
    }

    /// Reads an Application, from a quorum.
    ///
    /// # Errors
    /// The API server cannot be asked, or the Application cannot be decoded.
    pub async fn get_application(
        &self,
        key: &ApplicationKey,
    ) -> Result<Option<Application>, Error> {
        let resource = Resource::applications();
        read::get(&self.cluster, &WHO, &resource, &key.namespace, &key.name)
            .await?
            .map(|value| decode(&format!("read Application {key}"), value))
            .transpose()
    }

    /// Writes the status of an Application by PUT: `status` alone, and only over the resource version it came from.
    ///
    /// # Errors
    /// The lease is not ours, the API server cannot be asked or refuses, or its answer was lost.
    pub async fn put_status(&self, application: &Application) -> Result<StatusWrite, Error> {
        let (resource, path, metadata) = identity_of(application)?;
        let act = format!("write the status of Application {}", path.0);
        let body = json!({
            "apiVersion": resource.api_version(),
            "kind": resource.kind,
            "metadata": metadata,
            "status": application.status,
        });
        let reply = self
            .write(act, Method::PUT, format!("{}/status", path.1), JSON, &body)
            .await?;
        Self::status_write(&resource, application, &reply)
    }

    /// Adds our finalizer to an Application, or takes it away, over the resource version it came from.
    ///
    /// # Errors
    /// As for `put_status`.
    pub async fn put_finalizer(
        &self,
        application: &Application,
        wanted: bool,
    ) -> Result<StatusWrite, Error> {
        let (resource, path, metadata) = identity_of(application)?;
        let act = format!("write the finalizers of Application {}", path.0);
        let mut finalizers = application.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        }
        let body = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]);
        let reply = self
            .write(act, Method::PATCH, path.1, JSON_PATCH, &body)
            .await?;
        Self::status_write(&resource, application, &reply)
    }

    fn status_write(
        resource: &Resource,
        application: &Application,
        (call, reply): &(Call, Reply),
    ) -> Result<StatusWrite, Error> {
        if reply.is_success() {
            let value: Value = reply.read(&call.act).map_err(|error| call.lost(error))?;
            let version = value.pointer("/metadata/resourceVersion");
            return Ok(StatusWrite::Written {
                resource_version: version
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
        let name = application.metadata.name.as_deref().unwrap_or_default();
        let own = Some((resource, name));
        match classify::said(&reply.status(), reply.code, own) {
            Said::Absent => Ok(StatusWrite::Gone),
            Said::Changed => Ok(StatusWrite::Conflict),
            Said::Missing(_)
            | Said::Conflicts(_)
            | Said::Exists
            | Said::Expired
            | Said::NotImpersonated
            | Said::Unauthorized
            | Said::Refused(_)
            | Said::Failed => Err(classify::failure(call, own, reply)),
        }
    }

    /// Publishes an event. One that was published already is none again.
    ///
    /// # Errors
    /// As for `put_status`.
    pub async fn publish(&self, event: &Event) -> Result<(), Error> {
        let resource = Resource::events();
        let act = format!(
            "publish the event {} of {}",
            event.reason, event.application
        );
        let path = resource.collection(Some(&event.application.namespace))?;
        let (call, reply) = self
            .write(act, Method::POST, path, JSON, &event.to_value())
            .await?;
        if reply.is_success() || classify::said(&reply.status(), reply.code, None) == Said::Exists {
            return Ok(());
        }
        Err(classify::failure(&call, None, &reply))
    }

    /// Sends one fenced write.
    pub(super) async fn write(
        &self,
        act: String,
        method: Method,
        path: String,
        content_type: &'static str,
        body: &Value,
    ) -> Result<(Call, Reply), Error> {
        let body = body.to_string().into_bytes();
        let call = Call::with_body(act, method, path, &WHO, content_type, body).fenced(&self.fence);
        let reply = self.cluster.send(&call).await?;
        Ok((call, reply))
    }
}

/// Returns the kind, the key and path, and the metadata by which a write insists on what was read.
fn identity_of(application: &Application) -> Result<(Resource, (String, String), Value), Error> {
    let resource = Resource::applications();
    let metadata = &application.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let path = resource.object(namespace, name)?;
    let key = format!("{namespace}/{name}");
    // Without a resource version the API server would overwrite whatever is there.
    let Some(version) = &metadata.resource_version else {
        return Err(Error::Conflict {
            act: format!("write Application {key} without a resource version"),
        });
    };
    let identity = json!({
        "namespace": namespace,
        "name": name,
        "uid": metadata.uid,
        "resourceVersion": version,
    });
    Ok((resource, (key, path), identity))
}

pub(super) fn decode<T: DeserializeOwned>(act: &str, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|source| Error::Decode {
        act: act.to_owned(),
        source,
    })
}

pub(super) fn encode<T: serde::Serialize>(act: &str, value: &T) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|source| Error::Decode {
        act: act.to_owned(),
        source,
    })
}
