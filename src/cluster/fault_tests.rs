//! What a broken, slow or hostile API server does to us, played by a mock; its behaviour in health is tested on a
//! real one (`tests/cluster`).

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::model::{AccountName, ApplicationKey, Now, Object, ObjectId, Seen};

fn clock() -> Now {
    Now {
        wall: Timestamp::UNIX_EPOCH,
        monotonic: Duration::from_secs(100),
    }
}

/// A body of these frames that then ends, or never does.
#[derive(Default)]
struct Frames {
    first: VecDeque<Result<Bytes, io::Error>>,
    repeats: Option<Bytes>,
    hangs: bool,
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(frame) = self.first.pop_front() {
            return Poll::Ready(Some(frame.map(Frame::data)));
        }
        if let Some(bytes) = &self.repeats {
            return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
        }
        if self.hangs {
            return Poll::Pending;
        }
        Poll::Ready(None)
    }
}

/// What the mock does with a request.
enum Reply {
    Answer(u16, Value),
    Raw(u16, &'static [(&'static str, &'static str)], Frames),
    Break(io::ErrorKind),
    Hang,
}

/// Returns a connection to a mock, and what it was asked, in order. Discovery is answered for it.
#[expect(
    clippy::disallowed_methods,
    reason = "the mock ends with the runtime of its test"
)]
fn mock(
    mut answer: impl FnMut(&Request<Body>) -> Reply + Send + 'static,
) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Frames>>();
    tokio::spawn(async move {
        let mut hanging = Vec::new();
        while let Some((request, send)) = handle.next_request().await {
            let path = request.uri().path();
            let reply = if matches!(path, "/api" | "/apis") {
                Reply::Answer(200, discovery(path))
            } else {
                let user = request.headers().get("impersonate-user");
                log.lock().unwrap().push(format!(
                    "{} {} {}",
                    request.method(),
                    request.uri(),
                    user.map_or("-", |user| user.to_str().unwrap())
                ));
                answer(&request)
            };
            let (code, headers, body) = match reply {
                Reply::Answer(code, value) => {
                    let frames = VecDeque::from([Ok(Bytes::from(value.to_string()))]);
                    let body = Frames {
                        first: frames,
                        ..Frames::default()
                    };
                    (code, [].as_slice(), body)
                }
                Reply::Raw(code, headers, body) => (code, headers, body),
                Reply::Break(kind) => {
                    send.send_error(io::Error::from(kind));
                    continue;
                }
                Reply::Hang => {
                    hanging.push(send);
                    continue;
                }
            };
            let mut response = Response::builder().status(code);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            send.send_response(response.body(body).unwrap());
        }
    });
    let client = Client::new(service, "default");
    let settings = ConnectSettings {
        request_timeout: Duration::from_millis(200),
        ..ConnectSettings::new(clock)
    };
    let cluster = Cluster::from_clients(
        client.clone(),
        client,
        http::Uri::from_static("https://127.0.0.1"),
        &settings,
    );
    (cluster, asked)
}

