//! The only place that words numbers, lists and times for people.
//!
//! Enters: values.
//! Leaves: text in plain English.
//! Never: a format that a machine reads.

use std::time::Duration;

/// Returns `1 object`, `3 objects`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Returns `a`, `a and b`, `a, b and c`; more than `most` items end in `and N more`.
pub fn list<T: std::fmt::Display>(items: &[T], most: usize) -> String {
    let shown: Vec<String> = items
        .iter()
        .take(most.max(1))
        .map(ToString::to_string)
        .collect();
    let hidden = items.len().saturating_sub(shown.len());
    if hidden > 0 {
        return format!("{} and {hidden} more", shown.join(", "));
    }
    match shown.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Returns a duration as people say it: `350ms`, `4.2s`, `3m10s`, `2h5m`, `4d3h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..=9 if duration.subsec_millis() >= 50 => format!("{:.1}s", duration.as_secs_f64()),
        1..=59 => format!("{seconds}s"),
        60..=3_599 => pair(seconds / 60, "m", seconds % 60, "s"),
        3_600..=86_399 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// Returns `text` cut to at most `most` bytes at a character boundary, with `…` where it was cut.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub('…'.len_utf8()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Returns an error and its causes in one line, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !more.is_empty() && !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lists_read_as_english() {
        assert_eq!(plural(1, "object"), "1 object");
        assert_eq!(plural(0, "object"), "0 objects");
        assert_eq!(list(&["a"], 3), "a");
        assert_eq!(list(&["a", "b"], 3), "a and b");
        assert_eq!(list(&["a", "b", "c"], 3), "a, b and c");
        assert_eq!(list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
    }

    #[test]
    fn durations_keep_two_parts() {
        for (millis, expected) in [
            (350, "350ms"),
            (4_200, "4.2s"),
            (5_000, "5s"),
            (190_000, "3m10s"),
            (7_500_000, "2h5m"),
            (356_400_000, "4d3h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_cut_text_ends_at_a_character() {
        assert_eq!(cut("héllo", 5), "h…");
        assert_eq!(cut("hello", 5), "hello");
    }
}
