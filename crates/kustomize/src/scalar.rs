//! Scalars as YAML text and back.
//!
//! Enters: a value, or the text of a plain scalar. Leaves: the text that stands for the value, or the value that the text stands for.
//! Never: a mark in what is printed.
//!
//! Upstream holds a scalar as a text with a tag, and goes by the text where it copies, compares or joins. A value does not say its
//! text where that is unusual (`0644`, `1.10`, `~`, a date), so such a scalar is a string with a mark in front on its way through a build.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::yaml;

/// What stands before the tag and the text of a marked scalar. Texts that begin with it get the mark of a text.
pub(crate) const MARK: &str = "\u{0}\u{FDD0}";

/// The tag of a marked scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// What the text says without quotes, and that is what it stays.
    Plain,
    /// None: whatever is written over it, it is what its text says.
    Bare,
    /// A key that stands twice; it cannot be printed.
    Twice,
    /// A key that is no text; it cannot be printed.
    Untext,
    /// Text in quotes, though without it would be the same.
    Quoted,
    /// Folded text (`>`) as it was read; what is printed is what upstream makes of it.
    Folded,
    /// Text, though without quotes it would be something else, and it has none.
    Text,
    /// Nothing inside of braces or brackets: null, and printed as an empty text.
    Blank,
    /// Base64, printed decoded.
    Binary,
    /// A type that the text does not fit; it cannot be printed.
    Misfit(Type),
}

/// What a scalar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Truth,
    Whole,
    Float,
    Date,
}

impl Tag {
    const ALL: [Self; 14] = [
        Self::Quoted,
        Self::Folded,
        Self::Plain,
        Self::Bare,
        Self::Text,
        Self::Blank,
        Self::Twice,
        Self::Untext,
        Self::Binary,
        Self::Misfit(Type::Null),
        Self::Misfit(Type::Truth),
        Self::Misfit(Type::Whole),
        Self::Misfit(Type::Float),
        Self::Misfit(Type::Date),
    ];

    fn letter(self) -> char {
        match self {
            Self::Plain => 'p',
            Self::Bare => 'u',
            Self::Text => 's',
            Self::Blank => 'e',
            Self::Quoted => 'q',
            Self::Folded => 'o',
            Self::Twice => '2',
            Self::Untext => 'k',
            Self::Binary => 'b',
            Self::Misfit(Type::Null) => 'n',
            Self::Misfit(Type::Truth) => 't',
            Self::Misfit(Type::Whole) => 'w',
            Self::Misfit(Type::Float) => 'f',
            Self::Misfit(Type::Date) => 'd',
        }
    }
}

/// A scalar with a mark.
pub(crate) fn marked(tag: Tag, text: &str) -> Value {
    Value::String(format!("{MARK}{}{text}", tag.letter()))
}

/// How a build holds a scalar that its value does not tell the text of.
pub(crate) fn hold(spelled: yaml::Spelled, text: &str) -> Value {
    match spelled {
        yaml::Spelled::Plain => marked(Tag::Plain, text),
        yaml::Spelled::Binary => marked(Tag::Binary, text),
        yaml::Spelled::Text => marked(Tag::Text, text),
        yaml::Spelled::Blank => marked(Tag::Blank, text),
        yaml::Spelled::Quoted => marked(Tag::Quoted, text),
        yaml::Spelled::Folded => marked(Tag::Folded, text),
        yaml::Spelled::Twice => marked(Tag::Twice, text),
        yaml::Spelled::Untext => marked(Tag::Untext, text),
    }
}

/// A text from outside, which may look like a marked scalar.
pub(crate) fn literal(text: String) -> Value {
    if text.starts_with(MARK) {
        marked(Tag::Text, &text)
    } else {
        Value::String(text)
    }
}

