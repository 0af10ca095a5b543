//! Names, tags and digests of container images.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

use super::{Compiled, compile};
use crate::config::{Create, FieldSpec};
use crate::error::{Error, ErrorKind};
use crate::expression;
use crate::kustomization::Image;
use crate::objects::Objects;
use crate::scalar;

/// What may stand behind the name of an image.
const REST: &str = r"(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?$";

/// The name in an entry: a regular expression, as upstream takes it.
enum Name {
    Plain(String),
    Expression(Regex),
    /// Not a regular expression: it matches nothing.
    Malformed,
}

impl Name {
    fn new(text: &str) -> Self {
        if text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | '.'))
        {
            return Self::Plain(text.to_owned());
        }
        expression::compile(&format!("^{text}{REST}")).map_or(Self::Malformed, Self::Expression)
    }

    fn matches(&self, image: &str) -> bool {
        match self {
            Self::Plain(name) => strip(image, name).is_some_and(is_tag_and_digest),
            Self::Expression(regex) => regex.is_match(image),
            Self::Malformed => false,
        }
    }
}

/// What follows a name, in which a dot is any character.
fn strip<'a>(image: &'a str, name: &str) -> Option<&'a str> {
    let mut chars = image.chars();
    for wanted in name.chars() {
        let here = chars.next()?;
        if here != wanted && (wanted != '.' || here == '\n') {
            return None;
        }
    }
    Some(chars.as_str())
}

/// Whether a text is what may follow a name, without the cost of a regular expression.
fn is_tag_and_digest(rest: &str) -> bool {
    let word = |text: &str| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'{' | b'}' | b'-')
        })
    };
    let (tag, digest) = rest
        .split_once('@')
        .map_or((rest, None), |(tag, digest)| (tag, Some(digest)));
    let tag_fits = tag.is_empty() || tag.strip_prefix(':').is_some_and(word);
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, value)| {
            let part = |text: &str| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
            };
            algorithm.split(['.', '+', '_', '-']).all(part) && word(value)
        })
    });
    tag_fits && digest_fits
}

/// Rewrites the images that entries name, one entry after the other.
///
/// Upstream goes over all objects twice for each entry: over the fields of the specs, then over every list of containers.
/// A field that both find is rewritten twice by each entry. Here each object is walked once for all entries.
///
/// # Errors
/// When a field that should hold an image is no scalar.
pub(crate) fn images(
    objects: &mut Objects,
    entries: &[Image],
    specs: &[FieldSpec],
) -> Result<(), Error> {
    let entries: Vec<(Name, &Image)> = entries
        .iter()
        .map(|image| (Name::new(&image.name), image))
        .collect();
    let compiled: Vec<Compiled<'_>> = compile(specs);
    for object in objects.all_mut() {
        if object.id.gvk.kind == "CustomResourceDefinition" {
            continue;
        }
        let mut times: HashMap<usize, usize> = HashMap::new();
        let mut count = |field: &mut Value| {
            *times.entry(std::ptr::from_ref(field).addr()).or_default() += 1;
            Ok(())
        };
        for spec in &compiled {
            spec.apply(object, Create::Nothing, &mut count)?;
        }
        everywhere(&mut object.value, &mut count)
            .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))?;
        let mut set = |field: &mut Value| {
            let times = times.remove(&std::ptr::from_ref(field).addr()).unwrap_or(0);
            entries.iter().try_for_each(|(name, image)| {
                std::iter::repeat_n((), times).try_for_each(|()| update(field, name, image))
            })
        };
        for spec in &compiled {
            spec.apply(object, Create::Nothing, &mut set)?;
        }
        everywhere(&mut object.value, &mut set)
            .map_err(|error| error.at(&object.origin.file, object.origin.line, 0))?;
    }
    Ok(())
}

