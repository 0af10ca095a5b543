//! What is ours of the fleet, and what was stored of it when it became ours.
//!
//! Enters: our share as the lease tells it; the stored sets, by name.
//! Leaves: the share of one membership, as it changes; what take-up needs to know.
//! Never: the share of a later membership: what began under this one must not go on under that.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::{
    cluster::{self, Applications, Desk, Keeper, Share},
    model::{ApplicationKey, Slot, Slots, text},
};

/// Our share, for as long as it is not lost as a whole.
#[derive(Clone, Debug)]
pub(super) struct Ours {
    share: watch::Receiver<Option<Share>>,
    membership: u64,
    /// Where ends are told.
    pub(super) desk: Desk,
}

impl Ours {
    pub(super) fn new(share: watch::Receiver<Option<Share>>, membership: u64, desk: Desk) -> Self {
        Self {
            share,
            membership,
            desk,
        }
    }

    /// Returns what is ours now; None where it is lost.
    pub(super) fn now(&self) -> Option<Share> {
        self.share
            .borrow()
            .clone()
            .filter(|share| share.membership == self.membership)
    }

    /// Says whether we do what only one replica may do.
    pub(super) fn keeps_house(&self) -> bool {
        self.now()
            .is_some_and(|share| share.slots.contains(Slot::HOUSE))
    }

    /// Waits for a change, and returns what is ours since.
    pub(super) async fn changed(&mut self) -> Option<Share> {
        if self.share.changed().await.is_err() {
            // The lease has ended, and what waits here ends with it.
            std::future::pending::<()>().await;
        }
        self.now()
    }

    /// Waits until it is lost.
    pub(super) async fn lost(mut self) {
        while self.now().is_some() {
            if self.share.changed().await.is_err() {
                return;
            }
        }
    }
}

/// What was stored of the Applications in our slots when these became ours: at take-up each would have to ask for its own.
#[derive(Debug, Default)]
pub(super) struct Kept {
    by_uid: BTreeMap<String, cluster::Kept>,
    /// The slots of which all is known.
    of: Slots,
}

impl Kept {
    /// Reads what is stored, after these slots have become ours.
    pub(super) async fn read(&mut self, keeper: &Keeper, gained: Slots, ours: Slots) {
        match keeper.kept(None).await {
            Ok(kept) => {
                self.by_uid = kept;
                self.of = ours;
            }
            Err(error) => {
                self.of = self.of.common(ours).without(gained);
                tracing::warn!(error = %text::chain(&error), "could not list the stored sets; each Application asks for its own");
            }
        }
    }

    /// Takes what was stored of an Application; None where that is not known.
    pub(super) fn take(&mut self, key: &ApplicationKey, uid: &str) -> Option<cluster::Kept> {
        let is_known = self.of.covers(key);
        is_known.then(|| self.by_uid.remove(uid).unwrap_or_default())
    }

    /// Forgets what is stored of the Applications of others.
    pub(super) fn forget_others(&mut self, applications: &Applications, ours: Slots) {
        let others: BTreeSet<String> = applications.uids_outside(ours).into_iter().collect();
        self.by_uid.retain(|uid, _| !others.contains(uid));
    }
}
