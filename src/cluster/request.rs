//! One request: identity, deadline, size limit and a slot, the same for all.
//!
//! Enters: a `Call`.
//! Leaves: a `Reply` with its status code, body and warnings, whatever the code.
//! Never: a call without a deadline; a wait as long as a server likes; a retry of what may have happened.

use std::{future::poll_fn, io, pin::Pin, time::Duration};

use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::{Body as _, Bytes};
use kube::{client::Body, core::Status};
use serde::de::DeserializeOwned;

use super::{Cluster, Error, Fence, Identity};

/// JSON, as the API server writes it.
pub(super) const JSON: &str = "application/json";
/// The body of a server-side apply. JSON is YAML.
pub(super) const APPLY: &str = "application/apply-patch+yaml";
/// RFC 6902.
pub(super) const JSON_PATCH: &str = "application/json-patch+json";

/// Largest answer about one object: etcd keeps at most 1.5 MiB by default, a JSON escape can treble it.
pub(super) const OBJECT_BYTES: usize = 8 << 20;

/// Longest wait that is honoured inside a call when the API server says that it is too busy.
const WAIT_INSIDE: Duration = Duration::from_secs(2);
/// Longest wait that is passed on, whatever the API server asks for.
const WAIT_LONGEST: Duration = Duration::from_secs(30);
/// How often a call that the API server was too busy for is sent again.
const RETRIES: u32 = 2;
/// Most warnings that are kept of one answer.
const WARNINGS: usize = 16;

/// Which slots a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The shared, bounded ones.
    Shared,
    /// None: the renewal of a lease must not queue behind the writes that need it.
    Express,
}

/// One request, on its way.
pub(super) struct Call {
    /// What it does, for messages.
    pub(super) act: String,
    pub(super) method: Method,
    /// Path and query, without `timeout`.
    pub(super) path: String,
    pub(super) identity: Identity,
    pub(super) accept: &'static str,
    pub(super) body: Option<(&'static str, Bytes)>,
    pub(super) etag: Option<String>,
    /// Most bytes of the answer.
    pub(super) limit: usize,
    pub(super) fence: Option<Fence>,
    pub(super) lane: Lane,
    /// Time for one try; None for the setting.
    pub(super) deadline: Option<Duration>,
}

impl Call {
    pub(super) fn get(act: String, path: String, identity: &Identity) -> Self {
        Self {
            act,
            method: Method::GET,
            path,
            identity: identity.clone(),
            accept: JSON,
            body: None,
            etag: None,
            limit: OBJECT_BYTES,
            fence: None,
            lane: Lane::Shared,
            deadline: None,
        }
    }

    /// Returns a call that writes, or would write, this body.
    pub(super) fn with_body(
        act: String,
        method: Method,
        path: String,
        identity: &Identity,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Self {
        Self {
            method,
            body: Some((content_type, Bytes::from(body))),
            ..Self::get(act, path, identity)
        }
    }

    #[must_use]
    pub(super) fn fenced(mut self, fence: &Fence) -> Self {
        self.fence = Some(fence.clone());
        self
    }

    /// Says whether losing the answer leaves open what happened. A dry-run has no fence and writes nothing.
    fn writes(&self) -> bool {
        self.method != Method::GET && !self.path.contains("dryRun=All")
    }

    /// Returns `error` as what it means for this call once it was sent.
    pub(super) fn lost(&self, error: Error) -> Error {
        if self.writes() {
            Error::OutcomeUnknown {
                act: self.act.clone(),
                source: Box::new(error),
            }
        } else {
            error
        }
    }
}

/// An answer, whatever its status code.
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) body: Bytes,
    pub(super) warnings: Vec<String>,
    pub(super) etag: Option<String>,
    retry_after: Option<Duration>,
}

impl Reply {
    /// Reads the answer to a stream that was not opened.
    pub(super) async fn of_failure(
        call: &Call,
        head: http::response::Parts,
        body: Body,
    ) -> Result<Self, Error> {
        let after = Duration::from_secs(5);
        let body = tokio::time::timeout(after, read_body(call, body))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Error::Timeout {
                    act: call.act.clone(),
                    after,
                })
            })?;
        Ok(Self::new(&head, body))
    }

    fn new(head: &http::response::Parts, body: Bytes) -> Self {
        let text = |name: header::HeaderName| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Self {
            code: head.status.as_u16(),
            warnings: warnings(&head.headers),
            etag: text(header::ETAG),
            retry_after: text(header::RETRY_AFTER)
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
            body,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Reads the body of a success.
    pub(super) fn read<T: DeserializeOwned>(&self, act: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|source| Error::Decode {
            act: act.to_owned(),
            source,
        })
    }

    /// Reads the body of a failure; what is no Status says nothing but its code.
    pub(super) fn status(&self) -> Status {
        serde_json::from_slice::<Status>(&self.body).unwrap_or_default()
    }
}

