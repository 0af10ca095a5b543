//! One Application, parsed once.
//!
//! Enters: the custom resource.
//! Leaves: `Subject`, in which nothing is missing that a step needs.
//! Never: an identity that could be the controller's own.

use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{
    api::{Application, ApplicationSpec, Class, RESERVED_NAMESPACES, Reason},
    cluster::{Identity, Reader, Writer},
    model::{AccountName, ApplicationKey, SourceSpec},
    plan::Policy,
    render::RenderSpec,
    rollout::{Failure, Gates},
};

/// An Application that can be worked on.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its key.
    pub key: ApplicationKey,
    /// Its UID.
    pub uid: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Its spec.
    pub spec: ApplicationSpec,
    /// As whom everything is read and written.
    pub account: AccountName,
    /// What its spec lets happen.
    pub gates: Gates,
    /// Ends what is only asked for it.
    pub(super) ended: CancellationToken,
}

/// Returns the key of an Application.
pub fn application_key(application: &Application) -> ApplicationKey {
    ApplicationKey {
        namespace: application.metadata.namespace.clone().unwrap_or_default(),
        name: application.metadata.name.clone().unwrap_or_default(),
    }
}

impl Subject {
    /// Returns what reads as the account of the Application.
    pub(super) fn reader(&self, context: &Context) -> Reader {
        context
            .cluster
            .reader(Identity::Account(self.account.clone()))
    }

    /// Returns what writes as the account of the Application, as long as the lease is ours.
    pub(super) fn writer(&self, context: &Context) -> Writer {
        context
            .cluster
            .writer(self.account.clone(), context.fence.clone())
    }

    /// Returns what a plan of its set goes by.
    pub(super) fn policy(&self) -> Policy {
        Policy {
            application: self.key.clone(),
            conflicts: self.spec.apply.conflicts,
            partial: self.spec.apply.partial,
        }
    }

    /// Parses an Application.
    ///
    /// # Errors
    /// It stands in a reserved namespace or has no identity: refused, with the next step in the message.
    pub fn new(application: &Application, context: &Context) -> Result<Self, Failure> {
        let key = application_key(application);
        let refuse = |reason, message| Failure {
            reason,
            class: Class::Change,
            message,
        };
        if RESERVED_NAMESPACES.contains(&key.namespace.as_str())
            || key.namespace == context.namespace
        {
            return Err(refuse(
                Reason::NamespaceReserved,
                format!(
                    "no Application is taken up in namespace {}; move it to a namespace of its team",
                    key.namespace
                ),
            ));
        }
        let spec = application.spec.clone();
        let account = spec
            .target
            .service_account
            .as_deref()
            .or(context.default_account.as_deref())
            .and_then(|name| AccountName::new(&key.namespace, name));
        let Some(account) = account else {
            return Err(refuse(
                Reason::NoIdentity,
                format!(
                    "no service account: set spec.target.serviceAccount to one of namespace {}, or start the controller with --default-service-account; plimsoll tenant {} prints what is needed",
                    key.namespace, key.namespace
                ),
            ));
        };
        Ok(Self {
            uid: application.metadata.uid.clone().unwrap_or_default(),
            generation: application.metadata.generation.unwrap_or_default(),
            gates: Gates::of(&spec),
            key,
            spec,
            account,
            ended: CancellationToken::new(),
        })
    }

    /// Returns it as something that can be ended while it is only asked about.
    pub(super) fn until(self, ended: &CancellationToken) -> Self {
        Self {
            ended: ended.clone(),
            ..self
        }
    }

    /// Returns where the files are.
    pub fn source(&self) -> SourceSpec {
        SourceSpec {
            repository: self.spec.source.repo.clone(),
            reference: self.spec.source.reference.clone(),
            path: self.spec.source.path.trim_matches('/').to_owned(),
        }
    }

    /// Returns what to render.
    pub fn render(&self) -> RenderSpec {
        RenderSpec {
            path: self.spec.source.path.trim_matches('/').to_owned(),
            default_namespace: self
                .spec
                .target
                .namespace
                .clone()
                .unwrap_or_else(|| self.key.namespace.clone()),
        }
    }
}
