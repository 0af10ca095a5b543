//! Which kinds the API server serves, by which plural and in which scope.
//!
//! Enters: the two aggregated discovery documents.
//! Leaves: `Catalogue`; a kind of a group whose API does not answer is neither known nor unknown.
//! Never: "unknown" for what could not be looked up.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::client::{APIGroupDiscoveryList, APIResourceDiscovery};
use tokio::sync::Mutex;

use super::{Cluster, Error, Identity, Resource, classify, request::Call};
use crate::model::GroupKind;

/// Aggregated discovery, which every API server since 1.30 speaks.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// Largest document: 1,000 CRDs of 3 versions take about 2 MiB.
const DOCUMENT_BYTES: usize = 32 << 20;
/// Time between two looks for kinds that are not known: a wrong kind in git must not become a flood.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether a kind is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// It is.
    Served(&'a Resource),
    /// It is not.
    Unknown,
    /// Its group's API does not answer.
    NotLooked,
}

/// The versions of each group, best first.
type Groups = BTreeMap<String, Vec<Version>>;

/// What the API server served when it was asked last.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The core group, and all others: the two documents.
    parts: [Arc<Groups>; 2],
}

#[derive(Clone, Debug)]
struct Version {
    name: String,
    stale: bool,
    kinds: BTreeMap<String, Resource>,
}

fn read_groups(document: APIGroupDiscoveryList) -> Groups {
    let mut groups = Groups::new();
    for group in document.items {
        let name = group
            .metadata
            .and_then(|metadata| metadata.name)
            .unwrap_or_default();
        for version in group.versions {
            let Some(version_name) = version.version else {
                continue;
            };
            let mut kinds = BTreeMap::new();
            for resource in version.resources {
                if let Some(resource) = read_resource(&name, &version_name, resource) {
                    kinds.entry(resource.kind.clone()).or_insert(resource);
                }
            }
            groups.entry(name.clone()).or_default().push(Version {
                name: version_name,
                stale: version.freshness.as_deref() == Some("Stale"),
                kinds,
            });
        }
    }
    groups
}

impl Catalogue {
    fn versions(&self, group: &str) -> Option<&Vec<Version>> {
        self.parts.iter().find_map(|groups| groups.get(group))
    }

    fn groups(&self) -> impl Iterator<Item = (&String, &Vec<Version>)> {
        self.parts.iter().flat_map(|groups| groups.iter())
    }

    /// Looks up a kind in one version of its group.
    pub fn find(&self, api_version: &str, kind: &str) -> Lookup<'_> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Some(versions) = self.versions(group) else {
            return Lookup::Unknown;
        };
        let Some(version) = versions.iter().find(|served| served.name == version) else {
            return Lookup::Unknown;
        };
        match version.kinds.get(kind) {
            Some(resource) => Lookup::Served(resource),
            None if version.stale => Lookup::NotLooked,
            None => Lookup::Unknown,
        }
    }

    /// Looks up a kind in the best version that serves it.
    pub fn preferred(&self, kind: &GroupKind) -> Lookup<'_> {
        let Some(versions) = self.versions(&kind.group) else {
            return Lookup::Unknown;
        };
        if let Some(resource) = versions
            .iter()
            .find_map(|version| version.kinds.get(&kind.kind))
        {
            return Lookup::Served(resource);
        }
        if versions.iter().any(|version| version.stale) {
            Lookup::NotLooked
        } else {
            Lookup::Unknown
        }
    }

    /// Returns every kind once, in its best version, by group and kind.
    pub fn kinds(&self) -> impl Iterator<Item = &Resource> {
        self.groups().flat_map(|(_, versions)| {
            let mut best: BTreeMap<&str, &Resource> = BTreeMap::new();
            for version in versions {
                for (kind, resource) in &version.kinds {
                    best.entry(kind).or_insert(resource);
                }
            }
            best.into_values()
        })
    }

    /// Returns the groups of which some API does not answer: what is not found in them is not looked up.
    pub fn stale_groups(&self) -> Vec<&str> {
        self.groups()
            .filter(|(_, versions)| versions.iter().any(|version| version.stale))
            .map(|(group, _)| group.as_str())
            .collect()
    }

    pub(super) fn kind_of_plural(&self, group: &str, plural: &str) -> Option<GroupKind> {
        self.versions(group)?
            .iter()
            .flat_map(|version| version.kinds.values())
            .find(|resource| resource.plural == plural)
            .map(Resource::group_kind)
    }
}

