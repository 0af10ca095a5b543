//! `replacements`: copies a value from one field into others.

use serde_json::{Map, Value};

use super::structured;
use crate::config::split_path_clever;
use crate::error::{Error, ErrorKind};
use crate::expression;
use crate::identity::effective;
use crate::kustomization::{FieldOptions, Replacement, Source, TargetSelector};
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::scalar;
use crate::select::Matcher;

const NAME: &str = "metadata.name";

/// Applies replacements one after the other.
///
/// # Errors
/// When a source or target field is missing, or a value does not fit.
pub(crate) fn replacements(
    objects: &mut Objects,
    list: &[(Replacement, String)],
    schema: &Schema,
) -> Result<(), Error> {
    for (replacement, file) in list {
        apply(objects, replacement, schema)
            .map_err(|error| error.at(file, replacement.place.line, replacement.place.column))?;
    }
    objects.identities_changed();
    Ok(())
}

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Reference, message)
}

fn apply(objects: &mut Objects, replacement: &Replacement, schema: &Schema) -> Result<(), Error> {
    let Some(targets) = &replacement.targets else {
        return Err(failed("replace: there is no target").field("targets"));
    };
    let value = match (&replacement.source, &replacement.source_value) {
        (Some(_), Some(_)) => {
            return Err(failed(
                "replace: there are both a source and a source value",
            ));
        }
        (None, None) => return Err(failed("replace: there is no source").field("source")),
        (None, Some(text)) => Copied {
            value: scalar::bare(text),
            live: None,
        },
        (Some(source), None) => read(objects, source)?,
    };
    let mut value = value;
    targets
        .iter()
        .try_for_each(|target| write(objects, target, &mut value, schema))
}

/// What is copied.
struct Copied {
    value: Value,
    /// The position of the object and the path of the field, where the whole field is copied: upstream reads it
    /// again for every target, and a target may be the source.
    live: Option<(usize, Vec<String>)>,
}

impl Copied {
    fn refresh(&mut self, objects: &Objects) {
        let Some((index, path)) = &self.live else {
            return;
        };
        if let Ok(Some(value)) = lookup(&objects.get(*index).value, path) {
            self.value.clone_from(value);
        }
    }
}

fn read(objects: &Objects, source: &Source) -> Result<Copied, Error> {
    let mut found = None;
    for (index, object) in objects
        .iter()
        .enumerate()
        .filter(|(_, object)| is_source(object, source))
    {
        if found.replace((index, object)).is_some() {
            return Err(failed(format!(
                "find the source {}: there are several",
                describe(source)
            ))
            .field("source"));
        }
    }
    let (index, object) = found.ok_or_else(|| {
        failed(format!(
            "find the source {}: there is none",
            describe(source)
        ))
        .field("source")
    })?;
    let path = if source.field_path.is_empty() {
        NAME
    } else {
        &source.field_path
    };
    let parts = split_path_clever(path, '.');
    let value = lookup(&object.value, &parts)
        .map_err(|error| error.field(path))?
        .filter(|value| !scalar::is_empty(value))
        .ok_or_else(|| {
            failed(format!("read the source: {} has no such field", object.id)).field(path)
        })?;
    let delimiter = &source.options.delimiter;
    if delimiter.is_empty() {
        return Ok(Copied {
            value: value.clone(),
            live: Some((index, concrete(&object.value, &parts))),
        });
    }
    if !scalar::is_scalar(value) {
        return Err(failed("split the source: it is no scalar").field(path));
    }
    let text = scalar::text(value);
    let part = usize::try_from(source.options.index)
        .ok()
        .and_then(|index| text.split(delimiter.as_str()).nth(index));
    let part = part.ok_or_else(|| {
        failed(format!(
            "take part {} of the source \"{text}\": there is none",
            source.options.index
        ))
        .field(path)
    })?;
    Ok(Copied {
        value: scalar::retyped(value, part),
        live: None,
    })
}

