//! Nodes in inline style: `[...]` and `{...}`.
//!
//! Enters: tokens. Leaves: items of the tree. Never: columns, which say nothing here.

use super::build::{Build, Key, Layout, Level, Scalar, fail};
use super::error::{Error, ErrorKind};
use super::nodes::{Atom, Content, Written};
use super::parser::{Kind, Look, Parser};
use super::properties::Properties;

/// An entry of an inline collection: a key when a colon follows it.
enum Entry<'a, I> {
    Key(Look, Key<'a, I>),
    Node(Properties<'a>, Atom<'a, I>),
}

impl<'a, B: Build> Parser<'a, B> {
    /// Reads an inline list, from its bracket on.
    pub(super) fn flow_sequence(&mut self, start: Look) -> Result<B::Item, Error> {
        self.begin_flow()?;
        let mut items = Vec::new();
        while let Some(look) = self.next_entry(items.is_empty(), Kind::SequenceEnd, ']')? {
            if look.kind == Kind::Question {
                self.cursor.position += 1;
                self.key_allowed = false;
                let next = self.look()?;
                let (properties, atom) = self.flow_atom(next)?;
                let key = self.key(properties, atom)?;
                items.push(self.flow_pair(look, key)?);
                continue;
            }
            items.push(match self.flow_entry(look)? {
                Entry::Key(look, key) => self.flow_pair(look, key)?,
                Entry::Node(properties, atom) => self.flow_item(properties, atom)?.0,
            });
        }
        self.end_flow();
        Ok(self.build.sequence(start.mark, items, Layout::Inline))
    }

    /// Reads an inline mapping, from its brace on.
    pub(super) fn flow_mapping(&mut self, start: Look) -> Result<B::Item, Error> {
        self.begin_flow()?;
        let level = if self.is_root() {
            Level::Root
        } else {
            Level::Inner
        };
        let mut mapping = self.build.mapping(start.mark, level, Layout::Inline);
        let mut is_first = true;
        while let Some(look) = self.next_entry(is_first, Kind::MappingEnd, '}')? {
            is_first = false;
            let (key, at) = if look.kind == Kind::Question {
                self.cursor.position += 1;
                self.key_allowed = false;
                let next = self.look()?;
                if matches!(next.kind, Kind::Colon | Kind::Comma | Kind::MappingEnd) {
                    self.count(1)?;
                    (Key::Scalar(Scalar::EMPTY), next.mark)
                } else {
                    let (properties, atom) = self.flow_atom(next)?;
                    (self.key(properties, atom)?, next.mark)
                }
            } else {
                match self.flow_entry(look)? {
                    Entry::Key(look, key) => (key, look.mark),
                    Entry::Node(properties, atom) => {
                        // A key without a colon has no value; what follows must be a comma or the end.
                        let key = self.key(properties, atom)?;
                        let value = self.empty_item(look.mark)?;
                        self.build
                            .entry(&mut mapping, look.mark, key, value, false)?;
                        continue;
                    }
                }
            };
            let (value, is_alias) = self.flow_value(Kind::MappingEnd)?;
            self.build.entry(&mut mapping, at, key, value, is_alias)?;
        }
        self.end_flow();
        self.build.finish(mapping)
    }

    fn begin_flow(&mut self) -> Result<(), Error> {
        self.enter()?;
        self.count(1)?;
        self.cursor.position += 1;
        self.flow += 1;
        self.key_allowed = true;
        Ok(())
    }

    fn end_flow(&mut self) {
        self.leave();
        self.flow -= 1;
        self.key_allowed = false;
    }

    /// Moves to the next entry, over the comma before it; `None` at the end, which is consumed.
    fn next_entry(
        &mut self,
        is_first: bool,
        end: Kind,
        closing: char,
    ) -> Result<Option<Look>, Error> {
        let mut look = self.look()?;
        if look.kind != end && !is_first {
            if look.kind != Kind::Comma {
                return Err(fail(look.mark, ErrorKind::ExpectedComma(closing)));
            }
            self.cursor.position += 1;
            self.key_allowed = true;
            look = self.look()?;
        }
        if look.kind == end {
            self.cursor.position += 1;
            return Ok(None);
        }
        Ok(Some(look))
    }

