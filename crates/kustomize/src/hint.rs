//! What a value does not say about the text that it was read from, where upstream goes by the text:
//! annotations keep the text of their scalars, and a null that is blank is less than one that is written.
//! Enters: the lines of a document, its value.
//! Leaves: annotations as texts; the paths of blank nulls.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scalar;

/// Of how many nulls, or annotations, of one object the text is looked for: each costs a pass over its lines.
const MOST: usize = 256;

/// The text of one file, split into lines.
pub(crate) struct Lines<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Self {
        let text = std::str::from_utf8(content).unwrap_or_default();
        Self {
            lines: text.lines().collect(),
        }
    }

    /// The lines from the one on which a document begins to the end of the document.
    fn document<'b>(&'b self, line: u32) -> impl Iterator<Item = &'a str> + Clone + use<'a, 'b> {
        let start = usize::try_from(line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let rest = self.lines.get(start..).unwrap_or_default();
        rest.iter()
            .enumerate()
            .take_while(|(index, line)| *index == 0 || !line.starts_with("---"))
            .map(|(_, line)| *line)
    }

    /// What stands behind a key in block style, of the entries that a reader would call by that key.
    fn behind<'b>(
        &'b self,
        line: u32,
        key: &'b str,
    ) -> impl Iterator<Item = &'a str> + Clone + use<'a, 'b> {
        self.document(line).filter_map(move |line| {
            let line = line.trim_start_matches([' ', '-']);
            let rest = match line.strip_prefix(['"', '\'']) {
                Some(quoted) => quoted.strip_prefix(key)?.strip_prefix(['"', '\''])?,
                None => line.strip_prefix(key)?,
            };
            let rest = rest.strip_prefix(':')?;
            let rest = if rest.is_empty() {
                rest
            } else {
                rest.strip_prefix([' ', '\t'])?
            };
            let end = if rest.starts_with('#') {
                0
            } else {
                rest.find(" #").unwrap_or(rest.len())
            };
            Some(rest[..end].trim())
        })
    }
}

/// Whether a value holds something that [`annotate`] or [`blanks`] would look for.
pub(crate) fn is_needed(value: &Value) -> bool {
    has_null(value)
        || annotations(value)
            .is_some_and(|annotations| annotations.values().any(|value| !is_text(value)))
}

fn annotations(value: &Value) -> Option<&serde_json::Map<String, Value>> {
    value.get("metadata")?.get("annotations")?.as_object()
}

/// Dates are texts already, but not as they were written.
fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        !(text.ends_with('Z') && text.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Gives the scalars among annotations the text that they were written as.
pub(crate) fn annotate(value: &mut Value, lines: &Lines<'_>, line: u32) {
    let Some(Value::Object(metadata)) = value.get_mut("metadata") else {
        return;
    };
    let Some(Value::Object(annotations)) = metadata.get_mut("annotations") else {
        return;
    };
    if annotations.len() > MOST {
        return;
    }
    for (key, value) in annotations
        .iter_mut()
        .filter(|(_, value)| !is_text(value) && scalar::is_scalar(value))
    {
        let fits = |text: &&str| match &*value {
            Value::String(date) => date.get(..10).is_some_and(|day| text.starts_with(day)),
            // Hexadecimal and the like are one number in several spellings.
            other => scalar::resolve(text) == *other,
        };
        if let Some(text) = lines.behind(line, key).find(fits) {
            *value = Value::String(text.to_owned());
        }
    }
}

/// The names on the way to every null for which the text has nothing, list positions left out.
pub(crate) fn blanks(value: &Value, lines: &Lines<'_>, line: u32) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut nulls = BTreeSet::new();
    collect(value, &mut Vec::new(), &mut nulls);
    if nulls.len() > MOST {
        return found;
    }
    for path in nulls {
        let key = path.last().map_or("", String::as_str);
        let is_null = |text: &&str| matches!(scalar::resolve(text), Value::Null);
        let texts: Vec<&str> = lines.behind(line, key).filter(is_null).collect();
        if !texts.is_empty() && texts.iter().all(|text| text.is_empty()) {
            found.insert(path);
        }
    }
    found
}

fn collect(value: &Value, path: &mut Vec<String>, nulls: &mut BTreeSet<Vec<String>>) {
    match value {
        Value::Null => {
            nulls.insert(path.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, path, nulls)),
        Value::Object(fields) => {
            for (key, value) in fields {
                path.push(key.clone());
                collect(value, path, nulls);
                path.pop();
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = "metadata:\n  annotations:\n    f: 1.10 # why\n    o: 0644\n    e:\n    d: 2020-01-01\n  x: ~\n  y:\n";

    #[test]
    fn annotations_get_their_text() {
        let mut value = json!({"metadata": {"annotations":
            {"f": 1.1, "o": 420, "e": null, "d": "2020-01-01T00:00:00Z"}, "x": null, "y": null}});
        annotate(&mut value, &Lines::new(TEXT.as_bytes()), 1);
        assert_eq!(
            value["metadata"]["annotations"],
            json!({"f": "1.10", "o": "0644", "e": "", "d": "2020-01-01"})
        );
    }

    #[test]
    fn blank_nulls_are_told_from_written_ones() {
        let value = json!({"metadata": {"x": null, "y": null}});
        let expected = BTreeSet::from([vec!["metadata".to_owned(), "y".to_owned()]]);
        assert_eq!(blanks(&value, &Lines::new(TEXT.as_bytes()), 1), expected);
    }
}
