//! The plain loop: the ceiling of whatever applies these objects.
//!
//! Enters: objects, a namespace, a number of connections.
//! Leaves: the time that the API server took for them.
//! Never: a question, a record, a wait: nothing but one server-side apply for each object.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::watcher,
};
use serde_json::Value;

/// Applies each object once, so many at a time.
pub(crate) async fn apply_all(
    client: &Client,
    namespace: &str,
    objects: Vec<Value>,
    connections: usize,
) -> Result<Duration> {
    let requests: Vec<(String, Vec<u8>)> = objects
        .iter()
        .map(|object| Ok((path(namespace, object)?, serde_json::to_vec(object)?)))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    let sends: Vec<_> = requests
        .into_iter()
        .map(|(path, body)| send(client.clone(), path, body))
        .collect();
    stream::iter(sends)
        .buffer_unordered(connections)
        .try_collect::<()>()
        .await?;
    Ok(start.elapsed())
}

/// Waits until Kubernetes' own controllers have taken up the Deployments of these names: nobody can see them ready
/// before.
pub(crate) async fn settled(
    client: &Client,
    namespace: &str,
    names: BTreeSet<String>,
    patience: Duration,
) -> Result<()> {
    until(client, namespace, names, patience, |object| {
        object.data["status"]["observedGeneration"].as_i64() >= object.metadata.generation
    })
    .await
}

/// Waits until the one pod of each of these Deployments is available.
pub(crate) async fn available(
    client: &Client,
    namespace: &str,
    names: BTreeSet<String>,
    patience: Duration,
) -> Result<()> {
    until(client, namespace, names, patience, |object| {
        object.data["status"]["availableReplicas"] == 1
    })
    .await
}

#[expect(clippy::disallowed_methods, reason = "the first failure ends it")]
async fn until(
    client: &Client,
    namespace: &str,
    mut names: BTreeSet<String>,
    patience: Duration,
    is: impl Fn(&DynamicObject) -> bool,
) -> Result<()> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let mut changes = Box::pin(watcher(api, watcher::Config::default()));
    let watch = async {
        while !names.is_empty() {
            let event = changes.next().await.context("the watch ended")??;
            if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = event
                && is(&object)
            {
                names.remove(&object.metadata.name.unwrap_or_default());
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(patience, watch).await;
    ended.context("the Deployments of the plain loop are not taken up in time")?
}

async fn send(client: Client, path: String, body: Vec<u8>) -> Result<()> {
    let request = Request::patch(format!("{path}?fieldManager=bare&force=false"))
        .header("content-type", "application/apply-patch+yaml")
        .body(kube::client::Body::from(body))?;
    let response = client.send(request).await.context("apply")?;
    ensure!(
        response.status().is_success(),
        "apply {path}: {}",
        response.status()
    );
    // The answer is read whole, as any client does.
    let mut body = response.into_body();
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        drop(frame.context("read the answer")?);
    }
    Ok(())
}

/// Returns the path of an object of the workload.
pub(crate) fn path(namespace: &str, object: &Value) -> Result<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").context("an object has a version")?;
    let plural = match text("/kind").context("an object has a kind")? {
        "ServiceAccount" => "serviceaccounts",
        "Service" => "services",
        "Deployment" => "deployments",
        "Ingress" => "ingresses",
        "ConfigMap" => "configmaps",
        other => anyhow::bail!("the workload has no {other}"),
    };
    let prefix = if version.contains('/') { "apis" } else { "api" };
    let name = text("/metadata/name").context("an object has a name")?;
    Ok(format!(
        "/{prefix}/{version}/namespaces/{namespace}/{plural}/{name}"
    ))
}
