//! Mappings in block style.
//!
//! Enters: tokens and their columns. Leaves: mappings. Never: inline mappings, or the nodes in a mapping.

use super::build::{Build, Key, Layout, Level, Scalar, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::nodes::{Atom, Content, Written};
use super::parser::{Anchored, Kind, Look, Parser};
use super::properties::Properties;

impl<'a, B: Build> Parser<'a, B> {
    /// Reads a mapping whose keys stand in the column of `start`. The first key, and its properties, may have been read already.
    pub(super) fn block_mapping(
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
        let mut mapping = self
            .build
            .mapping(properties.at.unwrap_or(start), level, Layout::Block);
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
        let item = self.name(properties.anchor, item);
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
                    let item = self.build.anchored(name, item);
                    self.anchors.insert(name, Anchored::Done(item, 1));
                }
                Ok(Key::Scalar(scalar))
            }
            Content::Alias(_) if !properties.is_empty() => {
                Err(fail(atom.at, ErrorKind::ExpectedValue))
            }
            Content::Collection(item) | Content::Alias(item) => {
                let item = self.name(properties.anchor, item);
                if let Some(name) = properties.anchor {
                    self.anchors
                        .insert(name, Anchored::Done(item.clone(), atom.nodes));
                }
                Ok(Key::Item(item))
            }
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
