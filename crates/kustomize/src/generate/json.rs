//! JSON as Go writes it: sorted keys, `<`, `>` and `&` escaped.

use serde_json::Value;

use crate::yaml;

/// Compact, or indented by two spaces.
pub(crate) fn go_json(value: &Value, pretty: bool) -> String {
    let mut out = String::new();
    write_value(value, &mut out, pretty.then_some(0));
    out
}

/// As YAML, without the line break at the end.
pub(crate) fn go_yaml(value: &Value) -> String {
    let mut out = String::new();
    match yaml::emit(value, &mut out) {
        Ok(()) => out.trim().to_owned(),
        // What YAML cannot hold, JSON can, and JSON is YAML.
        Err(_) => go_json(value, false),
    }
}

fn write_value(value: &Value, out: &mut String, indent: Option<usize>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            let entries = items.iter().map(|item| (None, item)).collect();
            write_entries(entries, ('[', ']'), out, indent);
        }
        Value::Object(fields) => {
            let mut entries: Vec<_> = fields
                .iter()
                .map(|(key, value)| (Some(key), value))
                .collect();
            entries.sort_by_key(|(key, _)| *key);
            write_entries(entries, ('{', '}'), out, indent);
        }
    }
}

fn write_entries(
    entries: Vec<(Option<&String>, &Value)>,
    (open, close): (char, char),
    out: &mut String,
    indent: Option<usize>,
) {
    out.push(open);
    let inner = indent.map(|indent| indent + 1);
    let empty = entries.is_empty();
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        new_line(out, inner);
        if let Some(key) = key {
            write_text(key, out);
            out.push_str(if inner.is_some() { ": " } else { ":" });
        }
        write_value(value, out, inner);
    }
    if !empty {
        new_line(out, indent);
    }
    out.push(close);
}

fn new_line(out: &mut String, indent: Option<usize>) {
    if let Some(indent) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", indent));
    }
}

fn write_number(number: &serde_json::Number, out: &mut String) {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        out.push_str(&number.to_string());
        return;
    };
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent
            .strip_prefix('-')
            .map_or(("+", exponent), |digits| ("-", digits));
        out.push_str(mantissa);
        out.push('e');
        out.push_str(sign);
        if digits.len() < 2 {
            out.push('0');
        }
        out.push_str(digits);
    } else {
        out.push_str(&float.to_string());
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let code = u32::from(c);
                out.push_str("\\u");
                out.extend(
                    [12, 8, 4, 0]
                        .map(|shift| char::from_digit((code >> shift) & 15, 16).unwrap_or('0')),
                );
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_go_writes_it() {
        let value = json!({"b": ["<&>", 1.0, 1e21], "a": {}});
        assert_eq!(
            go_json(&value, false),
            r#"{"a":{},"b":["\u003c\u0026\u003e",1,1e+21]}"#
        );
        assert_eq!(
            go_json(&json!({"a": [1]}), true),
            "{\n  \"a\": [\n    1\n  ]\n}"
        );
    }
}
