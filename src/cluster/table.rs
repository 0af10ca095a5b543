//! The table of a Lease: which replicas there are, and which slots each holds.
//!
//! Enters: the Lease as it stands.
//! Leaves: `Table`, and how slots are spread: evenly, and as few as possible move.
//! Never: a slot in two hands; a table that cannot be read taken for an empty one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::ANNOTATION_SHARES,
    model::{SLOTS, Slot, Slots},
};

/// Version of the table's form; another one is another release's and is respected until it runs out.
const FORMAT: u32 = 1;
/// Most replicas. One more waits until another goes; the table of so many fits into an annotation ten times.
const MEMBERS: usize = 64;
/// Pushes that are remembered. Who missed more asks git for all its Applications.
pub(super) const PUSHES: usize = 64;
/// Longest text why a replica does not keep records, in characters.
const HALT: usize = 300;

/// One replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holding {
    /// Changes with every renewal: the number of the write.
    pub(super) beat: u64,
    /// Time that it holds its slots without a renewal.
    pub(super) seconds: u64,
    /// Its slots.
    #[serde(with = "as_ranges")]
    pub(super) slots: Slots,
    /// Why nothing may be changed, by who keeps the records; None where it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) halt: Option<String>,
}

/// A repository that was pushed to, as one replica heard and all must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Grows by one with each.
    pub number: u64,
    /// Who heard.
    pub by: String,
    /// The repository, as a hash of its name.
    pub repository: String,
}

/// Who holds what. Every write of the Lease replaces it as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    format: u32,
    /// Grows with every write: tells which of two tables is the newer one.
    pub(super) writes: u64,
    pub(super) members: BTreeMap<String, Holding>,
    /// Newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pushes: Vec<Push>,
    /// Number of the next push.
    #[serde(default)]
    pub(super) next_push: u64,
}

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Who shares.
    Table(Table),
    /// It is held by somebody who knows of no table: an older release, or a newer one. Whole, or not at all.
    Foreign,
}

impl Table {
    /// Returns a table without a member, to be written over one that had so many writes.
    pub(super) fn empty(writes: u64) -> Self {
        Self {
            format: FORMAT,
            writes,
            ..Self::default()
        }
    }

    /// Reads the table of a Lease. It counts while the holder that the Lease names is one of its members.
    pub(super) fn read(lease: &Value) -> Read {
        let holder = lease
            .pointer("/spec/holderIdentity")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let text = lease
            .get("metadata")
            .and_then(|metadata| {
                metadata
                    .get("annotations")?
                    .get(ANNOTATION_SHARES)?
                    .as_str()
            })
            .unwrap_or_default();
        let table = serde_json::from_str::<Self>(text)
            .ok()
            .filter(Self::is_sound);
        match table {
            // Released; what stands in it are the numbers to go on from.
            Some(table) if holder.is_empty() => Read::Table(Self {
                members: BTreeMap::new(),
                ..table
            }),
            Some(table) if table.members.contains_key(holder) => Read::Table(table),
            None if holder.is_empty() => Read::Table(Self::empty(0)),
            Some(_) | None => Read::Foreign,
        }
    }

    /// Returns the text of the annotation.
    pub(super) fn to_text(&self) -> String {
        // A table of texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn is_sound(&self) -> bool {
        let mut all = Slots::NONE;
        let mut apart = self.format == FORMAT && self.members.len() <= MEMBERS;
        for member in self.members.values() {
            apart = apart && all.common(member.slots).is_empty();
            all = all.and(member.slots);
        }
        apart
    }

    /// Returns the slots of a member; none where it is none.
    pub(super) fn slots(&self, name: &str) -> Slots {
        self.members
            .get(name)
            .map_or(Slots::NONE, |member| member.slots)
    }

    /// Returns the slots that nobody holds.
    pub(super) fn free(&self) -> Slots {
        self.members
            .values()
            .fold(Slots::ALL, |free, member| free.without(member.slots))
    }

    /// Returns who holds a slot.
    pub(super) fn holder(&self, slot: Slot) -> Option<&Holding> {
        self.members
            .values()
            .find(|member| member.slots.contains(slot))
    }

