//! What asks for too much, at the sizes that the issue of speed names, and what it costs the neighbours.
//!
//! Enters: a fleet at rest, and repositories made here.
//! Leaves: for each bad input what is said of it, and the time from push to Ready of commits to others meanwhile.
//! Never: a bad input that counts without the reason for which it was to be refused.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    report::Part,
    run::Bench,
    workload::{self, Version},
};

/// Where the numbers of these Applications begin, above those of any fleet.
const FIRST: usize = 92_000;
/// Commits to neighbours beside each, at least.
const COMMITS: usize = 16;
/// From one commit to a neighbour to the next: git is asked once a second and repository at most, and that is not what is
/// measured.
const APART: Duration = Duration::from_millis(1200);
/// Webhook calls a second, and for how long.
const RATE: u32 = 10_000;
const FLOOD: Duration = Duration::from_secs(24);

/// A bad input, and why it is refused.
#[derive(Clone, Copy)]
struct Bad {
    name: &'static str,
    reason: &'static str,
    content: Content,
}

/// What a repository holds.
#[derive(Clone, Copy)]
enum Content {
    /// So many files of a MiB each, that do not compress.
    Repository(usize),
    /// One file of so many MiB, that does not compress.
    Blob(usize),
    /// So many small files in one directory.
    Files(usize),
    /// Something to render whose history is another at each look.
    Rewritten,
    /// Aliases of aliases.
    Bomb,
}

const BAD: [Bad; 5] = [
    Bad {
        name: "a repository of 2 GiB",
        reason: "SourceTooLarge",
        content: Content::Repository(2048),
    },
    Bad {
        name: "a blob of 200 MiB",
        reason: "RenderFailed",
        content: Content::Blob(200),
    },
    Bad {
        name: "a directory of 100,000 files",
        reason: "RenderFailed",
        content: Content::Files(100_000),
    },
    Bad {
        name: "a branch that is rewritten",
        reason: "RevisionWentBack",
        content: Content::Rewritten,
    },
    Bad {
        name: "a render that explodes",
        reason: "RenderFailed",
        content: Content::Bomb,
    },
];

impl Bench<'_> {
    /// Every bad input, one after the other, and before and after them the neighbours alone.
    pub(crate) async fn bad_input(&mut self) -> Result<()> {
        self.neighbours_alone("neighbours alone, before").await?;
        for (at, bad) in BAD.into_iter().enumerate() {
            self.beside(FIRST + at, bad).await?;
        }
        self.beside_a_flood().await?;
        self.neighbours_alone("neighbours alone, after").await
    }

    async fn neighbours_alone(&mut self, name: &str) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        let before = self.begin()?;
        let mut delays = Vec::new();
        while delays.len() < COMMITS {
            delays.push(self.neighbour(delays.len()).await?);
        }
        let part = self.end(name, before).await?;
        self.report.add(with_neighbours(part, delays));
        Ok(())
    }

    /// Commits to one Application of the fleet. Returns the time from the push until it is Ready.
    async fn neighbour(&self, number: usize) -> Result<Duration> {
        let version = Version {
            deployment: self.fleet.unique(),
            all: 2,
        };
        let number = number % self.arguments.applications;
        self.fleet
            .write(number..=number, self.arguments.objects, version)?;
        let commit = self.fleet.commit()?;
        let start = Instant::now();
        self.fleet.push().await?;
        self.fleet.until_ready(&commit, 1, self.patience()).await?;
        let took = start.elapsed();
        tokio::time::sleep(APART.saturating_sub(took)).await;
        Ok(took)
    }

    /// A bad input that is pushed anew, twice, before each commit to a neighbour: more often than once a second.
    async fn beside(&mut self, number: usize, bad: Bad) -> Result<()> {
        let repository = Repository::new(self.fleet.directory(), number)?;
        repository.fill(bad.content)?;
        self.fleet.until_quiet(self.patience()).await?;
        let mut before = self.begin()?;
        self.fleet
            .create_from(std::iter::once(number), &repository.path)
            .await?;
        if matches!(bad.content, Content::Rewritten) {
            // Only what was good once can be rewritten.
            self.until(number, |status| status["lastKnownGood"].is_object())
                .await?;
            before = self.begin()?;
        }
        let (mut delays, mut refused) = (Vec::new(), None);
        while delays.len() < COMMITS || refused.is_none() {
            ensure!(
                before.start.elapsed() < self.patience(),
                "{} is not refused as {}; the status is {}",
                bad.name,
                bad.reason,
                self.status(number).await?
            );
            for half in 0..2 {
                repository.change(bad.content, 2 * delays.len() + half)?;
                self.fleet.push_of(&repository.path).await?;
            }
            delays.push(self.neighbour(delays.len()).await?);
            if refused.is_none() {
                refused = refusal(&self.status(number).await?, bad.reason)
                    .map(|message| (before.start.elapsed(), message));
            }
        }
        let name = format!("beside {}", bad.name);
        let mut part = with_neighbours(self.end(&name, before).await?, delays);
        if let Some((after, message)) = refused {
            part.notes.push(format!(
                "{} seen after {:.1} s: {message}",
                bad.reason,
                after.as_secs_f64()
            ));
        }
        self.report.add(part);
        self.fleet.delete(number).await?;
        Ok(fs::remove_dir_all(&repository.path)?)
    }

    /// Calls of webhooks with wrong signatures.
    async fn beside_a_flood(&mut self) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        let before = self.begin()?;
        let start = before.start;
        let commits = async {
            let mut delays = Vec::new();
            while start.elapsed() < FLOOD {
                delays.push(self.neighbour(delays.len()).await?);
            }
            Ok::<_, anyhow::Error>(delays)
        };
        let flood = async {
            let answers = self.fleet.flood(RATE, FLOOD).await?;
            Ok((answers, start.elapsed()))
        };
        let (delays, (answers, took)) = tokio::try_join!(commits, flood)?;
        let mut part = self
            .end("beside calls with wrong signatures", before)
            .await?;
        part = with_neighbours(part, delays);
        let calls: u64 = answers.values().sum();
        ensure!(
            answers.keys().all(|code| matches!(code, 401 | 503)),
            "calls with wrong signatures were answered {answers:?}"
        );
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let rate = calls as f64 / took.as_secs_f64();
        part.notes.push(format!(
            "{rate:.0} calls a second of {RATE}, answered {answers:?}"
        ));
        self.report.add(part);
        Ok(())
    }

    async fn status(&self, number: usize) -> Result<Value> {
        Ok(serde_json::to_value(
            self.fleet.application(number).await?.status,
        )?)
    }
}

