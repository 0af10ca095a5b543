//! Strategic merge as kyaml does it: maps by field, lists by the keys of the schema, `$patch` directives, null deletes.
//! Enters: a value, a patch, the schema.
//! Leaves: the merged value, or `None` where the patch deletes it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::element::{self, NotScalar};
use super::schema::{Place, Schema};
use crate::error::{Error, ErrorKind};
use crate::scalar::{self, Tag};

const DIRECTIVE: &str = "$patch";

/// Merges a patch into an object. `None` means that the patch deletes it.
///
/// # Errors
/// When patch and object have different kinds of value at one place, or a directive is unknown.
pub(crate) fn merge(object: Value, patch: &Value, schema: &Schema) -> Result<Option<Value>, Error> {
    Merge {
        schema,
        left: COMPARISONS,
        path: Vec::new(),
    }
    .walk(Some(object), Source::Patch(patch.clone()), None)
}

/// What is merged in.
enum Source {
    Absent,
    Patch(Value),
    /// The same value as the one merged into: upstream walks what a patch adds as a merge with itself.
    Same,
}

impl Source {
    fn replaces(&self) -> bool {
        matches!(self, Self::Patch(patch) if replaces(patch))
    }
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Comparisons of elements in lists in which the same keys stand twice, or some are missing. Those of 2,000 elements with one another are
/// 8 million.
const COMPARISONS: usize = 20_000_000;

struct Merge<'a> {
    schema: &'a Schema,
    /// How many comparisons are left.
    left: usize,
    /// The names on the way here.
    path: Vec<String>,
}

