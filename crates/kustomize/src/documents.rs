//! From bytes to settings: files that say what to do, not what to apply.
//! Enters: the content of a file. Leaves: its first document, with places; or an error with one.

use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::yaml::{self, Node, NodeKind};

/// What is wrong with a text, as an error of this crate.
pub(crate) fn syntax(error: &yaml::Error, file: &str) -> Error {
    let kind = match error.kind {
        yaml::ErrorKind::Bytes(_)
        | yaml::ErrorKind::Depth(_)
        | yaml::ErrorKind::Documents(_)
        | yaml::ErrorKind::Nodes(_)
        | yaml::ErrorKind::Aliases { .. } => ErrorKind::Limit,
        _ => ErrorKind::Syntax,
    };
    let (line, column) = (error.line, error.column);
    Error::new(kind, error.to_string()).at(file, line, column)
}

/// Reads a file of settings: its first document, null where there is none.
pub(crate) fn settings(content: &[u8], file: &str, limits: &yaml::Limits) -> Result<Node, Error> {
    Ok(first_document(content, file, limits)?.0)
}

/// As [`settings`]; a key that stands twice is an error.
pub(crate) fn strict_settings(
    content: &[u8],
    file: &str,
    limits: &yaml::Limits,
) -> Result<Node, Error> {
    let (node, defects) = first_document(content, file, limits)?;
    match defects.first() {
        Some(defect) => Err(syntax(defect, file)),
        None => Ok(node),
    }
}

/// The first document and its defects; null where there is none.
fn first_document(
    content: &[u8],
    file: &str,
    limits: &yaml::Limits,
) -> Result<(Node, Vec<yaml::Error>), Error> {
    let documents = yaml::parse_nodes(content, limits).map_err(|error| syntax(&error, file))?;
    let none = Node {
        line: 1,
        column: 1,
        kind: NodeKind::Null,
    };
    Ok(documents
        .into_iter()
        .next()
        .map_or((none, Vec::new()), |document| {
            (document.value, document.defects)
        }))
}

/// Reads definitions: what begins like JSON is JSON, which YAML does not take everything of.
pub(crate) fn definitions(
    content: &[u8],
    file: &str,
    limits: &yaml::Limits,
) -> Result<Value, Error> {
    let nodes = content
        .iter()
        .filter(|byte| matches!(byte, b',' | b'{' | b'['))
        .count();
    let is_small = content.len() <= limits.bytes && nodes <= limits.nodes;
    if content.first() == Some(&b'{') && is_small {
        return serde_json::from_slice(content).map_err(|source| {
            let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let (line, column) = (place(source.line()), place(source.column()));
            Error::new(ErrorKind::Syntax, "read JSON")
                .at(file, line, column)
                .caused_by(source)
        });
    }
    Ok(settings(content, file, limits)?.into_value())
}
