//! A repository by where it is, however its address is spelled.
//!
//! Enters: an address, from a spec or from what a server of git says of itself.
//! Leaves: `RepositoryName`; equal for `https`, `ssh` and scp forms of one place.
//! Never: a credential; a proof: two names that are equal are asked about together, no more.

/// Longest address that is read.
const LONGEST: usize = 2048;

/// Host and path of a repository, without scheme, user, port and `.git`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Reads an address; None where it names no repository.
    pub fn parse(address: &str) -> Option<Self> {
        let address = address.trim();
        if address.is_empty() || address.len() > LONGEST {
            return None;
        }
        let (authority, path) = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
            None if address.starts_with('/') => ("", address),
            // user@host:path
            None => address.split_once(':')?,
        };
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) | None => host,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        if path.is_empty() {
            return None;
        }
        Some(Self(format!("{}/{path}", host.to_ascii_lowercase())))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        let name = RepositoryName::parse("https://git.example.org/team/shop.git");
        assert!(name.is_some());
        for same in [
            "https://user:password@GIT.example.org:8443/team/shop",
            "ssh://git@git.example.org:22/team/shop.git",
            "git@git.example.org:team/shop.git",
            "http://git.example.org/team/shop/",
            " git://git.example.org/team/shop.git?x=1 ",
        ] {
            assert_eq!(RepositoryName::parse(same), name, "{same}");
        }
        assert_ne!(
            RepositoryName::parse("https://git.example.org/team/shop2.git"),
            name
        );
        assert_eq!(
            RepositoryName::parse("file:///srv/shop.git"),
            RepositoryName::parse("/srv/shop")
        );
    }

    #[test]
    fn what_names_nothing_is_nothing() {
        for text in [
            "",
            "   ",
            "https://git.example.org",
            "https://git.example.org/.git",
            "words",
        ] {
            assert_eq!(RepositoryName::parse(text), None, "{text}");
        }
        assert_eq!(
            RepositoryName::parse(&format!("/{}", "a".repeat(4096))),
            None
        );
    }
}
