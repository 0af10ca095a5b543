//! Many packs into few.
//!
//! Enters: a store with many packs.
//! Leaves: another store with the same objects in few packs.
//! Never: a change to the first one, which may be read meanwhile; a second copy of its largest pack; all of what came since, each time.

use std::{collections::BTreeSet, fs, io, sync::Arc};

use git2::Oid;

use super::{
    Error,
    cache::{CacheDirectory, Key},
    connect::Net,
    outgoing::Outgoing,
    store::{Base, Store},
};

/// What is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pile {
    /// How many of the first packs stay as they are.
    pub(super) staying: usize,
    /// Rounds that the new one holds.
    pub(super) rounds: u64,
}

impl Pile {
    /// Returns what of these packs is written anew, so that `most` packs stay at most, unless one of more than `most_rounds` rounds came of it.
    pub(super) fn of(bases: &[Base], most: usize, most_rounds: u64) -> Self {
        let rounds: Vec<u64> = bases.iter().map(|base| base.rounds).collect();
        staying(&rounds, most, most_rounds)
    }
}

/// Makes a store with the first packs of `store`, and one more with everything that leads to `tips` besides.
///
/// What leads to no tip any more is not taken along where packs are written anew.
///
/// # Errors
/// When it cannot be made, or `store` is damaged.
pub(super) fn compact(
    net: &Net,
    store: &Store,
    cache: &Arc<CacheDirectory>,
    key: &Key,
    tips: &BTreeSet<Oid>,
    pile: Pile,
) -> Result<Arc<Store>, Error> {
    let compacted = Store::create(store.url(), cache, key)?;
    let mut bases: Vec<_> = store.bases().iter().take(pile.staying).cloned().collect();
    for base in &bases {
        let link = |extension: &str| -> io::Result<()> {
            let mut name = base.name.clone();
            name.push(extension);
            fs::hard_link(store.packs().join(&name), compacted.packs().join(&name))
        };
        // Without its index a pack does not count.
        link(".pack")
            .and_then(|()| link(".idx"))
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::Damaged {
                    url: store.url().clone(),
                    source: Arc::new(source),
                },
                _ => Error::Cache {
                    act: "link a pack",
                    source: Arc::new(source),
                },
            })?;
    }
    let haves = bases
        .last()
        .map(|base| base.commits.as_slice())
        .unwrap_or_default();
    store.with(|repository| {
        let outgoing = Outgoing::collect(repository, tips.iter().copied(), haves)?;
        if outgoing.is_empty() {
            return Ok(compacted.measure().map(|_packs| ()));
        }
        let mut read = Ok(());
        let written = compacted.write_pack(net, |sink| {
            match outgoing.send(&net.over, |piece| sink.write_all(piece)) {
                Ok(sent) => sent.map_err(|error| Error::from_io(store.url(), "copy", error)),
                // It says nothing about what was read.
                Err(_ended) if net.over.is_cancelled() => Err(net.time_over(store.url())),
                Err(error) => {
                    read = Err(error);
                    Ok(())
                }
            }
        });
        read.map(|()| written)
    })??;
    compacted.cut(store.shallow())?;
    let newest = compacted.new_base(&bases, tips.iter().copied(), pile.rounds)?;
    bases.extend(newest);
    compacted.set_bases(bases);
    Ok(compacted)
}

/// Returns how many of the packs stay as they are, and how many rounds the new one holds.
///
/// The first always stays: it is the largest. A later one is written anew with what came since when that was as many rounds as it holds itself, as the
/// digits of a binary number are carried. So an object is read and written again as often as the number of rounds has digits, and not
/// in each of them; `most` packs stay at most. No pack gets more than `most_rounds` rounds: what is full stays beside those.
fn staying(packs: &[u64], most: usize, most_rounds: u64) -> Pile {
    let is_full = |rounds: &&u64| **rounds > most_rounds / 2;
    let most = most.saturating_add(packs.iter().filter(is_full).count());
    let mut staying = packs.len();
    let mut rounds = 1;
    while let Some(last) = packs.get(1..staying).and_then(<[u64]>::last)
        && (*last <= rounds || staying > most)
        && last.saturating_add(rounds) <= most_rounds
    {
        staying -= 1;
        rounds += last;
    }
    Pile { staying, rounds }
}

#[cfg(test)]
mod tests {
    use super::staying;

    #[test]
    fn a_round_is_written_again_as_often_as_the_number_of_rounds_has_digits() {
        let (mut rounds, mut written) = (vec![0], 0);
        for round in 1..=1024_u64 {
            let pile = staying(&rounds, 32, u64::MAX);
            rounds.truncate(pile.staying);
            rounds.push(pile.rounds);
            written += pile.rounds;
            assert_eq!(rounds.iter().sum::<u64>(), round, "{rounds:?}");
            assert!(rounds.len() <= 12, "{rounds:?}");
        }
        assert!(written <= 1024 * 11, "{written}");
    }

    #[test]
    fn no_more_stay_than_are_allowed_and_the_first_always_does() {
        let mut rounds = vec![0];
        for _ in 0..100 {
            let pile = staying(&rounds, 2, u64::MAX);
            assert!((1..=2).contains(&pile.staying), "{pile:?}");
            rounds.truncate(pile.staying);
            rounds.push(pile.rounds);
        }
        for (packs, staying, most) in [(vec![0], 1, 0), (vec![], 0, 2)] {
            let pile = super::staying(&packs, most, u64::MAX);
            assert_eq!((pile.staying, pile.rounds), (staying, 1));
        }
    }

    #[test]
    fn a_pack_that_would_take_too_long_is_not_written_again() {
        let (mut rounds, mut written) = (vec![0], 0);
        for round in 1..=1024_u64 {
            let pile = staying(&rounds, 8, 64);
            written += pile.rounds;
            rounds.truncate(pile.staying);
            rounds.push(pile.rounds);
            assert!(pile.rounds <= 64, "{rounds:?}");
            assert_eq!(rounds.iter().sum::<u64>(), round, "{rounds:?}");
            let full = usize::try_from(round / 64).unwrap();
            assert!(rounds.len() <= full + 8, "{rounds:?}");
        }
        assert!(written <= 1024 * 8, "{written}");
    }
}
