//! One round with a server: ask what it has, fetch what is missing, answer everybody who waits.
//!
//! Enters: what is wanted, and what the mirror holds.
//! Leaves: an answer for each want, and what the mirror holds then.
//! Never: half a fetch kept; a mirror given up before a better one is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use git2::Oid;
use rustls::ClientConfig;

use super::{
    Address, Error, Lineage,
    advertisement::Advertisement,
    cache::{CacheDirectory, Key},
    compact::{Pile, compact},
    connect::Net,
    counts::count,
    peer::{self, Peer, Request, Service},
    reference::{self, Target, Want},
    store::Store,
    upload_pack::{self, MAX_HAVES},
};
use crate::model::Credentials;

/// Rounds that are put together into one pack at least, however long it takes: less would be as many packs as if none were. Where so few take
/// too long, it is tried again with as many packs more.
const FEWEST_ROUNDS: u64 = 64;
/// Newest commits among which the one is looked for that a reference was at before. More come at one time only after days,
/// or where history was rewritten.
const MAX_STEP: usize = 4096;

/// The commit that each reference was found to be at last, by its whole name, and where that stands.
pub(super) type Lineages = BTreeMap<String, (Oid, Lineage)>;

/// What a mirror holds.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) store: Arc<Store>,
    /// What each fetched reference was at, by its whole name.
    tips: BTreeMap<String, Oid>,
    /// Commits that were asked for by their hash and found in a branch or a tag.
    contained: BTreeSet<Oid>,
    pub(super) lineages: Lineages,
    /// Rounds that are put together into one pack at most: half of what took too long before, [`FEWEST_ROUNDS`] at least.
    most_rounds: u64,
}

/// What a want was found to be.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// Name of the reference; empty where a commit was asked for.
    pub(super) reference: String,
    pub(super) commit: Oid,
    /// Where it stands among the commits of the reference; None where it was asked for by its hash.
    pub(super) lineage: Option<Lineage>,
}

/// What a round brought.
pub(super) struct Done {
    pub(super) kept: Kept,
    pub(super) answers: BTreeMap<Want, Result<Resolved, Error>>,
}

/// Everything that a round needs. It runs on a blocking thread.
pub(super) struct Round {
    pub(super) net: Net,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) cache: Arc<CacheDirectory>,
    pub(super) key: Key,
    pub(super) address: Address,
    pub(super) credentials: Credentials,
    pub(super) wants: BTreeSet<Want>,
    /// Those of them that the last round could answer.
    pub(super) proven: BTreeSet<Want>,
    /// Whether all that led to what is fetched is to be there as well.
    pub(super) whole: bool,
    /// What references have gone through, for a mirror that is built anew.
    pub(super) lineages: Lineages,
}

impl Round {
    /// Runs the round on what is kept. If all of it together is too large, each want is tried by itself, so that
    /// what one Application asks for does not keep the others from theirs.
    ///
    /// # Errors
    /// When the server cannot be asked, or what it sends cannot be kept.
    pub(super) fn run(&self, kept: Option<Kept>) -> Result<Done, Error> {
        let kept = kept.filter(|kept| !kept.store.is_damaged());
        match self.together(kept.clone()) {
            Err(Error::TooLarge { what, .. })
                if what != peer::REFERENCES && self.wants.len() > 1 =>
            {
                let done = self.one_by_one(kept.clone())?;
                let lost =
                    |want| matches!(done.answers.get(want), Some(Err(Error::TooLarge { .. })));
                if kept.is_some() && self.proven.iter().any(lost) {
                    // What fitted before does not any more, because of what the mirror keeps besides.
                    return self.one_by_one(None);
                }
                Ok(done)
            }
            result => result,
        }
    }

