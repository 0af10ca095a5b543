//! Git over http and https.
//!
//! Enters: an address, credentials.
//! Leaves: references and packs; a branch moved.
//! Never: credentials to another host or over plain http; a redirect of anything but the first question;
//! a page of HTML taken for git.

use std::{io::Write, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use git2::Oid;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rustls::ClientConfig;

use super::{
    Address, DisplaySafeUrl, Error,
    address::Scheme,
    advertisement::Advertisement,
    connect::{Limited, Net},
    http::{Answer, Ask, Body, Http},
    packet::{Packet, Packets},
    peer::{Peer, REFERENCES, REPOSITORY, Request, Service},
    receive_pack, upload_pack,
};
use crate::model::Credentials;

/// Redirects followed for the first question; git's own client follows 20.
const MAX_REDIRECTS: usize = 5;

/// A repository behind http or https.
pub(super) struct SmartHttp {
    net: Net,
    http: Http,
    service: Service,
    /// Where the repository turned out to be.
    address: Address,
    authorization: Option<HeaderValue>,
}

impl SmartHttp {
    /// Prepares the questions to a repository; connects to nothing yet.
    ///
    /// # Errors
    /// When the credentials cannot be sent.
    pub(super) fn new(
        net: Net,
        tls: Arc<ClientConfig>,
        address: &Address,
        credentials: &Credentials,
        service: Service,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(net.clone(), tls),
            net,
            service,
            address: address.clone(),
            authorization: authorization(address, credentials)?,
        })
    }

    fn ask(
        &mut self,
        method: Method,
        suffix: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Error> {
        let target = format!("{}{suffix}", self.address.path);
        let mut headers = headers;
        if let Some(value) = &self.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        let ask = Ask {
            method,
            target: &target,
            headers,
            body,
        };
        self.http
            .send(&self.address, ask, self.authorization.is_some())
    }

    fn ask_first(&mut self) -> Result<Answer, Error> {
        let question = self.question();
        for _ in 0..=MAX_REDIRECTS {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("*/*"))]);
            let answer = self.ask(Method::GET, &question, headers, Vec::new())?;
            if !answer.status.is_redirection() {
                return Ok(answer);
            }
            self.address = self.follow(&answer.headers, &question)?;
        }
        Err(Error::protocol(
            &self.address.display(),
            "the server redirects in a circle",
        ))
    }

    /// A server may send us to another path of its own, or from http to https on the same host.
    fn follow(&self, headers: &HeaderMap, question: &str) -> Result<Address, Error> {
        let url = self.address.display();
        let location = headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let base = location.and_then(|location| location.strip_suffix(question));
        let Some(base) = base else {
            return Err(Error::protocol(
                &url,
                "the server redirects to something that is not a repository",
            ));
        };
        let mut next = self.address.clone();
        if base.starts_with('/') && !base.starts_with("//") {
            base.clone_into(&mut next.path);
            return Ok(next);
        }
        let Ok(there) = Address::parse(base) else {
            return Err(Error::Redirected { url });
        };
        let upgraded =
            next.scheme == Scheme::Http && there.scheme == Scheme::Https && next.host == there.host;
        if !upgraded && !next.same_origin(&there) {
            return Err(Error::Redirected { url });
        }
        next.scheme = there.scheme;
        next.port = there.port;
        next.path = there.path;
        Ok(next)
    }

    /// The first question: which references there are.
    fn question(&self) -> String {
        format!("/info/refs?service={}", self.service.name())
    }

    /// The content type of one of the messages of this service.
    fn content_type(&self, message: &str) -> String {
        format!("application/x-{}-{message}", self.service.name())
    }

    /// Sends the second question and returns the stream of its answer, at most `limit` bytes.
    fn post(&mut self, body: Vec<u8>, limit: u64) -> Result<Limited<Body>, Error> {
        let expected = self.content_type("result");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, self.content_type("request")),
            (header::ACCEPT, expected.clone()),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|source| Error::Internal {
                act: "name a content type",
                source: Arc::new(source),
            })?;
            headers.insert(name, value);
        }
        let target = format!("/{}", self.service.name());
        let answer = self.ask(Method::POST, &target, headers, body)?;
        if answer.status.is_redirection() {
            return Err(Error::Redirected {
                url: self.address.display(),
            });
        }
        self.check(&answer, &expected)?;
        Ok(Limited {
            stream: answer.body,
            left: limit,
            counters: Arc::clone(&self.net.counters),
            too_large: self.too_large(),
        })
    }

    fn check(&self, answer: &Answer, expected: &str) -> Result<(), Error> {
        let url = self.address.display();
        check_status(&url, answer.status, self.authorization.is_some())?;
        let content_type = answer
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let content_type = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if !content_type.eq_ignore_ascii_case(expected) {
            return Err(Error::protocol(
                &url,
                "the server answered with something other than git's protocol; is this the address that git clones?",
            ));
        }
        if answer.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Error::protocol(
                &url,
                "the server compressed its answer without being asked to",
            ));
        }
        Ok(())
    }
}