    /// Reads an entry up to the colon that makes it a key, if one follows on the same line.
    fn flow_entry(&mut self, look: Look) -> Result<Entry<'a, B::Item>, Error> {
        let start = self.key_allowed.then_some(look.mark);
        let (properties, atom) = self.flow_atom(look)?;
        if start.is_some_and(|start| self.is_key(start)) {
            let key = self.key(properties, atom)?;
            return Ok(Entry::Key(look, key));
        }
        Ok(Entry::Node(properties, atom))
    }

    /// Reads properties and what they belong to, which may be nothing.
    fn flow_atom(&mut self, look: Look) -> Result<(Properties<'a>, Atom<'a, B::Item>), Error> {
        let (mut properties, mut next) = self.properties(look)?;
        if !properties.is_empty() && matches!(next.kind, Kind::Anchor | Kind::Tag) {
            let (more, behind) = self.properties(next)?;
            properties = properties
                .join(more)
                .ok_or_else(|| fail(next.mark, ErrorKind::ExpectedValue))?;
            next = behind;
        }
        let atom = match next.kind {
            Kind::Alias | Kind::Single | Kind::Double | Kind::Plain => self.atom(next)?,
            Kind::SequenceStart | Kind::MappingStart => {
                let before = self.open(properties.anchor);
                let mut atom = self.atom(next)?;
                if let Content::Collection(item) = atom.content {
                    let item = self.name(properties.anchor, item);
                    self.close(properties.anchor, &item, before);
                    atom.content = Content::Collection(item);
                }
                atom
            }
            Kind::Colon | Kind::Comma | Kind::SequenceEnd | Kind::MappingEnd
                if !properties.is_empty() =>
            {
                Atom {
                    content: Content::Scalar(self.nothing()),
                    ..Atom::empty(next.mark)
                }
            }
            _ => return Err(fail(next.mark, ErrorKind::ExpectedValue)),
        };
        Ok((properties, atom))
    }

    fn flow_item(
        &mut self,
        properties: Properties<'a>,
        atom: Atom<'a, B::Item>,
    ) -> Result<Written<B::Item>, Error> {
        match atom.content {
            Content::Scalar(scalar) => self.scalar_item(atom.at, properties, scalar),
            Content::Collection(item) => Ok((item, false)),
            Content::Alias(item) if properties.is_empty() => Ok((item, true)),
            Content::Alias(_) => Err(fail(atom.at, ErrorKind::ExpectedValue)),
        }
    }

    /// Reads the value behind a key, which is null without a colon, or without anything behind it.
    fn flow_value(&mut self, end: Kind) -> Result<Written<B::Item>, Error> {
        let mut look = self.look()?;
        if look.kind != Kind::Colon {
            return Ok((self.empty_item(look.mark)?, false));
        }
        self.cursor.position += 1;
        self.key_allowed = false;
        look = self.look()?;
        if look.kind == Kind::Comma || look.kind == end {
            return Ok((self.empty_item(look.mark)?, false));
        }
        let (properties, atom) = self.flow_atom(look)?;
        self.flow_item(properties, atom)
    }

    /// Reads the value of a key that is an entry of a list: a mapping of one entry.
    fn flow_pair(&mut self, at: Look, key: Key<'a, B::Item>) -> Result<B::Item, Error> {
        self.enter()?;
        self.count(1)?;
        let mut mapping = self.build.mapping(at.mark, Level::Inner, Layout::Inline);
        let (value, is_alias) = self.flow_value(Kind::SequenceEnd)?;
        self.build
            .entry(&mut mapping, at.mark, key, value, is_alias)?;
        self.leave();
        self.build.finish(mapping)
    }
}
