//! What an Application owns in the cluster.
//!
//! Enters: the sets that were written since the last finished prune.
//! Leaves: `Inventory`, complete by construction.
//! Never: an object known by its label alone: operators copy labels onto their children.

use std::collections::BTreeMap;

use crate::model::{Carried, Object, ObjectId};

/// One object that we wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Version of the API that the newest set wrote it with.
    pub api_version: String,
    /// Whether the set asked to keep it when it leaves git.
    pub protected: bool,
}

/// The objects of every written set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    objects: BTreeMap<ObjectId, Owned>,
}

impl Inventory {
    /// Adds the objects of one set; later sets overwrite what earlier ones said.
    pub fn add<'a>(&mut self, objects: impl IntoIterator<Item = &'a Object>) {
        for object in objects {
            self.objects.insert(
                object.id().clone(),
                Owned {
                    api_version: object.api_version().to_owned(),
                    protected: is_protected(object),
                },
            );
        }
    }

    /// Adds objects whose sets are not kept any more; what a kept set says of one stands.
    pub fn carry<'a>(&mut self, carried: impl IntoIterator<Item = &'a Carried>) {
        for object in carried {
            self.objects
                .entry(object.id.clone())
                .or_insert_with(|| Owned {
                    api_version: object.api_version.clone(),
                    protected: object.protected,
                });
        }
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns what is known of one object.
    pub fn get(&self, id: &ObjectId) -> Option<&Owned> {
        self.objects.get(id)
    }

    /// Returns the objects in the order of identities.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectId, &Owned)> {
        self.objects.iter()
    }
}

/// Says whether an object asks to be kept: ours, Argo CD's, Helm's and Flux's ways of saying so.
pub(super) fn is_protected(object: &Object) -> bool {
    let is = |key: &str, wanted: &str| {
        object
            .annotation(key)
            .is_some_and(|text| text.eq_ignore_ascii_case(wanted))
    };
    let option = |wanted: &str| {
        object
            .annotation("argocd.argoproj.io/sync-options")
            .is_some_and(|text| {
                text.split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(wanted))
            })
    };
    object
        .annotation(crate::api::ANNOTATION_PROTECT)
        .is_some_and(|text| !text.eq_ignore_ascii_case("false"))
        || is("helm.sh/resource-policy", "keep")
        || is("kustomize.toolkit.fluxcd.io/prune", "disabled")
        || option("Prune=false")
        || option("Delete=false")
}
