//! What a process remembers of one Application between reconciles.
//!
//! Enters: what each step learned.
//! Leaves: `Memory`. All of it can be lost: what counts is in status, state and records.
//! Never: a truth of its own; after a restart it is empty and the cluster is looked at anew.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    placements::Placements,
    sets::{Held, SMALL, Sets},
};
use crate::{
    api::{ApplicationStatus, Class, HealthCounts, Predecessor, Reason, RecordHead, SetStatus},
    cluster::Kept,
    health::{Rules, Sightings, StuckPod},
    history::{Entry, ObjectChange},
    model::{
        Asked, CommitInfo, Credentials, Digest, GroupKind, Head, ObjectId, Packed, Revision,
        SourceSpec,
    },
    plan::Plan,
    render::RenderSpec,
    report::{FetchState, Health, Notice},
    rollout::{Desired, Failure, Pin, Rollout, State},
    source::Lineage,
};

/// What git wants, rendered.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) desired: Desired,
    /// Where its revision stands in what the reference has gone through; None where that is not known.
    pub(super) lineage: Option<Lineage>,
    pub(super) rendered: Held,
    /// None where a pinned set is kept whose record does not tell.
    pub(super) commit: Option<CommitInfo>,
    /// What it was rendered from: the tree of the commit, and the spec.
    pub(super) tree: String,
    pub(super) spec: RenderSpec,
    /// The paths that were read or looked for, and a mark of what stood there.
    pub(super) read: BTreeSet<String>,
    pub(super) mark: Option<String>,
}

/// A revision as git gave it.
#[derive(Clone, Debug)]
pub(super) struct Newest {
    pub(super) revision: Revision,
    pub(super) commit: CommitInfo,
    pub(super) seen: Timestamp,
}

/// A pin that is in force.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    /// What the command names, and when it was given.
    pub(super) identity: String,
    /// The set; None while it cannot be had.
    pub(super) wanted: Option<Wanted>,
}

/// A set that is being planned, or was until that was ended.
#[derive(Clone, Debug)]
pub(super) struct Planning {
    pub(super) desired: Desired,
    pub(super) since: Timestamp,
}

/// What was learned while an attempt was under way, for its record.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Number of the attempt; 0 for none.
    pub(super) attempt: u64,
    /// When it was begun to be planned, before it had a number.
    pub(super) planned: Option<Timestamp>,
    pub(super) began: Option<Timestamp>,
    pub(super) applied: Option<Timestamp>,
    pub(super) failed: Option<Timestamp>,
    pub(super) restored: Option<Timestamp>,
    pub(super) asked: Option<Asked>,
    /// Commit that ran before.
    pub(super) before: Option<String>,
    /// Rules of the preflight that found something and let the set pass.
    pub(super) preflight: String,
    /// Who approved the plan of a prune.
    pub(super) approved: Option<String>,
    pub(super) changes: Vec<ObjectChange>,
    pub(super) unchanged: usize,
    pub(super) resumed: bool,
    /// Objects that were absent when the attempt was planned.
    pub(super) creates: BTreeSet<ObjectId>,
    /// Objects that the attempt was begun to delete.
    pub(super) deletes: Vec<ObjectId>,
}

/// How long a look at a set at rest counts where no watch spoke since. A commit to a monorepo wakes all its Applications, and
/// most of them only ask what it is about.
const LOOK_COUNTS: Duration = Duration::from_secs(30);

/// Repairs within a minute that are no fight yet.
pub(super) const REPAIRS: usize = 10;

/// An effect that must be performed before anything else.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// A record, made when the attempt ended.
    Record(Arc<Entry>),
    /// The status, before anything is written to the cluster's objects.
    Status,
}

/// What was written of the wave that is under way: it is not written twice where the wave was interrupted or waits.
#[derive(Debug, Default)]
pub(super) struct Wave {
    pub(super) attempt: u64,
    pub(super) number: u32,
    pub(super) written: BTreeSet<ObjectId>,
}

