//! Reads the table of defaults.

use std::borrow::Cow;
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
        let (kinds, create) = match kinds.strip_suffix(" +") {
            Some(kinds) => (kinds, true),
            None => (kinds, false),
        };
        let Some(list) = configuration.default_list(section) else {
            continue;
        };
        for kind in kinds.split(' ') {
            let gvk = gvk(kind, '/');
            list.extend(paths.split(' ').map(|path| FieldSpec {
                gvk: gvk.clone(),
                path: Cow::Borrowed(path),
                create,
            }));
        }
    }
    // The table is sorted, because every build reads it.
    Arc::new(configuration)
});

fn gvk(text: &'static str, separator: char) -> Gvk {
    let (text, version) = text.split_once('@').unwrap_or((text, ""));
    let (group, kind) = text.rsplit_once(separator).unwrap_or(("", text));
    Gvk {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(if kind == "*" { "" } else { kind }),
    }
}

impl Configuration {
    /// The list of a section; in one of name references, the referrers of the last.
    fn default_list(&mut self, section: &str) -> Option<&mut Vec<FieldSpec>> {
        if section.starts_with("nameReference ") {
            let last = self.name_references.last_mut();
            return last.map(|reference| &mut reference.referrers);
        }
        self.list_mut(section)
    }

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
