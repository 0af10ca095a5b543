//! Documents as people write them: quotes, blocks, braces, comments, anchors, indentation, numbers and nulls in all their spellings.
//!
//! Enters: a document and a seed. Leaves: YAML text. Never: the same spelling for two fields, though always the same for one field of
//! one seed, so that a smaller document keeps what shows a difference.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value};

/// Seeds from here on leave comments out: upstream carries those of a patch into an object of JSON, and fails to print that.
pub(crate) const SILENT: u32 = 1 << 20;

/// Writes documents.
pub(crate) fn documents(documents: &[Value], seed: u32) -> String {
    let mut text = String::new();
    for (index, document) in documents.iter().enumerate() {
        let mut writer = Writer {
            seed,
            comments: seed < SILENT,
            text: String::new(),
            anchors: BTreeMap::new(),
        };
        let path = "document";
        if index > 0 {
            text.push_str(writer.one(path, &["---\n", "--- # next\n", "---\n# next\n---\n"]));
        } else {
            text.push_str(writer.one(path, &["", "", "---\n", "# the first\n\n"]));
        }
        match document {
            Value::Object(fields) if !fields.is_empty() => writer.mapping(fields, "", 0),
            Value::Array(items) if !items.is_empty() => writer.sequence(items, "", 0),
            other => {
                writer.flow(other, "");
                writer.text.push('\n');
            }
        }
        text.push_str(&writer.text);
    }
    if seed.is_multiple_of(16) {
        text = text.replace('\n', "\r\n");
    }
    text
}

struct Writer {
    seed: u32,
    comments: bool,
    text: String,
    /// Anchors by what they stand for.
    anchors: BTreeMap<String, String>,
}

