//! Which language a text is in.
//!
//! Enters, leaves: nothing; these are words. Never: how it is read.

/// Which of upstream's two YAML libraries would read this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Objects: YAML 1.2 scalars, mostly.
    Objects,
    /// Strategic merge patches: as objects, but a value that is left out inside `{}` is null, which deletes.
    Patches,
    /// Kustomization files, configurations and JSON patches: YAML 1.1 scalars.
    Settings,
}
