//! Arguments: data only.
//!
//! Enters: what was typed.
//! Leaves: structs; what they mean is worked out in `settings` and in the verbs.
//! Never: a default that depends on anything but the flag itself.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::build_args::BuildArgs;

/// GitOps for Kubernetes that returns by itself to the last known good state.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build a kustomization as `kustomize build` does
    Build(BuildArgs),
    /// Print what the controller would apply, marks included
    Render(RenderArgs),
    /// Show what the controller would change in the cluster
    Diff(DiffArgs),
    /// List Applications, or show one
    Get(GetArgs),
    /// Show the objects of an Application and their health
    Tree(ApplicationArgs),
    /// Explain why an Application is as it is, and what to do next
    Why(ApplicationArgs),
    /// List, show, export and verify the records of attempts
    History(Box<HistoryArgs>),
    /// Report on a period, for auditors
    Report(Box<ReportArgs>),
    /// Look at git and reconcile now
    Sync(CommandArgs),
    /// Let a set that failed be tried again
    Release(SubjectArgs),
    /// Approve one plan by its hash
    Approve(SubjectArgs),
    /// Go back to a set that ran before, and hold it against newer revisions
    Rollback(RollbackArgs),
    /// End the attempt that is under way
    Cancel(CommandArgs),
    /// Stop everything but looking
    Pause(PauseArgs),
    /// End a pause, else a rollback
    Resume(CommandArgs),
    /// Print what a team's namespace needs
    Tenant(TenantArgs),
    /// Print the custom resource definitions
    Crds(CrdsArgs),
    /// Run the controller
    Controller(Box<ControllerArgs>),
}

/// How the cluster is reached.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectArgs {
    /// Kubeconfig file [default: as kubectl]
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// Namespace [default: that of the context]
    #[arg(long, short, value_name = "NAME", global = true)]
    pub namespace: Option<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// Names only
    Name,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Which files, of which Application.
#[derive(Args, Debug)]
pub struct RenderArgs {
    /// Application manifest in YAML; its path is taken from DIRECTORY
    #[arg(long, short, value_name = "FILE")]
    pub application: Option<PathBuf>,
    /// Name of the Application, where no manifest is given
    #[arg(long, value_name = "NAME", default_value = "preview")]
    pub name: String,
    /// Namespace of objects that name none, where no manifest is given
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// Checked-out directory: the path to render, or the root of the repository with --application
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Output
    #[arg(long, short, value_enum, default_value_t = OutputFormat::Yaml)]
    pub output: OutputFormat,
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Application in the cluster
    pub application: String,
    /// Checked-out root of its repository
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// Exit with 0 also where something differs
    #[arg(long)]
    pub exit_zero: bool,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Arguments of `get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Application; all where none is given
    pub application: Option<String>,
    /// All namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// One Application.
#[derive(Args, Debug)]
pub struct ApplicationArgs {
    /// Application
    pub application: String,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Which records, and from where.
#[derive(Args, Clone, Debug, Default)]
pub struct RecordsArgs {
    /// Application; all where none is given
    pub application: Option<String>,
    /// All namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Only what ended at this moment or later: a time, a date, or an age such as 90d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what ended before this moment
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only records with this result, for example Failed or returned
    #[arg(long, value_name = "RESULT")]
    pub result: Option<String>,
    /// Only what this person asked for, wrote or committed; a part of the name is enough
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// Only this revision; a part of it is enough
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
    /// Read an export, or the directory of a sink, instead of the cluster; repeat for more
    #[arg(long, value_name = "PATH")]
    pub from: Vec<PathBuf>,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// What verifies records.
#[derive(Args, Clone, Debug, Default)]
pub struct KeyArgs {
    /// Public key in PEM that the checkpoints must be signed with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Checkpoints that are kept elsewhere
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Vec<PathBuf>,
    /// Namespace of the controller, where the cluster keeps its checkpoints
    #[arg(long, value_name = "NAME", default_value = "plimsoll-system")]
    pub controller_namespace: String,
    /// Accept a history that does not begin with its first record [default: of the cluster only]
    #[arg(long)]
    pub partial: bool,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RecordFormat {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// Names only
    Name,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// One row a record, for spreadsheets
    Csv,
    /// One record a line, as it was hashed: what --from reads
    Jsonl,
    /// CDEvents, one a line
    Cdevents,
    /// in-toto statements, one a line
    Intoto,
}

/// Arguments of `history`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HistoryArgs {
    /// Verb below
    #[command(subcommand)]
    pub verb: Option<HistoryVerb>,
    /// Which records
    #[command(flatten)]
    pub records: RecordsArgs,
    /// Check that the records are whole, in order and unchanged; exit with 1 where they are not
    #[arg(long)]
    pub verify: bool,
    /// What verifies
    #[command(flatten)]
    pub key: KeyArgs,
    /// Only the newest so many
    #[arg(long, value_name = "N", conflicts_with = "verify")]
    pub limit: Option<usize>,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: RecordFormat,
}

/// Verbs of `history`.
#[derive(Debug, Subcommand)]
pub enum HistoryVerb {
    /// Tell the whole story of one record
    Show(ShowArgs),
}

/// Arguments of `history show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// Application
    pub application: String,
    /// Number of the record
    pub number: u64,
    /// Read an export, or the directory of a sink, instead of the cluster
    #[arg(long, value_name = "PATH")]
    pub from: Vec<PathBuf>,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Markdown
    #[default]
    Markdown,
    /// One page of HTML, complete in itself
    Html,
    /// JSON
    Json,
}

