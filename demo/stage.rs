//! The stage: what the story asks of cluster, controller and command line.
//!
//! Enters: questions.
//! Leaves: answers, or an error that says what was waited for.
//! Never: a wait without a deadline.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    discovery,
};
use plimsoll::api::{Application, ConditionStatus, ConditionType};

use crate::control_plane::{ControlPlane, Controller};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Everything that runs.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) plimsoll: PathBuf,
    pub(crate) control_plane: ControlPlane,
    pub(crate) controller: Option<Controller>,
}

impl Stage {
    pub(crate) async fn set(plimsoll: PathBuf, control_plane: ControlPlane) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(&control_plane.kubeconfig)?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self {
            client: Client::try_from(config)?,
            plimsoll,
            control_plane,
            controller: None,
        })
    }

    /// Runs the command line and returns what it prints, whatever its exit code is.
    pub(crate) fn plimsoll(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.plimsoll)
            .args(arguments)
            .env("KUBECONFIG", &self.control_plane.kubeconfig)
            .output()
            .context("run plimsoll")?;
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "plimsoll {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies YAML documents, as `kubectl apply --server-side` would.
    pub(crate) async fn apply(&self, yaml: &str) -> Result<()> {
        for document in yaml.split("\n---\n") {
            let object: DynamicObject = serde_yaml::from_str(document)?;
            let types = object.types.clone().context("an object has a kind")?;
            let gvk = kube::core::GroupVersionKind::try_from(&types)?;
            let (resource, capabilities) = discovery::pinned_kind(&self.client, &gvk).await?;
            let name = object.metadata.name.clone().unwrap_or_default();
            let api: Api<DynamicObject> = if capabilities.scope == discovery::Scope::Cluster {
                Api::all_with(self.client.clone(), &resource)
            } else {
                let namespace = object
                    .metadata
                    .namespace
                    .clone()
                    .unwrap_or_else(|| "default".to_owned());
                Api::namespaced_with(self.client.clone(), &namespace, &resource)
            };
            api.patch(
                &name,
                &PatchParams::apply("demo").force(),
                &Patch::Apply(&object),
            )
            .await
            .with_context(|| format!("apply {} {name}", types.kind))?;
        }
        Ok(())
    }

    pub(crate) async fn namespace(&self, name: &str) -> Result<()> {
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Api::<Namespace>::all(self.client.clone())
            .patch(
                name,
                &PatchParams::apply("demo").force(),
                &Patch::Apply(&namespace),
            )
            .await?;
        Ok(())
    }

    pub(crate) fn deployments(&self, namespace: &str) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) async fn application(&self, namespace: &str) -> Result<Application> {
        Ok(
            Api::<Application>::namespaced(self.client.clone(), namespace)
                .get("shop")
                .await?,
        )
    }

    /// Returns how many Ready pods of the web shop serve, and their images.
    pub(crate) async fn serving(&self, namespace: &str) -> Result<Vec<String>> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace)
            .list(&ListParams::default().labels("app.kubernetes.io/name=web"))
            .await?;
        Ok(pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter(|pod| {
                pod.status
                    .iter()
                    .flat_map(|status| status.conditions.iter().flatten())
                    .any(|condition| condition.type_ == "Ready" && condition.status == "True")
            })
            .filter_map(|pod| pod.spec?.containers.first()?.image.clone())
            .collect())
    }

    /// Asks until `look` answers, and returns its answer with the time that it took.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl AsyncFnMut(&Self) -> Result<Option<T>>,
    ) -> Result<(T, Duration)> {
        let start = Instant::now();
        loop {
            if let Some(answer) = look(self).await? {
                return Ok((answer, start.elapsed()));
            }
            if start.elapsed() > patience {
                let words = self
                    .controller
                    .as_ref()
                    .map(Controller::last_words)
                    .unwrap_or_default();
                bail!(
                    "waited {} s for {what}; the controller's last words:\n{words}",
                    patience.as_secs()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Returns the status and reason of a condition.
pub(crate) fn condition(
    application: &Application,
    kind: ConditionType,
) -> Option<(ConditionStatus, String)> {
    application
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.kind == kind)
        .map(|condition| (condition.status, condition.reason.clone()))
}

/// Says whether this commit is applied and Ready.
pub(crate) fn is_ready_at(application: &Application, commit: &str) -> bool {
    let applied = application
        .status
        .as_ref()
        .and_then(|status| status.applied.as_ref())
        .is_some_and(|set| set.revision.commit.starts_with(commit));
    applied
        && condition(application, ConditionType::Ready)
            .is_some_and(|(status, _)| status == ConditionStatus::True)
}
