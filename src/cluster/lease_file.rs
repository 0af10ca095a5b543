//! The Lease as an object: read, written over what was seen, watched.
//!
//! Enters: a table, who stands for it.
//! Leaves: the Lease as it stands; whether ours was the first write over what we saw.
//! Never: a write over another version than the one that was seen; a wait behind other requests.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Cluster, Error, Identity, LeaseSettings, ListQuery, Resource,
    claim::{LONGEST, LeaseView},
    classify::{self, Said},
    event::micro_time,
    follow::{self, Sink, Target},
    request::{Call, JSON, Lane},
    table::{Read, Table},
};
use crate::api::ANNOTATION_SHARES;

/// Time of one request about the Lease: three fit into its time.
const DEADLINE: Duration = Duration::from_secs(4);

/// The Lease as we saw it last.
#[derive(Debug)]
pub(super) struct LeaseFile {
    cluster: Cluster,
    settings: LeaseSettings,
    /// None where there is none, or it must be read.
    pub(super) known: Option<Value>,
    /// Its UID: another one has another table.
    uid: Option<String>,
}

impl LeaseFile {
    pub(super) fn new(cluster: Cluster, settings: LeaseSettings) -> Self {
        Self {
            cluster,
            settings,
            known: None,
            uid: None,
        }
    }

    /// Takes the Lease as it is; says whether it is another one than before.
    pub(super) fn take(&mut self, lease: Option<Value>) -> bool {
        let uid = lease.as_ref().and_then(uid_of);
        let is_other = uid != self.uid;
        self.uid = uid;
        self.known = lease;
        is_other
    }

    /// Says whether this is the one that we know.
    pub(super) fn is(&self, lease: Option<&Value>) -> bool {
        lease.and_then(uid_of) == self.uid
    }

    /// Reads it; None where there is none.
    pub(super) async fn read(&self) -> Result<Option<Value>, Error> {
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
    pub(super) async fn put(
        &self,
        table: &Table,
        holder: &str,
        wall: Timestamp,
    ) -> Result<Option<Value>, Error> {
        let body = self.body(table, holder, wall);
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
        let is_same = match self.known.as_ref().map(Table::read) {
            Some(Read::Table(before)) => before.members.keys().eq(table.members.keys()),
            Some(Read::Foreign) | None => false,
        };
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

/// Returns what one holder of the whole shows of itself.
pub(super) fn view(lease: &Value) -> LeaseView {
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

/// Tells every change of the Lease, until the future is dropped.
pub(super) async fn follow_lease(
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
