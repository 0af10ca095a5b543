//! One watch, for as long as somebody wants it: list, then watch, again and again.
//!
//! Enters: which objects, as whom, and a `Sink`.
//! Leaves: every change to the sink, in order; when what the sink knows may be outdated, that too.
//! Never: an end because of an object that cannot be read; a wait without a limit.

use std::{future::poll_fn, pin::Pin, time::Duration};

use hyper::body::{Body as _, Bytes};
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Cluster, Error, Identity, ListQuery, Resource, Retry,
    classify::{self, Said},
    read,
    request::{Call, OBJECT_BYTES, Reply, jittered},
    resource::with_query,
};

/// How long one watch is asked for; the API server ends it by itself then. Lengthened by up to a half.
const WATCH: Duration = Duration::from_secs(400);
/// Longest silence: the API server sends a bookmark every minute, so a silent connection is a dead one.
const SILENCE: Duration = Duration::from_secs(150);
/// First pause after a failure that may pass, and longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The same where the kind is not served: its definition may be on its way.
const KIND_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same after a failure that lasts until somebody changes something: no right.
const LONG_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(120));
/// Asks for metadata only.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Which objects to follow, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) who: Identity,
    pub(super) query: ListQuery,
}

/// Who wants to know. `keep` cuts an object before anything is stored.
pub(super) trait Sink: Send {
    /// What is kept of an object.
    type Kept: Send;
    /// Returns what is kept of an object.
    fn keep(&self, object: Value) -> Self::Kept;
    /// Takes all objects at once, in place of those known before.
    fn listed(&mut self, objects: Vec<Self::Kept>) -> impl Future<Output = ()> + Send;
    /// Takes one object that is new or changed.
    fn applied(&mut self, object: Self::Kept) -> impl Future<Output = ()> + Send;
    /// Takes one object that is gone, as it was last.
    fn deleted(&mut self, object: Self::Kept) -> impl Future<Output = ()> + Send;
    /// Hears that what is known may be outdated from now on.
    fn lost(&mut self, error: &Error) -> impl Future<Output = ()> + Send;
    /// Hears that changes are told again.
    fn found(&mut self) -> impl Future<Output = ()> + Send;
}

/// Follows the objects until the future is dropped.
pub(super) async fn follow(cluster: &Cluster, target: &Target, sink: &mut impl Sink) {
    let mut failures = 0;
    loop {
        let error = match once(cluster, target, sink, &mut failures).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        sink.lost(&error).await;
        tokio::time::sleep(pause(&error, failures)).await;
        failures += 1;
        if matches!(error, Error::KindUnknown { .. }) {
            // Whether it is served by now; a failure shows at the next try.
            let _looked = cluster.discovery().refresh().await;
        }
    }
}

