//! How the archive stands, for metrics, health and who must not change anything without it.
//!
//! Enters: what each sink did.
//! Leaves: `Standing`.
//! Never: a record.

use std::time::Duration;

/// How one sink stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStanding {
    /// `file` or `git`.
    pub kind: &'static str,
    /// Records that it does not have yet.
    pub waiting: u64,
    /// Since when something waits, on the monotonic clock.
    pub waiting_since: Option<Duration>,
    /// Why it does not take them; None where it does.
    pub failure: Option<String>,
}

/// How the archive stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Each sink.
    pub sinks: Vec<SinkStanding>,
    /// Checkpoints that were signed by this process.
    pub checkpoints: u64,
    /// Chains that a sink holds otherwise than the cluster does, and other verdicts of that kind.
    pub verification_failures: u64,
}

impl Standing {
    /// Returns the length of the longest spool.
    pub fn waiting(&self) -> u64 {
        self.sinks
            .iter()
            .map(|sink| sink.waiting)
            .max()
            .unwrap_or_default()
    }

    /// Returns why records are not being kept, if a sink did not take one for longer than `patience`, or fails.
    pub fn stopped(&self, now: Duration, patience: Duration) -> Option<String> {
        self.sinks.iter().find_map(|sink| {
            let late = sink
                .waiting_since
                .is_some_and(|since| now.saturating_sub(since) >= patience);
            match (&sink.failure, late) {
                (Some(failure), _) => Some(format!("the {} sink: {failure}", sink.kind)),
                (None, true) => Some(format!(
                    "the {} sink did not answer; records waiting: {}",
                    sink.kind, sink.waiting
                )),
                (None, false) => None,
            }
        })
    }
}
