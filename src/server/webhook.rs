//! Webhooks: a server of git says that something was pushed.
//!
//! Enters: requests of GitHub, GitLab, Gitea, Bitbucket, or anything that can sign.
//! Leaves: names of repositories to be asked again, to the controller.
//! Never: trust: what was not signed with the secret is refused, and what it says is only a reason to ask git.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use hmac::{Hmac, Mac as _};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::AsyncReadExt as _,
    sync::{Semaphore, SemaphorePermit, mpsc},
};

use crate::model::{RepositoryName, Secret};

/// Largest body: a push of thousands of commits. GitHub sends up to 25 MiB and says everything that we read at its end
/// or its beginning, so a larger one is refused and polling finds the commit.
const BODY: usize = 4 << 20;
/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bodies that are read at once; more are told to come again. Who has no signature to try is not read at all.
const AT_ONCE: usize = 128;
/// Bytes of bodies that are held at once, for anyone can send what is signed wrongly; more are told to come again.
const HELD: usize = 16 << 20;
/// Longest secret.
const SECRET_BYTES: u64 = 4096;
/// Most addresses that are taken from one body.
const ADDRESSES: usize = 16;

/// Where the secret is, and who wants to hear.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// File with the secret, read for each request, so that a Secret that is mounted can change.
    pub secret: PathBuf,
    /// Who is told. Where nobody has taken what was told before, a request is answered with 503.
    pub pushes: mpsc::Sender<RepositoryName>,
}

#[derive(Clone)]
struct Shared {
    webhooks: Arc<Webhooks>,
    reading: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

/// Who sends, by the last part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    GitHub,
    GitLab,
    Gitea,
    Bitbucket,
    Generic,
}

impl Provider {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "github" => Some(Self::GitHub),
            "gitlab" => Some(Self::GitLab),
            "gitea" => Some(Self::Gitea),
            "bitbucket" => Some(Self::Bitbucket),
            "generic" => Some(Self::Generic),
            _ => None,
        }
    }

    /// Header of the signature, and what stands before its digits.
    fn signature(self) -> (&'static str, &'static str) {
        match self {
            Self::GitHub => ("x-hub-signature-256", "sha256="),
            Self::GitLab => ("x-gitlab-token", ""),
            Self::Gitea => ("x-gitea-signature", ""),
            Self::Bitbucket => ("x-hub-signature", "sha256="),
            Self::Generic => ("x-plimsoll-signature", "sha256="),
        }
    }

    /// Where a body says which repository it is about.
    fn addresses(self) -> &'static [&'static str] {
        match self {
            Self::GitHub | Self::Gitea => &[
                "/repository/clone_url",
                "/repository/ssh_url",
                "/repository/html_url",
            ],
            Self::GitLab => &[
                "/project/git_http_url",
                "/project/git_ssh_url",
                "/project/web_url",
            ],
            Self::Bitbucket => &["/repository/links/html/href"],
            Self::Generic => &["/repository"],
        }
    }
}

/// Returns the route `/webhook/{provider}`.
pub(super) fn router(webhooks: Webhooks) -> Router {
    Router::new()
        .route("/webhook/{provider}", post(receive))
        .with_state(Shared {
            webhooks: Arc::new(webhooks),
            reading: Arc::new(Semaphore::new(AT_ONCE)),
            held: Arc::new(Semaphore::new(HELD)),
        })
}

type Answer = (StatusCode, &'static str);

const BUSY: Answer = (StatusCode::SERVICE_UNAVAILABLE, "too many at once\n");

async fn receive(
    State(shared): State<Shared>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    match take(&shared, &provider, &headers, body).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn take(
    shared: &Shared,
    provider: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Answer, Answer> {
    let provider = Provider::parse(provider).ok_or((
        StatusCode::NOT_FOUND,
        "one of github, gitlab, gitea, bitbucket, generic\n",
    ))?;
    let unsigned = (StatusCode::UNAUTHORIZED, "the signature does not match\n");
    let (header, prefix) = provider.signature();
    // Before anything is read: what is not signed costs nothing.
    let signature = headers
        .get(header)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix(prefix))
        .ok_or(unsigned)?;
    let _reading = shared.reading.try_acquire().map_err(|_full| BUSY)?;
    let secret = secret(&shared.webhooks.secret).await?;
    if provider == Provider::GitLab && !is_token(&secret, signature) {
        return Err(unsigned);
    }
    let late = (StatusCode::REQUEST_TIMEOUT, "the body did not arrive\n");
    let (body, _held) = tokio::time::timeout(BODY_TIME, read(&shared.held, body))
        .await
        .map_err(|_elapsed| late)??;
    if provider != Provider::GitLab && !is_signed(&secret, signature, &body) {
        return Err(unsigned);
    }
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_syntax| (StatusCode::BAD_REQUEST, "the body is no JSON\n"))?;
    let mut names = repositories(provider, &body);
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        // A ping, or an event that is about something else.
        return Ok((StatusCode::OK, "no repository is named\n"));
    }
    for name in names {
        shared
            .webhooks
            .pushes
            .try_send(name)
            .map_err(|_full| BUSY)?;
    }
    Ok((StatusCode::ACCEPTED, "git is asked\n"))
}

