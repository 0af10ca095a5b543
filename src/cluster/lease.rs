//! Holding a share of the fleet: one Lease, whose table says which replica works in which slots.
//!
//! Enters: which Lease, our name, the end of work in slots that are given up, the word to stop.
//! Leaves: `Share`, as it changes, with a `Fence` that is open while it is ours.
//! Never: a write that outlives the share; a judgement, which is `member`'s.

use std::{pin::Pin, time::Duration};

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Cluster, Desk, Error, Fence, Share,
    claim::{LeaseClaim, Observed, claim},
    lease_file::{LeaseFile, follow_lease, view},
    member::{Member, Step},
    request::jittered,
    table::{Read, Table},
};
use crate::model::Slot;

/// How often a Lease that an older release holds is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Requests of one round: others write to the Lease as well.
const TRIES: usize = 8;
/// Pause before a try after others were faster; lengthened by up to a half.
const AFTER_OTHERS: Duration = Duration::from_millis(20);
/// Changes of the Lease that were seen and wait to be taken.
const WAITING: usize = 64;

/// Which Lease, and who we are.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Namespace of the Lease: the controller's own.
    pub namespace: String,
    /// Name of the Lease: one for all replicas.
    pub name: String,
    /// Our name: of this process and no other, also after a restart.
    pub holder: String,
    /// How long our share is ours without renewal. Default 15 s.
    pub duration: Duration,
    /// How often it is renewed. Default 5 s: two renewals may fail.
    pub renew: Duration,
}

impl LeaseSettings {
    /// Returns the defaults for this Lease.
    pub fn new(namespace: &str, name: &str, holder: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
        }
    }
}

/// Shares one Lease with other replicas.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    settings: LeaseSettings,
    member: Member,
    fence: Fence,
    membership: u64,
    share: watch::Sender<Option<Share>>,
    desk: Desk,
    pushes: mpsc::Receiver<String>,
    halt: watch::Receiver<Option<String>>,
    file: LeaseFile,
    /// When we saw a Lease of an older release change.
    observed: Option<Observed>,
}

impl Lease {
    /// Returns a Lease of which nothing is ours yet; `run` works for it.
    pub fn new(cluster: &Cluster, settings: LeaseSettings) -> Self {
        let (desk, pushes, halt) = Desk::new();
        Self {
            fence: Fence::closed(cluster.clock()),
            file: LeaseFile::new(cluster.clone(), settings.clone()),
            cluster: cluster.clone(),
            member: Member::new(&settings.holder, settings.duration, settings.renew),
            settings,
            membership: 0,
            share: watch::Sender::new(None),
            desk,
            pushes,
            halt,
            observed: None,
        }
    }

    /// Returns our share, as it changes; None where nothing is ours.
    pub fn share(&self) -> watch::Receiver<Option<Share>> {
        self.share.subscribe()
    }

