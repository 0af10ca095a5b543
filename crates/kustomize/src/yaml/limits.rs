//! How large a YAML text may be, and become.
//! Enters: nothing. Leaves: `Limits`. Never: anything that depends on the machine.

/// Bounds of one text. Exceeding one is an error, never a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest text in bytes. Default 32 MiB: the largest manifests seen in public repositories have 12 MiB.
    pub bytes: usize,
    /// Deepest nesting of collections. Default 128: the deepest of 8,000 public YAML files, a custom resource, has 28, and 128 levels of
    /// our own recursion fit half of the 2 MiB stack of a thread, without optimisation too.
    pub depth: usize,
    /// Most documents. Default 50,000.
    pub documents: usize,
    /// Most nodes (scalars and collections), aliases expanded. Default 2 million: four times the largest tree seen; they take about 120 MB.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 32 << 20,
            depth: 128,
            documents: 50_000,
            nodes: 2_000_000,
        }
    }
}