/// The tag and text of a marked scalar.
pub(crate) fn mark_of(value: &Value) -> Option<(Tag, &str)> {
    match value {
        Value::String(text) => mark_in(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn mark_in(text: &str) -> Option<(Tag, &str)> {
    let rest = text.strip_prefix(MARK)?;
    Tag::ALL
        .iter()
        .find_map(|tag| Some((*tag, rest.strip_prefix(tag.letter())?)))
}

/// What a scalar stands for, without a mark; anything else as it is.
pub(crate) fn meaning(value: &Value) -> Cow<'_, Value> {
    match mark_of(value) {
        None => Cow::Borrowed(value),
        Some((tag, text)) => Cow::Owned(meaning_of(tag, text).unwrap_or_default()),
    }
}

fn meaning_of(tag: Tag, text: &str) -> Option<Value> {
    match tag {
        Tag::Plain | Tag::Bare => yaml::plain(text),
        Tag::Text | Tag::Quoted | Tag::Blank => Some(Value::String(text.to_owned())),
        Tag::Folded => Some(Value::String(yaml::refolded(text))),
        Tag::Binary => yaml::binary_text(text).map(Value::String),
        Tag::Twice | Tag::Untext | Tag::Misfit(_) => None,
    }
}

/// A scalar or key that cannot be printed: its text, why, and the fields that lead to it, the innermost first.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) text: String,
    tag: Tag,
    path: Vec<String>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = &self.text;
        match self.tag {
            Tag::Twice => write!(f, "the key \"{text}\" stands twice"),
            Tag::Untext => write!(f, "the key \"{text}\" is not text; quotes make it so"),
            _ => write!(f, "\"{text}\" does not fit the type of its field"),
        }
    }
}

impl Misfit {
    /// The path from the outside.
    pub(crate) fn field_path(&self) -> String {
        let parts: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        parts.join(".")
    }
}

/// Makes nulls without a text empty texts.
pub(crate) fn fill_blanks(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((Tag::Plain | Tag::Bare, "")) = mark_in(text) {
                text.clear();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(fill_blanks),
        Value::Object(fields) => fields.values_mut().for_each(fill_blanks),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts quotes around every text of a value that has no marks.
pub(crate) fn quote(value: &mut Value) {
    match value {
        Value::String(text) => *value = quoted(text),
        Value::Array(items) => items.iter_mut().for_each(quote),
        Value::Object(fields) => fields.values_mut().for_each(quote),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Removes the marks from a whole value.
///
/// # Errors
/// The first scalar that cannot be printed; it becomes a text.
pub(crate) fn settle(value: &mut Value) -> Result<(), Misfit> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => {
            let Some((tag, text)) = mark_in(text) else {
                return Ok(());
            };
            let (meaning, text) = (meaning_of(tag, text), text.to_owned());
            if let Some(meaning) = meaning {
                *value = meaning;
                return Ok(());
            }
            *value = Value::String(text.clone());
            Err(Misfit {
                text,
                tag,
                path: Vec::new(),
            })
        }
        Value::Array(items) => {
            let mut first = Ok(());
            for (index, item) in items.iter_mut().enumerate() {
                first = first.and(settle(item).map_err(|misfit| misfit.below(&index.to_string())));
            }
            first
        }
        Value::Object(fields) => {
            let mut first = Ok(());
            for (name, field) in fields.iter_mut() {
                first = first.and(settle(field).map_err(|misfit| misfit.below(name)));
            }
            fields.retain(|name, _| {
                let mark = key_mark(name);
                if let (Some((tag, text)), Ok(())) = (mark, &first) {
                    first = Err(Misfit {
                        text: text.to_owned(),
                        tag,
                        path: vec![text.to_owned()],
                    });
                }
                mark.is_none()
            });
            first
        }
    }
}

impl Misfit {
    fn below(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }
}

/// The key under which the last value of a key that stands twice is kept.
pub(crate) fn twice(key: &str) -> String {
    format!("{MARK}{}{key}", Tag::Twice.letter())
}

/// What a key says of another one that cannot be printed, and that one.
pub(crate) fn key_mark(key: &str) -> Option<(Tag, &str)> {
    mark_in(key).filter(|(tag, _)| matches!(tag, Tag::Twice | Tag::Untext))
}

/// Whether a value is null, however that is spelled.
pub(crate) fn is_null(value: &Value) -> bool {
    match mark_of(value) {
        None => value.is_null(),
        Some((Tag::Blank, _)) => true,
        Some((tag, text)) => matches!(tag, Tag::Plain | Tag::Bare) && is_null_text(text),
    }
}

/// Whether a value is a null for which the file has nothing.
pub(crate) fn is_blank(value: &Value) -> bool {
    matches!(mark_of(value), Some((Tag::Plain, "") | (Tag::Blank, _)))
}

fn is_null_text(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The text of a scalar as it is spelled; empty for mappings, sequences and absent values, as upstream's nodes have it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => mark_in(text)
            .map_or(text.as_str(), |(_, text)| text)
            .to_owned(),
        Value::Number(number) => number_text(number),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) => String::new(),
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
            format!("{float:.1}")
        }
        _ => number.to_string(),
    }
}

