//! Nodes in block style, and lists of them.
//!
//! Enters: tokens and their columns. Leaves: items of the tree. Never: inline collections, the text of scalars.

use super::build::{Build, Form, Layout, Scalar, Tag, fail};
use super::cursor::Mark;
use super::dialect::Dialect;
use super::error::{Error, ErrorKind};
use super::parser::{Anchored, Kind, Look, Parser};
use super::properties::Properties;
use super::refold::is_lost_in_block;
use super::resolve::is_time;

/// A node whose use, as a key or a value, is not known before the character behind it has been seen.
pub(super) struct Atom<'a, I> {
    pub(super) at: Mark,
    pub(super) content: Content<'a, I>,
    /// How many nodes it is.
    pub(super) nodes: usize,
}

impl<I> Atom<'_, I> {
    /// Nothing, where a colon or properties say that there is a node.
    pub(super) fn empty(at: Mark) -> Self {
        Self {
            at,
            content: Content::Scalar(Scalar::EMPTY),
            nodes: 1,
        }
    }
}

pub(super) enum Content<'a, I> {
    Scalar(Scalar<'a>),
    Collection(I),
    Alias(I),
}

/// An item, and whether it was written as an alias.
pub(super) type Written<I> = (I, bool);

impl<'a, B: Build> Parser<'a, B> {
    /// Reads the node that begins with `look`, which stands further right than the collection that it belongs to; only the dash of
    /// a list that is a mapping's value may stand in the mapping's own column (`flat_list`).
    pub(super) fn block_node(
        &mut self,
        look: Look,
        flat_list: bool,
    ) -> Result<Written<B::Item>, Error> {
        let mut look = look;
        let mut outer = Properties::default();
        loop {
            if self.is_nothing(look, flat_list) {
                return self.empty(outer, look);
            }
            let start = self.key_allowed.then_some(look.mark);
            let line = look.mark.line;
            let (inner, next) = self.properties(look)?;
            look = next;
            if let Some(start) = start
                && !inner.is_empty()
                && look.kind == Kind::Colon
                && self.is_key(start)
            {
                return self.block_mapping(start, outer, Some((inner, Atom::empty(start))));
            }
            if !inner.is_empty() && look.mark.line != line {
                outer = outer
                    .join(inner)
                    .ok_or_else(|| fail(look.mark, ErrorKind::ExpectedValue))?;
                continue;
            }
            return match look.kind {
                Kind::Alias
                | Kind::Single
                | Kind::Double
                | Kind::Plain
                | Kind::SequenceStart
                | Kind::MappingStart => self.block_atom(look, start, outer, inner),
                Kind::Literal | Kind::Folded => {
                    let properties = outer
                        .join(inner)
                        .ok_or_else(|| fail(look.mark, ErrorKind::ExpectedValue))?;
                    let mut scalar = self.block_scalar(look.kind == Kind::Literal)?;
                    if self.dialect != Dialect::Settings && is_lost_in_block(&scalar.text) {
                        scalar.tag = Some(Tag::TabInBlock);
                    }
                    self.scalar_item(look.mark, properties, scalar)
                }
                Kind::Dash if !self.key_allowed => {
                    Err(fail(look.mark, ErrorKind::SequenceNotAllowed))
                }
                Kind::Dash => self.block_sequence(look, outer),
                Kind::Question if self.key_allowed => self.block_mapping(look.mark, outer, None),
                Kind::Question | Kind::Colon => Err(fail(look.mark, ErrorKind::MappingNotAllowed)),
                Kind::StreamEnd | Kind::Directive | Kind::DocumentStart | Kind::DocumentEnd => {
                    let properties = outer
                        .join(inner)
                        .ok_or_else(|| fail(look.mark, ErrorKind::ExpectedValue))?;
                    self.empty(properties, look)
                }
                Kind::SequenceEnd | Kind::MappingEnd | Kind::Comma | Kind::Anchor | Kind::Tag => {
                    Err(fail(look.mark, ErrorKind::ExpectedValue))
                }
            };
        }
    }

    /// Whether a token does not belong to the node that is looked for, because it stands too far left. Block text may stand in the
    /// column of the collection around it, and the dashes of a list in that of the mapping whose value it is.
    pub(super) fn is_nothing(&self, look: Look, flat_list: bool) -> bool {
        let may_be_flat = matches!(look.kind, Kind::Literal | Kind::Folded)
            || (flat_list && look.kind == Kind::Dash);
        look.column < self.indent || (look.column == self.indent && !may_be_flat)
    }

    /// Reads a scalar, alias or inline collection, which turns out to be the first key of a mapping when a colon follows.
    fn block_atom(
        &mut self,
        look: Look,
        start: Option<Mark>,
        outer: Properties<'a>,
        inner: Properties<'a>,
    ) -> Result<Written<B::Item>, Error> {
        let is_collection = matches!(look.kind, Kind::SequenceStart | Kind::MappingStart);
        let anchor = if is_collection {
            outer.anchor.or(inner.anchor)
        } else {
            None
        };
        let before = self.open(anchor);
        let atom = self.atom(look)?;
        if let Some(start) = start
            && self.is_key(start)
        {
            return self.block_mapping(start, outer, Some((inner, atom)));
        }
        let properties = outer
            .join(inner)
            .ok_or_else(|| fail(look.mark, ErrorKind::ExpectedValue))?;
        match atom.content {
            Content::Scalar(scalar) => self.scalar_item(look.mark, properties, scalar),
            Content::Collection(item) => {
                let item = self.name(anchor, item);
                self.close(anchor, &item, before);
                Ok((item, false))
            }
            Content::Alias(item) if properties.is_empty() => Ok((item, true)),
            Content::Alias(_) => Err(fail(look.mark, ErrorKind::ExpectedValue)),
        }
    }

