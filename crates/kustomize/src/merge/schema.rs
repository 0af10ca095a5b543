//! Which lists merge by which keys, and which kinds have no namespace.
//! Enters: the compact table of Kubernetes v1.21, or an `OpenAPI` document of the user.
//! Leaves: shapes to walk along with a value.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// The facts; see the file.
const KUBERNETES: &str = include_str!("kubernetes.txt");
/// Kinds that became known to have no namespace after the document above was fixed.
const LATER: [(&str, &str); 3] = [
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
    ),
    ("v1", "NodeProxyOptions"),
];

/// The types of the table. Most builds merge nothing and never read them.
static BUILT_IN: LazyLock<Types> = LazyLock::new(|| Types::from_table(KUBERNETES));

/// The kinds of the table with their version and whether they have no namespace, in order.
static SCOPES: LazyLock<Vec<(&str, &str, bool)>> = LazyLock::new(|| {
    let mut scopes = Vec::new();
    for line in KUBERNETES.lines() {
        let Some((api_version, kinds)) =
            line.strip_prefix('@').and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        for word in kinds.split(' ') {
            let kind = word.strip_prefix('!');
            scopes.push((kind.unwrap_or(word), api_version, kind.is_some()));
        }
    }
    scopes.extend(LATER.map(|(api_version, kind)| (kind, api_version, true)));
    scopes.sort_unstable();
    scopes
});

/// What the table says of a kind: whether it has no namespace.
fn built_in_scope(api_version: &str, kind: &str) -> Option<bool> {
    let index = SCOPES
        .binary_search_by(|known| (known.0, known.1).cmp(&(kind, api_version)))
        .ok()?;
    SCOPES.get(index).map(|known| known.2)
}

/// A type: its fields, and what every other field is.
#[derive(Debug, Default)]
struct Shape {
    fields: HashMap<String, Link>,
    others: Option<Link>,
}

/// What a field leads to.
#[derive(Debug, Clone, Default)]
struct Link {
    list: bool,
    keys: Option<Arc<[String]>>,
    shape: Option<usize>,
}

/// The schema of a place in an object.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    link: Link,
}

impl Place {
    /// The keys of a list that is merged; empty for a list of scalars.
    pub(crate) fn merge_keys(&self) -> Option<&[String]> {
        self.link.keys.as_deref()
    }

    /// The place of an element of a list.
    pub(crate) fn element(&self) -> Option<Self> {
        let link = Link {
            list: false,
            keys: None,
            shape: self.link.shape,
        };
        self.link.list.then_some(Self { link })
    }
}

/// The types that objects are of.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// What a user brings; where there is nothing, the types of Kubernetes.
    own: Option<Types>,
}

/// Every type that matters.
#[derive(Debug, Default)]
struct Types {
    shapes: Vec<Shape>,
    /// The shapes by their names; those of a document of the user by the last part, as Kubernetes has them.
    names: HashMap<String, usize>,
    /// Names that a document refers to and does not define, each with the empty shape that stands for it.
    missing: Vec<(String, usize)>,
    kinds: HashMap<String, HashMap<String, Option<usize>>>,
    cluster_scoped: HashMap<String, HashMap<String, bool>>,
}

impl Schema {
    /// Kubernetes v1.21, as upstream has it built in.
    pub(crate) fn built_in() -> Arc<Self> {
        Arc::default()
    }

    /// Reads an `OpenAPI` (swagger) document; it stands in place of the built-in one.
    pub(crate) fn from_open_api(document: &Value) -> Self {
        Self {
            own: Some(Types::from_open_api(document)),
        }
    }

    /// Adds everything that is built in and that `self` does not know.
    pub(crate) fn with_built_in(self) -> Self {
        Self {
            own: self.own.map(|own| own.with(&BUILT_IN)),
        }
    }

    fn types(&self) -> &Types {
        self.own.as_ref().unwrap_or_else(|| &BUILT_IN)
    }