/// Reads a body, as far as there is room for it.
async fn read(held: &Semaphore, mut body: Body) -> Result<(Vec<u8>, SemaphorePermit<'_>), Answer> {
    let broken = (StatusCode::BAD_REQUEST, "the body broke off\n");
    let large = (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
    let mut bytes = Vec::new();
    let mut room = held.try_acquire_many(0).map_err(|_full| BUSY)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| broken)?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if bytes.len() + data.len() > BODY {
            return Err(large);
        }
        let more = u32::try_from(data.len()).map_err(|_size| large)?;
        room.merge(held.try_acquire_many(more).map_err(|_full| BUSY)?);
        bytes.extend_from_slice(data);
    }
    Ok((bytes, room))
}

async fn secret(file: &std::path::Path) -> Result<Secret<Vec<u8>>, Answer> {
    let missing = (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the secret cannot be read\n",
    );
    let read = async {
        let mut bytes = Vec::new();
        let file = tokio::fs::File::open(file).await?;
        file.take(SECRET_BYTES).read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    let mut bytes = read.await.map_err(|error| {
        tracing::warn!(%error, "cannot read the secret of the webhooks");
        missing
    })?;
    while bytes
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    if bytes.is_empty() {
        tracing::warn!("the secret of the webhooks is empty; nothing is taken");
        return Err(missing);
    }
    Ok(Secret::new(bytes))
}

fn mac(secret: &Secret<Vec<u8>>) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(secret.expose()).ok()
}

/// Compares in constant time.
fn is_signed(secret: &Secret<Vec<u8>>, signature: &str, body: &[u8]) -> bool {
    let (Some(mut mac), Some(signature)) = (mac(secret), unhex(signature)) else {
        return false;
    };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

/// GitLab sends the secret itself. Compared by what it signs, so in constant time.
fn is_token(secret: &Secret<Vec<u8>>, token: &str) -> bool {
    let (Some(mut ours), Some(mut theirs)) =
        (mac(secret), mac(&Secret::new(token.as_bytes().to_vec())))
    else {
        return false;
    };
    ours.update(b"token");
    theirs.update(b"token");
    ours.verify_slice(&theirs.finalize().into_bytes()).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

fn repositories(provider: Provider, body: &Value) -> Vec<RepositoryName> {
    let named = provider
        .addresses()
        .iter()
        .filter_map(|pointer| body.pointer(pointer)?.as_str());
    // Bitbucket's own server lists the ways to clone.
    let listed = body
        .pointer("/repository/links/clone")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|link| link.get("href")?.as_str());
    named
        .chain(listed)
        .take(ADDRESSES)
        .filter_map(RepositoryName::parse)
        .collect()
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod storm;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_right_signature_counts() {
        // The example of RFC 4231, test case 2.
        let secret = Secret::new(b"Jefe".to_vec());
        let body = b"what do ya want for nothing?";
        let good = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signed(&secret, good, body));
        assert!(!is_signed(&secret, good, b"what"));
        for bad in [
            "",
            "5bdc",
            "zz",
            &good.replace('5', "6"),
            &"é".repeat(32),
            &good.repeat(2),
        ] {
            assert!(!is_signed(&secret, bad, body), "{bad}");
        }
        assert!(is_token(&secret, "Jefe"));
        assert!(!is_token(&secret, "jefe") && !is_token(&secret, ""));
    }

    #[test]
    fn every_provider_names_its_repository() {
        let url = "https://git.example.org/team/shop.git";
        let bodies = [
            (Provider::GitHub, json!({"repository": {"clone_url": url}})),
            (
                Provider::Gitea,
                json!({"repository": {"ssh_url": "git@git.example.org:team/shop.git"}}),
            ),
            (Provider::GitLab, json!({"project": {"git_http_url": url}})),
            (
                Provider::Bitbucket,
                json!({"repository": {"links": {"html": {"href": "https://git.example.org/team/shop"}}}}),
            ),
            (
                Provider::Bitbucket,
                json!({"repository": {"links": {"clone": [{"href": url, "name": "http"}]}}}),
            ),
            (Provider::Generic, json!({"repository": url})),
        ];
        for (provider, body) in bodies {
            assert_eq!(
                repositories(provider, &body),
                [RepositoryName::parse(url).unwrap()],
                "{provider:?}"
            );
        }
        assert!(repositories(Provider::Generic, &json!({"repository": 7})).is_empty());
    }
}
