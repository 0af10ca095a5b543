//! Canonical JSON and its hash.
//!
//! Enters: a JSON value.
//! Leaves: its canonical bytes (RFC 8785 for what we write: sorted keys, shortest text; integers stay exact).
//! Never: a formatting choice that depends on the order in which a map was filled.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Returns the hex SHA-256 of `bytes`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _written = write!(hex, "{byte:02x}");
    }
    hex
}

/// Returns the canonical JSON of `value`: keys sorted by UTF-16 code units, no white space, minimal escapes.
///
/// Integers are written exactly, also above 2^53, where RFC 8785 by itself would round:
/// the render digest needs them exact (DESIGN.md, Words). Who writes a record gives such integers as strings.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // UTF-16 order differs from UTF-8 order only beyond the basic plane.
            if entries
                .iter()
                .any(|(key, _)| key.bytes().any(|byte| byte >= 0xf0))
            {
                entries.sort_by_cached_key(|(key, _)| key.encode_utf16().collect::<Vec<_>>());
            } else {
                entries.sort_unstable_by_key(|(key, _)| key.as_str());
            }
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_value(item, out);
            }
            out.push('}');
        }
    }
}

fn write_number(number: &serde_json::Number, out: &mut String) {
    if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        write_float(float, out);
    } else {
        let _written = write!(out, "{number}");
    }
}

/// Writes a float as ECMAScript does (RFC 8785, 3.2.2.3).
fn write_float(float: f64, out: &mut String) {
    if float == 0.0 {
        out.push('0');
        return;
    }
    let magnitude = float.abs();
    if (1e-6..1e21).contains(&magnitude) {
        let _written = write!(out, "{float}");
    } else {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        let _written = write!(out, "{mantissa}e{sign}{exponent}");
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let _written = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_by_utf16_code_units() {
        // The example of RFC 8785, 3.2.3.
        let value: Value = serde_json::from_str(
            "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
        )
        .unwrap();
        assert_eq!(
            canonical_json(&value),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn numbers_are_the_shortest_and_integers_exact() {
        let value = json!([
            9_007_199_254_740_993_u64,
            -1,
            1.0,
            1e21,
            1e-7,
            4.5,
            0.002,
            333_333_333.333_333_3
        ]);
        assert_eq!(
            canonical_json(&value),
            "[9007199254740993,-1,1,1e+21,1e-7,4.5,0.002,333333333.3333333]"
        );
    }

    #[test]
    fn text_is_escaped_no_more_than_needed() {
        assert_eq!(
            canonical_json(&json!("a\u{1}\"\\/\n<é")),
            "\"a\\u0001\\\"\\\\/\\n<é\""
        );
    }
}
