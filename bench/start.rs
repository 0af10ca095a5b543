//! A start: how soon a controller works on what is there.
//!
//! Enters: a fleet at rest, whose controller stops cleanly and so leaves the lease free.
//! Leaves: the time to the first reconcile, and what taking up everybody cost.
//! Never: a write among it: nothing has changed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::run::Bench;

/// Reconciles, of whatever outcome.
const RECONCILES: &str = "plimsoll_reconcile_total";

impl Bench<'_> {
    /// Stops the controller and starts it again.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.fleet.until_quiet(self.patience()).await?;
        self.fleet.stop_controller().await?;
        let mut before = self.begin()?;
        // The process that begins has used nothing yet.
        before.forget("controller");
        self.fleet.start_controller().await?;
        let all = self.arguments.applications;
        let (mut first, deadline) = (None, Instant::now() + self.patience());
        loop {
            let done = self.fleet.metric(RECONCILES).await?;
            if done >= 1.0 && first.is_none() {
                first = Some(before.start.elapsed());
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of Applications")]
            if done >= all as f64 {
                break;
            }
            ensure!(Instant::now() < deadline, "not all are taken up in time");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let everybody = before.start.elapsed();
        let mut part = self
            .end("start to the first reconcile, free lease", before)
            .await?;
        part.seconds = first.unwrap_or(everybody).as_secs_f64();
        part.notes
            .push(format!("all taken up in {:.2} s", everybody.as_secs_f64()));
        self.report.add(part);
        Ok(())
    }
}