impl Writer {
    /// A number that belongs to a place.
    fn at(&self, path: &str, what: &str) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, path, what).hash(&mut hasher);
        usize::try_from(hasher.finish() >> 33).unwrap_or_default()
    }

    fn percent(&self, path: &str, what: &str, percent: usize) -> bool {
        self.at(path, what) % 100 < percent
    }

    fn one<'t>(&self, path: &str, several: &[&'t str]) -> &'t str {
        several[self.at(path, "one") % several.len()]
    }

    fn mapping(&mut self, fields: &Map<String, Value>, path: &str, indent: usize) {
        for (key, value) in fields {
            let path = format!("{path}/{key}");
            if self.comments && self.percent(&path, "comment above", 4) {
                self.line(indent, "# about it");
                self.text.push('\n');
            }
            if self.percent(&path, "blank", 4) {
                self.text.push('\n');
            }
            let name = self.key(key, &path);
            self.line(indent, &name);
            self.text.push(':');
            self.value(value, &path, indent);
        }
    }

    fn sequence(&mut self, items: &[Value], path: &str, indent: usize) {
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            self.line(indent, "-");
            match item {
                Value::Object(fields)
                    if !fields.is_empty() && !self.percent(&path, "braces", 12) =>
                {
                    // The first key stands behind the dash.
                    self.text.push(' ');
                    let start = self.text.len();
                    self.mapping(fields, &path, indent + 2);
                    let block = self.text.split_off(start);
                    let block = block.trim_start_matches([' ', '\n']);
                    if block.starts_with('#') {
                        self.text.push('\n');
                        self.text.push_str(&" ".repeat(indent + 2));
                    }
                    self.text.push_str(block);
                }
                other => self.value(other, &path, indent),
            }
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(text);
    }

    /// What stands behind a colon or dash, to the end of the line or further.
    fn value(&mut self, value: &Value, path: &str, indent: usize) {
        let step = if self.percent(path, "step", 80) { 2 } else { 4 };
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.percent(path, "braces", 12) => {
                // A comment that stands before nothing, because a patch deletes the fields, is what upstream cannot read again.
                if fields
                    .values()
                    .any(|field| field.is_object() || field.is_array())
                {
                    self.end(path);
                } else {
                    self.text.push('\n');
                }
                self.mapping(fields, path, indent + step);
            }
            Value::Array(items) if !items.is_empty() && !self.percent(path, "braces", 15) => {
                self.end(path);
                // Behind a dash, a list has to be indented.
                let is_item = path
                    .rsplit('/')
                    .next()
                    .is_some_and(|part| part.parse::<u32>().is_ok());
                let flat = !is_item && self.percent(path, "flat", 60);
                self.sequence(items, path, if flat { indent } else { indent + step });
            }
            Value::String(text)
                if self.percent(
                    path,
                    "block",
                    if text.contains('\n') {
                        70
                    } else if text.contains(' ') {
                        10
                    } else {
                        0
                    },
                ) =>
            {
                self.block(text, path, indent, step);
            }
            Value::Null if self.percent(path, "nothing", 30) => self.end(path),
            other => {
                self.text.push(' ');
                self.flow(other, path);
                self.end(path);
            }
        }
    }

    /// The end of a line.
    fn end(&mut self, path: &str) {
        let end = if self.comments && self.percent(path, "comment", 5) {
            " # so\n"
        } else {
            "\n"
        };
        self.text.push_str(end);
    }

    fn block(&mut self, text: &str, path: &str, indent: usize, step: usize) {
        let style = self.one(path, &["|", "|-", "|+", ">", ">-", "|"]);
        self.text.push(' ');
        self.text.push_str(style);
        if text.starts_with([' ', '\n']) || text.is_empty() {
            self.text.push_str(&step.to_string());
        }
        self.text.push('\n');
        for line in text.lines() {
            if !line.is_empty() {
                self.line(indent + step, line);
            }
            self.text.push('\n');
        }
    }

    /// A value inside of one line.
    fn flow(&mut self, value: &Value, path: &str) {
        match value {
            Value::Object(fields) => {
                self.text.push('{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    let path = format!("{path}/{key}");
                    if index > 0 {
                        self.text.push_str(", ");
                    }
                    let name = self.key(key, &path);
                    self.text.push_str(&name);
                    self.text.push(':');
                    if !(value.is_null() && self.percent(&path, "nothing", 30)) {
                        self.text.push(' ');
                        self.flow(value, &path);
                    }
                }
                self.text.push('}');
            }
            Value::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.text.push_str(", ");
                    }
                    self.flow(item, &format!("{path}/{index}"));
                }
                self.text.push(']');
            }
            scalar => {
                let text = self.scalar(scalar, path);
                self.text.push_str(&text);
            }
        }
    }

    fn scalar(&mut self, value: &Value, path: &str) -> String {
        let plain = value.to_string();
        if let Some(name) = self.anchors.get(&plain)
            && self.percent(path, "alias", 30)
        {
            return format!("*{name} ");
        }
        let text = match value {
            Value::Null => self.one(path, &["null", "~", "Null", "null"]).to_owned(),
            Value::Bool(true) => self
                .one(path, &["true", "True", "TRUE", "true", "yes"])
                .to_owned(),
            Value::Bool(false) => self
                .one(path, &["false", "False", "FALSE", "false", "off"])
                .to_owned(),
            Value::Number(number) => match (number.as_u64(), self.at(path, "number") % 16) {
                (Some(number), 0) => format!("0x{number:x}"),
                (Some(number), 1) => format!("+{number}"),
                (Some(number), 2) => format!("0o{number:o}"),
                (Some(number), 3) => format!("0{number:o}"),
                (Some(number), 4) => format!("{number}.0"),
                (Some(number), 5) => format!("{number}e0"),
                (Some(number), 6) => format!("\"{number}\""),
                _ => plain.clone(),
            },
            Value::String(text) => self.text(text, path),
            Value::Array(_) | Value::Object(_) => plain.clone(),
        };
        if self.percent(path, "anchor", 4) {
            let name = format!("a{}", self.anchors.len());
            self.anchors.insert(plain, name.clone());
            return format!("&{name} {text}");
        }
        text
    }

    fn text(&self, text: &str, path: &str) -> String {
        let simple =
            |character: char| character.is_ascii_alphanumeric() || "-_./$() é".contains(character);
        let may_be_plain = !text.is_empty()
            && text.chars().all(simple)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !text.ends_with(' ');
        // Without quotes some texts become numbers and the like; not too often, because that is refused in many places.
        let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.len() > 5;
        match self.at(path, "quotes") % 10 {
            0..=1 => serde_json::to_string(text).unwrap_or_default(),
            2..=3 if !text.contains(['\n', '\t', '\r']) => {
                format!("'{}'", text.replace('\'', "''"))
            }
            _ if may_be_plain
                && (is_word
                    || matches!(text, "a" | "b" | "web" | "db" | "main" | "app" | "prod")) =>
            {
                text.to_owned()
            }
            4 if may_be_plain => text.to_owned(),
            _ => serde_json::to_string(text).unwrap_or_default(),
        }
    }

    fn key(&self, key: &str, path: &str) -> String {
        let simple =
            |character: char| character.is_ascii_alphanumeric() || "-_./$".contains(character);
        let may_be_plain = key.chars().all(simple)
            && key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$')
            && key.len() > 1;
        if may_be_plain && !self.percent(path, "quoted key", 5) {
            return key.to_owned();
        }
        serde_json::to_string(key).unwrap_or_default()
    }
}
