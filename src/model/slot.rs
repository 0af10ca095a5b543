//! Slots: into which part of the fleet an Application falls, by its name alone.
//!
//! Enters: keys of Applications.
//! Leaves: `Slot`, `Slots`; the same in every process and every release.
//! Never: who holds a slot; that is the room cluster's.

use std::{fmt, str::FromStr};

use super::{ApplicationKey, sha256_hex};

/// How many slots there are. Never changed: two releases that disagree would share Applications twice.
pub const SLOTS: usize = 256;

/// One slot: the first byte of the SHA-256 of `namespace/name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The slot whose holder does what only one process may do: sinks, checkpoints, what nobody owns any more.
    pub const HOUSE: Self = Self(0);

    /// Returns the slot of an Application. One that is created again under its name stays in its slot.
    pub fn of(key: &ApplicationKey) -> Self {
        let hash = sha256_hex(format!("{}/{}", key.namespace, key.name).as_bytes());
        // Two hex digits are a byte.
        Self(u8::from_str_radix(hash.get(..2).unwrap_or_default(), 16).unwrap_or_default())
    }
}

impl From<u8> for Slot {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of slots. As text it is ranges: `0-84,200`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Slots([u64; SLOTS / 64]);

impl Slots {
    /// No slot.
    pub const NONE: Self = Self([0; SLOTS / 64]);
    /// Every slot.
    pub const ALL: Self = Self([u64::MAX; SLOTS / 64]);

    fn place(slot: Slot) -> (usize, u64) {
        (usize::from(slot.0) / 64, 1 << (slot.0 % 64))
    }

    /// Says whether a slot is among them.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Says whether the slot of an Application is among them.
    pub fn covers(&self, key: &ApplicationKey) -> bool {
        // One replica alone has them all, and asks at the end of each reconcile: nothing is hashed for that.
        *self == Self::ALL || self.contains(Slot::of(key))
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: Slot) {
        let (word, bit) = Self::place(slot);
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= bit;
        }
    }

    /// Takes a slot away.
    pub fn remove(&mut self, slot: Slot) {
        let (word, bit) = Self::place(slot);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !bit;
        }
    }

    fn with(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = self;
        for (bits, theirs) in out.0.iter_mut().zip(other.0) {
            *bits = join(*bits, theirs);
        }
        out
    }

    /// Returns the slots of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.with(other, |ours, theirs| ours | theirs)
    }

    /// Returns the slots that are not in the other.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self.with(other, |ours, theirs| ours & !theirs)
    }

    /// Returns the slots that are in both.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        self.with(other, |ours, theirs| ours & theirs)
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns them in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> + use<> {
        let all = *self;
        (0..=u8::MAX)
            .map(Slot)
            .filter(move |slot| all.contains(*slot))
    }

    /// Returns the highest `count` of them.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        self.iter().rev().take(count).collect()
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<T: IntoIterator<Item = Slot>>(slots: T) -> Self {
        let mut all = Self::NONE;
        for slot in slots {
            all.insert(slot);
        }
        all
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut begun: Option<(u8, u8)> = None;
        let mut first = true;
        let mut write = |f: &mut fmt::Formatter<'_>, (from, to): (u8, u8)| {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            if from == to {
                write!(f, "{comma}{from}")
            } else {
                write!(f, "{comma}{from}-{to}")
            }
        };
        for Slot(number) in self.iter() {
            begun = match begun {
                Some((from, to)) if to.checked_add(1) == Some(number) => Some((from, number)),
                Some(range) => {
                    write(f, range)?;
                    Some((number, number))
                }
                None => Some((number, number)),
            };
        }
        begun.map_or(Ok(()), |range| write(f, range))
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slots({self})")
    }
}

/// A text that names no slots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read slots: {text:?} is no list of ranges between 0 and 255")]
pub struct ParseSlotsError {
    /// The part that cannot be read.
    pub text: String,
}

impl FromStr for Slots {
    type Err = ParseSlotsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut slots = Self::NONE;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let bad = || ParseSlotsError {
                text: part.chars().take(20).collect(),
            };
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to): (u8, u8) = match (from.parse(), to.parse()) {
                (Ok(from), Ok(to)) if from <= to => (from, to),
                (Ok(_) | Err(_), _) => return Err(bad()),
            };
            for number in from..=to {
                slots.insert(Slot(number));
            }
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ApplicationKey {
        ApplicationKey {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn the_slot_of_a_name_never_changes() {
        // As `printf shop/web | sha256sum` begins: another number would mean that releases disagree.
        assert_eq!(Slot::of(&key("web")), Slot(0x97));
    }

    #[test]
    fn all_slots_cover_every_name_and_all_but_one_do_not() {
        let web = key("web");
        let its: Slots = [Slot::of(&web)].into_iter().collect();
        assert!(Slots::ALL.covers(&web) && its.covers(&web));
        assert!(!Slots::ALL.without(its).covers(&web));
        assert!(!Slots::NONE.covers(&web));
    }

    #[test]
    fn names_fall_evenly_into_the_slots() {
        let mut counts = vec![0_u32; SLOTS];
        for number in 0..25_600 {
            let Slot(slot) = Slot::of(&key(&format!("application-{number}")));
            counts[usize::from(slot)] += 1;
        }
        // A hundred each, give or take: six standard deviations.
        assert!(
            counts.iter().all(|count| (40..=160).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn slots_are_told_as_ranges() {
        for text in ["", "0", "0-255", "3,5-9,255", "0-1,3-4"] {
            assert_eq!(text.parse::<Slots>().unwrap().to_string(), text);
        }
        for bad in ["256", "9-3", "a", "1-2-3", "-", "1,,x"] {
            assert!(bad.parse::<Slots>().is_err(), "{bad}");
        }
        let slots: Slots = "0-9".parse().unwrap();
        assert_eq!(slots.len(), 10);
        assert_eq!(slots.last(3).to_string(), "7-9");
        assert_eq!(Slots::ALL.without(slots).to_string(), "10-255");
        assert_eq!(slots.common(Slots::ALL), slots);
        assert_eq!(Slots::NONE.and(slots), slots);
        assert!(Slots::NONE.is_empty() && !slots.is_empty());
    }
}