/// How long nothing is expected to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// A reconcile ended.
    Short,
    /// Nothing happened for a while.
    Long,
}

/// What is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// This set.
    Set(Digest),
    /// The deletion of what left git.
    Prune,
    /// The set that a person pinned.
    Pin,
    /// Anything: the last reconcile ended in an error.
    Error,
}

/// What a process remembers of one Application.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its own name"
)]
pub struct Memory {
    pub(super) loaded: bool,
    /// Whether it was loaded before in this process.
    pub(super) taken_up: bool,
    pub(super) rollout: Rollout,
    /// Status as the cluster has it, and the version that the next write builds on.
    pub(super) status: ApplicationStatus,
    pub(super) resource_version: String,
    pub(super) status_written: Option<Duration>,
    /// The attempt under way that the status tells of, and since when.
    pub(super) under_way_told: Option<(u64, Timestamp)>,
    pub(super) record: Option<RecordHead>,
    /// What an earlier Application of this name left, and whether it was looked for.
    pub(super) predecessor: Option<Predecessor>,
    pub(super) predecessor_sought: bool,
    /// Records that were found beyond the status at take-up: what they tell is done.
    pub(super) found: Vec<Value>,
    pub(super) handled: Vec<String>,

    pub(super) fetch: Option<FetchState>,
    pub(super) asked: Option<Duration>,
    pub(super) fetch_failures: u32,
    pub(super) credentials: Option<(Duration, Credentials)>,
    pub(super) wanted: Option<Wanted>,
    /// The revision that git last answered with, whether it renders or not, and when that was first seen.
    pub(super) newest: Option<Newest>,
    pub(super) pinned: Option<Pinned>,
    /// Where git was looked at last: a spec that points elsewhere is not known yet.
    pub(super) looked: Option<(SourceSpec, RenderSpec)>,
    /// Forces the next reconcile to ask git, for example after a webhook or a command: since when.
    /// What git answered before does not count.
    pub(super) ask_since: Option<Duration>,