    /// Says whether another replica fits in.
    pub(super) fn has_room(&self) -> bool {
        self.members.len() < MEMBERS
    }

    /// Returns how many slots a member has too many: the largest holders keep what does not divide evenly.
    pub(super) fn surplus(&self, name: &str) -> usize {
        let count = self.members.len();
        if count == 0 {
            return 0;
        }
        let (even, odd) = (SLOTS / count, SLOTS % count);
        let mut by_size: Vec<(usize, &str)> = self
            .members
            .iter()
            .map(|(name, member)| (member.slots.len(), name.as_str()))
            .collect();
        by_size.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        by_size
            .iter()
            .enumerate()
            .find(|(_, (_, member))| *member == name)
            .map_or(0, |(place, (has, _))| {
                has.saturating_sub(even + usize::from(place < odd))
            })
    }

    /// Gives each of these slots, which nobody holds, to the member that has the fewest.
    pub(super) fn spread(&mut self, slots: Slots) {
        for slot in slots.iter() {
            let fewest = self
                .members
                .values_mut()
                .min_by_key(|member| member.slots.len());
            if let Some(member) = fewest {
                member.slots.insert(slot);
            }
        }
    }

    /// Takes slots from a member and gives them to those that have the fewest.
    pub(super) fn hand_over(&mut self, name: &str, slots: Slots) {
        for slot in slots.common(self.slots(name)).iter() {
            let fewest = self
                .members
                .iter_mut()
                .filter(|(member, _)| *member != name)
                .min_by_key(|(_, member)| member.slots.len());
            if let Some((_, member)) = fewest {
                member.slots.insert(slot);
                if let Some(giver) = self.members.get_mut(name) {
                    giver.slots.remove(slot);
                }
            }
        }
    }

    /// Adds pushes that a member heard of.
    pub(super) fn announce(&mut self, by: &str, repositories: impl IntoIterator<Item = String>) {
        for repository in repositories {
            self.pushes.push(Push {
                number: self.next_push,
                by: by.to_owned(),
                repository,
            });
            self.next_push = self.next_push.saturating_add(1);
        }
        let over = self.pushes.len().saturating_sub(PUSHES);
        self.pushes.drain(..over);
    }
}

/// Returns a text that fits into the table.
pub(super) fn cut(halt: &str) -> String {
    halt.chars().take(HALT).collect()
}

mod as_ranges {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::model::Slots;

