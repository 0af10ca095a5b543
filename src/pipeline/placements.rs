//! Sets as they are sent, worked out once for each spec.
//!
//! Enters: rendered sets.
//! Leaves: the same sets with marks, placed by scope, without ignored fields.
//! Never: one object twice in memory that several sets have alike; the only copy: it is worked out again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use crate::{
    api::IgnoreRule,
    cluster::{Catalogue, Lookup},
    model::{ApplicationKey, Digest, GroupKind, Object, ObjectId},
    plan::{Phase, phase, without_ignored},
    render::{Rendered, Scope},
};

/// A set as it is sent. A clone shares it.
pub(super) type Placed = Arc<Vec<Object>>;

/// What a set as it is sent was worked out from.
#[derive(Clone, Debug)]
pub(super) struct Basis {
    pub(super) digest: Digest,
    /// Generation of the spec: it says what is ignored.
    pub(super) generation: i64,
    /// What the API server serves: it says what lives in a namespace.
    pub(super) catalogue: Weak<Catalogue>,
}

impl Basis {
    fn is(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.generation == other.generation
            && Weak::ptr_eq(&self.catalogue, &other.catalogue)
    }
}

/// Sets as they are sent.
#[derive(Debug, Default)]
pub(super) struct Placements {
    known: Vec<(Basis, Placed)>,
}

impl Placements {
    /// Returns a set that was worked out from this.
    pub(super) fn get(&self, basis: &Basis) -> Option<Placed> {
        let mut known = self.known.iter();
        let (_, placed) = known.find(|(known, _)| known.is(basis))?;
        Some(placed.clone())
    }

    /// Returns a set of this digest, whatever the spec said when it was worked out.
    pub(super) fn any(&self, digest: &Digest) -> Option<&Placed> {
        let mut known = self.known.iter();
        let (_, placed) = known.find(|(basis, _)| basis.digest == *digest)?;
        Some(placed)
    }

    /// Keeps a set, in place of what was worked out of it before. Objects that other sets have alike are theirs.
    pub(super) fn keep(&mut self, basis: Basis, set: impl Iterator<Item = Object>) -> Placed {
        let alike: BTreeMap<&ObjectId, &Object> = self
            .known
            .iter()
            .flat_map(|(_, placed)| placed.iter())
            .map(|object| (object.id(), object))
            .collect();
        let set = set
            .map(|object| match alike.get(object.id()) {
                Some(known) => object.sharing(known),
                None => object,
            })
            .collect();
        let placed: Placed = Arc::new(set);
        self.known.retain(|(known, _)| known.digest != basis.digest);
        self.known.push((basis, placed.clone()));
        placed
    }

    /// Forgets the sets of at most so many objects, and the others whose digest is not to be kept.
    pub(super) fn forget(&mut self, objects: usize, keep: impl Fn(&Digest) -> bool) {
        self.known
            .retain(|(basis, placed)| placed.len() > objects && keep(&basis.digest));
    }
}

/// Returns the objects of a set as they are sent.
///
/// What is ignored goes before the marks are put on: no rule takes those away.
pub(super) fn place<'a>(
    rendered: &'a Rendered,
    key: &'a ApplicationKey,
    rules: &'a [IgnoreRule],
    catalogue: &'a Catalogue,
) -> impl Iterator<Item = Object> + 'a {
    let scopes = |kind: &GroupKind| match catalogue.preferred(kind) {
        Lookup::Served(resource) if resource.namespaced => Some(Scope::Namespaced),
        Lookup::Served(_) => Some(Scope::Cluster),
        Lookup::Unknown | Lookup::NotLooked => None,
    };
    let placer = rendered.placer(key);
    rendered
        .objects()
        .iter()
        .filter(|object| phase(object) != Phase::Never)
        .map(move |object| placer.place(&without_ignored(object, rules), scopes))
}