    pub(crate) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        let own = || {
            let kinds = self.own.as_ref()?.cluster_scoped.get(api_version)?;
            kinds.get(kind).copied()
        };
        built_in_scope(api_version, kind)
            .or_else(own)
            .unwrap_or(false)
    }

    /// Whether the built-in table says of a kind if it has a namespace.
    pub(crate) fn is_scope_built_in(api_version: &str, kind: &str) -> bool {
        built_in_scope(api_version, kind).is_some()
    }

    /// The place at the root of an object of a kind.
    pub(crate) fn root(&self, api_version: &str, kind: &str) -> Option<Place> {
        let shape = self.types().kinds.get(api_version)?.get(kind)?;
        Some(Place {
            link: Link {
                list: false,
                keys: None,
                shape: *shape,
            },
        })
    }

    pub(crate) fn field(&self, place: &Place, field: &str) -> Option<Place> {
        let shape = self.types().shapes.get(place.link.shape?)?;
        let link = shape.fields.get(field).or(shape.others.as_ref())?;
        Some(Place { link: link.clone() })
    }
}

impl Types {
    fn from_table(table: &str) -> Self {
        let lines: Vec<&str> = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let names: HashMap<&str, usize> = lines
            .iter()
            .filter(|line| !line.starts_with('@'))
            .enumerate()
            .filter_map(|(index, line)| Some((line.split(' ').next()?, index)))
            .collect();
        let mut schema = Self::default();
        for line in lines {
            let mut words = line.split(' ');
            let first = words.next().unwrap_or_default();
            if let Some(api_version) = first.strip_prefix('@') {
                for word in words {
                    let kind = word.trim_start_matches('!');
                    schema.add_kind(
                        api_version,
                        kind,
                        names.get(kind).or(names.get("MetadataOnly")).copied(),
                    );
                }
            } else {
                let fields = words.map(|word| table_field(word, &names)).collect();
                schema.shapes.push(Shape {
                    fields,
                    others: None,
                });
            }
        }
        schema.names = names
            .into_iter()
            .map(|(name, index)| (name.to_owned(), index))
            .collect();
        schema
    }

    fn add_kind(&mut self, api_version: &str, kind: &str, shape: Option<usize>) {
        self.kinds
            .entry(api_version.to_owned())
            .or_default()
            .insert(kind.to_owned(), shape);
    }

    fn add_scope(&mut self, api_version: &str, kind: &str, cluster_scoped: bool) {
        self.cluster_scoped
            .entry(api_version.to_owned())
            .or_default()
            .insert(kind.to_owned(), cluster_scoped);
    }

    fn from_open_api(document: &Value) -> Self {
        let mut schema = Self::default();
        let empty = serde_json::Map::new();
        let definitions = document
            .get("definitions")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let mut names: HashMap<&str, usize> =
            definitions.keys().map(String::as_str).zip(0..).collect();
        schema.names = names
            .iter()
            .filter_map(|(name, index)| Some((kubernetes_name(name)?.to_owned(), *index)))
            .collect();
        let mut references = Vec::new();
        collect_references(document.get("definitions"), &mut references);
        let mut shapes = definitions.len();
        for name in references {
            if let Some(known) = kubernetes_name(name)
                && !names.contains_key(name)
            {
                names.insert(name, shapes);
                schema.missing.push((known.to_owned(), shapes));
                shapes += 1;
            }
        }
        schema.shapes.resize_with(shapes, Shape::default);
        let mut names = Definitions {
            places: names,
            bodies: definitions,
            anonymous: HashMap::new(),
        };
        for (index, definition) in definitions.values().enumerate() {
            schema.shapes[index] = schema.open_api_shape(definition, &mut names);
            let kinds = definition
                .get("x-kubernetes-group-version-kind")
                .and_then(Value::as_array);
            for (api_version, kind) in kinds.into_iter().flatten().filter_map(type_of) {
                schema.add_kind(&api_version, &kind, Some(index));
            }
        }
        let paths = document
            .get("paths")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        for (path, item) in paths {
            let get = item
                .get("get")
                .and_then(|get| get.get("x-kubernetes-group-version-kind"));
            if let Some((api_version, kind)) = get.and_then(type_of) {
                let namespaced = path.contains("namespaces/{namespace}");
                let known = schema
                    .cluster_scoped
                    .get(&api_version)
                    .is_some_and(|kinds| kinds.contains_key(&kind));
                if namespaced || !known {
                    schema.add_scope(&api_version, &kind, !namespaced);
                }
            }
        }
        schema
    }

