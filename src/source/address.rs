//! Where a repository is: one strict reading of its address, and a form of it that is safe to print.
//!
//! Enters: the text of `source.repo`, of a remote base or of a redirect.
//! Leaves: `Address` and `DisplaySafeUrl`.
//! Never: a password in anything that prints; a second reading of the same text by another library.

use std::fmt;

use crate::model::Secret;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `https://`.
    Https,
    /// `http://`.
    Http,
    /// `ssh://` or `user@host:path`.
    Ssh,
    /// `file://` or an absolute path.
    File,
}

impl Scheme {
    /// Returns the scheme as it is written before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
            Self::File => 0,
        }
    }
}

/// A repository's address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How it is reached.
    pub scheme: Scheme,
    /// User name before the `@`, decoded.
    pub user: Option<String>,
    /// Password before the `@`, decoded. It is better kept in a Secret.
    pub password: Option<Secret<String>>,
    /// Host in lower case, IPv6 without brackets, without a trailing dot; empty for a local path.
    pub host: String,
    /// Port; 0 for a local path.
    pub port: u16,
    /// Path as it is sent: with a leading slash, but for the scp form, where it counts from the home directory.
    pub path: String,
}

/// Why a text is not an address. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing is given.
    #[error("it is empty")]
    Empty,
    /// White space, control characters, backslashes, or something outside of ASCII.
    #[error("it holds a character that has to be percent-encoded")]
    Character,
    /// Another scheme.
    #[error("expected https://, ssh://, user@host:path, http:// or file://")]
    Scheme,
    /// The host is missing, or is not a host name.
    #[error("the host is missing or is not a host name")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// The path is missing.
    #[error("the path of the repository is missing")]
    Path,
    /// A query or a fragment.
    #[error("it has a query or a fragment, which a repository does not have")]
    Query,
    /// A percent sign without two hex digits behind it, or an encoded control character.
    #[error("its percent-encoding is broken")]
    Encoding,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none of the forms that [`Scheme`] names.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
        {
            return Err(AddressError::Character);
        }
        if text.starts_with('/') {
            return Ok(Self::local(text));
        }
        match text.split_once("://") {
            Some((scheme, rest)) => Self::parse_url(&scheme.to_ascii_lowercase(), rest),
            None => Self::parse_scp(text),
        }
    }

    fn local(path: &str) -> Self {
        Self {
            scheme: Scheme::File,
            user: None,
            password: None,
            host: String::new(),
            port: 0,
            path: path.to_owned(),
        }
    }

    fn parse_url(scheme: &str, rest: &str) -> Result<Self, AddressError> {
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            "file" => Scheme::File,
            _ => return Err(AddressError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if scheme == Scheme::File {
            return match authority {
                "" | "localhost" if path.len() > 1 => Ok(Self::local(&decode(path)?)),
                "" | "localhost" => Err(AddressError::Path),
                _ => Err(AddressError::Host),
            };
        }
        if path.trim_matches('/').is_empty() {
            return Err(AddressError::Path);
        }
        let (user_info, host_and_port) = match authority.rsplit_once('@') {
            Some((user_info, rest)) => (Some(user_info), rest),
            None => (None, authority),
        };
        let (user, password) =
            match user_info.map(|text| text.split_once(':').unwrap_or((text, ""))) {
                Some((user, password)) => (non_empty(decode(user)?), non_empty(decode(password)?)),
                None => (None, None),
            };
        let (host, port) = host_and_port_of(host_and_port, scheme)?;
        // A shell on the other side reads the path, and `/~user` means a home directory there.
        let path = match (scheme, decode(path)?) {
            (Scheme::Ssh, decoded) if decoded.starts_with("/~") => {
                decoded.trim_start_matches('/').to_owned()
            }
            (Scheme::Ssh, decoded) => decoded,
            (Scheme::Https | Scheme::Http | Scheme::File, _) => {
                path.trim_end_matches('/').to_owned()
            }
        };
        Ok(Self {
            scheme,
            user,
            password: password.map(Secret::new),
            host,
            port,
            path,
        })
    }

    fn parse_scp(text: &str) -> Result<Self, AddressError> {
        let (before, path) = if let Some(at) = text.find("]:") {
            (
                text.get(..=at).unwrap_or_default(),
                text.get(at + 2..).unwrap_or_default(),
            )
        } else {
            text.split_once(':').ok_or(AddressError::Scheme)?
        };
        if before.contains('/') {
            return Err(AddressError::Scheme);
        }
        let (user, host) = match before.rsplit_once('@') {
            Some((user, host)) => (non_empty(user.to_owned()), host),
            None => (None, before),
        };
        // The scp form has no port.
        if !host.starts_with('[') && host.contains(':') {
            return Err(AddressError::Host);
        }
        let (host, port) = host_and_port_of(host, Scheme::Ssh)?;
        // Such a path would be read as an option.
        if path.trim_matches('/').is_empty() || path.starts_with('-') {
            return Err(AddressError::Path);
        }
        Ok(Self {
            scheme: Scheme::Ssh,
            user,
            password: None,
            host,
            port,
            path: path.to_owned(),
        })
    }

    /// Returns the form that may be printed.
    pub fn display(&self) -> DisplaySafeUrl {
        DisplaySafeUrl(self.to_string())
    }

    /// Returns `host`, `host:port` or `[address]:port`, as a `Host` header or an error has it.
    pub fn host_and_port(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Says whether both lead to the same server by the same way, so that what is secret may go to both.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::File {
            return f.write_str(&self.path);
        }
        write!(f, "{}://", self.scheme.as_str())?;
        match (&self.user, &self.password, self.scheme) {
            (Some(user), None, Scheme::Ssh) => write!(f, "{user}@")?,
            // Over http a user name can be the token.
            (Some(_), _, _) | (None, Some(_), _) => f.write_str("***@")?,
            (None, None, _) => {}
        }
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        write!(f, "{}{slash}{}", self.host_and_port(), self.path)
    }
}