/// Lists once and watches until the state that the list began with is forgotten.
async fn once(
    cluster: &Cluster,
    target: &Target,
    sink: &mut impl Sink,
    failures: &mut u32,
) -> Result<(), Error> {
    let resource = cluster
        .discovery()
        .resolve(&target.api_version, &target.kind)
        .await?;
    let keep = |object| sink.keep(object);
    let (objects, mut version) =
        read::list(cluster, &target.who, &resource, &target.query, keep).await?;
    sink.listed(objects).await;
    loop {
        match watch(cluster, target, &resource, &mut version, sink, failures).await {
            Ok(End::Closed) => {}
            Ok(End::Expired) => return Ok(()),
            // The stream is taken up where it broke; what is missed meanwhile is told then.
            Err(error) if error.retry() == Retry::Backoff => {
                sink.lost(&error).await;
                tokio::time::sleep(pause(&error, *failures)).await;
                *failures += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How a stream ended well.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was closed; it goes on from the version that it got to.
    Closed,
    /// The version is too old: everything must be listed again.
    Expired,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

async fn watch(
    cluster: &Cluster,
    target: &Target,
    resource: &Resource,
    version: &mut String,
    sink: &mut impl Sink,
    failures: &mut u32,
) -> Result<End, Error> {
    let Some((call, mut body)) = open(cluster, target, resource, version).await? else {
        return Ok(End::Expired);
    };
    sink.found().await;
    let mut lines = Lines::default();
    loop {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
        let frame = match tokio::time::timeout(SILENCE, frame).await {
            Err(_silence) => {
                return Err(Error::Timeout {
                    act: call.act,
                    after: SILENCE,
                });
            }
            Ok(None) => return Ok(End::Closed),
            Ok(Some(Err(source))) => {
                return Err(Error::Unreachable {
                    act: call.act,
                    source: Box::new(source),
                });
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        lines.push(&call.act, &data)?;
        while let Some(line) = lines.next() {
            // The stream works: the next failure is a first one.
            *failures = 0;
            let line: Line = serde_json::from_slice(&line).map_err(|source| Error::Decode {
                act: call.act.clone(),
                source,
            })?;
            if let Some(end) = take(&call, line, version, sink).await? {
                return Ok(end);
            }
        }
    }
}

/// Opens the stream; None where the version is too old.
async fn open(
    cluster: &Cluster,
    target: &Target,
    resource: &Resource,
    version: &str,
) -> Result<Option<(Call, Body)>, Error> {
    let place = target.query.namespace.as_deref();
    let seconds = jittered(WATCH)?.as_secs().to_string();
    let path = with_query(
        &resource.collection(place)?,
        &[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("labelSelector", &target.query.labels),
            ("fieldSelector", &target.query.fields),
            ("timeoutSeconds", &seconds),
        ],
    );
    let act = format!("watch {} as {}", resource.describe(place), target.who);
    let mut call = Call::get(act, path, &target.who);
    if target.query.metadata_only {
        call.accept = METADATA;
    }
    let response = cluster.open(&call).await?;
    let (head, body) = response.into_parts();
    if head.status.is_success() {
        return Ok(Some((call, body)));
    }
    let reply = Reply::of_failure(&call, head, body).await?;
    match classify::said(&reply.status(), reply.code, None) {
        Said::Expired => Ok(None),
        Said::Missing(_) => Err(cluster.discovery().judge(&call, resource).await),
        Said::Absent
        | Said::Conflicts(_)
        | Said::Changed
        | Said::Exists
        | Said::NotImpersonated
        | Said::Unauthorized
        | Said::Refused(_)
        | Said::Failed => Err(classify::failure(&call, None, &reply)),
    }
}

async fn take(
    call: &Call,
    line: Line,
    version: &mut String,
    sink: &mut impl Sink,
) -> Result<Option<End>, Error> {
    if line.kind == "ERROR" {
        let status: kube::core::Status = serde_json::from_value(line.object).unwrap_or_default();
        return match classify::said(&status, status.code, None) {
            Said::Expired => Ok(Some(End::Expired)),
            said => {
                let message = classify::message(&status, status.code, true, &said);
                Err(classify::error_of(call, status.code, &said, message))
            }
        };
    }
    if let Some(found) = line
        .object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .filter(|found| !found.is_empty())
    {
        found.clone_into(version);
    }
    match line.kind.as_str() {
        "ADDED" | "MODIFIED" => {
            let object = sink.keep(line.object);
            sink.applied(object).await;
        }
        "DELETED" => {
            let object = sink.keep(line.object);
            sink.deleted(object).await;
        }
        "BOOKMARK" => {}
        other => tracing::debug!(kind = other, "an event of a kind that is not known"),
    }
    Ok(None)
}

/// Cuts a stream of bytes into lines, each at most as long as an object can be.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Up to where no end of a line was found.
    searched: usize,
}

impl Lines {
    fn push(&mut self, act: &str, data: &Bytes) -> Result<(), Error> {
        self.bytes.extend_from_slice(data);
        // Every whole line was taken before: what is here is one that has no end yet.
        if self.bytes.len() > OBJECT_BYTES && !data.contains(&b'\n') {
            return Err(Error::TooLarge {
                act: act.to_owned(),
                limit: OBJECT_BYTES,
                unit: "bytes",
            });
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let rest = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                return None;
            };
            let rest = self.bytes.split_off(self.searched + length + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            line.pop();
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

/// Returns how long to wait after a failure: longer each time, and never all clients at once.
fn pause(error: &Error, failures: u32) -> Duration {
    let (first, longest) = match (error, error.retry()) {
        (Error::KindUnknown { .. }, _) => KIND_PAUSE,
        // One bad answer; the next list may be a good one.
        (Error::Decode { .. }, _) | (_, Retry::Backoff) => PAUSE,
        (_, Retry::OnChange | Retry::Never) => LONG_PAUSE,
    };
    let wait = first
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .max(error.retry_after().unwrap_or_default())
        .min(longest);
    jittered(wait).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_frames_end() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for frame in ["{\"a\"", ":1}\n{\"b\":2}\n\n{", "}", "\n"] {
            lines.push("watch", &Bytes::from(frame)).unwrap();
            while let Some(line) = lines.next() {
                found.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(found, ["{\"a\":1}", "{\"b\":2}", "{}"]);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut lines = Lines::default();
        let frame = Bytes::from(vec![b'x'; 1 << 20]);
        let mut refused = false;
        for _ in 0..64 {
            refused = refused || lines.push("watch", &frame).is_err();
            if refused {
                break;
            }
            assert!(lines.next().is_none());
        }
        assert!(refused);
        assert!(lines.bytes.len() <= OBJECT_BYTES + (2 << 20));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let busy = Error::Throttled {
            act: String::new(),
            retry_after: Duration::from_secs(3),
        };
        assert!(pause(&busy, 0) >= Duration::from_secs(3));
        assert!(pause(&busy, 40) <= PAUSE.1.mul_f64(1.5));
        let forbidden = Error::Forbidden {
            act: String::new(),
            user: String::new(),
            message: String::new(),
        };
        assert!(pause(&forbidden, 0) >= LONG_PAUSE.0);
        assert!(pause(&forbidden, 40) <= LONG_PAUSE.1.mul_f64(1.5));
    }
}
