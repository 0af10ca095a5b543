//! The verifier: are the records whole, in order and unchanged?
//!
//! Enters: lines in the order in which they are kept, and what is known beside them: a key, heads from the status.
//! Leaves: `Verdict`: every chain with its faults, each naming its record.
//! Never: trust in columns, names or labels; a fault that hides the ones after it.

use std::collections::BTreeMap;

use super::{
    checkpoint::{Checkpoint, PublicKey, Signed},
    fault::Fault,
    line::{ChainId, Line, Told, read_line},
};
use crate::{api::RecordHead, model::Digest};

/// Most faults that are listed; more are counted.
const FAULTS: usize = 200;

/// What is known beside the lines.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// Key that signed the checkpoints; without it their signatures are not checked.
    pub key: Option<PublicKey>,
    /// Whether a chain may begin later than with its first record: the cluster keeps only the newest.
    pub partial: bool,
    /// Namespace, and Application, of the lines; checkpoints speak of others too.
    pub namespace: Option<String>,
    /// Application of the lines.
    pub application: Option<String>,
    /// Newest record of each chain, as the status of its Application says.
    pub heads: BTreeMap<ChainId, RecordHead>,
}

/// What was found of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainVerdict {
    /// The chain.
    pub chain: ChainId,
    /// Number of the first record that is there.
    pub first: u64,
    /// Newest record that is there.
    pub head: RecordHead,
    /// Newest record that a checkpoint vouches for.
    pub covered: Option<u64>,
    /// Whether it has a fault.
    pub broken: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Every chain, in order.
    pub chains: Vec<ChainVerdict>,
    /// Records that were read.
    pub records: usize,
    /// Checkpoints that were read and fit.
    pub checkpoints: usize,
    /// Number of the newest checkpoint.
    pub newest_checkpoint: Option<u64>,
    /// Chains that a checkpoint knows and that are not here, where a part is expected: with the newest number known.
    pub absent: BTreeMap<ChainId, u64>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Faults beyond those listed.
    pub more_faults: usize,
}

impl Verdict {
    /// Says whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One chain on its way.
#[derive(Debug)]
struct Chain {
    first: u64,
    /// Hashes from `first` on; None where a record is missing.
    hashes: Vec<Option<Digest>>,
    succeeds: Option<(String, RecordHead)>,
    cluster: String,
    covered: Option<u64>,
    broken: bool,
}

impl Chain {
    fn last(&self) -> u64 {
        self.first + self.hashes.len() as u64 - 1
    }

    fn hash(&self, sequence: u64) -> Option<&Digest> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.hashes.get(index)?.as_ref()
    }
}

/// Verifies lines one by one; it keeps a hash of each and no more.
#[derive(Debug, Default)]
pub struct Verifier {
    expected: Expectations,
    chains: BTreeMap<ChainId, Chain>,
    checkpoints: BTreeMap<u64, (Digest, Checkpoint)>,
    records: usize,
    line: usize,
    faults: Vec<Fault>,
    more_faults: usize,
    absent: BTreeMap<ChainId, u64>,
    /// What was read last, so that a line that cannot be read can be placed.
    last: Option<(ChainId, u64)>,
}

/// Longest gap that is kept open: a number that is out of all reason must not take the memory.
const LONGEST_GAP: u64 = 100_000;

impl Verifier {
    /// Begins.
    pub fn new(expected: Expectations) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// Takes the next line; an empty one is none.
    pub fn line(&mut self, text: &str) {
        self.line += 1;
        if text.is_empty() {
            return;
        }
        match read_line(text) {
            Ok(Line::Record(told)) => self.record(&told),
            Ok(Line::Checkpoint(signed)) => self.checkpoint(&signed),
            Ok(Line::Header) => {}
            Err(why) => {
                let after = self.last.clone();
                if let Some(chain) = after.as_ref().and_then(|(id, _)| self.chains.get_mut(id)) {
                    chain.broken = true;
                }
                self.fault(Fault::Unreadable {
                    line: self.line,
                    after,
                    why,
                });
            }
        }
    }

    /// Takes a record that was read already.
    pub fn record(&mut self, told: &Told) {
        self.records += 1;
        self.last = Some((told.chain.clone(), told.sequence));
        match self.chains.get_mut(&told.chain) {
            None => self.begin(told),
            Some(_) => self.follow(told),
        }
    }

