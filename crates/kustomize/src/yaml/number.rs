//! Numbers: how they are read, and how upstream's libraries write them.
//!
//! Enters: text, or a float. Leaves: integers of 64 bits as they are, all else as a float; text in Go's formats.
//! Never: infinities or not-a-number: those are named, not computed.

use super::meaning::Meaning;

/// Reads an integer or a float: decimal, `0x`, `0o`, `0b`, or octal with a leading zero, with underscores anywhere.
/// `signs` says whether a sign may stand behind `0o`.
pub(super) fn parse(text: &str, signs: bool) -> Option<Meaning> {
    let without;
    let text = if text.contains('_') {
        without = text.replace('_', "");
        without.as_str()
    } else {
        text
    };
    parse_integer(text)
        .or_else(|| parse_decimal(text).map(Meaning::Float))
        .or_else(|| parse_prefixed(text, signs))
}

/// Reads an integer by its prefix: a sign, and `0x`, `0o`, `0b` or `0` in front of the digits.
fn parse_integer(text: &str) -> Option<Meaning> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', b'o' | b'O', ..] => (&unsigned[2..], 8),
        [b'0', b'b' | b'B', ..] => (&unsigned[2..], 2),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    let signed = if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    };
    match signed {
        Some(number) => Some(Meaning::Signed(number)),
        // A number beyond 63 bits is an integer only without a sign.
        None if unsigned.len() == text.len() => Some(Meaning::Unsigned(magnitude)),
        None => None,
    }
}

/// Reads what only the YAML libraries take for a number: a sign behind `0b` or `0o`.
fn parse_prefixed(text: &str, signs: bool) -> Option<Meaning> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'b', ..] => (text.get(2..)?, 2),
        [b'0', b'o', ..] if signs => (text.get(2..)?, 8),
        _ => return None,
    };
    i64::from_str_radix(digits, radix).ok().map(Meaning::Signed)
}

/// Reads a float that begins with its point; an underscore may stand between two digits.
pub(super) fn parse_fraction(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return parse_decimal(text);
    }
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let separates =
        |at: usize| at > 0 && is_digit(bytes.get(at - 1)) && is_digit(bytes.get(at + 1));
    let all_separate = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'_' || separates(at));
    if all_separate {
        parse_decimal(&text.replace('_', ""))
    } else {
        None
    }
}

/// Reads digits with an optional sign, fraction and exponent. A number beyond the range of a float is none.
fn parse_decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
        && (!whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty()));
    if !is_number {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether text is a number in base 60 (`1:30`) for YAML 1.1, which upstream quotes though it does not read it as one.
pub(super) fn is_base_60(text: &str) -> bool {
    if !text.starts_with(['+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        || !text.contains(':')
    {
        return false;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (groups, fraction) = match unsigned.split_once('.') {
        Some((groups, fraction)) => (groups, Some(fraction)),
        None => (unsigned, None),
    };
    let is_digit_or_underscore = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut groups = groups.split(':');
    let first = groups.next().unwrap_or_default();
    let is_sixty = |group: &str| match group.as_bytes() {
        [last] => last.is_ascii_digit(),
        [first, last] => matches!(first, b'0'..=b'5') && last.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|first: char| first.is_ascii_digit())
        && first.bytes().all(is_digit_or_underscore)
        && groups.all(is_sixty)
        && fraction.is_none_or(|fraction| fraction.bytes().all(is_digit_or_underscore))
}

/// Writes a finite float as Go's `encoding/json` does: without an exponent between 1e-6 and 1e21.
pub(super) fn json_float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let (digits, exponent) = shortest(number);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs()).replace("e-0", "e-");
    }
    format!("{number}")
}

/// Writes a finite float as Go's `strconv` does with the shortest precision: with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn general_float(number: f64) -> String {
    let (digits, exponent) = shortest(number);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    format!("{number}")
}

/// The shortest digits that read back as the number, with a point behind the first, and the decimal exponent.
fn shortest(number: f64) -> (String, i32) {
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => (digits.to_owned(), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}
