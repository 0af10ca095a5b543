//! The Applications themselves, as they change.
//!
//! Enters: Applications as people and git wrote them, whatever they hold.
//! Leaves: events, each valid, invalid or gone; the list of the valid ones.
//! Never: one Application that cannot be decoded in the way of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Cluster, Error, Identity, ListQuery, Resource,
    classify::clean,
    follow::{self, Sink, Target},
    prune,
    watch::lock,
};
use crate::{
    api::{Application, Reason},
    model::{ApplicationKey, Slots, text},
};

/// One change of an Application.
#[derive(Clone, Debug)]
pub enum ApplicationEvent {
    /// New or changed.
    Valid(Arc<Application>),
    /// New or changed, and cannot be decoded.
    Invalid {
        /// The Application.
        key: ApplicationKey,
        /// Its UID.
        uid: String,
        /// Its generation.
        generation: i64,
        /// Its resource version: a status can be written over it.
        resource_version: String,
        /// What is wrong with it, bounded.
        error: String,
    },
    /// Deleted.
    Gone {
        /// The Application.
        key: ApplicationKey,
        /// Its UID.
        uid: String,
    },
    /// All that exist have been told; from now on changes are.
    Synced,
    /// Changes are not told for a while.
    Lost {
        /// Why, from the closed list.
        reason: Reason,
        /// What happened.
        message: String,
    },
}

/// Follows the Applications. Clones share the list.
#[derive(Clone, Debug)]
pub struct Applications {
    cluster: Cluster,
    namespace: Option<String>,
    known: Arc<Mutex<BTreeMap<ApplicationKey, Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    uid: String,
    version: String,
    /// None where it cannot be decoded.
    application: Option<Arc<Application>>,
}

impl Applications {
    /// Follows the Applications of one namespace or of all; `run` does the work.
    pub fn new(cluster: &Cluster, namespace: Option<&str>) -> Self {
        Self {
            cluster: cluster.clone(),
            namespace: namespace.map(str::to_owned),
            known: Arc::default(),
        }
    }

    /// Tells every change until the future is dropped. Where nobody takes the events, it waits.
    pub async fn run(&self, events: mpsc::Sender<ApplicationEvent>) {
        let resource = Resource::applications();
        let target = Target {
            api_version: resource.api_version(),
            kind: resource.kind,
            who: Identity::Controller,
            query: ListQuery {
                namespace: self.namespace.clone(),
                ..ListQuery::default()
            },
        };
        let mut sink = ApplicationSink {
            known: Arc::clone(&self.known),
            events,
            is_lost: false,
        };
        follow::follow(&self.cluster, &target, &mut sink).await;
    }

    /// Returns the valid Applications, by key.
    pub fn list(&self) -> Vec<Arc<Application>> {
        lock(&self.known)
            .values()
            .filter_map(|known| known.application.clone())
            .collect()
    }

    /// Returns an Application as last seen; None where it is not known or not valid.
    pub fn get(&self, key: &ApplicationKey) -> Option<Arc<Application>> {
        lock(&self.known).get(key)?.application.clone()
    }

    /// Returns the UIDs of the Applications that were seen outside of these slots, valid or not.
    pub fn uids_outside(&self, slots: Slots) -> Vec<String> {
        lock(&self.known)
            .iter()
            .filter(|(key, _)| !slots.covers(key))
            .map(|(_, known)| known.uid.clone())
            .collect()
    }

    /// Returns the UIDs of all Applications that were seen, valid or not.
    pub fn uids(&self) -> Vec<String> {
        lock(&self.known)
            .values()
            .map(|known| known.uid.clone())
            .collect()
    }
}

struct ApplicationSink {
    known: Arc<Mutex<BTreeMap<ApplicationKey, Known>>>,
    events: mpsc::Sender<ApplicationEvent>,
    is_lost: bool,
}

impl ApplicationSink {
    async fn tell(&self, event: ApplicationEvent) {
        // Nobody takes events any more: the process ends.
        let _closed = self.events.send(event).await;
    }

