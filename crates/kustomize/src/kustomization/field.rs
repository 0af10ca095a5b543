//! Typed access to a YAML node, with the path and place for errors.
//! Keys are matched without regard to case, as upstream's decoder does.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::error::{Error, ErrorKind};
use crate::scalar;
use crate::yaml::{Node, NodeKind};

/// A text and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) text: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// How upstream's decoder treats a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Unknown fields are errors: the kustomization file.
    Strict,
    /// Unknown fields are errors: `configurations:`.
    Known,
    /// Unknown fields are ignored: configurations of transformers.
    Lenient,
}

/// A node, and how it was reached.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    node: &'a Node,
    path: String,
    file: &'a str,
    mode: Mode,
    /// Whether only texts are texts, whatever the mode says.
    exact: bool,
}

impl<'a> Field<'a> {
    pub(crate) fn strict(node: &'a Node, file: &'a str) -> Self {
        Self {
            node,
            path: String::new(),
            file,
            mode: Mode::Strict,
            exact: true,
        }
    }

    pub(crate) fn known(node: &'a Node, file: &'a str) -> Self {
        Self {
            node,
            path: String::new(),
            file,
            mode: Mode::Known,
            exact: false,
        }
    }

    pub(crate) fn lenient(node: &'a Node, file: &'a str) -> Self {
        Self {
            node,
            path: String::new(),
            file,
            mode: Mode::Lenient,
            exact: false,
        }
    }

    /// The same, where only texts are texts: upstream makes texts of other scalars, but not in what one of its structures takes over
    /// from another.
    pub(crate) fn exact(&self) -> Self {
        Self {
            exact: true,
            ..self.clone()
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.mode == Mode::Strict
    }

    fn child(&self, node: &'a Node, path: String) -> Self {
        Self {
            node,
            path,
            file: self.file,
            mode: self.mode,
            exact: self.exact,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.kind, NodeKind::Null)
    }

    /// Whether it is an empty list, mapping or text, or null.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.node.kind {
            NodeKind::Null => true,
            NodeKind::String(text) => text.is_empty(),
            NodeKind::Sequence(items) => items.is_empty(),
            NodeKind::Mapping(fields) => fields.is_empty(),
            NodeKind::Bool(_) | NodeKind::Number(_) => false,
        }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self.node.kind, NodeKind::Sequence(_) | NodeKind::Mapping(_))
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.kind, NodeKind::Sequence(_))
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        let error = Error::new(ErrorKind::Kustomization, message).at(
            self.file,
            self.node.line,
            self.node.column,
        );
        if self.path.is_empty() {
            error
        } else {
            error.field(self.path.clone())
        }
    }

    fn wrong(&self, wanted: &str) -> Error {
        let found = match self.node.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::String(_) => "a text",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        };
        let error = self.error(format!("read {wanted}: there is {found}"));
        if wanted == "a text" {
            error.hint("put it in quotes")
        } else {
            error
        }
    }

    /// The fields of a mapping by the names in `known`; null fields are left out.
    ///
    /// # Errors
    /// When it is no mapping, or has unknown fields where these are errors: all of them at once.
    pub(crate) fn mapping(&self, known: &[&str]) -> Result<BTreeMap<String, Self>, Error> {
        let (found, errors) = self.fields(known)?;
        if errors.is_empty() {
            Ok(found)
        } else {
            Err(Error::several(errors))
        }
    }

    /// The fields of a mapping by their known names, and what is wrong with the others.
    ///
    /// # Errors
    /// When it is no mapping.
    pub(crate) fn fields(
        &self,
        known: &[&str],
    ) -> Result<(BTreeMap<String, Self>, Vec<Error>), Error> {
        let fields = match &self.node.kind {
            NodeKind::Null => return Ok((BTreeMap::new(), Vec::new())),
            NodeKind::Mapping(fields) => fields,
            NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Sequence(_) => {
                return Err(self.wrong("a mapping"));
            }
        };
        let mut found = BTreeMap::new();
        let mut errors = Vec::new();
        // Of keys that differ in their case the last one holds, in the order of their bytes.
        let mut fields: Vec<_> = fields
            .iter()
            .map(|(key, value)| (key_text(key), key, value))
            .collect();
        fields.sort_by(|left, right| left.0.cmp(&right.0));
        for (name, key, value) in fields {
            let path = if self.path.is_empty() {
                name.clone()
            } else {
                format!("{}.{name}", self.path)
            };
            match known.iter().find(|known| known.eq_ignore_ascii_case(&name)) {
                Some(_) if matches!(value.kind, NodeKind::Null) => {}
                Some(known) => {
                    found.insert((*known).to_owned(), self.child(value, path));
                }
                None if self.mode == Mode::Lenient => {}
                None => {
                    let error = self
                        .child(key, path)
                        .error(format!("read the unknown field \"{name}\""));
                    errors.push(match nearest(&name, known) {
                        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                        None => error,
                    });
                }
            }
        }
        Ok((found, errors))
    }

    /// The elements of a list; none for null.
    pub(crate) fn list(&self) -> Result<Vec<Self>, Error> {
        match &self.node.kind {
            NodeKind::Null => Ok(Vec::new()),
            NodeKind::Sequence(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, item)| self.child(item, format!("{}[{index}]", self.path)))
                .collect()),
            NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Mapping(_) => Err(self.wrong("a list")),
        }
    }

    pub(crate) fn text(&self) -> Result<String, Error> {
        match &self.node.kind {
            NodeKind::String(text) => Ok(text.clone()),
            NodeKind::Null => Ok(String::new()),
            NodeKind::Number(number) if !self.exact => {
                Ok(scalar::text(&Value::Number(number.clone())))
            }
            NodeKind::Bool(flag) if !self.exact => Ok(flag.to_string()),
            NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::Sequence(_)
            | NodeKind::Mapping(_) => Err(self.wrong("a text")),
        }
    }

    pub(crate) fn located(&self) -> Result<Located, Error> {
        Ok(Located {
            text: self.text()?,
            line: self.node.line,
            column: self.node.column,
        })
    }

    /// Only where it stands.
    pub(crate) fn located_place(&self) -> Located {
        Located {
            text: String::new(),
            line: self.node.line,
            column: self.node.column,
        }
    }

    pub(crate) fn flag(&self) -> Result<bool, Error> {
        match &self.node.kind {
            NodeKind::Bool(flag) => Ok(*flag),
            NodeKind::Null => Ok(false),
            NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Sequence(_)
            | NodeKind::Mapping(_) => Err(self.wrong("a boolean")),
        }
    }

    pub(crate) fn integer(&self) -> Result<i64, Error> {
        match &self.node.kind {
            NodeKind::Null => Ok(0),
            NodeKind::Number(number) => whole(number).ok_or_else(|| self.wrong("an integer")),
            NodeKind::Bool(_)
            | NodeKind::String(_)
            | NodeKind::Sequence(_)
            | NodeKind::Mapping(_) => Err(self.wrong("an integer")),
        }
    }

    pub(crate) fn located_list(&self) -> Result<Vec<Located>, Error> {
        self.list()?.iter().map(Self::located).collect()
    }

    pub(crate) fn text_list(&self) -> Result<Vec<String>, Error> {
        self.list()?.iter().map(Self::text).collect()
    }

    pub(crate) fn text_map(&self) -> Result<BTreeMap<String, String>, Error> {
        match &self.node.kind {
            NodeKind::Null => Ok(BTreeMap::new()),
            NodeKind::Mapping(fields) => fields
                .iter()
                .map(|(key, value)| {
                    let name = key_text(key);
                    let text = self.child(value, format!("{}.{name}", self.path)).text()?;
                    Ok((name, text))
                })
                .collect(),
            NodeKind::Bool(_)
            | NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Sequence(_) => Err(self.wrong("a mapping")),
        }
    }

    /// The node as a value.
    pub(crate) fn value(&self) -> Value {
        value_of(self.node)
    }
}

fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be whole and in range"
        )]
        (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
    })
}

fn key_text(node: &Node) -> String {
    match &node.kind {
        NodeKind::String(text) => text.clone(),
        NodeKind::Number(number) => scalar::text(&Value::Number(number.clone())),
        NodeKind::Bool(flag) => flag.to_string(),
        NodeKind::Null => "null".to_owned(),
        NodeKind::Sequence(_) | NodeKind::Mapping(_) => "?".to_owned(),
    }
}

fn value_of(node: &Node) -> Value {
    match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Bool(flag) => Value::Bool(*flag),
        NodeKind::Number(number) => Value::Number(number.clone()),
        NodeKind::String(text) => Value::String(text.clone()),
        NodeKind::Sequence(items) => Value::Array(items.iter().map(value_of).collect()),
        NodeKind::Mapping(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key_text(key), value_of(value)))
                .collect(),
        ),
    }
}

/// A node without places, for reading a value by the same rules.
pub(crate) fn node_of(value: &Value) -> Node {
    let kind = match value {
        Value::Null => NodeKind::Null,
        Value::Bool(flag) => NodeKind::Bool(*flag),
        Value::Number(number) => NodeKind::Number(number.clone()),
        Value::String(text) => NodeKind::String(text.clone()),
        Value::Array(items) => NodeKind::Sequence(items.iter().map(node_of).collect()),
        Value::Object(fields) => NodeKind::Mapping(
            fields
                .iter()
                .map(|(key, value)| (node_of(&Value::String(key.clone())), node_of(value)))
                .collect(),
        ),
    };
    Node {
        line: 0,
        column: 0,
        kind,
    }
}

/// The known name that a mistyped one most likely means.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    /// More changes than this, and it is another word.
    const CHANGES: usize = 2;
    known
        .iter()
        .map(|known| {
            (
                distance(&name.to_ascii_lowercase(), &known.to_ascii_lowercase()),
                *known,
            )
        })
        .filter(|(distance, _)| *distance <= CHANGES)
        .min()
        .map(|(_, known)| known)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, here) in left.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, there) in right.iter().enumerate() {
            let change = diagonal + usize::from(here != *there);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_match_without_regard_to_case_and_unknown_ones_are_all_reported() {
        let node = node_of(&json!({"Resources": ["a"], "namespce": "x", "other": 1}));
        let field = Field::strict(&node, "/k.yaml");
        let error = field.mapping(&["resources", "namespace"]).err().unwrap();
        assert_eq!(error.all().len(), 2);
        assert_eq!(error.all()[0].advice(), Some("did you mean \"namespace\"?"));
        let node = node_of(&json!({"Resources": ["a"]}));
        let fields = Field::strict(&node, "/k.yaml")
            .mapping(&["resources"])
            .unwrap();
        assert_eq!(fields["resources"].text_list().unwrap(), ["a"]);
    }

    #[test]
    fn numbers_are_no_texts_in_the_kustomization() {
        let node = node_of(&json!(5));
        assert!(Field::strict(&node, "").text().is_err());
        assert_eq!(Field::lenient(&node, "").text().unwrap(), "5");
    }
}
