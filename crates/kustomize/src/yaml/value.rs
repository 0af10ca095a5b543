//! The tree as JSON values: objects and patches.
//!
//! Enters: scalars, lists, mappings. Leaves: a `serde_json::Value`, and what upstream would refuse to print.
//! Never: places, but for those of defects.

use serde_json::{Map, Number, Value};

use super::build::{Build, Form, Key, Layout, Level, Scalar, Tag, fail};
use super::cursor::Mark;
use super::date::Date;
use super::dialect::Dialect;
use super::error::{Error, ErrorKind};
use super::meaning::Meaning;
use super::number;
use super::resolve::{is_surely_text, is_text, resolve};

/// How a scalar is spelled whose value does not tell its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelled {
    /// Without quotes or tag.
    Plain,
    /// Not at all, inside of braces or brackets.
    Blank,
    /// As `!!binary`.
    Binary,
    /// With quotes that it does not need.
    Quoted,
    /// As folded text (`>`), which upstream may read otherwise once it has written it.
    Folded,
    /// As a key of a patch that stood in the mapping before.
    Twice,
    /// As a key of a patch that is a number or boolean.
    Untext,
    /// As text that begins with a null character, which other values of the caller may begin with too.
    Text,
}

/// Makes the value of such a scalar.
pub(super) type Hold = fn(Spelled, &str) -> Value;

/// Builds values.
#[derive(Debug)]
pub(super) struct Values {
    /// What was found that makes upstream fail, though not before it prints the object.
    pub(super) defects: Vec<Error>,
    hold: Option<Hold>,
    dialect: Dialect,
}

/// A mapping that is not finished.
#[derive(Debug)]
pub(super) struct Entries {
    map: Map<String, Value>,
    level: Level,
    merged: Option<Vec<Map<String, Value>>>,
}

/// A scalar as a value; `None` where it is a number or a date that JSON cannot hold.
pub(super) fn scalar_value(meaning: Meaning, text: String) -> Option<Value> {
    Some(match meaning {
        Meaning::Null => Value::Null,
        Meaning::Bool(truth) => Value::Bool(truth),
        Meaning::Signed(number) => Value::Number(number.into()),
        Meaning::Unsigned(number) => Value::Number(number.into()),
        Meaning::Float(number) => Value::Number(float(number)?),
        Meaning::Date(Date::Text(date)) => Value::String(date),
        Meaning::Date(Date::TooFar) => return None,
        Meaning::Binary(text) => Value::String(text),
        Meaning::Merge | Meaning::Text => Value::String(text),
    })
}

/// What a scalar without quotes stands for in an object. `None` where it is a number or a date that JSON cannot hold.
pub(crate) fn plain(text: &str) -> Option<Value> {
    let scalar = Scalar {
        text: text.into(),
        form: Form::Plain,
        tag: None,
    };
    match resolve(&scalar, Dialect::Objects) {
        Ok(meaning) => scalar_value(meaning, text.to_owned()),
        Err(_) => Some(Value::String(text.to_owned())),
    }
}

/// Whether a scalar is printed otherwise than it is spelled.
fn is_unusual(meaning: &Meaning, text: &str) -> bool {
    match meaning {
        Meaning::Null => text != "null",
        Meaning::Bool(true) => text != "true",
        Meaning::Bool(false) => text != "false",
        Meaning::Signed(number) => number.to_string() != text,
        Meaning::Unsigned(number) => number.to_string() != text,
        Meaning::Float(number) => number.fract() == 0.0 || number::general_float(*number) != text,
        Meaning::Date(_) | Meaning::Binary(_) => true,
        Meaning::Merge | Meaning::Text => false,
    }
}

/// A float as upstream holds it once it has gone through JSON text: whole numbers of up to 64 bits become integers.
fn float(number: f64) -> Option<Number> {
    if number.is_finite()
        && number.fract() == 0.0
        && let Some(whole) = match number::parse(&number::json_float(number), false) {
            Some(Meaning::Signed(whole)) => Some(whole.into()),
            Some(Meaning::Unsigned(whole)) => Some(whole.into()),
            _ => None,
        }
    {
        return Some(whole);
    }
    Number::from_f64(number)
}

