//! A document as it is written: what upstream keeps of a text in which it changes a field.
//!
//! Enters: the text of one document. Leaves: a tree with its order, quotes, blocks, brackets, anchors and comments; its texts can be
//! changed and entries added. Never: the meaning of a field; the output, which is `styled_print.rs`.

use std::collections::BTreeMap;

use super::build::{Build, Form, Key, Layout, Level, Scalar, Stand, Tag};
use super::cursor::Mark;
use super::dialect::Dialect;
use super::error::Error;
use super::limits::Limits;
use super::meaning::Meaning;
use super::read::parse_as_written;
use super::resolve::resolve;

/// A document as it is written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) root: Styled,
    pub(super) comments: Vec<Comment>,
    /// Comments behind something, by its line.
    pub(super) behind: BTreeMap<u32, String>,
    /// The column in which each line begins.
    pub(super) margins: Vec<u32>,
    /// Whether the last line has no line break.
    pub(super) is_open: bool,
}

/// A comment of its own line.
#[derive(Debug)]
pub(super) struct Comment {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) text: String,
    /// The column in which the next line begins that is no comment; `None` at the end.
    pub(super) next: Option<u32>,
    /// Whether an empty line comes next.
    pub(super) blank_behind: bool,
    /// Whether an empty line comes before, and behind, the comments of which this is one and between which there is none.
    pub(super) group_blanks: (bool, bool),
    /// Whether nothing but a dash stands before it since the last item.
    pub(super) behind_dash: bool,
    /// Whether a key that has its value below stands before it.
    pub(super) behind_colon: bool,
}

/// A node as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Styled {
    pub(super) shape: Shape,
    pub(super) anchor: Option<String>,
    /// Line and column where it stands, from 0; `None` for what was added.
    pub(super) at: Option<(u32, u32)>,
}

