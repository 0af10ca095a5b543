//! The sets that were written, read back from the store.
//!
//! Enters: the attempts that status names.
//! Leaves: sets in memory, and the forms of each object in them.
//! Never: an inventory with a hole: a set that cannot be read is an error.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Context, Error, Memory, Subject,
    placements::{Basis, Placed, place},
    sets::Held,
};
use crate::{
    api::SetStatus,
    cluster::{self, Catalogue},
    model::{AttemptKind, Digest, Head, Object, ObjectId},
    plan::{Inventory, without_paths},
    render::{self, Rendered},
};
use jiff::Timestamp;

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
        .get(attempt)
        .filter(|known| known.digest() == digest)
    {
        return Ok(known);
    }
    let loaded = context
        .keeper
        .load_set(&subject.uid, attempt, digest)
        .await
        .map_err(Error::from)
        .and_then(|stored| Ok(Arc::new(render::restore(stored)?)));
    let restored = match loaded {
        Ok(restored) => restored,
        // The revision is rendered again and counts if its digest agrees (law 6).
        Err(error) => match &memory.wanted {
            Some(wanted) if is_lost(&error) && wanted.desired.digest == *digest => {
                memory.lost.insert(attempt);
                return Ok(wanted.rendered.rendered()?);
            }
            Some(_) | None => return Err(error),
        },
    };
    memory.sets.insert(attempt, restored.clone());
    Ok(restored)
}

/// Returns a set as it is sent: with marks, placed by scope, without ignored fields.
pub(super) async fn placed(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    held: &Held,
) -> Result<Placed, Error> {
    let catalogue = context.cluster.discovery().catalogue().await?;
    let basis = basis(subject, held.digest(), &catalogue);
    if let Some(known) = memory.placed.get(&basis) {
        return Ok(known);
    }
    let rendered = held.rendered()?;
    Ok(keep(subject, memory, basis, &rendered, &catalogue))
}

/// Returns the set that an attempt stored, as it is sent.
pub(super) async fn placed_set(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    attempt: u64,
    digest: &Digest,
) -> Result<Placed, Error> {
    let catalogue = context.cluster.discovery().catalogue().await?;
    let basis = basis(subject, digest, &catalogue);
    if let Some(known) = memory.placed.get(&basis) {
        return Ok(known);
    }
    let rendered = set(context, subject, memory, attempt, digest).await?;
    Ok(keep(subject, memory, basis, &rendered, &catalogue))
}

fn basis(subject: &Subject, digest: &Digest, catalogue: &Arc<Catalogue>) -> Basis {
    Basis {
        digest: digest.clone(),
        generation: subject.generation,
        catalogue: Arc::downgrade(catalogue),
    }
}

