//! The render digest: the identity of a set.
//!
//! Enters: objects, after the default namespace is set and before our marks.
//! Leaves: one digest, whatever the order in which they were rendered.
//! Never: origin, order, or anything that an unrelated commit or a new release could change.

use sha2::{Digest as _, Sha256};

use crate::model::{Digest, Object, canonical_json};

/// Returns the digest over the objects: sorted by identity, canonical JSON, one a line.
pub(super) fn render_digest(objects: &[Object]) -> Digest {
    let mut sorted: Vec<&Object> = objects.iter().collect();
    sorted.sort_by(|a, b| {
        a.id()
            .cmp(b.id())
            .then_with(|| a.api_version().cmp(b.api_version()))
    });
    let mut hash = Sha256::new();
    for object in sorted {
        hash.update(canonical_json(object.value()).as_bytes());
        hash.update(b"\n");
    }
    Digest::from_hash(&hash.finalize().into())
}
