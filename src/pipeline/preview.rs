//! Preview: what the controller would do, for the command line.
//!
//! Enters: a rendered set and an Application, read as the person.
//! Leaves: the same plan that the controller would make.
//! Never: a write.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error,
    observe::{Manner, observe},
};
use crate::{
    api::ApplicationSpec,
    cluster::{Cluster, Identity, Lookup},
    model::{ApplicationKey, GroupKind, Object},
    plan::{Plan, Policy, plan, questions, without_ignored},
    render::{self, RenderSpec, Rendered, Scope},
};

/// A plan and what it was made from.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// The objects as they would be sent.
    pub objects: Vec<Object>,
}

/// Renders a directory, as the controller would.
///
/// # Errors
/// It does not render.
pub fn render_local(
    files: &dyn kustomize::Files,
    spec: &RenderSpec,
    options: &kustomize::Options,
) -> Result<Rendered, Error> {
    Ok(render::render(files, spec, options)?)
}

/// Plans a set against the cluster, as the person.
///
/// # Errors
/// The cluster cannot be asked about an object; there is no partial preview.
pub async fn preview(
    cluster: &Cluster,
    key: &ApplicationKey,
    spec: &ApplicationSpec,
    rendered: &Rendered,
) -> Result<Preview, Error> {
    let catalogue = cluster.discovery().catalogue().await?;
    let scopes = |kind: &GroupKind| match catalogue.preferred(kind) {
        Lookup::Served(resource) if resource.namespaced => Some(Scope::Namespaced),
        Lookup::Served(_) => Some(Scope::Cluster),
        Lookup::Unknown | Lookup::NotLooked => None,
    };
    let objects: Vec<Object> = rendered
        .placed(key, &scopes)
        .iter()
        .map(|object| without_ignored(object, &spec.apply.ignore))
        .collect();
    let asked = questions(&objects, None, &BTreeSet::new());
    let manner = Manner {
        conflicts: spec.apply.conflicts,
        drift: spec.drift,
        read_all: true,
        recreate: &spec.apply.recreate,
    };
    let reader = cluster.reader(Identity::Person);
    let live = observe(&reader, &asked, &objects, &BTreeMap::new(), manner).await?;
    let policy = Policy {
        application: key.clone(),
        conflicts: spec.apply.conflicts,
        partial: spec.apply.partial,
    };
    Ok(Preview {
        plan: plan(objects.clone(), None, &live, &policy),
        objects,
    })
}