    /// Sets by the attempt that stored them.
    pub(super) sets: Sets,
    /// Attempts whose stored sets cannot be read any more.
    pub(super) lost: BTreeSet<u64>,
    /// Heads of the attempts that stored those sets.
    pub(super) heads: BTreeMap<u64, Arc<Head>>,
    /// Attempts that have parts stored, where that is known.
    pub(super) stored: Option<BTreeSet<u64>>,
    /// Whether the Application came into being while the lease was ours: nobody has worked on it.
    pub(super) is_new: bool,
    /// What was stored of it when the lease became ours; taken at take-up.
    pub(super) kept: Option<Kept>,
    /// Until when a status that only says what is under way is not written yet.
    pub(super) status_due: Option<Duration>,
    /// Sets as they are sent.
    pub(super) placed: Placements,
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) planning: Option<Planning>,
    pub(super) wave: Wave,
    /// The set of whose findings people were told.
    pub(super) preflight_told: Option<Digest>,
    /// Whether the plan was made by another life than the one that began the attempt.
    pub(super) plan_is_anew: bool,
    /// Since when a kind is awaited that was just defined.
    pub(super) kinds_awaited: Option<Duration>,
    /// Effects that were decided and not performed yet, oldest first.
    pub(super) pending: VecDeque<Pending>,
    /// What people are still to be told.
    pub(super) notices: Vec<Notice>,
    pub(super) notes: Notes,
    /// What was noted of the attempt before, whose record may still be to come.
    pub(super) former: Notes,
    /// Who asked for what comes next.
    pub(super) asker: Option<Asked>,
    pub(super) retry_due: bool,
    pub(super) return_begun: bool,
    pub(super) sweep_due: bool,
    pub(super) prune_attempt: Option<u64>,
    pub(super) drift_attempt: Option<u64>,

    /// What the server answered to our last write of an object: what it must look like since.
    pub(super) expected: BTreeMap<ObjectId, Packed>,
    /// UID of the object that went, of each that was created again.
    pub(super) replaced: BTreeMap<ObjectId, String>,
    /// Generation that the server answered to our last write of an object.
    pub(super) generations: BTreeMap<ObjectId, i64>,
    pub(super) drifted: BTreeSet<ObjectId>,
    /// Generation of the spec under which the whole set was compared with what the watches know: what drifted while
    /// no controller ran, or while another policy left it.
    pub(super) compared: Option<i64>,
    pub(super) drift_message: Option<String>,
    /// Monotonic time before which drift is not looked at, and when the last repairs were.
    pub(super) drift_hold: Option<Duration>,
    pub(super) repairs: Vec<Duration>,
    /// What must be gone before it is created again, for people.
    pub(super) apply_waits: Option<(String, Class)>,
    /// What a prune waits for, for people.
    pub(super) prune_waits: Option<String>,
    /// Why the Application, which is being deleted, is still there.
    pub(super) finalizing: Option<Failure>,
    /// Since when a set is being written.
    pub(super) applying_since: Option<Duration>,
    /// Since when its health is watched.
    pub(super) watching_since: Option<Duration>,
    pub(super) sightings: Sightings,
    /// Pods that block their StatefulSets, as of the last look, and UIDs of those that were deleted for it.
    pub(super) stuck: Vec<StuckPod>,
    pub(super) freed: BTreeSet<String>,
    /// UIDs of hooks that were deleted because they ended, or could not be: each is tried once.
    pub(super) tidied: BTreeSet<String>,
    /// Events that tell why something is not there, which are wanted, when they were read, and under which generation
    /// of the spec the account might not.
    pub(super) events: Vec<Arc<Value>>,
    pub(super) events_wanted: super::events::Wanted,
    pub(super) events_read: Option<Duration>,
    pub(super) events_denied: Option<i64>,
    /// What blocks a return, by attempt and generation of the spec.
    pub(super) barriers: Option<(u64, i64, Vec<ObjectId>)>,
    /// Objects of what runs that have failed, as of the last look, and of the last known good when the attempt began.
    pub(super) failing: BTreeMap<ObjectId, Reason>,
    pub(super) before: BTreeMap<ObjectId, Reason>,
    pub(super) rules: Option<(i64, Arc<Rules>)>,
    pub(super) assessed: Option<Duration>,
    /// When all that the watches show was looked at; None since one of them spoke, or something was decided.
    pub(super) nothing_since: Option<Duration>,
    pub(super) health: Option<Health>,
    pub(super) counts: Option<HealthCounts>,
    pub(super) next_look: Option<Duration>,
    /// Kinds that the controller itself may not watch.
    pub(super) unwatchable: BTreeSet<GroupKind>,

    /// Why nothing can be done at all: no identity, a reserved namespace, a spec that is not valid.
    pub(super) blocked: Option<Failure>,
    /// What is not tried again before a moment of monotonic time, and how often it failed. A new set is never held.
    pub(super) hold: Option<(Duration, Hold)>,
    pub(super) failures: u32,
}

impl Memory {
    /// Returns an empty memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the Application came into being while the lease was ours: nobody has worked on it before.
    pub fn is_new(&mut self) {
        self.is_new = true;
    }

    /// Notes that another replica may have worked on the Application until just now: what the watch knows of it may be
    /// older than what that one did last.
    pub fn was_elsewhere(&mut self) {
        self.taken_up = true;
    }

    /// Notes what was stored of the Application when the lease became ours.
    pub fn was_kept(&mut self, kept: Kept) {
        self.kept = Some(kept);
    }

    /// Begins with nothing: there is no status, no set and no record.
    pub(super) fn nobody_before(&mut self) {
        self.stored = Some(BTreeSet::new());
        self.loaded = true;
    }

