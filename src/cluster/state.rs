//! The stored sets and the heads of attempts, in Secrets of the controller's own namespace.
//!
//! Enters: heads and sets.
//! Leaves: claims; heads and sets as they were stored.
//! Never: a change of a stored part (they are immutable).

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Error, Keeper, Resource,
    classify::{self, Said},
    keeper::{WHO, decode},
    read,
    request::JSON,
    stored::{self, Packed},
};
use crate::{
    api::{LABEL_ATTEMPT, LABEL_PART, LABEL_UID, STATE_SECRET_TYPE},
    model::{Digest, Head, StoredSet},
};

/// Parts of one set that are read or deleted at once.
pub(super) const AT_ONCE: usize = 4;
/// Label of a part that is a head.
pub(super) const HEAD: &str = "head";
const CHUNK: &str = "chunk";
const HOLDER: &str = "holder";

/// Whose attempt it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours: the head was stored just now.
    Ours,
    /// Ours: an earlier answer was lost. The plan must be the one of this head.
    AlreadyOurs(Box<Head>),
    /// Another controller's.
    Other {
        /// Who holds it.
        holder: String,
    },
}

#[derive(Deserialize)]
struct StateSecret {
    metadata: StateMetadata,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct StateMetadata {
    #[serde(default)]
    uid: String,
}

fn head_name(uid: &str, attempt: u64) -> String {
    format!("{uid}-{attempt}")
}

fn chunk_name(uid: &str, attempt: u64, chunk: usize) -> String {
    format!("{uid}-{attempt}-{chunk}")
}

impl Keeper {
    /// Stores the head of an attempt before its first write or delete, and first the set that it brings.
    /// The POST of the head is the claim.
    ///
    /// # Guarantees
    /// Of two controllers that store a head for the same attempt only one gets `Ours`.
    ///
    /// # Errors
    /// The lease is not ours, the API server cannot be asked or refuses, the answer was lost, or the set is too large.
    pub async fn store_head(&self, head: &Head, set: Option<&StoredSet>) -> Result<Claim, Error> {
        let name = head_name(&head.application_uid, head.attempt);
        let act = format!(
            "store attempt {} of Application {}",
            head.attempt, head.application_uid
        );
        let Packed { head: data, chunks } = stored::pack(&act, head, set).await?;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let name = chunk_name(&head.application_uid, head.attempt, index);
            if let Some(holder) = self.store_chunk(&act, head, &name, chunk).await? {
                return Ok(Claim::Other { holder });
            }
        }
        let secret = self.secret(&name, head, HEAD, &data);
        if self.post(&act, &secret).await? {
            Ok(Claim::Ours)
        } else {
            self.claimed_by(&act, head).await
        }
    }

