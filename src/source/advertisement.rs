//! What a server says it has.
//!
//! Enters: the packets of a reference advertisement (protocol 0 or 1).
//! Leaves: references, where HEAD points, capabilities.
//! Never: an empty list taken for a repository whose branches were deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use git2::Oid;

use super::packet::{Packet, Packets};

/// References and capabilities of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Advertisement {
    /// What each branch, each tag and HEAD is at; a tag may be at a tag object. Other references are not kept.
    pub(super) references: BTreeMap<String, Oid>,
    /// Reference that HEAD points to, if the server says so.
    pub(super) head: Option<String>,
    /// What the server can do.
    pub(super) capabilities: BTreeSet<String>,
}

/// What is wrong with an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AdvertisementError {
    /// Not a single packet came.
    #[error("the server closed the connection before it listed its references")]
    Nothing,
    /// The list has no reference, which no repository with a commit has.
    #[error("the server listed no references; if the repository is empty, push a commit")]
    Empty,
    /// The server said that something is wrong, in its own words, which are not repeated.
    #[error("the server reported an error instead of its references")]
    Refused,
    /// A line that is not a reference.
    #[error("the list of references is malformed")]
    Malformed,
    /// The repository names its objects by SHA-256.
    #[error("the repository uses SHA-256 object names, which are not supported")]
    ObjectFormat,
}

impl Advertisement {
    /// Reads an advertisement of what can be fetched.
    ///
    /// # Errors
    /// When the stream breaks, or carries an [`AdvertisementError`] of kind `InvalidData`.
    pub(super) fn read<R: Read>(packets: &mut Packets<R>) -> io::Result<Self> {
        let advertisement = Self::read_any(packets)?;
        if advertisement.references.is_empty() {
            return Err(invalid(AdvertisementError::Empty));
        }
        Ok(advertisement)
    }

    /// Reads an advertisement of what can be written to: a new repository has no reference.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_any<R: Read>(packets: &mut Packets<R>) -> io::Result<Self> {
        let mut advertisement = Self::default();
        let mut lines = 0_usize;
        loop {
            let Some(packet) = packets.next()? else {
                let problem = if lines == 0 {
                    AdvertisementError::Nothing
                } else {
                    AdvertisementError::Malformed
                };
                return Err(invalid(problem));
            };
            let line = match packet {
                Packet::Flush => break,
                Packet::Data(line) => line.strip_suffix(b"\n").unwrap_or(line),
            };
            lines += 1;
            if line.starts_with(b"ERR ") {
                return Err(invalid(AdvertisementError::Refused));
            }
            if line == b"version 1" {
                continue;
            }
            advertisement.read_line(line).map_err(invalid)?;
        }
        Ok(advertisement)
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), AdvertisementError> {
        let (line, capabilities) = match line.iter().position(|&byte| byte == 0) {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (Some(line), None),
        };
        for capability in capabilities.unwrap_or_default().split(|&byte| byte == b' ') {
            self.read_capability(&String::from_utf8_lossy(capability))?;
        }
        let line = line.unwrap_or_default();
        if line.starts_with(b"shallow ") {
            return Ok(());
        }
        let (hash, name) = line
            .split_at_checked(41)
            .ok_or(AdvertisementError::Malformed)?;
        let hash = hash
            .strip_suffix(b" ")
            .and_then(|hash| std::str::from_utf8(hash).ok());
        let oid = hash
            .and_then(|hash| Oid::from_str(hash).ok())
            .ok_or(AdvertisementError::Malformed)?;
        // A name in another encoding cannot be asked for.
        let Ok(name) = std::str::from_utf8(name) else {
            return Ok(());
        };
        let wanted =
            name == "HEAD" || name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
        if wanted && !name.ends_with("^{}") && !oid.is_zero() {
            self.references.insert(name.to_owned(), oid);
        }
        Ok(())
    }

    fn read_capability(&mut self, capability: &str) -> Result<(), AdvertisementError> {
        match capability.split_once('=') {
            Some(("symref", target)) => {
                if let Some(target) = target.strip_prefix("HEAD:") {
                    self.head = Some(target.to_owned());
                }
            }
            Some(("object-format", format)) if format != "sha1" => {
                return Err(AdvertisementError::ObjectFormat);
            }
            Some(_) => {}
            None if capability.is_empty() => {}
            None => {
                self.capabilities.insert(capability.to_owned());
            }
        }
        Ok(())
    }

    /// Says whether the server can do this.
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }
}

fn invalid(problem: AdvertisementError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::packet;

    const HASH: &str = "0123456789012345678901234567890123456789";

    fn read(lines: &[&str]) -> Result<Advertisement, String> {
        let mut bytes = Vec::new();
        for line in lines {
            packet::write(&mut bytes, line);
        }
        bytes.extend(b"0000");
        Advertisement::read(&mut Packets::new(bytes.as_slice())).map_err(|error| error.to_string())
    }

    #[test]
    fn branches_tags_and_head_are_kept() {
        let advertisement = read(&[
            &format!("{HASH} HEAD\0multi_ack_detailed symref=HEAD:refs/heads/main agent=git/2\n"),
            &format!("{HASH} refs/heads/main\n"),
            &format!("{HASH} refs/pull/1/head\n"),
            &format!("{HASH} refs/tags/v1\n"),
            &format!("{HASH} refs/tags/v1^{{}}\n"),
        ])
        .unwrap();
        let names: Vec<&str> = advertisement
            .references
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, ["HEAD", "refs/heads/main", "refs/tags/v1"]);
        assert_eq!(advertisement.head.as_deref(), Some("refs/heads/main"));
        assert!(advertisement.can("multi_ack_detailed"));
    }

    #[test]
    fn a_list_without_references_is_not_a_list() {
        let zero = "0".repeat(40);
        for (lines, expected) in [
            (vec![], AdvertisementError::Empty),
            (
                vec![format!("{zero} capabilities^{{}}\0ofs-delta\n")],
                AdvertisementError::Empty,
            ),
            (
                vec!["ERR access denied canary".to_owned()],
                AdvertisementError::Refused,
            ),
            (vec!["<html>".to_owned()], AdvertisementError::Malformed),
            (
                vec![format!("{HASH}{HASH} HEAD\0object-format=sha256\n")],
                AdvertisementError::ObjectFormat,
            ),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(read(&lines), Err(expected.to_string()), "{lines:?}");
        }
        let nothing = Advertisement::read(&mut Packets::new([].as_slice())).unwrap_err();
        assert_eq!(nothing.to_string(), AdvertisementError::Nothing.to_string());
    }
}
