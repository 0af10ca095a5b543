//! The state of a parse, and the step to the next token.
//!
//! Enters: the text of one document. Leaves: tokens by kind and column; the tree of the document's root.
//! Never: backtracking: whether something is a key is seen when its end is known, on the same line.
//!
//! The language is that of libyaml (YAML 1.1 with its own restrictions), because that is what upstream accepts.

use std::collections::BTreeMap;

use super::build::{Build, Scalar, Stand, fail};
use super::cursor::{Cursor, Mark, characters};
use super::dialect::Dialect;
use super::error::{Error, ErrorKind};
use super::handles::Handles;
use super::limits::Limits;
use super::source::Chunk;

/// What begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    StreamEnd,
    Directive,
    DocumentStart,
    DocumentEnd,
    SequenceStart,
    SequenceEnd,
    MappingStart,
    MappingEnd,
    Comma,
    Dash,
    Question,
    Colon,
    Alias,
    Anchor,
    Tag,
    Literal,
    Folded,
    Single,
    Double,
    Plain,
}

/// The next token: its kind and place, and the column that counts for indentation, which is -1 where every collection ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) kind: Kind,
    pub(super) mark: Mark,
    pub(super) column: i64,
}

/// What an alias may refer to.
#[derive(Debug)]
pub(super) enum Anchored<I> {
    /// Its node has begun and not ended; the number says which of several of that name.
    Open(usize),
    /// Its node, and how many nodes that is.
    Done(I, usize),
}

/// The parser of one document.
pub(super) struct Parser<'a, B: Build> {
    pub(super) cursor: Cursor<'a>,
    pub(super) build: B,
    pub(super) dialect: Dialect,
    pub(super) anchors: BTreeMap<&'a str, Anchored<B::Item>>,
    pub(super) handles: Handles<'a>,
    /// Column of the innermost block collection; -1 outside of all.
    pub(super) indent: i64,
    /// Nesting of inline collections.
    pub(super) flow: usize,
    /// Whether a key without `?` may begin here: at the beginning of a line, after `-`, `?`, `[`, `{` and `,`.
    pub(super) key_allowed: bool,
    depth: usize,
    nodes: usize,
    /// How many of the nodes stand for aliases, and how many aliases there are.
    aliased: usize,
    aliases: usize,
    limits: &'a Limits,
}

/// Which part of so many nodes may come from aliases: nearly all of a small text, a tenth of a very large one, as yaml.v3 has it.
fn most_aliased(nodes: usize) -> usize {
    const SMALL: usize = 400_000;
    const LARGE: usize = 4_000_000;
    let percent = match nodes {
        ..=SMALL => 99,
        LARGE.. => 10,
        between => 99 - 89 * (between - SMALL) / (LARGE - SMALL),
    };
    nodes / 100 * percent
}

impl<'a, B: Build> Parser<'a, B> {
    /// A parser at the beginning of a document. `nodes` is what earlier documents of the file have used up.
    pub(super) fn new(
        chunk: Chunk<'a>,
        build: B,
        dialect: Dialect,
        limits: &'a Limits,
        nodes: usize,
    ) -> Self {
        Self {
            cursor: Cursor::new(chunk),
            build,
            dialect,
            anchors: BTreeMap::new(),
            handles: Handles::default(),
            indent: -1,
            flow: 0,
            key_allowed: true,
            depth: 0,
            nodes,
            aliased: 0,
            aliases: 0,
            limits,
        }
    }

    /// Parses the first document of the text; what follows it is not looked at, as upstream does not. `None` for no document at all.
    pub(super) fn document(&mut self) -> Result<Option<(Mark, B::Item)>, Error> {
        let mut look = self.look()?;
        if look.kind == Kind::StreamEnd {
            return Ok(None);
        }
        let start = look.mark;
        if matches!(look.kind, Kind::Directive | Kind::DocumentStart) {
            while look.kind == Kind::Directive {
                self.directive(look)?;
                look = self.look()?;
            }
            if look.kind != Kind::DocumentStart {
                return Err(fail(look.mark, ErrorKind::ExpectedDocument));
            }
            self.cursor.position += 3;
            self.key_allowed = false;
            look = self.look()?;
            if look.column < 0 {
                let item = self.build.scalar(look.mark, Scalar::EMPTY)?;
                return Ok(Some((start, item)));
            }
        }
        let at = look.mark;
        let (item, _) = self.block_node(look, false)?;
        self.check_behind()?;
        Ok(Some((at, item)))
    }

