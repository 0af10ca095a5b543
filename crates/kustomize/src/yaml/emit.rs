//! A value as upstream prints it.
//!
//! Enters: a JSON value. Leaves: one YAML document, byte for byte what upstream prints; or why upstream cannot print it.
//! Never: the order of the value's own map, styles of the input, more than one document.

use serde_json::{Map, Number, Value};

use super::key_order::sort_by_key;
use super::meaning::Meaning;
use super::number;
use super::style::analyse;
use super::unprintable::{Unprintable, UnprintableKind};
use super::writer::Writer;

/// Appends a value as one document that ends with a line feed.
///
/// Keys come in upstream's natural order; lists stand in the column of their key; long text is folded at 80 characters.
///
/// # Errors
/// When upstream would fail. What has been appended by then is of no use.
pub fn emit(value: &Value, out: &mut String) -> Result<(), Unprintable> {
    let mut printer = Printer {
        writer: Writer::new(out),
        path: Vec::new(),
    };
    let result = match value {
        Value::Object(map) if !map.is_empty() => printer.mapping(map, 0),
        Value::Array(items) if !items.is_empty() => printer.sequence(items, 0),
        scalar => printer.leaf(scalar, 0),
    };
    result.map_err(|kind| Unprintable {
        pointer: printer.pointer(),
        kind,
    })?;
    printer.writer.break_line();
    Ok(())
}

/// A step from a collection to what stands in it.
enum Step<'v> {
    Key(&'v str),
    Index(usize),
}

struct Printer<'o, 'v> {
    writer: Writer<'o>,
    path: Vec<Step<'v>>,
}

/// Spaces by which an inner collection is indented.
const INDENT: usize = 2;

impl<'v> Printer<'_, 'v> {
    /// Prints a mapping whose keys stand in the column `indent`, where the first one may already be.
    fn mapping(
        &mut self,
        map: &'v Map<String, Value>,
        indent: usize,
    ) -> Result<(), UnprintableKind> {
        let mut entries: Vec<(&str, &Value)> = map
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        sort_by_key(&mut entries, |(key, _)| key);
        for (key, value) in entries {
            self.path.push(Step::Key(key));
            self.writer.indent_to(indent);
            if self.key(key, indent)? {
                self.value(value, indent)?;
            } else {
                self.writer.indent_to(indent);
                self.writer.indicator(":");
                self.inline(value, indent)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Prints a list whose dashes stand in the column `indent`, where the first one may already be.
    fn sequence(&mut self, items: &'v [Value], indent: usize) -> Result<(), UnprintableKind> {
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            self.writer.indent_to(indent);
            self.writer.indicator("-");
            self.inline(item, indent)?;
            self.path.pop();
        }
        Ok(())
    }

    /// Prints what follows a key and its colon.
    fn value(&mut self, value: &'v Value, indent: usize) -> Result<(), UnprintableKind> {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent + INDENT),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent),
            scalar => {
                self.writer.push(" ");
                self.leaf(scalar, indent + INDENT)
            }
        }
    }

    /// Prints what follows a dash, or the colon of a long key, on the same line.
    fn inline(&mut self, value: &'v Value, indent: usize) -> Result<(), UnprintableKind> {
        self.writer.indicator(" ");
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent + INDENT),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent + INDENT),
            scalar => self.leaf(scalar, indent + INDENT),
        }
    }

    /// Prints a key, with its colon where it is a simple one; returns whether it is.
    fn key(&mut self, key: &str, indent: usize) -> Result<bool, UnprintableKind> {
        /// Longer keys, in bytes, are printed as `? key`.
        const LONGEST_SIMPLE: usize = 128;
        check_key(key)?;
        let text = analyse(key)?;
        if text.has_breaks || key.len() > LONGEST_SIMPLE {
            self.writer.indicator("? ");
            self.writer.text(&text, indent + INDENT, true);
            return Ok(false);
        }
        self.writer.text(&text, indent + INDENT, false);
        self.writer.push(":");
        Ok(true)
    }

    /// Prints a scalar or an empty collection.
    fn leaf(&mut self, value: &Value, indent: usize) -> Result<(), UnprintableKind> {
        match value {
            Value::Null => self.writer.push("null"),
            Value::Bool(true) => self.writer.push("true"),
            Value::Bool(false) => self.writer.push("false"),
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                let text = analyse(text)?;
                self.writer.text(&text, indent.max(INDENT), true);
            }
            Value::Array(_) => self.writer.push("[]"),
            Value::Object(_) => self.writer.push("{}"),
        }
        Ok(())
    }

    fn number(&mut self, number: &Number) {
        match number.as_f64().filter(|_| number.is_f64()) {
            None => self.writer.push(&number.to_string()),
            // Floats go through JSON text, which turns whole ones into integers where these have 64 bits.
            Some(float) => match number::parse(&number::json_float(float), false) {
                Some(Meaning::Signed(whole)) => self.writer.push(&whole.to_string()),
                Some(Meaning::Unsigned(whole)) => self.writer.push(&whole.to_string()),
                _ => self.writer.push(&number::general_float(float)),
            },
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

/// Refuses keys that upstream cannot read back from the JSON that it goes through.
fn check_key(key: &str) -> Result<(), UnprintableKind> {
    /// The longest key of YAML text, in characters with its quotes and escapes.
    const LONGEST: usize = 1024;
    if key.len() > LONGEST / 6 {
        let characters: usize = key
            .chars()
            .map(|character| match character {
                '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{C}' => 2,
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..' ' => 6,
                _ => 1,
            })
            .sum();
        if characters + 2 > LONGEST {
            return Err(UnprintableKind::LongKey);
        }
    }
    if key.contains('\u{85}') {
        Err(UnprintableKind::KeyWithLineBreak)
    } else {
        Ok(())
    }
}