fn describe(source: &Source) -> String {
    let parts = [
        source.gvk.kind.as_ref(),
        source.name.as_str(),
        source.namespace.as_str(),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether any one identity, now or before, is what the source names; empty parts match everything.
fn is_source(object: &Object, source: &Source) -> bool {
    let fits = |kind: &str, name: &str, namespace: &str| {
        (source.name.is_empty() || source.name == name)
            && (source.namespace.is_empty() || effective(&source.namespace) == effective(namespace))
            && object.id.gvk.is_selected_as(kind, &source.gvk)
    };
    let id = &object.id;
    fits(&id.gvk.kind, &id.name, &id.namespace)
        || object
            .memory
            .previous
            .iter()
            .any(|previous| fits(&previous.kind, &previous.name, &previous.namespace))
}

/// Follows a path without wildcards.
fn lookup<'a>(value: &'a Value, path: &[String]) -> Result<Option<&'a Value>, Error> {
    let mut here = value;
    for part in path
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
    {
        if scalar::is_null(here) {
            return Ok(None);
        }
        let next = if let Ok(index) = part.parse::<i64>() {
            let index = usize::try_from(index)
                .map_err(|source| failed(format!("take element {part}")).caused_by(source))?;
            list(here, part)?.get(index)
        } else if part == "-" {
            list(here, part)?.last()
        } else if part == "*" {
            return Err(failed("read the source: `*` cannot stand in its path"));
        } else if let Some((key, wanted)) = element(part)? {
            list(here, part)?
                .iter()
                .find(|item| matches_element(item, key, wanted))
        } else {
            match here {
                Value::Object(fields) => fields.get(part),
                _ => return Err(failed(format!("follow {part}: there is no mapping"))),
            }
        };
        match next {
            Some(next) => here = next,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

/// A path that leads to the same field with the positions of elements in place of what they are found by.
fn concrete(value: &Value, path: &[String]) -> Vec<String> {
    let mut here = Some(value);
    let mut result = Vec::with_capacity(path.len());
    for part in path {
        let index = match here {
            Some(Value::Array(items)) => match element(part) {
                Ok(Some((key, wanted))) => items
                    .iter()
                    .position(|item| matches_element(item, key, wanted)),
                Ok(None) | Err(_) if part == "-" => items.len().checked_sub(1),
                Ok(None) | Err(_) => None,
            },
            _ => None,
        };
        let part = index.map_or_else(|| part.clone(), |index| index.to_string());
        here = here
            .and_then(|here| lookup(here, std::slice::from_ref(&part)).ok())
            .flatten();
        result.push(part);
    }
    result
}

fn matches_element(item: &Value, key: &str, wanted: &str) -> bool {
    if key.is_empty() {
        return scalar::text(item) == wanted;
    }
    item.as_object()
        .and_then(|fields| fields.get(key))
        .is_some_and(|value| scalar::text(value) == wanted)
}

fn list<'a>(value: &'a Value, part: &str) -> Result<&'a [Value], Error> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| failed(format!("follow {part}: there is no list")))
}

/// Key and value of `[key=value]`; the key is empty for `[=value]`.
fn element(part: &str) -> Result<Option<(&str, &str)>, Error> {
    let Some(inner) = part
        .strip_prefix('[')
        .and_then(|part| part.strip_suffix(']'))
    else {
        return Ok(None);
    };
    inner
        .split_once('=')
        .map(Some)
        .ok_or_else(|| failed(format!("read {part}: it should be [key=value]")))
}

fn write(
    objects: &mut Objects,
    target: &TargetSelector,
    copied: &mut Copied,
    schema: &Schema,
) -> Result<(), Error> {
    let select = target
        .select
        .as_ref()
        .ok_or_else(|| failed("replace: a target selects nothing").field("select"))?;
    let select = Matcher::new(select)?;
    let reject = target
        .reject
        .iter()
        .map(Matcher::new)
        .collect::<Result<Vec<_>, _>>()?;
    let default = [NAME.to_owned()];
    let paths = if target.field_paths.is_empty() {
        &default[..]
    } else {
        &target.field_paths
    };
    let paths: Vec<(&String, Vec<String>)> = paths
        .iter()
        .map(|path| (path, split_path_clever(path, '.')))
        .collect();
    for index in 0..objects.len() {
        let object = objects.get(index);
        let chosen = select.matches_content(object)
            && !reject.iter().any(|reject| {
                (!reject.is_any_content() && reject.matches_content(object))
                    || (!reject.is_any_identity() && reject.matches_any_identity(object))
            })
            && select.matches_any_identity(object);
        if !chosen {
            continue;
        }
        for (path, parts) in &paths {
            copied.refresh(objects);
            let live = copied.live.as_ref().filter(|(source, _)| *source == index);
            let live = live.map(|(_, path)| path.as_slice());
            let object = &mut objects.all_mut()[index];
            let looked = set_field(
                &mut object.value,
                parts,
                &copied.value,
                live,
                &target.options,
            )
            .map_err(|error| {
                error
                    .field((*path).clone())
                    .hint(format!("the target is {}", object.id))
            })?;
            objects.look(looked)?;
        }
        let object = &mut objects.all_mut()[index];
        object.spread_shared();
        object.refresh(schema);
    }
    Ok(())
}

/// Sets a field wherever a path leads; returns how many elements of lists and bytes of texts were looked at for it.
fn set_field(
    root: &mut Value,
    path: &[String],
    value: &Value,
    live: Option<&[String]>,
    options: &FieldOptions,
) -> Result<usize, Error> {
    if let Some(looked) = structured::set(root, path, value, options) {
        return Ok(looked);
    }
    let create = options.create.then_some(value);
    let mut found = Found::default();
    collect(root, path, create, &mut Vec::new(), &mut found)?;
    if found.places.is_empty() && found.inside_text == 0 {
        let action = if options.create {
            "find or create"
        } else {
            "find"
        };
        return Err(failed(format!(
            "{action} the field of a replacement target"
        )));
    }
    for (steps, created) in &found.places {
        // Where the source is one of the fields, those behind it get what it holds then.
        let now = live
            .and_then(|path| lookup(root, path).ok().flatten())
            .cloned();
        if let Some(field) = follow(root, steps) {
            assign(field, now.as_ref().unwrap_or(value), options, *created)?;
        }
    }
    Ok(found.looked)
}

/// One step from a container into what it contains.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Field(String),
    Element(usize),
}

