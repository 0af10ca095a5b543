//! Which objects a selector means.
//! Enters: a selector: identities as regular expressions, labels and annotations as Kubernetes selectors.
//! Leaves: whether an object matches.

use regex::Regex;

use crate::error::{Error, ErrorKind};
use crate::expression;
use crate::identity::Gvk;
use crate::kustomization::Selector;
use crate::object::Object;
use crate::objects::Objects;

/// One text of an identity.
enum Pattern {
    Any,
    Exactly(String),
    Expression(Regex),
}

impl Pattern {
    fn new(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | ':'))
        {
            return Ok(Self::Exactly(text.to_owned()));
        }
        expression::compile(&format!("^(?:{text})$"))
            .map(Self::Expression)
            .map_err(|source| {
                Error::new(
                    ErrorKind::Patch,
                    format!("read the selector `{text}` as a regular expression"),
                )
                .caused_by(source)
            })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => wanted == text,
            Self::Expression(regex) => regex.is_match(text),
        }
    }
}

/// A selector, ready to match.
pub(crate) struct Matcher {
    group: Pattern,
    version: Pattern,
    kind: Pattern,
    name: Pattern,
    namespace: Pattern,
    labels: Requirements,
    annotations: Requirements,
    any_identity: bool,
    any_content: bool,
}

impl Matcher {
    /// Prepares a selector.
    ///
    /// # Errors
    /// When a part of it is malformed.
    pub(crate) fn new(selector: &Selector) -> Result<Self, Error> {
        Ok(Self {
            group: Pattern::new(&selector.gvk.group)?,
            version: Pattern::new(&selector.gvk.version)?,
            kind: Pattern::new(&selector.gvk.kind)?,
            name: Pattern::new(&selector.name)?,
            namespace: Pattern::new(&selector.namespace)?,
            labels: Requirements::parse(&selector.labels)?,
            annotations: Requirements::parse(&selector.annotations)?,
            any_identity: selector.is_any_identity(),
            any_content: selector.labels.is_empty() && selector.annotations.is_empty(),
        })
    }

    /// Whether it says nothing about identities.
    pub(crate) fn is_any_identity(&self) -> bool {
        self.any_identity
    }

    /// Whether it says nothing about labels and annotations.
    pub(crate) fn is_any_content(&self) -> bool {
        self.any_content
    }

    fn matches_gvk(&self, gvk: &Gvk, kind: &str) -> bool {
        self.group.matches(&gvk.group)
            && self.version.matches(&gvk.version)
            && self.kind.matches(kind)
    }

    pub(crate) fn matches_content(&self, object: &Object) -> bool {
        (self.labels.is_empty() || self.labels.match_all(&object.metadata_map("labels")))
            && (self.annotations.is_empty()
                || self
                    .annotations
                    .match_all(&object.metadata_map("annotations")))
    }

    /// As patches select: original or current name and namespace, the kind now.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let (_, name, namespace) = object.original();
        (self.namespace.matches(namespace)
            || self.namespace.matches(object.id.effective_namespace()))
            && (self.name.matches(name) || self.name.matches(&object.id.name))
            && self.matches_gvk(&object.id.gvk, &object.id.gvk.kind)
            && self.matches_content(object)
    }

    /// As replacements select: any one identity, now or before, as a whole.
    pub(crate) fn matches_any_identity(&self, object: &Object) -> bool {
        let id = &object.id;
        let now = self.matches_gvk(&id.gvk, &id.gvk.kind)
            && self.name.matches(&id.name)
            && self.namespace.matches(&id.namespace);
        now || object.memory.previous.iter().any(|previous| {
            self.matches_gvk(&id.gvk, &previous.kind)
                && self.name.matches(&previous.name)
                && self.namespace.matches(&previous.namespace)
        })
    }
}

/// The positions of the objects that a selector means.
///
/// # Errors
/// When the selector is malformed.
pub(crate) fn select(objects: &Objects, selector: &Selector) -> Result<Vec<usize>, Error> {
    let matcher = Matcher::new(selector)?;
    Ok(objects
        .iter()
        .enumerate()
        .filter(|(_, object)| matcher.matches(object))
        .map(|(index, _)| index)
        .collect())
}

/// A Kubernetes label selector.
struct Requirements(Vec<Requirement>);

enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
    Greater(String, i64),
    Less(String, i64),
}

impl Requirements {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || {
            Error::new(ErrorKind::Patch, format!("read the selector `{text}`")).hint("write it as `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key` or `!key`")
        };
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(malformed());
            }
            requirements.push(requirement(part).ok_or_else(malformed)?);
        }
        Ok(Self(requirements))
    }

    fn match_all(&self, entries: &[(String, String)]) -> bool {
        let get = |key: &str| {
            entries
                .iter()
                .find(|(other, _)| other == key)
                .map(|(_, value)| value.as_str())
        };
        let number = |key: &str| get(key).and_then(|value| value.parse::<i64>().ok());
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                get(key).is_some_and(|value| values.iter().any(|other| other == value))
            }
            Requirement::NotIn(key, values) => {
                get(key).is_none_or(|value| values.iter().all(|other| other != value))
            }
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Missing(key) => get(key).is_none(),
            Requirement::Greater(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|value| value < *bound),
        })
    }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    if let Some(key) = part.strip_prefix('!') {
        return label_key(key.trim()).map(Requirement::Missing);
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..].strip_suffix(')')?;
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        values
            .iter()
            .all(|value| label_value(value))
            .then_some(())?;
        let mut words = part[..open].split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let key = label_key(key).filter(|_| words.next().is_none())?;
        return match operator {
            "in" => Some(Requirement::In(key, values)),
            "notin" => Some(Requirement::NotIn(key, values)),
            _ => None,
        };
    }
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let (key, value) = (label_key(key.trim())?, value.trim());
            label_value(value).then_some(())?;
            let values = vec![value.to_owned()];
            return Some(if negated {
                Requirement::NotIn(key, values)
            } else {
                Requirement::In(key, values)
            });
        }
    }
    for (operator, greater) in [(">", true), ("<", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let (key, bound) = (label_key(key.trim())?, value.trim().parse().ok()?);
            return Some(if greater {
                Requirement::Greater(key, bound)
            } else {
                Requirement::Less(key, bound)
            });
        }
    }
    label_key(part).map(Requirement::Exists)
}

/// A label key: an optional DNS prefix, and a name of at most 63 characters.
fn label_key(key: &str) -> Option<String> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            })
    });
    (prefix_fits && !name.is_empty() && label_value(name)).then(|| key.to_owned())
}

fn label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors() {
        let entries = [
            ("app".to_owned(), "web".to_owned()),
            ("n".to_owned(), "5".to_owned()),
        ];
        for (text, expected) in [
            ("app=web", Some(true)),
            ("app == web,n", Some(true)),
            ("app!=web", Some(false)),
            ("other!=web", Some(true)),
            ("app in (web, db)", Some(true)),
            ("app notin (web)", Some(false)),
            ("!other", Some(true)),
            ("n>4", Some(true)),
            ("", Some(true)),
            ("app=", Some(false)),
            ("app in web", None),
            ("a b", None),
            ("=x", None),
        ] {
            let result = Requirements::parse(text)
                .ok()
                .map(|requirements| requirements.match_all(&entries));
            assert_eq!(result, expected, "{text}");
        }
    }

    #[test]
    fn patterns_are_anchored() {
        for (pattern, text, expected) in [
            ("a|b", "ab", false),
            ("a.*", "abc", true),
            ("web", "web-1", false),
            ("", "x", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(text),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(Pattern::new("(").is_err());
    }
}