fn keep(
    subject: &Subject,
    memory: &mut Memory,
    basis: Basis,
    rendered: &Rendered,
    catalogue: &Catalogue,
) -> Placed {
    let rules = &subject.spec.apply.ignore;
    let objects = place(rendered, &subject.key, rules, catalogue);
    memory.placed.keep(basis, objects)
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
    match placed_set(context, subject, memory, attempt, &digest).await {
        Ok(placed) => Ok(Some(placed)),
        // Nothing is assumed of what is live: everything is asked about.
        Err(error) if is_lost(&error) => {
            memory.lost.insert(attempt);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One set that was written, with the head that stored it.
pub(super) struct Written {
    pub(super) head: Arc<Head>,
    pub(super) set: Placed,
}

/// Returns the head of an attempt that stored a set, from memory or from the store.
pub(super) async fn head_of(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    attempt: u64,
) -> Result<Option<Arc<Head>>, Error> {
    if let Some(known) = memory.heads.get(&attempt) {
        return Ok(Some(known.clone()));
    }
    let found = context.keeper.load_head(&subject.uid, attempt).await?;
    let found = found.map(Arc::new);
    if let Some(head) = &found {
        memory.heads.insert(attempt, head.clone());
    }
    Ok(found)
}

/// Returns every written set that can be read, oldest first; which cannot is remembered. The digest of each is in
/// its head.
pub(super) async fn written(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
) -> Result<Vec<Written>, Error> {
    let mut sets = Vec::new();
    for attempt in memory.rollout.written.clone() {
        match written_by(context, subject, memory, attempt).await {
            Ok(written) => {
                memory.lost.remove(&attempt);
                sets.push(written);
            }
            Err(error) if is_lost(&error) => {
                if memory.lost.insert(attempt) {
                    tracing::error!(attempt, error = %crate::model::text::chain(&error), "a stored set is lost; nothing is deleted until a person confirms the inventory");
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sets)
}

async fn written_by(
    context: &Context,
    subject: &Subject,
    memory: &mut Memory,
    attempt: u64,
) -> Result<Written, Error> {
    let Some(head) = head_of(context, subject, memory, attempt).await? else {
        return Err(Error::Cluster(cluster::Error::NotFound {
            act: format!("read the head of attempt {attempt}"),
        }));
    };
    let set = placed_set(context, subject, memory, attempt, &head.digest).await?;
    Ok(Written { head, set })
}

/// Says whether a part of the store is gone or damaged, which no other try can mend.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Cluster(cluster::Error::NotFound { .. } | cluster::Error::Damaged { .. })
            | Error::Render(_)
    )
}

/// Returns the forms of each object in the written sets, as far as they were sent: without the fields that were left
/// to those who owned them first.
pub(super) fn forms(sets: &[Written]) -> Forms {
    let mut forms = Forms::new();
    for Written { head, set } in sets {
        add_forms(&mut forms, set, Some(head));
    }
    forms
}

/// The forms of each object in sets that were written, oldest first, each once.
pub(super) type Forms = BTreeMap<ObjectId, Vec<Object>>;

/// Adds the forms of one set; without a head nothing is known of what was left to others.
pub(super) fn add_forms(forms: &mut Forms, set: &[Object], head: Option<&Head>) {
    for object in set {
        let form = match head.and_then(|head| yields_of(head, object.id())) {
            Some(paths) => {
                let mut form = object.clone();
                form.edit(|value| *value = without_paths(value, paths));
                form
            }
            None => object.clone(),
        };
        let known = forms.entry(object.id().clone()).or_default();
        if !known.iter().any(|known| known.is_same(&form)) {
            known.push(form);
        }
    }
}

/// Returns the fields of an object that an attempt left to their owners.
pub(super) fn yields_of<'a>(head: &'a Head, id: &ObjectId) -> Option<&'a [String]> {
    head.yields
        .iter()
        .find(|yielded| yielded.id == *id)
        .map(|yielded| yielded.paths.as_slice())
}

/// Returns the objects that the Application owns.
pub(super) fn inventory(sets: &[Written]) -> Inventory {
    let mut inventory = Inventory::default();
    for Written { set, .. } in sets {
        inventory.add(set.iter());
    }
    for Written { head, .. } in sets {
        inventory.carry(&head.carried);
    }
    inventory
}

/// Returns a head with nothing planned yet. `set` names the set that the attempt takes the cluster to.
pub(super) fn empty_head(
    context: &Context,
    subject: &Subject,
    attempt: u64,
    kind: AttemptKind,
    set: &SetStatus,
    began: Timestamp,
) -> Head {
    Head {
        application_uid: subject.uid.clone(),
        attempt,
        kind,
        digest: set.digest.clone(),
        revision: set.revision.clone(),
        set_attempt: set.attempt,
        holder: context.identity.clone(),
        began,
        asked: None,
        creates: Vec::new(),
        forces: Vec::new(),
        deletes: Vec::new(),
        carried: Vec::new(),
        carried_from: Vec::new(),
        yields: Vec::new(),
        recreates: Vec::new(),
    }
}
