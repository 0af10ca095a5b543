//! A document as upstream writes it again.
//!
//! Enters: a tree as it is written. Leaves: text: two spaces of indentation, lists in the column of their key, no line folded, blank
//! lines only behind comments. Never: the order of keys, which stays.
//!
//! Source: the rules of libyaml's emitter as yaml.v3 uses it, and the oracle.

use std::fmt::Write as _;

use super::build::{Form, Layout};
use super::refold;
use super::style::{self, Style, Text};
use super::styled::{Comment, Shape, Styled, Written};
use super::writer::Writer;

/// Spaces by which an inner collection is indented.
const INDENT: usize = 2;

/// Longer keys are written as `? key`.
const LONGEST_SIMPLE: usize = 128;

impl Written {
    /// The text, without a line break at the end.
    pub(crate) fn print(&self) -> String {
        let mut printer = Printer {
            written: self,
            out: String::new(),
            comments: 0,
            above: Vec::new(),
            blank_at: None,
            is_open: true,
        };
        printer.block(&self.root, 0);
        printer.comments_before(u32::MAX, 0, Before::End);
        printer.out
    }
}

struct Printer<'w> {
    written: &'w Written,
    out: String,
    /// How many of the comments of their own lines are written.
    comments: usize,
    /// Of the last entry, and those that it stands in: the column where it was, and the one where it is now.
    above: Vec<(u32, usize)>,
    /// The column whose next line has a blank line before it.
    blank_at: Option<usize>,
    /// Whether an entry may begin on the last line: there is none, or only dashes.
    is_open: bool,
}