impl Merge<'_> {
    fn walk(
        &mut self,
        old: Option<Value>,
        patch: Source,
        place: Option<Place>,
    ) -> Result<Option<Value>, Error> {
        let place = place.or_else(|| self.place_of(old.as_ref(), &patch));
        let kind = |value: &Value| match value {
            Value::Object(_) => 1,
            Value::Array(_) => 2,
            _ => 3,
        };
        let old_kind = old
            .as_ref()
            .filter(|value| !scalar::is_null(value))
            .map(kind);
        let patch_kind = match &patch {
            Source::Patch(value) if !scalar::is_null(value) => Some(kind(value)),
            Source::Patch(_) | Source::Absent => None,
            Source::Same => old_kind,
        };
        if let (Some(old), Some(new)) = (old_kind, patch_kind)
            && old != new
        {
            let name = |kind| ["", "a mapping", "a list", "a scalar"][kind];
            return Err(self.error(format!("merge {} into {}", name(new), name(old))));
        }
        match old_kind.or(patch_kind) {
            None | Some(1) => self.walk_map(old, patch, place.as_ref()),
            Some(2) => match place
                .as_ref()
                .and_then(|place| place.merge_keys().map(<[String]>::to_vec))
            {
                Some(keys) => self.walk_list(old, patch, place, &keys),
                None => Ok(override_by(old, patch)),
            },
            Some(_) => Ok(override_by(old, patch)),
        }
    }

    /// The place of an object with a kind of its own inside something without a schema.
    fn place_of(&self, old: Option<&Value>, patch: &Source) -> Option<Place> {
        let patch = match patch {
            Source::Patch(value) => Some(value),
            Source::Absent | Source::Same => None,
        };
        [old, patch].into_iter().flatten().find_map(|value| {
            let text = |field: &str| value.get(field).map(scalar::text).unwrap_or_default();
            self.schema.root(&text("apiVersion"), &text("kind"))
        })
    }

    fn walk_map(
        &mut self,
        old: Option<Value>,
        patch: Source,
        place: Option<&Place>,
    ) -> Result<Option<Value>, Error> {
        let missing = old.as_ref().is_none_or(scalar::is_null);
        if missing {
            return match patch {
                // A null that is written survives, a blank one does not.
                Source::Absent => Ok(old.filter(|old| !scalar::is_blank(old))),
                Source::Patch(Value::Object(mut fields)) => {
                    match self.map_directive(&mut fields) {
                        Ok(Directive::Delete) => return Ok(None),
                        Ok(Directive::Merge | Directive::Replace) | Err(_) => {}
                    }
                    self.fields(fields, Source::Same, place)
                }
                Source::Same | Source::Patch(_) => Ok(None),
            };
        }
        let Some(Value::Object(mut fields)) = old else {
            return Ok(old);
        };
        match patch {
            Source::Absent => self.fields(fields, Source::Absent, place),
            Source::Same => match self.map_directive(&mut fields)? {
                Directive::Delete => Ok(None),
                Directive::Merge | Directive::Replace => self.fields(fields, Source::Same, place),
            },
            Source::Patch(Value::Object(mut new)) => match self.map_directive(&mut new)? {
                Directive::Delete => Ok(None),
                // Upstream merges into the object where it stands, and drops the copy that would take the place of all of it.
                Directive::Replace if self.path.is_empty() => Ok(Some(Value::Object(fields))),
                Directive::Replace => self.fields(new, Source::Same, place),
                Directive::Merge => self.fields(fields, Source::Patch(Value::Object(new)), place),
            },
            Source::Patch(_) => Ok(None),
        }
    }

    fn fields(
        &mut self,
        old: Map<String, Value>,
        patch: Source,
        place: Option<&Place>,
    ) -> Result<Option<Value>, Error> {
        let mut result = Map::new();
        let same = matches!(patch, Source::Same);
        let mut new = match patch {
            Source::Patch(Value::Object(new)) => Some(new),
            Source::Patch(_) | Source::Absent | Source::Same => None,
        };
        let mut marks = Vec::new();
        for (key, value) in old {
            if let Some((tag, name)) = scalar::key_mark(&key) {
                marks.push((tag, name.to_owned(), key, value));
                continue;
            }
            let source = if same {
                Source::Same
            } else {
                new.as_mut()
                    .and_then(|new| new.remove(&key))
                    .map_or(Source::Absent, Source::Patch)
            };
            self.field(&mut result, key, Some(value), source, place)?;
        }
        for (tag, name, mark, last) in marks {
            let is_left = result.contains_key(&name);
            // What a patch brings in loses its nulls, and then the key stands there once.
            if tag == Tag::Twice && same && !is_left && !scalar::is_null(&last) {
                result.insert(name, last);
            } else if tag == Tag::Twice || is_left {
                result.insert(mark, last);
            }
        }
        let new = new.unwrap_or_default();
        // A key that is no text counts only where the object has no such key.
        let untext = |key: &String| match scalar::key_mark(key) {
            Some((Tag::Untext, name)) if new.contains_key(name) => {
                Some((name.to_owned(), key.clone()))
            }
            Some(_) | None => None,
        };
        let marks: Vec<(String, String)> = new.keys().filter_map(untext).collect();
        for (key, value) in new {
            if scalar::key_mark(&key).is_none() {
                self.field(&mut result, key, None, Source::Patch(value), place)?;
            }
        }
        for (name, mark) in marks {
            if result.contains_key(&name) {
                result.insert(mark, Value::Null);
            }
        }
        Ok(Some(Value::Object(result)))
    }

    fn field(
        &mut self,
        result: &mut Map<String, Value>,
        key: String,
        old: Option<Value>,
        patch: Source,
        place: Option<&Place>,
    ) -> Result<(), Error> {
        if key.is_empty() {
            // Upstream takes the mapping itself for the field then.
            return Err(self.error("merge a mapping with an empty key".to_owned()));
        }
        let inner = place.and_then(|place| self.schema.field(place, &key));
        let was = old.as_ref().map(style_of);
        let is_kept = old.is_some() && !matches!(patch, Source::Patch(_));
        self.path.push(key);
        let merged = self.walk(old, patch, inner)?;
        // The quotes of the old scalar, or that it has none, stay around what is merged in.
        let merged = merged.map(|merged| match was {
            Some(Style::Quoted) if is_typed(&merged) || is_text(&merged) => {
                scalar::quoted(&decoded(&merged))
            }
            Some(Style::Folded) if is_typed(&merged) || is_text(&merged) => {
                scalar::folded(&decoded(&merged))
            }
            Some(Style::Bare) if scalar::is_quoted(&merged) || scalar::is_folded(&merged) => {
                scalar::tagged_text(&scalar::text(&merged))
            }
            Some(Style::Unknown) if scalar::is_folded(&merged) => {
                scalar::tagged_text(&scalar::text(&merged))
            }
            Some(_) if is_kept => scalar::merged_over(merged),
            Some(Style::Quoted | Style::Bare | Style::Folded | Style::Unknown) | None => merged,
        });
        if let (Some(key), Some(merged)) = (self.path.pop(), merged) {
            result.insert(key, merged);
        }
        Ok(())
    }

    fn walk_list(
        &mut self,
        old: Option<Value>,
        patch: Source,
        place: Option<Place>,
        keys: &[String],
    ) -> Result<Option<Value>, Error> {
        let place = place.and_then(|place| place.element());
        let old = match old {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        };
        let (list, patch) = match (old, patch) {
            (None, Source::Patch(Value::Array(new))) => (new, None),
            (None, _) => return Ok(None),
            (Some(list), Source::Absent) => (list, Some(Vec::new())),
            (Some(mut list), Source::Same) => match self.list_directive(&mut list)? {
                Directive::Delete => return Ok(None),
                Directive::Merge | Directive::Replace => (list, None),
            },
            (Some(list), Source::Patch(Value::Array(mut new))) => {
                match self.list_directive(&mut new)? {
                    Directive::Delete => return Ok(None),
                    Directive::Replace => (new, None),
                    Directive::Merge => (list, Some(new)),
                }
            }
            (Some(_), Source::Patch(_)) => return Ok(None),
        };
        Elements { list, patch, place }
            .merge(self, keys)
            .map(|list| Some(Value::Array(list)))
    }

    fn map_directive(&self, fields: &mut Map<String, Value>) -> Result<Directive, Error> {
        let Some(value) = fields.get(DIRECTIVE) else {
            return Ok(Directive::Merge);
        };
        let directive = self.directive(&scalar::text(value))?;
        fields.remove(DIRECTIVE);
        Ok(directive)
    }

    fn list_directive(&self, list: &mut Vec<Value>) -> Result<Directive, Error> {
        let first = list.iter().find_map(|element| {
            let fields = element.as_object()?;
            fields
                .get(DIRECTIVE)
                .map(|value| (fields.len(), scalar::text(value)))
        });
        let Some((1, text)) = first else {
            return Ok(Directive::Merge);
        };
        let directive = self.directive(&text)?;
        element::set(list, &[DIRECTIVE.to_owned()], &[text], None)
            .map_err(|NotScalar| self.not_scalar())?;
        Ok(directive)
    }

    fn directive(&self, text: &str) -> Result<Directive, Error> {
        match text {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            other => Err(self.error(format!("apply the directive `$patch: {other}`"))),
        }
    }

    /// Counts comparisons.
    fn spend(&mut self, comparisons: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(comparisons);
        self.left = left.ok_or_else(|| {
            let message =
                "merge so many elements that lack keys, or of which several have the same";
            Error::new(ErrorKind::Limit, message).field(self.path.join("."))
        })?;
        Ok(())
    }

    fn not_scalar(&self) -> Error {
        self.error("merge a list of scalars: it holds a mapping or a list".to_owned())
    }

    fn error(&self, message: String) -> Error {
        Error::new(ErrorKind::Patch, message).field(self.path.join("."))
    }
}