pub(crate) fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Null, or nothing in it: what upstream treats as absent.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => is_null(value),
    }
}

/// The scalar that a text is without quotes, marked where its meaning does not tell the text.
pub(crate) fn plain(text: &str) -> Value {
    match yaml::plain(text) {
        Some(meaning) if is_told(&meaning, text) => meaning,
        Some(_) | None => marked(Tag::Plain, text),
    }
}

fn is_told(meaning: &Value, text: &str) -> bool {
    match meaning {
        Value::Number(number) => number.to_string() == text,
        Value::String(same) => same == text,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            self::text(meaning) == text
        }
    }
}

/// Whether a text is something else where it has no quotes.
pub(crate) fn needs_quotes(text: &str) -> bool {
    !matches!(yaml::plain(text), Some(Value::String(same)) if same == text)
}

/// Whether a key that is written without quotes reads as a text again. Upstream writes the keys that it adds without quotes,
/// and fails to print an object with a key that is no text.
pub(crate) fn is_plain_key(key: &str) -> bool {
    !needs_quotes(key) && key != "<<"
}

/// Writes a text over a scalar whose type stays: a number stays a number if the text is one.
pub(crate) fn retyped(old: &Value, text: &str) -> Value {
    if let Some((Tag::Bare, _)) = mark_of(old) {
        return marked(Tag::Bare, text);
    }
    let Some(kind) = type_of(old) else {
        return match mark_of(old) {
            Some((Tag::Binary, _)) => marked(Tag::Binary, text),
            Some((Tag::Quoted, _)) => quoted(text),
            Some((Tag::Folded, _)) => folded(text),
            None if is_quoted(old) => quoted(text),
            // A text that needs no quotes is taken to have none.
            Some(_) | None => tagged_text(text),
        };
    };
    let new = plain(text);
    let fits = match (kind, type_of(&new)) {
        (Type::Float, Some(new)) => matches!(new, Type::Float | Type::Whole),
        (kind, Some(new)) => kind == new,
        (_, None) => false,
    };
    if fits {
        new
    } else {
        marked(Tag::Misfit(kind), text)
    }
}

