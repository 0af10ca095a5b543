//! Writing for one Application, as its account, while the lease is ours.
//!
//! Enters: marked objects of a plan, and what the plan dooms.
//! Leaves: `Answer`s, `Deletion`s.
//! Never: a write without a fence; a delete without a UID; force that the caller did not ask for.

use http::Method;
use serde_json::{Value, json};

use super::{
    Answer, Cluster, Error, Fence, Identity, Written,
    classify::{self, Said},
    read::{self, Put},
    request::{Call, JSON, JSON_PATCH},
};
use crate::{
    api::FIELD_MANAGER,
    model::{AccountName, Doomed, Object, Refusal, Takeover},
};

/// What became of a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Deleted.
    Deleted,
    /// Accepted; the object goes when its finalizers or its grace period are done.
    Deleting {
        /// The finalizers it waits for.
        finalizers: Vec<String>,
    },
    /// It was not there any more.
    Gone,
    /// Another object of the same name is there; it was not touched.
    Replaced {
        /// The UID of that object.
        uid: String,
    },
    /// Not taken.
    Refused(Refusal),
}

/// Writes the objects of one Application, as its account. Every write checks the lease and ends before it does.
#[derive(Clone, Debug)]
pub struct Writer {
    cluster: Cluster,
    who: Identity,
    fence: Fence,
}

impl Writer {
    pub(super) fn new(cluster: Cluster, account: AccountName, fence: Fence) -> Self {
        Self {
            cluster,
            who: Identity::Account(account),
            fence,
        }
    }

    /// Applies an object server-side. It carries its marks and its namespace.
    ///
    /// # Errors
    /// The lease is not ours, the API server cannot be asked, its answer is none about the object, or it was lost:
    /// then the write may have happened and the object is read again before anything else.
    pub async fn apply(&self, object: &Object, force: bool) -> Result<Answer<Written>, Error> {
        let query = [
            ("fieldManager", FIELD_MANAGER),
            ("fieldValidation", "Strict"),
            ("force", if force { "true" } else { "false" }),
        ];
        self.put(object, "apply", Method::PATCH, &query).await
    }

    /// Creates an object by POST, and takes over nothing: one that exists is `Error::Conflict`.
    ///
    /// # Caveats
    /// The API server books the fields under the operation `Update`: a later apply does not remove what it leaves out.
    ///
    /// # Errors
    /// As for `apply`, and that the object exists.
    pub async fn create(&self, object: &Object) -> Result<Answer<Written>, Error> {
        let query = [
            ("fieldManager", FIELD_MANAGER),
            ("fieldValidation", "Strict"),
        ];
        self.put(object, "create", Method::POST, &query).await
    }

    async fn put(
        &self,
        object: &Object,
        verb: &str,
        method: Method,
        query: &[(&str, &str)],
    ) -> Result<Answer<Written>, Error> {
        let put = Put {
            act: format!("{verb} {} as {}", object.id(), self.who),
            method,
            query,
            who: &self.who,
            fence: Some(&self.fence),
        };
        read::put(&self.cluster, object, put).await
    }