    async fn take(&self, object: Value) {
        let Some((key, mut known)) = identity(&object) else {
            tracing::error!("an Application without a name was listed");
            return;
        };
        let before = lock(&self.known).get(&key).cloned();
        match before {
            Some(before) if before.uid != known.uid => self.forget(key.clone()).await,
            Some(before) if before.version == known.version => return,
            Some(_) | None => {}
        }
        let generation = object
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        let event = match decode(&object) {
            Ok(application) => {
                let application = Arc::new(application);
                known.application = Some(Arc::clone(&application));
                ApplicationEvent::Valid(application)
            }
            Err(error) => ApplicationEvent::Invalid {
                key: key.clone(),
                uid: known.uid.clone(),
                generation,
                resource_version: known.version.clone(),
                error: clean(&error),
            },
        };
        lock(&self.known).insert(key, known);
        self.tell(event).await;
    }

    async fn forget(&self, key: ApplicationKey) {
        let gone = lock(&self.known).remove(&key);
        if let Some(Known { uid, .. }) = gone {
            self.tell(ApplicationEvent::Gone { key, uid }).await;
        }
    }
}

impl Sink for ApplicationSink {
    type Kept = Value;

    fn keep(&self, object: Value) -> Value {
        prune::of_marked(object)
    }

    async fn listed(&mut self, objects: Vec<Value>) {
        let present: BTreeSet<ApplicationKey> = objects
            .iter()
            .filter_map(|object| identity(object).map(|(key, _)| key))
            .collect();
        let gone: Vec<ApplicationKey> = lock(&self.known)
            .keys()
            .filter(|key| !present.contains(key))
            .cloned()
            .collect();
        for key in gone {
            self.forget(key).await;
        }
        for object in objects {
            self.take(object).await;
        }
        self.is_lost = false;
        self.tell(ApplicationEvent::Synced).await;
    }

    async fn applied(&mut self, object: Value) {
        self.take(object).await;
    }

    async fn deleted(&mut self, object: Value) {
        if let Some((key, _)) = identity(&object) {
            self.forget(key).await;
        }
    }

    async fn lost(&mut self, error: &Error) {
        if !self.is_lost {
            self.is_lost = true;
            let event = ApplicationEvent::Lost {
                reason: error.reason(),
                message: error.to_string(),
            };
            self.tell(event).await;
        }
    }

    async fn found(&mut self) {
        if self.is_lost {
            self.is_lost = false;
            self.tell(ApplicationEvent::Synced).await;
        }
    }
}

/// Decodes an Application. The decoder names no field, so each is tried alone where the whole cannot be read.
fn decode(object: &Value) -> Result<Application, String> {
    let whole = match Application::deserialize(object) {
        Ok(application) => return Ok(application),
        Err(error) => error.to_string(),
    };
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        for (field, value) in object
            .get(part)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            // Apart from its source an Application needs nothing.
            let mut alone =
                json!({"metadata": {}, "spec": {"source": {"repo": "https://localhost"}}});
            alone[part][field] = value.clone();
            if let Err(error) = Application::deserialize(&alone) {
                found.push(format!("{part}.{field}: {error}"));
            }
        }
    }
    Err(if found.is_empty() {
        whole
    } else {
        text::list(&found, 5)
    })
}

fn identity(object: &Value) -> Option<(ApplicationKey, Known)> {
    let metadata = object.get("metadata")?;
    let text = |field: &str| metadata.get(field)?.as_str().map(str::to_owned);
    let key = ApplicationKey {
        namespace: text("namespace")?,
        name: text("name")?,
    };
    let known = Known {
        uid: text("uid").unwrap_or_default(),
        version: text("resourceVersion").unwrap_or_default(),
        application: None,
    };
    Some((key, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_named() {
        let broken = json!({"metadata": {}, "spec": {"source": 7, "interval": "no duration", "drift": "report"}});
        let error = decode(&broken).unwrap_err();
        assert!(
            error.contains("spec.source: ")
                && error.contains("spec.interval: ")
                && !error.contains("drift"),
            "{error}"
        );
        let error = decode(&json!({"metadata": {}, "spec": {}})).unwrap_err();
        assert!(error.contains("source"), "{error}");
        assert!(
            decode(&json!({"metadata": {}, "spec": {"source": {"repo": "https://a"}}})).is_ok()
        );
    }
}
