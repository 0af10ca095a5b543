//! Scalars as YAML text and back.
//! Enters: a value, or the text of a plain scalar.
//! Leaves: the text that stands for the value, or the value that the text stands for.

use serde_json::{Number, Value};

/// The text of a scalar; empty for mappings, sequences and absent values, as upstream's nodes have it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
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
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// What a plain scalar stands for, by the rules of yaml.v3.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return Some(integer);
    }
    is_float(&plain)
        .then(|| plain.parse::<f64>().ok())
        .flatten()
        .and_then(Number::from_f64)
}

fn integer(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(Number::from(size));
    }
    let signed = i128::from(size).checked_neg()?;
    i64::try_from(signed).ok().map(Number::from)
}

fn is_float(plain: &str) -> bool {
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some(("", after)) => numeric(after),
        Some((before, after)) => numeric(before) && (after.is_empty() || numeric(after)),
        None => numeric(mantissa),
    };
    whole
        && exponent
            .is_none_or(|exponent| numeric(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

/// Whether a key that is written without quotes reads as a text again. Upstream writes the keys that it adds without quotes,
/// and fails to print an object with a key that is no text.
pub(crate) fn is_plain_key(key: &str) -> bool {
    matches!(resolve(key), Value::String(_)) && key != "<<"
}

/// Writes a text over a scalar whose type stays: a number stays a number if the text is one.
/// `None` where the text does not fit the type.
pub(crate) fn retyped(old: &Value, text: &str) -> Option<Value> {
    let new = resolve(text);
    match (old, &new) {
        (Value::String(_) | Value::Array(_) | Value::Object(_), _) => {
            Some(Value::String(text.to_owned()))
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => Some(new),
        (Value::Number(old), Value::Number(number)) if old.is_f64() || !number.is_f64() => {
            Some(new)
        }
        (Value::Number(_) | Value::Bool(_) | Value::Null, _) => None,
    }
}

/// Writes a text over a scalar without saying a type, as upstream does for names and images:
/// a text that looks like a number becomes one unless the old value must have been quoted.
pub(crate) fn untyped(old: &Value, text: String) -> Value {
    match old {
        Value::String(old) if !matches!(resolve(old), Value::String(_)) => Value::String(text),
        _ => match resolve(&text) {
            Value::Null => Value::String(text),
            other => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_resolve_as_in_yaml_v3() {
        for (text, expected) in [
            ("8080", json!(8080)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("0x1F", json!(31)),
            ("-3", json!(-3)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("yes", json!("yes")),
            ("True", json!(true)),
            ("~", json!(null)),
            ("1.2.3", json!("1.2.3")),
            ("-", json!("-")),
            ("", json!(null)),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
