//! Anchors, tags, aliases and directives.
//!
//! Enters: the text at `&`, `*`, `!` or `%`. Leaves: names and tags. Never: the node that they belong to.

use std::borrow::Cow;

use super::build::{Build, Tag, fail};
use super::cursor::Mark;
use super::error::{Error, ErrorKind};
use super::handles::CORE;
use super::parser::{Anchored, Kind, Look, Parser};

/// The marks that a tag may hold besides letters, digits, `-` and `_`.
const URI_MARKS: &[u8] = b";/?:@&=+$,.!~*'()[]";

/// What may stand before a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Properties<'a> {
    pub(super) anchor: Option<&'a str>,
    pub(super) tag: Option<Tag>,
    /// Where the first of them stands.
    pub(super) at: Option<Mark>,
}

impl Properties<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.at.is_none()
    }

    /// Joins those of an earlier line with those of this one; `None` when one of them stands twice.
    pub(super) fn join(self, later: Self) -> Option<Self> {
        if (self.anchor.is_some() && later.anchor.is_some())
            || (self.tag.is_some() && later.tag.is_some())
        {
            return None;
        }
        Some(Self {
            anchor: self.anchor.or(later.anchor),
            tag: self.tag.or(later.tag),
            at: self.at.or(later.at),
        })
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

impl<'a, B: Build> Parser<'a, B> {
    /// Reads the properties that stand on this line, and returns them with the token behind them.
    pub(super) fn properties(&mut self, mut look: Look) -> Result<(Properties<'a>, Look), Error> {
        let mut found = Properties::default();
        let line = look.mark.line;
        while look.mark.line == line {
            match look.kind {
                Kind::Anchor if found.anchor.is_none() => found.anchor = Some(self.anchor_name()?),
                Kind::Tag if found.tag.is_none() => found.tag = Some(self.tag()?),
                _ => break,
            }
            found.at = found.at.or(Some(look.mark));
            self.key_allowed = false;
            look = self.look()?;
        }
        Ok((found, look))
    }

    /// Reads an alias, and returns what it stands for.
    pub(super) fn alias(&mut self) -> Result<B::Item, Error> {
        let at = self.cursor.mark();
        let name = self.anchor_name()?;
        self.key_allowed = false;
        let nodes = match self.anchors.get(name) {
            Some(Anchored::Done(_, nodes)) => *nodes,
            Some(Anchored::Open(_)) => {
                return Err(fail(at, ErrorKind::RecursiveAnchor(name.to_owned())));
            }
            None => return Err(fail(at, ErrorKind::UnknownAnchor(name.to_owned()))),
        };
        // Counted before it is copied.
        self.count_aliased(nodes)?;
        match self.anchors.get(name) {
            Some(Anchored::Done(item, _)) => Ok(self.build.aliased(at, name, item.clone())),
            Some(Anchored::Open(_)) | None => {
                Err(fail(at, ErrorKind::UnknownAnchor(name.to_owned())))
            }
        }
    }

    /// Reads the name behind `&` or `*`.
    pub(super) fn anchor_name(&mut self) -> Result<&'a str, Error> {
        let at = self.cursor.mark();
        self.cursor.position += 1;
        let start = self.cursor.position;
        while is_name(self.cursor.peek(0)) {
            self.cursor.position += 1;
        }
        let end = self.cursor.position;
        let stops = matches!(
            self.cursor.peek(0),
            b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'
        );
        if start == end || !(stops || self.cursor.is_separator(end)) {
            return Err(fail(at, ErrorKind::AnchorName));
        }
        Ok(self.cursor.slice(start, end))
    }

    fn tag(&mut self) -> Result<Tag, Error> {
        let at = self.cursor.mark();
        let start = self.cursor.position;
        let full = if self.cursor.peek(1) == b'<' {
            self.cursor.position += 2;
            let uri = self.tag_uri(at)?;
            if uri.is_empty() || self.cursor.peek(0) != b'>' {
                return Err(fail(at, ErrorKind::Tag));
            }
            self.cursor.position += 1;
            uri
        } else {
            self.cursor.position += 1;
            while is_name(self.cursor.peek(0)) {
                self.cursor.position += 1;
            }
            let (handle, head) = if self.cursor.peek(0) == b'!' {
                self.cursor.position += 1;
                (self.cursor.slice(start, self.cursor.position), "")
            } else {
                ("!", self.cursor.slice(start + 1, self.cursor.position))
            };
            let rest = self.tag_uri(at)?;
            if handle == "!" && head.is_empty() && rest.is_empty() {
                Cow::Borrowed("!")
            } else if handle != "!" && rest.is_empty() {
                return Err(fail(at, ErrorKind::Tag));
            } else {
                let prefix = self
                    .handles
                    .prefix(handle)
                    .ok_or_else(|| fail(at, ErrorKind::TagHandle(handle.to_owned())))?;
                Cow::Owned(format!("{prefix}{head}{rest}"))
            }
        };
        if !self.cursor.is_separator(self.cursor.position) {
            return Err(fail(at, ErrorKind::Tag));
        }
        Ok(meaning(&full))
    }

    /// Reads the characters of a tag, percent escapes decoded.
    fn tag_uri(&mut self, at: Mark) -> Result<Cow<'a, str>, Error> {
        let start = self.cursor.position;
        while is_name(self.cursor.peek(0)) || URI_MARKS.contains(&self.cursor.peek(0)) {
            self.cursor.position += 1;
        }
        let plain = self.cursor.slice(start, self.cursor.position);
        if self.cursor.peek(0) != b'%' {
            return Ok(Cow::Borrowed(plain));
        }
        let mut bytes = plain.as_bytes().to_vec();
        loop {
            let byte = self.cursor.peek(0);
            if byte == b'%' {
                let digits = self
                    .cursor
                    .slice(self.cursor.position + 1, self.cursor.position + 3);
                let is_hexadecimal =
                    digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                let octet = u8::from_str_radix(digits, 16)
                    .ok()
                    .filter(|_| is_hexadecimal);
                bytes.push(octet.ok_or_else(|| fail(at, ErrorKind::Tag))?);
                self.cursor.position += 3;
            } else if is_name(byte) || URI_MARKS.contains(&byte) {
                bytes.push(byte);
                self.cursor.position += 1;
            } else {
                break;
            }
        }
        String::from_utf8(bytes)
            .map(Cow::Owned)
            .or(Err(fail(at, ErrorKind::Tag)))
    }

    /// Reads a `%` line before a document.
    pub(super) fn directive(&mut self, look: Look) -> Result<(), Error> {
        let at = look.mark;
        let refuse = |why| fail(at, ErrorKind::Directive(why));
        let start = self.cursor.position;
        self.cursor.skip_to_line_end();
        let line = self.cursor.slice(start, self.cursor.position);
        self.cursor.take_break();
        // The line was skipped as a whole, so a key may begin behind it; only `---` or another directive is accepted there.
        self.key_allowed = false;
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let name = words.next().unwrap_or_default();
        let mut rest = words.take_while(|word| !word.starts_with('#'));
        match name {
            "%YAML" => {
                if self.handles.version {
                    return Err(refuse("%YAML stands twice"));
                }
                let version = rest.next().unwrap_or_default();
                let version = version.split('#').next().unwrap_or_default();
                if !matches!(version, "1.1" | "01.1" | "1.01" | "01.01") {
                    return Err(refuse("only version 1.1 can be read"));
                }
                self.handles.version = true;
            }
            "%TAG" => {
                let (Some(handle), Some(prefix)) = (rest.next(), rest.next()) else {
                    return Err(refuse("%TAG needs a handle and a prefix"));
                };
                let inner = handle
                    .strip_prefix('!')
                    .map(|handle| handle.strip_suffix('!').unwrap_or(handle));
                let is_proper =
                    inner.is_some_and(|name| name.bytes().all(is_name)) && (handle.ends_with('!'));
                if !prefix
                    .bytes()
                    .all(|byte| is_name(byte) || byte == b'%' || URI_MARKS.contains(&byte))
                {
                    return Err(refuse(
                        "the prefix of a tag holds other characters than a URI can",
                    ));
                }
                if !is_proper {
                    return Err(refuse("a tag handle is '!', '!!' or '!name!'"));
                }
                if self.handles.defined.iter().any(|(name, _)| *name == handle) {
                    return Err(refuse("a tag handle is defined twice"));
                }
                self.handles.defined.push((handle, Cow::Borrowed(prefix)));
            }
            _ => return Err(refuse("it is unknown")),
        }
        if rest.next().is_some() {
            return Err(refuse("it is followed by something else"));
        }
        Ok(())
    }
}

fn meaning(tag: &str) -> Tag {
    if tag == "!" {
        return Tag::Unspecific;
    }
    match tag.strip_prefix(CORE).or_else(|| tag.strip_prefix("!!")) {
        Some("null") => Tag::Null,
        Some("bool") => Tag::Bool,
        Some("str") => Tag::Text,
        Some("int") => Tag::Integer,
        Some("float") => Tag::Float,
        Some("timestamp") => Tag::Timestamp,
        Some("binary") => Tag::Binary,
        Some("merge") => Tag::Merge,
        _ => Tag::Other,
    }
}
