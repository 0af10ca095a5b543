//! The order of keys in upstream's output.
//!
//! Enters: two keys. Leaves: which comes first. Never: a locale.
//!
//! Letters come after everything else; runs of digits compare as numbers, so that `item2` stands before `item10`. That is no order:
//! `v2` < `v10` < `v1a` < `v2`. Upstream prints such keys in another order every time; ours is the same every time.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

/// Sorts entries by their keys. The comparison is not transitive, so the standard library's sorting, which may panic then, is of
/// no use.
pub(super) fn sort_by_key<T: Copy>(entries: &mut Vec<T>, key: impl Fn(&T) -> &str) {
    let in_order = |left: &T, right: &T| natural_order(key(left), key(right)) != Ordering::Greater;
    let mut width = 1;
    while width < entries.len() {
        // Runs of this width are in order; where neighbours are too, nothing has to move.
        let is_sorted = entries
            .windows(2)
            .all(|pair| matches!(pair, [left, right] if in_order(left, right)));
        if is_sorted {
            return;
        }
        let mut merged = Vec::with_capacity(entries.len());
        for pair in entries.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
                if in_order(first, second) {
                    merged.push(*first);
                    left = left_rest;
                } else {
                    merged.push(*second);
                    right = right_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        *entries = merged;
        width *= 2;
    }
}

/// Compares two keys.
fn natural_order(left: &str, right: &str) -> Ordering {
    if left == right {
        Ordering::Equal
    } else if left.is_ascii() && right.is_ascii() {
        compare(left.as_bytes(), right.as_bytes())
    } else {
        let left: Vec<char> = left.chars().collect();
        let right: Vec<char> = right.chars().collect();
        compare(&left, &right)
    }
}

/// A character of a key.
trait Unit: Copy + PartialEq {
    fn code(self) -> u32;
    fn is_letter(self) -> bool;
    fn is_digit(self) -> bool;
}

impl Unit for u8 {
    fn code(self) -> u32 {
        u32::from(self)
    }

    fn is_letter(self) -> bool {
        self.is_ascii_alphabetic()
    }

    fn is_digit(self) -> bool {
        self.is_ascii_digit()
    }
}

impl Unit for char {
    fn code(self) -> u32 {
        u32::from(self)
    }

    fn is_letter(self) -> bool {
        if self.is_ascii() {
            self.is_ascii_alphabetic()
        } else {
            is_of(&LETTER, self)
        }
    }

    fn is_digit(self) -> bool {
        if self.is_ascii() {
            self.is_ascii_digit()
        } else {
            is_of(&DIGIT, self)
        }
    }
}

/// The general category L of Unicode.
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());
/// The general category Nd of Unicode.
static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{Nd}$").ok());

fn is_of(category: &LazyLock<Option<Regex>>, character: char) -> bool {
    category
        .as_ref()
        .is_some_and(|regex| regex.is_match(character.encode_utf8(&mut [0; 4])))
}

fn compare<U: Unit>(left: &[U], right: &[U]) -> Ordering {
    let Some(at) = left
        .iter()
        .zip(right)
        .position(|(left, right)| left != right)
    else {
        return left.len().cmp(&right.len());
    };
    let (Some(first), Some(second)) = (left.get(at), right.get(at)) else {
        return Ordering::Equal;
    };
    match (first.is_letter(), second.is_letter()) {
        (true, true) => return first.code().cmp(&second.code()),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // Zeros behind other digits are part of a number that has begun: the longer run is the larger number.
    let zero = u32::from(b'0');
    let begun = (first.code() == zero || second.code() == zero) && inside_number(left, at);
    let (left_number, left_digits) = number(left, at, begun);
    let (right_number, right_digits) = number(right, at, begun);
    left_number
        .cmp(&right_number)
        .then(left_digits.cmp(&right_digits))
        .then(first.code().cmp(&second.code()))
}

/// Whether a digit other than zero stands in the run of digits before a position.
fn inside_number<U: Unit>(key: &[U], at: usize) -> bool {
    let before = key.get(..at).unwrap_or_default();
    before
        .iter()
        .rev()
        .take_while(|unit| unit.is_digit())
        .any(|unit| unit.code() != u32::from(b'0'))
}

/// The number that the digits from a position on make, behind a 1 if it has begun, and how many they are.
fn number<U: Unit>(key: &[U], at: usize, begun: bool) -> (i64, usize) {
    let digits = key
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(|unit| unit.is_digit());
    let mut count = 0;
    let mut number = i64::from(begun);
    for digit in digits {
        // Upstream computes with 64 bits that wrap around.
        number = number
            .wrapping_mul(10)
            .wrapping_add(i64::from(digit.code()) - i64::from(b'0'));
        count += 1;
    }
    (number, count)
}
