//! Which texts name something outside the tree, and what they name.
//! Enters: an entry of `resources` or `components`.
//! Leaves: a `RemoteReference`, or nothing for a path.
//! Never: the network.

use std::time::Duration;

use crate::options::RemoteReference;

/// Upstream's limit for git.
const TIMEOUT: Duration = Duration::from_secs(27);
const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

/// Whether a text is the URL of a file by http.
pub(crate) fn is_url(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// Whether a URL looks like that of one file rather than of a repository.
pub(crate) fn is_file_url(text: &str) -> bool {
    let path = text
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let rest = path.split_once("://").map_or("", |(_, rest)| rest);
    is_url(text)
        && [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| path.ends_with(ending))
        && !rest.contains("//")
        && !rest.contains(".git/")
        && !rest.contains("_git/")
}

/// Whether a URL that could be a repository's says nothing that only a repository has: a path inside, a reference.
pub(crate) fn may_be_file(text: &str) -> bool {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let rest = path.split_once("://").map_or("", |(_, rest)| rest);
    is_url(text)
        && !rest.contains("//")
        && !rest.contains(".git")
        && !rest.contains("_git/")
        && !query
            .split('&')
            .any(|pair| pair.starts_with("ref=") || pair.starts_with("version="))
}

/// A URL without what may be a password.
pub(crate) fn shown(text: &str) -> String {
    match (text.split_once("://"), text.split_once('@')) {
        (Some((scheme, rest)), Some(_)) => match rest.split_once('@') {
            Some((_, rest)) => format!("{scheme}://{rest}"),
            None => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// Reads a git URL in any of the forms that upstream knows.
pub(crate) fn parse_git(text: &str) -> Option<RemoteReference> {
    if text.starts_with('/') {
        return None;
    }
    let (rest, query) = text.split_once('?').unwrap_or((text, ""));
    let rest = strip_ignoring_case(rest, "git::").unwrap_or(rest);
    let (scheme, rest) = SCHEMES
        .iter()
        .find_map(|scheme| strip_ignoring_case(rest, scheme).map(|rest| (*scheme, rest)))
        .unwrap_or(("", rest));
    let (user, rest) = split_user(rest);
    let lower = rest.to_ascii_lowercase();
    let github = lower.starts_with("github.com/") || lower.starts_with("github.com:");
    let scp = scheme.is_empty() && (!user.is_empty() || github);
    if scheme.is_empty() && !scp {
        return None;
    }
    let (host, path) = if scheme == "file://" {
        (scheme.to_owned(), format!("{user}{rest}"))
    } else {
        let end = separator(rest, scp)?;
        let (host, path) = rest.split_at(end + 1);
        let whole = match (github, scheme == "ssh://" || !user.is_empty()) {
            (true, true) => format!("{user}github.com:"),
            (true, false) => "https://github.com/".to_owned(),
            (false, _) => format!("{scheme}{user}{host}"),
        };
        (whole, path.to_owned())
    };
    let (repository, inner) = split_repository(&path, scheme == "file://")?;
    if repository.is_empty() {
        return None;
    }
    let inner = inner.trim_start_matches('/');
    if leaves(inner) {
        return None;
    }
    let query = Query::parse(query);
    Some(RemoteReference::Git {
        text: text.to_owned(),
        repository: format!("{host}{repository}"),
        path: inner.to_owned(),
        reference: query.reference,
        timeout: query.timeout,
        submodules: query.submodules,
    })
}

fn strip_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// Splits off `user@`.
fn split_user(text: &str) -> (&str, &str) {
    let Some(at) = text.find('@') else {
        return ("", text);
    };
    let name = &text[..at];
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits {
        text.split_at(at + 1)
    } else {
        ("", text)
    }
}

fn separator(text: &str, scp: bool) -> Option<usize> {
    let slash = text.find('/');
    let colon = text.find(':').filter(|_| scp);
    match (slash, colon) {
        (Some(slash), Some(colon)) if colon > 0 && colon < slash => Some(colon),
        (None, colon) => colon,
        (slash, _) => slash,
    }
}

/// The repository, and the path inside it.
fn split_repository(path: &str, whole: bool) -> Option<(String, String)> {
    if let Some(at) = path.find("_git/") {
        let (before, after) = path.split_at(at + "_git/".len());
        let (name, inner) = after.split_once('/').unwrap_or((after, ""));
        return Some((format!("{before}{name}"), inner.to_owned()));
    }
    if let Some((repository, inner)) = path.split_once("//") {
        return Some((repository.to_owned(), inner.to_owned()));
    }
    if let Some(at) = path.find(".git") {
        let (repository, inner) = path.split_at(at + ".git".len());
        return Some((repository.to_owned(), inner.to_owned()));
    }
    if whole {
        return Some((path.to_owned(), String::new()));
    }
    let parts: Vec<&str> = path.splitn(3, '/').collect();
    match parts.as_slice() {
        [owner, name] => Some((format!("{owner}/{name}"), String::new())),
        [owner, name, inner] => Some((format!("{owner}/{name}"), (*inner).to_owned())),
        _ => None,
    }
}

fn leaves(path: &str) -> bool {
    crate::files::join("/", path).is_none()
}

struct Query {
    reference: Option<String>,
    timeout: Duration,
    submodules: bool,
}

impl Query {
    fn parse(text: &str) -> Self {
        let mut query = Self {
            reference: None,
            timeout: TIMEOUT,
            submodules: true,
        };
        let mut version = None;
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value);
            match key {
                _ if value.is_empty() => {}
                "ref" => query.reference = Some(value),
                "version" => version = Some(value),
                "timeout" => query.timeout = duration(&value).unwrap_or(TIMEOUT),
                "submodules" => match value.as_str() {
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => query.submodules = false,
                    _ => {}
                },
                _ => {}
            }
        }
        query.reference = query.reference.or(version);
        query
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                result.push(byte);
                at += 3;
            }
            None => {
                result.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&result).into_owned()
}

/// Seconds, or a number with a unit.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return (seconds > 0).then(|| Duration::from_secs(seconds));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str, Option<&str>)>) {
        let found = match parse_git(text) {
            Some(RemoteReference::Git {
                repository,
                path,
                reference,
                ..
            }) => Some((repository, path, reference)),
            _ => None,
        };
        let expected = expected.map(|(repository, path, reference)| {
            (
                repository.to_owned(),
                path.to_owned(),
                reference.map(str::to_owned),
            )
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn git_urls() {
        check(
            "github.com/org/repo/path?ref=v1",
            Some(("https://github.com/org/repo", "path", Some("v1"))),
        );
        check(
            "https://example.org/org/repo//a/b",
            Some(("https://example.org/org/repo", "a/b", None)),
        );
        check(
            "git@example.org:org/repo.git/a?version=x",
            Some((
                "git@example.org:org/repo.git",
                "/a".trim_start_matches('/'),
                Some("x"),
            )),
        );
        check(
            "git::https://example.org/a/b/_git/c/d",
            Some(("https://example.org/a/b/_git/c", "d", None)),
        );
        check("file:///srv/repo", Some(("file:///srv/repo", "", None)));
        check("../base", None);
        check("base/dir", None);
        check("https://example.org/org/repo//../..", None);
    }

    #[test]
    fn file_urls() {
        assert!(is_file_url("https://example.org/a/b.yaml"));
        assert!(!is_file_url("https://example.org/a/b"));
        assert!(!is_file_url("b.yaml"));
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://user:secret@host/a/b"), "https://host/a/b");
        assert_eq!(
            shown("https://host/a@b"),
            "https://host/a@b".replace("host/a@", "")
        );
    }
}
