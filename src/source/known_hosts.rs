//! Which ssh host keys are trusted.
//!
//! Enters: the text of `known_hosts`, a host, a port, the key that the host showed.
//! Leaves: a verdict, and the algorithms to ask the host for.
//! Never: trust on first use; certificate authorities, which libssh2 cannot check.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What `known_hosts` says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The key is listed.
    Trusted,
    /// Nothing is said about this host, or not for keys of this algorithm.
    Unknown,
    /// Another key of this algorithm is listed, or this one is revoked.
    Changed,
}

/// Returns the name of the host as `known_hosts` writes it: `host`, or `[host]:port` where the port is not 22.
pub(super) fn name(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

/// Judges the key that a host showed.
pub(super) fn judge(known_hosts: &str, name: &str, key: &[u8]) -> Verdict {
    let algorithm = algorithm(key);
    let mut verdict = Verdict::Unknown;
    for line in lines(known_hosts).filter(|line| line.matches(name)) {
        let same = line.key.as_deref() == Some(key);
        match line.marker {
            Marker::Revoked if same => return Verdict::Changed,
            Marker::None if same => verdict = Verdict::Trusted,
            Marker::None if line.algorithm == algorithm && verdict == Verdict::Unknown => {
                verdict = Verdict::Changed;
            }
            Marker::None | Marker::Revoked | Marker::Authority => {}
        }
    }
    verdict
}

/// Returns the names of the algorithms whose keys are listed for this host, in the form of ssh's negotiation.
/// A host has several keys; the one that it shows should be one that we can compare.
pub(super) fn algorithms(known_hosts: &str, name: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for line in lines(known_hosts).filter(|line| line.marker == Marker::None && line.matches(name))
    {
        let names: &[&str] = match line.algorithm {
            "ssh-ed25519" => &["ssh-ed25519"],
            "ecdsa-sha2-nistp256" => &["ecdsa-sha2-nistp256"],
            "ecdsa-sha2-nistp384" => &["ecdsa-sha2-nistp384"],
            "ecdsa-sha2-nistp521" => &["ecdsa-sha2-nistp521"],
            // The key is the same, the signature is not made with SHA-1.
            "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256"],
            _ => &[],
        };
        found.extend(
            names
                .iter()
                .filter(|name| !found.contains(*name))
                .copied()
                .collect::<Vec<_>>(),
        );
    }
    found
}

/// Returns `SHA256:` and the digest in base64, as `ssh-keygen -lf` prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// Returns the algorithm that a key names itself.
pub(super) fn algorithm(key: &[u8]) -> &str {
    let name = key.split_at_checked(4).and_then(|(length, rest)| {
        let length = u32::from_be_bytes(length.try_into().ok()?);
        std::str::from_utf8(rest.get(..usize::try_from(length).ok()?)?).ok()
    });
    match name {
        Some(name) if name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic()) => name,
        Some(_) | None => "unknown",
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    Authority,
}

struct Line<'a> {
    marker: Marker,
    hosts: &'a str,
    algorithm: &'a str,
    key: Option<Vec<u8>>,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().peekable();
        let marker = match fields.peek()? {
            comment if comment.starts_with('#') => return None,
            &"@revoked" => Marker::Revoked,
            // Authorities, and markers that do not exist yet.
            marker if marker.starts_with('@') => Marker::Authority,
            _ => Marker::None,
        };
        if marker != Marker::None {
            fields.next();
        }
        Some(Line {
            marker,
            hosts: fields.next()?,
            algorithm: fields.next()?,
            key: STANDARD.decode(fields.next()?).ok(),
        })
    })
}

impl Line<'_> {
    fn matches(&self, name: &str) -> bool {
        if let Some(hashed) = self.hosts.strip_prefix("|1|") {
            return matches_hash(hashed, name);
        }
        let name = name.to_ascii_lowercase();
        let mut found = false;
        for pattern in self.hosts.split(',') {
            match pattern.strip_prefix('!') {
                Some(pattern) if matches_pattern(&pattern.to_ascii_lowercase(), &name) => {
                    return false;
                }
                Some(_) => {}
                None => found |= matches_pattern(&pattern.to_ascii_lowercase(), &name),
            }
        }
        found
    }
}

fn matches_hash(hashed: &str, name: &str) -> bool {
    let Some((salt, digest)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(digest)) = (STANDARD.decode(salt), STANDARD.decode(digest)) else {
        return false;
    };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&salt) else {
        return false;
    };
    mac.update(name.as_bytes());
    mac.verify_slice(&digest).is_ok()
}

