//! The structures inside a kustomization, which the configurations of built-in transformers share.

use std::collections::BTreeMap;

use super::field::{Field, Located};
use crate::config::FieldSpec;
use crate::error::Error;
use crate::identity::Gvk;

type Fields<'a> = BTreeMap<String, Field<'a>>;

fn text(fields: &Fields<'_>, name: &str) -> Result<String, Error> {
    fields.get(name).map_or(Ok(String::new()), Field::text)
}

/// A text that no other scalar can be.
fn exact_text(fields: &Fields<'_>, name: &str) -> Result<String, Error> {
    fields
        .get(name)
        .map_or(Ok(String::new()), |field| field.exact().text())
}

fn flag(fields: &Fields<'_>, name: &str) -> Result<bool, Error> {
    fields.get(name).map_or(Ok(false), Field::flag)
}

fn located_list(fields: &Fields<'_>, name: &str) -> Result<Vec<Located>, Error> {
    fields.get(name).map_or(Ok(Vec::new()), Field::located_list)
}

fn each<'a, T>(
    fields: &Fields<'a>,
    name: &str,
    read: impl Fn(&Field<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    fields.get(name).map_or(Ok(Vec::new()), |field| {
        field.list()?.iter().map(read).collect()
    })
}

/// Reads a list of field specs.
///
/// # Errors
/// When a spec has the wrong form.
pub(crate) fn field_specs(field: &Field<'_>) -> Result<Vec<FieldSpec>, Error> {
    field_specs_by(field, exact_text)
}

/// Reads a list of field specs in which a number may stand for a text.
///
/// # Errors
/// When a spec has the wrong form.
pub(crate) fn loose_field_specs(field: &Field<'_>) -> Result<Vec<FieldSpec>, Error> {
    field_specs_by(field, text)
}

fn field_specs_by(
    field: &Field<'_>,
    part: impl Fn(&Fields<'_>, &str) -> Result<String, Error>,
) -> Result<Vec<FieldSpec>, Error> {
    field
        .list()?
        .iter()
        .map(|item| {
            let fields = item.mapping(&["group", "version", "kind", "path", "create"])?;
            Ok(FieldSpec {
                gvk: gvk_by(&fields, &part)?,
                path: text(&fields, "path")?.into(),
                create: flag(&fields, "create")?,
            })
        })
        .collect()
}

/// Reads what a kind is named by.
///
/// # Errors
/// When one of the three is no text.
pub(crate) fn gvk(fields: &Fields<'_>) -> Result<Gvk, Error> {
    gvk_by(fields, exact_text)
}

fn gvk_by(
    fields: &Fields<'_>,
    part: impl Fn(&Fields<'_>, &str) -> Result<String, Error>,
) -> Result<Gvk, Error> {
    Ok(Gvk {
        group: part(fields, "group")?.into(),
        version: part(fields, "version")?.into(),
        kind: part(fields, "kind")?.into(),
    })
}

/// Which objects something is for; the texts are regular expressions where upstream takes them as such.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) annotations: String,
    pub(crate) labels: String,
}

impl Selector {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&[
            "group",
            "version",
            "kind",
            "name",
            "namespace",
            "annotationSelector",
            "labelSelector",
        ])?;
        Ok(Self {
            gvk: gvk(&fields)?,
            name: exact_text(&fields, "name")?,
            namespace: exact_text(&fields, "namespace")?,
            annotations: text(&fields, "annotationSelector")?,
            labels: text(&fields, "labelSelector")?,
        })
    }

    /// Whether it says nothing about the identity.
    pub(crate) fn is_any_identity(&self) -> bool {
        self.gvk == Gvk::default() && self.name.is_empty() && self.namespace.is_empty()
    }
}

/// One entry of `patches` or `patchesJson6902`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patch {
    pub(crate) path: Located,
    pub(crate) content: Located,
    pub(crate) target: Option<Selector>,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
}

impl Patch {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["path", "patch", "target", "options"])?;
        let options = match fields.get("options") {
            Some(options) => options.mapping(&["allowNameChange", "allowKindChange"])?,
            None => Fields::new(),
        };
        let place = field.located_place();
        let located = |name: &str| fields.get(name).map_or(Ok(place.clone()), Field::located);
        Ok(Self {
            path: located("path")?,
            content: located("patch")?,
            target: fields.get("target").map(Selector::read).transpose()?,
            allow_name_change: flag(&options, "allowNameChange")?,
            allow_kind_change: flag(&options, "allowKindChange")?,
        })
    }
}