/// Whether a scalar has quotes, as far as its value tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Quoted,
    Bare,
    Folded,
    Unknown,
}

fn style_of(value: &Value) -> Style {
    match value {
        Value::Number(_) | Value::Bool(_) | Value::Null => Style::Bare,
        Value::String(_) if scalar::is_folded(value) => Style::Folded,
        // Several lines are a block, which is as good as quotes.
        Value::String(text) if scalar::is_quoted(value) || text.contains('\n') => Style::Quoted,
        Value::String(_) => Style::Bare,
        Value::Array(_) | Value::Object(_) => Style::Unknown,
    }
}

/// Whether a scalar is something other than text or null.
fn is_typed(value: &Value) -> bool {
    matches!(
        scalar::meaning(value).as_ref(),
        Value::Number(_) | Value::Bool(_)
    )
}

fn is_text(value: &Value) -> bool {
    scalar::is_scalar(value) && scalar::meaning(value).is_string()
}

/// The text of a scalar; of one with `!!binary`, what it holds.
fn decoded(value: &Value) -> String {
    match scalar::meaning(value).as_ref() {
        Value::String(text) if matches!(scalar::mark_of(value), Some((Tag::Binary, _))) => {
            text.clone()
        }
        _ => scalar::text(value),
    }
}

/// What stands where lists and scalars are replaced whole.
fn override_by(old: Option<Value>, patch: Source) -> Option<Value> {
    match patch {
        Source::Absent | Source::Same => old,
        Source::Patch(new) if scalar::is_null(&new) => None,
        Source::Patch(new) => Some(new),
    }
}

