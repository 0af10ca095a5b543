//! HTTP/1.1 to a checked address.
//!
//! Enters: an address, a request.
//! Leaves: a status, headers that matter, a body as a stream.
//! Never: a redirect followed by itself, a proxy, a cookie, a compressed body.

use std::{
    io::{self, Read},
    sync::Arc,
};

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::{
    Address, DisplaySafeUrl, Error,
    address::{AddressError, Scheme},
    connect::Net,
};

/// What we call ourselves. Some servers speak git's protocol only to what begins with `git/`.
const USER_AGENT: &str = concat!("git/2.0 (plimsoll ", env!("CARGO_PKG_VERSION"), ")");

/// One kept connection to one server.
pub(super) struct Http {
    net: Net,
    tls: Arc<ClientConfig>,
    open: Option<(Address, SendRequest<Full<Bytes>>)>,
}

/// A request without what a connection adds.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// An answer whose body is not read yet.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// A body as a stream.
pub(super) struct Body {
    net: Net,
    url: DisplaySafeUrl,
    incoming: Incoming,
    piece: Bytes,
}

impl Http {
    pub(super) fn new(net: Net, tls: Arc<ClientConfig>) -> Self {
        Self {
            net,
            tls,
            open: None,
        }
    }

    /// Sends a request and waits for the head of its answer. `secret` goes out only by https, or to this very machine.
    ///
    /// # Errors
    /// When the server may not be connected to, is not there, not trusted, or does not answer in time.
    pub(super) fn send(
        &mut self,
        address: &Address,
        ask: Ask<'_>,
        secret: bool,
    ) -> Result<Answer, Error> {
        let url = address.display();
        let mut sender = self.sender(address, secret)?;
        let request = Request::builder()
            .method(ask.method)
            .uri(ask.target)
            .body(Full::new(Bytes::from(ask.body)));
        let mut request = match request {
            Ok(request) => request,
            Err(_not_a_uri) => {
                return Err(Error::Address {
                    url,
                    source: AddressError::Character,
                });
            }
        };
        *request.headers_mut() = ask.headers;
        let headers = request.headers_mut();
        headers.insert(
            header::USER_AGENT,
            header::HeaderValue::from_static(USER_AGENT),
        );
        match header::HeaderValue::try_from(address.host_and_port()) {
            Ok(host) => headers.insert(header::HOST, host),
            Err(_not_a_value) => {
                return Err(Error::Address {
                    url,
                    source: AddressError::Host,
                });
            }
        };
        let answer = self.net.wait(
            &url,
            "waiting for an answer",
            self.net.settings.idle_timeout,
            sender.send_request(request),
        )?;
        let (parts, incoming) = answer.map_err(|source| broken(&url, source))?.into_parts();
        self.open = Some((address.clone(), sender));
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: Body {
                net: self.net.clone(),
                url,
                incoming,
                piece: Bytes::new(),
            },
        })
    }

    fn sender(
        &mut self,
        address: &Address,
        secret: bool,
    ) -> Result<SendRequest<Full<Bytes>>, Error> {
        let url = address.display();
        let kept = self.open.take().filter(|(to, _)| to.same_origin(address));
        if let Some((_, mut sender)) = kept {
            let ready = self.net.wait(
                &url,
                "waiting for an answer",
                self.net.settings.idle_timeout,
                sender.ready(),
            )?;
            if ready.is_ok() {
                return Ok(sender);
            }
        }
        let sockets = self.net.resolve(address)?;
        if secret
            && address.scheme != Scheme::Https
            && !sockets
                .iter()
                .all(|socket| socket.ip().to_canonical().is_loopback())
        {
            return Err(Error::CredentialsUnusable {
                url,
                problem: "credentials do not travel over plain http; use https",
                source: None,
            });
        }
        let stream = self.net.dial(&url, &sockets)?;
        if address.scheme == Scheme::Https {
            let Ok(name) = ServerName::try_from(address.host.clone()) else {
                return Err(Error::Address {
                    url,
                    source: AddressError::Host,
                });
            };
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let shaken = self.net.wait(
                &url,
                "connecting",
                self.net.settings.connect_timeout,
                connector.connect(name, stream),
            )?;
            self.shake(&url, shaken.map_err(|error| untrusted(&url, error))?)
        } else {
            self.shake(&url, stream)
        }
    }

    fn shake<S>(&self, url: &DisplaySafeUrl, stream: S) -> Result<SendRequest<Full<Bytes>>, Error>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let shaken = self.net.wait(
            url,
            "connecting",
            self.net.settings.connect_timeout,
            http1::handshake(TokioIo::new(stream)),
        )?;
        let (sender, connection) = shaken.map_err(|source| broken(url, source))?;
        let over = self.net.over.clone();
        // It ends with the sender and the body, with the server, or with the round; its errors reach us through them.
        let driver = async move {
            tokio::select! {
                () = over.cancelled() => {}
                _ended = connection => {}
            }
        };
        self.net.tasks.spawn_on(driver, &self.net.handle);
        Ok(sender)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let frame = self.incoming.frame();
            match self.net.wait(
                &self.url,
                "waiting for data",
                self.net.settings.idle_timeout,
                frame,
            )? {
                None => return Ok(0),
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                Some(Err(source)) => return Err(broken(&self.url, source).into()),
            }
        }
        let piece = self.piece.split_to(buffer.len().min(self.piece.len()));
        for (to, from) in buffer.iter_mut().zip(piece.iter()) {
            *to = *from;
        }
        Ok(piece.len())
    }
}

fn broken(url: &DisplaySafeUrl, source: hyper::Error) -> Error {
    if source.is_incomplete_message() {
        return Error::Protocol {
            url: url.clone(),
            problem: "what the server sent ends too early".to_owned(),
            source: Some(Arc::new(source)),
        };
    }
    if source.is_parse() {
        return Error::Protocol {
            url: url.clone(),
            problem: "the server does not speak http".to_owned(),
            source: Some(Arc::new(source)),
        };
    }
    Error::Unreachable {
        act: "read from",
        url: url.clone(),
        source: Arc::new(source),
    }
}

fn untrusted(url: &DisplaySafeUrl, error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(source @ rustls::Error::InvalidCertificate(_)) => Error::Certificate {
            url: url.clone(),
            source: Arc::new(source),
        },
        Ok(source) => Error::Unreachable {
            act: "agree on TLS with",
            url: url.clone(),
            source: Arc::new(source),
        },
        Err(source) => Error::Unreachable {
            act: "agree on TLS with",
            url: url.clone(),
            source: Arc::new(source),
        },
    }
}
