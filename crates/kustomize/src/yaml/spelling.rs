//! How scalars are spelled that are not printed as they are written: `0644`, `1.10`, `2020-01-01`, `~`, or nothing for null.
//!
//! Enters: scalars, lists, mappings. Leaves: spellings by JSON pointer. Never: the values; those are in `value.rs`.

use std::collections::BTreeMap;

use super::build::{Build, Key, Level, Scalar, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::number;
use super::parser::Dialect;
use super::resolve::{Meaning, resolve};
use super::value::{Name, name_of};

/// The text of scalars as it stands in the file, by JSON pointer: those that are not text, and are printed otherwise.
///
/// Upstream keeps this text next to the meaning, and goes by it where it takes a number or a date for text: in annotations, in names,
/// in what is replaced or substituted.
pub type Spellings = BTreeMap<String, String>;

/// Whether a scalar is printed otherwise than it is spelled.
pub(super) fn is_unusual(meaning: &Meaning, text: &str) -> bool {
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

/// A tree of spellings.
#[derive(Debug, Clone, Default)]
pub(super) enum Spelled {
    /// As it is printed.
    #[default]
    Usual,
    Unusual(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Spelled {
    /// Collects the spellings below a pointer.
    pub(super) fn collect(self, pointer: &str, spellings: &mut Spellings) {
        match self {
            Self::Usual => {}
            Self::Unusual(text) => {
                spellings.insert(pointer.to_owned(), text);
            }
            Self::List(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    item.collect(&format!("{pointer}/{index}"), spellings);
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    value.collect(&format!("{pointer}/{key}"), spellings);
                }
            }
        }
    }
}

/// Builds spellings.
#[derive(Debug, Default)]
pub(super) struct Speller;

/// A mapping that is not finished.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: BTreeMap<String, Spelled>,
    merged: Vec<Spelled>,
}

impl Build for Speller {
    type Item = Spelled;
    type Mapping = Entries;

    fn scalar(&mut self, _at: Mark, scalar: Scalar<'_>) -> Result<Spelled, Error> {
        Ok(match resolve(&scalar, Dialect::Objects) {
            Ok(meaning) if is_unusual(&meaning, &scalar.text) => {
                Spelled::Unusual(scalar.text.into_owned())
            }
            Ok(_) | Err(_) => Spelled::Usual,
        })
    }

    fn sequence(&mut self, _at: Mark, items: Vec<Spelled>) -> Spelled {
        Spelled::List(items)
    }

    fn mapping(&mut self, _at: Mark, _level: Level) -> Entries {
        Entries::default()
    }

    fn entry(
        &mut self,
        mapping: &mut Entries,
        at: Mark,
        key: Key<'_, Spelled>,
        value: Spelled,
        _is_alias: bool,
    ) -> Result<(), Error> {
        let Key::Scalar(scalar) = key else {
            return Ok(());
        };
        match name_of(scalar, Dialect::Objects) {
            Name::Text(text) | Name::Other(text) => {
                mapping.entries.entry(text).or_insert(value);
            }
            Name::Merge => match value {
                Spelled::Map(_) => mapping.merged.push(value),
                Spelled::List(items) => mapping.merged.extend(items),
                Spelled::Usual | Spelled::Unusual(_) => {
                    return Err(fail(at, ErrorKind::MergeValue));
                }
            },
            Name::Null => {}
        }
        Ok(())
    }

    fn finish(&mut self, mut mapping: Entries) -> Result<Spelled, Error> {
        for merged in mapping.merged {
            if let Spelled::Map(merged) = merged {
                for (key, value) in merged {
                    mapping.entries.entry(key).or_insert(value);
                }
            }
        }
        Ok(Spelled::Map(mapping.entries))
    }
}
