//! One kind as the API server serves it, and the paths by which it is reached.
//!
//! Enters: group, version, plural and scope; namespaces and names from anywhere.
//! Leaves: URL paths and queries.
//! Never: a name that would reach another path than its own object's.

use std::fmt::Write as _;

use super::Error;
use crate::{
    api,
    model::{GroupKind, text},
};

/// Longest name that is sent. Kubernetes' own limit is 253; names of some kinds are not checked by it.
const LONGEST_NAME: usize = 512;

/// One kind in one version, as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Version, for example `v1`.
    pub version: String,
    /// Kind, for example `Deployment`.
    pub kind: String,
    /// Plural by which it is reached, for example `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    fn of(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: true,
        }
    }

    pub(super) fn applications() -> Self {
        Self::of(api::GROUP, api::VERSION, "Application", "applications")
    }

    pub(super) fn sync_records() -> Self {
        Self::of(api::GROUP, api::VERSION, "SyncRecord", "syncrecords")
    }

    pub(super) fn secrets() -> Self {
        Self::of("", "v1", "Secret", "secrets")
    }

    pub(super) fn leases() -> Self {
        Self::of("coordination.k8s.io", "v1", "Lease", "leases")
    }

    pub(super) fn pods() -> Self {
        Self::of("", "v1", "Pod", "pods")
    }

    pub(super) fn events() -> Self {
        Self::of("events.k8s.io", "v1", "Event", "events")
    }

    pub(super) fn config_maps() -> Self {
        Self::of("", "v1", "ConfigMap", "configmaps")
    }

    pub(super) fn namespaces() -> Self {
        Self {
            namespaced: false,
            ..Self::of("", "v1", "Namespace", "namespaces")
        }
    }

    pub(super) fn admission_policies() -> Self {
        Self {
            namespaced: false,
            ..Self::of(
                "admissionregistration.k8s.io",
                "v1",
                "ValidatingAdmissionPolicy",
                "validatingadmissionpolicies",
            )
        }
    }

    pub(super) fn admission_policy_bindings() -> Self {
        Self {
            namespaced: false,
            ..Self::of(
                "admissionregistration.k8s.io",
                "v1",
                "ValidatingAdmissionPolicyBinding",
                "validatingadmissionpolicybindings",
            )
        }
    }

    /// Returns `group/version`, or `version` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Returns the kind without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(&self.group, &self.kind)
    }

    /// Says whether this is a kind whose values must not be shown.
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.kind == "Secret"
    }

    /// Returns the path of all objects, in one namespace or in all.
    pub(super) fn collection(&self, namespace: Option<&str>) -> Result<String, Error> {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", segment(&self.version)?)
        } else {
            format!(
                "/apis/{}/{}",
                segment(&self.group)?,
                segment(&self.version)?
            )
        };
        if self.namespaced
            && let Some(namespace) = namespace
        {
            path.push_str("/namespaces/");
            path.push_str(&segment(namespace)?);
        }
        path.push('/');
        path.push_str(&segment(&self.plural)?);
        Ok(path)
    }

    /// Returns the path of one object.
    pub(super) fn object(&self, namespace: &str, name: &str) -> Result<String, Error> {
        Ok(format!(
            "{}/{}",
            self.collection(Some(namespace))?,
            segment(name)?
        ))
    }

    /// Returns how messages name it, for example `deployments.apps in namespace shop`.
    pub(super) fn describe(&self, namespace: Option<&str>) -> String {
        let mut text = self.plural.clone();
        if !self.group.is_empty() {
            text.push('.');
            text.push_str(&self.group);
        }
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
            text.push_str(" in namespace ");
            text.push_str(namespace);
        }
        text
    }
}

/// Returns `name` as one segment of a path.
///
/// The API server decodes a path before it splits it, so an escaped slash would still reach another
/// object or a subresource: such names are refused, as the API server itself refuses to create them.
fn segment(name: &str) -> Result<String, Error> {
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || matches!(name, "." | "..")
        || name.contains(['/', '%'])
        || name.chars().any(char::is_control)
    {
        return Err(Error::Name {
            name: text::cut(name, 64),
        });
    }
    Ok(escape(name))
}

/// Returns `text` with everything escaped that is not unreserved (RFC 3986, 2.3), except `:` which RBAC names use.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns `path` with the query; parts without a value are left out.
pub(super) fn with_query(path: &str, parts: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    let mut separator = '?';
    for (key, value) in parts {
        if !value.is_empty() {
            out.push(separator);
            out.push_str(key);
            out.push('=');
            out.push_str(&escape(value));
            separator = '&';
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_one_object() {
        let deployments = Resource::of("apps", "v1", "Deployment", "deployments");
        assert_eq!(
            deployments.object("shop", "web").unwrap(),
            "/apis/apps/v1/namespaces/shop/deployments/web"
        );
        assert_eq!(
            deployments.collection(None).unwrap(),
            "/apis/apps/v1/deployments"
        );
        let roles = Resource {
            namespaced: false,
            ..Resource::of(
                "rbac.authorization.k8s.io",
                "v1",
                "ClusterRole",
                "clusterroles",
            )
        };
        assert_eq!(
            roles.object("", "system:a b").unwrap(),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%20b"
        );
    }

    #[test]
    fn a_name_never_reaches_another_path() {
        let secrets = Resource::secrets();
        for name in ["", ".", "..", "a/status", "a%2Fstatus", "../b", "a\nb"] {
            assert!(secrets.object("shop", name).is_err(), "{name:?}");
        }
        assert!(secrets.object("", "a").is_err());
        assert_eq!(
            secrets.object("shop", "a?dryRun=All#").unwrap(),
            "/api/v1/namespaces/shop/secrets/a%3FdryRun%3DAll%23"
        );
    }

    #[test]
    fn empty_parts_of_a_query_are_left_out() {
        assert_eq!(
            with_query("/a", &[("x", ""), ("labelSelector", "a=b,c"), ("y", "1")]),
            "/a?labelSelector=a%3Db%2Cc&y=1"
        );
    }
}