impl Peer for SmartHttp {
    fn advertisement(&mut self) -> Result<Advertisement, Error> {
        let answer = self.ask_first()?;
        self.check(&answer, &self.content_type("advertisement"))?;
        let url = self.address.display();
        let limit = self.net.settings.max_advertisement_bytes;
        let mut packets = Packets::new(Limited {
            stream: answer.body,
            left: limit,
            counters: Arc::clone(&self.net.counters),
            too_large: Error::TooLarge {
                url: url.clone(),
                what: REFERENCES,
                limit: format!("{limit} bytes"),
            },
        });
        let announced = matches!(
            packets.next().map_err(|error| upload_pack::wire_error(&url, error))?,
            Some(Packet::Data(line))
                if line.trim_ascii_end() == format!("# service={}", self.service.name()).as_bytes()
        );
        let ended = announced
            && matches!(
                packets
                    .next()
                    .map_err(|error| upload_pack::wire_error(&url, error))?,
                Some(Packet::Flush)
            );
        if !ended {
            return Err(Error::protocol(
                &url,
                "the list of references is not announced as one",
            ));
        }
        let advertisement = self.service.read(&mut packets);
        let advertisement = advertisement.map_err(|error| upload_pack::wire_error(&url, error))?;
        // Only behind the end of an answer can the connection be used again.
        let rest = std::io::copy(&mut packets.into_inner(), &mut std::io::sink());
        rest.map_err(|error| upload_pack::wire_error(&url, error))?;
        Ok(advertisement)
    }

    fn pack(
        &mut self,
        advertisement: &Advertisement,
        request: Request<'_>,
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<Vec<Oid>, Error> {
        let (body, form) = upload_pack::request(advertisement, request);
        let stream = self.post(body, limit)?;
        upload_pack::receive(&self.address.display(), stream, form, sink)
    }

    fn update(&mut self, request: Vec<u8>, reference: &str) -> Result<(), Error> {
        let stream = self.post(request, receive_pack::MAX_REPORT)?;
        receive_pack::accepted(&self.address.display(), stream, reference)
    }

    fn too_large(&self) -> Error {
        Error::TooLarge {
            url: self.address.display(),
            what: REPOSITORY,
            limit: self.net.settings.repository_limit(),
        }
    }
}

/// Turns a status into an error of this room.
///
/// # Errors
/// For every status but 200.
pub(super) fn check_status(
    url: &DisplaySafeUrl,
    status: StatusCode,
    with_credentials: bool,
) -> Result<(), Error> {
    let (url, code) = (url.clone(), status.as_u16());
    match code {
        200 => Ok(()),
        401 | 403 if !with_credentials => Err(Error::CredentialsMissing { url }),
        401 | 403 | 407 => Err(Error::CredentialsRefused {
            url,
            status: Some(code),
        }),
        404 | 410 => Err(Error::RepositoryMissing {
            url,
            status: Some(code),
        }),
        408 | 429 | 500.. => Err(Error::ServerError { url, status: code }),
        _ => Err(Error::protocol(&url, format!("the server answered {code}"))),
    }
}

fn authorization(
    address: &Address,
    credentials: &Credentials,
) -> Result<Option<HeaderValue>, Error> {
    let from_secret = credentials.password.as_ref();
    let Some(password) = from_secret.or(address.password.as_ref()) else {
        // A token alone, written where a user name stands.
        return match (&address.user, address.scheme) {
            (Some(user), Scheme::Https | Scheme::Http) => basic(address, user, "").map(Some),
            (Some(_) | None, _) => Ok(None),
        };
    };
    let user = credentials
        .username
        .as_deref()
        .or(address.user.as_deref())
        .unwrap_or("git");
    basic(address, user, password.expose()).map(Some)
}

fn basic(address: &Address, user: &str, password: &str) -> Result<HeaderValue, Error> {
    let unusable = |problem| Error::CredentialsUnusable {
        url: address.display(),
        problem,
        source: None,
    };
    // A token that was read from a file often ends with a line break.
    let (user, password) = (user.trim(), password.trim_end_matches(['\r', '\n']));
    if user.contains(':') {
        return Err(unusable("a user name must not hold a colon"));
    }
    let text = zeroize::Zeroizing::new(format!("{user}:{password}"));
    let encoded = zeroize::Zeroizing::new(format!("Basic {}", STANDARD.encode(text.as_bytes())));
    let mut value = match HeaderValue::from_str(&encoded) {
        Ok(value) => value,
        Err(_invalid) => return Err(unusable("they cannot be written into a header")),
    };
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    #[test]
    fn credentials_of_the_secret_win_over_those_of_the_address() {
        for (address, user, password, expected) in [
            ("https://h/x", None, None, None),
            ("https://token@h/x", None, None, Some("token:")),
            ("https://a:b@h/x", None, None, Some("a:b")),
            ("https://a:b@h/x", None, Some("c\n"), Some("a:c")),
            ("https://h/x", None, Some("c"), Some("git:c")),
            ("https://h/x", Some("u"), Some("c"), Some("u:c")),
        ] {
            let credentials = Credentials {
                username: user.map(str::to_owned),
                password: password.map(|text: &str| Secret::new(text.to_owned())),
                ..Credentials::default()
            };
            let value = authorization(&Address::parse(address).unwrap(), &credentials).unwrap();
            let expected = expected.map(|text| format!("Basic {}", STANDARD.encode(text)));
            assert_eq!(
                value
                    .as_ref()
                    .map(|value| value.to_str().unwrap().to_owned()),
                expected,
                "{address}"
            );
            assert!(!format!("{value:?}").contains("Basic"), "{value:?}");
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let url = DisplaySafeUrl::redacted("https://h/x");
        let of = |status, with| check_status(&url, StatusCode::from_u16(status).unwrap(), with);
        assert!(of(200, false).is_ok());
        assert!(matches!(
            of(401, false),
            Err(Error::CredentialsMissing { .. })
        ));
        assert!(matches!(
            of(401, true),
            Err(Error::CredentialsRefused { .. })
        ));
        assert!(matches!(
            of(403, true),
            Err(Error::CredentialsRefused { .. })
        ));
        assert!(matches!(
            of(404, true),
            Err(Error::RepositoryMissing { .. })
        ));
        assert!(matches!(of(429, true), Err(Error::ServerError { .. })));
        assert!(matches!(of(503, true), Err(Error::ServerError { .. })));
        assert!(matches!(of(204, true), Err(Error::Protocol { .. })));
    }
}