/// A list that is merged by keys.
struct Elements {
    list: Vec<Value>,
    /// `None`: the list is merged with itself.
    patch: Option<Vec<Value>>,
    place: Option<Place>,
}

impl Elements {
    fn merge(mut self, walker: &mut Merge<'_>, keys: &[String]) -> Result<Vec<Value>, Error> {
        let scalar_key = [String::new()];
        let (keys, mut wanted) = if keys.is_empty() {
            (&scalar_key[..], self.scalars())
        } else {
            let items = self.patch.iter().flatten().chain(&self.list);
            if let Some(item) = items
                .into_iter()
                .find(|item| !item.is_object() && !scalar::is_null(item))
            {
                let text = scalar::text(item);
                return Err(walker.error(format!("merge a list by keys: \"{text}\" is no mapping")));
            }
            (keys, self.identities(keys))
        };
        if let Some(old_places) = distinct_places(&self.list, keys)
            && let Some(new_places) =
                distinct_places(self.patch.as_deref().unwrap_or_default(), keys)
        {
            return self.merge_distinct(walker, keys, &wanted, &old_places, &new_places);
        }
        let items = self.list.len() + self.patch.as_ref().map_or(0, Vec::len);
        walker.spend(wanted.len().saturating_mul(items))?;
        if keys.len() > 1 {
            unite(&mut wanted);
        }
        let mut merged = Vec::new();
        let mut valid_keys = Vec::new();
        for index in 0..wanted.len() {
            let (used, values) = usable(&wanted, &wanted[index], keys);
            let element = self.merge_one(walker, &used, &values)?;
            match element {
                Some(mut element)
                    if !scalar::is_null(&element)
                        && !element.as_object().is_some_and(Map::is_empty) =>
                {
                    complete(&mut element, &used, &values);
                    element::set(&mut merged, &used, &values, Some(element))
                }
                _ => element::set(&mut self.list, &used, &values, None),
            }
            .map_err(|NotScalar| walker.not_scalar())?;
            valid_keys = used;
        }
        if wanted.is_empty() {
            return Ok(self.list);
        }
        append_rest(&mut merged, self.list, &valid_keys)
            .map_err(|NotScalar| walker.not_scalar())?;
        Ok(merged)
    }

    /// As [`Elements::merge`] does it, where each element is found by what it is.
    fn merge_distinct(
        mut self,
        walker: &mut Merge<'_>,
        keys: &[String],
        wanted: &[Vec<String>],
        old_places: &Places,
        new_places: &Places,
    ) -> Result<Vec<Value>, Error> {
        let is_itself = self.patch.is_none();
        let mut old: Vec<Option<Value>> = std::mem::take(&mut self.list)
            .into_iter()
            .map(Some)
            .collect();
        let mut patch: Vec<Option<Value>> =
            self.patch.take().into_iter().flatten().map(Some).collect();
        let mut merged = Vec::with_capacity(wanted.len());
        for values in wanted {
            let at = old_places.get(values).copied();
            let before = at.and_then(|at| old.get_mut(at)?.take());
            let new = new_places
                .get(values)
                .and_then(|at| patch.get_mut(*at)?.take());
            let source = match new {
                Some(new) => Source::Patch(new),
                None if is_itself => Source::Same,
                None => Source::Absent,
            };
            // An element that is replaced is another one than that in the list, and the one in the list comes back in the end.
            let kept = before.clone().filter(|_| source.replaces());
            let element = walker.walk(before, source, self.place.clone())?;
            let element = element.filter(|element| {
                !scalar::is_null(element) && !element.as_object().is_some_and(Map::is_empty)
            });
            let Some(mut element) = element else { continue };
            complete(&mut element, keys, values);
            let element = kept.unwrap_or(element);
            match at.and_then(|at| old.get_mut(at)) {
                // With several keys those that were there go behind those that are new, in their order.
                Some(place) if keys.len() > 1 => *place = Some(element),
                Some(_) | None => merged.push(element),
            }
        }
        merged.extend(old.into_iter().flatten());
        Ok(merged)
    }

