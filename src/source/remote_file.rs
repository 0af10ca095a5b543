//! One file by http or https.
//!
//! Enters: an address, the hosts that may be asked.
//! Leaves: the file.
//! Never: credentials; a redirect to a host that is not allowed, or from https to http.

use std::{io::Read, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, header};
use rustls::ClientConfig;

use super::{
    Address, Error,
    address::Scheme,
    connect::{Limited, Net},
    egress::same_host,
    http::{Ask, Http},
    smart_http::check_status,
};

/// Redirects followed; release pages of forges need two.
const MAX_REDIRECTS: usize = 5;

/// Reads a file of at most the size that a file of a repository may have.
///
/// # Errors
/// When a host may not be asked, is not there, or does not have it.
pub(super) fn read(
    net: &Net,
    tls: Arc<ClientConfig>,
    mut address: Address,
    mut query: String,
    allowed: &[String],
) -> Result<Vec<u8>, Error> {
    let mut http = Http::new(net.clone(), tls);
    for _ in 0..=MAX_REDIRECTS {
        let url = address.display();
        let allowed = allowed.iter().any(|host| same_host(host, &address.host));
        if !allowed || !matches!(address.scheme, Scheme::Https | Scheme::Http) {
            return Err(Error::Redirected { url });
        }
        let target = format!("{}{query}", address.path);
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("*/*"))]);
        let ask = Ask {
            method: Method::GET,
            target: &target,
            headers,
            body: Vec::new(),
        };
        let answer = http.send(&address, ask, false)?;
        if answer.status.is_redirection() {
            (address, query) = follow(&address, &answer.headers)?;
            continue;
        }
        check_status(&url, answer.status, false)?;
        let limit = net.settings.max_file_bytes;
        let mut content = Vec::new();
        let mut body = Limited {
            stream: answer.body,
            left: limit,
            counters: Arc::clone(&net.counters),
            too_large: Error::TooLarge {
                url: url.clone(),
                what: "the file",
                limit: format!("{limit} bytes"),
            },
        };
        body.read_to_end(&mut content)
            .map_err(|error| Error::from_io(&url, "read from", error))?;
        return Ok(content);
    }
    Err(Error::protocol(
        &address.display(),
        "the server redirects in a circle",
    ))
}

fn follow(from: &Address, headers: &HeaderMap) -> Result<(Address, String), Error> {
    let url = from.display();
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok());
    let Some(location) = location else {
        return Err(Error::protocol(&url, "the server redirects to nowhere"));
    };
    let (base, query) = split(location);
    if base.starts_with('/') && !base.starts_with("//") {
        let to = Address {
            path: base,
            ..from.clone()
        };
        return Ok((to, query));
    }
    match Address::parse(&base) {
        Ok(to) if to.scheme == from.scheme || to.scheme == Scheme::Https => Ok((to, query)),
        Ok(_) | Err(_) => Err(Error::Redirected { url }),
    }
}

/// Takes the query, with its question mark, off a URL, and drops the fragment.
pub(super) fn split(url: &str) -> (String, String) {
    let url = url.split('#').next().unwrap_or_default();
    match url.find('?') {
        Some(at) => {
            let (base, query) = url.split_at(at);
            (base.to_owned(), query.to_owned())
        }
        None => (url.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_but_not_to_less_safety() {
        for (from, location, expected) in [
            ("https://h/a", "/b?c=1#d", Some(("https://h/b", "?c=1"))),
            (
                "https://h/a",
                "https://other/b",
                Some(("https://other/b", "")),
            ),
            ("http://h/a", "https://h/a", Some(("https://h/a", ""))),
            ("https://h/a", "http://h/a", None),
            ("https://h/a", "//other/b", None),
            ("https://h/a", "file:///etc/passwd", None),
            ("https://h/a", "b", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static(location))]);
            let found = follow(&Address::parse(from).unwrap(), &headers).ok();
            let found = found.map(|(address, query)| (address.to_string(), query));
            assert_eq!(
                found,
                expected.map(|(to, query)| (to.to_owned(), query.to_owned())),
                "{location}"
            );
        }
    }
}