/// What is merged by a `<<`: the mappings, the one that wins first.
pub(super) fn merged_maps(
    at: Mark,
    value: Value,
    is_alias: bool,
) -> Result<Vec<Map<String, Value>>, Error> {
    let refuse = || fail(at, ErrorKind::MergeValue);
    match value {
        Value::Object(map) => Ok(vec![map]),
        Value::Array(items) if !is_alias => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(map),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => Err(refuse()),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(refuse())
        }
    }
}

/// Whether a text in quotes, which may be a date, would be the same without. A text of several lines shows that it is not plain.
fn is_quoted_in_vain(text: &str) -> bool {
    let is_same = || matches!(plain(text), Some(Value::String(same)) if same == text);
    !text.contains('\n') && (is_text(text) || is_same())
}

/// What a key is.
pub(super) enum Name {
    Text(String),
    Merge,
    /// Not text, with how it is written.
    Other(String),
    Null,
}

pub(super) fn name_of(scalar: Scalar<'_>, dialect: Dialect) -> Name {
    if scalar.tag.is_none()
        && (!scalar.is_plain() || scalar.text.is_empty() || is_surely_text(&scalar.text))
    {
        // A key that is left out is empty text, because upstream writes it with quotes before it reads it again.
        return Name::Text(scalar.text.into_owned());
    }
    let is_text_tag = matches!(
        scalar.tag,
        None | Some(Tag::Text | Tag::Unspecific | Tag::Merge | Tag::Blank | Tag::TabInBlock)
    );
    match resolve(&scalar, dialect) {
        Ok(Meaning::Text) if is_text_tag => Name::Text(scalar.text.into_owned()),
        Ok(Meaning::Merge) => Name::Merge,
        Ok(Meaning::Null) => Name::Null,
        Ok(_) | Err(_) => Name::Other(scalar.text.into_owned()),
    }
}

impl Values {
    pub(super) fn new(hold: Option<Hold>, dialect: Dialect) -> Self {
        Self {
            defects: Vec::new(),
            hold,
            dialect,
        }
    }

    fn defect(&mut self, at: Mark, kind: ErrorKind) {
        self.defects.push(fail(at, kind));
    }
}

impl Build for Values {
    type Item = Value;
    type Mapping = Entries;

    fn scalar(&mut self, at: Mark, scalar: Scalar<'_>) -> Result<Value, Error> {
        if scalar.tag == Some(Tag::TabInBlock) {
            self.defect(at, ErrorKind::TabInBlock);
            return Ok(Value::String(scalar.text.into_owned()));
        }
        if let (Some(Tag::Blank), Some(hold)) = (scalar.tag, self.hold) {
            return Ok(hold(Spelled::Blank, &scalar.text));
        }
        if scalar.tag.is_none() && (!scalar.is_plain() || is_surely_text(&scalar.text)) {
            return Ok(match self.hold {
                Some(hold) if scalar.text.starts_with('\0') => hold(Spelled::Text, &scalar.text),
                Some(hold) if scalar.form == Form::Folded => hold(Spelled::Folded, &scalar.text),
                Some(hold) if !scalar.is_plain() && is_quoted_in_vain(&scalar.text) => {
                    hold(Spelled::Quoted, &scalar.text)
                }
                _ => Value::String(scalar.refolded()),
            });
        }
        match resolve(&scalar, Dialect::Objects) {
            Ok(meaning) => {
                let text = scalar.text.into_owned();
                match (&meaning, self.hold) {
                    (Meaning::Binary(_), Some(hold)) => return Ok(hold(Spelled::Binary, &text)),
                    // With a tag it may be another value than without.
                    (_, Some(hold)) if scalar.tag.is_none() && is_unusual(&meaning, &text) => {
                        return Ok(hold(Spelled::Plain, &text));
                    }
                    (Meaning::Float(number), _) if !number.is_finite() => {
                        self.defect(at, ErrorKind::NotFinite(text.clone()));
                    }
                    (Meaning::Date(Date::TooFar), _) => {
                        self.defect(at, ErrorKind::Date(text.clone()));
                    }
                    _ => {}
                }
                Ok(scalar_value(meaning, text).unwrap_or_default())
            }
            Err(kind) => {
                self.defect(at, kind);
                Ok(Value::String(scalar.text.into_owned()))
            }
        }
    }

