//! Nodes in block style: mappings, lists, and what stands in them.
//!
//! Enters: tokens and their columns. Leaves: items of the tree. Never: inline collections, the text of scalars.

use super::build::{Build, Key, Level, Scalar, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::parser::{Anchored, Dialect, Kind, Look, Parser};
use super::properties::Properties;

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
                    let scalar = self.block_scalar(look.kind == Kind::Literal)?;
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
    fn is_nothing(&self, look: Look, flat_list: bool) -> bool {
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
            _ => Content::Scalar(self.plain()?),
        };
        Ok(Atom {
            at: look.mark,
            content,
            nodes: self.nodes() - before,
        })
    }

    /// Reads a mapping whose keys stand in the column of `start`. The first key, and its properties, may have been read already.
    fn block_mapping(
        &mut self,
        start: Mark,
        properties: Properties<'a>,
        first: Option<(Properties<'a>, Atom<'a, B::Item>)>,
    ) -> Result<Written<B::Item>, Error> {
        self.enter()?;
        self.count(1)?;
        let before = self.open(properties.anchor);
        let outside = std::mem::replace(&mut self.indent, i64::from(start.column));
        let level = if self.is_root() {
            Level::Root
        } else {
            Level::Inner
        };
        let mut mapping = self.build.mapping(properties.at.unwrap_or(start), level);
        if let Some((properties, atom)) = first {
            self.block_value_of(&mut mapping, properties, atom)?;
        }
        loop {
            let look = self.look()?;
            if look.column < self.indent {
                break;
            }
            if look.column > self.indent || !self.key_allowed {
                let is_colon = look.kind == Kind::Colon;
                return Err(fail(
                    look.mark,
                    if is_colon {
                        ErrorKind::MappingNotAllowed
                    } else {
                        ErrorKind::ExpectedKey
                    },
                ));
            }
            match look.kind {
                Kind::Question => self.explicit_entry(&mut mapping, look)?,
                Kind::Alias
                | Kind::Anchor
                | Kind::Tag
                | Kind::Single
                | Kind::Double
                | Kind::Plain
                | Kind::SequenceStart
                | Kind::MappingStart => {
                    let (properties, next) = self.properties(look)?;
                    let atom = if next.kind == Kind::Colon && !properties.is_empty() {
                        Atom::empty(look.mark)
                    } else if next.mark.line == look.mark.line && is_atom(next.kind) {
                        self.atom(next)?
                    } else {
                        return Err(fail(look.mark, ErrorKind::ExpectedColon));
                    };
                    if !self.is_key(look.mark) {
                        return Err(fail(look.mark, ErrorKind::ExpectedColon));
                    }
                    self.block_value_of(&mut mapping, properties, atom)?;
                }
                _ => return Err(fail(look.mark, ErrorKind::ExpectedKey)),
            }
        }
        self.indent = outside;
        self.leave();
        let item = self.build.finish(mapping)?;
        self.close(properties.anchor, &item, before);
        Ok((item, false))
    }

    /// Reads the value behind a key that ends here, before its colon, and adds both.
    fn block_value_of(
        &mut self,
        mapping: &mut B::Mapping,
        properties: Properties<'a>,
        atom: Atom<'a, B::Item>,
    ) -> Result<(), Error> {
        let at = properties.at.unwrap_or(atom.at);
        let key = self.key(properties, atom)?;
        self.cursor.position += 1;
        self.key_allowed = false;
        let (value, is_alias) = self.block_value()?;
        self.build.entry(mapping, at, key, value, is_alias)
    }

    /// Reads the value of an entry; the position is behind its colon, or behind the question mark of a key.
    fn block_value(&mut self) -> Result<Written<B::Item>, Error> {
        let look = self.look()?;
        self.block_node(look, true)
    }

    /// Reads `? key`, and `: value` if that follows.
    fn explicit_entry(&mut self, mapping: &mut B::Mapping, look: Look) -> Result<(), Error> {
        self.cursor.position += 1;
        self.key_allowed = true;
        let next = self.look()?;
        let key = self.explicit_key(next)?;
        let next = self.look()?;
        let (value, is_alias) =
            if next.kind == Kind::Colon && next.column == self.indent && self.key_allowed {
                self.cursor.position += 1;
                self.key_allowed = true;
                self.block_value()?
            } else {
                (self.empty_item(next.mark)?, false)
            };
        self.build.entry(mapping, look.mark, key, value, is_alias)
    }

    /// Reads the node behind a question mark. A scalar stays one, so that the builder sees how it was written.
    fn explicit_key(&mut self, look: Look) -> Result<Key<'a, B::Item>, Error> {
        let is_scalar = matches!(
            look.kind,
            Kind::Single | Kind::Double | Kind::Plain | Kind::Literal | Kind::Folded
        );
        if self.is_nothing(look, true) {
            self.count(1)?;
            return Ok(Key::Scalar(Scalar::EMPTY));
        }
        if !is_scalar {
            return Ok(Key::Item(self.block_node(look, true)?.0));
        }
        if matches!(look.kind, Kind::Literal | Kind::Folded) {
            self.count(1)?;
            return Ok(Key::Scalar(self.block_scalar(look.kind == Kind::Literal)?));
        }
        let atom = self.atom(look)?;
        if self.is_key(look.mark) {
            return Ok(Key::Item(
                self.block_mapping(
                    look.mark,
                    Properties::default(),
                    Some((Properties::default(), atom)),
                )?
                .0,
            ));
        }
        self.key(Properties::default(), atom)
    }

    /// Turns an atom into a key, and remembers it under its anchor.
    pub(super) fn key(
        &mut self,
        properties: Properties<'a>,
        atom: Atom<'a, B::Item>,
    ) -> Result<Key<'a, B::Item>, Error> {
        match atom.content {
            Content::Scalar(mut scalar) => {
                scalar.tag = properties.tag;
                self.count(1)?;
                if let Some(name) = properties.anchor {
                    let item = self.build.scalar(atom.at, scalar.clone())?;
                    self.anchors.insert(name, Anchored::Done(item, 1));
                }
                Ok(Key::Scalar(scalar))
            }
            Content::Alias(_) if !properties.is_empty() => {
                Err(fail(atom.at, ErrorKind::ExpectedValue))
            }
            Content::Collection(item) | Content::Alias(item) => {
                if let Some(name) = properties.anchor {
                    self.anchors
                        .insert(name, Anchored::Done(item.clone(), atom.nodes));
                }
                Ok(Key::Item(item))
            }
        }
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
            .sequence(properties.at.unwrap_or(look.mark), items);
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

    /// What stands where nothing stands: null. In the inline collections of objects it is empty text, because upstream writes it
    /// with quotes there before it reads it again.
    pub(super) fn nothing(&self) -> Scalar<'a> {
        Scalar {
            plain: self.flow == 0 || self.dialect != Dialect::Objects,
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
        scalar.tag = properties.tag;
        let item = self.build.scalar(properties.at.unwrap_or(at), scalar)?;
        if let Some(name) = properties.anchor {
            self.anchors.insert(name, Anchored::Done(item.clone(), 1));
        }
        Ok((item, false))
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

fn is_atom(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Alias
            | Kind::Single
            | Kind::Double
            | Kind::Plain
            | Kind::SequenceStart
            | Kind::MappingStart
    )
}