    /// Packs what is needed only when something happens again. The set that runs or is under way stays as it is sent
    /// where it is large and something may happen soon, for it takes long to be opened.
    pub fn rest(&mut self, rest: Rest) {
        let objects = match rest {
            Rest::Short => SMALL,
            Rest::Long => usize::MAX,
        };
        // Of a fleet that waits for its rollouts each waits with its sets: they are packed too. A plan that is being
        // carried out is not made twice.
        match self.rollout.state {
            State::Idle | State::Watching { .. } | State::Soaking { .. } | State::Failed { .. } => {
                self.plan = None;
                self.wave.written.clear();
            }
            State::Applying { .. } | State::Pruning | State::Returning { .. } => {}
        }
        let (applied, target) = (&self.rollout.applied, self.rollout.state.target());
        let named: Vec<&SetStatus> = applied.iter().chain(target).collect();
        self.placed.forget(objects, |digest| {
            named.iter().any(|set| set.digest == *digest)
        });
        self.sets.pack();
        self.share_sets();
        let pinned = self.pinned.as_mut();
        let pinned = pinned.and_then(|pinned| pinned.wanted.as_mut());
        for wanted in self.wanted.iter_mut().chain(pinned) {
            wanted.rendered.pack();
        }
    }

    /// Lets what is wanted be held once, where its set is known by an attempt too.
    pub(super) fn share_sets(&mut self) {
        let pinned = self.pinned.as_mut();
        let pinned = pinned.and_then(|pinned| pinned.wanted.as_mut());
        for wanted in self.wanted.iter_mut().chain(pinned) {
            if let Some(held) = self.sets.held(&wanted.desired.digest) {
                wanted.rendered = held.clone();
            }
        }
    }

    /// Returns the set that is to run: the pinned one, else git's.
    pub(super) fn sought(&self) -> Option<&Wanted> {
        match &self.pinned {
            Some(pinned) => pinned.wanted.as_ref(),
            None => self.wanted.as_ref(),
        }
    }

    /// Returns what a person pinned.
    pub(super) fn pin(&self) -> Pin {
        match &self.pinned {
            None => Pin::None,
            Some(Pinned { wanted: None, .. }) => Pin::Sought,
            Some(Pinned {
                wanted: Some(wanted),
                ..
            }) => Pin::To(wanted.desired.clone()),
        }
    }

    /// Asks git at the next reconcile, whatever the interval says; only answers from `at` on count.
    pub fn ask_git(&mut self, at: Duration) {
        self.ask_since = self.ask_since.max(Some(at));
    }

    /// Notes that a watch saw a change of an object, or that it is gone.
    pub fn touched(&mut self, id: ObjectId) {
        // What a prune waits for has changed, perhaps is gone.
        if matches!(self.hold, Some((_, Hold::Prune))) {
            self.settle();
        }
        self.drifted.insert(id);
        self.look_anew();
    }

    /// Lets the last look count no more: a watch began, listed anew or was lost, or something was decided.
    pub fn look_anew(&mut self) {
        self.nothing_since = None;
    }

    /// Notes that the controller itself may not watch a kind.
    pub fn cannot_watch(&mut self, kind: GroupKind) {
        if self.unwatchable.insert(kind) {
            self.look_anew();
        }
    }

    /// Says whether another look at health and drift would see what the last one saw: the set is at rest and was Ready, no
    /// watch spoke since, and no moment came that the look wanted to be there for.
    pub(super) fn sees_nothing_new(&self, generation: i64, now: Duration) -> bool {
        matches!(self.rollout.state, State::Idle)
            && matches!(self.health, Some(Health::Ready))
            && self.compared == Some(generation)
            && self.drifted.is_empty()
            && self.next_look.is_none_or(|at| at > now)
            && self
                .nothing_since
                .is_some_and(|at| now.saturating_sub(at) < LOOK_COUNTS)
    }