/// Arguments of `report`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReportArgs {
    /// Verb below
    #[command(subcommand)]
    pub verb: Option<ReportVerb>,
    /// Which records
    #[command(flatten)]
    pub records: RecordsArgs,
    /// What verifies
    #[command(flatten)]
    pub key: KeyArgs,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: ReportFormat,
}

/// Verbs of `report`.
#[derive(Debug, Subcommand)]
pub enum ReportVerb {
    /// Deployment frequency, lead time, change failure rate, time to restore
    Dora(DoraArgs),
}

/// Arguments of `report dora`.
#[derive(Args, Debug)]
pub struct DoraArgs {
    /// Which records
    #[command(flatten)]
    pub records: RecordsArgs,
    /// Output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A command without a subject.
#[derive(Args, Debug)]
pub struct CommandArgs {
    /// Application
    pub application: String,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// A command that names a digest or a plan.
#[derive(Args, Debug)]
pub struct SubjectArgs {
    /// Application
    pub application: String,
    /// Hash, or the beginning of it
    pub hash: String,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// Application
    pub application: String,
    /// Number of a record, or the beginning of a commit or of a set's hash [default: the newest earlier set that was Ready]
    #[arg(long, value_name = "N|REV")]
    pub to: Option<String>,
    /// End the rollback: git's newest revision is taken up again
    #[arg(long, conflicts_with = "to")]
    pub end: bool,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Arguments of `pause`.
#[derive(Args, Debug)]
pub struct PauseArgs {
    /// Application
    pub application: String,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long, for example 2h; until `resume` where it is not given
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The cluster
    #[command(flatten)]
    pub connect: ConnectArgs,
}

/// Arguments of `tenant`.
#[derive(Args, Debug)]
pub struct TenantArgs {
    /// Namespace of the team
    pub namespace: String,
    /// Service account that applies
    #[arg(long, value_name = "NAME", default_value = "deployer")]
    pub account: String,
    /// ClusterRole that the account gets in the namespace
    #[arg(long, value_name = "NAME", default_value = "edit")]
    pub role: String,
    /// Namespace of the controller
    #[arg(long, value_name = "NAME", default_value = "plimsoll-system")]
    pub controller_namespace: String,
    /// Service account of the controller
    #[arg(long, value_name = "NAME", default_value = "plimsoll")]
    pub controller_account: String,
}

/// Arguments of `crds`.
#[derive(Args, Debug)]
pub struct CrdsArgs {
    /// Write one file a definition into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Log formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// One JSON object a line
    #[default]
    Json,
    /// For people
    Text,
}

/// Arguments of `controller`.
#[derive(Args, Debug)]
pub struct ControllerArgs {
    /// Kubeconfig file [default: that of the pod]
    #[arg(long, value_name = "FILE", env = "PLIMSOLL_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", env = "PLIMSOLL_CONTEXT")]
    pub context: Option<String>,
    /// The controller's own namespace: lease and stored sets
    #[arg(
        long,
        value_name = "NAME",
        env = "PLIMSOLL_NAMESPACE",
        default_value = "plimsoll-system"
    )]
    pub namespace: String,
    /// Identity in the lease [default: host name and a random part]
    #[arg(long, value_name = "NAME", env = "PLIMSOLL_IDENTITY")]
    pub identity: Option<String>,
    /// Directory of the git mirrors
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "PLIMSOLL_CACHE",
        default_value = "/var/cache/plimsoll"
    )]
    pub cache: PathBuf,
    /// Address of health and metrics
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "PLIMSOLL_LISTEN",
        default_value = "0.0.0.0:8080"
    )]
    pub listen: SocketAddr,
    /// Service account of Applications that name none, in their own namespace
    #[arg(long, value_name = "NAME", env = "PLIMSOLL_DEFAULT_SERVICE_ACCOUNT")]
    pub default_service_account: Option<String>,
    /// Reconciles at once
    #[arg(long, value_name = "N", env = "PLIMSOLL_WORKERS", default_value_t = 16)]
    pub workers: usize,
    /// Serve no metrics of single Applications: counts are of all together, for large fleets
    #[arg(long, env = "PLIMSOLL_NO_APPLICATION_METRICS")]
    pub no_application_metrics: bool,
    /// File with the secret that signs webhooks; without it none are taken
    #[arg(long, value_name = "FILE", env = "PLIMSOLL_WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Host that may be connected to although its address is loopback, link-local or the API server's
    #[arg(
        long,
        value_name = "HOST",
        env = "PLIMSOLL_ALLOW_HOST",
        value_delimiter = ','
    )]
    pub allow_host: Vec<String>,
    /// Connect to these hosts only
    #[arg(
        long,
        value_name = "HOST",
        env = "PLIMSOLL_ONLY_HOST",
        value_delimiter = ','
    )]
    pub only_host: Vec<String>,
    /// Host from which the kustomizations of Applications may take remote bases and files; none by default
    #[arg(
        long,
        value_name = "HOST",
        env = "PLIMSOLL_ALLOW_REMOTE",
        value_delimiter = ','
    )]
    pub allow_remote: Vec<String>,
    /// Take repositories by file:// URLs
    #[arg(long, env = "PLIMSOLL_ALLOW_FILE")]
    pub allow_file: bool,
    /// Largest repository in MiB, as it is received and as it is kept
    #[arg(long, value_name = "MIB", env = "PLIMSOLL_MAX_REPOSITORY_SIZE", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_repository_size: u64,
    /// Directory where every record is kept, in append-only files
    #[arg(long, value_name = "DIRECTORY", env = "PLIMSOLL_HISTORY_DIRECTORY")]
    pub history_directory: Option<PathBuf>,
    /// Git repository where every record is kept, on a branch audit/CLUSTER: a path, or a URL of https, ssh or file
    #[arg(
        long,
        value_name = "URL",
        env = "PLIMSOLL_HISTORY_REPOSITORY",
        hide_env_values = true
    )]
    pub history_repository: Option<String>,
    /// Secret in the controller's own namespace that opens it, with the keys that credentialsRef takes
    #[arg(
        long,
        value_name = "NAME",
        env = "PLIMSOLL_HISTORY_REPOSITORY_SECRET",
        requires = "history_repository"
    )]
    pub history_repository_secret: Option<String>,
    /// Change nothing while records cannot be kept there
    #[arg(long, env = "PLIMSOLL_HISTORY_FAIL_CLOSED")]
    pub history_fail_closed: bool,
    /// Size in MiB at which a file of records is followed by the next
    #[arg(long, value_name = "MIB", env = "PLIMSOLL_HISTORY_FILE_SIZE", default_value_t = 64,
          value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub history_file_size: u64,
    /// Newest records of each Application that stay in the cluster when they are kept elsewhere
    #[arg(
        long,
        value_name = "N",
        env = "PLIMSOLL_HISTORY_KEEP",
        default_value_t = 100
    )]
    pub history_keep: u64,
    /// Age after which a record leaves the cluster
    #[arg(long, value_name = "DURATION", env = "PLIMSOLL_HISTORY_KEEP_AGE", default_value = "2160h", value_parser = duration)]
    pub history_keep_age: Duration,
    /// Ed25519 key in PEM that signs checkpoints
    #[arg(long, value_name = "FILE", env = "PLIMSOLL_CHECKPOINT_KEY")]
    pub checkpoint_key: Option<PathBuf>,
    /// Secret in the controller's own namespace with that key as key.pem
    #[arg(
        long,
        value_name = "NAME",
        env = "PLIMSOLL_CHECKPOINT_KEY_SECRET",
        conflicts_with = "checkpoint_key"
    )]
    pub checkpoint_key_secret: Option<String>,
    /// Records after which a checkpoint is signed
    #[arg(
        long,
        value_name = "N",
        env = "PLIMSOLL_CHECKPOINT_EVERY",
        default_value_t = 100
    )]
    pub checkpoint_every: u64,
    /// Time after which a checkpoint is signed if there are new records
    #[arg(long, value_name = "DURATION", env = "PLIMSOLL_CHECKPOINT_INTERVAL", default_value = "10m", value_parser = duration)]
    pub checkpoint_interval: Duration,
    /// Log format
    #[arg(long, value_enum, default_value_t, env = "PLIMSOLL_LOG_FORMAT")]
    pub log_format: LogFormatArg,
    /// Log filter, as tracing's
    #[arg(
        long,
        value_name = "FILTER",
        env = "PLIMSOLL_LOG",
        default_value = "info"
    )]
    pub log: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: kube::core::Duration = text
        .parse()
        .map_err(|error: kube::core::duration::ParseError| error.to_string())?;
    if parsed.is_negative() {
        return Err("a duration is not negative".to_owned());
    }
    Ok(parsed.into())
}
