//! Lists that the preflight reads beside a set, shared by the Applications of one account and namespace.
//!
//! Enters: who reads, the kind, the namespace.
//! Leaves: the list, read at most once a minute; or why it may not be read.
//! Never: what one account read shown to another; an old list where a rule refuses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::cluster::{self, ListQuery, Reader};

/// How long a list counts: what is told of it is a warning, and a fleet that is rolled out together asks once.
const SHARED: Duration = Duration::from_secs(60);
/// Objects of a list that is kept; one that is longer is read each time.
const MOST: usize = 200;

/// A list, or why the account may not read it.
pub(super) type List = Result<Arc<Vec<Value>>, String>;

/// What one reader last read of one kind in one namespace.
type Shelf = Arc<tokio::sync::Mutex<Option<(Duration, List)>>>;

/// Lists by reader, kind and namespace.
#[derive(Default)]
pub struct Lists {
    shelves: Mutex<BTreeMap<(String, &'static str, String), Shelf>>,
}

impl Lists {
    /// Returns a list that is at most a minute old. Who comes while it is read waits for the answer.
    ///
    /// # Errors
    /// The API server cannot be asked. That the account may not read it is an answer.
    pub(super) async fn get(
        &self,
        reader: &Reader,
        (api_version, kind): (&str, &'static str),
        namespace: &str,
        now: Duration,
    ) -> Result<List, cluster::Error> {
        let shelf = self.shelf(
            (reader.identity().to_string(), kind, namespace.to_owned()),
            now,
        );
        let mut known = shelf.lock().await;
        if let Some((at, list)) = known.as_ref()
            && now.saturating_sub(*at) < SHARED
        {
            return Ok(list.clone());
        }
        let list = read(reader, (api_version, kind), namespace).await?;
        let is_long = list.as_ref().is_ok_and(|all| all.len() > MOST);
        *known = (!is_long).then(|| (now, list.clone()));
        Ok(list)
    }

    /// Returns the shelf of a list. Those that nobody reads and that are old go.
    fn shelf(&self, key: (String, &'static str, String), now: Duration) -> Shelf {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.retain(|known, shelf| {
            let is_old = shelf.try_lock().is_ok_and(|kept| {
                kept.as_ref()
                    .is_none_or(|(at, _)| now.saturating_sub(*at) >= SHARED)
            });
            *known == key || Arc::strong_count(shelf) > 1 || !is_old
        });
        Arc::clone(shelves.entry(key).or_default())
    }
}

/// Reads a list as it is now.
///
/// # Errors
/// As for [`Lists::get`].
pub(super) async fn read(
    reader: &Reader,
    (api_version, kind): (&str, &'static str),
    namespace: &str,
) -> Result<List, cluster::Error> {
    let query = ListQuery {
        namespace: Some(namespace.to_owned()),
        ..ListQuery::default()
    };
    match reader.list(api_version, kind, &query).await {
        Ok(all) => Ok(Ok(Arc::new(all))),
        Err(error @ (cluster::Error::Forbidden { .. } | cluster::Error::KindUnknown { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}