fn with_neighbours(mut part: Part, mut delays: Vec<Duration>) -> Part {
    delays.sort_unstable();
    let seconds: Vec<f64> = delays.iter().map(Duration::as_secs_f64).collect();
    part.notes.push(format!(
        "{} commits to neighbours, Ready after {:.2} s in the middle, {:.2} s at most",
        seconds.len(),
        seconds.get(seconds.len() / 2).copied().unwrap_or_default(),
        seconds.last().copied().unwrap_or_default()
    ));
    part.neighbours_seconds = seconds;
    part
}

/// Returns what is said of an Application that is refused for this reason.
fn refusal(status: &Value, reason: &str) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    let because = conditions
        .iter()
        .find(|condition| condition["reason"] == reason)?;
    because["message"].as_str().map(str::to_owned)
}

/// A repository of its own, written by `git fast-import`: no working tree, nothing on the network.
struct Repository {
    path: PathBuf,
    /// Directory of the Application in it.
    directory: String,
}

impl Repository {
    fn new(below: &Path, number: usize) -> Result<Self> {
        let path = below.join(format!("repository-{number}"));
        let made = git(below)
            .args(["init", "--quiet", "--bare", "--initial-branch=live"])
            .arg(&path)
            .status()
            .context("run git init")?;
        ensure!(made.success(), "git init {}", path.display());
        let directory = format!("apps/{}", workload::name(number));
        Ok(Self { path, directory })
    }

    /// The first commit.
    fn fill(&self, content: Content) -> Result<()> {
        let directory = &self.directory;
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let mut import = Import::begin(self, false)?;
        match content {
            Content::Repository(files) => {
                for number in 0..files {
                    let part = noise.bytes(1 << 20);
                    import.file(&format!("{directory}/part-{number:04}"), &part)?;
                }
            }
            Content::Blob(size) => {
                let blob = noise.bytes(size << 20);
                import.file(&format!("{directory}/blob.yaml"), &blob)?;
            }
            Content::Files(files) => {
                for number in 0..files {
                    import.file(&format!("{directory}/many-{number:06}.yaml"), b"a: b\n")?;
                }
            }
            Content::Rewritten => import.file(&self.settings(), &settings("first"))?,
            Content::Bomb => import.file(&format!("{directory}/bomb.yaml"), &bomb())?,
        }
        import.end()
    }

    /// One commit more, or one in place of all others.
    fn change(&self, content: Content, round: usize) -> Result<()> {
        let rewrites = matches!(content, Content::Rewritten);
        let mut import = Import::begin(self, !rewrites)?;
        import.file(&self.settings(), &settings(&format!("round {round}")))?;
        import.end()
    }

    fn settings(&self) -> String {
        format!("{}/settings.yaml", self.directory)
    }
}

/// A commit that is being written.
struct Import {
    child: std::process::Child,
    input: BufWriter<std::process::ChildStdin>,
}

impl Import {
    /// `on_top`: what was there before stays, and is its history.
    fn begin(repository: &Repository, on_top: bool) -> Result<Self> {
        let mut child = git(&repository.path)
            // What is made here is to be large, not small.
            .args(["-c", "core.compression=0", "fast-import", "--quiet"])
            .args(["--force", "--depth=0"])
            .stdin(Stdio::piped())
            .spawn()
            .context("run git fast-import")?;
        let input = child.stdin.take().context("write to git fast-import")?;
        let mut import = Self {
            child,
            input: BufWriter::new(input),
        };
        writeln!(
            import.input,
            "commit refs/heads/live\ncommitter Ada Miller <ada@shop.example> 1760000000 +0000\ndata 6\nchange"
        )?;
        let before = if on_top {
            "from refs/heads/live^0"
        } else {
            "deleteall"
        };
        writeln!(import.input, "{before}")?;
        Ok(import)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        writeln!(self.input, "M 100644 inline {path}\ndata {}", bytes.len())?;
        self.input.write_all(bytes)?;
        Ok(writeln!(self.input)?)
    }

    fn end(self) -> Result<()> {
        let Self { mut child, input } = self;
        input.into_inner().context("write to git fast-import")?;
        ensure!(child.wait()?.success(), "git fast-import failed");
        Ok(())
    }
}

fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// Bytes that do not compress, the same in each run.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

fn settings(text: &str) -> Vec<u8> {
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings-of-bad-input"}, "data": {"text": text},
    });
    workload::text(&[object]).into_bytes()
}

/// Each line stands for ten of the line before.
fn bomb() -> Vec<u8> {
    let mut text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    text.into_bytes()
}
