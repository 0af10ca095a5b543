//! Keys and values from literals, env files and file sources.

use std::fmt::Write as _;

use crate::error::{Error, ErrorKind};
use crate::yaml;

/// A key and what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

fn failed(message: String) -> Error {
    Error::new(ErrorKind::Generator, message)
}

/// Reads `key=value`; quotes around the value are dropped.
///
/// # Errors
/// When there is no `=`, or nothing before it.
pub(crate) fn literal_pair(source: &str) -> Result<Pair, Error> {
    // Upstream hands arguments to a generator as JSON. What it cannot read back cannot be printed either, which is said then.
    let read_back = yaml::through_json(source).ok().flatten();
    let source = read_back.as_deref().unwrap_or(source);
    match source.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Pair {
            key: key.to_owned(),
            value: unquoted(value).as_bytes().to_vec(),
        }),
        _ => {
            let mut shown: String = source.chars().take_while(|c| *c != '=').take(40).collect();
            if shown.len() < source.len() {
                // What stands behind may be a secret.
                write!(shown, "…").unwrap_or_default();
            }
            Err(failed(format!("read the literal {shown}")).hint("write it as key=value"))
        }
    }
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if text.len() > 1
            && let Some(inner) = text
                .strip_prefix(quote)
                .and_then(|text| text.strip_suffix(quote))
        {
            return inner;
        }
    }
    text
}

/// Reads `path` or `key=path`.
///
/// # Errors
/// When there is more than one `=`, or a side is empty.
pub(crate) fn file_source(source: &str) -> Result<(String, String), Error> {
    match (source.matches('=').count(), source.split_once('=')) {
        (0, _) => {
            let trimmed = source.trim_end_matches('/');
            let name = trimmed.rsplit('/').next().unwrap_or(trimmed);
            let name = match (source.is_empty(), name.is_empty()) {
                (true, _) => ".",
                (false, true) => "/",
                (false, false) => name,
            };
            Ok((name.to_owned(), source.to_owned()))
        }
        (1, Some((key, path))) if !key.is_empty() && !path.is_empty() => {
            Ok((key.to_owned(), path.to_owned()))
        }
        (1, _) => Err(failed(format!(
            "read the file source \"{source}\": a side of `=` is empty"
        ))),
        _ => Err(failed(format!(
            "read the file source \"{source}\": it has more than one `=`"
        ))),
    }
}

/// The longest line that upstream's reader takes.
const LINE: usize = 64 << 10;

/// Reads the lines of an env file: `key=value` or `key`; blank lines and comments are skipped.
/// A line that is too long ends the file, as upstream's reader has it.
///
/// # Errors
/// When a line is not UTF-8.
pub(crate) fn env_pairs(content: &[u8]) -> Result<Vec<Pair>, Error> {
    let mut pairs = Vec::new();
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() >= LINE {
            break;
        }
        let text = std::str::from_utf8(line).map_err(|source| {
            failed(format!("read line {} of an env file", number + 1)).caused_by(source)
        })?;
        let text = if number == 0 {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        };
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if !key.is_empty() {
            pairs.push(Pair {
                key: key.to_owned(),
                value: value.as_bytes().to_vec(),
            });
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> Pair {
        Pair {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
        }
    }

    #[test]
    fn literals() {
        for (source, expected) in [
            ("a=b", Some(pair("a", "b"))),
            ("a=b=c", Some(pair("a", "b=c"))),
            ("a='b c'", Some(pair("a", "b c"))),
            ("a=\"", Some(pair("a", "\""))),
            ("a=", Some(pair("a", ""))),
            ("a=b\u{85}c", Some(pair("a", "b c"))),
            ("=b", None),
            ("a", None),
        ] {
            assert_eq!(literal_pair(source).ok(), expected, "{source}");
        }
    }

    #[test]
    fn env_files() {
        let content = "\u{feff}A=1\r\n  # no\n\n B =2\nC\n=x\n";
        let expected = [pair("A", "1"), pair("B ", "2"), pair("C", "")];
        assert_eq!(env_pairs(content.as_bytes()).unwrap(), expected);
        assert!(env_pairs(b"a=\xff").is_err());
    }

    #[test]
    fn file_sources() {
        let owned = |key: &str, path: &str| Some((key.to_owned(), path.to_owned()));
        for (source, expected) in [
            ("a/b.txt", owned("b.txt", "a/b.txt")),
            ("k=a/b.txt", owned("k", "a/b.txt")),
            ("=a", None),
            ("k=", None),
            ("k=a=b", None),
        ] {
            assert_eq!(file_source(source).ok(), expected, "{source}");
        }
    }
}
