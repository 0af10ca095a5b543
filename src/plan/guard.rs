//! Deletion as a plan of its own.
//!
//! Enters: the inventory, the set that stays, what the API server says of each candidate, limits, approvals.
//! Leaves: `PrunePlan`: what may go now, what waits for approval, what is kept.
//! Never: a delete without a UID, of an object with an owner, or of a protected kind without approval.

use std::collections::BTreeSet;

use serde_json::Value;

use super::inventory::Inventory;
use crate::{
    api::{LABEL_APPLICATION, LABEL_APPLICATION_NAMESPACE, PruneSpec},
    model::{ApplicationKey, Digest, Doomed, ObjectId, text},
};

/// What the API server says of one candidate, read as the account.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The object.
    pub id: ObjectId,
    /// The live object; None where a read as the account said that it is gone.
    pub live: Option<Value>,
    /// Instances that a CustomResourceDefinition has; 0 for all else.
    pub instances: usize,
    /// An object of the set that stays and is the same one under another API group, by its UID.
    pub same_as: Option<ObjectId>,
}

/// How much may be deleted without approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneLimits {
    /// Objects.
    pub max_objects: u32,
    /// Percent of the inventory.
    pub max_percent: u32,
}

impl From<&PruneSpec> for PruneLimits {
    fn from(spec: &PruneSpec) -> Self {
        Self {
            max_objects: spec.max_objects,
            max_percent: spec.max_percent,
        }
    }
}

/// Whether a prune may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to delete.
    Nothing,
    /// It may.
    Open,
    /// It needs approval of its hash.
    NeedsApproval {
        /// Why, with the figures.
        why: String,
    },
}

/// A planned prune. Built only here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunePlan {
    deletes: Vec<Doomed>,
    gone: Vec<ObjectId>,
    kept: Vec<(ObjectId, String)>,
    waiting: Vec<String>,
    later: usize,
    hash: Digest,
    verdict: Verdict,
}

impl PrunePlan {
    /// Returns what is deleted, in the reverse order of writing.
    pub fn deletes(&self) -> &[Doomed] {
        &self.deletes
    }

    /// Returns candidates that are already gone.
    pub fn gone(&self) -> &[ObjectId] {
        &self.gone
    }

    /// Returns candidates that stay, and why; they leave the inventory only with their set.
    pub fn kept(&self) -> &[(ObjectId, String)] {
        &self.kept
    }

    /// Returns what is being deleted already and on what it waits, for people.
    pub fn waiting(&self) -> &[String] {
        &self.waiting
    }

    /// Returns how many objects are left for a prune after the one that was begun.
    pub fn later(&self) -> usize {
        self.later
    }

    /// Returns the hash that an approval names.
    pub fn hash(&self) -> &Digest {
        &self.hash
    }

    /// Returns whether it may begin.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// What was approved before.
#[derive(Clone, Debug, Default)]
pub struct Approval<'a> {
    /// Hashes that a person approved.
    pub hashes: BTreeSet<String>,
    /// Deletes of a prune that was begun: exactly these go on, whatever the limits say.
    pub begun: Option<&'a [Doomed]>,
    /// Why every delete needs approval, where the inventory is not what was written.
    pub doubt: Option<String>,
}

