//! Hooks: what Argo CD and Helm run beside a set, as existing repositories say it.
//!
//! Enters: the annotations of an object.
//! Leaves: its phase: before the set, with it, after it, or not at all.
//! Never: a hook taken for an ordinary object in silence.

use crate::{
    api::{ANNOTATION_HELM_HOOK, ANNOTATION_HOOK},
    model::{Object, ObjectId},
};

/// When an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before the set; the set waits until it is done.
    Before,
    /// With the set.
    With,
    /// After the set, when that is healthy.
    After,
    /// Not at all: it belongs to a moment that is no sync.
    Never,
}

/// Returns the phase of an object: that of its hook annotation, or `With`.
///
/// An object can name several; the earliest holds, as one Job is not run twice in a sync.
pub fn phase(object: &Object) -> Phase {
    let argo = object.annotation(ANNOTATION_HOOK);
    let helm = object.annotation(ANNOTATION_HELM_HOOK);
    let Some(text) = argo.or(helm) else {
        return Phase::With;
    };
    text.split(',')
        .map(|name| match name.trim() {
            "PreSync" | "pre-install" | "pre-upgrade" | "crd-install" => Phase::Before,
            "Sync" => Phase::With,
            "PostSync" | "post-install" | "post-upgrade" => Phase::After,
            // SyncFail, Skip, PreDelete, PostDelete, pre-delete, test ... and what nobody knows.
            _ => Phase::Never,
        })
        .min()
        .unwrap_or(Phase::Never)
}

/// Says whether an object is a hook that runs to an end: it runs anew in each sync.
pub fn runs_anew(object: &Object) -> bool {
    let is_hook = object.annotation(ANNOTATION_HOOK).is_some()
        || object.annotation(ANNOTATION_HELM_HOOK).is_some();
    is_hook && object.id().is("batch", "Job") && phase(object) != Phase::Never
}

/// Returns hooks that are not run, for people.
pub fn not_run(objects: &[Object]) -> Vec<&ObjectId> {
    objects
        .iter()
        .filter(|object| phase(object) == Phase::Never)
        .map(Object::id)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, annotation: &str, value: &str) -> Object {
        let version = if kind == "Job" { "batch/v1" } else { "v1" };
        Object::new(
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "annotations": {annotation: value}}}),
            None,
        )
        .unwrap()
    }

    #[test]
    fn hooks_have_the_phase_that_they_name() {
        for (annotation, value, expected) in [
            ("argocd.argoproj.io/hook", "PreSync", Phase::Before),
            ("argocd.argoproj.io/hook", "Sync", Phase::With),
            ("argocd.argoproj.io/hook", "PostSync", Phase::After),
            (
                "argocd.argoproj.io/hook",
                "PostSync, PreSync",
                Phase::Before,
            ),
            ("argocd.argoproj.io/hook", "SyncFail", Phase::Never),
            ("argocd.argoproj.io/hook", "Skip", Phase::Never),
            ("helm.sh/hook", "pre-install,pre-upgrade", Phase::Before),
            ("helm.sh/hook", "test", Phase::Never),
            ("other", "PreSync", Phase::With),
        ] {
            assert_eq!(
                phase(&object("Job", annotation, value)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn only_jobs_run_anew_and_what_is_not_run_is_named() {
        let job = object("Job", "argocd.argoproj.io/hook", "PreSync");
        let config = object("ConfigMap", "argocd.argoproj.io/hook", "PreSync");
        let skipped = object("Job", "argocd.argoproj.io/hook", "SyncFail");
        assert!(runs_anew(&job) && !runs_anew(&config) && !runs_anew(&skipped));
        let set = [job, config, skipped];
        assert_eq!(not_run(&set), [set[2].id()]);
    }
}
