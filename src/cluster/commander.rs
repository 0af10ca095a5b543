//! A person's commands, written into `spec.commands` of one Application.
//!
//! Enters: a change of the commands as they stand.
//! Leaves: the Application as the API server took it.
//! Never: another field of the Application; another identity than the person's.

use http::Method;
use serde_json::json;

use super::{
    Cluster, Error, Identity, Resource,
    classify::{self, Said},
    keeper::{decode, encode},
    read,
    request::{Call, JSON_PATCH},
    resource::with_query,
};
use crate::{
    api::{Application, Commands, FIELD_MANAGER_CLI},
    model::ApplicationKey,
};

/// How often a command is written again because the Application changed meanwhile.
const TRIES: u32 = 5;

/// Writes commands as the person whose kubeconfig it is.
#[derive(Clone, Debug)]
pub struct Commander {
    cluster: Cluster,
}

impl Commander {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// Changes the commands of one Application. `change` sees them as they stand, perhaps more than once.
    ///
    /// # Errors
    /// The Application is not there or changes too fast, the person may not do it, or the API server cannot be asked.
    pub async fn command(
        &self,
        key: &ApplicationKey,
        change: impl Fn(&Application, &mut Commands),
    ) -> Result<Application, Error> {
        let resource = Resource::applications();
        let who = Identity::Person;
        let act = format!("write a command to Application {key}");
        let path = with_query(
            &resource.object(&key.namespace, &key.name)?,
            &[("fieldManager", FIELD_MANAGER_CLI)],
        );
        let mut tries = 0;
        loop {
            let found =
                read::get(&self.cluster, &who, &resource, &key.namespace, &key.name).await?;
            let Some(found) = found else {
                return Err(Error::NotFound { act });
            };
            let application: Application = decode(&act, found)?;
            let mut commands = application.spec.commands.clone();
            change(&application, &mut commands);
            let body = json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": application.metadata.resource_version},
                {"op": "add", "path": "/spec/commands", "value": encode(&act, &commands)?},
            ]);
            let call = Call::with_body(
                act.clone(),
                Method::PATCH,
                path.clone(),
                &who,
                JSON_PATCH,
                body.to_string().into_bytes(),
            );
            let reply = self.cluster.send(&call).await?;
            if reply.is_success() {
                return reply.read(&act).map_err(|error| call.lost(error));
            }
            let own = Some((&resource, key.name.as_str()));
            let said = classify::said(&reply.status(), reply.code, own);
            tries += 1;
            if said != Said::Changed || tries == TRIES {
                return Err(classify::failure(&call, own, &reply));
            }
        }
    }
}
