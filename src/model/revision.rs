//! What git and the renderer call a state: revision and render digest.
//!
//! Enters: text from status, records and git.
//! Leaves: parsed `Revision` and `Digest`.
//! Never: an abbreviated commit; prefixes are resolved at the edge.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A git commit and the reference by which it was found, written `main@sha1:<40 hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    /// Branch or tag; empty where a commit was asked for by its hash.
    pub reference: String,
    /// 40 lower-case hex digits.
    pub commit: String,
}

/// Why a text is not a revision.
#[derive(Debug, thiserror::Error)]
#[error("parse revision {text:?}: expected reference@sha1:<40 hex>")]
pub struct ParseRevisionError {
    /// The text that was read.
    text: String,
}

impl Revision {
    /// Returns the first 7 digits of the commit, as people write it.
    pub fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reference.is_empty() {
            write!(f, "sha1:{}", self.commit)
        } else {
            write!(f, "{}@sha1:{}", self.reference, self.commit)
        }
    }
}

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (reference, rest) = text.rsplit_once('@').unwrap_or(("", text));
        match rest.strip_prefix("sha1:") {
            Some(commit) if is_hex(commit, 40) => Ok(Self {
                reference: reference.to_owned(),
                commit: commit.to_owned(),
            }),
            _ => Err(ParseRevisionError {
                text: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for Revision {
    type Error = ParseRevisionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

/// A SHA-256 written `sha256:<64 hex>`; of rendered objects it is the render digest, the identity of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("parse digest {text:?}: expected sha256:<64 hex>")]
pub struct ParseDigestError {
    /// The text that was read.
    text: String,
}

impl Digest {
    /// Returns the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", super::sha256_hex(bytes)))
    }

    /// Returns the digest with these 32 bytes.
    pub fn from_hash(hash: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        Self(text)
    }

    /// Returns `sha256:<64 hex>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the 64 hex digits.
    pub fn hex(&self) -> &str {
        self.0.get(7..).unwrap_or_default()
    }

    /// Returns the first 12 hex digits, as people write it.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("sha256:") {
            Some(hex) if is_hex(hex, 64) => Ok(Self(text.to_owned())),
            _ => Err(ParseDigestError {
                text: text.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_survives_text() {
        let commit = "a".repeat(40);
        for text in [
            format!("main@sha1:{commit}"),
            format!("sha1:{commit}"),
            format!("feature/a@b@sha1:{commit}"),
        ] {
            let revision: Revision = text.parse().unwrap();
            assert_eq!(revision.to_string(), text);
        }
        assert!("main@sha1:abc".parse::<Revision>().is_err());
        assert!(
            format!("main@sha1:{}", "A".repeat(40))
                .parse::<Revision>()
                .is_err()
        );
    }

    #[test]
    fn a_digest_is_64_lower_case_hex_digits() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert!("sha256:xyz".parse::<Digest>().is_err());
    }
}