fn served(lookup: Lookup<'_>, api_version: &str, kind: &str) -> Result<Resource, Error> {
    match lookup {
        Lookup::Served(resource) => Ok(resource.clone()),
        Lookup::Unknown => Err(Error::KindUnknown {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        }),
        Lookup::NotLooked => Err(Error::DiscoveryIncomplete {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        }),
    }
}

fn read_resource(group: &str, version: &str, resource: APIResourceDiscovery) -> Option<Resource> {
    let kind = resource
        .response_kind?
        .kind
        .filter(|kind| !kind.is_empty())?;
    let plural = resource.resource.filter(|plural| !plural.is_empty())?;
    // Reviews and the like can only be created: they are no objects.
    if !resource.verbs.iter().any(|verb| verb == "get") {
        return None;
    }
    Some(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        kind,
        plural,
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
    })
}

/// What is kept of discovery between requests.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<Option<Known>>,
}

struct Known {
    catalogue: Arc<Catalogue>,
    etags: [Option<String>; 2],
    looked: Duration,
}

/// What is known of the kinds that the API server serves; looked up once and again when a kind is not known.
#[derive(Clone, Debug)]
pub struct Discovery {
    cluster: Cluster,
}

impl Discovery {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Returns what is known; asks the API server only the first time.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn catalogue(&self) -> Result<Arc<Catalogue>, Error> {
        self.look(|_| false).await
    }

