//! The objects of one accumulation, in order, with an index by identity.
//! Enters: objects.
//! Leaves: the same, refused where two have one identity.

use std::collections::HashMap;

use crate::error::{Error, ErrorKind};
use crate::identity::Id;
use crate::merge::Schema;
use crate::object::{Behavior, Object};
use crate::scalar;

/// Objects in order.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    list: Vec<Object>,
    /// Positions by the identity now; behind by as much as `stale` says.
    current: HashMap<Id, usize>,
    /// Positions by every identity now and before.
    any: Option<HashMap<Id, Vec<usize>>>,
    stale: bool,
    /// Keys over which generators have merged so far.
    merged: usize,
    /// Elements of lists and bytes of texts that replacements have looked at so far.
    looked: usize,
}

/// Many times what anybody merges: each merge passes what all before it have made.
const MOST_MERGED: usize = 500_000;
/// Many times what anybody replaces: each replacement passes the elements, or the text, in which it looks for its field.
const MOST_LOOKED: usize = 400_000_000;

impl Objects {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Object> {
        self.list.iter()
    }

    pub(crate) fn get(&self, index: usize) -> &Object {
        &self.list[index]
    }

    /// All objects to change; what changes an identity must say so with [`Objects::identities_changed`].
    pub(crate) fn all_mut(&mut self) -> &mut Vec<Object> {
        &mut self.list
    }