/// One entry of `images`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    pub(crate) tag_suffix: String,
    pub(crate) new_tag: String,
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["name", "newName", "tagSuffix", "newTag", "digest"])?;
        Ok(Self {
            name: text(&fields, "name")?,
            new_name: text(&fields, "newName")?,
            tag_suffix: text(&fields, "tagSuffix")?,
            new_tag: text(&fields, "newTag")?,
            digest: text(&fields, "digest")?,
        })
    }
}

/// One entry of `replicas`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

impl Replica {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["name", "count"])?;
        Ok(Self {
            name: text(&fields, "name")?,
            count: fields.get("count").map_or(Ok(0), Field::integer)?,
        })
    }
}

/// One entry of `labels`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    pub(crate) include_volume_claim_templates: bool,
    pub(crate) fields: Vec<FieldSpec>,
}

impl Label {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&[
            "pairs",
            "includeSelectors",
            "includeTemplates",
            "includeVolumeClaimTemplates",
            "fields",
        ])?;
        Ok(Self {
            pairs: fields
                .get("pairs")
                .map_or(Ok(BTreeMap::new()), Field::text_map)?,
            include_selectors: flag(&fields, "includeSelectors")?,
            include_templates: flag(&fields, "includeTemplates")?,
            include_volume_claim_templates: flag(&fields, "includeVolumeClaimTemplates")?,
            fields: fields.get("fields").map_or(Ok(Vec::new()), field_specs)?,
        })
    }
}

/// `generatorOptions`, or `options` of one generator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GeneratorOptions {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

impl GeneratorOptions {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&[
            "labels",
            "annotations",
            "disableNameSuffixHash",
            "immutable",
        ])?;
        let map = |name: &str| {
            fields
                .get(name)
                .map_or(Ok(BTreeMap::new()), Field::text_map)
        };
        Ok(Self {
            labels: map("labels")?,
            annotations: map("annotations")?,
            disable_name_suffix_hash: flag(&fields, "disableNameSuffixHash")?,
            immutable: flag(&fields, "immutable")?,
        })
    }

    /// Fills in what the options of the whole kustomization say.
    pub(crate) fn fill(&mut self, global: &Self) {
        for (own, others) in [
            (&mut self.labels, &global.labels),
            (&mut self.annotations, &global.annotations),
        ] {
            for (key, value) in others {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        self.disable_name_suffix_hash |= global.disable_name_suffix_hash;
        self.immutable |= global.immutable;
    }
}

/// One entry of `configMapGenerator` or `secretGenerator`.
#[derive(Debug, Clone, Default)]
pub(crate) struct GeneratorArguments {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    pub(crate) literals: Vec<Located>,
    pub(crate) files: Vec<Located>,
    pub(crate) envs: Vec<Located>,
    /// Of a Secret.
    pub(crate) r#type: String,
    pub(crate) options: GeneratorOptions,
    pub(crate) place: Located,
}

impl GeneratorArguments {
    /// Reads an entry; `plugin` where it is the configuration of a generator, for which upstream does not mend the old field `env`.
    pub(crate) fn read(field: &Field<'_>, secret: bool, plugin: bool) -> Result<Self, Error> {
        let mut known = vec![
            "name",
            "namespace",
            "behavior",
            "literals",
            "files",
            "envs",
            "env",
            "options",
        ];
        if secret {
            known.push("type");
        }
        let fields = field.exact().mapping(&known)?;
        let mut envs = located_list(&fields, "envs")?;
        if let Some(env) = fields.get("env").filter(|env| !plugin && !env.is_empty()) {
            envs.push(env.located()?);
        }
        Ok(Self {
            name: text(&fields, "name")?,
            namespace: text(&fields, "namespace")?,
            behavior: text(&fields, "behavior")?,
            literals: located_list(&fields, "literals")?,
            files: located_list(&fields, "files")?,
            envs,
            r#type: text(&fields, "type")?,
            options: fields
                .get("options")
                .map_or(Ok(GeneratorOptions::default()), GeneratorOptions::read)?,
            place: field.located_place(),
        })
    }
}

/// `options` of a replacement's source or target.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) create: bool,
}

impl FieldOptions {
    fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["delimiter", "index", "encoding", "create"])?;
        text(&fields, "encoding")?;
        Ok(Self {
            delimiter: text(&fields, "delimiter")?,
            index: fields.get("index").map_or(Ok(0), Field::integer)?,
            create: flag(&fields, "create")?,
        })
    }
}

/// Where a replacement reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) field_path: String,
    pub(crate) options: FieldOptions,
}

/// Where a replacement writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetSelector {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: FieldOptions,
}

/// One replacement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replacement {
    pub(crate) source: Option<Source>,
    pub(crate) source_value: Option<String>,
    /// `None` where the field is absent, which is an error only when it is applied.
    pub(crate) targets: Option<Vec<TargetSelector>>,
    pub(crate) place: Located,
}