    fn one_by_one(&self, kept: Option<Kept>) -> Result<Done, Error> {
        let mut done = Done {
            kept: self.start(kept)?,
            answers: BTreeMap::new(),
        };
        let others = self.wants.iter().filter(|want| !self.proven.contains(want));
        for want in self.proven.iter().chain(others) {
            match self.attempt(Some(done.kept.clone()), &BTreeSet::from([want.clone()])) {
                Ok(next) => {
                    done.kept = next.kept;
                    done.answers.extend(next.answers);
                }
                Err(error @ Error::TooLarge { .. }) => {
                    done.answers.insert(want.clone(), Err(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// If what is kept turns out to be damaged, or full of garbage, a new mirror is tried, and takes the old one's
    /// place only when it is complete.
    fn together(&self, kept: Option<Kept>) -> Result<Done, Error> {
        let Some(kept) = kept else {
            return self.anew();
        };
        let held = kept.store.bytes();
        let result = self.attempt(Some(kept), &self.wants);
        let anew = match &result {
            // The mirror is damaged, or what came does not fit it.
            Err(Error::Damaged { .. }) => true,
            // Garbage may have piled up.
            Err(Error::TooLarge { what, .. }) => *what == peer::REPOSITORY && held > 0,
            Ok(_) | Err(_) => false,
        };
        if !anew {
            return result;
        }
        tracing::info!(url = %self.address, "the mirror is built again");
        let done = self.anew()?;
        count(&self.net.counters.rebuilds);
        Ok(done)
    }

    fn anew(&self) -> Result<Done, Error> {
        self.attempt(None, &self.wants)
            .map_err(|error| match error {
                // Nothing was on disk before, so it came that way.
                Error::Damaged { url, source } => Error::Protocol {
                    url,
                    problem: "what the server sent is damaged or incomplete".to_owned(),
                    source: Some(source),
                },
                other => other,
            })
    }

    fn start(&self, kept: Option<Kept>) -> Result<Kept, Error> {
        match kept {
            Some(kept) => Ok(kept),
            None => Ok(Kept {
                store: Store::create(&self.address.display(), &self.cache, &self.key)?,
                tips: BTreeMap::new(),
                contained: BTreeSet::new(),
                lineages: self.lineages.clone(),
                most_rounds: u64::MAX,
            }),
        }
    }

    fn open(&self) -> Result<Box<dyn Peer>, Error> {
        count(&self.net.counters.ls_remotes);
        peer::open(
            &self.net,
            &self.tls,
            &self.address,
            &self.credentials,
            Service::UploadPack,
        )
    }

    fn attempt(&self, kept: Option<Kept>, wants: &BTreeSet<Want>) -> Result<Done, Error> {
        let mut peer = self.open()?;
        let advertisement = peer.advertisement()?;
        let mut kept = self.start(kept)?;
        let whole = self.whole || kept.lacks(wants, &advertisement)?;
        if whole && !kept.store.is_whole() {
            kept = self.start(None)?;
        }
        let is_there = |name: &String| advertisement.references.contains_key(name);
        kept.tips.retain(|name, _| is_there(name));
        kept.lineages.retain(|name, _| is_there(name));
        let targets = self.targets(wants, &advertisement, &kept)?;
        self.bring(peer, &advertisement, &mut kept, &targets, whole)?;
        let answers = self.answers(wants, &advertisement, &mut kept)?;
        self.put_together(&mut kept)?;
        Ok(Done { kept, answers })
    }

    /// Puts packs together where there are too many. What keeps that from being done keeps nobody from an answer: the packs stay as
    /// they are, and where it took too long fewer of them are put together from then on.
    fn put_together(&self, kept: &mut Kept) -> Result<(), Error> {
        let settings = &self.net.settings;
        let packs = kept.store.measure()?;
        if packs <= settings.max_packs.max(kept.store.may_have()) {
            return Ok(());
        }
        let limit = settings.put_together_timeout;
        let net = self.net.part(limit);
        let tips = kept.tips.values().copied().collect();
        let pile = Pile::of(kept.store.bases(), settings.max_packs / 2, kept.most_rounds);
        let result = compact(&net, &kept.store, &self.cache, &self.key, &tips, pile);
        let late = net.over.is_cancelled();
        net.over.cancel();
        match result {
            Ok(store) => {
                store.put_off(pile.staying.saturating_add(settings.max_packs / 2));
                kept.store = store;
                return Ok(());
            }
            Err(error @ (Error::Damaged { .. } | Error::Stopped { .. })) => return Err(error),
            // Its error speaks of the whole round.
            Err(_late) if late => {
                let seconds = limit.as_secs();
                tracing::warn!(url = %self.address, packs, rounds = pile.rounds, seconds, "putting packs together took too long");
                if pile.rounds >= 2 * FEWEST_ROUNDS {
                    kept.most_rounds = pile.rounds / 2;
                    return Ok(());
                }
            }
            Err(error) => {
                tracing::warn!(url = %self.address, packs, %error, "packs could not be put together");
            }
        }
        kept.store.put_off(packs.saturating_add(settings.max_packs));
        Ok(())
    }

    /// What has to be there to answer all wants. A commit that is not at a tip needs every branch and every tag.
    fn targets(
        &self,
        wants: &BTreeSet<Want>,
        advertisement: &Advertisement,
        kept: &Kept,
    ) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::new();
        for want in wants {
            let Want::Commit(commit) = want else {
                targets.extend(want.find(advertisement));
                continue;
            };
            let tips: BTreeSet<Oid> = kept.tips.values().copied().collect();
            let everything = advertisement
                .references
                .iter()
                .filter(|(name, _)| reference::is_branch_or_tag(name));
            let all = everything.map(|(name, tip)| Target {
                name: name.clone(),
                whole: name.clone(),
                tip: *tip,
            });
            if kept.contained.contains(commit) && kept.store.has(*commit)? {
                continue;
            }
            match all.clone().find(|target| target.tip == *commit) {
                Some(target) => targets.push(target),
                None if kept.store.contains(&self.net, &tips, *commit, usize::MAX)? => {}
                None => targets.extend(all),
            }
        }
        Ok(targets)
    }

    /// Fetches what is missing. What is new to a mirror without history comes without its own, where the server can leave
    /// it out; what follows a tip that is there comes with all that is between.
    fn bring(
        &self,
        peer: Box<dyn Peer>,
        advertisement: &Advertisement,
        kept: &mut Kept,
        targets: &[Target],
        whole: bool,
    ) -> Result<(), Error> {
        let is_empty = kept.store.bases().is_empty();
        let leaves_out = !whole
            && advertisement.can(upload_pack::SHALLOW)
            && (is_empty || !kept.store.is_whole());
        let (mut following, mut new) = (BTreeSet::new(), BTreeSet::new());
        for target in targets {
            if kept.store.has(target.tip)? {
                continue;
            }
            if !leaves_out || kept.tips.contains_key(&target.whole) {
                following.insert(target.tip);
            } else {
                new.insert(target.tip);
            }
        }
        new.retain(|tip| !following.contains(tip));
        let mut connected = Some(peer);
        for (missing, tips_only) in [(following, false), (new, true)] {
            if missing.is_empty() {
                continue;
            }
            // One connection carries one pack.
            let mut peer = match connected.take() {
                Some(peer) => peer,
                None => {
                    let mut another = self.open()?;
                    another.advertisement()?;
                    another
                }
            };
            self.bring_pack(peer.as_mut(), advertisement, kept, &missing, tips_only)?;
        }
        for target in targets {
            kept.tips.insert(target.whole.clone(), target.tip);
        }
        if kept.store.bases().is_empty() {
            let tips = kept.tips.values().copied();
            kept.store.note_first(tips)?;
        }
        Ok(())
    }

    fn bring_pack(
        &self,
        peer: &mut dyn Peer,
        advertisement: &Advertisement,
        kept: &Kept,
        missing: &BTreeSet<Oid>,
        tips_only: bool,
    ) -> Result<(), Error> {
        let settings = &self.net.settings;
        let known: BTreeSet<Oid> = kept.tips.values().copied().collect();
        let haves = kept.store.newest(&known, MAX_HAVES)?;
        let wants: Vec<Oid> = missing.iter().copied().collect();
        let shallow: Vec<Oid> = kept.store.shallow().into_iter().collect();
        let request = Request {
            wants: &wants,
            haves: &haves,
            shallow: &shallow,
            tips_only,
        };
        let limit = settings
            .max_repository_bytes
            .saturating_sub(kept.store.bytes());
        count(&self.net.counters.fetches);
        let mut cut = Vec::new();
        kept.store.write_pack(&self.net, |sink| {
            cut = peer.pack(advertisement, request, limit, sink)?;
            Ok(())
        })?;
        // Before anything can fail: what came is there now.
        kept.store.cut(cut)?;
        if kept.store.bytes() > settings.max_repository_bytes {
            return Err(peer.too_large());
        }
        Ok(())
    }

    fn answers(
        &self,
        wants: &BTreeSet<Want>,
        advertisement: &Advertisement,
        kept: &mut Kept,
    ) -> Result<BTreeMap<Want, Result<Resolved, Error>>, Error> {
        let url = self.address.display();
        let mut answers = BTreeMap::new();
        for want in wants {
            let answer = match (want, want.find(advertisement)) {
                (Want::Commit(commit), _) => {
                    let tips: BTreeSet<Oid> = kept.tips.values().copied().collect();
                    let known = kept.contained.contains(commit);
                    if (known && kept.store.has(*commit)?)
                        || kept.store.contains(&self.net, &tips, *commit, usize::MAX)?
                    {
                        kept.contained.insert(*commit);
                        kept.store
                            .peel(*commit)?
                            .map(|commit| Resolved {
                                reference: String::new(),
                                commit,
                                lineage: None,
                            })
                            .map_err(|kind| Error::NotACommit {
                                url: url.clone(),
                                reference: commit.to_string(),
                                kind,
                            })
                    } else {
                        Err(want.gone(&url))
                    }
                }
                (_, Some(Target { name, whole, tip })) => match kept.store.peel(tip)? {
                    Ok(commit) => Ok(Resolved {
                        reference: name,
                        commit,
                        lineage: Some(kept.take_up(&self.net, whole, commit)?),
                    }),
                    Err(kind) => Err(Error::NotACommit {
                        url: url.clone(),
                        reference: name,
                        kind,
                    }),
                },
                (_, None) => Err(want.gone(&url)),
            };
            answers.insert(want.clone(), answer);
        }
        self.net.check_time(&url)?;
        Ok(answers)
    }
}

impl Kept {
    /// Notes that a reference is at a commit, and returns where that stands. A line that cannot be seen to go on within
    /// [`MAX_STEP`] commits ends, and another begins: whoever must know more compares the two commits.
    fn take_up(&mut self, net: &Net, whole: String, commit: Oid) -> Result<Lineage, Error> {
        let lineage = match self.lineages.get(&whole) {
            Some((known, lineage)) if *known == commit => return Ok(lineage.clone()),
            Some((known, lineage)) => {
                let tip = BTreeSet::from([commit]);
                if self.store.contains(net, &tip, *known, MAX_STEP)? {
                    lineage.next()
                } else {
                    Lineage::begin()
                }
            }
            None => Lineage::begin(),
        };
        self.lineages.insert(whole, (commit, lineage.clone()));
        Ok(lineage)
    }

    /// Says whether a commit is wanted that is no tip: where it is found, if it is, only all of history tells.
    fn lacks(&self, wants: &BTreeSet<Want>, advertisement: &Advertisement) -> Result<bool, Error> {
        for want in wants {
            if let Want::Commit(commit) = want
                && !advertisement.references.values().any(|tip| tip == commit)
                && !self.holds(*commit)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says whether a commit was asked for before and is still there, so that no server has to be asked.
    ///
    /// # Errors
    /// When the store is damaged.
    pub(super) fn holds(&self, commit: Oid) -> Result<bool, Error> {
        Ok(!self.store.is_damaged()
            && self.contained.contains(&commit)
            && self.store.has(commit)?)
    }
}