    /// Writes who owns which field, over the version that it was worked out from; the object itself stays as it is.
    ///
    /// # Errors
    /// As for `apply`; where the object was changed meanwhile it is a conflict, and everything is read anew.
    pub async fn take_over(
        &self,
        object: &Object,
        takeover: &Takeover,
    ) -> Result<Answer<()>, Error> {
        let id = object.id();
        let resource = self
            .cluster
            .discovery()
            .reach(object.api_version(), &id.group_kind())
            .await?;
        let body = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": takeover.managed_fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": takeover.resource_version},
        ]);
        let call = Call::with_body(
            format!("take over the fields of {id} as {}", self.who),
            Method::PATCH,
            format!(
                "{}?fieldManager={FIELD_MANAGER}",
                resource.object(&id.namespace, &id.name)?
            ),
            &self.who,
            JSON_PATCH,
            body.to_string().into_bytes(),
        )
        .fenced(&self.fence);
        let reply = self.cluster.send(&call).await?;
        if reply.is_success() {
            return Ok(Answer::Accepted(()));
        }
        let own = Some((&resource, id.name.as_str()));
        let status = reply.status();
        let said = classify::said(&status, reply.code, own);
        match said {
            Said::Refused(reason) => Ok(Answer::Refused(Refusal {
                id: id.clone(),
                reason,
                message: classify::message(&status, reply.code, resource.is_secret(), &said),
            })),
            Said::Absent
            | Said::Changed
            | Said::Missing(_)
            | Said::Conflicts(_)
            | Said::Exists
            | Said::Expired
            | Said::NotImpersonated
            | Said::Unauthorized
            | Said::Failed => Err(classify::failure(&call, own, &reply)),
        }
    }

    /// Deletes the object of this UID and no other, its dependants in the background.
    ///
    /// # Errors
    /// As for `apply`.
    pub async fn delete(&self, doomed: &Doomed) -> Result<Deletion, Error> {
        let id = &doomed.id;
        let resource = self
            .cluster
            .discovery()
            .reach(&doomed.api_version, &id.group_kind())
            .await?;
        let act = format!("delete {id} as {}", self.who);
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": doomed.uid},
        });
        let path = resource.object(&id.namespace, &id.name)?;
        let body = options.to_string().into_bytes();
        let call =
            Call::with_body(act, Method::DELETE, path, &self.who, JSON, body).fenced(&self.fence);
        let reply = self.cluster.send(&call).await?;
        if reply.is_success() {
            return Ok(deletion(
                &reply.read(&call.act).map_err(|error| call.lost(error))?,
            ));
        }
        let own = Some((&resource, id.name.as_str()));
        let status = reply.status();
        let said = classify::said(&status, reply.code, own);
        match said {
            Said::Absent => Ok(Deletion::Gone),
            Said::Changed => self.replaced(doomed, &call).await,
            Said::Refused(reason) => Ok(Deletion::Refused(Refusal {
                id: id.clone(),
                reason,
                message: classify::message(&status, reply.code, resource.is_secret(), &said),
            })),
            Said::Missing(_)
            | Said::Conflicts(_)
            | Said::Exists
            | Said::Expired
            | Said::NotImpersonated
            | Said::Unauthorized
            | Said::Failed => Err(classify::failure(&call, own, &reply)),
        }
    }

    /// Looks at what stands where the UID was not the one that was given.
    async fn replaced(&self, doomed: &Doomed, call: &Call) -> Result<Deletion, Error> {
        let reader = self.cluster.reader(self.who.clone());
        let Some(live) = reader.get(&doomed.api_version, &doomed.id).await? else {
            return Ok(Deletion::Gone);
        };
        match live.pointer("/metadata/uid").and_then(Value::as_str) {
            Some(uid) if uid != doomed.uid => Ok(Deletion::Replaced {
                uid: uid.to_owned(),
            }),
            Some(_) | None => Err(Error::Conflict {
                act: call.act.clone(),
            }),
        }
    }
}

/// Reads the answer to a delete: a Status where the object is gone, the object itself where it stays for a while.
fn deletion(answer: &Value) -> Deletion {
    let metadata = answer.get("metadata");
    let stays = metadata
        .and_then(|metadata| metadata.get("deletionTimestamp"))
        .is_some();
    if !stays {
        return Deletion::Deleted;
    }
    let finalizers = metadata
        .and_then(|metadata| metadata.get("finalizers"))
        .and_then(Value::as_array)
        .map(|names| {
            names
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    Deletion::Deleting { finalizers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_stays_for_a_while_is_not_deleted() {
        assert_eq!(
            deletion(&json!({"kind": "Status", "status": "Success", "metadata": {}})),
            Deletion::Deleted
        );
        let finalized = json!({"kind": "ConfigMap", "metadata": {"deletionTimestamp": "2026-11-21T08:24:08Z", "finalizers": ["x.io/f"]}});
        assert_eq!(
            deletion(&finalized),
            Deletion::Deleting {
                finalizers: vec!["x.io/f".to_owned()]
            }
        );
        let pod = json!({"kind": "Pod", "metadata": {"deletionTimestamp": "2026-11-21T08:24:08Z"}});
        assert_eq!(
            deletion(&pod),
            Deletion::Deleting {
                finalizers: Vec::new()
            }
        );
        // The last answer about an object without finalizers shows it as it was.
        assert_eq!(
            deletion(&json!({"kind": "ConfigMap", "metadata": {"name": "a"}})),
            Deletion::Deleted
        );
    }
}
