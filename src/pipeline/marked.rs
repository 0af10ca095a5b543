//! The live objects that carry an Application's marks.
//!
//! Enters: the Application, the namespaces where its objects may be.
//! Leaves: the objects, and each kind that could not be read, by name.
//! Never: "nothing there" for a kind that could not be read (law 1).

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::Error;
use crate::{
    api::{LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE},
    cluster::{self, Cluster, Identity, ListQuery, Reader, Resource},
    model::{ApplicationKey, Object},
};

/// Lists in flight; discovery names about 60 kinds.
const AT_ONCE: usize = 12;

/// What was found by the marks.
#[derive(Clone, Debug, Default)]
pub struct Marked {
    /// The objects, by identity; none twice.
    pub objects: Vec<Object>,
    /// Kinds that could not be read, each with why.
    pub not_read: Vec<String>,
}

/// Lists every kind by our marks, as the person.
///
/// A kind that the person may not list in the whole cluster is listed in `namespaces`.
///
/// # Errors
/// The API server does not say which kinds it has.
pub async fn marked(
    cluster: &Cluster,
    key: &ApplicationKey,
    namespaces: &BTreeSet<String>,
) -> Result<Marked, Error> {
    let catalogue = cluster.discovery().catalogue().await?;
    let reader = cluster.reader(Identity::Person);
    let labels = format!(
        "{LABEL_APPLICATION}={},{LABEL_APPLICATION_NAMESPACE}={}",
        key.name, key.namespace
    );
    let lists: Vec<_> = stream::iter(catalogue.kinds())
        .map(|resource| {
            let (reader, labels) = (&reader, &labels);
            async move {
                let list = list(reader, resource, labels, namespaces).await;
                (resource.group_kind().to_string(), list)
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut found = Marked::default();
    for (kind, list) in lists {
        match list {
            Ok(values) => found.objects.extend(
                values
                    .into_iter()
                    .filter_map(|value| Object::new(value, None).ok()),
            ),
            // A kind that cannot be listed at all (a review, a binding) holds no objects.
            Err(cluster::Error::NotFound { .. } | cluster::Error::Server { code: 405, .. }) => {}
            Err(error) => found.not_read.push(format!("{kind} ({error})")),
        }
    }
    found.objects.retain(|object| !is_copy(object));
    found.objects.sort_by(|a, b| a.id().cmp(b.id()));
    found
        .objects
        .dedup_by(|a, b| uid(a.value()) == uid(b.value()));
    Ok(found)
}

async fn list(
    reader: &Reader,
    resource: &Resource,
    labels: &str,
    namespaces: &BTreeSet<String>,
) -> Result<Vec<Value>, cluster::Error> {
    let query = |namespace: Option<&String>| ListQuery {
        labels: labels.to_owned(),
        namespace: namespace.cloned(),
        ..ListQuery::default()
    };
    let api_version = resource.api_version();
    match reader
        .list(&api_version, &resource.kind, &query(None))
        .await
    {
        Err(cluster::Error::Forbidden { .. }) if resource.namespaced && !namespaces.is_empty() => {}
        whole => return whole,
    }
    let mut all = Vec::new();
    for namespace in namespaces {
        all.extend(
            reader
                .list(&api_version, &resource.kind, &query(Some(namespace)))
                .await?,
        );
    }
    Ok(all)
}

/// Controllers copy the labels of a Service onto what they make for it: those are no objects of ours.
fn is_copy(object: &Object) -> bool {
    let owned = object
        .value()
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|owners| !owners.is_empty());
    owned || object.id().is("", "Endpoints")
}

fn uid(value: &Value) -> Option<&str> {
    value.pointer("/metadata/uid").and_then(Value::as_str)
}
