//! Regular expressions as Go writes them.
//! Enters: the text of an expression. Leaves: the expression compiled, meaning what it means there.
//! Never: syntax that only this language's engine has, such as `&&` within brackets.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// Compiles an expression.
///
/// # Errors
/// When it is malformed.
pub(crate) fn compile(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&translate(text)?)
}

/// The same expression for this engine: what is only text in Go is escaped.
///
/// # Errors
/// When something that is repeated is repeated again: `a**` means nothing there.
fn translate(text: &str) -> Result<String, regex::Error> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => escape(&mut rest, &mut result),
            '[' => class(&mut rest, &mut result),
            '{' if !is_repetition(&rest) => result.push_str("\\{"),
            '*' | '+' | '?' | '{' => {
                result.push(character);
                while character == '{'
                    && let Some(inner) = rest.next()
                {
                    result.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
                if rest.next_if_eq(&'?').is_some() {
                    result.push('?');
                }
                let is_again = match rest.peek() {
                    Some('*' | '+' | '?') => true,
                    Some('{') => {
                        let mut rest = rest.clone();
                        rest.next();
                        is_repetition(&rest)
                    }
                    _ => false,
                };
                if is_again {
                    let message = format!("`{text}` repeats a repetition");
                    return Err(regex::Error::Syntax(message));
                }
            }
            // Of a group: `(?:`, `(?i)`, `(?P<name>`.
            '(' if rest.peek() == Some(&'?') => {
                rest.next();
                result.push_str("(?");
            }
            other => result.push(other),
        }
    }
    Ok(result)
}

/// What follows a backslash; from `\Q` to `\E` everything is text.
fn escape(rest: &mut Peekable<Chars<'_>>, result: &mut String) {
    match rest.next() {
        Some('Q') => {
            let mut literal = String::new();
            while let Some(character) = rest.next() {
                if character == '\\' && rest.next_if_eq(&'E').is_some() {
                    break;
                }
                literal.push(character);
            }
            result.push_str(&regex::escape(&literal));
        }
        // Here they are the ends of words, there they are themselves.
        Some(character @ ('<' | '>')) => result.push(character),
        // The braces belong to the escape.
        Some(character @ ('p' | 'P' | 'x')) => {
            result.extend(['\\', character]);
            if rest.next_if_eq(&'{').is_some() {
                result.push('{');
                for character in rest.by_ref() {
                    result.push(character);
                    if character == '}' {
                        break;
                    }
                }
            }
        }
        Some(character) => result.extend(['\\', character]),
        None => result.push('\\'),
    }
}

/// A set in brackets, in which other brackets and doubled signs are text.
fn class(rest: &mut Peekable<Chars<'_>>, result: &mut String) {
    result.push('[');
    if rest.next_if_eq(&'^').is_some() {
        result.push('^');
    }
    if rest.next_if_eq(&']').is_some() {
        result.push_str("\\]");
    }
    while let Some(character) = rest.next() {
        match character {
            ']' => {
                result.push(']');
                return;
            }
            '\\' => escape(rest, result),
            '[' if rest.peek() == Some(&':') => {
                result.push('[');
                for character in rest.by_ref() {
                    result.push(character);
                    if character == ']' {
                        break;
                    }
                }
            }
            '[' | '&' | '~' => result.extend(['\\', character]),
            other => result.push(other),
        }
    }
}

/// Whether what follows a brace makes it a repetition, such as `{2}`, `{2,}` and `{2,3}`.
fn is_repetition(rest: &Peekable<Chars<'_>>) -> bool {
    let mut rest = rest.clone();
    let mut number = || {
        let mut digits = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let is_number = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
        (digits.is_empty(), is_number, rest.next())
    };
    match number() {
        (_, true, Some('}')) => true,
        (_, true, Some(',')) => {
            let (is_open, is_number, end) = number();
            (is_open || is_number) && end == Some('}')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each expression with a text that it matches, and one that it does not.
    fn check(table: &[(&str, &str, &str)]) {
        for (pattern, matching, other) in table {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(matching), "{pattern} {matching}");
            assert!(!regex.is_match(other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_brace_that_repeats_nothing_is_text() {
        check(&[
            ("^web-{{ .Index }}$", "web-{{ .Index }}", "web-"),
            ("^{a}$", "{a}", "a"),
            ("^a{2}$", "aa", "a{2}"),
            ("^a{1,2}$", "aa", "a{1,2}"),
            ("^a{1,}$", "aaa", ""),
            ("^a{,2}$", "a{,2}", "aa"),
            ("^a{01}$", "a{01}", "a"),
            (r"^\x{61}\pL\p{Greek}$", "abα", "ab"),
        ]);
    }

    #[test]
    fn what_is_repeated_is_not_repeated_again() {
        for pattern in ["web-.**", "a+*", "a{2}{3}", "a*?*", "(a)???"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        check(&[
            ("^a*?b$", "aab", "a"),
            ("^a{2}?$", "aa", "a"),
            ("^(?:a*)*$", "aa", "b"),
            ("^(?i)A+$", "aa", "b"),
            (r"^a*\*$", "aa*", "aa"),
            ("^a*{$", "aa{", "aa"),
        ]);
    }

    #[test]
    fn sets_hold_brackets_and_signs() {
        check(&[
            ("^[[]$", "[", "]"),
            ("^[]a]$", "]", "["),
            ("^[^]]$", "a", "]"),
            ("^[a&&b]$", "&", "c"),
            ("^[[:digit:]x]$", "7", ":"),
            (r"^[\d~~]$", "~", "a"),
        ]);
    }

    #[test]
    fn quoted_text_and_angles_are_themselves() {
        check(&[
            (r"^\Qa.b\E+$", "a.bb", "a.b+"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^\<a\>$", "<a>", "a"),
        ]);
    }
}
