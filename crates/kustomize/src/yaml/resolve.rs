//! What a scalar means.
//!
//! Enters: a scalar and the dialect. Leaves: null, a boolean, a number, a date, or text. Never: a place in the file.
//!
//! Source: the resolution rules of upstream's two YAML libraries, and the table of the oracle in `testdata/scalars.json`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::build::{Scalar, Tag};
use super::date;
use super::dialect::Dialect;
use super::error::ErrorKind;
use super::meaning::Meaning;
use super::number;

/// Resolves a scalar.
///
/// # Errors
/// When the tag does not fit the text.
pub(super) fn resolve(scalar: &Scalar<'_>, dialect: Dialect) -> Result<Meaning, ErrorKind> {
    match scalar.tag {
        Some(Tag::Blank) if scalar.is_plain() => Ok(Meaning::Null),
        None if scalar.is_plain() => Ok(resolve_plain(&scalar.text, dialect)),
        Some(Tag::Unspecific) if dialect != Dialect::Settings && scalar.is_plain() => {
            Ok(resolve_plain(&scalar.text, dialect))
        }
        None | Some(Tag::Text | Tag::TabInBlock | Tag::Blank | Tag::Unspecific | Tag::Other) => {
            Ok(Meaning::Text)
        }
        Some(Tag::Merge) => Ok(Meaning::Merge),
        Some(Tag::Binary) => binary(&scalar.text),
        Some(tag @ (Tag::Null | Tag::Bool | Tag::Integer | Tag::Float | Tag::Timestamp)) => {
            tagged(tag, &scalar.text, dialect)
        }
    }
}

/// Whether plain text is surely text: no number, date, boolean, null or `<<` begins like it.
pub(super) fn is_surely_text(text: &str) -> bool {
    match text.as_bytes() {
        [] | [b'+' | b'-' | b'.' | b'0'..=b'9' | b'~' | b'<', ..] => false,
        [
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O',
            ..,
        ] => text.len() > 5,
        _ => true,
    }
}

/// Whether a scalar without quotes is text in an object.
pub(super) fn is_text(text: &str) -> bool {
    resolve_plain(text, Dialect::Objects) == Meaning::Text
}

/// Whether a scalar without quotes is a date with a time of day.
pub(super) fn is_time(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.contains(':')
        && date::parse(text).is_some()
}

fn resolve_plain(text: &str, dialect: Dialect) -> Meaning {
    if is_surely_text(text) {
        return Meaning::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
        "true" | "True" | "TRUE" => Meaning::Bool(true),
        "false" | "False" | "FALSE" => Meaning::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if dialect == Dialect::Settings => {
            Meaning::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if dialect == Dialect::Settings => {
            Meaning::Bool(false)
        }
        "<<" => Meaning::Merge,
        _ => match numeric(text, dialect).or_else(|| date::parse(text).map(Meaning::Date)) {
            // Settings keep dates as they are written.
            Some(Meaning::Date(_)) if dialect == Dialect::Settings => Meaning::Text,
            Some(meaning) => meaning,
            None => Meaning::Text,
        },
    }
}

/// Whether the printing library would take plain text for something other than text.
pub(super) fn needs_quotes(text: &str) -> bool {
    if is_surely_text(text) {
        return false;
    }
    !matches!(
        resolve_plain(text, Dialect::Settings),
        Meaning::Text | Meaning::Merge
    ) || date::parse(text).is_some()
        || number::is_base_60(text)
}

fn numeric(text: &str, dialect: Dialect) -> Option<Meaning> {
    match text.as_bytes().first()? {
        b'.' => match text {
            ".nan" | ".NaN" | ".NAN" => Some(Meaning::Float(f64::NAN)),
            ".inf" | ".Inf" | ".INF" => Some(Meaning::Float(f64::INFINITY)),
            _ => number::parse_fraction(text).map(Meaning::Float),
        },
        b'+' | b'-' | b'0'..=b'9' => match text {
            "+.inf" | "+.Inf" | "+.INF" => Some(Meaning::Float(f64::INFINITY)),
            "-.inf" | "-.Inf" | "-.INF" => Some(Meaning::Float(f64::NEG_INFINITY)),
            _ => number::parse(text, dialect != Dialect::Settings),
        },
        _ => None,
    }
}

fn tagged(tag: Tag, text: &str, dialect: Dialect) -> Result<Meaning, ErrorKind> {
    // A date is only looked for where no other tag is given.
    let meaning = match resolve_plain(text, dialect) {
        Meaning::Date(_) | Meaning::Text if tag != Tag::Timestamp => {
            numeric(text, dialect).unwrap_or(Meaning::Text)
        }
        meaning => meaning,
    };
    let mismatch = |tag| {
        Err(ErrorKind::TagMismatch {
            tag,
            text: text.chars().take(40).collect(),
        })
    };
    match (tag, meaning) {
        (Tag::Null, meaning @ Meaning::Null)
        | (Tag::Bool, meaning @ Meaning::Bool(_))
        | (Tag::Integer, meaning @ (Meaning::Signed(_) | Meaning::Unsigned(_)))
        | (Tag::Float, meaning @ Meaning::Float(_))
        | (Tag::Timestamp, meaning @ Meaning::Date(_)) => Ok(meaning),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a float")]
        (Tag::Float, Meaning::Signed(number)) => Ok(Meaning::Float(number as f64)),
        (Tag::Timestamp, Meaning::Text)
            if dialect == Dialect::Settings && date::parse(text).is_some() =>
        {
            Ok(Meaning::Text)
        }
        (Tag::Null, _) => mismatch("!!null"),
        (Tag::Bool, _) => mismatch("!!bool"),
        (Tag::Integer, _) => mismatch("!!int"),
        (Tag::Float, _) => mismatch("!!float"),
        (Tag::Timestamp, _) => mismatch("!!timestamp"),
        (
            Tag::Text
            | Tag::TabInBlock
            | Tag::Blank
            | Tag::Binary
            | Tag::Merge
            | Tag::Unspecific
            | Tag::Other,
            meaning,
        ) => Ok(meaning),
    }
}

pub(super) fn binary(text: &str) -> Result<Meaning, ErrorKind> {
    /// Padding is needed, and unused bits may be anything, as in Go.
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let compact: String = text
        .chars()
        .filter(|character| !matches!(character, '\n' | '\r'))
        .collect();
    match ENGINE.decode(compact) {
        Ok(bytes) => Ok(Meaning::Binary(lossy(&bytes))),
        Err(_invalid) => Err(ErrorKind::Base64),
    }
}

/// Replaces each byte that is not UTF-8, as upstream does when it writes JSON.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push('\u{FFFD}'));
    }
    text
}
