//! What the parser hands over, and what it is turned into.
//!
//! Enters: scalars, lists and mappings as the grammar finds them. Leaves: the `Build` trait, which makes a tree of them.
//! Never: a position in the text other than as a mark.

use std::borrow::Cow;

use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::refold::refolded;

/// A tag, as far as it says something about a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null,
    Bool,
    Text,
    Integer,
    Float,
    Timestamp,
    Binary,
    Merge,
    /// None; that nothing stands inside of braces or brackets of an object.
    Blank,
    /// None; that the text is a block that begins with a tab.
    TabInBlock,
    /// A lone `!`.
    Unspecific,
    /// Any other; it says nothing.
    Other,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// A scalar: its text with quotes, escapes and folding resolved.
#[derive(Debug, Clone)]
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) form: Form,
    pub(super) tag: Option<Tag>,
}

impl Scalar<'_> {
    /// Whether it is neither quoted nor a block text.
    pub(super) fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// The text that upstream goes on with once it has written and read the object again.
    pub(super) fn refolded(self) -> String {
        if self.form == Form::Folded {
            refolded(&self.text)
        } else {
            self.text.into_owned()
        }
    }

    /// What stands where nothing stands.
    pub(super) const EMPTY: Self = Self {
        text: Cow::Borrowed(""),
        form: Form::Plain,
        tag: None,
    };
}

/// The key of a mapping entry.
#[derive(Debug)]
pub(super) enum Key<'a, I> {
    Scalar(Scalar<'a>),
    /// A collection, or what an alias stands for.
    Item(I),
}

/// Where a mapping stands in its document, for builders that treat the outermost one differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Root,
    Inner,
}

/// How a list or mapping is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Block,
    /// In brackets or braces.
    Inline,
}

/// Where a comment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// On a line of its own.
    Alone,
    /// Behind something.
    Behind,
    /// In brackets or braces.
    Inline,
}

/// Makes a tree.
pub(super) trait Build {
    /// A node of the tree.
    type Item: Clone;
    /// A mapping that is not finished.
    type Mapping;

    fn scalar(&mut self, at: Mark, scalar: Scalar<'_>) -> Result<Self::Item, Error>;
    fn sequence(&mut self, at: Mark, items: Vec<Self::Item>, layout: Layout) -> Self::Item;
    fn mapping(&mut self, at: Mark, level: Level, layout: Layout) -> Self::Mapping;
    /// Adds an entry; `is_alias` when the value was written as an alias.
    fn entry(
        &mut self,
        mapping: &mut Self::Mapping,
        at: Mark,
        key: Key<'_, Self::Item>,
        value: Self::Item,
        is_alias: bool,
    ) -> Result<(), Error>;
    fn finish(&mut self, mapping: Self::Mapping) -> Result<Self::Item, Error>;

    /// An item that has an anchor.
    fn anchored(&mut self, _name: &str, item: Self::Item) -> Self::Item {
        item
    }
    /// What an alias stands for.
    fn aliased(&mut self, _at: Mark, _name: &str, item: Self::Item) -> Self::Item {
        item
    }
    /// A comment, from its `#` to the end of the line.
    fn comment(&mut self, _at: Mark, _text: &str, _stand: Stand) {}
}

/// An error at a mark.
pub(super) fn fail(at: Mark, kind: ErrorKind) -> Error {
    Error {
        line: at.line.saturating_add(1),
        column: at.column.saturating_add(1),
        kind,
    }
}
