//! Reads the table of defaults.

use std::sync::{Arc, LazyLock};

use super::field::FieldSpec;
use super::settings::{Configuration, NameReference};
use crate::identity::Gvk;

const TABLE: &str = include_str!("defaults.txt");

static DEFAULTS: LazyLock<Arc<Configuration>> = LazyLock::new(|| {
    let mut configuration = Configuration::default();
    let mut section = "";
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            if let Some(target) = section.strip_prefix("nameReference ") {
                let target = gvk(target, '|');
                configuration.name_references.push(NameReference {
                    target,
                    referrers: Vec::new(),
                });
            }
            continue;
        }
        let Some((kinds, paths)) = line.split_once(" : ") else {
            continue;
        };
        let create = kinds.ends_with(" +");
        for kind in kinds.trim_end_matches(" +").split(' ') {
            for path in paths.split(' ') {
                let spec = FieldSpec {
                    gvk: gvk(kind, '/'),
                    path: path.to_owned(),
                    create,
                };
                if let Some(list) = configuration.list_mut(section) {
                    list.push(spec);
                } else if let Some(reference) = configuration.name_references.last_mut() {
                    reference.referrers.push(spec);
                }
            }
        }
    }
    // The table is sorted, because every build reads it.
    Arc::new(configuration)
});

fn gvk(text: &str, separator: char) -> Gvk {
    let (text, version) = text.split_once('@').unwrap_or((text, ""));
    let (group, kind) = text.rsplit_once(separator).unwrap_or(("", text));
    Gvk::new(group, version, if kind == "*" { "" } else { kind })
}

impl Configuration {
    /// What upstream does without being told.
    pub(crate) fn defaults() -> Arc<Self> {
        Arc::clone(&DEFAULTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        let defaults = Configuration::defaults();
        let mut sorted = Configuration::clone(&defaults);
        sorted.sort();
        assert_eq!(sorted, *defaults);
    }

    #[test]
    fn the_table_has_all_entries() {
        let defaults = Configuration::defaults();
        assert_eq!(defaults.name_references.len(), 16);
        let referrers: usize = defaults
            .name_references
            .iter()
            .map(|reference| reference.referrers.len())
            .sum();
        assert_eq!(referrers, 166, "one of upstream's 167 stands twice");
        assert_eq!(defaults.variable_references.len(), 72);
        assert_eq!(defaults.images.len(), 7);
    }
}