    /// Adds everything that `other` knows and `self` does not.
    fn with(mut self, other: &Self) -> Self {
        let offset = self.shapes.len();
        // Where both define a name, all links lead to the one that was defined last.
        let mut places: Vec<usize> = (offset..offset + other.shapes.len()).collect();
        for (name, own) in &self.names {
            if let Some(place) = other.names.get(name).and_then(|at| places.get_mut(*at)) {
                *place = *own;
            }
        }
        let moved = |link: &Link| Link {
            shape: link.shape.and_then(|shape| places.get(shape).copied()),
            ..link.clone()
        };
        self.shapes.extend(other.shapes.iter().map(|shape| {
            Shape {
                fields: shape
                    .fields
                    .iter()
                    .map(|(field, link)| (field.clone(), moved(link)))
                    .collect(),
                others: shape.others.as_ref().map(moved),
            }
        }));
        for (name, at) in std::mem::take(&mut self.missing) {
            let found = other.names.get(&name).and_then(|index| {
                let shape = self.shapes.get(offset + index)?;
                Some((shape.fields.clone(), shape.others.clone()))
            });
            if let (Some((fields, others)), Some(shape)) = (found, self.shapes.get_mut(at)) {
                *shape = Shape { fields, others };
            }
        }
        for (api_version, kinds) in &other.kinds {
            let own = self.kinds.entry(api_version.clone()).or_default();
            for (kind, shape) in kinds {
                own.entry(kind.clone())
                    .or_insert(shape.and_then(|shape| places.get(shape).copied()));
            }
        }
        self
    }

    fn open_api_shape<'d>(&mut self, definition: &'d Value, names: &mut Definitions<'d>) -> Shape {
        let mut shape = Shape::default();
        if let Some(properties) = definition.get("properties").and_then(Value::as_object) {
            for (field, property) in properties {
                let link = self.open_api_link(property, names);
                shape.fields.insert(field.clone(), link);
            }
        }
        if let Some(others) = definition
            .get("additionalProperties")
            .filter(|others| others.is_object())
        {
            shape.others = Some(self.open_api_link(others, names));
        }
        shape
    }

    fn open_api_link<'d>(&mut self, property: &'d Value, names: &mut Definitions<'d>) -> Link {
        // A list may have a definition of its own.
        let resolved = names.resolve(property);
        let is_list = resolved.get("type").and_then(Value::as_str) == Some("array");
        let keys = merge_keys(resolved);
        if is_list || keys.is_some() {
            let items = resolved.get("items").filter(|_| is_list);
            let shape =
                items.and_then(|items| names.place(items).or_else(|| self.anonymous(items, names)));
            return Link {
                list: true,
                keys,
                shape,
            };
        }
        let shape = names
            .place(property)
            .or_else(|| self.anonymous(property, names));
        Link {
            list: false,
            keys: None,
            shape,
        }
    }

    fn anonymous<'d>(
        &mut self,
        definition: &'d Value,
        names: &mut Definitions<'d>,
    ) -> Option<usize> {
        let object = definition.get("properties").is_some()
            || definition
                .get("additionalProperties")
                .is_some_and(Value::is_object);
        if !object {
            return None;
        }
        // A list with a definition of its own leads here from every field that refers to it, and from its own items.
        let index = self.shapes.len();
        match names.anonymous.entry(std::ptr::from_ref(definition)) {
            Entry::Occupied(known) => return Some(*known.get()),
            Entry::Vacant(new) => new.insert(index),
        };
        self.shapes.push(Shape::default());
        let shape = self.open_api_shape(definition, names);
        self.shapes[index] = shape;
        Some(index)
    }
}

/// The name of a type of Kubernetes itself, without what its documents put before it.
fn kubernetes_name(name: &str) -> Option<&str> {
    name.strip_prefix("io.k8s.")?.rsplit('.').next()
}

/// Every `$ref` in a document.
fn collect_references<'a>(value: Option<&'a Value>, references: &mut Vec<&'a str>) {
    match value {
        Some(Value::Object(fields)) => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key == "$ref") {
                    Some(text) => references.extend(text.rsplit('/').next()),
                    None => collect_references(Some(value), references),
                }
            }
        }
        Some(Value::Array(items)) => items
            .iter()
            .for_each(|item| collect_references(Some(item), references)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}

