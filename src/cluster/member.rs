//! One replica among others: what it writes into the table next, and which slots it may work in.
//!
//! Enters: tables as they are seen and written, the end of work in slots, time on our own clock.
//! Leaves: `Step`; the slots that are ours.
//! Never: a slot worked in while another may; a replica judged by another machine's clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    claim::LONGEST,
    table::{Holding, PUSHES, Table, cut},
};
use crate::model::Slots;

/// Shortest time from one write to another that only tells of pushes.
const STORM: Duration = Duration::from_millis(200);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a step does nothing by itself"]
pub(super) enum Step {
    /// Read the Lease: what was known may be outdated.
    Read,
    /// Write this table over the one that was seen.
    Write(Box<Table>),
    /// Nothing, for so long.
    Wait(Duration),
}

/// A replica.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    duration: Duration,
    renew: Duration,
    /// The newest table that we know; None where it must be read.
    table: Option<Table>,
    /// Our slots by the last table: nobody else takes them before `until`.
    ours: Slots,
    /// When we first saw the newest beat of each of the others.
    observed: BTreeMap<String, (u64, Duration)>,
    /// Until when our slots are certainly ours; None where we are no member.
    until: Option<Duration>,
    /// When our last renewal was sent.
    renewed: Option<Duration>,
    /// Slots of ours in which work ends, to be handed over.
    giving: Slots,
    /// Whether the write that is under way decides about them.
    is_handing: bool,
    /// Version of our share: grows whenever slots come or go.
    version: u64,
    /// Version of the share that left out what is given.
    giving_since: u64,
    /// Version of the share outside of which all work has ended.
    ended: u64,
    halt: Option<String>,
    news: BTreeSet<String>,
}

impl Member {
    pub(super) fn new(name: &str, duration: Duration, renew: Duration) -> Self {
        Self {
            name: name.to_owned(),
            duration,
            renew,
            table: None,
            ours: Slots::NONE,
            observed: BTreeMap::new(),
            until: None,
            renewed: None,
            giving: Slots::NONE,
            is_handing: false,
            version: 0,
            giving_since: 0,
            ended: 0,
            halt: None,
            news: BTreeSet::new(),
        }
    }

    /// Returns the newest table that is known.
    pub(super) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// Returns until when our slots are certainly ours; None where we are no member.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Returns the slots to work in, and the version of that.
    pub(super) fn share(&self) -> (u64, Slots) {
        let slots = match self.until {
            Some(_) => self.ours.without(self.giving),
            None => Slots::NONE,
        };
        (self.version, slots)
    }

    /// Takes a table that is newer than the one before, or as new.
    pub(super) fn see(&mut self, table: Table, now: Duration) {
        let before = self.share().1;
        for (name, member) in &table.members {
            let known = self.observed.get(name);
            if known.is_none_or(|(beat, _)| *beat != member.beat) {
                self.observed.insert(name.clone(), (member.beat, now));
            }
        }
        self.observed
            .retain(|name, _| table.members.contains_key(name));
        if !table.members.contains_key(&self.name) {
            self.until = None;
        }
        self.ours = table.slots(&self.name);
        self.giving = self.giving.common(self.ours);
        self.table = Some(table);
        self.begin_to_give();
        self.count(before);
    }

    /// Notes that what is known may be outdated, or that the answer to a write was lost.
    pub(super) fn doubt(&mut self) {
        self.is_handing = false;
        // What was given may be another's by now: it stays given until a write of ours is confirmed.
        self.table = None;
    }

    /// Forgets what was seen of the others: the table begins anew, and its numbers may come again.
    pub(super) fn start_over(&mut self) {
        self.lose();
        self.observed.clear();
    }

    /// Notes that the slots are not ours any more.
    pub(super) fn lose(&mut self) {
        let before = self.share().1;
        if self.until.take().is_some() {
            // Who could not renew for so long did not see whether others could: an outage must not shuffle everything.
            self.observed.clear();
        }
        self.giving = Slots::NONE;
        self.count(before);
    }

    /// Takes the table that we have written, with a request that was sent at `sent`.
    pub(super) fn written(&mut self, table: Table, sent: Duration, now: Duration) {
        let before = self.share().1;
        self.until = Some(sent + self.duration);
        self.renewed = Some(sent);
        if std::mem::take(&mut self.is_handing) {
            // What is still ours after a write that decided about it is taken up again.
            self.giving = Slots::NONE;
        }
        for push in table.pushes.iter().filter(|push| push.by == self.name) {
            self.news.remove(&push.repository);
        }
        self.ours = table.slots(&self.name);
        self.count(before);
        self.see(table, now);
    }