    fn sequence(&mut self, _at: Mark, items: Vec<Value>, _layout: Layout) -> Value {
        Value::Array(items)
    }

    fn mapping(&mut self, _at: Mark, level: Level, _layout: Layout) -> Entries {
        Entries {
            map: Map::new(),
            level,
            merged: None,
        }
    }

    fn entry(
        &mut self,
        mapping: &mut Entries,
        at: Mark,
        key: Key<'_, Value>,
        value: Value,
        is_alias: bool,
    ) -> Result<(), Error> {
        let name = match key {
            Key::Scalar(scalar) => name_of(scalar, Dialect::Objects),
            Key::Item(Value::String(text)) => {
                let mark = self.hold.map(|hold| hold(Spelled::Quoted, ""));
                let mark = mark.as_ref().and_then(Value::as_str).unwrap_or_default();
                Name::Text(text.strip_prefix(mark).unwrap_or(&text).to_owned())
            }
            Key::Item(Value::Null) => Name::Null,
            Key::Item(Value::Array(_) | Value::Object(_)) => {
                self.defect(at, ErrorKind::NonTextKey("a list or mapping".to_owned()));
                return Ok(());
            }
            Key::Item(item) => Name::Other(item.to_string()),
        };
        let text = match name {
            // Upstream removes every `<<`, even one in quotes that merges nothing.
            Name::Text(text) | Name::Other(text) if text == "<<" => return Ok(()),
            Name::Text(text) => text,
            Name::Merge => {
                if mapping.merged.is_some() {
                    return Err(fail(at, ErrorKind::MergeTwice));
                }
                mapping.merged = Some(merged_maps(at, value, is_alias)?);
                return Ok(());
            }
            // Upstream reads the outermost keys as text, whatever they look like.
            Name::Other(text) if mapping.level == Level::Root => text,
            Name::Null => {
                self.defect(at, ErrorKind::NonTextKey("null".to_owned()));
                return Ok(());
            }
            Name::Other(text) => {
                match self.hold {
                    // It counts only where the mapping that is patched has no such key.
                    Some(hold) if self.dialect == Dialect::Patches => {
                        if let Value::String(untext) = hold(Spelled::Untext, &text) {
                            mapping.map.insert(untext, Value::Null);
                        }
                    }
                    Some(_) | None => self.defect(at, ErrorKind::NonTextKey(text.clone())),
                }
                text
            }
        };
        match mapping.map.entry(text) {
            serde_json::map::Entry::Vacant(vacant) => {
                vacant.insert(value);
            }
            serde_json::map::Entry::Occupied(occupied) => {
                let key = occupied.key().clone();
                match self.hold {
                    // A patch is merged key by key; what stands twice matters only where a whole mapping is taken over.
                    Some(hold) if self.dialect == Dialect::Patches => {
                        if let Value::String(twice) = hold(Spelled::Twice, &key) {
                            let is_third = mapping.map.contains_key(&twice);
                            // A third one is never all that is left.
                            let value = if is_third { Value::Null } else { value };
                            mapping.map.insert(twice, value);
                        }
                    }
                    Some(_) | None => self.defect(at, ErrorKind::DuplicateKey { key, line: 0 }),
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, mapping: Entries) -> Result<Value, Error> {
        let mut map = mapping.map;
        for merged in mapping.merged.into_iter().flatten() {
            for (key, value) in merged {
                map.entry(key).or_insert(value);
            }
        }
        Ok(Value::Object(map))
    }
}
