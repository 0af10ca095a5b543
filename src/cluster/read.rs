//! Reading as somebody: one object, all objects of a kind, and what a write would do.
//!
//! Enters: ids, kinds, marked objects.
//! Leaves: live objects, whole lists, `Answer`s to dry-runs.
//! Never: a part of a list; an absence that the API server did not state about that very object.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Answer, Cluster, Error, Identity, MissingObject, Resource,
    answer::{self},
    classify::{self, Said},
    request::{APPLY, Call, JSON},
    resource::with_query,
};
use crate::{
    api::FIELD_MANAGER,
    model::{DryRun, Object, ObjectId, Refusal, RefusalReason},
};

/// Objects on one page of a list.
const PAGE: usize = 500;
/// Objects on one page where full pages are too large.
const SMALL_PAGE: usize = 20;
/// Largest page: 20 objects of the largest size fit.
const PAGE_BYTES: usize = 64 << 20;
/// Most objects of one list.
const MOST_OBJECTS: usize = 250_000;
/// How often a list starts again because the API server forgot the state that it began with.
const RESTARTS: u32 = 3;
/// Asks for metadata only.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Which objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Namespace; None for all.
    pub namespace: Option<String>,
    /// Label selector; empty for none.
    pub labels: String,
    /// Field selector; empty for none.
    pub fields: String,
    /// Whether metadata is enough, which costs the API server a third.
    pub metadata_only: bool,
}

/// Reads as one identity. It cannot write.
#[derive(Clone, Debug)]
pub struct Reader {
    cluster: Cluster,
    who: Identity,
}

impl Reader {
    pub(super) fn new(cluster: Cluster, who: Identity) -> Self {
        Self { cluster, who }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns as whom it reads.
    pub fn identity(&self) -> &Identity {
        &self.who
    }

    /// Reads one object, from a quorum. None only where the API server says that this object does not exist.
    /// Where `api_version` is not served, it is read in the best version of its kind.
    ///
    /// # Errors
    /// The API server cannot be asked, does not serve the kind, or refuses.
    pub async fn get(&self, api_version: &str, id: &ObjectId) -> Result<Option<Value>, Error> {
        let kind = id.group_kind();
        let resource = self.cluster.discovery().reach(api_version, &kind).await?;
        get(&self.cluster, &self.who, &resource, &id.namespace, &id.name).await
    }

    /// Reads all objects of a kind, or fails: a part is never returned.
    ///
    /// # Errors
    /// The API server cannot be asked, does not serve the kind, refuses, or has more objects than we take.
    pub async fn list(
        &self,
        api_version: &str,
        kind: &str,
        query: &ListQuery,
    ) -> Result<Vec<Value>, Error> {
        let resource = self.cluster.discovery().resolve(api_version, kind).await?;
        let (all, _) = list(&self.cluster, &self.who, &resource, query, |object| object).await?;
        Ok(all)
    }

    /// Reads one page of the objects of a kind and where the next begins: empty after the last. None where the API
    /// server forgot the state that the list began with: then what was read is of no whole, and it begins again.
    ///
    /// # Errors
    /// As for `list`.
    pub async fn page(
        &self,
        api_version: &str,
        kind: &str,
        query: &ListQuery,
        next: &str,
    ) -> Result<Option<(Vec<Value>, String)>, Error> {
        let resource = self.cluster.discovery().resolve(api_version, kind).await?;
        let act = format!(
            "list {} as {}",
            resource.describe(query.namespace.as_deref()),
            self.who
        );
        let path = resource.collection(query.namespace.as_deref())?;
        let limit = PAGE.to_string();
        let all = [
            ("limit", limit.as_str()),
            ("labelSelector", &query.labels),
            ("fieldSelector", &query.fields),
            ("continue", next),
        ];
        let mut call = Call::get(act, with_query(&path, &all), &self.who);
        call.limit = PAGE_BYTES;
        let page = page(&self.cluster, &call).await?;
        Ok(page.map(|page| (page.items.unwrap_or_default(), page.metadata.next)))
    }

    /// Asks what a server-side apply of `object` would do. The object carries its marks and its namespace.
    ///
    /// # Errors
    /// The API server cannot be asked, or its answer is none about the object.
    pub async fn dry_run(&self, object: &Object, force: bool) -> Result<Answer<DryRun>, Error> {
        let query = [
            ("dryRun", "All"),
            ("fieldManager", FIELD_MANAGER),
            ("fieldValidation", "Strict"),
            ("force", if force { "true" } else { "false" }),
        ];
        let act = format!("dry-run {} as {}", object.id(), self.who);
        let answer = put(
            &self.cluster,
            object,
            Put {
                act,
                method: Method::PATCH,
                query: &query,
                who: &self.who,
                fence: None,
            },
        )
        .await?;
        Ok(match answer {
            Answer::Accepted(written) => Answer::Accepted(written.into()),
            Answer::Conflict(conflicts) => Answer::Conflict(conflicts),
            Answer::Refused(refusal) => Answer::Refused(refusal),
            Answer::Missing(missing) => Answer::Missing(missing),
        })
    }
}

/// How an object is put.
pub(super) struct Put<'a> {
    pub(super) act: String,
    /// PATCH applies, POST creates.
    pub(super) method: Method,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) who: &'a Identity,
    pub(super) fence: Option<&'a super::Fence>,
}

