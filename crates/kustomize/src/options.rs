//! What a caller may choose, and what it may supply.
//! Enters: flags of the caller; fetchers for remote trees and charts, if it has any.
//! Never: environment, configuration files.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::ParsedFiles;
use crate::error::Error;
use crate::files::Files;

/// Which files a kustomization may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadRestrictions {
    /// Files in or below the kustomization's own directory (the default, as upstream).
    #[default]
    RootOnly,
    /// Any file of the tree.
    None,
}

/// The order of the objects when the kustomization itself does not say one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reorder {
    /// Namespaces, definitions and accounts first, webhooks last.
    Legacy,
    /// As the files came, depth first.
    None,
}

/// How large inputs may be. Exceeding one is an error of kind [`crate::ErrorKind::Limit`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest size of one file in bytes. Default 32 MiB: the largest manifests seen in public repositories are 12 MiB.
    pub file_bytes: usize,
    /// Largest sum of all files read in one build in bytes. Default 256 MiB.
    pub total_bytes: usize,
    /// Deepest nesting of one document. Default 128: the deepest of 8,000 public files has 28, and the stack of a thread must hold it.
    pub depth: usize,
    /// Most documents in one file. Default 50,000.
    pub documents: usize,
    /// Most nodes in one file, aliases expanded. Default 2 million: four times the largest tree seen; they take about 120 MB.
    pub nodes: usize,
    /// Most objects in one build. Default 200,000.
    pub objects: usize,
    /// Deepest nesting of kustomizations. Default 64.
    pub directories: usize,
    /// Most kustomizations read in one build, each as often as it is named. Default 10,000: bases that are named twice
    /// at each level are otherwise built two to the power of the levels times.
    pub kustomizations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 32 << 20,
            total_bytes: 256 << 20,
            depth: 128,
            documents: 50_000,
            nodes: 2_000_000,
            objects: 200_000,
            directories: 64,
            kustomizations: 10_000,
        }
    }
}

/// How to build; `Options::default()` is what `kustomize build` does without flags.
#[derive(Clone, Default)]
pub struct Options {
    /// Which files may be read. Default [`LoadRestrictions::RootOnly`].
    pub load_restrictions: LoadRestrictions,
    /// The order; `None` is upstream's default, the legacy order. `sortOptions` of the kustomization wins.
    pub reorder: Option<Reorder>,
    /// Whether every object gets the label `app.kubernetes.io/managed-by`. Default false.
    pub managed_by_label: bool,
    /// Whether upstream's alpha plugins are asked for. Those that are built in always work; others are refused. Default false.
    pub alpha_plugins: bool,
    /// How large inputs may be.
    pub limits: Limits,
    /// Parsed files that builds share; without it each build parses all that it reads.
    pub parsed: Option<Arc<ParsedFiles>>,
    /// Fetches remote bases and files; without it they are refused.
    pub remote: Option<Arc<dyn Remote>>,
    /// Renders Helm charts; without it they are refused.
    pub charts: Option<Arc<dyn Charts>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("load_restrictions", &self.load_restrictions)
            .field("reorder", &self.reorder)
            .field("managed_by_label", &self.managed_by_label)
            .field("alpha_plugins", &self.alpha_plugins)
            .field("limits", &self.limits)
            .field("parsed", &self.parsed)
            .field("remote", &self.remote.is_some())
            .field("charts", &self.charts.is_some())
            .finish()
    }
}

/// A remote resource, as the kustomization names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemoteReference {
    /// A directory of a git repository.
    Git {
        /// The text in the kustomization.
        text: String,
        /// URL of the repository, without query and path.
        repository: String,
        /// Directory inside the repository, without a leading slash; empty for its root.
        path: String,
        /// Branch, tag or commit; `None` for the default branch.
        reference: Option<String>,
        /// How long fetching may take. Default 27 seconds, as upstream.
        timeout: Duration,
        /// Whether submodules are wanted. Default true, as upstream.
        submodules: bool,
    },
    /// A single file.
    Https {
        /// The URL.
        url: String,
    },
}

/// What a remote reference was resolved to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemotePin {
    /// The text in the kustomization.
    pub reference: String,
    /// URL that was fetched, without credentials.
    pub url: String,
    /// Commit for git, `sha256:` digest for a file.
    pub pin: String,
    /// Whether the reference can lead elsewhere tomorrow (a branch, a tag, any file).
    pub moves: bool,
}

/// What a fetch of a git tree brought.
pub struct RemoteTree {
    /// The whole repository at the commit.
    pub files: Arc<dyn Files>,
    /// What the reference was resolved to.
    pub pin: RemotePin,
}

/// Fetches what lies outside the tree. The renderer itself has no network.
pub trait Remote: Send + Sync {
    /// Fetches the tree of a git reference.
    ///
    /// # Errors
    /// When the host is not allowed, or the fetch fails.
    fn fetch_tree(&self, reference: &RemoteReference) -> Result<RemoteTree, Error>;

    /// Fetches one file by https.
    ///
    /// # Errors
    /// When the host is not allowed, or the fetch fails.
    fn fetch_file(&self, url: &str) -> Result<(Arc<[u8]>, RemotePin), Error>;
}

/// One entry of `helmCharts`, with `helmGlobals`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartRequest {
    /// The entry as it stands in the kustomization, `namespace` filled in.
    pub chart: serde_json::Value,
    /// `helmGlobals` of the kustomization; null where there are none.
    pub globals: serde_json::Value,
    /// Directory of the kustomization inside the tree.
    pub directory: String,
}

/// Renders Helm charts.
pub trait Charts: Send + Sync {
    /// Renders one chart to a stream of YAML documents.
    ///
    /// # Errors
    /// When the chart cannot be found or rendered.
    fn render(&self, request: &ChartRequest, files: &dyn Files) -> Result<Vec<u8>, Error>;
}
