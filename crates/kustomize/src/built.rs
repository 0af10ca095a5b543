//! What a build leaves: objects with their origin, warnings, what was read, what was fetched.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::identity::Id;
use crate::merge::Schema;
use crate::object::Object;
use crate::options::RemotePin;
use crate::origin::Origin;
use crate::yaml;

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The object as it would be applied.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Something that upstream says on standard error while it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file that it is about; empty where it is about the build as a whole.
    pub file: String,
    /// The text, without a trailing line break.
    pub message: String,
}

/// The result of a build.
#[derive(Debug, Clone, Default)]
pub struct Built {
    /// The objects in their final order.
    pub resources: Vec<Resource>,
    /// What the author should know.
    pub warnings: Vec<Warning>,
    /// Every path of the tree whose content, or absence, the result depends on.
    pub read: BTreeSet<String>,
    /// What was fetched, and as what.
    pub remotes: Vec<RemotePin>,
}

impl Built {
    /// Returns the objects as upstream prints them: one document each, joined by `---`; empty for no objects.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        for (index, resource) in self.resources.iter().enumerate() {
            if index > 0 {
                text.push_str("---\n");
            }
            text.push_str(&resource.to_yaml());
        }
        text
    }
}

impl Built {
    /// Returns a file name for each object, as `kustomize build -o DIR` names them: group, version, kind and name in
    /// lower case, behind the namespace where there are several.
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        let schema = Schema::built_in();
        let ids: Vec<Id> = self
            .resources
            .iter()
            .map(|resource| Object::new(resource.value.clone(), Origin::default(), &schema).id)
            .collect();
        let namespaces: BTreeSet<&str> = ids
            .iter()
            .filter(|id| !id.cluster_scoped)
            .map(Id::effective_namespace)
            .collect();
        ids.iter()
            .map(|id| {
                let parts: [&str; 4] = [&id.gvk.group, &id.gvk.version, &id.gvk.kind, &id.name];
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                let name = format!("{}.yaml", parts.join("_")).to_lowercase();
                if id.cluster_scoped || namespaces.len() < 2 {
                    name
                } else {
                    format!("{}_{name}", id.effective_namespace().to_lowercase())
                }
            })
            .collect()
    }
}

impl Resource {
    /// Returns the object as upstream prints it, as one document.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        if yaml::emit(&self.value, &mut text).is_err() {
            // A build refuses what cannot be printed; a value changed since then is still a value of JSON.
            text = format!("{}\n", self.value);
        }
        text
    }
}
