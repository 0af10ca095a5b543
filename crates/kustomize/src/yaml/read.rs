//! The doors for reading.
//!
//! Enters: the bytes of a file. Leaves: its documents, or the first error. Never: a file system.

use serde_json::Value;

use super::build::Build;
use super::dialect::Dialect;
use super::error::{Error, ErrorKind};
use super::limits::Limits;
use super::node::{Node, NodeKind, Nodes};
use super::parser::Parser;
use super::source::{Chunk, decode, normalise, split};
use super::value::{Hold, Spelled, Values};

/// A document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<T> {
    /// The line where it begins, from 1.
    pub line: u32,
    /// What it holds.
    pub value: T,
    /// What upstream accepts while it reads, and refuses later: for objects, what cannot be printed (a key that stands twice or is
    /// not text, an infinite number, a tag that does not fit); for settings, keys that stand twice, of which the last holds.
    pub defects: Vec<Error>,
}

/// Reads a kustomization file, a configuration or a JSON patch: YAML 1.1, places kept. Only the first document counts, as upstream.
///
/// `yes`, `on`, `y` and the like are booleans here, and dates are text. Keys that are numbers or booleans become text.
///
/// # Errors
/// When the text is not well-formed, exceeds a limit, or holds what JSON cannot.
pub fn parse_nodes(text: &[u8], limits: &Limits) -> Result<Vec<Document<Node>>, Error> {
    let text = decode(text, limits)?;
    let chunk = Chunk {
        text: &text,
        line: 0,
    };
    let (document, _) = parse(
        chunk,
        Nodes::new(Dialect::Settings),
        Dialect::Settings,
        limits,
        0,
    )?;
    Ok(document
        .into_iter()
        .map(|(line, value, build)| Document {
            line,
            value,
            defects: build.defects,
        })
        .collect())
}

/// Reads a file of objects: YAML as upstream prints it again. Documents without a value are left out.
///
/// # Errors
/// When the text is not well-formed, or exceeds a limit.
pub fn parse_values(text: &[u8], limits: &Limits) -> Result<Vec<Document<Value>>, Error> {
    Ok(parse_documents(text, Dialect::Objects, limits, None)?.documents)
}

/// Reads strategic merge patches: as objects, but `{key: }` and `{key}` hold null, which deletes, and not empty text.
///
/// # Errors
/// When the text is not well-formed, or exceeds a limit.
pub fn parse_patches(text: &[u8], limits: &Limits) -> Result<Vec<Document<Value>>, Error> {
    Ok(parse_documents(text, Dialect::Patches, limits, None)?.documents)
}

/// What a file of objects holds.
pub(crate) struct ObjectFile {
    /// Its documents, without those that hold nothing.
    pub(crate) documents: Vec<Document<Value>>,
    /// Whether no separator stands between two parts of the file, empty ones included.
    pub(crate) is_whole: bool,
}

/// Reads a file of objects, or of patches, and leaves to the caller how a scalar is held whose value does not tell its text.
///
/// `hold` gets the tag `!!binary` or none, and the text.
///
/// # Errors
/// When the text is not well-formed, or exceeds a limit.
pub(crate) fn parse_spelled(
    text: &[u8],
    is_patch: bool,
    limits: &Limits,
    hold: Hold,
) -> Result<ObjectFile, Error> {
    let dialect = if is_patch {
        Dialect::Patches
    } else {
        Dialect::Objects
    };
    parse_documents(text, dialect, limits, Some(hold))
}

fn parse_documents(
    text: &[u8],
    dialect: Dialect,
    limits: &Limits,
    hold: Option<Hold>,
) -> Result<ObjectFile, Error> {
    let text = normalise(decode(text, limits)?);
    let mut documents = Vec::new();
    let mut nodes = 0;
    let chunks = split(&text, limits)?;
    let is_whole = chunks.len() == 1;
    for chunk in chunks {
        let (document, used) = parse(chunk, Values::new(hold, dialect), dialect, limits, nodes)?;
        nodes = used;
        let Some((line, value, build)) = document else {
            continue;
        };
        let is_nothing = value.is_null() || hold.is_some_and(|hold| is_held_null(&value, hold));
        if is_nothing {
            continue;
        }
        let mut defects = build.defects;
        if defects
            .iter()
            .any(|defect| matches!(defect.kind, ErrorKind::DuplicateKey { .. }))
        {
            add_first_lines(chunk, limits, &mut defects)?;
        }
        documents.push(Document {
            line,
            value,
            defects,
        });
    }
    Ok(ObjectFile {
        documents,
        is_whole,
    })
}

