//! The tag handles of a document.
//!
//! Enters: what its directives define. Leaves: the prefix that a handle stands for. Never: a tag.

use std::borrow::Cow;

/// The tag handles of a document: `!` and `!!`, and those of its directives.
#[derive(Debug, Default)]
pub(super) struct Handles<'a> {
    pub(super) defined: Vec<(&'a str, Cow<'a, str>)>,
    pub(super) version: bool,
}

/// The prefix of the tags that YAML itself defines.
pub(super) const CORE: &str = "tag:yaml.org,2002:";

impl Handles<'_> {
    pub(super) fn prefix(&self, handle: &str) -> Option<&str> {
        let own = self.defined.iter().find(|(name, _)| *name == handle);
        match (own, handle) {
            (Some((_, prefix)), _) => Some(prefix),
            (None, "!") => Some("!"),
            (None, "!!") => Some(CORE),
            (None, _) => None,
        }
    }
}
