//! The tree with places: kustomization files, and the search for a place in an object.
//!
//! Enters: scalars, lists, mappings. Leaves: `Node`s with line and column. Never: a decision about what a field means.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::build::{Build, Key, Layout, Level, Scalar, fail};
use super::cursor::Mark;
use super::dialect::Dialect;
use super::error::{Error, ErrorKind};
use super::meaning::Meaning;
use super::number;
use super::resolve::resolve;
use super::value::{Name, name_of, scalar_value};

/// A node with its place: 1-based line and column of its beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What it is.
    pub kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Null, or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of up to 64 bits, or a float.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file. Keys are unique and of kind [`NodeKind::String`].
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// Returns the value without its places.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(truth) => Value::Bool(truth),
            NodeKind::Number(number) => Value::Number(number),
            NodeKind::String(text) => Value::String(text),
            NodeKind::Sequence(items) => {
                Value::Array(items.into_iter().map(Self::into_value).collect())
            }
            NodeKind::Mapping(entries) => Value::Object(
                entries
                    .into_iter()
                    .filter_map(|(key, value)| match key.kind {
                        NodeKind::String(key) => Some((key, value.into_value())),
                        _ => None,
                    })
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// Returns the value of a key, where this is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Returns the text, where this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(&Self, &Self)> {
        let NodeKind::Mapping(entries) = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|(name, _)| name.as_str() == Some(key))
            .map(|(name, value)| (name, value))
    }
}

/// Builds nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) dialect: Dialect,
    /// What upstream accepts here, though it may not elsewhere: keys that stand twice.
    pub(super) defects: Vec<Error>,
}

/// A mapping that is not finished: its entries, and where each key is among them.
#[derive(Debug)]
pub(super) struct Entries {
    at: Mark,
    pairs: Vec<(Node, Node)>,
    index: BTreeMap<String, usize>,
    merged: Vec<(Node, Node)>,
    has_merge: bool,
}

fn node(at: Mark, kind: NodeKind) -> Node {
    Node {
        line: at.line.saturating_add(1),
        column: at.column.saturating_add(1),
        kind,
    }
}