    /// The distinct key values, those of the patch first.
    fn identities(&self, keys: &[String]) -> Vec<Vec<String>> {
        let mut seen = std::collections::HashSet::new();
        let mut result = Vec::new();
        for item in self.patch.iter().flatten().chain(&self.list) {
            let values = element::key_values(item, keys);
            if seen.insert(values.clone()) {
                result.push(values);
            }
        }
        result
    }

    fn scalars(&self) -> Vec<Vec<String>> {
        let mut seen = std::collections::HashSet::new();
        let items = self.patch.iter().flatten().chain(&self.list);
        items
            .map(scalar::text)
            .filter(|text| seen.insert(text.clone()))
            .map(|text| vec![text])
            .collect()
    }

    fn merge_one(
        &mut self,
        walker: &mut Merge<'_>,
        keys: &[String],
        values: &[String],
    ) -> Result<Option<Value>, Error> {
        let only = [values.to_vec()];
        let (keys, values) = usable(&only, values, keys);
        let at = element::find(&self.list, &keys, &values);
        let old = at.map(|at| self.list[at].clone());
        let patch = match &mut self.patch {
            None => match at {
                Some(at) => {
                    spend(&mut self.list[at]);
                    Source::Same
                }
                None => Source::Absent,
            },
            Some(patch) => match element::find(patch, &keys, &values) {
                Some(index) => {
                    let new = patch[index].clone();
                    spend(&mut patch[index]);
                    Source::Patch(new)
                }
                None => Source::Absent,
            },
        };
        if old.is_none() && matches!(patch, Source::Absent) {
            return Ok(None);
        }
        // An element that is replaced is another one than that in the list, and the one in the list comes back in the end.
        let replaces = patch.replaces();
        let merged = walker.walk(old, patch, self.place.clone())?;
        if let (Some(at), Some(merged), false) = (at, &merged, replaces) {
            self.list[at].clone_from(merged);
        }
        Ok(merged)
    }
}

/// Whether a patch puts itself in the place of what it is merged into.
pub(crate) fn replaces(patch: &Value) -> bool {
    let directive = patch.get(DIRECTIVE).map(scalar::text);
    directive.as_deref() == Some("replace")
}

/// Where each element of a list stands, by what it is found by.
type Places = HashMap<Vec<String>, usize>;

/// `None` where an element lacks a key, or two have the same.
fn distinct_places(list: &[Value], keys: &[String]) -> Option<Places> {
    let mut places = HashMap::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        if places.insert(identity(item, keys)?, index).is_some() {
            return None;
        }
    }
    Some(places)
}

/// What an element is found by, if it is all there: the values of its keys, or its text where the list is one of scalars.
fn identity(item: &Value, keys: &[String]) -> Option<Vec<String>> {
    let values = if keys.first().is_none_or(String::is_empty) {
        let is_text = scalar::is_scalar(item) && !scalar::is_null(item);
        vec![is_text.then(|| scalar::text(item))?]
    } else {
        element::key_values(item, keys)
    };
    (!values.iter().any(String::is_empty)).then_some(values)
}

/// Takes the directive from an element: where it is come upon a second time, it is one like any other.
fn spend(element: &mut Value) {
    if let Value::Object(fields) = element {
        fields.remove(DIRECTIVE);
    }
}

/// Makes sure that a merged element has its keys. Upstream writes the text of a scalar anew, and that has no type then.
fn complete(element: &mut Value, keys: &[String], values: &[String]) {
    if scalar::is_scalar(element) {
        *element = scalar::untyped(element, &scalar::text(element));
    }
    let Value::Object(fields) = element else {
        return;
    };
    for (key, value) in keys.iter().zip(values) {
        if !value.is_empty() && !fields.contains_key(key) {
            fields.insert(key.clone(), scalar::plain(value));
        }
    }
}

