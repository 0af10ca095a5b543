//! The last lines of a container's log.
//!
//! Enters: pod, container, whether the run before the last restart is meant.
//! Leaves: at most so many lines, cut; None where there is no log, or it may not be read.
//! Never: anywhere but in front of the person who reads it: a log can hold a secret (law 11).

use super::{Error, Reader, Resource, request::Call, resource::with_query};

/// Bytes that the API server is asked for.
const MOST: usize = 16 << 10;

impl Reader {
    /// Reads the last lines of a container's log.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn log_tail(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
        lines: u32,
    ) -> Result<Option<Vec<String>>, Error> {
        let path = with_query(
            &format!("{}/log", Resource::pods().object(namespace, pod)?),
            &[
                ("container", container),
                ("previous", if previous { "true" } else { "false" }),
                ("tailLines", &lines.to_string()),
                ("limitBytes", &MOST.to_string()),
            ],
        );
        let act = format!(
            "read the log of Pod/{namespace}/{pod} as {}",
            self.identity()
        );
        let mut call = Call::get(act, path, self.identity());
        call.accept = JSON_OR_TEXT;
        call.limit = MOST * 2;
        let reply = self.cluster().send(&call).await?;
        if !reply.is_success() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&reply.body);
        let most = usize::try_from(lines).unwrap_or(usize::MAX);
        let all: Vec<String> = text.lines().map(super::classify::clean).collect();
        let from = all.len().saturating_sub(most);
        Ok(Some(all.get(from..).unwrap_or_default().to_vec()))
    }
}

/// A log is text; a refusal is a Status.
const JSON_OR_TEXT: &str = "application/json, */*";
