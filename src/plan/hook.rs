//! Hooks: what Argo CD and Helm run beside a set, as existing repositories say it.
//!
//! Enters: the annotations of an object.
//! Leaves: its phase: before the set, with it, after it, or not at all.
//! Never: a hook taken for an ordinary object in silence.

use crate::{
    api::{
        ANNOTATION_HELM_HOOK, ANNOTATION_HELM_HOOK_DELETE, ANNOTATION_HOOK, ANNOTATION_HOOK_DELETE,
    },
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
    /// Only where the sync fails.
    OnFailure,
    /// Not at all: it belongs to a moment that is no sync.
    Never,
}

/// Returns the phase of an object: that of its hook annotation, or `With`.
///
/// An object can name several; the earliest holds, as one Job is not run twice in a sync.
pub fn phase(object: &Object) -> Phase {
    if !is_hook(object) {
        return Phase::With;
    }
    phases(object).min().unwrap_or(Phase::Never)
}

fn is_hook(object: &Object) -> bool {
    object.annotation(ANNOTATION_HOOK).is_some()
        || object.annotation(ANNOTATION_HELM_HOOK).is_some()
}

fn phases(object: &Object) -> impl Iterator<Item = Phase> {
    let is_job = object.id().is("batch", "Job");
    let argo = object.annotation(ANNOTATION_HOOK);
    let text = argo.or(object.annotation(ANNOTATION_HELM_HOOK));
    let names = text.unwrap_or_default().split(',');
    names.map(move |name| match name.trim() {
        "PreSync" | "pre-install" | "pre-upgrade" | "crd-install" => Phase::Before,
        "Sync" => Phase::With,
        "PostSync" | "post-install" | "post-upgrade" => Phase::After,
        "SyncFail" if is_job => Phase::OnFailure,
        // Skip, PreDelete, PostDelete, pre-delete, test ... and what nobody knows.
        _ => Phase::Never,
    })
}

/// Says whether an object is a hook that runs to an end: it runs anew in each sync.
pub fn runs_anew(object: &Object) -> bool {
    is_hook(object) && object.id().is("batch", "Job") && phase(object) != Phase::Never
}

/// Says whether an object is a hook that runs where a sync fails, be it beside another phase.
pub fn runs_on_failure(object: &Object) -> bool {
    is_hook(object) && phases(object).any(|phase| phase == Phase::OnFailure)
}

/// When a hook that ran to its end is deleted. One of an earlier sync goes before it runs anew in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidy {
    /// When it succeeded.
    pub succeeded: bool,
    /// When it failed.
    pub failed: bool,
}

/// Returns when an object is deleted that is a hook and ran to its end: what its delete policy says.
pub fn tidy(object: &Object) -> Tidy {
    let mut tidy = Tidy::default();
    if !runs_anew(object) {
        return tidy;
    }
    let argo = object.annotation(ANNOTATION_HOOK_DELETE);
    let text = argo.or(object.annotation(ANNOTATION_HELM_HOOK_DELETE));
    for name in text.unwrap_or_default().split(',') {
        match name.trim() {
            "HookSucceeded" | "hook-succeeded" => tidy.succeeded = true,
            "HookFailed" | "hook-failed" => tidy.failed = true,
            // BeforeHookCreation, and what nobody knows.
            _ => {}
        }
    }
    tidy
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
            ("argocd.argoproj.io/hook", "SyncFail", Phase::OnFailure),
            ("argocd.argoproj.io/hook", "PostSync,SyncFail", Phase::After),
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
        let skipped = object("Job", "argocd.argoproj.io/hook", "Skip");
        assert!(runs_anew(&job) && !runs_anew(&config) && !runs_anew(&skipped));
        let set = [job, config, skipped];
        assert_eq!(not_run(&set), [set[2].id()]);
        let fails = object("ConfigMap", "argocd.argoproj.io/hook", "SyncFail");
        assert_eq!(phase(&fails), Phase::Never, "only Jobs run to an end");
    }

    #[test]
    fn a_hook_of_failure_can_be_one_of_success_too() {
        for (value, expected) in [
            ("SyncFail", true),
            ("PostSync, SyncFail", true),
            ("PostSync", false),
        ] {
            let job = object("Job", "argocd.argoproj.io/hook", value);
            assert_eq!(runs_on_failure(&job), expected, "{value}");
            assert!(runs_anew(&job));
        }
    }

    #[test]
    fn delete_policies_say_when_a_hook_goes() {
        for (annotation, value, succeeded, failed) in [
            (
                "argocd.argoproj.io/hook-delete-policy",
                "HookSucceeded",
                true,
                false,
            ),
            (
                "argocd.argoproj.io/hook-delete-policy",
                "HookFailed, HookSucceeded",
                true,
                true,
            ),
            (
                "argocd.argoproj.io/hook-delete-policy",
                "BeforeHookCreation",
                false,
                false,
            ),
            (
                "helm.sh/hook-delete-policy",
                "before-hook-creation,hook-failed",
                false,
                true,
            ),
        ] {
            let mut job = object("Job", "argocd.argoproj.io/hook", "Sync");
            job.edit(|job| job["metadata"]["annotations"][annotation] = json!(value));
            assert_eq!(tidy(&job), Tidy { succeeded, failed }, "{value}");
        }
        let mut job = object("Job", "other", "x");
        job.edit(|job| {
            job["metadata"]["annotations"]["argocd.argoproj.io/hook-delete-policy"] =
                json!("HookSucceeded");
        });
        assert_eq!(tidy(&job), Tidy::default(), "no hook");
    }
}