    pub(super) fn serialize<S: Serializer>(slots: &Slots, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(slots)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Slots, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(table: &mut Table, names: &[&str]) {
        for name in names {
            table.members.insert((*name).to_owned(), Holding::default());
        }
    }

    /// Everybody gives what is too many, until nobody has; returns how many slots moved.
    fn settle(table: &mut Table) -> usize {
        let mut moved = 0;
        for _ in 0..table.members.len() {
            for name in table.members.keys().cloned().collect::<Vec<_>>() {
                let surplus = table.surplus(&name);
                moved += surplus;
                table.hand_over(&name, table.slots(&name).last(surplus));
            }
        }
        moved
    }

    fn counts(table: &Table) -> Vec<usize> {
        table
            .members
            .values()
            .map(|member| member.slots.len())
            .collect()
    }

    fn is_even(table: &Table) -> bool {
        let counts = counts(table);
        table.free().is_empty() && counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1
    }

    #[test]
    fn a_replica_that_comes_gets_its_part_and_no_other_slot_moves() {
        let mut table = Table::empty(0);
        members(&mut table, &["replica-00"]);
        table.spread(Slots::ALL);
        for count in 2..=MEMBERS {
            let before = table.clone();
            members(&mut table, &[&format!("replica-{count:02}")]);
            let moved = settle(&mut table);
            assert!(is_even(&table), "{count}: {:?}", counts(&table));
            // No more than its part, rounded up.
            assert!(moved <= SLOTS.div_ceil(count), "{count}: {moved} moved");
            for (name, member) in &before.members {
                assert!(
                    table.slots(name).without(member.slots).is_empty(),
                    "{count}: {name} got a slot"
                );
            }
        }
    }

    #[test]
    fn the_part_of_a_replica_that_goes_is_spread_and_no_other_slot_moves() {
        let mut table = Table::empty(0);
        let names: Vec<String> = (0..7).map(|number| format!("replica-{number}")).collect();
        members(
            &mut table,
            &names.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        table.spread(Slots::ALL);
        for name in names.iter().take(6) {
            let before = table.clone();
            table.members.remove(name);
            table.spread(table.free());
            assert!(is_even(&table), "{:?}", counts(&table));
            for other in table.members.keys() {
                assert!(before.slots(other).without(table.slots(other)).is_empty());
            }
            assert_eq!(settle(&mut table), 0);
        }
    }

    #[test]
    fn what_does_not_divide_evenly_goes_nowhere_twice() {
        let mut table = Table::empty(0);
        members(&mut table, &["a", "b", "c"]);
        table.spread(Slots::ALL);
        assert_eq!(counts(&table), [86, 85, 85]);
        assert_eq!(settle(&mut table), 0);
        let last = table.slots("b").last(1);
        table.hand_over("b", last);
        assert_eq!(counts(&table).iter().sum::<usize>(), SLOTS);
        assert!(settle(&mut table) <= 1);
        assert!(is_even(&table));
        // Nobody is there to take it.
        let mut alone = Table::empty(0);
        members(&mut alone, &["a"]);
        alone.spread(Slots::ALL);
        alone.hand_over("a", Slots::ALL);
        assert_eq!(alone.slots("a"), Slots::ALL);
    }

    fn lease(holder: &str, annotation: &str) -> Value {
        json!({
            "metadata": {"annotations": {ANNOTATION_SHARES: annotation}},
            "spec": {"holderIdentity": holder},
        })
    }

    #[test]
    fn a_table_counts_only_under_a_holder_that_it_knows() {
        let mut table = Table::empty(7);
        members(&mut table, &["a", "b"]);
        table.spread(Slots::ALL);
        table.announce("a", ["0011".to_owned()]);
        let text = table.to_text();
        assert_eq!(Table::read(&lease("a", &text)), Read::Table(table.clone()));
        // An older release took the Lease, and left what it does not know.
        assert_eq!(Table::read(&lease("older", &text)), Read::Foreign);
        assert_eq!(Table::read(&lease("a", "")), Read::Foreign);
        let Read::Table(released) = Table::read(&lease("", &text)) else {
            panic!("it is released");
        };
        assert_eq!((released.writes, released.members.len()), (7, 0));
        assert_eq!(Table::read(&json!({})), Read::Table(Table::empty(0)));
    }

    #[test]
    fn a_table_that_is_not_sound_is_none() {
        let member = |slots: &str| json!({"beat": 1, "seconds": 15, "slots": slots});
        let text = |format: u32, a: &str, b: &str| {
            json!({"format": format, "writes": 1, "members": {"a": member(a), "b": member(b)}})
                .to_string()
        };
        let is_read = |text: &str| matches!(Table::read(&lease("a", text)), Read::Table(_));
        assert!(is_read(&text(1, "0-127", "128-255")));
        assert!(!is_read(&text(1, "0-128", "128-255")));
        assert!(!is_read(&text(2, "0-127", "128-255")));
        assert!(!is_read(&text(1, "0-256", "")));
        let many: BTreeMap<String, Value> = (0..=MEMBERS)
            .map(|number| (format!("a{number}"), member("")))
            .chain([("a".to_owned(), member(""))])
            .collect();
        assert!(!is_read(
            &json!({"format": 1, "writes": 1, "members": many}).to_string()
        ));
    }

    #[test]
    fn old_pushes_go_first() {
        let mut table = Table::empty(0);
        for number in 0..100 {
            table.announce("a", [number.to_string()]);
        }
        assert_eq!(table.pushes.len(), PUSHES);
        assert_eq!(table.pushes.last().unwrap().number, 99);
        assert_eq!(table.next_push, 100);
    }
}