/// Plans the deletion of what the inventory has and the set has not.
///
/// `candidates` are the objects of the inventory that the set does not have, each with its live form:
/// the caller read every one of them, as the account, or there is no plan.
/// `limits` is None for what a return removes: the objects that the failed attempt itself created.
/// `approval` says what needs none any more.
pub fn plan_prune(
    application: &ApplicationKey,
    inventory: &Inventory,
    candidates: &[Candidate],
    limits: Option<PruneLimits>,
    approval: &Approval<'_>,
) -> PrunePlan {
    let mut deletes = Vec::new();
    let mut gone = Vec::new();
    let mut kept = Vec::new();
    let mut protected = Vec::new();
    let mut waiting = Vec::new();
    let mut later = 0;
    let mut counted = 0_usize;
    for candidate in candidates {
        let Some(live) = &candidate.live else {
            gone.push(candidate.id.clone());
            continue;
        };
        if let Some(why) = reason_to_keep(application, inventory, candidate, live) {
            kept.push((candidate.id.clone(), why));
            continue;
        }
        if let Some(why) = is_terminating(live) {
            waiting.push(format!("{} {why}", candidate.id));
            continue;
        }
        let text = |pointer: &str| {
            live.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let begun =
            |doomed: &Doomed| doomed.id == candidate.id && doomed.uid == text("/metadata/uid");
        if approval.begun.is_some_and(|all| !all.iter().any(begun)) {
            later += 1;
            continue;
        }
        if let Some(why) = protected_kind(candidate) {
            protected.push(format!("{} {why}", candidate.id));
        }
        if !is_generated(inventory, candidates, candidate) {
            counted += 1;
        }
        deletes.push(Doomed {
            id: candidate.id.clone(),
            api_version: text("/apiVersion"),
            uid: text("/metadata/uid"),
        });
    }
    deletes.sort_by_key(|doomed| {
        (
            std::cmp::Reverse(delete_rank(&doomed.id)),
            doomed.id.clone(),
        )
    });
    let hash = plan_hash(&deletes);
    let verdict = if deletes.is_empty() {
        Verdict::Nothing
    } else if approval.begun.is_some() || approval.hashes.contains(hash.as_str()) {
        Verdict::Open
    } else if let Some(doubt) = &approval.doubt {
        Verdict::NeedsApproval {
            why: format!("{doubt}; would delete {}", text::list(&ids(&deletes), 5)),
        }
    } else if !protected.is_empty() {
        Verdict::NeedsApproval {
            why: format!("would delete {}", text::list(&protected, 3)),
        }
    } else {
        match limits {
            Some(limits) => within(
                limits,
                counted,
                inventory.len().saturating_sub(gone.len() + waiting.len()),
            ),
            None => Verdict::Open,
        }
    };
    PrunePlan {
        deletes,
        gone,
        kept,
        waiting,
        later,
        hash,
        verdict,
    }
}

/// Says on what an object waits that is being deleted already; it counts against no limit and is not deleted twice.
fn is_terminating(live: &Value) -> Option<String> {
    let since = live
        .pointer("/metadata/deletionTimestamp")?
        .as_str()
        .unwrap_or_default();
    let finalizers: Vec<&str> = live
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Some(if finalizers.is_empty() {
        format!("is Terminating since {since}")
    } else {
        format!(
            "is Terminating since {since}: waits for {}",
            text::list(&finalizers, 3)
        )
    })
}

fn ids(deletes: &[Doomed]) -> Vec<&ObjectId> {
    deletes.iter().map(|doomed| &doomed.id).collect()
}

/// At most `max_objects` or `max_percent`, whichever is larger, and never more than half of four or more (law 4).
fn within(limits: PruneLimits, deletes: usize, inventory: usize) -> Verdict {
    let percent = inventory * limits.max_percent as usize / 100;
    let limit = percent.max(limits.max_objects as usize);
    let limit = if inventory >= 4 {
        limit.min(inventory / 2)
    } else {
        limit
    };
    if deletes <= limit {
        return Verdict::Open;
    }
    Verdict::NeedsApproval {
        why: format!(
            "would delete {deletes} of {} (limit {limit})",
            text::plural(inventory, "object")
        ),
    }
}

/// The hash covers what would be deleted, each by UID: an approval is of exactly that.
fn plan_hash(deletes: &[Doomed]) -> Digest {
    let lines: Vec<String> = deletes
        .iter()
        .map(|doomed| format!("{:?} {}", doomed.id, doomed.uid))
        .collect();
    Digest::of(lines.join("\n").as_bytes())
}

fn reason_to_keep(
    application: &ApplicationKey,
    inventory: &Inventory,
    candidate: &Candidate,
    live: &Value,
) -> Option<String> {
    let label = |name: &str| live.pointer("/metadata/labels")?.get(name)?.as_str();
    let owner = label(LABEL_APPLICATION).zip(label(LABEL_APPLICATION_NAMESPACE));
    match owner {
        None => return Some("carries no marks of ours any more".to_owned()),
        Some((name, namespace))
            if name != application.name || namespace != application.namespace =>
        {
            return Some(format!("was handed over to Application {namespace}/{name}"));
        }
        Some(_) => {}
    }
    if let Some(same) = &candidate.same_as {
        return Some(format!("is the same object as {same}"));
    }
    let owners = live
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    if owners.is_some_and(|owners| !owners.is_empty()) {
        return Some("is owned by another object".to_owned());
    }
    if inventory
        .get(&candidate.id)
        .is_some_and(|owned| owned.protected)
        || says_protect(live)
    {
        return Some("is protected by its annotation".to_owned());
    }
    if live
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Some("has no UID to insist on".to_owned());
    }
    None
}