/// The keys that any element has, and the values of one element for them; all keys where none has any.
fn usable(all: &[Vec<String>], values: &[String], keys: &[String]) -> (Vec<String>, Vec<String>) {
    let present: Vec<bool> = (0..keys.len())
        .map(|index| {
            all.iter()
                .any(|values| values.get(index).is_some_and(|value| !value.is_empty()))
        })
        .collect();
    if !present.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let used = keys
        .iter()
        .zip(&present)
        .filter(|(_, present)| **present)
        .map(|(key, _)| key.clone())
        .collect();
    let values = values
        .iter()
        .enumerate()
        .filter(|(index, value)| !value.is_empty() || present.get(*index).copied().unwrap_or(false))
        .map(|(_, value)| value.clone())
        .collect();
    (used, values)
}

/// Makes elements that agree where both say something, and agree at least once, the same element.
fn unite(all: &mut [Vec<String>]) {
    for left in 0..all.len() {
        // Upstream compares with what stood here before, so one without keys becomes the last that it fits.
        let before = all[left].clone();
        for right in 0..all.len() {
            if let Some(united) = united(&before, &all[right]) {
                all[left].clone_from(&united);
                all[right] = united;
            }
        }
    }
}

fn united(left: &[String], right: &[String]) -> Option<Vec<String>> {
    let mut common = false;
    let mut result = Vec::with_capacity(left.len());
    for (left, right) in left.iter().zip(right) {
        if left == right {
            common = true;
        } else if !left.is_empty() && !right.is_empty() {
            return None;
        }
        result.push(if left.is_empty() { right } else { left }.clone());
    }
    common.then_some(result)
}

/// Adds what the merge did not touch behind what it did.
fn append_rest(
    merged: &mut Vec<Value>,
    rest: Vec<Value>,
    keys: &[String],
) -> Result<(), NotScalar> {
    let scalars = keys.first().is_none_or(String::is_empty);
    for item in rest {
        if scalars {
            let text = scalar::text(&item);
            element::set(merged, keys, &[text], Some(item))?;
            continue;
        }
        let mut values = Vec::new();
        for key in keys {
            match item.as_object().and_then(|fields| fields.get(key)) {
                Some(value) => values.push(scalar::text(value)),
                None => merged.push(item.clone()),
            }
        }
        if keys.len() > 1 {
            element::set(merged, keys, &values, None)?;
        }
        element::set(merged, keys, &values, Some(item))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables of literals read better without references"
    )]
    fn check(old: Value, patch: Value, expected: Option<Value>) {
        assert_eq!(merge(old, &patch, &Schema::built_in()).unwrap(), expected);
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables of literals read better without references"
    )]
    fn pod(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    }

    #[test]
    fn elements_of_the_patch_come_first_in_its_order() {
        check(
            pod(json!({"containers": [{"name": "a"}, {"name": "b"}]})),
            pod(json!({"containers": [{"name": "zz"}, {"name": "b", "image": "i"}]})),
            Some(pod(
                json!({"containers": [{"name": "zz"}, {"name": "b", "image": "i"}, {"name": "a"}]}),
            )),
        );
    }

    #[test]
    fn lists_without_keys_are_replaced() {
        check(
            pod(json!({"tolerations": [{"key": "a"}]})),
            pod(json!({"tolerations": [{"key": "b"}]})),
            Some(pod(json!({"tolerations": [{"key": "b"}]}))),
        );
    }

    #[test]
    fn null_deletes_and_is_dropped_where_there_is_nothing() {
        check(
            pod(json!({"a": 1, "b": 2})),
            pod(json!({"a": null, "c": null, "d": {"e": null, "f": 1}})),
            Some(pod(json!({"b": 2, "d": {"f": 1}}))),
        );
    }

    #[test]
    fn directives_replace_and_delete() {
        check(
            pod(json!({"containers": [{"name": "a"}, {"name": "b"}], "x": {"y": 1}})),
            pod(
                json!({"containers": [{"name": "a", "$patch": "delete"}], "x": {"$patch": "replace", "z": 2}}),
            ),
            Some(pod(json!({"containers": [{"name": "b"}], "x": {"z": 2}}))),
        );
        check(pod(json!({})), json!({"$patch": "delete"}), None);
    }

    #[test]
    fn a_mapping_does_not_merge_into_a_list() {
        let error = merge(
            pod(json!({"a": [1]})),
            &pod(json!({"a": {"b": 1}})),
            &Schema::built_in(),
        )
        .unwrap_err();
        assert_eq!(error.field_path(), Some("spec.a"));
    }
}