impl Printer<'_> {
    /// Writes a node that is no scalar in block style, as far as it is written so.
    fn block(&mut self, node: &Styled, indent: usize) {
        match &node.shape {
            Shape::Mapping(entries, Layout::Block) if !entries.is_empty() => {
                for (key, value) in entries {
                    self.begin(key, indent, Before::Entry);
                    let from = self.out.len();
                    self.inline(key, indent, Place::Key);
                    if self.out.len() - from > LONGEST_SIMPLE {
                        self.out.insert_str(from, "? ");
                        self.line(indent);
                    }
                    self.out.push(':');
                    self.value(value, key, indent);
                }
            }
            Shape::Sequence(items, Layout::Block) if !items.is_empty() => {
                for item in items {
                    self.begin(item, indent, Before::Item);
                    self.out.push('-');
                    self.item(item, indent);
                }
            }
            _ => self.inline(node, indent, Place::Block),
        }
    }

    /// Begins a line for an entry, with the comments that stand before it.
    fn begin(&mut self, node: &Styled, indent: usize, place: Before) {
        if let Some((line, column)) = node.at {
            self.comments_before(line, indent, place);
            self.above.retain(|(_, now)| *now < indent);
            let margin = usize::try_from(line)
                .ok()
                .and_then(|line| self.written.margins.get(line));
            let column = match (place, margin) {
                (Before::Item, Some(margin)) => *margin,
                (_, _) => column,
            };
            self.above.push((column, indent));
        } else {
            self.comments_before(u32::MAX, indent, Before::Added);
        }
        if self.is_open {
            self.is_open = false;
            return;
        }
        self.line(indent);
    }

    fn line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
            if self.blank_at == Some(indent) {
                self.out.push('\n');
            }
        }
        self.blank_at = None;
        for _ in 0..indent {
            self.out.push(' ');
        }
    }

    /// Writes the comments before a line, or before what a dash begins.
    fn comments_before(&mut self, line: u32, indent: usize, place: Before) {
        let mut previous: Option<&Comment> = None;
        while let Some(comment) = self.written.comments.get(self.comments)
            && comment.line < line
            && (place != Before::Item || !comment.behind_dash)
        {
            let inner = self.above.last().copied();
            let next = self.written.comments.get(self.comments + 1);
            let next = next.filter(|next| next.line == comment.line + 1);
            let belongs = match belongs(comment, inner, previous.is_none()) {
                // What stands in another column than the comment below it, or ends without a line break, is that of the last entry.
                Belongs::Outer
                    if self.written.is_open
                        || next.is_some_and(|next| next.column != comment.column) =>
                {
                    Belongs::Inside
                }
                Belongs::Outer if self.is_of_items(comment) => Belongs::Document,
                belongs => belongs,
            };
            let is_inside =
                belongs == Belongs::Inside && inner.is_some_and(|(_, now)| now >= indent);
            if place == Before::Added && !is_inside {
                return;
            }
            self.comments += 1;
            // An empty line between two comments stays.
            if previous.is_some_and(|previous| previous.blank_behind) {
                self.blank_at.get_or_insert(indent);
            }
            let column = match (belongs, inner) {
                (Belongs::Inside, Some((_, now))) => now,
                (Belongs::Outer, _) => self.outer(comment).map_or(0, |(_, now)| now),
                _ if place == Before::End => 0,
                _ => indent,
            };
            if place == Before::End
                && !matches!(belongs, Belongs::Inside | Belongs::Outer)
                && previous.is_none()
            {
                self.blank_at = Some(column);
            }
            if std::mem::take(&mut self.is_open) {
                self.blank_at = None;
            } else {
                self.line(column);
            }
            self.out.push_str(&comment.text);
            self.blank_at = match belongs {
                Belongs::Inside | Belongs::Around => Some(column),
                Belongs::Outer => comment.blank_behind.then_some(column),
                Belongs::Next => None,
                Belongs::Document => comment.blank_behind.then_some(column),
            };
            // The comments of a group stay together.
            if next.is_some_and(|next| next.column == comment.column) {
                self.blank_at = None;
            }
            previous = Some(comment);
        }
    }

    /// What the last entry stands in that begins in the column of a comment: that column, and the one where it is now.
    fn outer(&self, comment: &Comment) -> Option<(u32, usize)> {
        let mut above = self.above.iter().copied();
        above.find(|(column, _)| *column == comment.column)
    }

    /// Whether a comment stands in the column of the items of a text that is a list.
    fn is_of_items(&self, comment: &Comment) -> bool {
        matches!(self.written.root.shape, Shape::Sequence(..))
            && self.outer(comment) == self.above.first().copied()
    }

    /// Writes the comment behind a node that is written from a place on.
    fn comment_behind(&mut self, node: &Styled, from: usize) {
        let Some((line, _)) = node.at else { return };
        let Some(comment) = self.written.behind.get(&line) else {
            return;
        };
        // That of a block text stands behind its indicator.
        let written = self.out.get(from..).unwrap_or_default();
        let is_block = written.starts_with(['|', '>']);
        let end = match written.find('\n') {
            Some(end) if is_block => from + end,
            Some(_) | None => self.out.len(),
        };
        self.out.insert_str(end, &format!(" {comment}"));
    }

    fn is_block(node: &Styled) -> bool {
        match &node.shape {
            Shape::Sequence(items, Layout::Block) => !items.is_empty(),
            Shape::Mapping(entries, Layout::Block) => !entries.is_empty(),
            Shape::Sequence(..) | Shape::Mapping(..) | Shape::Scalar { .. } | Shape::Alias(_) => {
                false
            }
        }
    }

    /// Writes what stands behind a key and its colon.
    fn value(&mut self, value: &Styled, key: &Styled, indent: usize) {
        if Self::is_block(value) {
            self.anchor(value);
            self.comment_behind(key, self.out.len());
            let is_list = matches!(value.shape, Shape::Sequence(..));
            self.block(value, if is_list { indent } else { indent + INDENT });
        } else if !self.leaf(value, indent) {
            // Where nothing stands, the value has the place of what comes next.
            self.comment_behind(key, self.out.len());
        }
    }

    /// Writes a node on its line with its comment, or nothing if there is nothing to write.
    fn leaf(&mut self, node: &Styled, indent: usize) -> bool {
        self.out.push(' ');
        let from = self.out.len();
        self.inline(node, indent, Place::Block);
        let is_written = self.out.len() > from;
        if is_written {
            self.comment_behind(node, from);
        } else {
            self.out.pop();
        }
        is_written
    }

    /// Writes what stands behind a dash.
    fn item(&mut self, item: &Styled, indent: usize) {
        if !Self::is_block(item) {
            self.leaf(item, indent);
            return;
        }
        if item.anchor.is_some() {
            self.anchor(item);
        } else {
            self.out.push(' ');
            self.is_open = true;
        }
        self.block(item, indent + INDENT);
    }

    fn anchor(&mut self, node: &Styled) {
        if let Some(anchor) = &node.anchor {
            let _infallible = write!(self.out, " &{anchor}");
        }
    }

    /// Writes what fits behind something on its line.
    fn inline(&mut self, node: &Styled, indent: usize, place: Place) {
        let from = self.out.len();
        if let Some(anchor) = &node.anchor {
            let _infallible = write!(self.out, "&{anchor} ");
        }
        match &node.shape {
            Shape::Alias(name) => {
                self.out.push('*');
                self.out.push_str(name);
                // A colon would belong to the name.
                if place == Place::Key {
                    self.out.push(' ');
                }
            }
            Shape::Scalar { text, form, tag } => {
                let is_merge = *form == Form::Plain && text == "<<";
                if let Some(tag) = tag.or(is_merge.then_some("!!merge")) {
                    self.out.push_str(tag);
                    self.out.push(' ');
                }
                self.scalar(text, *form, indent, place);
                if text.is_empty() && self.out.len() > from {
                    // Behind a tag or an anchor there is nothing.
                    self.out.truncate(self.out.trim_end_matches(' ').len());
                }
            }
            Shape::Sequence(items, _) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    self.inline(item, indent, Place::Inline);
                }
                self.out.push(']');
            }
            Shape::Mapping(entries, _) => {
                self.out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    self.inline(key, indent, Place::Inline);
                    self.out.push_str(": ");
                    self.inline(value, indent, Place::Inline);
                }
                self.out.push('}');
            }
        }
    }

    fn scalar(&mut self, text: &str, form: Form, indent: usize, place: Place) {
        let allowed = style::allowed(text);
        let is_block = place == Place::Block;
        let style = match form {
            Form::Plain if text.contains('\n') => Form::Literal,
            Form::Plain if text.is_empty() && !is_block => Form::Single,
            Form::Plain if place == Place::Inline && !allowed.plain_inline => Form::Single,
            Form::Plain if !allowed.plain => Form::Single,
            other => other,
        };
        let style = match style {
            Form::Plain => Style::Plain,
            Form::Single if allowed.single => Style::Single,
            Form::Literal if allowed.block && is_block => Style::Literal,
            Form::Folded if allowed.block && is_block => {
                self.folded(text, indent + INDENT);
                return;
            }
            Form::Single | Form::Double | Form::Literal | Form::Folded => Style::Double,
        };
        if style == Style::Single && text.contains('\n') {
            self.single(text, indent + INDENT);
            return;
        }
        let text = Text {
            value: text.into(),
            style,
            has_breaks: false,
        };
        let mut writer = Writer::new(&mut self.out);
        writer.text(&text, indent + INDENT, false);
        if style == Style::Literal && self.out.ends_with('\n') {
            self.out.pop();
        }
    }

    /// Writes text of several lines in single quotes: the first of several line breaks is doubled.
    fn single(&mut self, text: &str, indent: usize) {
        self.out.push('\'');
        let mut after_break = false;
        for character in text.chars() {
            if character == '\n' {
                self.out.push_str(if after_break { "\n" } else { "\n\n" });
                after_break = true;
                continue;
            }
            if std::mem::take(&mut after_break) {
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
            if character == '\'' {
                self.out.push('\'');
            }
            self.out.push(character);
        }
        self.out.push('\'');
    }

    fn folded(&mut self, text: &str, indent: usize) {
        self.out.push('>');
        self.out.push_str(&refold::header(text));
        for line in refold::lines(text).lines() {
            self.out.push('\n');
            if !line.is_empty() {
                self.out.push_str(&" ".repeat(indent));
                self.out.push_str(line);
            }
        }
    }
}

