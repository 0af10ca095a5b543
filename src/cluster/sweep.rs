//! What is stored, and what of it goes.
//!
//! Enters: UIDs of Applications, the attempts to keep.
//! Leaves: numbers of attempts; deleted parts.
//! Never: a sweep above what the caller's status knows; a delete without a UID.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use serde_json::Value;

use super::{
    Error, Keeper, ListQuery, Resource,
    keeper::WHO,
    read,
    state::{AT_ONCE, HEAD},
};
use crate::api::{LABEL_ATTEMPT, LABEL_PART, LABEL_UID, STATE_SECRET_TYPE};

/// Attempts that have parts stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Attempts with a head.
    pub heads: BTreeSet<u64>,
    /// Attempts with chunks.
    pub chunks: BTreeSet<u64>,
}

impl Kept {
    /// Returns the attempts above `above`: at take-up, those that were interrupted.
    pub fn above(&self, above: u64) -> Newer {
        let newer = |attempts: &BTreeSet<u64>| -> BTreeSet<u64> {
            attempts.iter().copied().filter(|at| *at > above).collect()
        };
        Newer {
            unbegun: newer(&(&self.chunks - &self.heads)),
            heads: newer(&self.heads),
        }
    }
}

/// Attempts above those that a status knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newer {
    /// Begun and interrupted.
    pub heads: BTreeSet<u64>,
    /// Chunks without a head: never begun.
    pub unbegun: BTreeSet<u64>,
}

/// One stored part, by its metadata.
struct Part {
    name: String,
    uid: String,
    application: String,
    attempt: u64,
    is_head: bool,
}

impl Keeper {
    /// Returns what is stored, by UID of the Application, with one metadata-only LIST; of one Application or of all.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn kept(&self, uid: Option<&str>) -> Result<BTreeMap<String, Kept>, Error> {
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        for part in self.parts(uid).await? {
            let of = kept.entry(part.application).or_default();
            if part.is_head {
                of.heads.insert(part.attempt);
            } else {
                of.chunks.insert(part.attempt);
            }
        }
        Ok(kept)
    }

    /// Returns what is stored of one Application.
    ///
    /// # Errors
    /// As for `kept`.
    pub async fn kept_of(&self, uid: &str) -> Result<Kept, Error> {
        let mut kept = self.kept(Some(uid)).await?;
        Ok(kept.remove(uid).unwrap_or_default())
    }

    /// Returns the attempts above `above` that have parts stored: at take-up, those that were interrupted.
    ///
    /// # Errors
    /// As for `kept`.
    pub async fn newer_heads(&self, uid: &str, above: u64) -> Result<Newer, Error> {
        Ok(self.kept_of(uid).await?.above(above))
    }

    /// Deletes chunks of attempts that were never begun; those that have a head by now stay.
    ///
    /// # Errors
    /// As for `sweep`.
    pub async fn discard_unbegun(
        &self,
        uid: &str,
        attempts: &BTreeSet<u64>,
    ) -> Result<usize, Error> {
        let parts = self.parts(Some(uid)).await?;
        let begun: BTreeSet<u64> = parts
            .iter()
            .filter(|part| part.is_head)
            .map(|part| part.attempt)
            .collect();
        self.delete_parts(parts, |part| {
            attempts.contains(&part.attempt) && !begun.contains(&part.attempt)
        })
        .await
    }

    /// Deletes the parts of one Application's attempts but those in `keep` and those above `not_above`.
    /// Returns how many. `keep` names the attempts that stored a set, not only those that used it.
    ///
    /// # Errors
    /// The lease is not ours, or the API server cannot be asked or refuses.
    pub async fn sweep(
        &self,
        uid: &str,
        keep: &BTreeSet<u64>,
        not_above: u64,
    ) -> Result<usize, Error> {
        let parts = self.parts(Some(uid)).await?;
        self.delete_parts(parts, |part| {
            part.attempt <= not_above && !keep.contains(&part.attempt)
        })
        .await
    }

    /// Deletes all parts of an Application that is gone: since an hour, by a quorum read; the caller knows both.
    ///
    /// # Errors
    /// As for `sweep`.
    pub async fn sweep_orphan(&self, uid: &str) -> Result<usize, Error> {
        self.sweep(uid, &BTreeSet::new(), u64::MAX).await
    }

    async fn parts(&self, uid: Option<&str>) -> Result<Vec<Part>, Error> {
        let query = ListQuery {
            namespace: Some(self.namespace.clone()),
            labels: uid.map_or_else(
                || format!("{LABEL_UID},{LABEL_ATTEMPT}"),
                |uid| format!("{LABEL_UID}={uid},{LABEL_ATTEMPT}"),
            ),
            fields: format!("type={STATE_SECRET_TYPE}"),
            metadata_only: true,
        };
        let secrets = Resource::secrets();
        let (parts, _) =
            read::list(&self.cluster, &WHO, &secrets, &query, |item| part(&item)).await?;
        // What has no number is not ours: nobody wrote it here but a person.
        Ok(parts.into_iter().flatten().collect())
    }

    async fn delete_parts(
        &self,
        parts: Vec<Part>,
        doomed: impl Fn(&Part) -> bool,
    ) -> Result<usize, Error> {
        let (heads, chunks): (Vec<Part>, Vec<Part>) = parts
            .into_iter()
            .filter(|part| doomed(part))
            .partition(|part| part.is_head);
        let count = heads.len() + chunks.len();
        // Heads first: a chunk without a head was never begun, a head without its chunks is damaged.
        for parts in [heads, chunks] {
            futures::stream::iter(parts.into_iter().map(Ok))
                .try_for_each_concurrent(AT_ONCE, |part| async move {
                    self.delete_part(&part.name, &part.uid).await
                })
                .await?;
        }
        Ok(count)
    }
}

fn part(item: &Value) -> Option<Part> {
    let metadata = item.get("metadata")?;
    let text = |field: &str| metadata.get(field)?.as_str().map(str::to_owned);
    let label = |name: &str| metadata.get("labels")?.get(name)?.as_str();
    Some(Part {
        name: text("name")?,
        uid: text("uid")?,
        application: label(LABEL_UID)?.to_owned(),
        attempt: label(LABEL_ATTEMPT)?.parse().ok()?,
        is_head: label(LABEL_PART)? == HEAD,
    })
}