    /// Asks the API server again, for example after a CustomResourceDefinition was applied; at most once a second.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub async fn refresh(&self) -> Result<Arc<Catalogue>, Error> {
        self.look(|_| true).await
    }

    /// Returns the kind in this version; asks again where it is not known.
    ///
    /// # Errors
    /// The API server cannot be asked, does not serve the kind, or the API behind its group does not answer.
    pub async fn resolve(&self, api_version: &str, kind: &str) -> Result<Resource, Error> {
        let catalogue = self
            .look(|catalogue| !matches!(catalogue.find(api_version, kind), Lookup::Served(_)))
            .await?;
        served(catalogue.find(api_version, kind), api_version, kind)
    }

    /// Returns the kind in this version or, where that is not served, in the best one: an object is the same object in
    /// every version, and outlives the one in which it was written.
    ///
    /// # Errors
    /// As for `resolve`; unknown is only a kind that no version of its group serves.
    pub async fn reach(&self, api_version: &str, kind: &GroupKind) -> Result<Resource, Error> {
        let found = |catalogue: &Catalogue| {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            match catalogue.find(api_version, &kind.kind) {
                Lookup::Served(resource) if group == kind.group => Ok(resource.clone()),
                Lookup::Served(_) | Lookup::Unknown | Lookup::NotLooked => {
                    served(catalogue.preferred(kind), api_version, &kind.kind)
                }
            }
        };
        found(&*self.look(|catalogue| found(catalogue).is_err()).await?)
    }

    /// Returns what it means that a path which discovery names is not served: only discovery judges that a kind is
    /// gone, for a proxy's page looks the same.
    pub(super) async fn judge(&self, call: &Call, resource: &Resource) -> Error {
        let api_version = resource.api_version();
        match self.refresh().await {
            Ok(catalogue) => {
                let lookup = catalogue.find(&api_version, &resource.kind);
                match served(lookup, &api_version, &resource.kind) {
                    Ok(_) => Error::Server {
                        act: call.act.clone(),
                        code: 404,
                        message: "the path is not served, although the API server names it"
                            .to_owned(),
                    },
                    Err(error) => error,
                }
            }
            Err(error) => error,
        }
    }

    async fn look(&self, again: impl Fn(&Catalogue) -> bool) -> Result<Arc<Catalogue>, Error> {
        // Held while asking: who comes meanwhile waits for this answer instead of asking too.
        let mut known = self.cluster.cache().known.lock().await;
        let now = (self.cluster.clock())();
        if let Some(known) = known.as_ref()
            && (!again(&known.catalogue) || now.since(known.looked) < LOOK_AGAIN)
        {
            return Ok(Arc::clone(&known.catalogue));
        }
        let before = known.as_ref();
        let (core, groups) = tokio::try_join!(
            self.document("/api", 0, before),
            self.document("/apis", 1, before)
        )?;
        let catalogue = Arc::new(Catalogue {
            parts: [core.0, groups.0],
        });
        *known = Some(Known {
            catalogue: Arc::clone(&catalogue),
            etags: [core.1, groups.1],
            looked: now.monotonic,
        });
        Ok(catalogue)
    }

    /// Reads one document; where it did not change since, the API server sends nothing.
    async fn document(
        &self,
        path: &str,
        part: usize,
        before: Option<&Known>,
    ) -> Result<(Arc<Groups>, Option<String>), Error> {
        let before = before.and_then(|known| {
            let groups = known.catalogue.parts.get(part)?;
            let etag = known.etags.get(part)?.as_ref()?;
            Some((Arc::clone(groups), etag.clone()))
        });
        let mut call = Call::get(
            format!("read which kinds the API server serves at {path}"),
            path.to_owned(),
            &Identity::Controller,
        );
        call.accept = ACCEPT;
        call.limit = DOCUMENT_BYTES;
        call.etag = before.as_ref().map(|(_, etag)| etag.clone());
        let reply = self.cluster.send(&call).await?;
        if reply.code == 304
            && let Some((groups, etag)) = before
        {
            return Ok((groups, Some(etag)));
        }
        if !reply.is_success() {
            return Err(classify::failure(&call, None, &reply));
        }
        let list: APIGroupDiscoveryList = reply.read(&call.act)?;
        Ok((Arc::new(read_groups(list)), reply.etag))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn catalogue() -> Catalogue {
        let kind = |plural: &str, kind: &str, scope: &str, verbs: Value| json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": scope, "verbs": verbs});
        let document = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [
                {"version": "v1", "freshness": "Current", "resources": [kind("deployments", "Deployment", "Namespaced", json!(["get", "list"]))]},
                {"version": "v1beta1", "freshness": "Current", "resources": [
                    kind("deployments", "Deployment", "Namespaced", json!(["get"])),
                    kind("olds", "Old", "Cluster", json!(["get"])),
                ]},
            ]},
            {"metadata": {"name": "down.x.io"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
            {"metadata": {"name": "authorization.k8s.io"}, "versions": [
                {"version": "v1", "resources": [kind("subjectaccessreviews", "SubjectAccessReview", "Cluster", json!(["create"]))]}]},
        ]});
        Catalogue {
            parts: [
                Arc::default(),
                Arc::new(read_groups(serde_json::from_value(document).unwrap())),
            ],
        }
    }

    #[test]
    fn a_kind_is_found_in_its_version_and_in_the_best() {
        let catalogue = catalogue();
        let Lookup::Served(found) = catalogue.find("apps/v1beta1", "Deployment") else {
            panic!("not found");
        };
        assert_eq!(
            (found.version.as_str(), found.namespaced),
            ("v1beta1", true)
        );
        let Lookup::Served(best) = catalogue.preferred(&GroupKind::new("apps", "Deployment"))
        else {
            panic!("not found");
        };
        assert_eq!(best.version, "v1");
        assert_eq!(catalogue.find("apps/v1", "Old"), Lookup::Unknown);
        assert_eq!(catalogue.find("v1", "Deployment"), Lookup::Unknown);
        assert_eq!(
            catalogue.kind_of_plural("apps", "olds"),
            Some(GroupKind::new("apps", "Old"))
        );
        let kinds: Vec<&str> = catalogue.kinds().map(|kind| kind.kind.as_str()).collect();
        assert_eq!(kinds, ["Deployment", "Old"]);
    }

    #[test]
    fn what_could_not_be_looked_up_is_not_unknown() {
        let catalogue = catalogue();
        assert_eq!(catalogue.find("down.x.io/v1", "Foo"), Lookup::NotLooked);
        assert_eq!(
            catalogue.preferred(&GroupKind::new("down.x.io", "Foo")),
            Lookup::NotLooked
        );
        assert_eq!(catalogue.stale_groups(), ["down.x.io"]);
    }

    #[test]
    fn what_can_only_be_created_is_no_object() {
        assert_eq!(
            catalogue().find("authorization.k8s.io/v1", "SubjectAccessReview"),
            Lookup::Unknown
        );
    }
}
