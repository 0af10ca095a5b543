//! Quantities of Kubernetes: `100m`, `1.5Gi`, `2e3`.
//!
//! Enters: text or a number.
//! Leaves: billionths of the unit, exact.
//! Never: a guess: what is no quantity, or does not fit, is None.

use serde_json::Value;

/// Billionths of a unit: the smallest step that Kubernetes knows is `1n`.
const BILLION: i128 = 1_000_000_000;

/// Longest text that is read: a quantity has a mantissa of 64 bits.
const LONGEST: usize = 40;

/// Reads a quantity.
pub(super) fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    if text.len() > LONGEST {
        return None;
    }
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-'))
        .unwrap_or(text.len());
    let (mantissa, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let negative = whole.starts_with('-');
    let digits = format!("{}{fraction}", whole.trim_start_matches(['+', '-']));
    let number: i128 = digits.parse().ok()?;
    let scaled = number
        .checked_mul(BILLION / divisor(suffix))?
        .checked_mul(factor(suffix)?)?;
    let tens = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let exact = scaled / tens;
    Some(if negative { -exact } else { exact })
}

fn divisor(suffix: &str) -> i128 {
    match suffix {
        "n" => BILLION,
        "u" => 1_000_000,
        "m" => 1_000,
        _ => 1,
    }
}

fn factor(suffix: &str) -> Option<i128> {
    let decimal = |power| Some(10_i128.pow(power));
    let binary = |power| Some(1_i128 << (10 * power));
    match suffix {
        "" | "n" | "u" | "m" => Some(1),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let power = exponent.strip_prefix(['e', 'E'])?;
            10_i128.checked_pow(power.parse().ok()?)
        }
    }
}

/// Prints a quantity of a resource for people: millis of CPU, Mi of memory, else whole units.
pub(super) fn shown(resource: &str, amount: i128) -> String {
    if resource.ends_with("cpu") {
        format!("{}m", amount / (BILLION / 1000))
    } else if resource.ends_with("memory") {
        format!("{}Mi", amount / BILLION / (1 << 20))
    } else {
        (amount / BILLION).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            (json!("100m"), BILLION / 10),
            (json!(2), 2 * BILLION),
            (json!("0.5"), BILLION / 2),
            (json!("1.5Gi"), BILLION * 3 * (1 << 29)),
            (json!("128M"), BILLION * 128_000_000),
            (json!("2e3"), BILLION * 2000),
            (json!("1E"), BILLION * 1_000_000_000_000_000_000),
            (json!("500n"), 500),
            (json!("-1"), -BILLION),
        ] {
            assert_eq!(quantity(&text), Some(expected), "{text}");
        }
        for none in [json!("much"), json!(""), json!("1Zi"), json!(null)] {
            assert_eq!(quantity(&none), None, "{none}");
        }
        assert_eq!(quantity(&json!("9".repeat(41))), None);
        assert_eq!(quantity(&json!("1e99999")), None);
        assert_eq!(shown("requests.cpu", BILLION * 3 / 2), "1500m");
        assert_eq!(shown("limits.memory", BILLION << 30), "1024Mi");
        assert_eq!(shown("pods", 3 * BILLION), "3");
    }
}
