//! From bytes to objects.
//! Enters: the content of a file, or a text inside a kustomization.
//! Leaves: objects, lists expanded, each checked to have a kind and a name.

use std::collections::{HashSet, VecDeque};

use serde_json::Value;

use crate::documents::syntax;
use crate::error::{Error, ErrorKind};
use crate::load::Loader;
use crate::merge::JsonPatch;
use crate::object::Object;
use crate::origin::Origin;
use crate::scalar;
use crate::yaml::{self, Document, Node, NodeKind};

/// Reads a JSON patch. `None` where the text is something else.
pub(crate) fn json_patch(text: &str, limits: &yaml::Limits) -> Option<JsonPatch> {
    if text.is_empty() {
        return None;
    }
    // What begins like JSON is read as JSON only.
    if text.starts_with('[') {
        return JsonPatch::parse(&serde_json::from_str(text).ok()?);
    }
    let documents = yaml::parse_nodes(text.as_bytes(), limits).ok()?;
    let value = documents
        .into_iter()
        .next()
        .map_or(Value::Null, |document| document.value.into_value());
    JsonPatch::parse(&value)
}

impl Loader<'_> {
    /// Reads objects.
    ///
    /// # Errors
    /// When the text is malformed, or a document is no object.
    pub(crate) fn objects(&self, content: &[u8], file: &str) -> Result<Vec<Object>, Error> {
        let mut parsed = yaml::parse_spelled(content, false, &self.limits(), scalar::hold)
            .map_err(|error| syntax(&error, file))?;
        forgive_annotations(&mut parsed.documents, content);
        self.checked(parsed, content, file)
    }

    /// Reads strategic merge patches.
    ///
    /// # Errors
    /// When the text is malformed, or a document is no object.
    pub(crate) fn merge_patches(&self, content: &[u8], file: &str) -> Result<Vec<Object>, Error> {
        let parsed = yaml::parse_spelled(content, true, &self.limits(), scalar::hold)
            .map_err(|error| syntax(&error, file))?;
        self.checked(parsed, content, file)
    }

    fn checked(
        &self,
        parsed: yaml::ObjectFile,
        content: &[u8],
        file: &str,
    ) -> Result<Vec<Object>, Error> {
        let braces = lines_of_braces(content);
        let documents = parsed.documents.into_iter().map(|document| Written {
            braces: braces.contains(&document.line),
            document,
        });
        let mut documents: VecDeque<Written> = documents.collect();
        // Behind a separator, if only of a comment, a list goes the way of lists among other objects.
        if parsed.is_whole && documents.len() == 1 {
            documents = unwrap_list(documents);
        }
        let mut objects = Vec::with_capacity(documents.len());
        while let Some(Written { document, braces }) = documents.pop_front() {
            // A key that is no text leaves nothing behind, but is not nothing.
            if is_nothing(&document.value) && document.defects.is_empty() {
                continue;
            }
            check(&document, file)?;
            let items = take_items(document, file)?;
            match items {
                Items::Object(document) => {
                    let mut object = self.object(document, file);
                    object.braces = braces;
                    objects.push(object);
                }
                Items::List(items) => documents.extend(items),
            }
            if objects.len() + documents.len() > self.options.limits.objects {
                let message = format!(
                    "read {file}: more than {} objects",
                    self.options.limits.objects
                );
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(objects)
    }

    fn object(&self, document: Document<Value>, file: &str) -> Object {
        let origin = Origin {
            file: file.to_owned(),
            line: document.line,
        };
        let mut object = Object::new(document.value, origin, &self.schema);
        object.defect = document
            .defects
            .into_iter()
            .next()
            .map(|defect| std::sync::Arc::new(syntax(&defect, file)));
        object
    }
}

/// Accepts annotations that stand twice, of which the last holds: upstream writes all annotations anew before it prints an object.
fn forgive_annotations(documents: &mut [Document<Value>], content: &[u8]) {
    let is_twice =
        |defect: &yaml::Error| matches!(defect.kind, yaml::ErrorKind::DuplicateKey { .. });
    if !documents
        .iter()
        .any(|document| document.defects.iter().any(is_twice))
    {
        return;
    }
    for (document, node) in documents.iter_mut().zip(yaml::nodes_of_objects(content)) {
        let Some((name, annotations)) = node
            .get("metadata")
            .and_then(|metadata| metadata.entry("annotations"))
        else {
            continue;
        };
        let entries = match &annotations.kind {
            NodeKind::Mapping(entries) => entries.as_slice(),
            NodeKind::Null => &[],
            _ => continue,
        };
        let last = entries.iter().map(|(key, _)| key.line).max().unwrap_or(0);
        let mut is_whole = false;
        let before = document.defects.len();
        document.defects.retain(|defect| {
            let is_at = |key: &Node| defect.line == key.line && defect.column == key.column;
            let is_among = || {
                (name.line..=last).contains(&defect.line) && entries.iter().any(|(key, _)| {
                    key.column == defect.column
                        && matches!(&defect.kind, yaml::ErrorKind::DuplicateKey { key: text, .. }
                                if key.as_str() == Some(text))
                })
            };
            let is_name = is_twice(defect) && is_at(name);
            is_whole = is_whole || is_name;
            !(is_name || (is_twice(defect) && is_among()))
        });
        let Some(Value::Object(metadata)) = document.value.get_mut("metadata") else {
            continue;
        };
        if is_whole {
            // Of two mappings the second gets what the first holds.
            let mut all = annotations.clone().into_value();
            if let (Value::Object(all), Some(Value::Object(first))) =
                (&mut all, metadata.get("annotations"))
            {
                all.extend(first.clone());
                metadata.insert("annotations".to_owned(), Value::Object(all.clone()));
            }
        } else if document.defects.len() < before {
            metadata.insert("annotations".to_owned(), annotations.clone().into_value());
        }
    }
}

/// Null, or a mapping or list without anything in it.
fn is_nothing(value: &Value) -> bool {
    scalar::is_empty(value)
}

/// A document, and whether it is one mapping in braces.
struct Written {
    document: Document<Value>,
    braces: bool,
}

/// The lines, from 1, that begin with a brace in the first column, or behind the marker of a document.
fn lines_of_braces(content: &[u8]) -> HashSet<u32> {
    let lines = content.split(|byte| *byte == b'\n');
    let begins = |line: &[u8]| {
        line.strip_prefix(b"---")
            .unwrap_or(line)
            .trim_ascii_start()
            .starts_with(b"{")
    };
    lines
        .zip(1..)
        .filter(|(line, _)| begins(line))
        .map(|(_, number)| number)
        .collect()
}

/// A single document that is a `List` is its items, without more ado.
fn unwrap_list(mut documents: VecDeque<Written>) -> VecDeque<Written> {
    let list = &documents[0].document.value;
    let kind = list.get("kind").map(scalar::text);
    let wraps = matches!(kind.as_deref(), Some("List" | "ResourceList"));
    let fields = ["items", "functionConfig"]
        .iter()
        .any(|field| list.get(field).is_some());
    if !(wraps && fields) {
        return documents;
    }
    let Some(Written { document, braces }) = documents.pop_front() else {
        return documents;
    };
    match document.value {
        Value::Object(mut fields) => match fields.remove("items") {
            Some(Value::Array(items)) => spread(items, document.line, document.defects, braces),
            // Upstream takes the keys and values of a mapping for items.
            Some(Value::Object(items)) => {
                let keys = items.into_iter().map(|(key, _)| Value::String(key));
                spread(keys.collect(), document.line, document.defects, braces)
            }
            _ => VecDeque::new(),
        },
        _ => VecDeque::new(),
    }
}

fn spread(
    items: Vec<Value>,
    line: u32,
    mut defects: Vec<yaml::Error>,
    braces: bool,
) -> VecDeque<Written> {
    items
        .into_iter()
        .map(|value| Written {
            document: Document {
                line,
                value,
                defects: std::mem::take(&mut defects),
            },
            braces,
        })
        .collect()
}

enum Items {
    Object(Document<Value>),
    List(VecDeque<Written>),
}

fn take_items(mut document: Document<Value>, file: &str) -> Result<Items, Error> {
    let kind = document.value.get("kind").map(scalar::text);
    let Some(kind) = kind.filter(|kind| kind.ends_with("List")) else {
        return Ok(Items::Object(document));
    };
    match document
        .value
        .as_object_mut()
        .and_then(|fields| fields.get_mut("items"))
        .map(Value::take)
    {
        None => Ok(Items::Object(document)),
        Some(items) if scalar::is_null(&items) => Ok(Items::List(VecDeque::new())),
        Some(Value::Array(mut items)) => {
            // Upstream takes the items out by way of JSON, which does not keep how a scalar is spelled.
            for item in &mut items {
                scalar::settle(item).map_err(|misfit| {
                    let message = format!(
                        "read an item of a {kind}: \"{}\" cannot be written as JSON",
                        misfit.text
                    );
                    Error::new(ErrorKind::Object, message)
                        .at(file, document.line, 0)
                        .field(misfit.field_path())
                })?;
                scalar::quote(item);
            }
            Ok(Items::List(spread(
                items,
                document.line,
                document.defects,
                true,
            )))
        }
        Some(_) => Err(Error::new(
            ErrorKind::Object,
            format!("read the items of a {kind}: they are no list"),
        )
        .at(file, document.line, 0)
        .field("items")),
    }
}

/// Kind and name must be there; a list needs no name.
fn check(document: &Document<Value>, file: &str) -> Result<(), Error> {
    let failed =
        |message: &str| Err(Error::new(ErrorKind::Object, message).at(file, document.line, 0));
    let Value::Object(fields) = &document.value else {
        return failed("read an object: the document is no mapping");
    };
    let present = |value: Option<&Value>| {
        value.is_some_and(|value| !scalar::text(value).is_empty() && !scalar::is_null(value))
    };
    if !present(fields.get("kind")) {
        return failed("read an object: it has no kind");
    }
    let is_list = fields
        .get("kind")
        .is_some_and(|kind| scalar::text(kind).ends_with("List"));
    let name = fields
        .get("metadata")
        .and_then(Value::as_object)
        .and_then(|metadata| metadata.get("name"));
    if !is_list && !present(name) {
        return failed("read an object: it has no metadata.name");
    }
    Ok(())
}