    /// Notes what a replacement has looked at.
    pub(crate) fn look(&mut self, looked: usize) -> Result<(), Error> {
        self.looked = self.looked.saturating_add(looked);
        if self.looked > MOST_LOOKED {
            let message = format!(
                "look for the fields of replacements among more than {MOST_LOOKED} elements and bytes"
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    pub(crate) fn into_list(self) -> Vec<Object> {
        self.list
    }

    /// Forgets the index after identities, or their history, changed.
    pub(crate) fn identities_changed(&mut self) {
        self.stale = true;
        self.any = None;
    }

    /// Adds an object.
    ///
    /// # Errors
    /// When one of the same identity is there.
    pub(crate) fn append(&mut self, object: Object) -> Result<(), Error> {
        self.refresh();
        if let Some(other) = self.current.get(&object.id) {
            return Err(twice(&object, &self.list[*other]));
        }
        self.current.insert(object.id.clone(), self.list.len());
        if let Some(any) = &mut self.any {
            add_to(any, &object, self.list.len());
        }
        self.list.push(object);
        Ok(())
    }

    /// Adds objects.
    ///
    /// # Errors
    /// When two have one identity.
    pub(crate) fn append_all(
        &mut self,
        objects: impl IntoIterator<Item = Object>,
    ) -> Result<(), Error> {
        objects
            .into_iter()
            .try_for_each(|object| self.append(object))
    }

    /// Adds what a generator made: as a new object, or over one that is there, as its behaviour says.
    ///
    /// # Errors
    /// When its behaviour does not fit what is there.
    pub(crate) fn absorb(&mut self, mut new: Object, schema: &Schema) -> Result<(), Error> {
        let behavior = new.memory.behavior.unwrap_or_default();
        let found = self.find_any(&new.id).to_vec();
        let place = (new.origin.file.clone(), new.origin.line);
        let failed =
            |message: String| Error::new(ErrorKind::Generator, message).at(&place.0, place.1, 0);
        match (found.as_slice(), behavior) {
            ([], Behavior::Merge | Behavior::Replace) => Err(failed(format!(
                "{} {}: there is no such object",
                behavior.as_str(),
                new.id
            ))
            .hint("name and namespace must be those of an object from `resources` or an earlier generator")),
            ([], Behavior::Create | Behavior::Unspecified) => self.append(new),
            ([_], Behavior::Create | Behavior::Unspecified) => {
                Err(failed(format!("generate {}: there is one already", new.id))
                    .hint("say `behavior: merge` or `behavior: replace`"))
            }
            ([at], Behavior::Merge | Behavior::Replace) => {
                let old = &self.list[*at];
                let data = old.value.get("data").and_then(serde_json::Value::as_object);
                self.merged = self.merged.saturating_add(data.map_or(0, serde_json::Map::len));
                if self.merged > MOST_MERGED {
                    let message = format!("merge generated data over more than {MOST_MERGED} keys");
                    return Err(Error::new(ErrorKind::Limit, message).at(&place.0, place.1, 0));
                }
                new.inherit(old);
                if behavior == Behavior::Merge {
                    new.merge_data(old);
                    if let Some(origin) = old.annotation(crate::trail::ORIGIN) {
                        new.set_annotation(crate::trail::ORIGIN, origin);
                    }
                }
                if let Some(key) = new.rewritten_keys().find(|key| !scalar::is_plain_key(key)) {
                    return Err(failed(format!(
                        "{} {}: the key \"{key}\" would not be a text",
                        behavior.as_str(),
                        new.id
                    )));
                }
                let lost = |(_, text): &(String, String)| crate::yaml::is_lost_in_block(text);
                if let Some((key, _)) = entries(&new.value, "data").into_iter().find(lost) {
                    return Err(failed(format!(
                        "{} {}: {key} begins with a tab, and upstream cannot read again what it prints for that",
                        behavior.as_str(),
                        new.id
                    )));
                }
                new.refresh(schema);
                let is_known = new.id == old.id && new.memory.previous == old.memory.previous;
                self.list[*at] = new;
                if !is_known {
                    self.identities_changed();
                }
                Ok(())
            }
            (several, _) => Err(failed(format!("generate {}: it could go into {} objects", new.id, several.len()))),
        }
    }

    /// The positions of the objects that have, or had, an identity.
    pub(crate) fn find_any(&mut self, id: &Id) -> &[usize] {
        let any = self.any.get_or_insert_with(|| {
            let mut any = HashMap::with_capacity(self.list.len());
            for (index, object) in self.list.iter().enumerate() {
                add_to(&mut any, object, index);
            }
            any
        });
        any.get(id).map_or(&[], Vec::as_slice)
    }

    /// As [`Objects::check_unique`], if identities may have changed since they were checked.
    ///
    /// # Errors
    /// When an identity is there twice.
    pub(crate) fn check_if_changed(&mut self) -> Result<(), Error> {
        if !self.stale {
            return Ok(());
        }
        self.check_unique()?;
        self.refresh();
        Ok(())
    }

    /// Checks that every identity is there once.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check_unique(&self) -> Result<(), Error> {
        self.check_unique_among(|_| true)
    }

    /// As [`Objects::check_unique`], for some of the objects.
    ///
    /// # Errors
    /// When an identity is there twice.
    pub(crate) fn check_unique_among(
        &self,
        is_meant: impl Fn(&Object) -> bool,
    ) -> Result<(), Error> {
        let mut seen: HashMap<&Id, usize> = HashMap::with_capacity(self.list.len());
        let meant = self.list.iter().enumerate();
        for (index, object) in meant.filter(|(_, object)| is_meant(object)) {
            if let Some(other) = seen.insert(&object.id, index) {
                return Err(twice(object, &self.list[other]));
            }
        }
        Ok(())
    }

    /// Keeps the objects that `keep` says; order stays.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Object) -> bool) {
        let before = self.list.len();
        self.list.retain(keep);
        if self.list.len() != before {
            self.identities_changed();
        }
    }

    fn refresh(&mut self) {
        if self.stale {
            self.current = self
                .list
                .iter()
                .enumerate()
                .map(|(index, object)| (object.id.clone(), index))
                .collect();
            self.stale = false;
        }
    }
}

fn add_to(any: &mut HashMap<Id, Vec<usize>>, object: &Object, index: usize) {
    let previous = object
        .memory
        .previous
        .iter()
        .map(|previous| object.previous_id(previous));
    for id in previous.chain(std::iter::once(object.id.clone())) {
        let places = any.entry(id).or_default();
        if places.last() != Some(&index) {
            places.push(index);
        }
    }
}

fn twice(object: &Object, other: &Object) -> Error {
    let first = if other.origin.line > 0 {
        format!(
            "the other one is in {}, line {}",
            other.origin.file, other.origin.line
        )
    } else {
        format!("the other one is in {}", other.origin.file)
    };
    Error::new(
        ErrorKind::Identity,
        format!("add {}: there is an object with this identity", object.id),
    )
    .at(&object.origin.file, object.origin.line, 0)
    .hint(first)
}

impl Object {
    /// Takes name, namespace, history, labels and annotations of the object that it takes the place of.
    fn inherit(&mut self, old: &Self) {
        let needs_hash = self.memory.needs_hash;
        for field in ["labels", "annotations"] {
            let mut entries = old.metadata_map(field);
            for (key, value) in self.metadata_map(field) {
                entries.retain(|(other, _)| *other != key);
                entries.push((key, value));
            }
            self.set_metadata_map(field, entries);
        }
        self.memory = old.memory.clone();
        self.memory.needs_hash = needs_hash && old.memory.needs_hash;
        self.variables.clone_from(&old.variables);
        self.set_name(&old.id.name);
        self.set_namespace(&old.id.namespace);
    }