    /// Notes that all work outside of the share of this version has ended.
    pub(super) fn has_ended(&mut self, version: u64) {
        self.ended = self.ended.max(version);
    }

    /// Notes why nothing may be changed, as far as we keep the records.
    pub(super) fn halt(&mut self, halt: Option<&str>) {
        self.halt = halt.map(cut);
    }

    /// Notes a repository that was pushed to, for the others.
    pub(super) fn announce(&mut self, repository: String) {
        // One more than fits: who finds that some are missing asks git about everything.
        if self.news.len() <= PUSHES {
            self.news.insert(repository);
        }
    }

    /// Says whether there are others.
    pub(super) fn has_others(&self) -> bool {
        self.table
            .as_ref()
            .is_some_and(|table| table.members.keys().any(|name| *name != self.name))
    }

    fn count(&mut self, before: Slots) {
        if self.share().1 != before {
            self.version += 1;
        }
    }

    /// Work ends first in what is to be handed over.
    fn begin_to_give(&mut self) {
        let Some(table) = self.table.as_ref().filter(|_| self.until.is_some()) else {
            return;
        };
        if self.giving.is_empty() {
            let surplus = table.surplus(&self.name);
            if surplus > 0 {
                self.giving = self.ours.last(surplus);
                self.version += 1;
                self.giving_since = self.version;
            }
        }
    }

    /// Returns when a replica counts as gone, on our clock, if it does not renew before.
    fn ends(&self, name: &str, member: &Holding) -> Option<Duration> {
        let (_, since) = self.observed.get(name)?;
        Some(*since + Duration::from_secs(member.seconds.max(1)).min(LONGEST))
    }

    /// Returns what to do now.
    pub(super) fn step(&mut self, now: Duration) -> Step {
        if self.until.is_some_and(|until| now >= until) {
            self.lose();
        }
        let Some(table) = &self.table else {
            return Step::Read;
        };
        let mut next = table.clone();
        next.members.retain(|name, member| {
            *name == self.name || self.ends(name, member).is_none_or(|ends| ends > now)
        });
        let is_gone = next.members.len() < table.members.len();
        if !next.members.contains_key(&self.name) {
            if !next.has_room() {
                return Step::Wait(self.renew);
            }
            next.members.insert(self.name.clone(), Holding::default());
        }
        let is_alone = next.members.len() == 1;
        self.is_handing = !self.giving.is_empty() && self.ended >= self.giving_since;
        if self.is_handing {
            let surplus = next.surplus(&self.name);
            next.hand_over(&self.name, self.giving.last(surplus));
        }
        let free = next.free();
        next.spread(free);
        if is_alone {
            // Nobody else needs to hear.
            self.news.clear();
        }
        next.announce(&self.name, self.news.iter().cloned());
        let is_told = is_alone
            || table.members.get(&self.name).map(|member| &member.halt) == Some(&self.halt);
        let pause = if self.news.is_empty() {
            self.renew
        } else {
            STORM.min(self.renew)
        };
        let again = self.renewed.map_or(now, |renewed| renewed + pause);
        let is_due = self.until.is_none()
            || is_gone
            || self.is_handing
            || !free.is_empty()
            || !is_told
            || again <= now;
        if !is_due {
            let ends = table
                .members
                .iter()
                .filter(|(name, _)| **name != self.name)
                .filter_map(|(name, member)| self.ends(name, member));
            let first = ends.fold(again, Duration::min);
            return Step::Wait(first.saturating_sub(now));
        }
        next.writes = next.writes.saturating_add(1);
        if let Some(member) = next.members.get_mut(&self.name) {
            // Never a number that was ours before, also not after we were removed and came back.
            member.beat = next.writes;
            // Up: nobody may think that it ends before we do.
            member.seconds = self
                .duration
                .as_millis()
                .div_ceil(1000)
                .try_into()
                .unwrap_or(u64::MAX);
            member.halt.clone_from(&self.halt);
        }
        Step::Write(Box::new(next))
    }

    /// Returns the table without us, our slots spread among the others; None where we are in none.
    pub(super) fn farewell(&self, now: Duration) -> Option<Table> {
        let mut table = self.table.clone()?;
        table.members.remove(&self.name)?;
        table
            .members
            .retain(|name, member| self.ends(name, member).is_none_or(|ends| ends > now));
        table.spread(table.free());
        table.writes = table.writes.saturating_add(1);
        Some(table)
    }
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;
