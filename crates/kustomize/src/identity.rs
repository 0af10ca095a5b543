//! Who an object is: group, version, kind, namespace, name; and who it was before a rename.
//! Never: the content of the object.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The namespace that objects without one of their own are compared under.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";
/// What upstream compares cluster-scoped objects under; it cannot be the name of a namespace.
pub(crate) const NO_NAMESPACE: &str = "_non_namespaceable_";

/// Group, version and kind. In a selector an empty part matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Gvk {
    pub(crate) group: Cow<'static, str>,
    pub(crate) version: Cow<'static, str>,
    pub(crate) kind: Cow<'static, str>,
}

impl Gvk {
    pub(crate) fn new(group: &str, version: &str, kind: &str) -> Self {
        Self {
            group: Cow::Owned(group.to_owned()),
            version: Cow::Owned(version.to_owned()),
            kind: Cow::Owned(kind.to_owned()),
        }
    }

    pub(crate) fn parse(api_version: &str, kind: &str) -> Self {
        let (group, version) = split_api_version(api_version);
        Self::new(group, version, kind)
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone().into_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether `self` is selected by `selector`, whose empty parts match everything.
    pub(crate) fn is_selected(&self, selector: &Self) -> bool {
        self.is_selected_as(&self.kind, selector)
    }

    /// As [`Gvk::is_selected`], with another kind than its own.
    pub(crate) fn is_selected_as(&self, kind: &str, selector: &Self) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&selector.group, &self.group)
            && fits(&selector.version, &self.version)
            && fits(&selector.kind, kind)
    }

    /// The text by which upstream sorts kinds of equal rank.
    pub(crate) fn sort_text(&self) -> String {
        let or = |text: &str, other: &str| {
            if text.is_empty() {
                other.to_owned()
            } else {
                text.to_owned()
            }
        };
        format!(
            "{}_{}_{}",
            or(&self.group, "~G"),
            or(&self.version, "~V"),
            or(&self.kind, "~K")
        )
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str, other: &str| {
            if text.is_empty() {
                other.to_owned()
            } else {
                text.to_owned()
            }
        };
        write!(
            f,
            "{}.{}.{}",
            or(&self.kind, "[noKind]"),
            or(&self.version, "[noVer]"),
            or(&self.group, "[noGrp]")
        )
    }
}

/// Splits `group/version`; no group for a plain version.
pub(crate) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The identity of an object now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Id {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    /// As written; empty where the object names none.
    pub(crate) namespace: String,
    /// Whether the kind certainly has no namespace.
    pub(crate) cluster_scoped: bool,
}

impl Id {
    /// The namespace that identities are compared by.
    pub(crate) fn effective_namespace(&self) -> &str {
        if self.cluster_scoped {
            NO_NAMESPACE
        } else {
            effective(&self.namespace)
        }
    }
}

/// The namespace under which objects are compared when they are not cluster-scoped.
pub(crate) fn effective(namespace: &str) -> &str {
    if namespace.is_empty() {
        DEFAULT_NAMESPACE
    } else {
        namespace
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.gvk == other.gvk
            && self.effective_namespace() == other.effective_namespace()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.gvk.hash(state);
        self.name.hash(state);
        self.effective_namespace().hash(state);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() {
            "[noNs]"
        } else {
            &self.namespace
        };
        let name = if self.name.is_empty() {
            "[noName]"
        } else {
            &self.name
        };
        write!(f, "{}/{name}.{namespace}", self.gvk)
    }
}

/// An identity that an object had; group and version are those that it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) name: String,
    /// The namespace it was compared under.
    pub(crate) namespace: String,
    pub(crate) kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_namespace_is_the_same_as_none() {
        let id = |namespace: &str| Id {
            namespace: namespace.to_owned(),
            ..Id::default()
        };
        assert_eq!(id(""), id("default"));
        assert_ne!(id(""), id("other"));
    }

    #[test]
    fn empty_parts_of_a_selector_match_everything() {
        let deployment = Gvk::parse("apps/v1", "Deployment");
        for (selector, expected) in [
            (Gvk::new("", "", "Deployment"), true),
            (Gvk::new("apps", "", ""), true),
            (Gvk::new("extensions", "", "Deployment"), false),
        ] {
            assert_eq!(deployment.is_selected(&selector), expected, "{selector}");
        }
    }
}
