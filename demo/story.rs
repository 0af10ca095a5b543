//! The story, act by act.
//!
//! Enters: a printer, whether everything is left running.
//! Leaves: nothing but what it printed, unless the reader keeps it.
//! Never: an act that passes without having looked.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use plimsoll::api::ConditionType;
use serde_json::json;

use crate::{
    control_plane::{ControlPlane, Controller},
    print::Printer,
    repository::Repository,
    stage::{Stage, condition, is_ready_at},
};

const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];
const PROD: &str = "shop-prod";
const PROD_FILE: &str = "overlays/prod/kustomization.yaml";
const PATIENCE: Duration = Duration::from_secs(60);

/// Plays the story.
pub(crate) async fn play(printer: &Printer, keep: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let temporary = tempfile::Builder::new()
        .prefix("plimsoll-demo-")
        .tempdir()?;
    let directory = temporary.path().to_owned();
    let mut stage = set_up(printer, root, &directory, keep).await?;
    let repository =
        Repository::from_example(&root.join("examples/shop"), &directory.join("shop-deploy"))?;

    first_sync(printer, &stage, &repository).await?;
    let version = good_commit(printer, &stage, &repository).await?;
    bad_commit(printer, &stage, &repository, &version).await?;
    the_fix(printer, &stage, &repository).await?;
    drift(printer, &stage).await?;
    look_back(printer, &stage)?;
    printer.summary();
    if keep {
        leave(printer, &mut stage, temporary);
    }
    Ok(())
}

async fn set_up(printer: &Printer, root: &Path, directory: &Path, keep: bool) -> Result<Stage> {
    printer.act("The stage");
    let start = Instant::now();
    let control_plane = match own_cluster() {
        Some(own) => {
            printer.say(&format!("using your cluster: {}", own.display()));
            ControlPlane::own(PathBuf::from(own))
        }
        None => {
            printer.say("starting etcd, kube-apiserver, controllers, scheduler and simulated nodes on loopback");
            ControlPlane::start(root, &directory.join("cluster"), keep)?
        }
    };
    let mut stage = Stage::set(binary()?, control_plane).await?;
    printer.done(
        "control plane",
        "a real API server answers",
        start.elapsed(),
    );
    stage
        .apply(&stage.plimsoll(&["crds"])?)
        .await
        .context("install the definitions")?;
    stage.namespace("plimsoll-demo-system").await?;
    stage.controller = Some(Controller::start(
        &stage.plimsoll,
        &stage.control_plane.kubeconfig,
        directory,
    )?);
    Ok(stage)
}

/// A cluster of the reader's own, where `KUBECONFIG` names one.
#[expect(
    clippy::disallowed_methods,
    reason = "an example reads its own environment"
)]
fn own_cluster() -> Option<std::ffi::OsString> {
    std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty())
}

/// The binary stands beside the directory of this example.
fn binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let directory = here
        .parent()
        .and_then(Path::parent)
        .context("find the build directory")?;
    let binary = directory.join("plimsoll");
    ensure!(
        binary.exists(),
        "build {} first: cargo build --release",
        binary.display()
    );
    Ok(binary)
}

async fn first_sync(printer: &Printer, stage: &Stage, repository: &Repository) -> Result<()> {
    printer.act("1. Three environments from one repository: dev, staging, prod");
    let start = Instant::now();
    for environment in ENVIRONMENTS {
        let namespace = format!("shop-{environment}");
        stage.namespace(&namespace).await?;
        stage
            .apply(&stage.plimsoll(&[
                "tenant",
                &namespace,
                "--controller-namespace",
                "plimsoll-demo-system",
            ])?)
            .await?;
        let application = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "namespace": namespace},
            "spec": {
                "source": {"repo": repository.url(), "ref": "main", "path": format!("overlays/{environment}")},
                "target": {"serviceAccount": "deployer"},
                "interval": "10s",
                "health": {"timeout": "60s", "soak": "3s"}
            }
        });
        stage.apply(&application.to_string()).await?;
    }
    for environment in ENVIRONMENTS {
        let namespace = format!("shop-{environment}");
        let what = format!("{namespace} to be Ready");
        stage
            .until(&what, PATIENCE, async |stage| {
                let application = stage.application(&namespace).await?;
                let ready = application.status.is_some() && is_ready_at(&application, "");
                Ok(ready.then_some(()))
            })
            .await?;
        printer.done(
            &format!("sync {environment}"),
            "created and Ready",
            start.elapsed(),
        );
    }
    Ok(())
}