/// Puts an object, or asks what would happen; the same for dry-run and write, so that they cannot differ.
pub(super) async fn put(
    cluster: &Cluster,
    object: &Object,
    put: Put<'_>,
) -> Result<Answer<super::Written>, Error> {
    let discovery = cluster.discovery();
    let id = object.id();
    let resource = match discovery.resolve(object.api_version(), &id.kind).await {
        Ok(resource) => resource,
        Err(Error::KindUnknown { .. }) => {
            return Ok(Answer::Missing(answer::kind_unknown(object)));
        }
        Err(error) => return Err(error),
    };
    if resource.namespaced && id.namespace.is_empty() {
        return Ok(Answer::Refused(unusable(
            object,
            format!("{} lives in a namespace and names none", id.kind),
        )));
    }
    let (path, content_type) = if put.method == Method::POST {
        (resource.collection(Some(&id.namespace)), JSON)
    } else {
        (resource.object(&id.namespace, &id.name), APPLY)
    };
    let path = match path {
        Ok(path) => path,
        // A name that is no name is the object's own fault.
        Err(error @ Error::Name { .. }) => {
            return Ok(Answer::Refused(unusable(object, error.to_string())));
        }
        Err(error) => return Err(error),
    };
    // Before the write: its answer must not be lost to a question about something else.
    let catalogue = discovery.catalogue().await?;
    let body = serde_json::to_vec(object.value()).map_err(|source| Error::Decode {
        act: put.act.clone(),
        source,
    })?;
    let mut call = Call::with_body(
        put.act,
        put.method,
        with_query(&path, put.query),
        put.who,
        content_type,
        body,
    );
    call.fence = put.fence.cloned();
    let reply = cluster.send(&call).await?;
    let answer = answer::read(&call, &reply, object, &resource, &catalogue)?;
    if let Answer::Missing(missing) = &answer
        && matches!(missing.object, MissingObject::Kind(_))
    {
        return match discovery.judge(&call, &resource).await {
            Error::KindUnknown { .. } => Ok(answer),
            error => Err(error),
        };
    }
    Ok(answer)
}

/// Refuses an object that cannot even be sent.
fn unusable(object: &Object, message: String) -> Refusal {
    Refusal {
        id: object.id().clone(),
        reason: RefusalReason::Invalid,
        message,
    }
}

