//! What other replicas change for us: slots that come and go, pushes that they heard of.
//!
//! Enters: our share as it changes, pushes.
//! Leaves: Applications that end or begin here; the word that work in slots has ended.
//! Never: the word while a reconcile is under way in a slot that is given up.

use std::time::Duration;

use super::work::Work;
use crate::{
    api::Application,
    cluster::{Share, Task, push_name},
    history::ChainId,
    model::{ApplicationKey, RepositoryName, Slot, Slots},
    pipeline::application_key,
};

/// Pushes to one repository that come within this time are one.
const STORM: Duration = Duration::from_secs(1);

impl Work {
    /// A push that came to us is told to the other replicas too.
    pub(super) fn pushed(&mut self, repository: &RepositoryName) {
        let is_alone = self.ours.now().is_none_or(|share| share.members <= 1);
        if self.woken(push_name(repository), is_alone) && !is_alone {
            self.ours.desk.announce(repository);
        }
    }

    /// A push wakes the Applications of that repository and no others. What comes again within a second waits for its
    /// end, so that a storm becomes one question a second. Says whether it was no part of a storm.
    fn woken(&mut self, repository: String, is_alone: bool) -> bool {
        let now = self.now();
        self.pushed.retain(|_, at| now.saturating_sub(*at) < STORM);
        let at = match self.pushed.get(&repository) {
            Some(at) if *at > now => return false,
            Some(at) => *at + STORM,
            None => now,
        };
        let mut woken = 0;
        for (key, entry) in &mut self.entries {
            if entry.repository.as_ref() == Some(&repository) {
                // A newer revision takes over at the next object; where it is none, what is under way goes on there.
                entry.interrupt.news();
                entry.ask = Some(at);
                self.queue.at(key, at);
                woken += 1;
            }
        }
        // What wakes nobody here may wake others: they are not told a thousand times either.
        if woken > 0 || !is_alone {
            self.pushed.insert(repository, at);
        }
        tracing::debug!(applications = woken, "a repository was pushed to");
        true
    }

    /// Takes what is ours now: ends what is not any more, takes up what is new.
    pub(super) async fn share(&mut self, share: Option<Share>) {
        // Lost as a whole: the round ends by itself.
        let Some(share) = share else { return };
        let lost = self.slots.without(share.slots);
        let gained = share.slots.without(self.slots);
        self.slots = share.slots;
        self.first = self.first.without(lost);
        if lost.contains(Slot::HOUSE) {
            // Who takes care of it now finds it by itself.
            self.gone.clear();
        }
        if !lost.is_empty() {
            let left = self.entries.keys().filter(|key| lost.covers(key));
            let left: Vec<ApplicationKey> = left.cloned().collect();
            tracing::info!(slots = %lost, applications = left.len(), "other replicas take over a part");
            for key in left {
                self.forget(&key);
            }
        }
        if !gained.is_empty() {
            // After the slots became ours: what is not stored by now was never begun.
            self.kept
                .read(&self.context.keeper, gained, self.slots)
                .await;
            self.kept.forget_others(&self.applications, self.slots);
            self.take_up(gained);
        }
        self.told_of_pushes(&share);
        self.tell_ended();
    }

    fn take_up(&mut self, gained: Slots) {
        let keeps_house = gained.contains(Slot::HOUSE);
        let mut count = 0;
        for application in self.applications.list() {
            if keeps_house {
                self.tell_archive(&application);
            }
            if gained.covers(&application_key(&application)) {
                count += 1;
                self.changed(application);
            }
        }
        tracing::info!(slots = %gained, applications = count, "a part of another replica is ours");
    }

    fn told_of_pushes(&mut self, share: &Share) {
        let next = std::mem::replace(&mut self.next_push, share.next_push);
        let new = share.pushes.iter().filter(|push| push.number >= next);
        let is_anew = share.next_push < next && share.next_push > 0;
        let missed = is_anew || share.next_push.saturating_sub(next) > new.clone().count() as u64;
        if missed {
            // More than anybody remembers.
            let now = self.now();
            for (key, entry) in &mut self.entries {
                entry.ask = Some(now);
                self.queue.at(key, now);
            }
            return;
        }
        let us = self.context.identity.clone();
        for push in new.filter(|push| push.by != us) {
            self.woken(push.repository.clone(), false);
        }
    }

    /// Tells that nothing is under way outside of our share, when that is so.
    pub(super) fn tell_ended(&self) {
        let Some(share) = self.ours.now() else { return };
        // What was given up since is not ended yet.
        if share.slots == self.slots && self.busy.iter().all(|key| self.slots.covers(key)) {
            self.ours.desk.has_ended(Task::Work, share.version);
        }
    }

    /// Who keeps the records beside the cluster learns of those of all Applications.
    pub(super) fn tell_archive(&self, application: &Application) {
        let record = application
            .status
            .as_ref()
            .and_then(|status| status.record.clone());
        if let Some(head) = record.filter(|_| self.slots.contains(Slot::HOUSE))
            && let Some(uid) = application.metadata.uid.clone()
        {
            let key = application_key(application);
            let chain = ChainId {
                namespace: key.namespace,
                name: key.name,
                uid,
            };
            self.context.archive.know(chain, head);
        }
    }
}
