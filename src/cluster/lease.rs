//! Who acts: one Lease for each shard, judged on our own clock.
//!
//! Enters: the Lease as it stands, when we saw it change, our name.
//! Leaves: `LeaseClaim`, a pure judgement, and a `Fence` that is open while the Lease is ours.
//! Never: trust in another machine's clock; a write that outlives the Lease.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Cluster, Error, Fence, Identity, Resource,
    classify::{self, Said},
    event::micro_time,
    request::{Call, JSON, Lane},
};
use crate::model::Now;

/// Longest time without renewal after which a foreign Lease is still respected, whatever it says.
const LONGEST: Duration = Duration::from_secs(300);
/// Time of one request about the Lease: three fit into its time.
const DEADLINE: Duration = Duration::from_secs(4);
/// How often a Lease that somebody else holds is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Pause after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A Lease as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Who holds it; empty where it was released.
    pub holder: String,
    /// How long it is held without renewal.
    pub duration: Duration,
    /// Changes with every renewal.
    pub resource_version: String,
}

/// When we saw a Lease change last, on our own monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The resource version that we saw.
    pub resource_version: String,
    /// When we saw it first.
    pub since: Duration,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a judgement does nothing by itself"]
pub enum LeaseClaim {
    /// It does not exist: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is free, or its holder has not renewed it in time: take it over.
    Take,
    /// Somebody holds it, at least this long.
    Wait(Duration),
}

/// Judges a Lease: whether it is free, ours or held. Expiry is judged by when we saw it change.
pub fn claim(
    lease: Option<&LeaseView>,
    observed: Option<&Observed>,
    me: &str,
    now: Now,
) -> LeaseClaim {
    let Some(lease) = lease else {
        return LeaseClaim::Create;
    };
    if lease.holder == me {
        return LeaseClaim::Renew;
    }
    if lease.holder.is_empty() {
        return LeaseClaim::Take;
    }
    let duration = lease.duration.min(LONGEST);
    match observed {
        Some(seen) if seen.resource_version == lease.resource_version => {
            let left = duration.saturating_sub(now.since(seen.since));
            if left.is_zero() {
                LeaseClaim::Take
            } else {
                LeaseClaim::Wait(left)
            }
        }
        Some(_) | None => LeaseClaim::Wait(duration),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH,
            monotonic: Duration::from_secs(seconds),
        }
    }

    fn lease(holder: &str, version: &str) -> LeaseView {
        LeaseView {
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            resource_version: version.to_owned(),
        }
    }

    fn seen(version: &str, since: u64) -> Observed {
        Observed {
            resource_version: version.to_owned(),
            since: Duration::from_secs(since),
        }
    }

    #[test]
    fn a_lease_is_judged_by_when_we_saw_it_change() {
        let wait = |seconds| LeaseClaim::Wait(Duration::from_secs(seconds));
        for (lease, observed, now, expected) in [
            (None, None, 0, LeaseClaim::Create),
            (Some(lease("me", "1")), None, 0, LeaseClaim::Renew),
            (Some(lease("", "1")), None, 0, LeaseClaim::Take),
            // Never seen before: its own times are another machine's.
            (Some(lease("other", "1")), None, 1_000, wait(15)),
            (Some(lease("other", "1")), Some(seen("1", 10)), 20, wait(5)),
            (Some(lease("other", "2")), Some(seen("1", 10)), 60, wait(15)),
            (
                Some(lease("other", "1")),
                Some(seen("1", 10)),
                25,
                LeaseClaim::Take,
            ),
        ] {
            assert_eq!(
                claim(lease.as_ref(), observed.as_ref(), "me", at(now)),
                expected,
                "{lease:?} {observed:?} {now}"
            );
        }
    }

    #[test]
    fn a_lease_cannot_ask_for_respect_for_ever() {
        let forever = LeaseView {
            duration: Duration::from_secs(1_000_000),
            ..lease("other", "1")
        };
        assert_eq!(
            claim(Some(&forever), Some(&seen("1", 0)), "me", at(300)),
            LeaseClaim::Take
        );
    }
}