/// Reads one object of a known kind.
pub(super) async fn get(
    cluster: &Cluster,
    who: &Identity,
    resource: &Resource,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, Error> {
    let act = format!(
        "read {}/{name} of {} as {who}",
        resource.kind,
        place(namespace)
    );
    let call = Call::get(act, resource.object(namespace, name)?, who);
    let reply = cluster.send(&call).await?;
    if reply.is_success() {
        return reply.read(&call.act).map(Some);
    }
    let own = Some((resource, name));
    match classify::said(&reply.status(), reply.code, own) {
        Said::Absent => Ok(None),
        Said::Missing(_) => Err(cluster.discovery().judge(&call, resource).await),
        Said::Conflicts(_)
        | Said::Changed
        | Said::Exists
        | Said::Expired
        | Said::NotImpersonated
        | Said::Unauthorized
        | Said::Refused(_)
        | Said::Failed => Err(classify::failure(&call, own, &reply)),
    }
}

fn place(namespace: &str) -> String {
    if namespace.is_empty() {
        "the cluster".to_owned()
    } else {
        format!("namespace {namespace}")
    }
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
    #[serde(default)]
    resource_version: String,
}

/// Reads all objects of a known kind, each cut by `keep` as it comes, and the resource version of the whole.
///
/// Every page is of the same resource version, or the list starts again.
pub(super) async fn list<T>(
    cluster: &Cluster,
    who: &Identity,
    resource: &Resource,
    query: &ListQuery,
    keep: impl Fn(Value) -> T,
) -> Result<(Vec<T>, String), Error> {
    let act = format!(
        "list {} as {who}",
        resource.describe(query.namespace.as_deref())
    );
    let path = resource.collection(query.namespace.as_deref())?;
    let mut page_size = PAGE;
    let mut restarts = 0;
    let mut all = Vec::new();
    let mut version = String::new();
    let mut next = String::new();
    loop {
        let limit = page_size.to_string();
        let mut call = Call::get(
            act.clone(),
            with_query(
                &path,
                &[
                    ("limit", &limit),
                    ("labelSelector", &query.labels),
                    ("fieldSelector", &query.fields),
                    ("continue", &next),
                ],
            ),
            who,
        );
        call.limit = PAGE_BYTES;
        if query.metadata_only {
            call.accept = METADATA;
        }
        let again = match page(cluster, &call).await {
            Ok(Some(page)) if version.is_empty() || page.metadata.resource_version == version => {
                let items = page.items.unwrap_or_default();
                if all.len() + items.len() > MOST_OBJECTS {
                    return Err(Error::TooLarge {
                        act,
                        limit: MOST_OBJECTS,
                        unit: "objects",
                    });
                }
                let kinded = items.into_iter().map(|item| with_kind(item, resource));
                all.extend(kinded.map(&keep));
                version = page.metadata.resource_version;
                next = page.metadata.next;
                if next.is_empty() {
                    return Ok((all, version));
                }
                continue;
            }
            // The state that the list began with is forgotten, or this page shows another one.
            Ok(_) => Error::Conflict { act: act.clone() },
            Err(error @ Error::TooLarge { .. }) if page_size > SMALL_PAGE => {
                page_size = SMALL_PAGE;
                error
            }
            // A list has no name that could be missing: it is the path that is not served.
            Err(Error::NotFound { .. }) => {
                return Err(cluster.discovery().judge(&call, resource).await);
            }
            Err(error) => return Err(error),
        };
        restarts += 1;
        if restarts > RESTARTS {
            return Err(again);
        }
        all.clear();
        version.clear();
        next.clear();
    }
}

/// Reads one page; None where the API server forgot the state that the list began with.
async fn page(cluster: &Cluster, call: &Call) -> Result<Option<Page>, Error> {
    let reply = cluster.send(call).await?;
    if reply.is_success() {
        return reply.read(&call.act).map(Some);
    }
    match classify::said(&reply.status(), reply.code, None) {
        Said::Expired => Ok(None),
        Said::Absent
        | Said::Missing(_)
        | Said::Conflicts(_)
        | Said::Changed
        | Said::Exists
        | Said::NotImpersonated
        | Said::Unauthorized
        | Said::Refused(_)
        | Said::Failed => Err(classify::failure(call, None, &reply)),
    }
}

/// Items of a list do not say their kind.
fn with_kind(mut item: Value, resource: &Resource) -> Value {
    if let Some(object) = item.as_object_mut() {
        object.insert("apiVersion".to_owned(), resource.api_version().into());
        object.insert("kind".to_owned(), resource.kind.clone().into());
    }
    item
}
