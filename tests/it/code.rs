//! Rust sources as the tidiness tests read them: textually, and no more exactly than they need.
//!
//! Enters: the text of a file.
//! Leaves: its code without comments, literals and tests; the paths that it names.
//! Never: a parser; what a macro builds is not seen.

/// Replaces comments and the content of literals by spaces; line breaks stay.
pub(crate) fn code_of(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    let mut at = 0;
    while at < bytes.len() {
        let rest = |n: usize| bytes.get(at + n).copied();
        match bytes[at] {
            '/' if rest(1) == Some('/') => {
                while at < bytes.len() && bytes[at] != '\n' {
                    out.push(' ');
                    at += 1;
                }
            }
            '/' if rest(1) == Some('*') => {
                let mut depth = 0;
                while at < bytes.len() {
                    let pair = (bytes[at], bytes.get(at + 1).copied());
                    let step = match pair {
                        ('/', Some('*')) => {
                            depth += 1;
                            2
                        }
                        ('*', Some('/')) => {
                            depth -= 1;
                            2
                        }
                        _ => 1,
                    };
                    for _ in 0..step {
                        out.push(blank(bytes[at]));
                        at += 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            'r' if matches!(rest(1), Some('"' | '#'))
                && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') =>
            {
                let hashes = bytes[at + 1..].iter().take_while(|c| **c == '#').count();
                if rest(1 + hashes) != Some('"') {
                    out.push('r');
                    at += 1;
                    continue;
                }
                let end: Vec<char> = std::iter::once('"')
                    .chain(std::iter::repeat_n('#', hashes))
                    .collect();
                let start = at + 2 + hashes;
                let close = (start..bytes.len())
                    .find(|&i| bytes[i..].starts_with(&end))
                    .unwrap_or(bytes.len());
                let stop = (close + end.len()).min(bytes.len());
                out.extend(bytes[at..stop].iter().map(|c| blank(*c)));
                at = stop;
            }
            '"' => {
                out.push('"');
                at += 1;
                while at < bytes.len() && bytes[at] != '"' {
                    let step = if bytes[at] == '\\' { 2 } else { 1 };
                    for _ in 0..step.min(bytes.len() - at) {
                        out.push(blank(bytes[at]));
                        at += 1;
                    }
                }
                out.push('"');
                at += 1;
            }
            // A character, not a lifetime.
            '\'' if rest(1) == Some('\\') || rest(2) == Some('\'') => {
                let close = (at + 2..bytes.len())
                    .find(|&i| bytes[i] == '\'' && !(bytes[i - 1] == '\\' && bytes[i - 2] != '\\'));
                let stop = close.map_or(bytes.len(), |close| close + 1);
                out.extend(bytes[at..stop].iter().map(|c| blank(*c)));
                at = stop;
            }
            c => {
                out.push(c);
                at += 1;
            }
        }
    }
    out
}

/// Blanks the items under `#[cfg(test)]`: tests may look further than the code that they test.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let after = start + "#[cfg(test)]".len();
        let body = out[after..]
            .find(['{', ';'])
            .map_or(out.len(), |at| after + at);
        let mut end = (body + 1).min(out.len());
        if out[body..].starts_with('{') {
            let mut depth = 0usize;
            for (at, c) in out[body..].char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                end = body + at + c.len_utf8();
                if depth == 0 {
                    break;
                }
            }
        }
        let blank: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Returns every path that the code names, groups of `use` spelled out, with the line on which it begins.
pub(crate) fn paths_of(code: &str) -> Vec<(String, usize)> {
    let chars: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    let mut line = 1;
    while at < chars.len() {
        let c = chars[at];
        if c == '\n' {
            line += 1;
        }
        if c.is_alphabetic() || c == '_' {
            let begun = line;
            let (paths, next) = path_at(&chars, at, "");
            found.extend(paths.into_iter().map(|path| (path, begun)));
            line += chars[at..next].iter().filter(|c| **c == '\n').count();
            at = next.max(at + 1);
        } else {
            at += 1;
        }
    }
    found
}

fn path_at(chars: &[char], start: usize, prefix: &str) -> (Vec<String>, usize) {
    let skip = |mut at: usize| {
        while chars.get(at).is_some_and(|c| c.is_whitespace()) {
            at += 1;
        }
        at
    };
    let mut at = start;
    let mut path = prefix.to_owned();
    loop {
        let word: String = chars[at..]
            .iter()
            .take_while(|c| c.is_alphanumeric() || **c == '_')
            .collect();
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&word);
        at += word.chars().count();
        let next = skip(at);
        if chars.get(next) != Some(&':') || chars.get(next + 1) != Some(&':') {
            return (vec![path], at);
        }
        let after = skip(next + 2);
        match chars.get(after) {
            Some('{') => {
                let mut all = Vec::new();
                let mut inner = skip(after + 1);
                while chars.get(inner).is_some_and(|c| *c != '}') {
                    if chars[inner].is_alphabetic() || chars[inner] == '_' {
                        let (paths, next) = path_at(chars, inner, &path);
                        all.extend(paths);
                        inner = after_alias(chars, next);
                    } else {
                        inner += 1;
                    }
                    inner = skip(inner);
                }
                return (all, inner + 1);
            }
            Some(c) if c.is_alphabetic() || *c == '_' => at = after,
            _ => return (vec![path], after),
        }
    }
}

/// Skips `as name` behind a path.
fn after_alias(chars: &[char], at: usize) -> usize {
    let skip = |at: usize, wanted: fn(char) -> bool| {
        at + chars[at..].iter().take_while(|c| wanted(**c)).count()
    };
    let word = skip(at, char::is_whitespace);
    if !chars[word..].starts_with(&['a', 's', ' ']) {
        return at;
    }
    skip(word + 3, |c| c.is_alphanumeric() || c == '_')
}

#[test]
fn comments_and_literals_are_no_code() {
    for text in [
        "// crate::x",
        "/* crate::x /* crate::x */ crate::x */",
        "\"crate::x \\\" crate::x\"",
        "r#\"crate::x \" crate::x\"#",
    ] {
        assert!(!code_of(text).contains("crate"), "{text}");
    }
    for text in [
        "'\"'; crate::x",
        "'\\''; crate::x",
        "fn f<'a>(x: &'a str) { crate::x }",
    ] {
        assert!(code_of(text).contains("crate::x"), "{text}");
    }
}

#[test]
fn groups_are_spelled_out() {
    let paths: Vec<String> = paths_of("use a::{b::{c, d as e}, f};")
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(paths, ["use", "a::b::c", "a::b::d", "a::f"]);
}
