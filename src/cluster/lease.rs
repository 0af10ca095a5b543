//! Holding a share of the fleet: one Lease, whose table says which replica works in which slots.
//!
//! Enters: which Lease, our name, the end of work in slots that are given up, the word to stop.
//! Leaves: `Share`, as it changes, with a `Fence` that is open while it is ours.
//! Never: a write that outlives the share; a judgement, which is `member`'s.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Cluster, Error, Fence, Identity, ListQuery, Push, Resource,
    claim::{LONGEST, LeaseClaim, LeaseView, Observed, claim},
    classify::{self, Said},
    event::micro_time,
    follow::{self, Sink, Target},
    member::{Member, Step},
    request::{Call, JSON, Lane, jittered},
    table::{Read, Table},
};
use crate::{
    api::ANNOTATION_SHARES,
    model::{RepositoryName, Slot, Slots, sha256_hex},
};

/// Time of one request about the Lease: three fit into its time.
const DEADLINE: Duration = Duration::from_secs(4);
/// How often a Lease that an older release holds is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Requests of one round: others write to the Lease as well.
const TRIES: usize = 8;
/// Pause before a try after others were faster; lengthened by up to a half.
const AFTER_OTHERS: Duration = Duration::from_millis(20);
/// What is told or seen and waits to be taken.
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

/// What is ours now.
#[derive(Clone, Debug)]
pub struct Share {
    /// Another number: everything was lost meanwhile, and may have been another's.
    pub membership: u64,
    /// Grows whenever slots come or go.
    pub version: u64,
    /// The slots to work in.
    pub slots: Slots,
    /// How many replicas there are, with us.
    pub members: usize,
    /// Why nothing may be changed, by who keeps the records; None where it may.
    pub halt: Option<String>,
    /// Repositories that were pushed to, newest last.
    pub pushes: Arc<[Push]>,
    /// Number of the push that comes next.
    pub next_push: u64,
    /// Open while the share is ours, never again after.
    pub fence: Fence,
}

/// What ends when slots are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The work on Applications.
    Work,
    /// What only the holder of the first slot does.
    House,
}

/// Where the end of work is told, and what others are to hear. Clones tell the same Lease.
#[derive(Clone, Debug)]
pub struct Desk {
    inner: Arc<DeskInner>,
    pushes: mpsc::Sender<String>,
    halt: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct DeskInner {
    work: AtomicU64,
    house: AtomicU64,
    told: Notify,
}

impl Desk {
    /// Tells that all of a task has ended that lay outside of the share of this version.
    pub fn has_ended(&self, task: Task, version: u64) {
        let told = match task {
            Task::Work => &self.inner.work,
            Task::House => &self.inner.house,
        };
        if told.fetch_max(version, Ordering::AcqRel) < version {
            self.inner.told.notify_one();
        }
    }

    /// Tells the other replicas of a repository that was pushed to. Where there are too many at once they ask by themselves.
    pub fn announce(&self, repository: &RepositoryName) {
        // A full channel: what waits in it is more than the table takes, so that everything is asked.
        let _full = self.pushes.try_send(push_name(repository));
    }

    /// Tells the other replicas why nothing may be changed.
    pub fn halt(&self, halt: Option<String>) {
        self.halt.send_if_modified(|before| {
            let changed = *before != halt;
            *before = halt;
            changed
        });
    }

