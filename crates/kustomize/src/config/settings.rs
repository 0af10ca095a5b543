//! All lists of field specs together, merging them, and reading them from a file of `configurations:`.

use std::sync::Arc;

use super::field::FieldSpec;
use crate::error::{Error, ErrorKind};
use crate::identity::Gvk;
use crate::kustomization::{Field, field_specs, gvk};

/// The fields that refer to objects of one kind by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameReference {
    pub(crate) target: Gvk,
    pub(crate) referrers: Vec<FieldSpec>,
}

/// Which fields each transformer changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) volume_claim_template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) variable_references: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
    pub(crate) name_references: Vec<NameReference>,
}

/// The lists by the names that they have in a file.
const LISTS: [&str; 11] = [
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "templateLabels",
    "volumeClaimTemplateLabels",
    "commonAnnotations",
    "varReference",
    "images",
    "replicas",
];

impl Configuration {
    pub(super) fn list_mut(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "volumeClaimTemplateLabels" => &mut self.volume_claim_template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "varReference" => &mut self.variable_references,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            _ => return None,
        })
    }

    /// Sorts as upstream does before it applies them.
    pub(super) fn sort(&mut self) {
        for name in LISTS {
            if let Some(list) = self.list_mut(name) {
                list.sort_by_cached_key(|spec| crate::order::kind_key(&spec.gvk));
            }
        }
        self.name_references
            .sort_by_cached_key(|reference| crate::order::kind_key(&reference.target));
    }

    /// Reads one file of `configurations:`.
    ///
    /// # Errors
    /// When the file has unknown fields or wrong types.
    pub(crate) fn read(root: &Field<'_>) -> Result<Self, Error> {
        let mut configuration = Self::default();
        let fields = root.mapping(&[&LISTS[..], &["nameReference"]].concat())?;
        for name in LISTS {
            if let (Some(field), Some(list)) = (fields.get(name), configuration.list_mut(name)) {
                *list = field_specs(field)?;
            }
        }
        if let Some(field) = fields.get("nameReference") {
            for item in field.list()? {
                let inner = item.mapping(&["group", "version", "kind", "fieldSpecs"])?;
                let target = gvk(&inner)?;
                let referrers = inner
                    .get("fieldSpecs")
                    .map_or(Ok(Vec::new()), field_specs)?;
                configuration
                    .name_references
                    .push(NameReference { target, referrers });
            }
        }
        configuration.sort();
        Ok(configuration)
    }

    /// Both together.
    ///
    /// # Errors
    /// When they disagree about creating a field.
    pub(crate) fn merge(this: &Arc<Self>, other: &Arc<Self>) -> Result<Arc<Self>, Error> {
        let nothing = Self::default();
        if Arc::ptr_eq(this, other) || **other == nothing {
            return Ok(Arc::clone(this));
        }
        // Not for others: a spec for one kind that sorts before one for all kinds takes its place when lists are merged.
        if **this == nothing && Arc::ptr_eq(other, &Self::defaults()) {
            return Ok(Arc::clone(other));
        }
        let mut merged = Self::clone(this);
        let mut other = Self::clone(other);
        for name in LISTS {
            if let (Some(list), Some(incoming)) = (merged.list_mut(name), other.list_mut(name)) {
                merge_all(list, incoming).map_err(|error| error.field(name))?;
            }
        }
        for reference in other.name_references {
            add_reference(&mut merged.name_references, reference)?;
        }
        merged.sort();
        Ok(Arc::new(merged))
    }
}

/// Adds the fields that refer to a kind.
pub(super) fn add_reference(
    references: &mut Vec<NameReference>,
    new: NameReference,
) -> Result<(), Error> {
    let mut found = false;
    for reference in references
        .iter_mut()
        .filter(|reference| reference.target == new.target)
    {
        merge_all(&mut reference.referrers, &new.referrers)
            .map_err(|error| error.field("nameReference"))?;
        found = true;
    }
    if !found {
        references.push(new);
    }
    Ok(())
}

/// Adds every spec that is not there yet.
///
/// # Errors
/// When one that is there disagrees about creating the field.
pub(crate) fn merge_all(list: &mut Vec<FieldSpec>, incoming: &[FieldSpec]) -> Result<(), Error> {
    incoming
        .iter()
        .try_for_each(|spec| merge_one(list, spec.clone()))
}

/// Adds a spec unless it is there.
///
/// # Errors
/// When one that is there disagrees about creating the field.
pub(crate) fn merge_one(list: &mut Vec<FieldSpec>, new: FieldSpec) -> Result<(), Error> {
    match list
        .iter()
        .find(|spec| spec.path == new.path && spec.gvk.is_selected(&new.gvk))
    {
        None => list.push(new),
        Some(old) if old.create == new.create => {}
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Transformer,
                format!(
                    "merge the field specs for {}: one creates the field, another does not",
                    new.path
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_defaults_into_themselves_changes_nothing() {
        let defaults = Configuration::defaults();
        let copy = Arc::new(Configuration::clone(&defaults));
        assert_eq!(*Configuration::merge(&defaults, &copy).unwrap(), *defaults);
    }

    #[test]
    fn disagreement_about_create_is_an_error() {
        let mut list = vec![FieldSpec::new("Deployment", "spec/replicas", true)];
        assert!(
            merge_one(
                &mut list,
                FieldSpec::new("Deployment", "spec/replicas", false)
            )
            .is_err()
        );
        merge_one(&mut list, FieldSpec::new("", "spec/replicas", true)).unwrap();
        assert_eq!(list.len(), 1);
    }
}