pub(super) fn says_protect(live: &Value) -> bool {
    live.pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(crate::api::ANNOTATION_PROTECT))
        .and_then(Value::as_str)
        .is_some_and(|text| !text.eq_ignore_ascii_case("false"))
}

/// Kinds that are never deleted without approval (law 4).
fn protected_kind(candidate: &Candidate) -> Option<String> {
    let id = &candidate.id;
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") => Some("and all that is in it".to_owned()),
        ("", "PersistentVolumeClaim" | "PersistentVolume") => Some("and its data".to_owned()),
        ("apiextensions.k8s.io", "CustomResourceDefinition") if candidate.instances > 0 => Some(
            format!("and its {}", text::plural(candidate.instances, "instance")),
        ),
        _ => None,
    }
}

/// A generated ConfigMap or Secret that its next hash replaces does not count against the limit.
fn is_generated(inventory: &Inventory, candidates: &[Candidate], candidate: &Candidate) -> bool {
    let id = &candidate.id;
    if !(id.group.is_empty() && matches!(id.kind.as_str(), "ConfigMap" | "Secret")) {
        return false;
    }
    let Some(stem) = generated_stem(&id.name) else {
        return false;
    };
    inventory.iter().any(|(other, _)| {
        // Only one that stays replaces it.
        !candidates.iter().any(|candidate| candidate.id == *other)
            && other.kind == id.kind
            && other.group == id.group
            && other.namespace == id.namespace
            && generated_stem(&other.name) == Some(stem)
    })
}

/// Returns the name without its hash: ten characters of kustomize's alphabet after the last dash.
fn generated_stem(name: &str) -> Option<&str> {
    let (stem, hash) = name.rsplit_once('-')?;
    let is_hash = hash.len() == 10 && hash.bytes().all(|byte| b"bcdfghkmt2456789".contains(&byte));
    (is_hash && !stem.is_empty()).then_some(stem)
}