async fn good_commit(printer: &Printer, stage: &Stage, repository: &Repository) -> Result<String> {
    printer.act("2. A commit changes the image of prod: a rolling update");
    repository.edit(PROD_FILE, "newTag: \"1.0\"", "newTag: \"1.1\"")?;
    let commit = repository.commit("Promote web 1.1 to prod")?;
    let start = Instant::now();
    ask(stage)?;
    let fewest = roll(stage, &commit).await?;
    printer.done(
        "update",
        &format!("{commit} is Ready, never fewer than {fewest} pods served"),
        start.elapsed(),
    );
    Ok(commit)
}

/// Asks the controller to look at git now, as a webhook would.
fn ask(stage: &Stage) -> Result<()> {
    stage.plimsoll(&["sync", "shop", "--namespace", PROD])?;
    Ok(())
}

/// Waits until a commit is Ready in prod; returns the fewest pods that served meanwhile.
async fn roll(stage: &Stage, commit: &str) -> Result<usize> {
    let mut fewest = usize::MAX;
    stage
        .until(
            &format!("{commit} to be Ready in prod"),
            PATIENCE,
            async |stage| {
                fewest = fewest.min(stage.serving(PROD).await?.len());
                Ok(is_ready_at(&stage.application(PROD).await?, commit).then_some(()))
            },
        )
        .await?;
    ensure!(fewest > 0, "pods must serve throughout");
    Ok(fewest)
}

async fn bad_commit(
    printer: &Printer,
    stage: &Stage,
    repository: &Repository,
    good: &str,
) -> Result<()> {
    printer.act("3. A commit with an image that does not exist");
    // What was Ready must have proved it before it can be returned to.
    stage
        .until("the last known good to be known", PATIENCE, async |stage| {
            let application = stage.application(PROD).await?;
            let status = application.status.unwrap_or_default();
            Ok(status
                .last_known_good
                .filter(|set| set.revision.commit.starts_with(good)))
        })
        .await?;
    repository.edit(PROD_FILE, "newTag: \"1.1\"", "newTag: bad-image")?;
    let commit = repository.commit("Promote web 1.2 to prod (a typo in the tag)")?;
    let start = Instant::now();
    ask(stage)?;
    let mut fewest = usize::MAX;
    let mut seen = None;
    let ((), restored) = stage
        .until(
            "the return to the last known good",
            PATIENCE,
            async |stage| {
                fewest = fewest.min(stage.serving(PROD).await?.len());
                let application = stage.application(PROD).await?;
                let reason =
                    condition(&application, ConditionType::Ready).map(|(_, reason)| reason);
                if reason.as_deref() == Some("Returning") && seen.is_none() {
                    seen = Some(start.elapsed());
                }
                Ok((reason.as_deref() == Some("Returned")).then_some(()))
            },
        )
        .await?;
    if let Some(seen) = seen {
        printer.done("failure seen", "the registry does not have the image", seen);
    }
    let serving = stage.serving(PROD).await?;
    ensure!(
        !serving.is_empty() && serving.iter().all(|image| image.ends_with(":1.1")),
        "the old image must serve, found {serving:?}"
    );
    printer.done(
        "returned",
        &format!("{good} runs again, never fewer than {fewest} old pods served"),
        restored,
    );
    let status = stage.application(PROD).await?.status.unwrap_or_default();
    let quarantined = status
        .quarantine
        .iter()
        .any(|entry| entry.revision.commit.starts_with(&commit));
    ensure!(quarantined, "the failed set must be quarantined");
    printer.done(
        "quarantined",
        &format!("what {commit} renders to is not tried again"),
        restored,
    );
    printer.say("$ plimsoll why shop -n shop-prod");
    printer.quote(&stage.plimsoll(&["why", "shop", "--namespace", PROD])?);
    Ok(())
}