/// What a node is, without how it is written.
#[derive(Debug)]
pub(crate) enum View<'n> {
    /// A scalar that is what its text says.
    Plain(&'n str),
    /// A scalar that has quotes, a tag, or is a block.
    Text(&'n str),
    Alias(&'n str),
    Sequence(&'n [Styled]),
    Mapping(&'n [(Styled, Styled)]),
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    Scalar {
        text: String,
        form: Form,
        /// A tag that has to be written, because the text without it would be something else.
        tag: Option<&'static str>,
    },
    Sequence(Vec<Styled>, Layout),
    Mapping(Vec<(Styled, Styled)>, Layout),
    Alias(String),
}

impl Written {
    /// Reads the first document of a text. `None` for what is not well-formed, and for the few things that are not held as they are
    /// written: tags of one's own, keys that are collections, comments inside of brackets.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let limits = Limits::default();
        let mut document = parse_as_written(text, Builder::default(), &limits).ok()??;
        let builder = &mut document.1;
        if builder.is_lost || builder.anchors != document.0.anchors() {
            return None;
        }
        let mut comments = std::mem::take(&mut builder.comments);
        let lines: Vec<&str> = text.lines().collect();
        look_around(&lines, &mut comments);
        Some(Self {
            root: document.0,
            comments,
            behind: std::mem::take(&mut builder.behind),
            margins: lines.iter().map(|line| margin(line)).collect(),
            is_open: !text.ends_with('\n'),
        })
    }
}

fn margin(line: &str) -> u32 {
    u32::try_from(line.len() - line.trim_start().len()).unwrap_or(u32::MAX)
}

/// What comes before or behind a line. Comments do not count for it.
#[derive(Clone, Copy, Default)]
struct Around<'t> {
    /// Whether the nearest line is empty.
    is_blank: bool,
    /// The nearest line that is not empty.
    content: Option<&'t str>,
}

impl<'t> Around<'t> {
    fn pass(&mut self, line: &'t str) {
        let text = line.trim();
        if text.is_empty() {
            self.is_blank = true;
        } else if !text.starts_with('#') {
            self.is_blank = false;
            self.content = Some(line);
        }
    }
}

/// Says of comments, in their order, what is around them. Each line is passed once in each direction, however many comments there are.
fn look_around(lines: &[&str], comments: &mut [Comment]) {
    let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    let mut above = Around::default();
    let mut opens = (false, false);
    let mut left = comments.iter_mut().peekable();
    for (index, line) in lines.iter().enumerate() {
        while let Some(comment) = left.next_if(|comment| comment.line <= number(index)) {
            comment.group_blanks.0 = above.is_blank;
            (comment.behind_dash, comment.behind_colon) = opens;
        }
        let before = above.content;
        above.pass(line);
        if above.content != before {
            opens = above.content.map(opens_value).unwrap_or_default();
        }
    }
    let mut below = Around::default();
    let mut left = comments.iter_mut().rev().peekable();
    for (index, line) in lines.iter().enumerate().rev() {
        while let Some(comment) = left.next_if(|comment| comment.line >= number(index)) {
            let next = lines.get(index + 1);
            comment.blank_behind = next.is_some_and(|next| next.trim().is_empty());
            comment.group_blanks.1 = below.is_blank;
            comment.next = below.content.map(margin);
        }
        below.pass(line);
    }
}

/// Says whether a line ends with a dash, and with a key, whose value stands below.
fn opens_value(line: &str) -> (bool, bool) {
    let code = line.split(" #").next().unwrap_or_default();
    (
        line.trim() == "-" || line.trim_end().ends_with(" -"),
        code.trim_end().ends_with(':'),
    )
}

impl Styled {
    /// A text that is to stay one.
    pub(crate) fn text(text: &str) -> Self {
        let form = if tag_of(text) == "!!str" {
            Form::Plain
        } else {
            Form::Double
        };
        Self::scalar(text, form)
    }

    /// Whatever the text says.
    pub(crate) fn plain(text: &str) -> Self {
        Self::scalar(text, Form::Plain)
    }

    fn scalar(text: &str, form: Form) -> Self {
        Self::added(Shape::Scalar {
            text: text.to_owned(),
            form,
            tag: None,
        })
    }

    pub(crate) fn sequence(items: Vec<Self>) -> Self {
        Self::added(Shape::Sequence(items, Layout::Block))
    }

    pub(crate) fn mapping(entries: Vec<(Self, Self)>) -> Self {
        Self::added(Shape::Mapping(entries, Layout::Block))
    }

    fn added(shape: Shape) -> Self {
        Self {
            shape,
            anchor: None,
            at: None,
        }
    }

    /// Writes another text over a scalar, whose quotes and type stay. `None` where there is none.
    pub(crate) fn set_text(&mut self, new: &str) -> Option<()> {
        let Shape::Scalar { text, form, tag } = &mut self.shape else {
            return None;
        };
        if *form == Form::Plain && tag.is_none() {
            let (was, is) = (tag_of(text), tag_of(new));
            if was == "!!str" && is != was {
                *form = Form::Double;
            } else if was != is {
                *tag = Some(was);
            }
        }
        new.clone_into(text);
        Some(())
    }

    /// What it is.
    pub(crate) fn view(&self) -> View<'_> {
        match &self.shape {
            Shape::Scalar { text, form, tag } if *form == Form::Plain && tag.is_none() => {
                View::Plain(text)
            }
            Shape::Scalar { text, .. } => View::Text(text),
            Shape::Alias(name) => View::Alias(name),
            Shape::Sequence(items, _) => View::Sequence(items),
            Shape::Mapping(entries, _) => View::Mapping(entries),
        }
    }

    /// The value of a key, where this is a mapping that has it.
    pub(crate) fn entry_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Shape::Mapping(entries, _) = &mut self.shape else {
            return None;
        };
        let found = entries
            .iter_mut()
            .find(|(key, _)| matches!(&key.shape, Shape::Scalar { text, .. } if text == name));
        found.map(|(_, value)| value)
    }

    /// Adds an entry to a mapping. `None` where there is none.
    pub(crate) fn push_entry(&mut self, name: &str, value: Self) -> Option<()> {
        let Shape::Mapping(entries, _) = &mut self.shape else {
            return None;
        };
        entries.push((Self::plain(name), value));
        Some(())
    }

    /// The items of a list.
    pub(crate) fn items_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.shape {
            Shape::Sequence(items, _) => Some(items),
            Shape::Scalar { .. } | Shape::Mapping(..) | Shape::Alias(_) => None,
        }
    }

    fn anchors(&self) -> usize {
        let inside: usize = match &self.shape {
            Shape::Scalar { .. } | Shape::Alias(_) => 0,
            Shape::Sequence(items, _) => items.iter().map(Self::anchors).sum(),
            Shape::Mapping(entries, _) => entries
                .iter()
                .map(|(key, value)| key.anchors() + value.anchors())
                .sum(),
        };
        inside + usize::from(self.anchor.is_some())
    }
}