/// Every list of containers at any depth, whatever the kind.
fn everywhere(
    value: &mut Value,
    set: &mut dyn FnMut(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                everywhere(inner, set)?;
                if let (true, Value::Array(items)) = (
                    matches!(key.as_str(), "containers" | "initContainers"),
                    inner,
                ) {
                    for item in items {
                        match item {
                            Value::Object(fields) => {
                                if let Some(image) = fields.get_mut("image") {
                                    set(image)?;
                                }
                            }
                            _ if scalar::is_null(item) => {}
                            Value::Null
                            | Value::Bool(_)
                            | Value::Number(_)
                            | Value::String(_)
                            | Value::Array(_) => {
                                return Err(Error::new(
                                    ErrorKind::Transformer,
                                    "set an image: an element of `containers` is no mapping",
                                ));
                            }
                        }
                    }
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| everywhere(item, set)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn update(field: &mut Value, name: &Name, image: &Image) -> Result<(), Error> {
    if !scalar::is_scalar(field) {
        return Err(Error::new(
            ErrorKind::Transformer,
            "set an image: the field is no scalar",
        ));
    }
    let text = scalar::text(field);
    if !name.matches(&text) {
        return Ok(());
    }
    let (old_name, mut tag, mut digest) = split(&text);
    let new_name = if image.new_name.is_empty() {
        old_name
    } else {
        &image.new_name
    };
    let suffixed;
    match (image.new_tag.is_empty(), image.digest.is_empty()) {
        (false, false) => (tag, digest) = (&image.new_tag, &image.digest),
        (false, true) => (tag, digest) = (&image.new_tag, ""),
        (true, false) => (tag, digest) = ("", &image.digest),
        (true, true) if !image.tag_suffix.is_empty() => {
            suffixed = format!("{tag}{}", image.tag_suffix);
            (tag, digest) = (&suffixed, "");
        }
        (true, true) => {}
    }
    let mut result = new_name.to_owned();
    for (mark, part) in [(':', tag), ('@', digest)] {
        if !part.is_empty() {
            result.push(mark);
            result.push_str(part);
        }
    }
    *field = scalar::untyped(field, &result);
    Ok(())
}

/// Name, tag and digest; a colon before the first slash belongs to the host.
fn split(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or(0);
    let rest = &image[start..];
    let at = rest.find('@').map(|at| at + start);
    let colon = rest.find(':').map(|at| at + start);
    match (at, colon) {
        (None, None) => (image, "", ""),
        (Some(at), Some(colon)) if colon < at => {
            (&image[..colon], &image[colon + 1..at], &image[at + 1..])
        }
        (Some(at), _) => (&image[..at], "", &image[at + 1..]),
        (None, Some(colon)) => (&image[..colon], &image[colon + 1..], ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(image: &Image, old: &str, expected: &str) {
        let mut value = json!(old);
        update(&mut value, &Name::new(&image.name), image).unwrap();
        assert_eq!(scalar::text(&value), expected, "{old}");
    }

    #[test]
    fn tags_digests_and_names() {
        let image = |name: &str| Image {
            name: name.to_owned(),
            ..Image::default()
        };
        let tag = Image {
            new_tag: "2".to_owned(),
            ..image("nginx")
        };
        check(&tag, "nginx", "nginx:2");
        check(&tag, "nginx:1@sha256:abc", "nginx:2");
        check(&tag, "other/nginx:1", "other/nginx:1");
        check(&tag, "nginx-x:1", "nginx-x:1");
        let digest = Image {
            digest: "sha256:d".to_owned(),
            ..image("host:5000/a.b")
        };
        check(&digest, "host:5000/a.b:1", "host:5000/a.b@sha256:d");
        check(
            &Image {
                tag_suffix: "-x".to_owned(),
                ..image("a")
            },
            "a:1@sha256:b",
            "a:1-x",
        );
        check(
            &Image {
                new_name: "b".to_owned(),
                ..image("a")
            },
            "a:1@sha256:b",
            "b:1@sha256:b",
        );
        check(
            &Image {
                new_name: "b".to_owned(),
                ..image("[")
            },
            "[:1",
            "[:1",
        );
    }
}
