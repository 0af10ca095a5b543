//! A proxy between the controller and the API server that breaks what it is told to break.
//!
//! Enters: the controller's requests, on loopback, and a rule.
//! Leaves: the API server's answers, or what the rule makes of them; what passed, in order.
//! Never: a request of its own; a verdict: that comes from the API server's audit log.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Devcluster, beside};

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;
type Rule = dyn Fn(&Asked) -> Fate + Send + Sync;

/// One request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Whether it would change something other than the Lease and events.
    pub(crate) writes: bool,
}

impl Asked {
    fn of(method: &Method, path: &str, query: &str) -> Self {
        let review = path.contains("reviews");
        Self {
            method: method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            writes: method != Method::GET
                && !query.contains("dryRun=All")
                && !path.contains("/leases")
                && !path.contains("/events")
                && !review,
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.query.contains("dryRun=All")
    }

    pub(crate) fn is_list(&self) -> bool {
        self.method == Method::GET
            && self.query.contains("limit=")
            && !self.query.contains("watch=")
    }
}

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// It passes later.
    Delay(Duration),
    /// The connection ends before the API server sees it.
    Drop,
    /// The API server carries it out, and the connection ends before the answer.
    Lose,
    /// The API server carries it out, half of the answer comes, and the connection ends.
    Truncate,
    /// It is answered with this code, and these headers, without the API server.
    Answer(u16, Vec<(&'static str, &'static str)>),
    /// The API server carries it out; no answer comes, and whoever waits in `struck` is told.
    Strike,
    /// Neither the API server nor an answer.
    Hang,
    /// It passes with pages of so many objects.
    Pages(u32),
}

struct Inner {
    upstream: Client,
    rule: Mutex<Arc<Rule>>,
    struck: tokio::sync::Notify,
    passed: Mutex<Vec<Asked>>,
    broken: AtomicUsize,
}

/// A running proxy; it ends with the runtime of its test.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
    address: std::net::SocketAddr,
}

