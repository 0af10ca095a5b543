//! A long run: one commit a second, or as many as are asked for, each to an Application chosen at random.
//!
//! Enters: for how long, and a seed.
//! Leaves: resident memory every 30 s and its slope; how many commits became Ready.
//! Never: a choice that the printed seed does not repeat.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{report::say, run::Bench, workload::Version};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(30);

impl Bench<'_> {
    /// Commits to Applications chosen at random, and watches the memory.
    pub(crate) async fn soak(&mut self, length: Duration) -> Result<()> {
        let seed = self.arguments.seed.unwrap_or_else(|| {
            let now = plimsoll::clock::now().wall.as_second();
            now.unsigned_abs()
        });
        let rate = self.arguments.rate;
        let title = match rate {
            1 => "one commit a second".to_owned(),
            _ => format!("{rate} commits a second"),
        };
        say(&format!(
            "{title} for {} s, seed {seed} (--seed)",
            length.as_secs()
        ));
        let mut random = fastrand::Rng::with_seed(seed);
        self.warm_up().await?;
        self.fleet.until_quiet(self.patience()).await?;
        let before = self.begin()?;
        let mut memory: Vec<(f64, f64)> = Vec::new();
        let (mut commits, mut next_look) = (0_u32, Duration::ZERO);
        let mut last = (0, String::new());
        while before.start.elapsed() < length {
            let now = before.start.elapsed();
            if now >= next_look {
                let resident = self.used("controller").resident;
                memory.push((now.as_secs_f64(), resident));
                say(&format!(
                    "    {:>5.0} s  {commits:>6} commits  {resident:>7.1} MiB",
                    now.as_secs_f64()
                ));
                next_look += LOOK;
            }
            let number = random.usize(..self.arguments.applications);
            commits += 1;
            let version = Version {
                deployment: 100 + commits,
                all: 2,
            };
            self.fleet
                .write(number..=number, self.arguments.objects, version)?;
            last = (number, self.fleet.commit()?);
            self.fleet.push().await?;
            let due = Duration::from_secs(1) * commits / rate;
            tokio::time::sleep(due.saturating_sub(before.start.elapsed())).await;
        }
        let ended = Instant::now();
        let (number, commit) = &last;
        self.until(*number, |status| {
            status["lastKnownGood"]["revision"]
                .as_str()
                .is_some_and(|at| at.contains(commit))
        })
        .await?;
        let late = ended.elapsed();
        let resident = self.used("controller").resident;
        memory.push((before.start.elapsed().as_secs_f64(), resident));
        let mut part = self.end(&title, before).await?;
        part.seconds = length.as_secs_f64();
        ensure!(commits > 0, "no commit was made");
        part.notes.push(format!("{commits} commits, seed {seed}"));
        part.notes.push(format!(
            "the last one good {:.1} s after the end",
            late.as_secs_f64()
        ));
        // The first third is warming up.
        let settled = memory.split_at(memory.len() / 3).1;
        part.notes.push(format!(
            "{:.1} to {:.1} MiB, slope {:+.2} MiB an hour over the last two thirds",
            memory.first().map_or(0.0, |(_, first)| *first),
            resident,
            slope(settled) * 3600.0
        ));
        self.report.add(part);
        Ok(())
    }

    /// Updates one object of each, again and again, until everything that is kept of earlier sets is there.
    async fn warm_up(&mut self) -> Result<()> {
        let count = self.arguments.applications;
        for update in 1..=self.arguments.warm_up {
            self.fleet.until_quiet(self.patience()).await?;
            let version = Version {
                deployment: 20 + update,
                all: 2,
            };
            self.fleet
                .write(0..count, self.arguments.objects, version)?;
            let commit = self.fleet.commit()?;
            self.fleet.push().await?;
            self.fleet
                .until_ready(&commit, count, self.patience())
                .await?;
            say(&format!(
                "    update {update} of {}, {:.1} MiB",
                self.arguments.warm_up,
                self.used("controller").resident
            ));
        }
        Ok(())
    }
}

/// Returns the slope of the line that fits best; 0 for fewer than two points.
fn slope(points: &[(f64, f64)]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if spread <= f64::EPSILON {
        return 0.0;
    }
    let together: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    together / spread
}
