//! Repositories, mirrors and small helpers for the tests of `source`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use plimsoll::{
    model::{Credentials, Now, SourceSpec},
    source::{self, Error, Mirrors, Settings, Snapshot},
};
use tempfile::TempDir;

/// A repository with a work tree, made by git itself.
pub(super) struct Repository {
    root: TempDir,
}

impl Repository {
    /// Makes a repository `shop` with one commit on `main`.
    pub(super) fn new() -> Self {
        let repository = Self {
            root: TempDir::new().unwrap(),
        };
        fs::create_dir(repository.path()).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit("deploy/app.yaml", "kind: ConfigMap\n");
        repository
    }

    /// Directory in which the repository lies.
    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.path().join("shop")
    }

    /// Runs git in the repository and returns what it prints.
    pub(super) fn git(&self, arguments: &[&str]) -> String {
        git(&self.path(), arguments)
    }

    /// Writes a file and commits it; returns the commit.
    pub(super) fn commit(&self, path: &str, content: &str) -> String {
        let file = self.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
        self.commit_all(&format!("write {path}"))
    }

    /// Makes a tree of entries in the form of `git ls-tree -z`, whatever their names are; returns its hash.
    pub(super) fn make_tree(&self, entries: &str) -> String {
        self.feed(&["mktree", "-z"], entries)
    }

    /// Makes many commits on `main` that change nothing.
    pub(super) fn commit_empty(&self, count: usize) {
        let one = "commit refs/heads/main\ncommitter Ann Author <ann@example.com> 1767323046 +0000\ndata 5\nempty\n";
        let parent = format!("from {}\n", self.git(&["rev-parse", "main"]));
        let commits = one.to_owned() + &parent + &one.repeat(count - 1);
        self.feed(&["fast-import", "--quiet"], &commits);
    }

    /// Runs git in the repository on what it reads from its input, and returns what it prints.
    fn feed(&self, arguments: &[&str], input: &str) -> String {
        let mut child = git_command()
            .current_dir(self.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything; returns the commit.
    pub(super) fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Runs git without any configuration of whoever runs the tests.
pub(super) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = git_command()
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("git is missing; install it with: apt-get install --yes git");
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns git with an environment of its own.
pub(super) fn git_command() -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Ann Author")
        .env("GIT_AUTHOR_EMAIL", "ann@example.com")
        .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        .env("GIT_COMMITTER_NAME", "Carl Committer")
        .env("GIT_COMMITTER_EMAIL", "carl@example.com")
        .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:06Z");
    command
}

/// Mirrors in a directory of their own, for servers on this machine.
pub(super) struct Fixture {
    pub(super) mirrors: Mirrors,
    pub(super) cache: TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Makes mirrors with other settings.
    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        source::configure_process().unwrap();
        let cache = TempDir::new().unwrap();
        let mut settings = Settings::new(cache.path().to_owned());
        settings.egress.allow_hosts = ["localhost", "127.0.0.1"].map(str::to_owned).into();
        settings.connect_timeout = Duration::from_secs(20);
        change(&mut settings);
        Self {
            mirrors: Mirrors::open(settings).unwrap(),
            cache,
        }
    }

    /// Fetches without credentials, and never takes an earlier answer.
    pub(super) async fn fetch(
        &self,
        url: &str,
        reference: Option<&str>,
    ) -> Result<Snapshot, Error> {
        self.fetch_with(url, reference, &Credentials::default())
            .await
    }

    pub(super) async fn fetch_with(
        &self,
        url: &str,
        reference: Option<&str>,
        credentials: &Credentials,
    ) -> Result<Snapshot, Error> {
        self.mirrors
            .fetch(&spec(url, reference), credentials, Duration::ZERO, tick())
            .await
    }

    /// Returns the directories of mirrors on disk; of one repository the newest last, by the number that its name ends with.
    pub(super) fn stores(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for process in fs::read_dir(self.cache.path()).unwrap() {
            for entry in fs::read_dir(process.unwrap().path()).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "git") {
                    found.push(path);
                }
            }
        }
        found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        found
    }
}

pub(super) fn spec(url: &str, reference: Option<&str>) -> SourceSpec {
    SourceSpec {
        repository: url.to_owned(),
        reference: reference.map(str::to_owned),
        path: String::new(),
    }
}

/// Returns a reading of the clock at `seconds`.
pub(super) fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::UNIX_EPOCH,
        monotonic: Duration::from_secs(seconds),
    }
}

/// Returns a reading that is later than every one before.
pub(super) fn tick() -> Now {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TICKS: AtomicU64 = AtomicU64::new(1000);
    at(TICKS.fetch_add(1, Ordering::Relaxed))
}

/// Returns the text of a file.
pub(super) fn read(snapshot: &Snapshot, path: &str) -> String {
    String::from_utf8(snapshot.files().read(path).unwrap().to_vec()).unwrap()
}

/// Returns an error with all of its causes, as the edge prints it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Waits until a condition holds.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not happen within 30 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns text that does not compress well, the longer the larger `numbers` is; a longer one begins as a shorter one.
pub(super) fn noise(numbers: u32) -> String {
    (0..numbers).fold(String::new(), |mut text, number| {
        text.push_str(&format!("{:x}", number.wrapping_mul(2_654_435_761)));
        text
    })
}