    fn ended(&self) -> u64 {
        let work = self.inner.work.load(Ordering::Acquire);
        work.min(self.inner.house.load(Ordering::Acquire))
    }
}

/// Returns a repository as a push tells it: who may read Leases need not know its name.
pub fn push_name(repository: &RepositoryName) -> String {
    let mut hash = sha256_hex(repository.as_str().as_bytes());
    hash.truncate(16);
    hash
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
    /// The Lease as we saw it last; None where there is none, or it must be read.
    known: Option<Value>,
    /// Its UID: another one has another table.
    uid: Option<String>,
    /// When we saw a Lease of an older release change.
    observed: Option<Observed>,
}

impl Lease {
    /// Returns a Lease of which nothing is ours yet; `run` works for it.
    pub fn new(cluster: &Cluster, settings: LeaseSettings) -> Self {
        let (told, pushes) = mpsc::channel(WAITING);
        let (halting, halt) = watch::channel(None);
        Self {
            fence: Fence::closed(cluster.clock()),
            cluster: cluster.clone(),
            member: Member::new(&settings.holder, settings.duration, settings.renew),
            settings,
            membership: 0,
            share: watch::Sender::new(None),
            desk: Desk {
                inner: Arc::default(),
                pushes: told,
                halt: halting,
            },
            pushes,
            halt,
            known: None,
            uid: None,
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
                () = desk.inner.told.notified() => {}
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
                    let holder = self.settings.holder.clone();
                    let body = self.body(&table, &holder, now.wall);
                    let Some(written) = self.put(&body).await? else {
                        // Somebody else was faster.
                        self.doubt();
                        tokio::time::sleep(jittered(AFTER_OTHERS)?).await;
                        continue;
                    };
                    self.uid = uid_of(&written);
                    self.known = Some(written);
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
        let lease = self.read().await?;
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
        let uid = lease.as_ref().and_then(uid_of);
        if self.uid != uid {
            self.member.start_over();
            self.uid = uid;
        }
        self.known = lease;
        self.member.see(table, now.monotonic);
        Ok(None)
    }

    /// Takes what the watch saw, if it is news; what does not fit is read.
    fn saw(&mut self, lease: Option<Value>) {
        let is_same = lease.as_ref().and_then(uid_of) == self.uid;
        match (lease.as_ref().map(Table::read), self.member.table()) {
            (Some(Read::Table(table)), Some(known)) if is_same => {
                if table.writes > known.writes {
                    let now = (self.cluster.clock())().monotonic;
                    self.known = lease;
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
        self.known = None;
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
        if self.share.borrow().is_none() {
            self.membership += 1;
            tracing::info!(lease = %self.settings.name, "we share the lease");
        }
        self.fence.extend(until);
        let (version, slots) = self.member.share();
        let Some(table) = self.member.table() else {
            return;
        };
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
            let body = self.body(&table, &heir, now.wall);
            match self.put(&body).await {
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

    async fn read(&self) -> Result<Option<Value>, Error> {
        let leases = Resource::leases();
        let (namespace, name) = (&self.settings.namespace, &self.settings.name);
        let act = format!("read Lease {namespace}/{name}");
        let mut call = Call::get(act, leases.object(namespace, name)?, &Identity::Controller);
        call.lane = Lane::Express;
        call.deadline = Some(DEADLINE);
        let reply = self.cluster.send(&call).await?;
        if reply.is_success() {
            return reply.read(&call.act).map(Some);
        }
        let own = Some((&leases, name.as_str()));
        if classify::said(&reply.status(), reply.code, own) == Said::Absent {
            return Ok(None);
        }
        Err(classify::failure(&call, own, &reply))
    }

    /// Writes the Lease over what we saw; None where somebody else was faster.
    async fn put(&self, body: &Value) -> Result<Option<Value>, Error> {
        let leases = Resource::leases();
        let (namespace, name) = (&self.settings.namespace, &self.settings.name);
        let (method, path) = if self.known.is_some() {
            (Method::PUT, leases.object(namespace, name)?)
        } else {
            (Method::POST, leases.collection(Some(namespace))?)
        };
        let mut call = Call::with_body(
            format!("write Lease {namespace}/{name}"),
            method,
            path,
            &Identity::Controller,
            JSON,
            body.to_string().into_bytes(),
        );
        call.lane = Lane::Express;
        call.deadline = Some(DEADLINE);
        let reply = self.cluster.send(&call).await?;
        if reply.is_success() {
            return reply.read(&call.act).map(Some);
        }
        let own = Some((&leases, name.as_str()));
        match classify::said(&reply.status(), reply.code, own) {
            Said::Changed | Said::Exists | Said::Absent => Ok(None),
            Said::Missing(_)
            | Said::Conflicts(_)
            | Said::Expired
            | Said::NotImpersonated
            | Said::Unauthorized
            | Said::Refused(_)
            | Said::Failed => Err(classify::failure(&call, own, &reply)),
        }
    }

    fn body(&self, table: &Table, holder: &str, wall: Timestamp) -> Value {
        let now = json!(micro_time(wall));
        let before = self.member.table();
        let is_same = before.is_some_and(|before| before.members.keys().eq(table.members.keys()));
        let mut body = self.known.clone().unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.settings.name, "namespace": self.settings.namespace},
            })
        });
        if !is_same {
            let transitions = body
                .pointer("/spec/leaseTransitions")
                .and_then(Value::as_i64)
                .map_or(0, |count| count.saturating_add(1));
            set(&mut body, "spec", "leaseTransitions", json!(transitions));
            set(&mut body, "spec", "acquireTime", now.clone());
        }
        // An older release respects whoever stands here, as long as it is renewed.
        set(&mut body, "spec", "holderIdentity", json!(holder));
        let seconds = if holder.is_empty() {
            1
        } else {
            self.settings.duration.as_secs().max(1)
        };
        set(&mut body, "spec", "leaseDurationSeconds", json!(seconds));
        set(&mut body, "spec", "renewTime", now);
        let mut annotations = body
            .pointer("/metadata/annotations")
            .filter(|annotations| annotations.is_object())
            .cloned()
            .unwrap_or_else(|| json!({}));
        annotations[ANNOTATION_SHARES] = json!(table.to_text());
        set(&mut body, "metadata", "annotations", annotations);
        body
    }
}

fn set(lease: &mut Value, part: &str, field: &str, value: Value) {
    if let Some(object) = lease.as_object_mut()
        && let Some(part) = object
            .entry(part)
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        part.insert(field.to_owned(), value);
    }
}

fn uid_of(lease: &Value) -> Option<String> {
    let uid = lease.pointer("/metadata/uid")?.as_str()?;
    Some(uid.to_owned())
}

fn view(lease: &Value) -> LeaseView {
    let text = |pointer: &str| {
        lease
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    LeaseView {
        holder: text("/spec/holderIdentity"),
        duration: lease
            .pointer("/spec/leaseDurationSeconds")
            .and_then(Value::as_u64)
            .map_or(LONGEST, Duration::from_secs),
        resource_version: text("/metadata/resourceVersion"),
    }
}

/// Polls what may be there.
async fn poll(future: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Tells every change of the Lease, until the future is dropped.
async fn follow_lease(
    cluster: Cluster,
    settings: LeaseSettings,
    told: mpsc::Sender<Option<Value>>,
) {
    let resource = Resource::leases();
    let target = Target {
        api_version: resource.api_version(),
        kind: resource.kind,
        who: Identity::Controller,
        query: ListQuery {
            namespace: Some(settings.namespace),
            fields: format!("metadata.name={}", settings.name),
            ..ListQuery::default()
        },
    };
    let mut sink = LeaseSink { told };
    follow::follow(&cluster, &target, &mut sink).await;
}

struct LeaseSink {
    told: mpsc::Sender<Option<Value>>,
}

impl LeaseSink {
    async fn tell(&self, lease: Option<Value>) {
        // Nobody takes it any more: the process ends.
        let _closed = self.told.send(lease).await;
    }
}

impl Sink for LeaseSink {
    type Kept = Value;

    fn keep(&self, object: Value) -> Value {
        object
    }

    async fn listed(&mut self, mut objects: Vec<Value>) {
        self.tell(objects.pop()).await;
    }

    async fn applied(&mut self, object: Value) {
        self.tell(Some(object)).await;
    }

    async fn deleted(&mut self, _object: Value) {
        self.tell(None).await;
    }

    async fn lost(&mut self, error: &Error) {
        // Renewals go on, and read it when they must.
        tracing::debug!(
            error = error as &dyn std::error::Error,
            "cannot follow the lease for now"
        );
    }

    async fn found(&mut self) {}
}