    /// Returns where the end of work is told.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Returns the fence of the share that is ours now, or of none.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Takes a share, renews it, gives of it and takes more, and releases it when told to stop. Failures are logged
    /// and tried again.
    pub async fn run(mut self, stop: CancellationToken) {
        let (tell, mut seen) = mpsc::channel(WAITING);
        let mut following: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let desk = self.desk.clone();
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(
                        lease = %self.settings.name,
                        error = &error as &dyn std::error::Error,
                        "failed to renew the lease"
                    );
                    self.doubt();
                    AFTER_FAILURE
                }
            };
            // Alone there is nobody to watch: who comes makes our next renewal fail, and is seen then.
            if !self.member.has_others() && self.member.table().is_some() {
                following = None;
            } else if self.member.has_others() && following.is_none() {
                following = Some(Box::pin(follow_lease(
                    self.cluster.clone(),
                    self.settings.clone(),
                    tell.clone(),
                )));
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = desk.told() => {}
                () = poll(&mut following) => following = None,
                Some(lease) = seen.recv() => self.saw(lease),
                Some(repository) = self.pushes.recv() => self.member.announce(repository),
                Ok(()) = self.halt.changed() => {
                    let halt = self.halt.borrow_and_update().clone();
                    self.member.halt(halt.as_deref());
                }
            }
        }
        self.release().await;
    }

    /// Does what the table asks for now and returns the time until it asks again.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn round(&mut self) -> Result<Duration, Error> {
        self.member.has_ended(self.desk.ended());
        for _ in 0..TRIES {
            let now = (self.cluster.clock())();
            match self.member.step(now.monotonic) {
                Step::Wait(pause) => {
                    self.tell();
                    return Ok(pause);
                }
                Step::Read => {
                    if let Some(pause) = self.look().await? {
                        self.tell();
                        return Ok(pause.min(LOOK));
                    }
                }
                Step::Write(table) => {
                    // Losing it by our own clock is told before anything else.
                    self.tell();
                    let put = self.file.put(&table, &self.settings.holder, now.wall);
                    let Some(written) = put.await? else {
                        // Somebody else was faster.
                        self.doubt();
                        tokio::time::sleep(jittered(AFTER_OTHERS)?).await;
                        continue;
                    };
                    self.file.take(Some(written));
                    let after = (self.cluster.clock())();
                    // From before the request was sent: the share is ours at least this long.
                    self.member.written(*table, now.monotonic, after.monotonic);
                    self.tell();
                }
            }
        }
        Ok(AFTER_FAILURE)
    }

    /// Reads the Lease; returns how long to wait where an older release holds it.
    async fn look(&mut self) -> Result<Option<Duration>, Error> {
        let lease = self.file.read().await?;
        let now = (self.cluster.clock())();
        let table = match lease
            .as_ref()
            .map_or(Read::Table(Table::empty(0)), Table::read)
        {
            Read::Table(table) => table,
            Read::Foreign => {
                self.member.start_over();
                let seen = lease.as_ref().map(view);
                // Not by our name either: where the table is damaged, others may still work by the one before.
                match claim(seen.as_ref(), self.observed.as_ref(), "", now) {
                    LeaseClaim::Wait(left) => {
                        let version = seen.map(|seen| seen.resource_version).unwrap_or_default();
                        if self.observed.as_ref().map(|seen| &seen.resource_version)
                            != Some(&version)
                        {
                            self.observed = Some(Observed {
                                resource_version: version,
                                since: now.monotonic,
                            });
                        }
                        return Ok(Some(left));
                    }
                    LeaseClaim::Create | LeaseClaim::Renew | LeaseClaim::Take => Table::empty(0),
                }
            }
        };
        if self.file.take(lease) {
            self.member.start_over();
        }
        self.member.see(table, now.monotonic);
        Ok(None)
    }

    /// Takes what the watch saw, if it is news; what does not fit is read.
    fn saw(&mut self, lease: Option<Value>) {
        let is_same = self.file.is(lease.as_ref());
        match (lease.as_ref().map(Table::read), self.member.table()) {
            (Some(Read::Table(table)), Some(known)) if is_same => {
                if table.writes > known.writes {
                    let now = (self.cluster.clock())().monotonic;
                    self.file.take(lease);
                    self.member.see(table, now);
                    self.tell();
                }
            }
            (_, Some(_)) => self.doubt(),
            // It is read anyway.
            (_, None) => {}
        }
    }

    fn doubt(&mut self) {
        self.member.doubt();
        self.tell();
    }

    /// Opens and closes the fence, and tells who works what is ours.
    fn tell(&mut self) {
        let now = (self.cluster.clock())().monotonic;
        let until = self.member.until().filter(|until| *until > now);
        let Some(until) = until else {
            if self.share.borrow().is_some() {
                // It never opens again: what works under it must not meet its own next life.
                self.fence.close();
                self.fence = Fence::closed(self.cluster.clock());
                tracing::info!(lease = %self.settings.name, "our share of the lease is lost");
                self.share.send_replace(None);
            }
            self.member.lose();
            return;
        };
        self.fence.extend(until);
        let (version, slots) = self.member.share();
        let Some(table) = self.member.table() else {
            return;
        };
        if self.share.borrow().is_none() {
            self.membership += 1;
            tracing::info!(lease = %self.settings.name, "we share the lease");
        }
        let holder = table.holder(Slot::HOUSE);
        let share = Share {
            membership: self.membership,
            version,
            slots,
            members: table.members.len(),
            halt: holder.and_then(|holder| holder.halt.clone()),
            pushes: table.pushes.as_slice().into(),
            next_push: table.next_push,
            fence: self.fence.clone(),
        };
        self.share.send_if_modified(|before| {
            let is_news = before.as_ref().is_none_or(|before| {
                before.membership != share.membership
                    || before.version != share.version
                    || before.members != share.members
                    || before.halt != share.halt
                    || before.next_push != share.next_push
            });
            if is_news {
                tracing::debug!(slots = %share.slots, members = share.members, version, "our share");
                *before = Some(share);
            }
            is_news
        });
    }

    /// Releases our share, so that the others need not wait for it to run out.
    async fn release(mut self) {
        self.fence.close();
        self.share.send_replace(None);
        for _ in 0..TRIES {
            if self.member.table().is_none() {
                match self.look().await {
                    Ok(None) => {}
                    Ok(Some(_)) => return,
                    Err(error) => return self.is_not_released(&error),
                }
            }
            let now = (self.cluster.clock())();
            let Some(table) = self.member.farewell(now.monotonic) else {
                return;
            };
            let heir = table.members.keys().next().cloned().unwrap_or_default();
            match self.file.put(&table, &heir, now.wall).await {
                Ok(Some(_)) => return,
                Ok(None) => self.member.doubt(),
                Err(error) => return self.is_not_released(&error),
            }
        }
    }

    fn is_not_released(&self, error: &Error) {
        tracing::warn!(
            lease = %self.settings.name,
            error = error as &dyn std::error::Error,
            "failed to release the lease; it runs out by itself"
        );
    }
}

/// Polls what may be there.
async fn poll(future: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