/// An address without what is secret in it; the only form that errors, spans and events hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplaySafeUrl(String);

impl DisplaySafeUrl {
    /// Returns what may be shown of a text that could not be read as an address.
    pub fn redacted(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let separator = if scheme.is_empty() { "" } else { "://" };
        let rest = match rest.rsplit_once('@') {
            Some((_, after)) => format!("***@{after}"),
            None => rest.to_owned(),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let shown: String = format!("{scheme}{separator}{rest}")
            .chars()
            .take(200)
            .collect();
        Self(shown.escape_debug().to_string())
    }
}

impl fmt::Display for DisplaySafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn host_and_port_of(text: &str, scheme: Scheme) -> Result<(String, u16), AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressError::Host)?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(AddressError::Host);
        }
        match after {
            "" => (host, None),
            _ => (
                host,
                Some(after.strip_prefix(':').ok_or(AddressError::Host)?),
            ),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let ordinary =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.starts_with('-') || !host.bytes().all(ordinary) {
            return Err(AddressError::Host);
        }
        (host.trim_end_matches('.'), port)
    };
    if host.is_empty() {
        return Err(AddressError::Host);
    }
    let port = match port {
        None | Some("") => scheme.default_port(),
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 => port,
            Ok(_) | Err(_) => return Err(AddressError::Port),
        },
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn decode(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next().ok_or(AddressError::Encoding)?).to_digit(16);
            digit
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(AddressError::Encoding)
        };
        let decoded = digit()? << 4 | digit()?;
        if decoded.is_ascii_control() {
            return Err(AddressError::Encoding);
        }
        bytes.push(decoded);
    }
    String::from_utf8(bytes).map_or(Err(AddressError::Encoding), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, scheme, user, host, port, path) in [
            (
                "https://git.example.com/shop.git",
                Scheme::Https,
                None,
                "git.example.com",
                443,
                "/shop.git",
            ),
            (
                "HTTPS://Git.Example.com.:8443/a/b/",
                Scheme::Https,
                None,
                "git.example.com",
                8443,
                "/a/b",
            ),
            (
                "http://[::1]:8080/shop",
                Scheme::Http,
                None,
                "::1",
                8080,
                "/shop",
            ),
            (
                "ssh://git@host/shop.git",
                Scheme::Ssh,
                Some("git"),
                "host",
                22,
                "/shop.git",
            ),
            (
                "ssh://git@host:2222/~me/shop",
                Scheme::Ssh,
                Some("git"),
                "host",
                2222,
                "~me/shop",
            ),
            (
                "git@host:team/shop.git",
                Scheme::Ssh,
                Some("git"),
                "host",
                22,
                "team/shop.git",
            ),
            (
                "git@[::1]:/srv/shop",
                Scheme::Ssh,
                Some("git"),
                "::1",
                22,
                "/srv/shop",
            ),
            ("/srv/shop", Scheme::File, None, "", 0, "/srv/shop"),
            (
                "file:///srv/my%20shop",
                Scheme::File,
                None,
                "",
                0,
                "/srv/my shop",
            ),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (
                    address.scheme,
                    address.user.as_deref(),
                    address.host.as_str(),
                    address.port,
                    address.path.as_str()
                ),
                (scheme, user, host, port, path),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for (text, expected) in [
            ("", AddressError::Empty),
            ("shop", AddressError::Scheme),
            ("./shop", AddressError::Scheme),
            ("ext::sh -c touch", AddressError::Character),
            ("git://host/shop", AddressError::Scheme),
            ("https:///shop", AddressError::Host),
            ("https://host", AddressError::Path),
            ("https://host/", AddressError::Path),
            ("https://host:99999/shop", AddressError::Port),
            ("https://host:0/shop", AddressError::Port),
            ("https://a%2eb/shop", AddressError::Host),
            (
                "https://good.example\\@evil.example/shop",
                AddressError::Character,
            ),
            ("https://host/shop?x=1", AddressError::Query),
            ("ssh://-oProxyCommand=x/shop", AddressError::Host),
            ("git@-oProxyCommand=x:shop", AddressError::Host),
            ("git@host:--upload-pack=x", AddressError::Path),
            ("ssh://host/shop%0a", AddressError::Encoding),
            ("file://elsewhere/shop", AddressError::Host),
            ("https://host/shop\u{e9}", AddressError::Character),
        ] {
            assert_eq!(Address::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn the_host_is_what_stands_behind_the_last_at_sign() {
        let address = Address::parse("https://good.example@evil.example/shop").unwrap();
        assert_eq!(address.host, "evil.example");
        let address = Address::parse("https://host/a@b").unwrap();
        assert_eq!((address.host.as_str(), address.user), ("host", None));
    }

    #[test]
    fn nothing_secret_is_printed() {
        for text in [
            "https://user:canary@host/shop",
            "https://canary@host/shop",
            "https://canary:x@host:8443/shop",
            "ssh://git:canary@host/shop",
        ] {
            let address = Address::parse(text).unwrap();
            for shown in [
                address.to_string(),
                format!("{:?}", address.display()),
                DisplaySafeUrl::redacted(text).to_string(),
            ] {
                assert!(!shown.contains("canary"), "{shown}");
                assert!(shown.contains("***@host"), "{shown}");
            }
        }
        assert_eq!(
            DisplaySafeUrl::redacted("https://u:ca\nnary@h/x?token=1").to_string(),
            "https://***@h/x"
        );
        assert_eq!(
            Address::parse("git@host:shop").unwrap().to_string(),
            "ssh://git@host/shop"
        );
    }
}