/// Where a path leads.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The steps, and whether the value was created just now.
    pub(super) places: Vec<(Vec<Step>, bool)>,
    /// How many places lie inside texts; upstream changes a copy of those, so nothing happens.
    pub(super) inside_text: usize,
    /// How many elements of lists, and bytes of texts that could not be set, were looked at.
    pub(super) looked: usize,
}

pub(super) fn follow<'a>(root: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps
        .iter()
        .try_fold(root, |here, step| match (here, step) {
            (Value::Object(fields), Step::Field(name)) => fields.get_mut(name),
            (Value::Array(items), Step::Element(index)) => items.get_mut(*index),
            _ => None,
        })
}

/// Writes a value into a field; a scalar keeps the type of the field. Upstream writes one that does not fit, and fails when it prints
/// the object, if it does.
pub(super) fn assign(
    field: &mut Value,
    value: &Value,
    options: &FieldOptions,
    created: bool,
) -> Result<(), Error> {
    let mut new = value.clone();
    if !options.delimiter.is_empty() {
        if !scalar::is_scalar(field) {
            return Err(failed("split a replacement target: it is no scalar"));
        }
        let old = if created {
            String::new()
        } else {
            scalar::text(field)
        };
        let mut parts: Vec<&str> = old.split(options.delimiter.as_str()).collect();
        let text = if scalar::is_scalar(value) && !scalar::is_null(value) {
            scalar::text(value)
        } else {
            String::new()
        };
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(index) if index >= parts.len() => parts.push(&text),
            Ok(index) => parts[index] = &text,
        }
        new = Value::String(parts.join(&options.delimiter));
    }
    if !scalar::is_scalar(field) {
        *field = new;
        return Ok(());
    }
    if created && !scalar::is_scalar(&new) {
        *field = new;
        return Ok(());
    }
    let text = scalar::text(&new);
    if created {
        *field = scalar::bare(&text);
        return Ok(());
    }
    *field = scalar::retyped(field, &text);
    Ok(())
}

/// Finds the places that a path leads to, and creates them where `create` says what for.
pub(super) fn collect(
    value: &mut Value,
    path: &[String],
    create: Option<&Value>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> Result<(), Error> {
    let Some((first, rest)) = path.split_first() else {
        found.places.push((steps.clone(), false));
        return Ok(());
    };
    if create.is_some() && scalar::is_null(value) {
        // Upstream creates what it needs beside the null instead of in its place.
        if scalar::is_blank(value) {
            return Err(
                failed(format!("follow {first}: there is nothing before it"))
                    .hint("write {} there, or remove the field"),
            );
        }
        if first == "*" {
            return Ok(());
        }
        if first.parse::<usize>().is_err() && element(first)?.is_none() {
            // What fails in a mapping that is made beside it fails here too.
            let beside = &mut Value::Object(Map::new());
            collect_field(
                beside,
                first,
                rest,
                create,
                &mut Vec::new(),
                &mut Found::default(),
            )?;
        }
        found.inside_text += 1;
        return Ok(());
    }
    if let Ok(index) = first.parse::<usize>() {
        return collect_index(value, index, rest, create, steps, found);
    }
    if let Some((key, pattern)) = element(first)? {
        return collect_matching(value, (key, pattern), rest, create, steps, found);
    }
    if first == "*" {
        for index in 0..items(value, first)?.len() {
            enter_element(value, index, rest, create, steps, found)?;
        }
        return Ok(());
    }
    collect_field(value, first, rest, create, steps, found)
}

fn items<'a>(value: &'a mut Value, part: &str) -> Result<&'a mut Vec<Value>, Error> {
    if scalar::is_null(value) {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(failed(format!("follow {part}: there is no list"))),
    }
}

