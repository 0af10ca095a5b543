//! Webhooks under hostile senders: storms, bodies without an end, secrets that change.
//!
//! Enters: requests at the router.
//! Leaves: answers, and what the controller was told.
//! Never: a port, a clock that is waited for.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{body::Bytes, http::Request};
use futures::{StreamExt as _, stream};
use tower::ServiceExt as _;

use super::*;

const URL: &str = "https://git.example.org/team/shop.git";

struct Site {
    router: Router,
    pushes: mpsc::Receiver<RepositoryName>,
    _directory: tempfile::TempDir,
    secret: PathBuf,
}

fn site(room: usize) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "correct horse\n").unwrap();
    let (told, pushes) = mpsc::channel(room);
    let router = router(Webhooks {
        secret: secret.clone(),
        pushes: told,
    });
    Site {
        router,
        pushes,
        _directory: directory,
        secret,
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = mac(&Secret::new(secret.as_bytes().to_vec())).unwrap();
    mac.update(body);
    let digits: Vec<String> = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={}", digits.concat())
}

fn body(url: &str) -> Vec<u8> {
    serde_json::json!({"repository": url})
        .to_string()
        .into_bytes()
}

fn request(signature: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::post("/webhook/generic");
    if let Some(signature) = signature {
        request = request.header("x-plimsoll-signature", signature);
    }
    request.body(body).unwrap()
}

async fn status(router: &Router, request: Request<Body>) -> StatusCode {
    router.clone().oneshot(request).await.unwrap().status()
}

async fn signed(site: &Site, secret: &str) -> StatusCode {
    let body = body(URL);
    let signature = signature(secret, &body);
    status(&site.router, request(Some(&signature), Body::from(body))).await
}

#[tokio::test]
async fn a_storm_of_bad_signatures_tells_nobody_and_the_next_push_is_heard() {
    let mut site = site(4);
    let bad = format!("sha256={}", "ab".repeat(32));
    let answers: Vec<StatusCode> = stream::iter(0..10_000)
        .map(|number| {
            let body = body(&format!("https://git.example.org/team/shop-{number}.git"));
            let (router, bad) = (site.router.clone(), bad.clone());
            async move { status(&router, request(Some(&bad), Body::from(body))).await }
        })
        .buffer_unordered(256)
        .collect()
        .await;
    assert_eq!(answers.len(), 10_000);
    let refused = |status: &StatusCode| {
        *status == StatusCode::UNAUTHORIZED || *status == StatusCode::SERVICE_UNAVAILABLE
    };
    assert!(answers.iter().all(refused));
    assert!(site.pushes.try_recv().is_err(), "nobody was told");
    assert_eq!(signed(&site, "correct horse").await, StatusCode::ACCEPTED);
    assert_eq!(
        site.pushes.try_recv().ok(),
        RepositoryName::parse(URL),
        "the next push is heard"
    );
}

#[tokio::test]
async fn what_is_not_signed_is_not_read() {
    let site = site(4);
    let polled = Arc::new(AtomicUsize::new(0));
    for provider in [
        "github",
        "gitlab",
        "gitea",
        "bitbucket",
        "generic",
        "nobody",
    ] {
        let count = Arc::clone(&polled);
        let body = Body::from_stream(stream::once(async move {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"{}"))
        }));
        let request = Request::post(format!("/webhook/{provider}"))
            .header("x-gitlab-token", "wrong horse")
            .body(body)
            .unwrap();
        let expected = match provider {
            "nobody" => StatusCode::NOT_FOUND,
            _ => StatusCode::UNAUTHORIZED,
        };
        assert_eq!(status(&site.router, request).await, expected, "{provider}");
    }
    assert_eq!(polled.load(Ordering::Relaxed), 0);
}

/// A body of parts that never ends by itself.
fn endless(part: usize) -> (Body, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let part = Bytes::from(vec![b' '; part]);
    let parts = stream::repeat_with(move || {
        count.fetch_add(part.len(), Ordering::Relaxed);
        Ok::<_, std::io::Error>(part.clone())
    });
    (Body::from_stream(parts), sent)
}

#[tokio::test]
async fn a_body_without_an_end_is_cut() {
    let site = site(4);
    let bad = format!("sha256={}", "ab".repeat(32));
    let (endless, sent) = endless(64 << 10);
    assert_eq!(
        status(&site.router, request(Some(&bad), endless)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert!(sent.load(Ordering::Relaxed) <= BODY + (128 << 10));
}

/// A body that begins with so many bytes and then stays silent; counts itself when it is read to there.
fn silent(bytes: usize, silent: Arc<AtomicUsize>) -> Body {
    let first = Ok::<_, std::io::Error>(Bytes::from(vec![b' '; bytes]));
    let then = stream::once(async move {
        silent.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    });
    Body::from_stream(stream::iter([first]).chain(then))
}

#[tokio::test]
async fn bodies_that_come_together_are_bounded_in_number_and_in_bytes() {
    for (bytes, most) in [(1, AT_ONCE), (BODY, HELD / BODY)] {
        let mut site = site(4);
        let bad = format!("sha256={}", "ab".repeat(32));
        let read = Arc::new(AtomicUsize::new(0));
        let mut reading = Box::pin(futures::future::join_all((0..most).map(|_| {
            let router = site.router.clone();
            let request = request(Some(&bad), silent(bytes, Arc::clone(&read)));
            async move { status(&router, request).await }
        })));
        let all_read = async {
            while read.load(Ordering::Relaxed) < most {
                assert!(futures::poll!(reading.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), all_read)
            .await
            .unwrap();
        assert_eq!(
            signed(&site, "correct horse").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert!(site.pushes.try_recv().is_err());
        drop(reading);
        assert_eq!(signed(&site, "correct horse").await, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn where_nobody_takes_what_was_told_the_sender_comes_again() {
    let mut site = site(1);
    assert_eq!(signed(&site, "correct horse").await, StatusCode::ACCEPTED);
    assert_eq!(
        signed(&site, "correct horse").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(site.pushes.try_recv().is_ok());
    assert_eq!(signed(&site, "correct horse").await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_secret_may_change_and_an_empty_one_lets_nothing_in() {
    let site = site(4);
    assert_eq!(
        signed(&site, "battery staple").await,
        StatusCode::UNAUTHORIZED
    );
    std::fs::write(&site.secret, "battery staple").unwrap();
    assert_eq!(signed(&site, "battery staple").await, StatusCode::ACCEPTED);
    assert_eq!(
        signed(&site, "correct horse").await,
        StatusCode::UNAUTHORIZED
    );
    std::fs::write(&site.secret, "\n").unwrap();
    assert_eq!(signed(&site, "").await, StatusCode::INTERNAL_SERVER_ERROR);
}