fn discovery(path: &str) -> Value {
    let kinds = [("configmaps", "ConfigMap"), ("secrets", "Secret")].map(|(plural, kind)| {
        json!({"resource": plural, "scope": "Namespaced", "verbs": ["get"], "responseKind": {"kind": kind}})
    });
    if path == "/api" {
        json!({"items": [{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": kinds}]}]})
    } else {
        json!({"items": []})
    }
}

fn account() -> AccountName {
    AccountName::new("shop", "deployer").unwrap()
}

fn id() -> ObjectId {
    ObjectId::new("", "ConfigMap", "shop", "a")
}

fn config_map() -> Object {
    Object::new(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}),
        None,
    )
    .unwrap()
}

async fn get(cluster: &Cluster) -> Result<Option<Value>, Error> {
    cluster.reader(Identity::Controller).get("v1", &id()).await
}

async fn apply(cluster: &Cluster) -> Result<Answer<Written>, Error> {
    cluster
        .writer(account(), Fence::open(clock))
        .apply(&config_map(), false)
        .await
}

#[tokio::test]
async fn a_day_of_retry_after_is_not_slept() {
    let (cluster, asked) =
        mock(|_| Reply::Raw(429, &[("retry-after", "86400")], Frames::default()));
    let error = get(&cluster).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_a_few_times() {
    let mut left = 2;
    let (cluster, asked) = mock(move |_| {
        if left > 0 {
            left -= 1;
            Reply::Raw(429, &[("retry-after", "0")], Frames::default())
        } else {
            Reply::Answer(200, json!({"data": {}}))
        }
    });
    assert!(get(&cluster).await.unwrap().is_some());
    assert_eq!(asked.lock().unwrap().len(), 3);

    let (cluster, asked) = mock(|_| Reply::Raw(429, &[("retry-after", "0")], Frames::default()));
    assert!(matches!(
        apply(&cluster).await.unwrap_err(),
        Error::Throttled { .. }
    ));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn the_outcome_of_a_broken_write_is_unknown() {
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe] {
        let (cluster, _) = mock(move |_| Reply::Break(kind));
        let error = apply(&cluster).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        let error = get(&cluster).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    }
    // Never sent: nothing is open.
    let (cluster, _) = mock(|_| Reply::Break(io::ErrorKind::ConnectionRefused));
    let error = apply(&cluster).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for() {
    let (cluster, _) = mock(|_| Reply::Hang);
    let error = get(&cluster).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    let error = apply(&cluster).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    let dry_run = cluster
        .reader(Identity::Account(account()))
        .dry_run(&config_map(), false)
        .await;
    assert!(matches!(dry_run.unwrap_err(), Error::Timeout { .. }));

    let (cluster, _) = mock(|_| {
        let body = Frames {
            first: VecDeque::from([Ok(Bytes::from_static(b"{\"items\": ["))]),
            hangs: true,
            ..Frames::default()
        };
        Reply::Raw(200, &[], body)
    });
    let error = get(&cluster).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let (cluster, _) = mock(|_| {
        let frames = VecDeque::from([
            Ok(Bytes::from_static(b"{\"metadata\": {}, \"items\": []")),
            Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        ]);
        let body = Frames {
            first: frames,
            ..Frames::default()
        };
        Reply::Raw(200, &[], body)
    });
    assert!(matches!(
        get(&cluster).await.unwrap_err(),
        Error::Unreachable { .. }
    ));
    assert!(apply(&cluster).await.unwrap_err().is_outcome_unknown());

    let (cluster, _) = mock(|_| {
        let body = Frames {
            first: VecDeque::from([Ok(Bytes::from_static(b"{\"items\": ["))]),
            ..Frames::default()
        };
        Reply::Raw(200, &[], body)
    });
    assert!(matches!(
        get(&cluster).await.unwrap_err(),
        Error::Decode { .. }
    ));
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let (cluster, _) = mock(|_| {
        let body = Frames {
            repeats: Some(Bytes::from(vec![b' '; 64 << 10])),
            ..Frames::default()
        };
        Reply::Raw(200, &[], body)
    });
    let error = get(&cluster).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer() {
    for code in [400, 403, 404, 409, 410, 422, 502, 503] {
        let (cluster, _) = mock(move |_| Reply::Answer(code, json!("<html>nothing here</html>")));
        let error = get(&cluster).await.unwrap_err();
        assert!(matches!(error, Error::Server { .. }), "{code}: {error}");
        assert!(names(&cluster).await.is_err(), "{code}");
        let dry_run = cluster
            .reader(Identity::Account(account()))
            .dry_run(&config_map(), false)
            .await;
        let error = dry_run.unwrap_err();
        assert!(matches!(error, Error::Server { .. }), "{code}: {error}");
    }
    let (cluster, _) = mock(|_| {
        Reply::Answer(
            404,
            json!({"kind": "Status", "reason": "NotFound", "details": {"name": "a", "kind": "configmaps"}}),
        )
    });
    assert_eq!(get(&cluster).await.unwrap(), None);
}

fn page(version: &str, next: &str, names: &[&str]) -> Reply {
    let items: Vec<Value> = names
        .iter()
        .map(
            |name| json!({"metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"}}),
        )
        .collect();
    Reply::Answer(
        200,
        json!({"metadata": {"resourceVersion": version, "continue": next}, "items": items}),
    )
}

fn expired() -> Reply {
    Reply::Answer(
        410,
        json!({"kind": "Status", "reason": "Expired", "message": "too old"}),
    )
}

async fn names(cluster: &Cluster) -> Result<Vec<String>, Error> {
    let reader = cluster.reader(Identity::Controller);
    let all = reader
        .list("v1", "ConfigMap", &ListQuery::default())
        .await?;
    Ok(all
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect())
}

#[tokio::test]
async fn a_list_whose_state_is_forgotten_starts_again() {
    let mut replies = VecDeque::from([
        page("1", "next", &["old-a"]),
        expired(),
        page("2", "next", &["old-b"]),
        // Another state than the first page of this try.
        page("3", "", &["old-c"]),
        page("4", "next", &["a"]),
        page("4", "", &["b"]),
    ]);
    let (cluster, _) = mock(move |_| replies.pop_front().unwrap());
    assert_eq!(names(&cluster).await.unwrap(), ["a", "b"]);

    let mut odd = false;
    let (cluster, _) = mock(move |_| {
        odd = !odd;
        if odd {
            page("1", "next", &["a"])
        } else {
            expired()
        }
    });
    assert!(names(&cluster).await.is_err());
}

#[tokio::test]
async fn a_list_with_a_failing_page_is_none() {
    for reply in [
        || Reply::Answer(500, json!({"kind": "Status", "message": "etcd"})),
        || Reply::Answer(403, json!({"kind": "Status", "reason": "Forbidden"})),
        || Reply::Break(io::ErrorKind::ConnectionReset),
        || Reply::Hang,
    ] {
        let mut first = true;
        let (cluster, _) = mock(move |_| {
            let is_first = std::mem::take(&mut first);
            if is_first {
                page("1", "next", &["a"])
            } else {
                reply()
            }
        });
        assert!(names(&cluster).await.is_err());
    }
}

#[tokio::test]
async fn without_a_lease_nothing_is_sent() {
    let (cluster, asked) = mock(|_| Reply::Answer(200, json!({})));
    let fence = Fence::closed(clock);
    let writer = cluster.writer(account(), fence.clone());
    let lost = writer.apply(&config_map(), false).await.unwrap_err();
    assert!(matches!(lost, Error::LeaseLost { .. }), "{lost}");
    assert!(asked.lock().unwrap().is_empty());

    // 2.1 s less the margin of 2 s is all that is left, and it is sent along.
    fence.extend(Duration::from_millis(102_100));
    writer.apply(&config_map(), false).await.unwrap_err();
    assert!(asked.lock().unwrap().is_empty());
    fence.extend(Duration::from_millis(115_000));
    writer.apply(&config_map(), false).await.unwrap();
    let asked = asked.lock().unwrap().join("\n");
    assert_eq!(
        asked,
        "PATCH /api/v1/namespaces/shop/configmaps/a?fieldManager=plimsoll&fieldValidation=Strict&force=false&timeout=200ms system:serviceaccount:shop:deployer"
    );
}

#[tokio::test]
async fn only_an_account_is_impersonated() {
    let (cluster, asked) = mock(|_| Reply::Answer(200, json!({})));
    for who in [
        Identity::Controller,
        Identity::Person,
        Identity::Account(account()),
    ] {
        cluster.reader(who).get("v1", &id()).await.unwrap();
    }
    let asked = asked.lock().unwrap();
    let users: Vec<&str> = asked
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(users, ["-", "-", "system:serviceaccount:shop:deployer"]);
}

#[tokio::test]
async fn warnings_are_kept_but_those_about_secrets() {
    let warn = |_: &Request<Body>| {
        let body = Frames {
            first: VecDeque::from([Ok(Bytes::from_static(b"{}"))]),
            ..Frames::default()
        };
        Reply::Raw(201, &[("warning", "299 - \"canary is old\"")], body)
    };
    let (cluster, _) = mock(warn);
    let Answer::Accepted(written) = apply(&cluster).await.unwrap() else {
        panic!("not accepted");
    };
    assert_eq!(written.warnings, ["canary is old"]);
    assert!(written.created);
    let secret = Object::new(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "shop"}}),
        None,
    )
    .unwrap();
    let writer = cluster.writer(account(), Fence::open(clock));
    let Answer::Accepted(written) = writer.apply(&secret, false).await.unwrap() else {
        panic!("not accepted");
    };
    assert!(!written.warnings.join("").contains("canary"));
}

#[tokio::test]
async fn a_watch_survives_what_cannot_be_read() {
    let mut lists = 0;
    let (cluster, _) = mock(move |request| {
        if request
            .uri()
            .query()
            .unwrap_or_default()
            .contains("watch=true")
        {
            let lines = if lists == 1 {
                "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{}}}\nno json\n"
            } else {
                "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"shop\",\"resourceVersion\":\"9\"}}}\n"
            };
            let body = Frames {
                first: VecDeque::from([Ok(Bytes::from(lines))]),
                hangs: true,
                ..Frames::default()
            };
            return Reply::Raw(200, &[], body);
        }
        lists += 1;
        page("1", "", if lists == 1 { &["a", "b"] } else { &["a"] })
    });
    let (send, mut hints) = mpsc::channel(16);
    let watches = Watches::new(&cluster, send);
    let key = WatchKey::shared("v1", "ConfigMap");
    let who = ApplicationKey {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    };
    watches.demand(who, [key.clone()].into());
    let place = |name: &str| ObjectId::new("", "ConfigMap", "shop", name);
    let hint = |name: &str| Hint::Object {
        id: place(name),
        application: None,
    };
    assert_eq!(hints.recv().await, Some(Hint::Synced(key.clone())));
    assert!(matches!(hints.recv().await, Some(Hint::Lost { .. })));
    assert!(matches!(watches.seen(&key, &place("a")), Seen::Unknown));
    assert_eq!(hints.recv().await, Some(Hint::Synced(key.clone())));
    // What went missing while nothing was told.
    assert_eq!(hints.recv().await, Some(hint("b")));
    assert_eq!(hints.recv().await, Some(hint("c")));
    assert!(matches!(watches.seen(&key, &place("b")), Seen::Absent));
    assert!(matches!(watches.seen(&key, &place("c")), Seen::Present(_)));
}