fn enter_element(
    value: &mut Value,
    index: usize,
    rest: &[String],
    create: Option<&Value>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> Result<(), Error> {
    let Some(item) = value.get_mut(index) else {
        return Ok(());
    };
    steps.push(Step::Element(index));
    let result = collect(item, rest, create, steps, found);
    steps.pop();
    result
}

fn collect_index(
    value: &mut Value,
    index: usize,
    rest: &[String],
    create: Option<&Value>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> Result<(), Error> {
    let list = items(value, &index.to_string())?;
    let mut created = false;
    if let (true, Some(model)) = (list.len() == index, create) {
        list.push(new_value(rest.first(), model));
        created = true;
    }
    if list.len() <= index {
        return Err(failed(format!(
            "take element {index}: there are {} elements",
            list.len()
        )));
    }
    let before = found.places.len();
    enter_element(value, index, rest, create, steps, found)?;
    mark_created(found, before, created && rest.is_empty());
    Ok(())
}

fn mark_created(found: &mut Found, from: usize, created: bool) {
    if created {
        for place in &mut found.places[from..] {
            place.1 = true;
        }
    }
}

/// What a pattern is held against: the text, in quotes where it has some.
fn printed(value: &Value) -> String {
    let text = scalar::text(value);
    if scalar::is_quoted(value) {
        format!("\"{text}\"")
    } else {
        text
    }
}

fn collect_matching(
    value: &mut Value,
    (key, pattern): (&str, &str),
    rest: &[String],
    create: Option<&Value>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> Result<(), Error> {
    let regex = expression::compile(pattern).map_err(|source| {
        failed(format!("read `{pattern}` as a regular expression")).caused_by(source)
    })?;
    let before = found.places.len() + found.inside_text;
    // The second round finds what the first one had to create.
    for round in 0..2 {
        let count = items(value, pattern)?.len();
        found.looked = found.looked.saturating_add(count);
        for index in 0..count {
            let matches = value.get(index).is_some_and(|item| {
                let text = if key.is_empty() {
                    Some(printed(item))
                } else {
                    item.as_object()
                        .and_then(|fields| fields.get(key))
                        .map(printed)
                };
                text.is_some_and(|text| regex.is_match(text.trim()))
            });
            if !matches {
                continue;
            }
            if key.is_empty() {
                let mut inner = steps.clone();
                inner.push(Step::Element(index));
                found.places.push((inner, false));
            } else {
                enter_element(value, index, rest, create, steps, found)?;
            }
        }
        if round > 0 || create.is_none() || found.places.len() + found.inside_text > before {
            break;
        }
        let new = scalar::bare(pattern);
        let new = if key.is_empty() {
            new
        } else {
            Value::Object(Map::from_iter([(key.to_owned(), new)]))
        };
        items(value, pattern)?.push(new);
    }
    Ok(())
}

fn collect_field(
    value: &mut Value,
    name: &str,
    rest: &[String],
    create: Option<&Value>,
    steps: &mut Vec<Step>,
    found: &mut Found,
) -> Result<(), Error> {
    if scalar::is_null(value) {
        if create.is_none() {
            return Ok(());
        }
        *value = Value::Object(Map::new());
    }
    let name = name.trim();
    let Value::Object(fields) = value else {
        return Err(failed(format!("follow {name}: there is no mapping")));
    };
    let mut created = false;
    if !fields.contains_key(name) {
        let Some(model) = create else { return Ok(()) };
        fields.insert(name.to_owned(), new_value(rest.first(), model));
        created = true;
    }
    let Some(field) = fields.get_mut(name) else {
        return Ok(());
    };
    if !rest.is_empty() && !created && scalar::is_scalar(field) && !scalar::is_null(field) {
        let (places, looked) = structured::count(field, rest, create)?;
        found.inside_text += places;
        found.looked = found.looked.saturating_add(looked);
        return Ok(());
    }
    let before = found.places.len();
    steps.push(Step::Field(name.to_owned()));
    let result = collect(field, rest, create, steps, found);
    steps.pop();
    mark_created(found, before, created && rest.is_empty());
    result
}

/// What is created for a part of a path, by what comes after it.
fn new_value(next: Option<&String>, model: &Value) -> Value {
    match next {
        Some(next)
            if next.parse::<usize>().is_ok() || (next.starts_with('[') && next.ends_with(']')) =>
        {
            Value::Array(Vec::new())
        }
        Some(_) => Value::Object(Map::new()),
        None => match model {
            Value::Object(_) => Value::Object(Map::new()),
            Value::Array(_) => Value::Array(Vec::new()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Value::String(String::new())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "a table reads better so")]
    fn check(
        mut root: Value,
        path: &str,
        value: Value,
        options: &FieldOptions,
        expected: Option<Value>,
    ) {
        let result = set_field(
            &mut root,
            &split_path_clever(path, '.'),
            &value,
            None,
            options,
        );
        let fits = scalar::settle(&mut root).is_ok() && result.is_ok();
        assert_eq!(fits.then_some(root), expected, "{path}");
    }

    #[test]
    fn what_is_looked_at_is_counted() {
        let create = FieldOptions {
            create: true,
            ..FieldOptions::default()
        };
        let text = "one: 1\ntwo: b\n";
        let root =
            json!({"a": [{"n": "x"}, {"n": "y"}], "data": {"k": text}, "texts": [{"k": text}]});
        for (path, looked) in [
            ("a.[n=y].v", 2),
            // Once to find that it is not there, once with it.
            ("a.[n=z].v", 5),
            ("data.k.two", text.len()),
            ("texts.*.k.two", text.len()),
            ("data.k", 0),
        ] {
            let path = split_path_clever(path, '.');
            let found = set_field(&mut root.clone(), &path, &json!("3"), None, &create);
            assert_eq!(found.unwrap(), looked, "{path:?}");
        }
    }

    #[test]
    fn paths_lead_through_lists() {
        let plain = FieldOptions::default();
        let root = json!({"a": [{"n": "x", "v": "1"}, {"n": "y", "v": "2"}]});
        check(
            root.clone(),
            "a.[n=y].v",
            json!("3"),
            &plain,
            Some(json!({"a": [{"n": "x", "v": "1"}, {"n": "y", "v": "3"}]})),
        );
        check(
            root.clone(),
            "a.*.v",
            json!("3"),
            &plain,
            Some(json!({"a": [{"n": "x", "v": "3"}, {"n": "y", "v": "3"}]})),
        );
        check(
            root.clone(),
            "a.0.v",
            json!("3"),
            &plain,
            Some(json!({"a": [{"n": "x", "v": "3"}, {"n": "y", "v": "2"}]})),
        );
        check(root.clone(), "a.5.v", json!("3"), &plain, None);
        check(root, "b", json!("3"), &plain, None);
    }

    #[test]
    fn scalars_keep_the_type_of_the_target() {
        let plain = FieldOptions::default();
        check(
            json!({"a": 1}),
            "a",
            json!("2"),
            &plain,
            Some(json!({"a": 2})),
        );
        check(
            json!({"a": "1"}),
            "a",
            json!(2),
            &plain,
            Some(json!({"a": "2"})),
        );
        check(json!({"a": 1}), "a", json!("x"), &plain, None);
    }

    #[test]
    fn delimiters_and_indexes() {
        let options = |index| FieldOptions {
            delimiter: "/".to_owned(),
            index,
            create: false,
        };
        for (index, expected) in [(0, "v/b"), (1, "a/v"), (9, "a/b/v"), (-1, "v/a/b")] {
            check(
                json!({"f": "a/b"}),
                "f",
                json!("v"),
                &options(index),
                Some(json!({"f": expected})),
            );
        }
    }

    #[test]
    fn missing_fields_are_created_when_told() {
        let create = FieldOptions {
            create: true,
            ..FieldOptions::default()
        };
        check(
            json!({}),
            "a.b",
            json!("x"),
            &create,
            Some(json!({"a": {"b": "x"}})),
        );
        check(
            json!({}),
            "a.[n=y].v",
            json!("80"),
            &create,
            Some(json!({"a": [{"n": "y", "v": 80}]})),
        );
    }
}
