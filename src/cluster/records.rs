//! Records in the cluster, as the controller itself.
//!
//! Enters: SyncRecords, names of them.
//! Leaves: whether each was created or was there already; what is there, by name.
//! Never: a change of a record; a delete that was not told the UID.

use http::Method;
use serde_json::{Value, json};

use super::{
    Error, ListQuery, Resource,
    classify::{self, Said},
    keeper::{Keeper, WHO, decode, encode},
    read,
    request::JSON,
};
use crate::{
    api::{Predecessor, RecordHead, SyncRecord},
    model::{ApplicationKey, Digest},
};

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordWrite {
    /// Created.
    Created,
    /// A record of this name is there; whether it is ours is for the caller to see.
    Exists(Box<SyncRecord>),
}

/// A record as a listing of metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordName {
    /// Namespace.
    pub namespace: String,
    /// Name of the Application.
    pub application: String,
    /// First eight characters of the Application's UID.
    pub uid: String,
    /// Number in order of writing.
    pub sequence: u64,
    /// When the API server took it, in RFC 3339.
    pub created: String,
    /// UID of the record itself, which a delete insists on.
    pub record_uid: String,
}

impl RecordName {
    fn of(value: &Value) -> Option<Self> {
        let text = |key: &str| value.pointer(&format!("/metadata/{key}"))?.as_str();
        let (chain, sequence) = text("name")?.rsplit_once('-')?;
        let (application, uid) = chain.rsplit_once('-')?;
        Some(Self {
            namespace: text("namespace")?.to_owned(),
            application: application.to_owned(),
            uid: uid.to_owned(),
            sequence: sequence.parse().ok()?,
            created: text("creationTimestamp").unwrap_or_default().to_owned(),
            record_uid: text("uid").unwrap_or_default().to_owned(),
        })
    }

    /// Returns the name of the object.
    pub fn name(&self) -> String {
        format!("{}-{}-{:010}", self.application, self.uid, self.sequence)
    }
}

impl Keeper {
    /// Creates a record under the name that it carries.
    ///
    /// # Errors
    /// As for `put_status`; in a namespace that is being deleted nothing can be created.
    pub async fn create_record(&self, record: &SyncRecord) -> Result<RecordWrite, Error> {
        let resource = Resource::sync_records();
        let namespace = record.metadata.namespace.as_deref().unwrap_or_default();
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let act = format!("create SyncRecord {namespace}/{name}");
        let path = resource.collection(Some(namespace))?;
        let body = encode(&act, record)?;
        let (call, reply) = self.write(act, Method::POST, path, JSON, &body).await?;
        if reply.is_success() {
            return Ok(RecordWrite::Created);
        }
        if classify::said(&reply.status(), reply.code, None) == Said::Exists
            && let Some(existing) = self.get_record(namespace, name).await?
        {
            return Ok(RecordWrite::Exists(Box::new(existing)));
        }
        Err(classify::failure(&call, None, &reply))
    }

