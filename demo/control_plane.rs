//! The control plane and the controller of the story.
//!
//! Enters: `KUBECONFIG`, or nothing: then an embedded control plane is started.
//! Leaves: children that end with the demo.
//! Never: a process left behind, unless the reader asks for it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// A control plane: the embedded one, or the reader's own.
pub(crate) struct ControlPlane {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) embedded: Option<PathBuf>,
    binary: Option<PathBuf>,
    child: Option<Child>,
}

impl ControlPlane {
    /// Starts the embedded control plane below `directory`.
    pub(crate) fn start(root: &Path, directory: &Path, keep: bool) -> Result<Self> {
        let built = Command::new(root.join("devcluster/build.sh"))
            .stderr(Stdio::inherit())
            .output()
            .context("build the control plane with devcluster/build.sh")?;
        ensure!(built.status.success(), "devcluster/build.sh failed");
        let binary = PathBuf::from(String::from_utf8_lossy(&built.stdout).trim());
        let mut command = Command::new(&binary);
        command
            .arg("up")
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if keep {
            command.arg("--keep").stdin(Stdio::null());
        } else {
            // It ends when this end of the pipe closes, however the demo ends.
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().context("start the control plane")?;
        let stdout = child
            .stdout
            .take()
            .context("read what the control plane says")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line).with_context(|| {
            format!(
                "the control plane did not become ready; its logs are in {}",
                directory.display()
            )
        })?;
        Ok(Self {
            kubeconfig: PathBuf::from(ready["kubeconfig"].as_str().unwrap_or_default()),
            embedded: Some(directory.to_owned()),
            binary: Some(binary),
            child: Some(child),
        })
    }

    /// Uses the reader's own cluster.
    pub(crate) fn own(kubeconfig: PathBuf) -> Self {
        Self {
            kubeconfig,
            embedded: None,
            binary: None,
            child: None,
        }
    }

    /// Returns the command that ends an embedded control plane which was kept.
    pub(crate) fn how_to_end(&self) -> Option<String> {
        let (binary, directory) = (self.binary.as_ref()?, self.embedded.as_ref()?);
        Some(format!(
            "{} down --dir {}",
            binary.display(),
            directory.display()
        ))
    }

    /// Leaves it running.
    pub(crate) fn leave(&mut self) {
        self.child = None;
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            // It ends by itself when its input ends; a wait that fails has nothing left to wait for.
            let _ended = child.wait();
        }
    }
}

/// The controller, as a child.
pub(crate) struct Controller {
    child: Option<Child>,
    pub(crate) log: PathBuf,
}

impl Controller {
    pub(crate) fn start(plimsoll: &Path, kubeconfig: &Path, directory: &Path) -> Result<Self> {
        let log = directory.join("controller.log");
        let child = Command::new(plimsoll)
            .arg("controller")
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args([
                "--namespace",
                "plimsoll-demo-system",
                "--listen",
                "127.0.0.1:0",
                "--allow-file",
            ])
            .arg("--cache")
            .arg(directory.join("mirrors"))
            .stdin(Stdio::null())
            .stderr(File::create(&log).context("make the log file")?)
            .spawn()
            .context("start the controller")?;
        Ok(Self {
            child: Some(child),
            log,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub(crate) fn leave(&mut self) {
        self.child = None;
    }

    /// Returns the last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(8))
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Nothing but a demo depends on it: it is ended at once.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}