/// `*` stands for any run of characters, `?` for one. Linear but for one point to come back to.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[position] => {
                at += 1;
                position += 1;
            }
            Some(_) | None => match star {
                Some((star_at, star_position)) => {
                    star = Some((star_at, star_position + 1));
                    at = star_at + 1;
                    position = star_position + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: &str, body: u8) -> Vec<u8> {
        let mut key = u32::try_from(algorithm.len())
            .unwrap()
            .to_be_bytes()
            .to_vec();
        key.extend(algorithm.as_bytes());
        key.extend([0, 0, 0, 1, body]);
        key
    }

    fn line(hosts: &str, algorithm: &str, body: u8) -> String {
        format!(
            "{hosts} {algorithm} {} a comment\n",
            STANDARD.encode(key(algorithm, body))
        )
    }

    fn hashed(name: &str) -> String {
        let salt = [7_u8; 20];
        let mut mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap();
        mac.update(name.as_bytes());
        format!(
            "|1|{}|{}",
            STANDARD.encode(salt),
            STANDARD.encode(mac.finalize().into_bytes())
        )
    }

    #[test]
    fn a_key_is_judged_by_the_lines_of_its_host() {
        let mine = key("ssh-ed25519", 1);
        for (hosts, algorithm, body, expected) in [
            ("git.example.com", "ssh-ed25519", 1, Verdict::Trusted),
            ("GIT.example.com", "ssh-ed25519", 1, Verdict::Trusted),
            ("other,git.example.com", "ssh-ed25519", 1, Verdict::Trusted),
            ("*.example.com", "ssh-ed25519", 1, Verdict::Trusted),
            ("git.ex?mple.*", "ssh-ed25519", 1, Verdict::Trusted),
            (
                "*.example.com,!git.example.com",
                "ssh-ed25519",
                1,
                Verdict::Unknown,
            ),
            ("git.example.com", "ssh-ed25519", 2, Verdict::Changed),
            ("git.example.com", "ssh-rsa", 2, Verdict::Unknown),
            ("example.com", "ssh-ed25519", 1, Verdict::Unknown),
            ("[git.example.com]:2222", "ssh-ed25519", 1, Verdict::Unknown),
            (
                "@revoked git.example.com",
                "ssh-ed25519",
                1,
                Verdict::Changed,
            ),
            ("@cert-authority *", "ssh-ed25519", 1, Verdict::Unknown),
            ("# git.example.com", "ssh-ed25519", 1, Verdict::Unknown),
        ] {
            let text = line(hosts, algorithm, body);
            assert_eq!(judge(&text, "git.example.com", &mine), expected, "{text}");
        }
        assert_eq!(judge("", "git.example.com", &mine), Verdict::Unknown);
        assert_eq!(
            judge("git.example.com ssh-ed25519 %%%", "git.example.com", &mine),
            Verdict::Changed
        );
    }

    #[test]
    fn one_of_several_keys_is_enough_and_a_revoked_one_is_not() {
        let text = line("host", "ssh-ed25519", 2) + &line("host", "ssh-ed25519", 1);
        assert_eq!(
            judge(&text, "host", &key("ssh-ed25519", 1)),
            Verdict::Trusted
        );
        let text = text + &line("@revoked host", "ssh-ed25519", 1);
        assert_eq!(
            judge(&text, "host", &key("ssh-ed25519", 1)),
            Verdict::Changed
        );
    }

    #[test]
    fn hashed_hosts_are_found() {
        let text = line(&hashed("[host]:2222"), "ssh-ed25519", 1);
        let mine = key("ssh-ed25519", 1);
        assert_eq!(judge(&text, &name("host", 2222), &mine), Verdict::Trusted);
        assert_eq!(judge(&text, &name("host", 22), &mine), Verdict::Unknown);
        assert_eq!(
            judge("|1|x ssh-ed25519 AAAA", "host", &mine),
            Verdict::Unknown
        );
    }

    #[test]
    fn the_algorithms_of_listed_keys_are_asked_for() {
        let text = line("host", "ssh-rsa", 1)
            + &line("*", "ssh-ed25519", 1)
            + &line("else", "ecdsa-sha2-nistp256", 1);
        assert_eq!(
            algorithms(&text, "host"),
            ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
        );
    }

    #[test]
    fn a_key_that_lies_about_its_length_has_no_algorithm() {
        assert_eq!(algorithm(&[255, 255, 255, 255, 1]), "unknown");
        assert_eq!(algorithm(&[0, 0]), "unknown");
        assert_eq!(algorithm(&key("ssh-ed25519", 1)), "ssh-ed25519");
    }

    #[test]
    fn many_stars_do_not_take_long() {
        assert!(!matches_pattern(
            &"*a".repeat(1000),
            &"a".repeat(999).replace("aa", "ab")
        ));
    }
}