    /// Reads a record, from a quorum.
    ///
    /// # Errors
    /// The API server cannot be asked, or the record cannot be decoded.
    pub async fn get_record(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<SyncRecord>, Error> {
        let resource = Resource::sync_records();
        read::get(&self.cluster, &WHO, &resource, namespace, name)
            .await?
            .map(|value| decode(&format!("read SyncRecord {namespace}/{name}"), value))
            .transpose()
    }

    /// Reads all records of an Application, in order of their sequence. Those of an earlier Application of the
    /// same name are among them.
    ///
    /// # Errors
    /// As for `get_record`.
    pub async fn list_records(&self, key: &ApplicationKey) -> Result<Vec<SyncRecord>, Error> {
        let resource = Resource::sync_records();
        let query = ListQuery {
            namespace: Some(key.namespace.clone()),
            fields: format!("spec.application={}", key.name),
            ..ListQuery::default()
        };
        let act = format!("list the SyncRecords of {key}");
        let (values, _) = read::list(&self.cluster, &WHO, &resource, &query, |value| value).await?;
        let mut records = values
            .into_iter()
            .map(|value| decode(&act, value))
            .collect::<Result<Vec<SyncRecord>, Error>>()?;
        records.sort_by(|a, b| {
            (a.spec.sequence, &a.metadata.name).cmp(&(b.spec.sequence, &b.metadata.name))
        });
        Ok(records)
    }

    /// Lists the names of records, of one Application's name or of all.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses.
    pub async fn record_names(
        &self,
        key: Option<&ApplicationKey>,
    ) -> Result<Vec<RecordName>, Error> {
        let resource = Resource::sync_records();
        let query = ListQuery {
            namespace: key.map(|key| key.namespace.clone()),
            fields: key.map_or_else(String::new, |key| format!("spec.application={}", key.name)),
            metadata_only: true,
            ..ListQuery::default()
        };
        let keep = |value: Value| RecordName::of(&value);
        let (names, _) = read::list(&self.cluster, &WHO, &resource, &query, keep).await?;
        Ok(names.into_iter().flatten().collect())
    }

    /// Returns the newest record that an earlier Application of this name left.
    ///
    /// # Errors
    /// As for `record_names`.
    pub async fn predecessor(
        &self,
        key: &ApplicationKey,
        uid: &str,
    ) -> Result<Option<Predecessor>, Error> {
        let ours: String = uid.chars().take(8).collect();
        let mut names = self.record_names(Some(key)).await?;
        names.retain(|name| name.uid != ours);
        // Of several earlier ones the last is meant; each names the one before it.
        names.sort_by(|a, b| (&a.created, a.sequence).cmp(&(&b.created, b.sequence)));
        let Some(newest) = names.pop() else {
            return Ok(None);
        };
        let Some(found) = self.get_record(&key.namespace, &newest.name()).await? else {
            return Ok(None);
        };
        let text = &found.spec.record;
        let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let uid = value.pointer("/application/uid").and_then(Value::as_str);
        Ok(Some(Predecessor {
            uid: uid.unwrap_or(&newest.uid).to_owned(),
            head: RecordHead {
                sequence: newest.sequence,
                hash: Digest::of(text.as_bytes()),
            },
        }))
    }

    /// Deletes a record from the cluster. One that is gone already is no error.
    ///
    /// # Errors
    /// As for `put_status`.
    pub async fn delete_record(&self, name: &RecordName) -> Result<(), Error> {
        let resource = Resource::sync_records();
        let act = format!("delete SyncRecord {}/{}", name.namespace, name.name());
        let path = resource.object(&name.namespace, &name.name())?;
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": name.record_uid}
        });
        let (call, reply) = self.write(act, Method::DELETE, path, JSON, &body).await?;
        let own = Some((&resource, name.name()));
        let own = own
            .as_ref()
            .map(|(resource, name)| (*resource, name.as_str()));
        if reply.is_success() || classify::said(&reply.status(), reply.code, own) == Said::Absent {
            return Ok(());
        }
        Err(classify::failure(&call, own, &reply))
    }

    /// Says whether the shipped policy that compares the name in a command with who writes it is in force.
    /// Where it cannot be read it is not.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn commands_are_guarded(&self) -> Result<bool, Error> {
        let kinds = [
            (
                Resource::admission_policies(),
                "/spec/failurePolicy",
                json!("Fail"),
            ),
            (
                Resource::admission_policy_bindings(),
                "/spec/validationActions",
                json!(["Deny"]),
            ),
        ];
        for (resource, pointer, wanted) in kinds {
            let found = read::get(&self.cluster, &WHO, &resource, "", POLICY).await;
            let value = match found {
                Ok(Some(value)) => value,
                Ok(None) | Err(Error::Forbidden { .. }) => return Ok(false),
                Err(error) => return Err(error),
            };
            if value.pointer(pointer) != Some(&wanted) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the UID by which the cluster is known: that of its namespace `kube-system`.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses.
    pub async fn cluster_uid(&self) -> Result<String, Error> {
        let resource = Resource::namespaces();
        let found = read::get(&self.cluster, &WHO, &resource, "", "kube-system").await?;
        let uid = found
            .as_ref()
            .and_then(|found| found.pointer("/metadata/uid")?.as_str());
        Ok(uid.unwrap_or_default().to_owned())
    }
}

/// Name of the shipped policy of commands, and of its binding.
const POLICY: &str = "plimsoll-commands";