    /// Refuses what cannot be a token behind the root. Upstream ignores what stands there, but has read three tokens of it by then,
    /// or one of settings.
    fn check_behind(&mut self) -> Result<(), Error> {
        let mut tokens = if self.dialect == Dialect::Settings {
            2
        } else {
            0
        };
        // Where the first token of the line stands, as long as it can be a key.
        let mut pending: Option<Mark> = None;
        while tokens < 3 {
            tokens += 1;
            let look = self.look()?;
            if self.key_allowed {
                pending = Some(look.mark);
            }
            match look.kind {
                Kind::StreamEnd => return Ok(()),
                Kind::Directive => self.directive(look)?,
                Kind::DocumentStart | Kind::DocumentEnd => {
                    self.cursor.position += 3;
                    self.key_allowed = false;
                }
                Kind::Anchor | Kind::Tag => {
                    self.properties(look)?;
                    continue;
                }
                Kind::Alias | Kind::Single | Kind::Double | Kind::Plain => {
                    self.token_behind(look)?;
                    if pending.is_some_and(|start| self.is_key(start)) {
                        return Ok(());
                    }
                    continue;
                }
                Kind::Literal | Kind::Folded => {
                    self.block_scalar(look.kind == Kind::Literal)?;
                }
                Kind::Colon
                    if self.flow == 0
                        && pending
                            .is_some_and(|start| start != look.mark && self.is_key(start)) =>
                {
                    return Ok(());
                }
                Kind::Colon | Kind::Question if self.flow == 0 && !self.key_allowed => {
                    return Err(self.fail(ErrorKind::MappingNotAllowed));
                }
                Kind::Dash if self.flow == 0 && !self.key_allowed => {
                    return Err(self.fail(ErrorKind::SequenceNotAllowed));
                }
                Kind::SequenceStart | Kind::MappingStart | Kind::Comma => {
                    self.flow += usize::from(look.kind != Kind::Comma);
                    self.cursor.position += 1;
                    self.key_allowed = true;
                }
                Kind::SequenceEnd | Kind::MappingEnd => {
                    self.flow = self.flow.saturating_sub(1);
                    self.cursor.position += 1;
                    self.key_allowed = false;
                }
                Kind::Dash | Kind::Question | Kind::Colon => {
                    self.cursor.position += 1;
                    self.key_allowed = self.flow == 0;
                    tokens += usize::from(self.flow == 0);
                }
            }
            pending = None;
        }
        Ok(())
    }

    /// Moves over a scalar or an alias, whatever it stands for.
    fn token_behind(&mut self, look: Look) -> Result<(), Error> {
        self.key_allowed = false;
        match look.kind {
            Kind::Single => self.single_quoted().map(drop),
            Kind::Double => self.double_quoted().map(drop),
            Kind::Alias => self.anchor_name().map(drop),
            _ => self.plain().map(drop),
        }
    }

    /// Nodes so far, those of earlier documents included.
    pub(super) fn nodes(&self) -> usize {
        self.nodes
    }

    /// Whether the mapping that begins now is the root of the document.
    pub(super) fn is_root(&self) -> bool {
        self.depth == 1
    }

