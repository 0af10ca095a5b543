//! From bytes to objects.
//! Enters: the content of a file, or a text inside a kustomization.
//! Leaves: objects, lists expanded, each checked to have a kind and a name.

use std::collections::VecDeque;

use serde_json::Value;

use crate::built::Origin;
use crate::error::{Error, ErrorKind};
use crate::hint;
use crate::load::Loader;
use crate::merge::JsonPatch;
use crate::object::Object;
use crate::yaml::{self, Document, Node, NodeKind};

/// What is wrong with a text, as an error of this crate.
pub(crate) fn syntax(error: &yaml::Error, file: &str) -> Error {
    let kind = match error.kind {
        yaml::ErrorKind::Bytes(_)
        | yaml::ErrorKind::Depth(_)
        | yaml::ErrorKind::Documents(_)
        | yaml::ErrorKind::Nodes(_)
        | yaml::ErrorKind::Aliases => ErrorKind::Limit,
        _ => ErrorKind::Syntax,
    };
    let (line, column) = (error.line, error.column);
    Error::new(kind, error.to_string()).at(file, line, column)
}

/// Reads a file of settings: its first document, null where there is none.
pub(crate) fn settings(content: &[u8], file: &str, limits: &yaml::Limits) -> Result<Node, Error> {
    let documents = yaml::parse_nodes(content, limits).map_err(|error| syntax(&error, file))?;
    let none = Node {
        line: 1,
        column: 1,
        kind: NodeKind::Null,
    };
    Ok(documents
        .into_iter()
        .next()
        .map_or(none, |document| document.value))
}

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
        let documents =
            yaml::parse_values(content, &self.limits()).map_err(|error| syntax(&error, file))?;
        self.checked(documents, content, file, false)
    }

    /// Reads strategic merge patches.
    ///
    /// # Errors
    /// When the text is malformed, or a document is no object.
    pub(crate) fn merge_patches(&self, content: &[u8], file: &str) -> Result<Vec<Object>, Error> {
        let documents =
            yaml::parse_patches(content, &self.limits()).map_err(|error| syntax(&error, file))?;
        self.checked(documents, content, file, true)
    }

    fn checked(
        &self,
        documents: Vec<Document<Value>>,
        content: &[u8],
        file: &str,
        patches: bool,
    ) -> Result<Vec<Object>, Error> {
        let mut documents = VecDeque::from(documents);
        if documents.len() == 1 {
            documents = unwrap_list(documents);
        }
        let mut objects = Vec::with_capacity(documents.len());
        let mut lines = None;
        while let Some(document) = documents.pop_front() {
            if is_nothing(&document.value) {
                continue;
            }
            check(&document, file)?;
            let items = take_items(document, file)?;
            match items {
                Items::Object(document) => {
                    let lines = hint::is_needed(&document.value)
                        .then(|| lines.get_or_insert_with(|| hint::Lines::new(content)));
                    objects.push(self.object(document, file, lines.as_deref(), patches));
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

    fn object(
        &self,
        mut document: Document<Value>,
        file: &str,
        lines: Option<&hint::Lines<'_>>,
        is_patch: bool,
    ) -> Object {
        let origin = Origin {
            file: file.to_owned(),
            line: document.line,
        };
        let mut blanks = None;
        if let Some(lines) = lines {
            hint::annotate(&mut document.value, lines, document.line, !is_patch);
            blanks = Some(hint::blanks(&document.value, lines, document.line))
                .filter(|blanks| !blanks.is_empty());
        }
        let mut object = Object::new(document.value, origin, &self.schema);
        object.blanks = blanks.map(std::sync::Arc::new);
        object.defect = document
            .defects
            .into_iter()
            .next()
            .map(|defect| std::sync::Arc::new(syntax(&defect, file)));
        object
    }
}

/// Null, or a mapping or list without anything in it.
fn is_nothing(value: &Value) -> bool {
    crate::scalar::is_empty(value)
}

/// A single document that is a `List` is its items, without more ado.
fn unwrap_list(mut documents: VecDeque<Document<Value>>) -> VecDeque<Document<Value>> {
    let kind = documents[0]
        .value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wraps = matches!(kind, "List" | "ResourceList");
    let fields = ["items", "functionConfig"]
        .iter()
        .any(|field| documents[0].value.get(field).is_some());
    if !(wraps && fields) {
        return documents;
    }
    let Some(document) = documents.pop_front() else {
        return documents;
    };
    match document.value {
        Value::Object(mut fields) => match fields.remove("items") {
            Some(Value::Array(items)) => spread(items, document.line, document.defects),
            _ => VecDeque::new(),
        },
        _ => VecDeque::new(),
    }
}

fn spread(
    items: Vec<Value>,
    line: u32,
    mut defects: Vec<yaml::Error>,
) -> VecDeque<Document<Value>> {
    items
        .into_iter()
        .map(|value| Document {
            line,
            value,
            defects: std::mem::take(&mut defects),
        })
        .collect()
}

enum Items {
    Object(Document<Value>),
    List(VecDeque<Document<Value>>),
}

fn take_items(mut document: Document<Value>, file: &str) -> Result<Items, Error> {
    let kind = document
        .value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !kind.ends_with("List") {
        return Ok(Items::Object(document));
    }
    let kind = kind.to_owned();
    match document
        .value
        .as_object_mut()
        .and_then(|fields| fields.get_mut("items"))
        .map(Value::take)
    {
        None => Ok(Items::Object(document)),
        Some(Value::Null) => Ok(Items::List(VecDeque::new())),
        Some(Value::Array(items)) => {
            Ok(Items::List(spread(items, document.line, document.defects)))
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
        value.is_some_and(|value| !crate::scalar::text(value).is_empty() && !value.is_null())
    };
    if !present(fields.get("kind")) {
        return failed("read an object: it has no kind");
    }
    let is_list = fields
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    let name = fields
        .get("metadata")
        .and_then(Value::as_object)
        .and_then(|metadata| metadata.get("name"));
    if !is_list && !present(name) {
        return failed("read an object: it has no metadata.name");
    }
    Ok(())
}