    /// The keys of the mappings that taking an object's place writes anew.
    fn rewritten_keys(&self) -> impl Iterator<Item = &String> {
        let metadata = ["labels", "annotations"]
            .map(|field| self.metadata().and_then(|metadata| metadata.get(field)));
        let data = ["data", "binaryData"].map(|field| self.value.get(field));
        let mappings = metadata
            .into_iter()
            .chain(data)
            .flatten()
            .filter_map(serde_json::Value::as_object);
        mappings.flat_map(serde_json::Map::keys)
    }

    /// Adds the data of the object that it takes the place of.
    fn merge_data(&mut self, old: &Self) {
        let secret = self.id.gvk.api_version() == "v1" && self.id.gvk.kind == "Secret";
        for field in ["data", "binaryData"] {
            let mut entries = entries(&old.value, field);
            if secret && field == "data" {
                entries.extend(
                    self::entries(&old.value, "stringData")
                        .into_iter()
                        .map(|(key, value)| {
                            (key, crate::generate::encode_base64(value.as_bytes()))
                        }),
                );
            }
            entries.extend(self::entries(&self.value, field));
            let serde_json::Value::Object(fields) = &mut self.value else {
                return;
            };
            fields.remove(field);
            if !entries.is_empty() {
                let map = entries
                    .into_iter()
                    .map(|(key, value)| (key, crate::generate::scalar_of(&value)));
                fields.insert(field.to_owned(), serde_json::Value::Object(map.collect()));
            }
        }
    }
}

fn entries(value: &serde_json::Value, field: &str) -> std::collections::BTreeMap<String, String> {
    let fields = value.get(field).and_then(serde_json::Value::as_object);
    fields
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            (
                key.clone(),
                if scalar::is_null(value) {
                    String::new()
                } else {
                    scalar::text(value)
                },
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;
    use serde_json::json;

    fn object(name: &str) -> Object {
        let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}});
        Object::new(value, Origin::default(), &Schema::built_in())
    }

    #[test]
    fn replacements_look_at_no_more_than_a_build_allows() {
        let mut objects = Objects::default();
        objects.look(MOST_LOOKED).unwrap();
        let error = objects.look(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    }

    #[test]
    fn one_identity_stands_once() {
        let mut objects = Objects::default();
        objects.append(object("a")).unwrap();
        assert!(objects.append(object("a")).is_err());
        objects.append(object("b")).unwrap();
        assert_eq!(objects.len(), 2);
    }

    #[test]
    fn objects_are_found_by_earlier_names() {
        let schema = Schema::built_in();
        let mut objects = Objects::default();
        objects.append(object("a")).unwrap();
        let id = objects.get(0).id.clone();
        let first = &mut objects.all_mut()[0];
        first.remember();
        first.set_name("p-a");
        first.refresh(&schema);
        objects.identities_changed();
        assert_eq!(objects.find_any(&id), [0]);
    }

    #[test]
    fn merging_keeps_the_old_data() {
        let schema = Schema::built_in();
        let mut objects = Objects::default();
        objects.append(object("a")).unwrap();
        let mut new = object("a");
        new.value["data"] = json!({"b": "2"});
        assert!(objects.absorb(new.clone(), &schema).is_err());
        new.memory.behavior = Some(Behavior::Merge);
        objects.absorb(new, &schema).unwrap();
        assert_eq!(objects.get(0).value["data"], json!({"a": "1", "b": "2"}));
    }
}