/// Whether a document is a null that the caller holds in its own way.
fn is_held_null(value: &Value, hold: Hold) -> bool {
    ["", "~", "Null", "NULL"]
        .iter()
        .any(|text| hold(Spelled::Plain, text) == *value)
}

/// Finds the place of a JSON pointer in a document of a file of objects, counted as [`parse_values`] returns them.
///
/// Where the pointer leads further than the document, the deepest node on the way is meant. A key's place is that of its entry.
/// `None` for a document that does not exist.
#[must_use]
pub fn locate(text: &[u8], document: usize, pointer: &str) -> Option<(u32, u32)> {
    let root = nodes_of_objects(text).into_iter().nth(document)?;
    let mut node = &root;
    let mut place = (root.line, root.column);
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        match &node.kind {
            NodeKind::Sequence(items) => {
                let Some(item) = token.parse().ok().and_then(|index: usize| items.get(index))
                else {
                    break;
                };
                node = item;
                place = (item.line, item.column);
            }
            NodeKind::Mapping(_) => {
                let Some((key, value)) = node.entry(&token) else {
                    break;
                };
                node = value;
                place = (key.line, key.column);
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::String(_) => break,
        }
    }
    Some(place)
}

/// Reads a file of objects, which is known to be well-formed, with places; where a key stands twice, the last one counts.
pub(crate) fn nodes_of_objects(text: &[u8]) -> Vec<Node> {
    let limits = Limits {
        bytes: usize::MAX,
        ..Limits::default()
    };
    let Ok(text) = decode(text, &limits) else {
        return Vec::new();
    };
    let text = normalise(text);
    let roots = split(&text, &limits).unwrap_or_default();
    let roots = roots.into_iter().filter_map(|chunk| {
        let build = Nodes::new(Dialect::Objects);
        let (document, _) = parse(chunk, build, Dialect::Objects, &limits, 0).ok()?;
        document
            .map(|(_, node, _)| node)
            .filter(|node| node.kind != NodeKind::Null)
    });
    roots.collect()
}

/// Reads the first document of a text with the builder given, which is returned with it. `None` for no document.
pub(super) fn parse_as_written<B: Build>(
    text: &str,
    build: B,
    limits: &Limits,
) -> Result<Option<(B::Item, B)>, Error> {
    // Settings are the dialect in which nothing is read otherwise than it is written.
    let chunk = Chunk { text, line: 0 };
    let (document, _) = parse(chunk, build, Dialect::Settings, limits, 0)?;
    Ok(document.map(|(_, item, build)| (item, build)))
}

/// A parsed document: its line, its root, and the builder with its defects. `None` for no document.
type Parsed<B> = Option<(u32, <B as Build>::Item, B)>;

fn parse<B: Build>(
    chunk: Chunk<'_>,
    build: B,
    dialect: Dialect,
    limits: &Limits,
    nodes: usize,
) -> Result<(Parsed<B>, usize), Error> {
    let mut parser = Parser::new(chunk, build, dialect, limits, nodes);
    let root = parser.document()?;
    let nodes = parser.nodes();
    Ok((
        root.map(|(at, item)| (at.line.saturating_add(1), item, parser.build)),
        nodes,
    ))
}

/// Says of keys that stand twice where they stand first. Values do not know; nodes do.
fn add_first_lines(chunk: Chunk<'_>, limits: &Limits, defects: &mut [Error]) -> Result<(), Error> {
    let (document, _) = parse(
        chunk,
        Nodes::new(Dialect::Objects),
        Dialect::Objects,
        limits,
        0,
    )?;
    let known = document
        .map(|(_, _, build)| build.defects)
        .unwrap_or_default();
    for defect in defects {
        let place = (defect.line, defect.column);
        if let Some(better) = known
            .iter()
            .find(|other| (other.line, other.column) == place)
        {
            *defect = better.clone();
        }
    }
    Ok(())
}