    /// Reads what is one token, or one inline collection.
    pub(super) fn atom(&mut self, look: Look) -> Result<Atom<'a, B::Item>, Error> {
        let before = self.nodes();
        let content = match look.kind {
            Kind::Alias => Content::Alias(self.alias()?),
            Kind::SequenceStart => Content::Collection(self.flow_sequence(look)?),
            Kind::MappingStart => Content::Collection(self.flow_mapping(look)?),
            Kind::Single => Content::Scalar(self.single_quoted()?),
            Kind::Double => Content::Scalar(self.double_quoted()?),
            _ => {
                let mut scalar = self.plain()?;
                // Upstream puts quotes around a text with a colon inside of braces or brackets before it reads it again.
                if self.flow > 0 && self.dialect == Dialect::Objects && is_time(&scalar.text) {
                    scalar.tag = Some(Tag::Text);
                }
                Content::Scalar(scalar)
            }
        };
        Ok(Atom {
            at: look.mark,
            content,
            nodes: self.nodes() - before,
        })
    }

    /// Reads a list whose dashes stand in the column of `look`: its own column, or that of the mapping whose value it is.
    fn block_sequence(
        &mut self,
        look: Look,
        properties: Properties<'a>,
    ) -> Result<Written<B::Item>, Error> {
        self.enter()?;
        self.count(1)?;
        let before = self.open(properties.anchor);
        let is_flat = look.column == self.indent;
        let outside = std::mem::replace(&mut self.indent, look.column);
        let mut items = Vec::new();
        let mut next = look;
        while next.kind == Kind::Dash && next.column == self.indent && self.key_allowed {
            self.cursor.position += 1;
            self.key_allowed = true;
            next = self.look()?;
            if self.is_nothing(next, false) {
                items.push(self.empty_item(next.mark)?);
            } else {
                items.push(self.block_node(next, false)?.0);
                next = self.look()?;
            }
        }
        if next.column > self.indent || (next.column == self.indent && !is_flat) {
            let is_colon = next.kind == Kind::Colon;
            return Err(fail(
                next.mark,
                if is_colon {
                    ErrorKind::MappingNotAllowed
                } else {
                    ErrorKind::ExpectedItem
                },
            ));
        }
        self.indent = outside;
        self.leave();
        let item = self
            .build
            .sequence(properties.at.unwrap_or(look.mark), items, Layout::Block);
        let item = self.name(properties.anchor, item);
        self.close(properties.anchor, &item, before);
        Ok((item, false))
    }

    /// Nothing where a node could be: null, if that is said by properties or by what follows.
    fn empty(&mut self, properties: Properties<'a>, look: Look) -> Result<Written<B::Item>, Error> {
        if properties.is_empty() && self.indent < 0 {
            return Err(fail(look.mark, ErrorKind::ExpectedValue));
        }
        self.scalar_item(
            properties.at.unwrap_or(look.mark),
            properties,
            Scalar::EMPTY,
        )
    }

    pub(super) fn empty_item(&mut self, at: Mark) -> Result<B::Item, Error> {
        self.count(1)?;
        let scalar = self.nothing();
        self.build.scalar(at, scalar)
    }

    /// What stands where nothing stands: null. In the inline collections of objects it becomes empty text when nothing changes it,
    /// because upstream writes it with quotes there before it reads it again.
    pub(super) fn nothing(&self) -> Scalar<'a> {
        Scalar {
            form: if self.flow == 0 || self.dialect != Dialect::Objects {
                Form::Plain
            } else {
                Form::Double
            },
            tag: (self.flow > 0 && self.dialect != Dialect::Settings).then_some(Tag::Blank),
            ..Scalar::EMPTY
        }
    }

    pub(super) fn scalar_item(
        &mut self,
        at: Mark,
        properties: Properties<'a>,
        mut scalar: Scalar<'a>,
    ) -> Result<Written<B::Item>, Error> {
        self.count(1)?;
        scalar.tag = properties.tag.or(scalar.tag);
        let item = self.build.scalar(properties.at.unwrap_or(at), scalar)?;
        let item = self.name(properties.anchor, item);
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, Anchored::Done(item.clone(), 1));
        }
        Ok((item, false))
    }

    /// Tells the builder of an anchor.
    pub(super) fn name(&mut self, anchor: Option<&'a str>, item: B::Item) -> B::Item {
        match anchor {
            Some(name) => self.build.anchored(name, item),
            None => item,
        }
    }

    /// Announces a collection under its anchor, so that an alias inside it is seen to be one. Returns the nodes before it.
    pub(super) fn open(&mut self, anchor: Option<&'a str>) -> usize {
        let nodes = self.nodes();
        if let Some(name) = anchor {
            self.anchors.insert(name, Anchored::Open(nodes));
        }
        nodes
    }

    /// Remembers a finished collection under its anchor, unless something inside it has taken the name.
    pub(super) fn close(&mut self, anchor: Option<&'a str>, item: &B::Item, before: usize) {
        let nodes = self.nodes() - before;
        if let Some(anchored) = anchor.and_then(|name| self.anchors.get_mut(name))
            && matches!(anchored, Anchored::Open(number) if *number == before)
        {
            *anchored = Anchored::Done(item.clone(), nodes);
        }
    }
}