/// What a scalar is; `None` for text.
fn type_of(value: &Value) -> Option<Type> {
    if let Some((Tag::Misfit(kind), _)) = mark_of(value) {
        return Some(kind);
    }
    if is_null(value) {
        return Some(Type::Null);
    }
    match meaning(value).as_ref() {
        Value::Null => Some(Type::Null),
        Value::Bool(_) => Some(Type::Truth),
        Value::Number(number) if number.is_f64() => Some(Type::Float),
        Value::Number(_) if is_float_text(value) => Some(Type::Float),
        Value::Number(_) => Some(Type::Whole),
        Value::String(_) if matches!(mark_of(value), Some((Tag::Plain, _))) => Some(Type::Date),
        Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a number is spelled as a float, though it is a whole one.
pub(crate) fn is_float_text(value: &Value) -> bool {
    mark_of(value).is_some_and(|(_, text)| {
        let digits = text.trim_start_matches(['+', '-']);
        !digits.starts_with("0x") && digits.contains(['.', 'e', 'E'])
    })
}

/// A text without quotes that is to stay one.
pub(crate) fn tagged_text(text: &str) -> Value {
    if needs_quotes(text) {
        marked(Tag::Text, text)
    } else {
        Value::String(text.to_owned())
    }
}

/// The text of a scalar that is one, or that has no tag to say otherwise.
pub(crate) fn free_text(value: &Value) -> Option<String> {
    match (value, mark_of(value)) {
        (_, Some((Tag::Text | Tag::Quoted | Tag::Bare | Tag::Folded, _)))
        | (Value::String(_), None) => Some(text(value)),
        (_, _) => None,
    }
}

/// A scalar that a replacement or transformer made: no tag, no quotes.
pub(crate) fn bare(text: &str) -> Value {
    marked(Tag::Bare, text)
}

/// Nothing inside of braces.
pub(crate) fn left_out() -> Value {
    marked(Tag::Blank, "")
}

/// Whether a scalar has neither a tag nor quotes.
pub(crate) fn is_bare(value: &Value) -> bool {
    matches!(mark_of(value), Some((Tag::Bare, _)))
}

/// What a scalar becomes where an object is merged that it stays in: one without a tag, which settings would not read as text, gets
/// quotes, and so does a text that needs them.
pub(crate) fn merged_over(value: Value) -> Value {
    match mark_of(&value) {
        Some((Tag::Bare, text))
            if !text.is_empty() && !text.contains('\n') && !yaml::is_text_in_settings(text) =>
        {
            Value::String(text.to_owned())
        }
        Some((Tag::Text, text)) if !text.starts_with(MARK) => quoted(text),
        _ => value,
    }
}

/// A folded text.
pub(crate) fn folded(text: &str) -> Value {
    marked(Tag::Folded, text)
}

/// Whether a value is a folded text as it was read.
pub(crate) fn is_folded(value: &Value) -> bool {
    matches!(mark_of(value), Some((Tag::Folded, _)))
}

/// Whether a value is nothing inside of braces.
pub(crate) fn is_left_out(value: &Value) -> bool {
    matches!(mark_of(value), Some((Tag::Blank, _)))
}

/// A text in quotes.
pub(crate) fn quoted(text: &str) -> Value {
    if needs_quotes(text) {
        Value::String(text.to_owned())
    } else {
        marked(Tag::Quoted, text)
    }
}

/// Whether a scalar is a text with quotes.
pub(crate) fn is_quoted(value: &Value) -> bool {
    match value {
        Value::String(text) => match mark_in(text) {
            None => needs_quotes(text),
            Some((tag, _)) => tag == Tag::Quoted,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            false
        }
    }
}

/// Writes a text over a scalar without saying a type, as upstream does for names and images:
/// a text that looks like a number becomes one unless the old value was quoted.
pub(crate) fn untyped(old: &Value, text: &str) -> Value {
    if is_quoted(old) {
        quoted(text)
    } else if is_folded(old) {
        folded(text)
    } else {
        marked(Tag::Bare, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_are_read_as_in_objects() {
        for (text, expected) in [
            ("8080", json!(8080)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("-3", json!(-3)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000)),
            ("yes", json!("yes")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("", json!(null)),
        ] {
            assert_eq!(yaml::plain(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn unusual_scalars_keep_their_text() {
        for (spelled, expected) in [
            ("0644", json!(420)),
            ("1.10", json!(1.1)),
            ("~", json!(null)),
            ("", json!(null)),
            ("2020-01-01", json!("2020-01-01T00:00:00Z")),
            ("x", json!("x")),
            ("7", json!(7)),
        ] {
            let mut value = plain(spelled);
            assert_eq!(text(&value), spelled);
            assert_eq!(is_null(&value), expected.is_null(), "{spelled}");
            settle(&mut value).unwrap();
            assert_eq!(value, expected, "{spelled}");
        }
    }

    #[test]
    fn a_type_stays_while_the_text_fits() {
        let settled = |mut value: Value| settle(&mut value).is_ok().then_some(value);
        for (old, new, expected) in [
            (json!(1), "0x10", Some(json!(16))),
            (json!(1), "x", None),
            (json!(1), "1.5", None),
            (json!(1.5), "2", Some(json!(2))),
            (json!("1"), "2", Some(json!("2"))),
            (json!(true), "False", Some(json!(false))),
            (json!(null), "x", None),
            (plain("2020-01-01"), "x", None),
        ] {
            assert_eq!(settled(retyped(&old, new)), expected, "{old} {new}");
        }
    }
}