impl Proxy {
    /// Starts a proxy in front of this cluster.
    pub(crate) async fn start(cluster: &Devcluster) -> Self {
        let mut kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
        // The controller's own token travels with each request.
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = None;
        }
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        config.default_retry = false;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            inner: Arc::new(Inner {
                upstream: Client::try_from(config).unwrap(),
                rule: Mutex::new(Arc::new(|_: &Asked| Fate::Pass)),
                struck: tokio::sync::Notify::new(),
                passed: Mutex::default(),
                broken: AtomicUsize::new(0),
            }),
        };
        let inner = Arc::clone(&proxy.inner);
        let _serving = beside(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&inner);
                let _connection = beside(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let inner = Arc::clone(&inner);
                        async move { inner.answer(request).await }
                    });
                    // A connection that a fate ended is no failure of the test.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        proxy
    }

    /// Writes a kubeconfig that leads through the proxy.
    pub(crate) fn kubeconfig(&self, of: &Path, name: &str) -> PathBuf {
        let text = std::fs::read_to_string(of).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["clusters"][0]["cluster"] = json!({"server": format!("http://{}", self.address)});
        let path = of.with_file_name(format!("{name}.kubeconfig"));
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Sets what becomes of requests from now on.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
        *self.inner.rule.lock().unwrap() = Arc::new(rule);
    }

    /// Lets everything pass again; returns how many requests were broken since the last time.
    pub(crate) fn heal(&self) -> usize {
        self.rule(|_| Fate::Pass);
        self.inner.broken.swap(0, Ordering::Relaxed)
    }

    /// Returns how many requests were broken since everything passed.
    pub(crate) fn broken(&self) -> usize {
        self.inner.broken.load(Ordering::Relaxed)
    }

    /// Breaks the first `count` requests that fit, and lets the rest pass.
    pub(crate) fn first(
        &self,
        count: usize,
        fits: impl Fn(&Asked) -> bool + Send + Sync + 'static,
        fate: Fate,
    ) {
        let left = AtomicUsize::new(count);
        self.rule(move |asked| {
            let take = || {
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
            };
            if fits(asked) && take() {
                fate.clone()
            } else {
                Fate::Pass
            }
        });
    }

    /// Strikes at the write of this number, the first being 1; with 0 before the first.
    pub(crate) fn strike_at(&self, number: usize) {
        let seen = AtomicUsize::new(0);
        self.rule(move |asked| {
            if !asked.writes {
                return Fate::Pass;
            }
            let at = seen.fetch_add(1, Ordering::Relaxed) + 1;
            match at {
                1 if number == 0 => Fate::Hang,
                _ if at == number => Fate::Strike,
                // What follows the strike is not carried out: the controller is dead.
                _ if at > number => Fate::Hang,
                _ => Fate::Pass,
            }
        });
    }

    /// Waits until a request was struck or hangs.
    pub(crate) async fn struck(&self) {
        self.inner.struck.notified().await;
    }

    /// Returns the writes that passed since the last time.
    pub(crate) fn passed(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.inner.passed.lock().unwrap())
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Answer> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let asked = Asked::of(
            &head.method,
            head.uri.path(),
            head.uri.query().unwrap_or_default(),
        );
        let rule = Arc::clone(&self.rule.lock().unwrap());
        let fate = rule(&asked);
        if !matches!(fate, Fate::Pass) {
            self.broken.fetch_add(1, Ordering::Relaxed);
        }
        let ended = || io::Error::from(io::ErrorKind::ConnectionReset);
        match fate {
            Fate::Pass => self.forward(&head, &asked, body, None).await,
            Fate::Pages(size) => self.forward(&head, &asked, body, Some(size)).await,
            Fate::Delay(time) => {
                tokio::time::sleep(time).await;
                self.forward(&head, &asked, body, None).await
            }
            Fate::Drop => Err(ended()),
            Fate::Lose => {
                let answer = self.forward(&head, &asked, body, None).await?;
                answer.into_body().collect().await?;
                Err(ended())
            }
            Fate::Truncate => {
                let (parts, body) = self.forward(&head, &asked, body, None).await?.into_parts();
                let bytes = body.collect().await?.to_bytes();
                let half = bytes.slice(..bytes.len() / 2);
                let frames = [Ok(hyper::body::Frame::data(half)), Err(ended())];
                let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
                Ok(Response::from_parts(parts, UnsyncBoxBody::new(body)))
            }
            Fate::Answer(code, headers) => Ok(said(code, &headers)),
            Fate::Strike => {
                let answer = self.forward(&head, &asked, body, None).await?;
                answer.into_body().collect().await?;
                self.struck.notify_one();
                futures::future::pending().await
            }
            Fate::Hang => {
                self.struck.notify_one();
                futures::future::pending().await
            }
        }
    }

    async fn forward(
        &self,
        head: &http::request::Parts,
        asked: &Asked,
        body: Bytes,
        pages: Option<u32>,
    ) -> io::Result<Answer> {
        let mut uri = head.uri.to_string();
        if let Some(size) = pages {
            uri = uri.replace("limit=500", &format!("limit={size}"));
        }
        let mut request = Request::builder().method(head.method.clone()).uri(uri);
        for (name, value) in &head.headers {
            let own: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::CONNECTION];
            if !own.contains(name) {
                request = request.header(name, value);
            }
        }
        let request = request
            .body(Body::from(body.to_vec()))
            .map_err(io::Error::other)?;
        let answer = self
            .upstream
            .send(request)
            .await
            .map_err(io::Error::other)?;
        if asked.writes {
            self.passed.lock().unwrap().push(asked.clone());
        }
        let (mut parts, body) = answer.into_parts();
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.remove(header::CONNECTION);
        let body = body.map_err(io::Error::other);
        Ok(Response::from_parts(parts, UnsyncBoxBody::new(body)))
    }
}

/// An answer as the API server words it.
fn said(code: u16, headers: &[(&'static str, &'static str)]) -> Answer {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the proxy says so", "reason": reason, "code": code,
    });
    let mut response = Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = Full::new(Bytes::from(status.to_string()))
        .map_err(|never: Infallible| -> io::Error { match never {} });
    response.body(UnsyncBoxBody::new(body)).unwrap()
}
