//! Which objects a watch sees, and as whom.
//!
//! Enters: kind, namespace, account.
//! Leaves: `WatchKey`; equal keys share one watch.
//! Never: a watch by the controller where an account is named.

use super::{Identity, ListQuery, follow::Target};
use crate::{
    api::LABEL_APPLICATION,
    model::{AccountName, ObjectId},
};

/// One watch: a kind, where, as whom, and which of its objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; None for all.
    pub namespace: Option<String>,
    /// As which account; None as the controller itself.
    pub account: Option<AccountName>,
    /// Whether only objects with our marks are seen.
    pub marks_only: bool,
    /// Whether only their metadata is seen.
    pub metadata_only: bool,
}

impl WatchKey {
    /// Returns the shared watch of a kind: all namespaces, as the controller, our marks only.
    pub fn shared(api_version: &str, kind: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            account: None,
            marks_only: true,
            metadata_only: false,
        }
    }

    /// Returns the watch of a kind in one namespace as an account, for kinds that the controller may not watch.
    pub fn of_account(
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        account: &AccountName,
    ) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            account: Some(account.clone()),
            ..Self::shared(api_version, kind)
        }
    }

    /// Returns the watch of all Pods of a namespace.
    pub fn pods(namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            marks_only: false,
            ..Self::shared("v1", "Pod")
        }
    }

    /// Returns the watch of all ReplicaSets of a namespace.
    pub fn replica_sets(namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            marks_only: false,
            ..Self::shared("apps/v1", "ReplicaSet")
        }
    }

    pub(super) fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    pub(super) fn covers(&self, id: &ObjectId) -> bool {
        id.is(self.group(), &self.kind)
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == id.namespace)
    }

    pub(super) fn target(&self) -> Target {
        Target {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            who: self
                .account
                .clone()
                .map_or(Identity::Controller, Identity::Account),
            query: ListQuery {
                namespace: self.namespace.clone(),
                labels: if self.marks_only {
                    LABEL_APPLICATION.to_owned()
                } else {
                    String::new()
                },
                fields: String::new(),
                metadata_only: self.metadata_only,
            },
        }
    }
}
