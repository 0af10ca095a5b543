//! Holding a Lease: take it when it is free, renew it, release it.
//!
//! Enters: which Lease, our name, the word to stop.
//! Leaves: a `Fence` that is open while the Lease is ours, and whether it is, as it changes.
//! Never: a write that outlives the Lease; a judgement, which is `claim`'s.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Cluster, Error, Fence, Identity, Resource,
    claim::{LONGEST, LeaseClaim, LeaseView, Observed, claim},
    classify::{self, Said},
    event::micro_time,
    request::{Call, JSON, Lane},
};
use crate::model::Now;

/// Time of one request about the Lease: three fit into its time.
const DEADLINE: Duration = Duration::from_secs(4);
/// How often a Lease that somebody else holds is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Which Lease, and whose.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Namespace of the Lease: the controller's own.
    pub namespace: String,
    /// Name of the Lease: one for each shard.
    pub name: String,
    /// Our name: of this process and no other, also after a restart.
    pub holder: String,
    /// How long the Lease is ours without renewal. Default 15 s.
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

/// Holds one Lease, or waits for it.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    settings: LeaseSettings,
    fence: Fence,
    held: watch::Sender<bool>,
    /// The Lease as we saw it last.
    known: Option<Value>,
    observed: Option<Observed>,
}

impl Lease {
    /// Returns a Lease that is not ours yet; `run` works for it.
    pub fn new(cluster: &Cluster, settings: LeaseSettings) -> Self {
        Self {
            fence: Fence::closed(cluster.clock()),
            cluster: cluster.clone(),
            settings,
            held: watch::Sender::new(false),
            known: None,
            observed: None,
        }
    }

    /// Returns the fence that is open while the Lease is ours.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Returns whether the Lease is ours, as it changes.
    pub fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// Takes the Lease when it is free, renews it, and releases it when told to stop. Failures are logged and tried again.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(
                        lease = %self.settings.name,
                        error = &error as &dyn std::error::Error,
                        "failed to renew the lease"
                    );
                    // What was known may be outdated; who holds it is read again.
                    self.known = None;
                    self.say(self.fence.left() > Duration::ZERO);
                    AFTER_FAILURE
                }
            };
            let stopped = tokio::time::timeout(pause, stop.cancelled()).await.is_ok();
            if stopped {
                break;
            }
        }
        self.release().await;
    }

    /// Does what the Lease asks for now and returns the time until it asks again.
    ///
    /// # Errors
    /// The API server cannot be asked, or somebody else was faster.
    pub async fn round(&mut self) -> Result<Duration, Error> {
        let lease = match self.known.take() {
            // Only our own is known well enough to renew it unread.
            Some(known) if view(&known).holder == self.settings.holder => Some(known),
            Some(_) | None => self.read().await?,
        };
        let now = (self.cluster.clock())();
        let seen = lease.as_ref().map(view);
        let judged = claim(
            seen.as_ref(),
            self.observed.as_ref(),
            &self.settings.holder,
            now,
        );
        match judged {
            LeaseClaim::Wait(left) => {
                self.observe(seen, now);
                self.lose();
                Ok(left.min(LOOK))
            }
            LeaseClaim::Create | LeaseClaim::Renew | LeaseClaim::Take => {
                let body = self.body(lease, judged, now.wall);
                let written = self.put(&body, judged == LeaseClaim::Create).await?;
                let Some(written) = written else {
                    // Somebody else was faster.
                    self.lose();
                    return Ok(AFTER_FAILURE);
                };
                self.known = Some(written);
                // From before the request was sent: the Lease is ours at least this long.
                self.fence.extend(now.monotonic + self.settings.duration);
                self.say(true);
                Ok(self.settings.renew)
            }
        }
    }

    fn observe(&mut self, seen: Option<LeaseView>, now: Now) {
        let version = seen.map(|seen| seen.resource_version).unwrap_or_default();
        if self.observed.as_ref().map(|seen| &seen.resource_version) != Some(&version) {
            self.observed = Some(Observed {
                resource_version: version,
                since: now.monotonic,
            });
        }
    }

    fn lose(&mut self) {
        self.fence.close();
        self.known = None;
        self.say(false);
    }

    fn say(&self, held: bool) {
        let changed = self.held.send_if_modified(|before| {
            let changed = *before != held;
            *before = held;
            changed
        });
        if changed {
            tracing::info!(lease = %self.settings.name, held, "the lease changed hands");
        }
    }

    /// Releases the Lease, so that the next controller need not wait for it to expire.
    async fn release(mut self) {
        self.fence.close();
        let Some(known) = self.known.take() else {
            self.say(false);
            return;
        };
        let mut body = known;
        set(&mut body, "holderIdentity", json!(""));
        set(&mut body, "leaseDurationSeconds", json!(1));
        if let Err(error) = self.put(&body, false).await {
            tracing::warn!(
                lease = %self.settings.name,
                error = &error as &dyn std::error::Error,
                "failed to release the lease; it expires by itself"
            );
        }
        self.say(false);
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
    async fn put(&self, body: &Value, create: bool) -> Result<Option<Value>, Error> {
        let leases = Resource::leases();
        let (namespace, name) = (&self.settings.namespace, &self.settings.name);
        let (method, path) = if create {
            (Method::POST, leases.collection(Some(namespace))?)
        } else {
            (Method::PUT, leases.object(namespace, name)?)
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

    fn body(&self, lease: Option<Value>, judged: LeaseClaim, wall: Timestamp) -> Value {
        let now = json!(micro_time(wall));
        let mut body = lease.unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self.settings.name, "namespace": self.settings.namespace},
            })
        });
        if judged != LeaseClaim::Renew {
            let transitions = body
                .pointer("/spec/leaseTransitions")
                .and_then(Value::as_i64)
                .map_or(0, |count| count.saturating_add(1));
            set(&mut body, "leaseTransitions", json!(transitions));
            set(&mut body, "acquireTime", now.clone());
        }
        set(&mut body, "holderIdentity", json!(self.settings.holder));
        set(
            &mut body,
            "leaseDurationSeconds",
            json!(self.settings.duration.as_secs().max(1)),
        );
        set(&mut body, "renewTime", now);
        body
    }
}

fn set(lease: &mut Value, field: &str, value: Value) {
    if let Some(object) = lease.as_object_mut()
        && let Some(spec) = object
            .entry("spec")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        spec.insert(field.to_owned(), value);
    }
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