fn table_field(word: &str, names: &HashMap<&str, usize>) -> (String, Link) {
    let (field, target) = word
        .split_once('=')
        .map_or((word, None), |(field, target)| (field, Some(target)));
    let shape = target.and_then(|target| names.get(target).copied());
    match field.split_once('[') {
        None => (
            field.to_owned(),
            Link {
                list: false,
                keys: None,
                shape,
            },
        ),
        Some((name, keys)) => {
            let keys = keys.trim_end_matches(']');
            let keys = (keys != "*").then(|| {
                keys.split(',')
                    .filter(|key| !key.is_empty())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
                    .into()
            });
            (
                name.to_owned(),
                Link {
                    list: true,
                    keys,
                    shape,
                },
            )
        }
    }
}

/// The definitions of a document.
struct Definitions<'d> {
    /// Where the shape of each is.
    places: HashMap<&'d str, usize>,
    bodies: &'d serde_json::Map<String, Value>,
    /// Where the shapes of those without a name are.
    anonymous: HashMap<*const Value, usize>,
}

impl<'d> Definitions<'d> {
    /// Where the shape is that a schema refers to by name.
    fn place(&self, schema: &Value) -> Option<usize> {
        self.places.get(reference(schema)?).copied()
    }

    /// Follows references to what they stand for; a schema that refers to nothing known stays.
    fn resolve(&self, schema: &'d Value) -> &'d Value {
        /// More than any document has; a circle ends here.
        const STEPS: usize = 16;
        let mut here = schema;
        for _ in 0..STEPS {
            match reference(here).and_then(|name| self.bodies.get(name)) {
                Some(body) => here = body,
                None => break,
            }
        }
        here
    }
}

/// The name that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

fn merge_keys(property: &Value) -> Option<Arc<[String]>> {
    let strategy = property.get("x-kubernetes-patch-strategy")?.as_str()?;
    if !strategy.split(',').any(|part| part == "merge") {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let listed = property
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array);
    let keys: Vec<String> = match listed {
        Some(keys) => keys.iter().filter_map(text).collect(),
        None => property
            .get("x-kubernetes-patch-merge-key")
            .and_then(text)
            .into_iter()
            .collect(),
    };
    Some(keys.into())
}

fn type_of(extension: &Value) -> Option<(String, String)> {
    let text = |field: &str| {
        extension
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let (version, kind) = (text("version")?, text("kind")?);
    let group = text("group").unwrap_or_default();
    Some((
        if group.is_empty() {
            version
        } else {
            format!("{group}/{version}")
        },
        kind,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(path: &[&str]) -> Option<Vec<String>> {
        let schema = Schema::built_in();
        let mut place = schema.root("apps/v1", "Deployment")?;
        for part in path {
            place = if *part == "[]" {
                place.element()?
            } else {
                schema.field(&place, part)?
            };
        }
        place.merge_keys().map(<[String]>::to_vec)
    }

    #[test]
    fn the_table_leads_to_the_lists_that_merge() {
        let pod = ["spec", "template", "spec"];
        let at = |rest: &[&str]| keys(&[&pod[..], rest].concat());
        assert_eq!(at(&["containers"]), Some(vec!["name".to_owned()]));
        assert_eq!(
            at(&["containers", "[]", "ports"]),
            Some(vec!["containerPort".to_owned(), "protocol".to_owned()])
        );
        assert_eq!(at(&["tolerations"]), None);
        assert_eq!(keys(&["metadata", "finalizers"]), Some(vec![]));
    }

    #[test]
    fn kinds_without_namespace_are_known() {
        let schema = Schema::built_in();
        for (api_version, kind, expected) in [
            ("v1", "Namespace", true),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", true),
            ("apps/v1", "Deployment", false),
            ("example.com/v1", "Anything", false),
        ] {
            assert_eq!(
                schema.is_cluster_scoped(api_version, kind),
                expected,
                "{kind}"
            );
        }
    }

    #[test]
    fn an_open_api_document_brings_its_own_keys() {
        let schema = Schema::from_open_api(&json!({"definitions": {"a.Thing": {
            "properties": {"items": {"type": "array", "items": {"type": "object"},
                "x-kubernetes-patch-merge-key": "id", "x-kubernetes-patch-strategy": "merge"}},
            "x-kubernetes-group-version-kind": [{"group": "a", "version": "v1", "kind": "Thing"}]}}}));
        let root = schema.root("a/v1", "Thing").unwrap();
        let place = schema.field(&root, "items").unwrap();
        assert_eq!(place.merge_keys().unwrap(), ["id"]);
    }
}
