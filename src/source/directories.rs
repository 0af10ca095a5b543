//! Directories of a repository that were read, by hash.
//!
//! Enters: what was decoded.
//! Leaves: the same, for every commit that left the directory as it was.
//! Never: more than two generations of a bounded number of names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use git2::Oid;

/// Names in one generation. A repository of 5,000 Applications with three files each fits; a name costs some 100 bytes.
const MOST_NAMES: usize = 1 << 15;

/// What stands in a directory.
pub(super) struct Directory {
    pub(super) entries: BTreeMap<String, (Oid, Kind)>,
    /// Whether names were left out because they are none, or not UTF-8.
    pub(super) odd: bool,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Directory,
    Submodule,
}

/// The directories of one repository. What nobody asks for while a generation fills goes with the one before.
#[derive(Default)]
pub(super) struct Directories {
    young: HashMap<Oid, Arc<Directory>>,
    old: HashMap<Oid, Arc<Directory>>,
    /// Names in the young.
    names: usize,
}

impl Directories {
    /// Returns a directory, and keeps it for another generation.
    pub(super) fn get(&mut self, oid: Oid) -> Option<Arc<Directory>> {
        if let Some(directory) = self.young.get(&oid) {
            return Some(Arc::clone(directory));
        }
        let directory = self.old.remove(&oid)?;
        self.keep(oid, Arc::clone(&directory));
        Some(directory)
    }

    /// Keeps a directory.
    pub(super) fn keep(&mut self, oid: Oid, directory: Arc<Directory>) {
        self.names += 1 + directory.entries.len();
        if self.names > MOST_NAMES {
            self.old = std::mem::take(&mut self.young);
            self.names = 1 + directory.entries.len();
        }
        self.young.insert(oid, directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: usize) -> Arc<Directory> {
        let entries = (0..names).map(|name| (name.to_string(), (Oid::ZERO_SHA1, Kind::File)));
        Arc::new(Directory {
            entries: entries.collect(),
            odd: false,
        })
    }

    fn oid(number: usize) -> Oid {
        Oid::from_str(&format!("{number:040x}")).unwrap()
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_bounded() {
        let mut directories = Directories::default();
        directories.keep(oid(0), directory(3));
        for number in 1..=200 {
            directories.keep(oid(number), directory(1000));
            assert!(directories.get(oid(0)).is_some());
            let names = |kept: &HashMap<Oid, Arc<Directory>>| -> usize {
                kept.values().map(|kept| 1 + kept.entries.len()).sum()
            };
            assert!(names(&directories.young) + names(&directories.old) <= 2 * MOST_NAMES);
        }
        assert!(directories.get(oid(200)).is_some());
        assert!(directories.get(oid(1)).is_none());
    }
}