/// What comments stand before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Entry,
    Item,
    /// An entry that was not there.
    Added,
    End,
}

/// What a comment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belongs {
    /// What comes next.
    Next,
    /// The last entry.
    Inside,
    /// The one that the last entry stands in.
    Around,
    /// The one in its column that the last entry stands in; it is the last.
    Outer,
    Document,
}

/// Decides what a comment belongs to; `inner` is the last entry before it, and `is_first` says that no other comment is between them.
fn belongs(comment: &Comment, inner: Option<(u32, usize)>, is_first: bool) -> Belongs {
    let Some((column, _)) = inner else {
        return Belongs::Document;
    };
    let (blank_above, blank_behind) = comment.group_blanks;
    let is_left = comment.column < column;
    match comment.next {
        Some(_) if comment.behind_colon => Belongs::Next,
        None if blank_above || comment.behind_colon => Belongs::Document,
        None if is_left => Belongs::Outer,
        None => Belongs::Inside,
        Some(_) if blank_behind && !blank_above => {
            if is_left {
                Belongs::Around
            } else {
                Belongs::Inside
            }
        }
        Some(next) if next < column && next != comment.column => {
            if is_left && !is_first {
                Belongs::Around
            } else {
                Belongs::Inside
            }
        }
        Some(_) => Belongs::Next,
    }
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Block,
    Inline,
}