impl Cluster {
    /// Sends one call and returns its answer, whatever its status code but 429.
    ///
    /// # Errors
    /// Not reachable, no answer in time, too busy, larger than the limit, the lease is not ours, or, for a write,
    /// an answer that was lost.
    pub(super) async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let _slot = self.slot(call).await?;
        let mut tries = 0;
        loop {
            let deadline = self.time_for(call)?;
            let answer = tokio::time::timeout(deadline, self.once(call, deadline)).await;
            let reply = answer.unwrap_or_else(|_elapsed| {
                Err(call.lost(Error::Timeout {
                    act: call.act.clone(),
                    after: deadline,
                }))
            })?;
            if reply.code != 429 {
                return Ok(reply);
            }
            // Too many requests are turned away before anything is done, so even a write may be sent again.
            let wait = reply.retry_after.unwrap_or(Duration::from_secs(1));
            if tries == RETRIES || wait > WAIT_INSIDE {
                return Err(Error::Throttled {
                    act: call.act.clone(),
                    retry_after: wait.min(WAIT_LONGEST),
                });
            }
            tries += 1;
            tokio::time::sleep(jittered(wait)?).await;
        }
    }

    /// Opens a stream: the answer's head within the deadline, the body as long as the caller reads.
    pub(super) async fn open(&self, call: &Call) -> Result<Response<Body>, Error> {
        let deadline = self.time_for(call)?;
        let request = request_of(call, None, self.agent())?;
        tokio::time::timeout(deadline, self.client_for(&call.identity).send(request))
            .await
            .unwrap_or_else(|_elapsed| Err(kube::Error::Service("no answer in time".into())))
            .map_err(|source| unreachable(call, source))
    }

    async fn slot(&self, call: &Call) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Error> {
        match call.lane {
            Lane::Express => Ok(None),
            Lane::Shared => {
                let after = self.request_timeout();
                match tokio::time::timeout(after, self.slots().acquire()).await {
                    Ok(Ok(slot)) => Ok(Some(slot)),
                    // The semaphore is never closed; either way there is no slot.
                    Ok(Err(_)) | Err(_) => Err(Error::Timeout {
                        act: call.act.clone(),
                        after,
                    }),
                }
            }
        }
    }

    fn time_for(&self, call: &Call) -> Result<Duration, Error> {
        let most = call.deadline.unwrap_or(self.request_timeout());
        match &call.fence {
            None => Ok(most),
            Some(fence) => fence.allows(most).ok_or_else(|| Error::LeaseLost {
                act: call.act.clone(),
            }),
        }
    }

    async fn once(&self, call: &Call, deadline: Duration) -> Result<Reply, Error> {
        let request = request_of(call, Some(deadline), self.agent())?;
        let response = self
            .client_for(&call.identity)
            .send(request)
            .await
            .map_err(|source| {
                if was_refused(&source) {
                    unreachable(call, source)
                } else {
                    call.lost(unreachable(call, source))
                }
            })?;
        let (head, body) = response.into_parts();
        let body = read_body(call, body).await?;
        Ok(Reply::new(&head, body))
    }
}

fn request_of(
    call: &Call,
    deadline: Option<Duration>,
    agent: &HeaderValue,
) -> Result<Request<Body>, Error> {
    let mut path = call.path.clone();
    if let Some(deadline) = deadline {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&format!("timeout={}ms", deadline.as_millis().max(1)));
    }
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(path)
        .header(header::USER_AGENT, agent)
        .header(header::ACCEPT, call.accept);
    if let Some(user) = call.identity.impersonated() {
        request = request.header("Impersonate-User", user);
    }
    if let Some(etag) = &call.etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let body = match &call.body {
        None => Body::empty(),
        Some((content_type, bytes)) => {
            request = request.header(header::CONTENT_TYPE, *content_type);
            Body::from(bytes.clone())
        }
    };
    request.body(body).map_err(|source| Error::Settings {
        act: call.act.clone(),
        source: source.into(),
    })
}

async fn read_body(call: &Call, mut body: Body) -> Result<Bytes, Error> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|source| call.lost(unreachable(call, source)))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > call.limit {
                return Err(call.lost(Error::TooLarge {
                    act: call.act.clone(),
                    limit: call.limit,
                    unit: "bytes",
                }));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Bytes::from(all))
}

fn unreachable(call: &Call, source: kube::Error) -> Error {
    Error::Unreachable {
        act: call.act.clone(),
        source: Box::new(source),
    }
}

/// Says whether no connection was made, so that nothing was sent.
fn was_refused(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the texts of `Warning: 299 - "text"` headers.
fn warnings(headers: &header::HeaderMap<HeaderValue>) -> Vec<String> {
    headers
        .get_all(header::WARNING)
        .iter()
        .take(WARNINGS)
        .filter_map(|value| value.to_str().ok())
        .map(|value| {
            let text = value.split_once('"').map_or(value, |(_, text)| text);
            let text = text.rsplit_once('"').map_or(text, |(text, _)| text);
            super::classify::clean(&text.replace("\\\"", "\""))
        })
        .collect()
}

/// Returns `time`, lengthened by up to a half, so that many clients do not come back at once.
pub(super) fn jittered(time: Duration) -> Result<Duration, Error> {
    let random = getrandom::u32().map_err(|source| Error::Random { source })?;
    Ok(time + time.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0))
}
