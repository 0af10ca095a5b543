//! The sets that were written, read back from the store.
//!
//! Enters: the attempts that status names.
//! Leaves: sets in memory, and the forms of each object in them.
//! Never: an inventory with a hole: a set that cannot be read is an error.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{Context, Error, Memory, Subject, memory::Placed};
use crate::{
    api::SetStatus,
    cluster::Lookup,
    model::{Digest, GroupKind, ObjectId},
    plan::{Inventory, without_ignored},
    render::{self, Rendered, Scope},
};

/// Returns the set that an attempt stored, from memory or from the store.
pub(super) async fn set(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    attempt: u64,
    digest: &Digest,
) -> Result<Arc<Rendered>, Error> {
    if let Some(known) = memory
        .sets
        .get(&attempt)
        .filter(|known| known.digest() == digest)
    {
        return Ok(known.clone());
    }
    let stored = context
        .keeper
        .load_set(&subject.uid, attempt, digest)
        .await?;
    let restored = Arc::new(render::restore(stored)?);
    memory.sets.insert(attempt, restored.clone());
    Ok(restored)
}

/// Returns a set as it is sent: with marks, placed by scope, without ignored fields.
pub(super) async fn placed(
    context: &Context,
    subject: &Subject,
    rendered: &Rendered,
) -> Result<Placed, Error> {
    let catalogue = context.cluster.discovery().catalogue().await?;
    let scopes = |kind: &GroupKind| match catalogue.preferred(kind) {
        Lookup::Served(resource) if resource.namespaced => Some(Scope::Namespaced),
        Lookup::Served(_) => Some(Scope::Cluster),
        Lookup::Unknown | Lookup::NotLooked => None,
    };
    Ok(Arc::new(
        rendered
            .placed(&subject.key, &scopes)
            .iter()
            .map(|object| without_ignored(object, &subject.spec.apply.ignore))
            .collect(),
    ))
}

/// Returns the applied set as it is sent; None before the first.
pub(super) async fn applied(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Option<Placed>, Error> {
    let Some(SetStatus {
        digest, attempt, ..
    }) = memory.rollout.applied.clone()
    else {
        return Ok(None);
    };
    if let Some((known, generation, placed)) = &memory.placed
        && *known == digest
        && *generation == subject.generation
    {
        return Ok(Some(placed.clone()));
    }
    let rendered = set(context, subject, memory, attempt, &digest).await?;
    let made = placed(context, subject, &rendered).await?;
    memory.placed = Some((digest, subject.generation, made.clone()));
    Ok(Some(made))
}

/// Returns every written set, oldest first. The digest of each is in its head.
pub(super) async fn written(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Vec<(u64, Placed)>, Error> {
    let mut sets = Vec::new();
    for attempt in memory.rollout.written.clone() {
        let rendered = match memory.sets.get(&attempt) {
            Some(known) => known.clone(),
            None => {
                let Some(head) = context.keeper.load_head(&subject.uid, attempt).await? else {
                    return Err(Error::failure(
                        crate::api::Reason::InventoryDamaged,
                        crate::api::Class::Environment,
                        format!(
                            "the set of attempt {attempt} is lost; nothing is deleted until a person confirms the inventory"
                        ),
                    ));
                };
                set(context, subject, memory, attempt, &head.digest).await?
            }
        };
        sets.push((attempt, placed(context, subject, &rendered).await?));
    }
    Ok(sets)
}

/// Returns the forms of each object in the written sets.
pub(super) fn forms(sets: &[(u64, Placed)]) -> BTreeMap<ObjectId, Vec<Value>> {
    let mut forms: BTreeMap<ObjectId, Vec<Value>> = BTreeMap::new();
    for (_, set) in sets {
        for object in set.iter() {
            let known = forms.entry(object.id().clone()).or_default();
            if !known.iter().any(|form| form == object.value()) {
                known.push(object.value().clone());
            }
        }
    }
    forms
}

/// Returns the objects that the Application owns.
pub(super) fn inventory(sets: &[(u64, Placed)]) -> Inventory {
    let mut inventory = Inventory::default();
    for (_, set) in sets {
        inventory.add(set.iter());
    }
    inventory
}