/// One entry of `replacements`: inline, or a file of them.
#[derive(Debug, Clone)]
pub(crate) enum ReplacementEntry {
    Inline(Box<Replacement>),
    File(Located),
}

impl ReplacementEntry {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field
            .exact()
            .mapping(&["source", "sourceValue", "targets", "path"])?;
        let path = fields
            .get("path")
            .map_or(Ok(Located::default()), Field::located)?;
        let mut replacement = Replacement::from_fields(field, &fields)?;
        if path.text.is_empty() {
            if field.is_strict() {
                // An empty list counts as none here, though not in a file.
                replacement.targets = replacement.targets.filter(|targets| !targets.is_empty());
            }
            return Ok(Self::Inline(Box::new(replacement)));
        }
        if replacement.source.is_some()
            || replacement
                .targets
                .is_some_and(|targets| !targets.is_empty())
        {
            return Err(
                field.error("read a replacement: it has both a path and a source or targets")
            );
        }
        Ok(Self::File(path))
    }
}

impl Replacement {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        Self::from_fields(
            field,
            &field.mapping(&["source", "sourceValue", "targets"])?,
        )
    }

    fn from_fields(field: &Field<'_>, fields: &Fields<'_>) -> Result<Self, Error> {
        let source = fields.get("source").map(|source| {
            let fields = source.mapping(&[
                "group",
                "version",
                "kind",
                "name",
                "namespace",
                "fieldPath",
                "options",
            ])?;
            Ok::<_, Error>(Source {
                gvk: gvk(&fields)?,
                name: exact_text(&fields, "name")?,
                namespace: exact_text(&fields, "namespace")?,
                field_path: text(&fields, "fieldPath")?,
                options: fields
                    .get("options")
                    .map_or(Ok(FieldOptions::default()), FieldOptions::read)?,
            })
        });
        let targets = fields.get("targets").map(|targets| {
            targets
                .list()?
                .iter()
                .map(|target| {
                    let fields = target.mapping(&["select", "reject", "fieldPaths", "options"])?;
                    Ok(TargetSelector {
                        select: fields.get("select").map(Selector::read).transpose()?,
                        reject: each(&fields, "reject", Selector::read)?,
                        field_paths: fields
                            .get("fieldPaths")
                            .map_or(Ok(Vec::new()), Field::text_list)?,
                        options: fields
                            .get("options")
                            .map_or(Ok(FieldOptions::default()), FieldOptions::read)?,
                    })
                })
                .collect::<Result<Vec<_>, Error>>()
        });
        Ok(Self {
            source: source.transpose()?,
            source_value: fields.get("sourceValue").map(Field::text).transpose()?,
            targets: targets.transpose()?,
            place: field.located_place(),
        })
    }
}

/// One entry of `vars`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) gvk: Gvk,
    pub(crate) object_name: String,
    pub(crate) namespace: String,
    pub(crate) field_path: String,
}

impl Variable {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["name", "objref", "fieldref"])?;
        let reference = match fields.get("objref") {
            Some(reference) => reference.mapping(&[
                "apiVersion",
                "group",
                "version",
                "kind",
                "name",
                "namespace",
            ])?,
            None => Fields::new(),
        };
        let selector = match fields.get("fieldref") {
            Some(selector) => selector.mapping(&["fieldPath"])?,
            None => Fields::new(),
        };
        let mut gvk = gvk(&reference)?;
        let api_version = text(&reference, "apiVersion")?;
        match api_version.matches('/').count() {
            0 if !api_version.is_empty() => gvk.version = api_version.into(),
            1 => gvk = Gvk::parse(&api_version, &gvk.kind),
            _ => {}
        }
        let path = text(&selector, "fieldPath")?;
        Ok(Self {
            name: text(&fields, "name")?,
            gvk,
            object_name: text(&reference, "name")?,
            namespace: text(&reference, "namespace")?,
            field_path: if path.is_empty() {
                "metadata.name".to_owned()
            } else {
                path
            },
        })
    }
}

/// `sortOptions`.
#[derive(Debug, Clone, Default)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    /// Kinds that come first and last.
    pub(crate) legacy: Option<(Vec<String>, Vec<String>)>,
}

impl SortOptions {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let fields = field.mapping(&["order", "legacySortOptions"])?;
        let legacy = fields.get("legacySortOptions").map(|options| {
            let fields = options.mapping(&["orderFirst", "orderLast"])?;
            let list = |name: &str| fields.get(name).map_or(Ok(Vec::new()), Field::text_list);
            Ok::<_, Error>((list("orderFirst")?, list("orderLast")?))
        });
        Ok(Self {
            order: text(&fields, "order")?,
            legacy: legacy.transpose()?,
        })
    }
}
