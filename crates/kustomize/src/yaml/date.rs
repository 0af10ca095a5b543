//! Dates, which upstream reads without being asked and writes as RFC 3339.
//!
//! Enters: plain text. Leaves: the date as it is written, or nothing. Never: a clock or a time zone of the machine.

/// A date that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Date {
    /// As upstream writes it: RFC 3339.
    Text(String),
    /// In a time zone a day away from UTC, which upstream reads and cannot write.
    TooFar,
}

/// Reads `2006-1-2`, `2006-1-2T15:4:5.9Z`, the same with `t`, a zone `-07:00`, or with a space and without a zone.
pub(super) fn parse(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let is_year = bytes.len() > 4
        && bytes.iter().take(4).all(u8::is_ascii_digit)
        && bytes.get(4) == Some(&b'-');
    if !is_year {
        return None;
    }
    let mut reader = Reader { rest: text };
    let year = reader.exactly(4)?;
    reader.expect('-')?;
    let month = reader.one_or_two()?;
    reader.expect('-')?;
    let day = reader.one_or_two()?;
    if !(1..=12).contains(&month) || day < 1 || day > days(year, month) {
        return None;
    }
    if reader.rest.is_empty() {
        return Some(Date::Text(format!(
            "{year:04}-{month:02}-{day:02}T00:00:00Z"
        )));
    }
    let has_zone = match reader.rest.as_bytes().first()? {
        b'T' | b't' => true,
        b' ' => false,
        _ => return None,
    };
    reader.rest = reader.rest.get(1..)?;
    let hour = reader.one_or_two()?;
    reader.expect(':')?;
    let minute = reader.one_or_two()?;
    reader.expect(':')?;
    let second = reader.one_or_two()?;
    let fraction = reader.fraction();
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let zone = if has_zone {
        reader.zone()?
    } else {
        Date::Text("Z".to_owned())
    };
    if !reader.rest.is_empty() {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}");
    Some(match zone {
        Date::Text(zone) => Date::Text(date + &zone),
        Date::TooFar => Date::TooFar,
    })
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn expect(&mut self, character: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(character)?;
        Some(())
    }

    fn exactly(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        number.parse().ok()
    }

    fn one_or_two(&mut self) -> Option<u32> {
        self.exactly(2).or_else(|| self.exactly(1))
    }

    /// A fraction of a second, to nine digits, without trailing zeros; a comma is as good as a point.
    fn fraction(&mut self) -> String {
        let Some(rest) = self.rest.strip_prefix(['.', ',']) else {
            return String::new();
        };
        let end = rest
            .bytes()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(rest.len());
        if end == 0 {
            return String::new();
        }
        let (digits, rest) = rest.split_at(end);
        self.rest = rest;
        let digits = digits.get(..9).unwrap_or(digits).trim_end_matches('0');
        if digits.is_empty() {
            String::new()
        } else {
            format!(".{digits}")
        }
    }

    /// A time zone, as part of a date.
    fn zone(&mut self) -> Option<Date> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(Date::Text("Z".to_owned()));
        }
        let sign = self
            .rest
            .chars()
            .next()
            .filter(|sign| matches!(sign, '+' | '-'))?;
        self.rest = self.rest.get(1..)?;
        let hours = self.exactly(2)?;
        self.expect(':')?;
        let minutes = self.exactly(2)?;
        if hours > 24 || minutes > 60 {
            return None;
        }
        let (hours, minutes) = (hours + minutes / 60, minutes % 60);
        Some(match (hours, minutes) {
            (0, 0) => Date::Text("Z".to_owned()),
            (24.., _) => Date::TooFar,
            _ => Date::Text(format!("{sign}{hours:02}:{minutes:02}")),
        })
    }
}
