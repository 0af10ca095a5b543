//! Preview: what the controller would do, for the command line.
//!
//! Enters: a rendered set and an Application, read as the person.
//! Leaves: the same plan that the controller would make.
//! Never: a write.

use std::{collections::BTreeSet, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::{
    Error,
    inventory::{Forms, add_forms},
    marked::marked,
    observe::{Manner, observe},
    placements::{Placed, place},
    preflight,
    prune::candidate,
};
use crate::{
    api::ApplicationSpec,
    cluster::{self, Cluster, Identity, Reader},
    model::{ApplicationKey, Object, ObjectId},
    plan::{
        Approval, Inventory, Plan, Policy, PruneLimits, PrunePlan, plan, plan_prune, questions,
    },
    preflight::Findings,
    render::{self, RenderSpec, Rendered},
};

/// What is to be previewed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The Application.
    pub key: &'a ApplicationKey,
    /// As the cluster has it.
    pub spec: &'a ApplicationSpec,
    /// The set that would be applied.
    pub rendered: &'a Rendered,
    /// Sets of the revisions in status that could be rendered again and gave the recorded digest.
    pub before: &'a [Rendered],
}

/// A plan and what it was made from.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What would be written.
    pub plan: Plan,
    /// What would be deleted after that was Ready and has soaked.
    pub prune: PrunePlan,
    /// What it would run into.
    pub findings: Findings,
    /// What of the preflight was not checked, for the person could not read it.
    pub not_checked: Vec<String>,
    /// The objects as they would be sent.
    pub objects: Vec<Object>,
    /// Kinds and objects that the person could not read: of those the preview says nothing.
    pub not_read: Vec<String>,
}

/// Renders a directory, as the controller would. `name` gives a file the name by which places are called.
///
/// # Errors
/// It does not render.
pub fn render_local(
    files: &dyn kustomize::Files,
    spec: &RenderSpec,
    options: &kustomize::Options,
    name: &dyn Fn(&str) -> String,
) -> Result<Rendered, Error> {
    Ok(render::render_naming(files, spec, options, name)?)
}

/// Plans a set against the cluster, as the person.
///
/// # Errors
/// The cluster cannot be asked about an object of the set; there is no partial preview of what is written.
pub async fn preview(cluster: &Cluster, request: Request<'_>) -> Result<Preview, Error> {
    let Request {
        key,
        spec,
        rendered,
        before,
    } = request;
    let catalogue = cluster.discovery().catalogue().await?;
    let placed = |rendered: &Rendered| -> Vec<Object> {
        place(rendered, key, &spec.apply.ignore, &catalogue).collect()
    };
    let objects = placed(rendered);
    let before: Vec<(u64, Placed)> = before
        .iter()
        .map(|rendered| (0, Arc::new(placed(rendered))))
        .collect();
    let asked = questions(&objects, None, &BTreeSet::new());
    let manner = Manner::of(spec);
    let reader = cluster.reader(Identity::Person);
    let mut forms = Forms::new();
    for (_, set) in &before {
        add_forms(&mut forms, set, None);
    }
    let live = observe(
        &reader,
        &asked,
        &objects,
        &forms,
        manner,
        // A person who does not want to wait ends the program.
        &CancellationToken::new(),
    )
    .await?;
    let policy = Policy {
        application: key.clone(),
        conflicts: spec.apply.conflicts,
        partial: spec.apply.partial,
    };
    let mut not_read = Vec::new();
    let prune = would_prune(cluster, &reader, request, &objects, &before, &mut not_read).await?;
    let plan = plan(objects.clone(), None, &live, &policy);
    let looked = preflight::look(&reader, &objects, &plan, spec, None).await?;
    Ok(Preview {
        plan,
        prune,
        findings: looked.findings,
        not_checked: looked.not_checked,
        objects,
        not_read,
    })
}

/// What the sets before hold, or what carries our marks, and is not in the new set.
async fn would_prune(
    cluster: &Cluster,
    reader: &Reader,
    request: Request<'_>,
    objects: &[Object],
    before: &[(u64, Placed)],
    not_read: &mut Vec<String>,
) -> Result<PrunePlan, Error> {
    let Request { key, spec, .. } = request;
    let mut namespaces: BTreeSet<String> = objects
        .iter()
        .chain(before.iter().flat_map(|(_, set)| set.iter()))
        .map(|object| object.id().namespace.clone())
        .filter(|namespace| !namespace.is_empty())
        .collect();
    namespaces.insert(
        spec.target
            .namespace
            .clone()
            .unwrap_or_else(|| key.namespace.clone()),
    );
    let found = marked(cluster, Identity::Person, key, &namespaces).await?;
    not_read.extend(found.not_read);
    let mut inventory = Inventory::default();
    inventory.add(&found.objects);
    for (_, set) in before {
        inventory.add(set.iter());
    }
    inventory.add(objects);
    let stays: BTreeSet<&ObjectId> = objects.iter().map(Object::id).collect();
    let mut candidates = Vec::new();
    for (id, _) in inventory.iter().filter(|(id, _)| !stays.contains(id)) {
        match candidate(reader, &inventory, id).await {
            Ok(candidate) => candidates.push(candidate),
            Err(Error::Cluster(error @ cluster::Error::Forbidden { .. })) => {
                not_read.push(format!("{id} ({error})"));
            }
            Err(error) => return Err(error),
        }
    }
    let limits = PruneLimits::from(&spec.prune);
    Ok(plan_prune(
        key,
        &inventory,
        &candidates,
        Some(limits),
        &Approval::default(),
    ))
}
