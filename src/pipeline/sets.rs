//! The sets of one Application in memory: open while something happens, packed while nothing does.
//!
//! Enters: sets by the attempt that stored them.
//! Leaves: the same sets.
//! Never: the only copy: what does not come back is read from the store.

use std::{collections::BTreeMap, sync::Arc};

use kustomize::RemotePin;

use crate::{
    model::Digest,
    render::{self, PackedSet, Rendered},
};

/// Objects of a set that stays open while something happens: what is opened again and again.
pub(super) const SMALL: usize = 64;

/// One set. A clone shares it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    digest: Digest,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Open(Arc<Rendered>),
    Packed(PackedSet),
    /// Opened again: to pack it is to let go of what was opened.
    Both(Arc<Rendered>, PackedSet),
}

impl Held {
    /// Holds a set, open.
    pub(super) fn open(rendered: Arc<Rendered>) -> Self {
        Self {
            digest: rendered.digest().clone(),
            form: Form::Open(rendered),
        }
    }

    /// Returns the set.
    pub(super) fn rendered(&self) -> Result<Arc<Rendered>, render::Error> {
        match &self.form {
            Form::Open(rendered) | Form::Both(rendered, _) => Ok(rendered.clone()),
            Form::Packed(packed) => packed.open().map(Arc::new),
        }
    }

    /// Returns the digest of the set.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns what was fetched beside the revision, and as what.
    pub(super) fn remotes(&self) -> &[RemotePin] {
        match &self.form {
            Form::Open(rendered) | Form::Both(rendered, _) => rendered.remotes(),
            Form::Packed(packed) => packed.remotes(),
        }
    }

    /// Takes the same set, which was opened.
    fn opened(&mut self, rendered: Arc<Rendered>) {
        self.form = match &self.form {
            Form::Open(_) => Form::Open(rendered),
            Form::Packed(packed) | Form::Both(_, packed) => Form::Both(rendered, packed.clone()),
        };
    }

    /// Packs the set, unless it is nested too deep for that.
    pub(super) fn pack(&mut self) {
        let packed = match &self.form {
            Form::Open(rendered) => PackedSet::of(rendered),
            Form::Both(_, packed) => Some(packed.clone()),
            Form::Packed(_) => None,
        };
        if let Some(packed) = packed {
            self.form = Form::Packed(packed);
        }
    }
}

/// Sets by the attempt that stored them.
#[derive(Debug, Default)]
pub(super) struct Sets {
    known: BTreeMap<u64, Held>,
}

impl Sets {
    /// Returns a set, opened.
    pub(super) fn get(&self, attempt: u64) -> Option<Arc<Rendered>> {
        self.known.get(&attempt)?.rendered().ok()
    }

    /// Returns a set as it is held.
    pub(super) fn of(&self, attempt: u64) -> Option<&Held> {
        self.known.get(&attempt)
    }

    /// Returns the digest of a set.
    pub(super) fn digest(&self, attempt: u64) -> Option<&Digest> {
        self.known.get(&attempt).map(Held::digest)
    }

    /// Returns a set of this digest, as it is held.
    pub(super) fn held(&self, digest: &Digest) -> Option<&Held> {
        self.known.values().find(|held| held.digest() == digest)
    }

    /// Adds a set. A small one stays open until it is packed; a large one is packed at once, for what is worked with
    /// is the form in which it is sent.
    pub(super) fn insert(&mut self, attempt: u64, rendered: Arc<Rendered>) {
        let is_large = rendered.objects().len() > SMALL;
        let held = match self.known.remove(&attempt) {
            Some(mut held) if held.digest() == rendered.digest() => {
                held.opened(rendered);
                held
            }
            Some(_) | None => Held::open(rendered),
        };
        let held = self.known.entry(attempt).or_insert(held);
        if is_large {
            held.pack();
        }
    }

    /// Forgets sets.
    pub(super) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.known.retain(|attempt, _| keep(*attempt));
    }

    /// Packs all sets.
    pub(super) fn pack(&mut self) {
        for held in self.known.values_mut() {
            held.pack();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_found_by_attempt_and_by_digest_open_or_packed() {
        let files = kustomize::MemoryFiles::new().with(
            "/app/a.yaml",
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: b}}",
        );
        let spec = render::RenderSpec {
            path: "app".to_owned(),
            default_namespace: "shop".to_owned(),
        };
        let rendered = render::render(&files, &spec, &kustomize::Options::default()).unwrap();
        let mut sets = Sets::default();
        sets.insert(3, Arc::new(rendered.clone()));
        let is_open = |sets: &Sets| !matches!(sets.known[&3].form, Form::Packed(_));
        assert!(is_open(&sets), "a small set stays open");
        sets.pack();
        assert!(!is_open(&sets));
        sets.insert(3, Arc::new(rendered.clone()));
        assert!(is_open(&sets), "opened again");
        sets.pack();
        assert!(!is_open(&sets));
        assert_eq!(sets.get(3).unwrap().objects(), rendered.objects());
        assert_eq!(sets.digest(3), Some(rendered.digest()));
        let held = sets.held(rendered.digest()).unwrap();
        assert_eq!(held.rendered().unwrap().digest(), rendered.digest());
        sets.retain(|attempt| attempt != 3);
        assert!(sets.get(3).is_none());
    }
}
