//! The git repository of the story.
//!
//! Enters: the example, edits.
//! Leaves: commits in a temporary directory.
//! Never: the reader's own git settings.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// A working tree with its repository.
pub(crate) struct Repository {
    directory: PathBuf,
}

impl Repository {
    /// Makes a repository from the example, with its first commit.
    pub(crate) fn from_example(example: &Path, directory: &Path) -> Result<Self> {
        copy(example, directory)?;
        let repository = Self {
            directory: directory.to_owned(),
        };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        repository.commit("The shop, version 1.0")?;
        Ok(repository)
    }

    /// Returns the address by which the controller reaches it.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.directory.display())
    }

    /// Replaces text in a file; it must be there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.directory.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {file}"))?;
        ensure!(text.contains(from), "{file} does not hold {from:?}");
        std::fs::write(&path, text.replacen(from, to, 1)).with_context(|| format!("write {file}"))
    }

    /// Commits everything and returns the short hash.
    pub(crate) fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])?;
        Ok(self
            .git(&["rev-parse", "--short=7", "HEAD"])?
            .trim()
            .to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Ada Miller",
                "-c",
                "user.email=ada@shop.example",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .current_dir(&self.directory)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .context("run git")?;
        ensure!(
            output.status.success(),
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