    /// Says whether repairs come so fast that somebody else undoes them.
    pub(super) fn is_fighting(&mut self, now: Duration) -> bool {
        self.repairs
            .retain(|at| now.saturating_sub(*at) < super::drift::FIGHT);
        self.repairs.len() >= REPAIRS
    }

    /// Notes that what is wanted is being planned.
    pub(super) fn plans(&mut self, now: Timestamp) {
        let Some(desired) = self.sought().map(|wanted| wanted.desired.clone()) else {
            return;
        };
        let is_it = |known: &Planning| known.desired.digest == desired.digest;
        if !self.planning.as_ref().is_some_and(is_it) {
            self.planning = Some(Planning {
                desired,
                since: now,
            });
        }
    }

    /// Begins to take notes of an attempt.
    pub(super) fn begin_notes(&mut self, notes: Notes) {
        self.former = std::mem::replace(&mut self.notes, notes);
    }

    /// Returns what was noted of an attempt.
    pub(super) fn notes_of(&self, attempt: u64) -> Notes {
        [&self.notes, &self.former]
            .into_iter()
            .find(|notes| notes.attempt == attempt)
            .cloned()
            .unwrap_or_default()
    }

    /// Exponential back-off with a cap: 1 s, 2 s ... 5 min.
    pub(super) fn back_off(&mut self, now: Duration, hold: Hold) -> Duration {
        let same = self.hold.as_ref().is_none_or(|(_, known)| *known == hold);
        self.failures = if same {
            self.failures.saturating_add(1)
        } else {
            1
        };
        let delay = Duration::from_secs(1_u64 << self.failures.min(9).saturating_sub(1))
            .min(Duration::from_secs(300));
        self.hold = Some((now + delay, hold));
        delay
    }

    /// Says whether this is not to be tried again yet.
    pub(super) fn holds(&self, now: Duration, what: &Hold) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|(until, hold)| hold == what && now < *until)
    }

    /// Brings the end of the hold forward.
    pub(super) fn hold_at_most(&mut self, until: Duration) {
        if let Some((at, _)) = &mut self.hold {
            *at = (*at).min(until);
        }
    }

    /// Forgets an error after a reconcile without one.
    pub(super) fn forgive(&mut self) {
        if matches!(self.hold, Some((_, Hold::Error))) {
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        self.failures = 0;
        self.hold = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_until_a_watch_speaks_or_its_time_is_over() {
        let at = Duration::from_secs;
        let looked = || Memory {
            health: Some(Health::Ready),
            compared: Some(1),
            nothing_since: Some(at(10)),
            ..Memory::default()
        };
        assert!(looked().sees_nothing_new(1, at(20)));
        assert!(!Memory::new().sees_nothing_new(1, at(20)), "never looked");
        assert!(!looked().sees_nothing_new(2, at(20)), "another spec");
        assert!(
            !looked().sees_nothing_new(1, at(10) + LOOK_COUNTS),
            "too old"
        );
        let sees_after = |change: &dyn Fn(&mut Memory)| {
            let mut memory = looked();
            change(&mut memory);
            !memory.sees_nothing_new(1, at(20))
        };
        assert!(sees_after(&|memory| memory.next_look = Some(at(15))));
        let pod = ObjectId::new("", "Pod", "shop", "web-0");
        assert!(sees_after(&|memory| memory.touched(pod.clone())));
        assert!(sees_after(&Memory::look_anew));
        let kind = GroupKind::new("", "Secret");
        assert!(sees_after(&|memory| memory.cannot_watch(kind.clone())));
        assert!(sees_after(&|memory| memory.health = Some(Health::Unknown)));
        let mut denied = looked();
        denied.cannot_watch(GroupKind::new("", "Secret"));
        denied.nothing_since = Some(at(12));
        denied.cannot_watch(GroupKind::new("", "Secret"));
        assert!(denied.sees_nothing_new(1, at(20)), "known before");
    }
}