async fn the_fix(printer: &Printer, stage: &Stage, repository: &Repository) -> Result<()> {
    printer.act("4. The fix");
    repository.edit(PROD_FILE, "newTag: bad-image", "newTag: \"1.2\"")?;
    let commit = repository.commit("Correct the tag of web")?;
    let start = Instant::now();
    ask(stage)?;
    let fewest = roll(stage, &commit).await?;
    printer.done(
        "fixed",
        &format!("{commit} is Ready, never fewer than {fewest} pods served"),
        start.elapsed(),
    );
    Ok(())
}

async fn drift(printer: &Printer, stage: &Stage) -> Result<()> {
    printer.act("5. Somebody scales prod by hand");
    let wanted = stage
        .deployments(PROD)
        .get("web")
        .await?
        .spec
        .and_then(|spec| spec.replicas);
    let scaled = Patch::Merge(json!({"spec": {"replicas": 1}}));
    let parameters = PatchParams {
        field_manager: Some("kubectl-scale".to_owned()),
        ..PatchParams::default()
    };
    stage
        .deployments(PROD)
        .patch("web", &parameters, &scaled)
        .await?;
    let ((), took) = stage
        .until("the drift to be repaired", PATIENCE, async |stage| {
            let deployment = stage.deployments(PROD).get("web").await?;
            Ok((deployment.spec.and_then(|spec| spec.replicas) == wanted).then_some(()))
        })
        .await?;
    printer.done(
        "drift",
        &format!("replicas are {} again", wanted.unwrap_or_default()),
        took,
    );
    let ((), took) = stage
        .until("the repair to be recorded", PATIENCE, async |stage| {
            let history = stage.plimsoll(&["history", "shop", "--namespace", PROD])?;
            Ok(history.contains("DriftRepair").then_some(()))
        })
        .await?;
    printer.done("record", "the repair is in the history", took);
    Ok(())
}

fn look_back(printer: &Printer, stage: &Stage) -> Result<()> {
    printer.act("6. What an auditor sees");
    printer.say("$ plimsoll history shop -n shop-prod");
    printer.quote(&stage.plimsoll(&["history", "shop", "--namespace", PROD])?);
    printer.say("$ plimsoll history -A --verify");
    let verdict = stage.plimsoll(&["history", "--all-namespaces", "--verify"])?;
    printer.quote(&verdict);
    ensure!(!verdict.contains("BROKEN"), "every chain must be whole");
    printer.say("$ plimsoll tree shop -n shop-prod");
    printer.quote(&stage.plimsoll(&["tree", "shop", "--namespace", PROD])?);
    Ok(())
}

fn leave(printer: &Printer, stage: &mut Stage, temporary: tempfile::TempDir) {
    let directory = temporary.keep();
    printer.act("Everything is left running");
    printer.say(&format!(
        "export KUBECONFIG={}",
        stage.control_plane.kubeconfig.display()
    ));
    printer.say(&format!("{} get -A", stage.plimsoll.display()));
    printer.say("kubectl get papp -A");
    printer.say(&format!(
        "the repository: {}",
        directory.join("shop-deploy").display()
    ));
    if let Some(controller) = &mut stage.controller {
        printer.say(&format!(
            "the controller's log: {}",
            controller.log.display()
        ));
        printer.say(&format!("end the controller: kill {}", controller.id()));
        controller.leave();
    }
    if let Some(end) = stage.control_plane.how_to_end() {
        printer.say(&format!("end the control plane: {end}"));
        stage.control_plane.leave();
    }
}