    fn secret(
        &self,
        name: &str,
        head: &Head,
        part: &str,
        data: &BTreeMap<&'static str, String>,
    ) -> Value {
        let mut labels = BTreeMap::new();
        labels.insert(LABEL_UID, head.application_uid.clone());
        labels.insert(LABEL_ATTEMPT, head.attempt.to_string());
        labels.insert(LABEL_PART, part.to_owned());
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": STATE_SECRET_TYPE,
            "immutable": true,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "data": data,
        })
    }

    /// Says whether it was created; false where one of that name is there.
    async fn post(&self, act: &str, secret: &Value) -> Result<bool, Error> {
        let secrets = Resource::secrets();
        let path = secrets.collection(Some(&self.namespace))?;
        let (call, reply) = self
            .write(act.to_owned(), Method::POST, path, JSON, secret)
            .await?;
        if reply.is_success() {
            return Ok(true);
        }
        if classify::said(&reply.status(), reply.code, None) == Said::Exists {
            return Ok(false);
        }
        Err(classify::failure(&call, Some((&secrets, "")), &reply))
    }

    /// Stores one chunk; returns the holder of another one that is in its place.
    async fn store_chunk(
        &self,
        act: &str,
        head: &Head,
        name: &str,
        chunk: String,
    ) -> Result<Option<String>, Error> {
        let data = BTreeMap::from([(CHUNK, chunk), (HOLDER, stored::pack_holder(&head.holder))]);
        let secret = self.secret(name, head, CHUNK, &data);
        if self.post(act, &secret).await? {
            return Ok(None);
        }
        let Some(found) = self.read_part(act, name).await? else {
            return self.post_again(act, &secret).await;
        };
        if found.data.get(CHUNK) == data.get(CHUNK) {
            return Ok(None);
        }
        // Another one's may be on its way to a head; what is left of a dead one goes at take-up.
        let holder = stored::unpack_holder(act, &found.data)?;
        if holder != head.holder {
            return Ok(Some(holder));
        }
        // Ours, of a try that stored no head: with a head, this attempt was begun with another set.
        if self
            .load_head(&head.application_uid, head.attempt)
            .await?
            .is_some()
        {
            return Ok(Some(holder));
        }
        self.delete_part(name, &found.metadata.uid).await?;
        self.post_again(act, &secret).await
    }

    async fn post_again(&self, act: &str, secret: &Value) -> Result<Option<String>, Error> {
        if self.post(act, secret).await? {
            return Ok(None);
        }
        Err(Error::Conflict {
            act: act.to_owned(),
        })
    }

    async fn claimed_by(&self, act: &str, head: &Head) -> Result<Claim, Error> {
        let found = self.load_head(&head.application_uid, head.attempt).await?;
        let Some(found) = found else {
            // Deleted between the two answers, or only a chunk is in the way: try again.
            return Err(Error::Conflict {
                act: act.to_owned(),
            });
        };
        Ok(
            if found.holder == head.holder && found.digest == head.digest {
                Claim::AlreadyOurs(Box::new(found))
            } else {
                Claim::Other {
                    holder: found.holder,
                }
            },
        )
    }

    async fn read_part(&self, act: &str, name: &str) -> Result<Option<StateSecret>, Error> {
        let secrets = Resource::secrets();
        let value = read::get(&self.cluster, &WHO, &secrets, &self.namespace, name).await?;
        let Some(value) = value else {
            return Ok(None);
        };
        let secret: StateSecret = decode(act, value)?;
        if secret.kind != STATE_SECRET_TYPE {
            return Err(Error::Damaged {
                act: act.to_owned(),
                what: "a Secret of this name is not ours",
            });
        }
        Ok(Some(secret))
    }

    /// Deletes these attempts of an Application, whose heads hold all of them: two requests each, where a list looks
    /// through the parts of every Application. Returns those that it left: they have chunks, or no head.
    ///
    /// # Errors
    /// The lease is not ours, or the API server cannot be asked or refuses.
    pub async fn sweep_heads(
        &self,
        uid: &str,
        attempts: BTreeSet<u64>,
    ) -> Result<BTreeSet<u64>, Error> {
        let mut left = BTreeSet::new();
        for attempt in attempts {
            let name = head_name(uid, attempt);
            let act = format!("read attempt {attempt} of Application {uid}");
            match self.read_part(&act, &name).await? {
                Some(head) if stored::is_whole(&act, &head.data) => {
                    self.delete_part(&name, &head.metadata.uid).await?;
                }
                Some(_) | None => {
                    left.insert(attempt);
                }
            }
        }
        Ok(left)
    }

    /// Reads the head of an attempt.
    ///
    /// # Errors
    /// The API server cannot be asked, or the head is damaged.
    pub async fn load_head(&self, uid: &str, attempt: u64) -> Result<Option<Head>, Error> {
        let act = format!("read attempt {attempt} of Application {uid}");
        match self.read_part(&act, &head_name(uid, attempt)).await? {
            Some(secret) => stored::unpack_head(&act, &secret.data).map(Some),
            None => Ok(None),
        }
    }

    /// Reads the set that an attempt stored, checked against the hash under which it was stored.
    /// Whether its objects have `digest` is for `render::restore` to check.
    ///
    /// # Errors
    /// The API server cannot be asked; the set is not there, is damaged, or is another one.
    pub async fn load_set(
        &self,
        uid: &str,
        attempt: u64,
        digest: &Digest,
    ) -> Result<StoredSet, Error> {
        let act = format!("read the set of attempt {attempt} of Application {uid}");
        let damaged = |what| Error::Damaged {
            act: act.clone(),
            what,
        };
        let Some(secret) = self.read_part(&act, &head_name(uid, attempt)).await? else {
            return Err(Error::NotFound { act });
        };
        let head = stored::unpack_head(&act, &secret.data)?;
        if head.digest != *digest || head.set_attempt != attempt {
            return Err(damaged("it is the set of another digest"));
        }
        let (layout, mut bytes) = stored::unpack_layout(&act, &secret.data)?;
        let parts: Vec<Vec<u8>> = futures::stream::iter(0..layout.chunks)
            .map(|chunk| {
                let act = &act;
                async move {
                    let name = chunk_name(uid, attempt, chunk);
                    match self.read_part(act, &name).await? {
                        Some(secret) => stored::unpack_chunk(act, &secret.data),
                        None => Err(Error::Damaged {
                            act: act.clone(),
                            what: "a chunk of it is missing",
                        }),
                    }
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        bytes.extend(parts.into_iter().flatten());
        stored::unpack_set(&act, &layout, &bytes, digest).await
    }

    pub(super) async fn delete_part(&self, name: &str, uid: &str) -> Result<(), Error> {
        let secrets = Resource::secrets();
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
        });
        let path = secrets.object(&self.namespace, name)?;
        let act = format!("delete the stored part {name}");
        let (call, reply) = self
            .write(act, Method::DELETE, path, JSON, &options)
            .await?;
        let own = Some((&secrets, name));
        if reply.is_success() || classify::said(&reply.status(), reply.code, own) == Said::Absent {
            return Ok(());
        }
        Err(classify::failure(&call, own, &reply))
    }
}