impl Nodes {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            defects: Vec::new(),
        }
    }

    fn set(&mut self, mapping: &mut Entries, key: Node, text: &str, value: Node) {
        if let Some(old) = mapping
            .index
            .get(text)
            .and_then(|index| mapping.pairs.get_mut(*index))
        {
            let kind = ErrorKind::DuplicateKey {
                key: text.to_owned(),
                line: old.0.line,
            };
            self.defects.push(Error {
                line: key.line,
                column: key.column,
                kind,
            });
            *old = (key, value);
            return;
        }
        mapping.index.insert(text.to_owned(), mapping.pairs.len());
        mapping.pairs.push((key, value));
    }

    fn merge(
        &mut self,
        mapping: &mut Entries,
        at: Mark,
        value: Node,
        is_alias: bool,
    ) -> Result<(), Error> {
        let refuse = || fail(at, ErrorKind::MergeValue);
        let maps = match value.kind {
            NodeKind::Mapping(entries) => vec![entries],
            NodeKind::Sequence(items) if !is_alias => items
                .into_iter()
                .map(|item| match item.kind {
                    NodeKind::Mapping(entries) => Ok(entries),
                    _ => Err(refuse()),
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(refuse()),
        };
        match self.dialect {
            Dialect::Objects | Dialect::Patches => {
                if std::mem::replace(&mut mapping.has_merge, true) {
                    return Err(fail(at, ErrorKind::MergeTwice));
                }
                mapping.merged = maps.into_iter().flatten().collect();
            }
            // Settings are read in order: a `<<` overrides what stands before it, and is overridden by what stands behind it.
            Dialect::Settings => {
                for (key, value) in maps.into_iter().rev().flatten() {
                    let text = key.as_str().unwrap_or_default().to_owned();
                    match mapping
                        .index
                        .get(&text)
                        .and_then(|index| mapping.pairs.get_mut(*index))
                    {
                        Some(old) => *old = (key, value),
                        None => self.set(mapping, key, &text, value),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Build for Nodes {
    type Item = Node;
    type Mapping = Entries;

    fn scalar(&mut self, at: Mark, scalar: Scalar<'_>) -> Result<Node, Error> {
        let meaning = match (resolve(&scalar, self.dialect), self.dialect) {
            (Ok(Meaning::Float(number)), Dialect::Settings) if !number.is_finite() => {
                return Err(fail(at, ErrorKind::NotFinite(scalar.text.into_owned())));
            }
            (Ok(meaning), _) => meaning,
            (Err(_), Dialect::Objects | Dialect::Patches) => Meaning::Text,
            (Err(kind), Dialect::Settings) => return Err(fail(at, kind)),
        };
        let text = match self.dialect {
            Dialect::Objects | Dialect::Patches => scalar.refolded(),
            Dialect::Settings => scalar.text.into_owned(),
        };
        let kind = match scalar_value(meaning, text) {
            Some(Value::Bool(truth)) => NodeKind::Bool(truth),
            Some(Value::Number(number)) => NodeKind::Number(number),
            Some(Value::String(text)) => NodeKind::String(text),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => NodeKind::Null,
        };
        Ok(node(at, kind))
    }

    fn sequence(&mut self, at: Mark, items: Vec<Node>, _layout: Layout) -> Node {
        node(at, NodeKind::Sequence(items))
    }

    fn mapping(&mut self, at: Mark, _level: Level, _layout: Layout) -> Entries {
        Entries {
            at,
            pairs: Vec::new(),
            index: BTreeMap::new(),
            merged: Vec::new(),
            has_merge: false,
        }
    }

    fn entry(
        &mut self,
        mapping: &mut Entries,
        at: Mark,
        key: Key<'_, Node>,
        value: Node,
        is_alias: bool,
    ) -> Result<(), Error> {
        let text = match (key, self.dialect) {
            (Key::Scalar(scalar), Dialect::Objects | Dialect::Patches) => {
                match name_of(scalar, self.dialect) {
                    Name::Merge => return self.merge(mapping, at, value, is_alias),
                    Name::Text(text) | Name::Other(text) => text,
                    Name::Null => "null".to_owned(),
                }
            }
            (Key::Scalar(scalar), Dialect::Settings) => {
                match resolve(&scalar, self.dialect).map_err(|kind| fail(at, kind))? {
                    Meaning::Merge => return self.merge(mapping, at, value, is_alias),
                    meaning => json_key(meaning, &scalar.text).ok_or_else(|| {
                        fail(at, ErrorKind::NonTextKey(scalar.text.clone().into_owned()))
                    })?,
                }
            }
            (
                Key::Item(Node {
                    kind: NodeKind::String(text),
                    ..
                }),
                _,
            ) => text,
            (
                Key::Item(Node {
                    kind: NodeKind::Bool(truth),
                    ..
                }),
                _,
            ) => truth.to_string(),
            (
                Key::Item(Node {
                    kind: NodeKind::Number(number),
                    ..
                }),
                _,
            ) => number.to_string(),
            (Key::Item(_), Dialect::Objects | Dialect::Patches) => return Ok(()),
            (Key::Item(_), Dialect::Settings) => {
                return Err(fail(
                    at,
                    ErrorKind::NonTextKey("a list, a mapping or null".to_owned()),
                ));
            }
        };
        let key = node(at, NodeKind::String(text.clone()));
        self.set(mapping, key, &text, value);
        Ok(())
    }

    fn finish(&mut self, mut mapping: Entries) -> Result<Node, Error> {
        for (key, value) in std::mem::take(&mut mapping.merged) {
            let text = key.as_str().unwrap_or_default().to_owned();
            if !mapping.index.contains_key(&text) {
                self.set(&mut mapping, key, &text, value);
            }
        }
        Ok(node(mapping.at, NodeKind::Mapping(mapping.pairs)))
    }
}

/// A key of settings as text: numbers and booleans are written out; nothing else that is not text can be.
fn json_key(meaning: Meaning, text: &str) -> Option<String> {
    match meaning {
        Meaning::Text | Meaning::Merge => Some(text.to_owned()),
        Meaning::Date(_) => Some(text.to_owned()),
        Meaning::Binary(text) => Some(text),
        Meaning::Bool(truth) => Some(truth.to_string()),
        Meaning::Signed(number) => Some(number.to_string()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "upstream writes such keys with the precision of 32 bits"
        )]
        Meaning::Float(number) if number.is_finite() => {
            Some(number::general_float(f64::from(number as f32)))
        }
        Meaning::Float(number) => Some(
            if number.is_nan() {
                ".nan"
            } else if number > 0.0 {
                ".inf"
            } else {
                "-.inf"
            }
            .to_owned(),
        ),
        Meaning::Null | Meaning::Unsigned(_) => None,
    }
}