/// The tag of a scalar without quotes.
fn tag_of(text: &str) -> &'static str {
    let scalar = Scalar {
        text: text.into(),
        form: Form::Plain,
        tag: None,
    };
    match resolve(&scalar, Dialect::Objects) {
        Ok(Meaning::Null) => "!!null",
        Ok(Meaning::Bool(_)) => "!!bool",
        Ok(Meaning::Signed(_) | Meaning::Unsigned(_)) => "!!int",
        Ok(Meaning::Float(_)) => "!!float",
        Ok(Meaning::Date(_)) => "!!timestamp",
        Ok(Meaning::Merge) => "!!merge",
        Ok(Meaning::Text | Meaning::Binary(_)) | Err(_) => "!!str",
    }
}

/// How a tag is written; `None` for those of which that is not known any more.
fn written_tag(tag: Tag) -> Option<&'static str> {
    match tag {
        Tag::Null => Some("!!null"),
        Tag::Bool => Some("!!bool"),
        Tag::Text => Some("!!str"),
        Tag::Integer => Some("!!int"),
        Tag::Float => Some("!!float"),
        Tag::Timestamp => Some("!!timestamp"),
        Tag::Binary => Some("!!binary"),
        Tag::Merge => Some("!!merge"),
        Tag::Blank | Tag::TabInBlock | Tag::Unspecific | Tag::Other => None,
    }
}

/// Builds the tree.
#[derive(Debug, Default)]
pub(super) struct Builder {
    comments: Vec<Comment>,
    behind: BTreeMap<u32, String>,
    anchors: usize,
    is_lost: bool,
}

fn placed(at: Mark, shape: Shape) -> Styled {
    Styled {
        shape,
        anchor: None,
        at: Some((at.line, at.column)),
    }
}

impl Builder {
    fn of_scalar(&mut self, at: Mark, scalar: Scalar<'_>) -> Styled {
        let tag = scalar.tag.map(written_tag);
        self.is_lost |= tag == Some(None);
        placed(
            at,
            Shape::Scalar {
                text: scalar.text.into_owned(),
                form: scalar.form,
                tag: tag.flatten(),
            },
        )
    }
}

/// A mapping that is not finished.
#[derive(Debug)]
pub(super) struct Entries {
    at: Mark,
    pairs: Vec<(Styled, Styled)>,
    layout: Layout,
}

impl Build for Builder {
    type Item = Styled;
    type Mapping = Entries;

    fn scalar(&mut self, at: Mark, scalar: Scalar<'_>) -> Result<Styled, Error> {
        Ok(self.of_scalar(at, scalar))
    }

    fn sequence(&mut self, at: Mark, items: Vec<Styled>, layout: Layout) -> Styled {
        placed(at, Shape::Sequence(items, layout))
    }

    fn mapping(&mut self, at: Mark, _level: Level, layout: Layout) -> Entries {
        Entries {
            at,
            pairs: Vec::new(),
            layout,
        }
    }

    fn entry(
        &mut self,
        mapping: &mut Entries,
        at: Mark,
        key: Key<'_, Styled>,
        value: Styled,
        _is_alias: bool,
    ) -> Result<(), Error> {
        let key = match key {
            Key::Scalar(scalar) => self.of_scalar(at, scalar),
            Key::Item(item) => {
                self.is_lost = true;
                item
            }
        };
        let value = match &value.shape {
            // Nothing stands where the next thing does.
            Shape::Scalar { text, form, .. } if text.is_empty() && *form == Form::Plain => Styled {
                at: key.at,
                ..value
            },
            _ => value,
        };
        mapping.pairs.push((key, value));
        Ok(())
    }

    fn finish(&mut self, mapping: Entries) -> Result<Styled, Error> {
        Ok(placed(
            mapping.at,
            Shape::Mapping(mapping.pairs, mapping.layout),
        ))
    }

    fn anchored(&mut self, name: &str, item: Styled) -> Styled {
        self.anchors += 1;
        Styled {
            anchor: Some(name.to_owned()),
            ..item
        }
    }

    fn aliased(&mut self, at: Mark, name: &str, _item: Styled) -> Styled {
        placed(at, Shape::Alias(name.to_owned()))
    }

    fn comment(&mut self, at: Mark, text: &str, stand: Stand) {
        let text = text.to_owned();
        match stand {
            Stand::Alone => self.comments.push(Comment {
                line: at.line,
                column: at.column,
                text,
                next: None,
                blank_behind: false,
                group_blanks: (false, false),
                behind_dash: false,
                behind_colon: false,
            }),
            Stand::Behind => {
                self.behind.insert(at.line, text);
            }
            Stand::Inline => self.is_lost = true,
        }
    }
}