    fn begin(&mut self, told: &Told) {
        let mut broken = false;
        if told.sequence > 1 && !self.expected.partial {
            broken = true;
            self.fault(Fault::Beginning {
                chain: told.chain.clone(),
                first: told.sequence,
            });
        }
        if (told.sequence == 1) != told.previous.is_none() {
            broken = true;
            self.fault(Fault::Follows {
                chain: told.chain.clone(),
                sequence: told.sequence,
            });
        }
        if told.sequence > 1 && told.succeeds.is_some() {
            broken = true;
            self.fault(Fault::Succession {
                chain: told.chain.clone(),
                sequence: told.sequence,
                why: "it is no first record and names an earlier Application".to_owned(),
            });
        }
        self.chains.insert(
            told.chain.clone(),
            Chain {
                first: told.sequence,
                hashes: vec![Some(told.hash.clone())],
                succeeds: told.succeeds.clone(),
                cluster: told.cluster.clone(),
                covered: None,
                broken,
            },
        );
    }

    fn follow(&mut self, told: &Told) {
        let Some(chain) = self.chains.get_mut(&told.chain) else {
            return;
        };
        let id = told.chain.clone();
        let sequence = told.sequence;
        let last = chain.last();
        let mut faults = Vec::new();
        if sequence <= last {
            faults.push(if chain.hash(sequence) == Some(&told.hash) {
                Fault::Twice {
                    chain: id,
                    sequence,
                }
            } else if chain.hash(sequence).is_some() {
                Fault::Two {
                    chain: id,
                    sequence,
                }
            } else {
                Fault::OutOfOrder {
                    chain: id,
                    sequence,
                    after: last,
                }
            });
            // A record that came late is there all the same: what follows it is judged by it.
            if let Some(hash) = sequence
                .checked_sub(chain.first)
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| chain.hashes.get_mut(index))
                .filter(|hash| hash.is_none())
            {
                *hash = Some(told.hash.clone());
            }
        } else {
            if sequence > last + 1 {
                faults.push(Fault::Missing {
                    chain: id.clone(),
                    from: last + 1,
                    to: sequence - 1,
                });
                if sequence - last > LONGEST_GAP {
                    chain.broken = true;
                    for fault in faults {
                        self.fault(fault);
                    }
                    return;
                }
                while chain.last() + 1 < sequence {
                    chain.hashes.push(None);
                }
            } else if told.previous.as_ref() != chain.hash(last) && chain.hash(last).is_some() {
                faults.push(Fault::Follows {
                    chain: id.clone(),
                    sequence,
                });
            }
            if told.succeeds.is_some() {
                faults.push(Fault::Succession {
                    chain: id.clone(),
                    sequence,
                    why: "it is no first record and names an earlier Application".to_owned(),
                });
            }
            if !told.cluster.is_empty()
                && !chain.cluster.is_empty()
                && told.cluster != chain.cluster
            {
                faults.push(Fault::OtherCluster {
                    chain: id,
                    sequence,
                });
            }
            if chain.cluster.is_empty() {
                chain.cluster.clone_from(&told.cluster);
            }
            chain.hashes.push(Some(told.hash.clone()));
        }
        chain.broken |= !faults.is_empty();
        for fault in faults {
            self.fault(fault);
        }
    }

    /// Takes a checkpoint.
    pub fn checkpoint(&mut self, signed: &Signed) {
        let opened = signed.open(self.expected.key.as_ref());
        let checkpoint = match opened {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                // What it claims to be, so that the person can find it.
                let number = signed.open(None).ok().map(|claimed| claimed.number);
                return self.fault(Fault::Checkpoint { number, why });
            }
        };
        let number = checkpoint.number;
        let hash = signed.hash();
        match self.checkpoints.get(&number) {
            // The same one is kept in more than one place.
            Some((known, _)) if *known == hash => {}
            Some(_) => self.fault(Fault::TwoCheckpoints { number }),
            None => {
                self.checkpoints.insert(number, (hash, checkpoint));
            }
        }
    }

    /// Takes a fault that was found beside the lines, for example in the columns of the cluster.
    pub fn fault(&mut self, fault: Fault) {
        if let Some(chain) = fault.chain().and_then(|id| self.chains.get_mut(id)) {
            chain.broken = true;
        }
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    /// Returns what was found.
    pub fn finish(mut self) -> Verdict {
        self.check_checkpoints();
        self.check_heads();
        self.check_succession();
        Verdict {
            chains: self
                .chains
                .into_iter()
                .filter_map(|(id, chain)| {
                    let head = RecordHead {
                        sequence: chain.last(),
                        hash: chain.hashes.last().cloned().flatten()?,
                    };
                    Some(ChainVerdict {
                        first: chain.first,
                        head,
                        covered: chain.covered,
                        broken: chain.broken,
                        chain: id,
                    })
                })
                .collect(),
            records: self.records,
            checkpoints: self.checkpoints.len(),
            newest_checkpoint: self.checkpoints.keys().next_back().copied(),
            absent: self.absent,
            faults: self.faults,
            more_faults: self.more_faults,
        }
    }

    fn check_checkpoints(&mut self) {
        if self.expected.key.is_some() && self.checkpoints.is_empty() {
            self.fault(Fault::NoCheckpoint);
        }
        let checkpoints = std::mem::take(&mut self.checkpoints);
        let mut before: Option<(u64, &Digest)> = None;
        for (number, (hash, checkpoint)) in &checkpoints {
            let follows = match (before, &checkpoint.previous) {
                (None, previous) => *number > 1 || previous.is_none(),
                (Some((last, hash)), Some(previous)) => last + 1 != *number || previous == hash,
                (Some(_), None) => false,
            };
            if !follows {
                self.fault(Fault::CheckpointFollows { number: *number });
            }
            match before {
                Some((last, _)) if last + 1 < *number => self.fault(Fault::CheckpointsMissing {
                    from: last + 1,
                    to: number - 1,
                }),
                None if *number > 1 && !self.expected.partial => {
                    self.fault(Fault::CheckpointsMissing {
                        from: 1,
                        to: number - 1,
                    });
                }
                Some(_) | None => {}
            }
            before = Some((*number, hash));
            for (id, head) in &checkpoint.heads {
                self.check_head(id, head, Some(*number));
            }
        }
        self.checkpoints = checkpoints;
    }

    fn check_heads(&mut self) {
        for (id, head) in std::mem::take(&mut self.expected.heads) {
            self.check_head(&id, &head, None);
        }
    }

    /// Compares a chain with what a checkpoint, or else the status, says of one of its records.
    fn check_head(&mut self, id: &ChainId, head: &RecordHead, checkpoint: Option<u64>) {
        let other = |wanted: &Option<String>, is: &String| {
            wanted.as_ref().is_some_and(|wanted| wanted != is)
        };
        if other(&self.expected.namespace, &id.namespace)
            || other(&self.expected.application, &id.name)
        {
            return;
        }
        let Some(chain) = self.chains.get_mut(id) else {
            if self.expected.partial && checkpoint.is_some() {
                // Its namespace may be gone, and its records with it; a sink has them.
                self.absent.insert(id.clone(), head.sequence);
                return;
            }
            // A chain that is not here at all: another selection, or all of it was removed.
            return self.fault(Fault::ChainMissing {
                chain: id.clone(),
                checkpoint,
                sequence: head.sequence,
            });
        };
        if head.sequence > chain.last() {
            let fault = Fault::Truncated {
                chain: id.clone(),
                last: chain.last(),
                expected: head.sequence,
                checkpoint,
            };
            return self.fault(fault);
        }
        if head.sequence < chain.first {
            return;
        }
        if chain
            .hash(head.sequence)
            .is_some_and(|hash| *hash != head.hash)
        {
            return self.fault(Fault::Differs {
                chain: id.clone(),
                sequence: head.sequence,
                checkpoint,
            });
        }
        if checkpoint.is_some() {
            chain.covered = chain.covered.max(Some(head.sequence));
        }
    }

    /// A name that is used again: each later chain names the newest record of the one before it.
    fn check_succession(&mut self) {
        let mut by_name: BTreeMap<(String, String), Vec<ChainId>> = BTreeMap::new();
        for id in self.chains.keys() {
            by_name
                .entry((id.namespace.clone(), id.name.clone()))
                .or_default()
                .push(id.clone());
        }
        let mut faults = Vec::new();
        for ids in by_name.values() {
            let mut heirs: BTreeMap<&str, &ChainId> = BTreeMap::new();
            let mut without: Option<&ChainId> = None;
            for id in ids {
                let Some(chain) = self.chains.get(id).filter(|chain| chain.first == 1) else {
                    continue;
                };
                let mut wrong = |why: String| {
                    faults.push(Fault::Succession {
                        chain: id.clone(),
                        sequence: 1,
                        why,
                    });
                };
                let Some((uid, head)) = &chain.succeeds else {
                    if let Some(other) = without.replace(id) {
                        wrong(format!("neither it nor {other} names the other"));
                    }
                    continue;
                };
                if let Some(other) = heirs.insert(uid, id) {
                    wrong(format!("{other} names the same earlier Application"));
                }
                let old = ids.iter().find(|old| old.uid == *uid);
                let Some((old, before)) = old.and_then(|old| Some((old, self.chains.get(old)?)))
                else {
                    if !self.expected.partial {
                        wrong(format!(
                            "it names record {} of the earlier Application {uid}, which is not here",
                            head.sequence
                        ));
                    }
                    continue;
                };
                if before.last() != head.sequence || before.hash(head.sequence) != Some(&head.hash)
                {
                    wrong(format!(
                        "it names record {} of {old} as the newest, and that ends with another",
                        head.sequence
                    ));
                }
            }
        }
        for fault in faults {
            self.fault(fault);
        }
    }
}