    /// Counts nodes against the limit.
    pub(super) fn count(&mut self, nodes: usize) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes {
            return Err(self.fail(ErrorKind::Nodes(self.limits.nodes)));
        }
        Ok(())
    }

    /// Counts the nodes that an alias stands for.
    pub(super) fn count_aliased(&mut self, nodes: usize) -> Result<(), Error> {
        self.count(nodes)?;
        self.aliased = self.aliased.saturating_add(nodes);
        self.aliases += 1;
        let limit = most_aliased(self.nodes + self.aliases).max(1000);
        if self.aliased > limit {
            return Err(self.fail(ErrorKind::Aliases {
                aliased: self.aliased,
                limit,
            }));
        }
        Ok(())
    }

    /// Enters a collection.
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.fail(ErrorKind::Depth(self.limits.depth)));
        }
        Ok(())
    }

    /// Leaves a collection.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// An error here.
    pub(super) fn fail(&self, kind: ErrorKind) -> Error {
        fail(self.cursor.mark(), kind)
    }

    /// Moves to the next token and says what it is.
    pub(super) fn look(&mut self) -> Result<Look, Error> {
        self.skip_to_token();
        let mark = self.cursor.mark();
        let kind = self.classify(mark)?;
        let ends = matches!(
            kind,
            Kind::StreamEnd | Kind::Directive | Kind::DocumentStart | Kind::DocumentEnd
        );
        let column = if ends { -1 } else { i64::from(mark.column) };
        Ok(Look { kind, mark, column })
    }

    fn classify(&self, mark: Mark) -> Result<Kind, Error> {
        let cursor = &self.cursor;
        if cursor.is_end() {
            return Ok(Kind::StreamEnd);
        }
        let byte = cursor.peek(0);
        if mark.column == 0 {
            if byte == b'%' {
                return Ok(Kind::Directive);
            }
            if cursor.is_document_marker() {
                return Ok(if byte == b'-' {
                    Kind::DocumentStart
                } else {
                    Kind::DocumentEnd
                });
            }
        }
        let block = self.flow == 0;
        let separated = || cursor.is_separator(cursor.position + 1);
        Ok(match byte {
            b'[' => Kind::SequenceStart,
            b']' => Kind::SequenceEnd,
            b'{' => Kind::MappingStart,
            b'}' => Kind::MappingEnd,
            b',' => Kind::Comma,
            b'-' if separated() => Kind::Dash,
            b'?' if !block || separated() => Kind::Question,
            b':' if !block || separated() => Kind::Colon,
            b'*' => Kind::Alias,
            b'&' => Kind::Anchor,
            b'!' => Kind::Tag,
            b'|' if block => Kind::Literal,
            b'>' if block => Kind::Folded,
            b'\'' => Kind::Single,
            b'"' => Kind::Double,
            b'\t' => return Err(fail(mark, ErrorKind::Tab)),
            b'|' | b'>' | b'%' | b'@' | b'`' => {
                return Err(fail(
                    mark,
                    ErrorKind::UnexpectedCharacter(cursor.character()),
                ));
            }
            _ => Kind::Plain,
        })
    }

    /// Moves over blanks, comments and line breaks. A tab is a blank only where no key may begin.
    fn skip_to_token(&mut self) {
        loop {
            let tabs = self.flow > 0 || !self.key_allowed;
            while self.cursor.peek(0) == b' ' || (tabs && self.cursor.peek(0) == b'\t') {
                self.cursor.position += 1;
            }
            if self.cursor.peek(0) == b'#' {
                self.skip_comment();
            }
            if self.cursor.take_break().is_none() {
                return;
            }
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    /// Moves over a comment. In objects, comments that follow a comment of its own line may be indented with tabs.
    fn skip_comment(&mut self) {
        let before = self.cursor.before().trim_start_matches([' ', '\t']);
        let alone = before.is_empty() || before == "-";
        self.comment(before.is_empty());
        if self.dialect == Dialect::Settings || !alone {
            return;
        }
        while let Some(next) = self.following_comment() {
            while self.cursor.position < next {
                if self.cursor.take_break().is_none() {
                    self.cursor.position += 1;
                }
            }
            self.cursor.skip_to_line_end();
        }
    }

    /// Moves to the end of a comment, and tells the builder of it.
    pub(super) fn comment(&mut self, alone: bool) {
        let stand = match (self.flow, alone) {
            (0, true) => Stand::Alone,
            (0, false) => Stand::Behind,
            (_, _) => Stand::Inline,
        };
        let at = self.cursor.mark();
        self.cursor.skip_to_line_end();
        let text = self.cursor.slice(at.position, self.cursor.position);
        self.build.comment(at, text, stand);
    }

    /// Where the next comment begins, if only blanks and line breaks stand before it.
    fn following_comment(&self) -> Option<usize> {
        /// Upstream looks this far.
        const REACH: usize = 512;
        let mut position = self.cursor.position;
        let end = position + REACH;
        let mut tabs = false;
        while position < end {
            let width = self.cursor.break_width(position);
            if width == 0 && !self.cursor.is_blank(position) {
                break;
            }
            tabs |= self.cursor.at(position) == b'\t';
            position += width.max(1);
        }
        (tabs && position < end && self.cursor.at(position) == b'#').then_some(position)
    }

    /// Whether a `:` follows that makes a key of what began at `start`: on the same line, and within 1,024 characters.
    pub(super) fn is_key(&mut self, start: Mark) -> bool {
        /// The longest simple key, in characters, of YAML 1.1 and 1.2.
        const LONGEST: usize = 1024;
        if start.line != self.cursor.line() {
            return false;
        }
        self.cursor.skip_blanks();
        let position = self.cursor.position;
        if self.cursor.peek(0) != b':'
            || (self.flow == 0 && !self.cursor.is_separator(position + 1))
        {
            return false;
        }
        position - start.position <= LONGEST
            || characters(self.cursor.slice(start.position, position).as_bytes()) <= LONGEST
    }
}
