//! What happens once, when everything has come together: hashes, references, vars, order.
//! Enters: the accumulation of the topmost kustomization.
//! Leaves: `Built`.

use std::collections::HashSet;

use crate::accumulate::Accumulator;
use crate::built::{Built, Resource};
use crate::config::FieldSpec;
use crate::error::{Error, ErrorKind};
use crate::generate;
use crate::identity::Id;
use crate::kustomization::Kustomization;
use crate::load::Loader;
use crate::merge::Schema;
use crate::object::Object;
use crate::objects::Objects;
use crate::options::Reorder;
use crate::order;
use crate::reference;
use crate::trail::{ORIGIN, TRANSFORMATIONS};
use crate::transform;

/// What `managed-by` says; the version that this renderer equals.
const MANAGED_BY: &str = "kustomize-v5.8.2";

impl Loader<'_> {
    /// What happens once, when everything has come together.
    pub(crate) fn finish(
        mut self,
        kustomization: &Kustomization,
        accumulator: Accumulator,
    ) -> Result<Built, Error> {
        let Accumulator {
            mut objects,
            configuration,
            variables,
        } = accumulator;
        add_hashes(&mut objects, &self.schema);
        reference::fix(&mut objects, &configuration, &self.schema)?;
        let unused =
            transform::resolve(&mut objects, &variables, &configuration.variable_references)?;
        if !unused.is_empty() {
            self.warn(
                "",
                format!(
                    "well-defined vars that were never replaced: {}",
                    unused.join(",")
                ),
            );
        }
        drop_local(&mut objects)?;
        match (&kustomization.sort_options, self.options.reorder) {
            (Some(options), reorder) => {
                if reorder.is_some() {
                    self.warn(
                        &kustomization.file,
                        "Warning: Sorting order is set both in 'kustomization.yaml' ('sortOptions') and in a CLI flag \
                         ('--reorder'). Using the kustomization file over the CLI flag.",
                    );
                }
                order::sort(&mut objects, options)?;
            }
            (None, None | Some(Reorder::Legacy)) => order::sort(&mut objects, &order::legacy())?,
            (None, Some(Reorder::None)) => {}
        }
        if self.options.managed_by_label || kustomization.wants("managedByLabel") {
            let pairs = [(
                "app.kubernetes.io/managed-by".to_owned(),
                MANAGED_BY.to_owned(),
            )]
            .into();
            transform::labels(
                &mut objects,
                &pairs,
                &[FieldSpec::new("", "metadata/labels", true)],
            )?;
        }
        let origins = kustomization.wants("originAnnotations");
        let transformations = kustomization.wants("transformerAnnotations");
        let mut resources = Vec::with_capacity(objects.len());
        for mut object in objects.into_list() {
            object.finish(|key| {
                (key != ORIGIN || origins) && (key != TRANSFORMATIONS || transformations)
            })?;
            resources.push(Resource {
                value: object.value,
                origin: object.origin,
            });
        }
        Ok(Built {
            resources,
            warnings: self.warnings,
            read: self.read,
            remotes: self.remotes,
        })
    }
}

/// Appends to names the hash of the content, where it is wanted.
pub(crate) fn add_hashes(objects: &mut Objects, schema: &Schema) {
    for object in objects
        .all_mut()
        .iter_mut()
        .filter(|object| object.memory.needs_hash)
    {
        let name = format!("{}-{}", object.id.name, generate::hash(object));
        object.remember();
        object.set_name(&name);
        object.refresh(schema);
    }
    objects.identities_changed();
}

/// Drops the objects that say they are for local use only.
fn drop_local(objects: &mut Objects) -> Result<(), Error> {
    const LOCAL: &str = "config.kubernetes.io/local-config";
    let lost = objects.iter().find(|object| {
        let id = &object.id;
        id.gvk.kind.is_empty() || (id.name.is_empty() && !id.gvk.kind.ends_with("List"))
    });
    if let Some(lost) = lost {
        let message = format!("print {}: it has lost its kind or name", lost.id);
        return Err(Error::new(ErrorKind::Object, message).at(
            &lost.origin.file,
            lost.origin.line,
            0,
        ));
    }
    let is_local = |object: &Object| {
        object
            .annotation(LOCAL)
            .is_some_and(|value| value != "false")
    };
    // A replacement or var may have written a name. Upstream crashes then.
    objects.check_unique_among(|object| !is_local(object))?;
    if !objects.iter().any(is_local) {
        return Ok(());
    }
    // Upstream goes by identity: one that is also that of an object that stays keeps both.
    let stay: HashSet<Id> = objects
        .iter()
        .filter(|object| !is_local(object))
        .map(|object| object.id.clone())
        .collect();
    objects.retain(|object| stay.contains(&object.id));
    Ok(())
}