/// What others live on is deleted last.
fn delete_rank(id: &ObjectId) -> std::cmp::Reverse<u8> {
    std::cmp::Reverse(match (id.group.as_str(), id.kind.as_str()) {
        ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => 0,
        ("", "ServiceAccount" | "ConfigMap" | "Secret") | ("rbac.authorization.k8s.io", _) => 2,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => 3,
        ("", "Namespace") => 4,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Object;

    fn key() -> ApplicationKey {
        ApplicationKey {
            namespace: "team".into(),
            name: "shop".into(),
        }
    }

    fn value(kind: &str, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {
                "name": name, "namespace": "n", "uid": format!("uid-{name}"),
                "labels": {"plimsoll.dev/application": "shop", "plimsoll.dev/application-namespace": "team"}
            }
        })
    }

    fn inventory(count: usize) -> Inventory {
        let mut inventory = Inventory::default();
        let objects: Vec<Object> = (0..count)
            .map(|index| Object::new(value("ConfigMap", &format!("c{index}")), None).unwrap())
            .collect();
        inventory.add(&objects);
        inventory
    }

    fn candidate(live: Value) -> Candidate {
        Candidate {
            id: Object::new(live.clone(), None).unwrap().id().clone(),
            live: Some(live),
            instances: 0,
            same_as: None,
        }
    }

    fn candidates(count: usize) -> Vec<Candidate> {
        (0..count)
            .map(|index| candidate(value("ConfigMap", &format!("c{index}"))))
            .collect()
    }

    const LIMITS: PruneLimits = PruneLimits {
        max_objects: 10,
        max_percent: 20,
    };

    fn verdict(of: usize, deletes: usize) -> Verdict {
        plan_prune(
            &key(),
            &inventory(of),
            &candidates(deletes),
            Some(LIMITS),
            &Approval::default(),
        )
        .verdict()
        .clone()
    }

    #[test]
    fn the_limit_is_the_larger_of_both_and_never_more_than_half() {
        assert_eq!(verdict(100, 20), Verdict::Open);
        assert!(matches!(verdict(100, 21), Verdict::NeedsApproval { .. }));
        assert_eq!(verdict(30, 10), Verdict::Open);
        assert_eq!(verdict(4, 2), Verdict::Open);
        assert_eq!(
            verdict(4, 3),
            Verdict::NeedsApproval {
                why: "would delete 3 of 4 objects (limit 2)".into()
            }
        );
        assert_eq!(verdict(3, 3), Verdict::Open);
        assert_eq!(verdict(3, 0), Verdict::Nothing);
    }

    #[test]
    fn an_approval_is_of_exactly_that_plan() {
        let plan = plan_prune(
            &key(),
            &inventory(42),
            &candidates(31),
            Some(LIMITS),
            &Approval::default(),
        );
        let approved = Approval {
            hashes: BTreeSet::from([plan.hash().to_string()]),
            ..Approval::default()
        };
        let again = plan_prune(
            &key(),
            &inventory(42),
            &candidates(31),
            Some(LIMITS),
            &approved,
        );
        assert_eq!(again.verdict(), &Verdict::Open);
        let other = plan_prune(
            &key(),
            &inventory(42),
            &candidates(32),
            Some(LIMITS),
            &approved,
        );
        assert!(matches!(other.verdict(), Verdict::NeedsApproval { .. }));
    }

    #[test]
    fn a_prune_that_was_begun_goes_on_with_exactly_its_deletes() {
        let all = candidates(31);
        let first = plan_prune(
            &key(),
            &inventory(42),
            &all,
            Some(LIMITS),
            &Approval::default(),
        );
        let begun = Approval {
            begun: Some(first.deletes()),
            ..Approval::default()
        };
        // A third is gone, one waits, one was created again under its name, and one more left git.
        let mut left = all.clone();
        for candidate in &mut left[..10] {
            candidate.live = None;
        }
        left[10].live.as_mut().unwrap()["metadata"]["deletionTimestamp"] =
            json!("2026-11-21T08:24:08Z");
        left[10].live.as_mut().unwrap()["metadata"]["finalizers"] = json!(["x.io/f"]);
        left[11].live.as_mut().unwrap()["metadata"]["uid"] = json!("another");
        left.push(candidate(value("ConfigMap", "c31")));
        let again = plan_prune(&key(), &inventory(42), &left, Some(LIMITS), &begun);
        assert_eq!(again.verdict(), &Verdict::Open);
        assert_eq!((again.deletes().len(), again.later()), (19, 2));
        assert_eq!(
            again.waiting(),
            ["ConfigMap/n/c10 is Terminating since 2026-11-21T08:24:08Z: waits for x.io/f"]
        );
    }

    #[test]
    fn what_is_gone_or_going_counts_neither_as_delete_nor_as_inventory() {
        let mut all = candidates(6);
        for candidate in &mut all[..3] {
            candidate.live.as_mut().unwrap()["metadata"]["deletionTimestamp"] =
                json!("2026-11-21T08:24:08Z");
        }
        let plan = plan_prune(
            &key(),
            &inventory(8),
            &all,
            Some(LIMITS),
            &Approval::default(),
        );
        assert_eq!(
            plan.verdict(),
            &Verdict::NeedsApproval {
                why: "would delete 3 of 5 objects (limit 2)".into()
            }
        );
    }

    #[test]
    fn the_same_object_under_another_group_stays() {
        let mut one = candidate(value("Event", "e"));
        one.same_as = Some(ObjectId::new("events.k8s.io", "Event", "n", "e"));
        let plan = plan_prune(
            &key(),
            &inventory(9),
            &[one],
            Some(LIMITS),
            &Approval::default(),
        );
        assert_eq!(plan.verdict(), &Verdict::Nothing);
        assert_eq!(plan.kept()[0].1, "is the same object as Event/n/e");
    }

    #[test]
    fn a_doubtful_inventory_deletes_nothing_without_approval() {
        let doubtful = Approval {
            doubt: Some("the inventory was rebuilt from marks".to_owned()),
            ..Approval::default()
        };
        let plan = plan_prune(
            &key(),
            &inventory(42),
            &candidates(1),
            Some(LIMITS),
            &doubtful,
        );
        assert_eq!(
            plan.verdict(),
            &Verdict::NeedsApproval {
                why: "the inventory was rebuilt from marks; would delete ConfigMap/n/c0".into()
            }
        );
    }

    #[test]
    fn children_handed_over_and_protected_objects_stay() {
        let mut child = value("ConfigMap", "child");
        child["metadata"]["ownerReferences"] = json!([{"kind": "X"}]);
        let mut moved = value("ConfigMap", "moved");
        moved["metadata"]["labels"]["plimsoll.dev/application"] = json!("other");
        let mut protected = value("ConfigMap", "protected");
        protected["metadata"]["annotations"] = json!({"plimsoll.dev/protect": "true"});
        let mut unmarked = value("ConfigMap", "unmarked");
        unmarked["metadata"]["labels"] = json!({});
        let all = [child, moved, protected, unmarked].map(candidate);
        let plan = plan_prune(
            &key(),
            &inventory(9),
            &all,
            Some(LIMITS),
            &Approval::default(),
        );
        assert_eq!(plan.verdict(), &Verdict::Nothing);
        assert_eq!(plan.kept().len(), 4);
    }

    #[test]
    fn namespaces_claims_and_definitions_with_instances_need_approval() {
        for (kind, group, instances, waits) in [
            ("Namespace", "v1", 0, true),
            ("PersistentVolumeClaim", "v1", 0, true),
            (
                "CustomResourceDefinition",
                "apiextensions.k8s.io/v1",
                3,
                true,
            ),
            (
                "CustomResourceDefinition",
                "apiextensions.k8s.io/v1",
                0,
                false,
            ),
        ] {
            let mut live = value(kind, "x");
            live["apiVersion"] = json!(group);
            let mut one = candidate(live);
            one.instances = instances;
            let plan = plan_prune(
                &key(),
                &inventory(9),
                &[one],
                Some(LIMITS),
                &Approval::default(),
            );
            assert_eq!(
                matches!(plan.verdict(), Verdict::NeedsApproval { .. }),
                waits,
                "{kind} {instances}"
            );
        }
    }

    #[test]
    fn a_hash_that_its_next_one_replaces_does_not_count() {
        let mut inventory = Inventory::default();
        let names = ["web-2bkh8f7g4m", "web-5c9d6tm2bk"];
        let objects: Vec<Object> = names
            .iter()
            .map(|name| Object::new(value("ConfigMap", name), None).unwrap())
            .collect();
        inventory.add(&objects);
        let limits = PruneLimits {
            max_objects: 0,
            max_percent: 0,
        };
        let plan = plan_prune(
            &key(),
            &inventory,
            &[candidate(value("ConfigMap", names[0]))],
            Some(limits),
            &Approval::default(),
        );
        assert_eq!(plan.verdict(), &Verdict::Open);
    }

    #[test]
    fn what_a_return_removes_has_no_limit_but_protected_kinds() {
        let plan = plan_prune(
            &key(),
            &inventory(4),
            &candidates(4),
            None,
            &Approval::default(),
        );
        assert_eq!(plan.verdict(), &Verdict::Open);
    }
}
