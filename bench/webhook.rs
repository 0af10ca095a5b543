//! Calls of webhooks: those of a server of git, and those of somebody who does not know the secret.
//!
//! Enters: the address of the controller, a repository, the secret.
//! Leaves: what was answered, counted.
//! Never: a call that is not counted; a connection for each call of a flood, which would measure the connecting.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use hmac::{Hmac, Mac as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

/// Connections of a flood.
const CONNECTIONS: u32 = 32;

/// Tells the controller of a push, as a server of git does.
pub(crate) async fn push(address: &str, url: &str, secret: &str) -> Result<()> {
    let body = body(url);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body.as_bytes());
    let request = request(address, &body, &hex(&mac.finalize().into_bytes()))?;
    let (mut sender, connection) =
        handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    // The connection is driven until the answer is there, however late that is.
    let answer = tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    };
    let status = answer?.status();
    ensure!(status.is_success(), "the webhook answered {status}");
    Ok(())
}

/// Calls whose signature is wrong, at a rate, for so long. Returns the answers, counted by their codes.
pub(crate) async fn flood(
    address: &str,
    url: &str,
    rate: u32,
    length: Duration,
) -> Result<BTreeMap<u16, u64>> {
    let end = Instant::now() + length;
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, body) = (address.to_owned(), body(url));
        callers.spawn(async move {
            let (sender, connection) =
                handshake(TokioIo::new(TcpStream::connect(&address).await?)).await?;
            tokio::select! {
                answers = one_caller(sender, &address, &body, rate, end) => answers,
                ended = connection => {
                    ended?;
                    Err(anyhow::anyhow!("the controller closed a connection of the flood"))
                }
            }
        });
    }
    let mut all = BTreeMap::new();
    while let Some(caller) = callers.join_next().await {
        for (code, count) in caller?? {
            *all.entry(code).or_default() += count;
        }
    }
    Ok(all)
}

async fn one_caller(
    mut sender: SendRequest<Full<Bytes>>,
    address: &str,
    body: &str,
    rate: u32,
    end: Instant,
) -> Result<BTreeMap<u16, u64>> {
    let mut ticks = interval(Duration::from_secs(1) * CONNECTIONS / rate);
    // Who was late calls the more often: it is the rate that is asked for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let wrong = "ab".repeat(32);
    let mut answers = BTreeMap::new();
    while Instant::now() < end {
        ticks.tick().await;
        sender.ready().await?;
        let answer = sender.send_request(request(address, body, &wrong)?).await?;
        *answers.entry(answer.status().as_u16()).or_default() += 1;
        answer.into_body().collect().await?;
    }
    Ok(answers)
}

fn body(url: &str) -> String {
    json!({"repository": url}).to_string()
}

fn request(address: &str, body: &str, signature: &str) -> Result<Request<Full<Bytes>>> {
    let request = Request::post("/webhook/generic")
        .header("host", address)
        .header("content-type", "application/json")
        .header("x-plimsoll-signature", format!("sha256={signature}"));
    Ok(request.body(Full::new(Bytes::from(body.to_owned())))?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let digits = b"0123456789abcdef";
        for at in [byte >> 4, byte & 15] {
            text.push(char::from(digits[usize::from(at)]));
        }
        text
    })
}
