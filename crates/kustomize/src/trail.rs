//! Where an object came from and what changed it, as annotations: `buildMetadata`.

use crate::files::shortest;
use crate::object::Object;
use crate::options::RemoteReference;
use crate::remote;

pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// Where something came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trail {
    pub(crate) path: String,
    repository: String,
    reference: String,
    configured_in: String,
    configured_by: Option<[String; 4]>,
}

impl Trail {
    /// One step further: into a directory or file, or into a repository.
    pub(crate) fn append(&self, path: &str) -> Self {
        let mut next = self.clone();
        let mut path = path.to_owned();
        if let Some(RemoteReference::Git {
            repository,
            path: inner,
            reference,
            ..
        }) = remote::parse_git(&path)
        {
            next.repository = repository;
            next.reference = reference.unwrap_or_default();
            next.path = String::new();
            path = inner;
        }
        next.path = join(&next.path, &path);
        next
    }

    /// What a transformer or generator that is built in leaves.
    pub(crate) fn built_in(&self, file: &str, kind: &str) -> Self {
        Self {
            path: String::new(),
            configured_in: join(&self.path, file),
            configured_by: Some([
                "builtin".to_owned(),
                kind.to_owned(),
                String::new(),
                String::new(),
            ]),
            ..self.clone()
        }
    }

    /// What a transformer or generator configured by an object leaves.
    pub(crate) fn configured_by(object: &Object) -> Option<Self> {
        let text = object.annotation(ORIGIN)?;
        let read = |field: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
                .unwrap_or_default()
                .to_owned()
        };
        let id = &object.id;
        Some(Self {
            path: String::new(),
            repository: read("repo"),
            reference: read("ref"),
            configured_in: read("path"),
            configured_by: Some([
                id.gvk.api_version(),
                id.gvk.kind.clone().into_owned(),
                id.name.clone(),
                id.namespace.clone(),
            ]),
        })
    }

    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut line = |indent: &str, field: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(indent);
                out.push_str(field);
                out.push_str(": ");
                out.push_str(&crate::generate::go_yaml(&serde_json::Value::String(
                    value.to_owned(),
                )));
                out.push('\n');
            }
        };
        line("", "path", &self.path);
        line("", "repo", &self.repository);
        line("", "ref", &self.reference);
        line("", "configuredIn", &self.configured_in);
        if let Some([api_version, kind, name, namespace]) = &self.configured_by {
            let mut inner = String::new();
            for (field, value) in [
                ("apiVersion", api_version),
                ("kind", kind),
                ("name", name),
                ("namespace", namespace),
            ] {
                if !value.is_empty() {
                    inner.push_str("  ");
                    inner.push_str(field);
                    inner.push_str(": ");
                    inner.push_str(&crate::generate::go_yaml(&serde_json::Value::String(
                        value.clone(),
                    )));
                    inner.push('\n');
                }
            }
            out.push_str("configuredBy:\n");
            out.push_str(&inner);
        }
        if out.is_empty() {
            "{}\n".to_owned()
        } else {
            out
        }
    }

    /// Notes that something was done to an object; one without an origin was made by it.
    pub(crate) fn note(&self, object: &mut Object) {
        // Upstream writes all annotations anew, so they are no longer those of other fields.
        for group in &mut object.shared {
            group
                .paths
                .retain(|path| path != &["metadata", "annotations"]);
        }
        object.write_annotations();
        let text = self.to_yaml();
        if object.annotation(ORIGIN).is_none() {
            object.set_annotation(ORIGIN, text);
            return;
        }
        let mut list = object.annotation(TRANSFORMATIONS).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            list.push_str(if index == 0 { "- " } else { "  " });
            list.push_str(line);
            list.push('\n');
        }
        object.set_annotation(TRANSFORMATIONS, list);
    }
}

/// Joins relative paths; `..` goes up where it can.
fn join(left: &str, right: &str) -> String {
    shortest(left.split('/').chain(right.split('/'))).join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_up_and_down() {
        assert_eq!(join("a/b", "../c.yaml"), "a/c.yaml");
        assert_eq!(join("", "../c"), "../c");
        assert_eq!(
            Trail::default().append("../base").append("x.yaml").path,
            "../base/x.yaml"
        );
    }
}
