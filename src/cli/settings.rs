//! Settings: what the arguments mean.
//!
//! Enters: arguments, the environment.
//! Leaves: typed settings, built once.
//! Never: a second reader of the environment.

use std::path::PathBuf;

use super::args::{ConnectArgs, ControllerArgs, LogFormatArg};
use crate::{
    clock,
    cluster::ConnectSettings,
    controller::ControllerSettings,
    model::Secret,
    pipeline::{ArchiveSettings, KeySource},
    report::PerApplication,
    source,
    telemetry::LogFormat,
};

/// Returns a value of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the only reader of the environment"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the kubeconfig files: the flag, else `KUBECONFIG`, else `~/.kube/config` where it exists.
fn kubeconfig(flag: Option<&PathBuf>) -> Vec<PathBuf> {
    if let Some(file) = flag {
        return vec![file.clone()];
    }
    if let Some(list) = environment("KUBECONFIG") {
        return std::env::split_paths(&list)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
    }
    environment("HOME")
        .map(|home| PathBuf::from(home).join(".kube/config"))
        .filter(|file| file.exists())
        .into_iter()
        .collect()
}

/// Returns how a person's command reaches the cluster.
pub(super) fn connect(args: &ConnectArgs) -> ConnectSettings {
    ConnectSettings {
        kubeconfig: kubeconfig(args.kubeconfig.as_ref()),
        context: args.context.clone(),
        ..ConnectSettings::new(clock::now)
    }
}

/// Says whether upstream's variable asks `build` for the label of `--enable-managedby-label`.
pub(super) fn managed_by_label() -> bool {
    environment("KUSTOMIZE_ENABLE_MANAGEDBY_LABEL").is_some_and(|value| value == "on")
}

/// Returns where a person's commands keep repositories while they run: the user's cache, which nobody else can write.
pub(super) fn cache() -> Option<PathBuf> {
    let cache = environment("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache
        .filter(|cache| cache.is_absolute())
        .map(|cache| cache.join("plimsoll"))
}

/// Returns what the controller is told.
///
/// # Errors
/// The system gives no randomness for an identity.
pub(super) fn controller(args: &ControllerArgs) -> Result<ControllerSettings, getrandom::Error> {
    // In a pod there is no kubeconfig and none is looked for: KUBECONFIG there would be somebody's mistake.
    let in_cluster = environment("KUBERNETES_SERVICE_HOST").is_some() && args.kubeconfig.is_none();
    let mut source = source::Settings::new(args.cache.clone());
    source.egress.allow_hosts.clone_from(&args.allow_host);
    source.egress.only_hosts = (!args.only_host.is_empty()).then(|| args.only_host.clone());
    source.allow_file = args.allow_file;
    source.max_repository_bytes = args.max_repository_size << 20;
    let identity = match &args.identity {
        Some(identity) => identity.clone(),
        None => identity()?,
    };
    Ok(ControllerSettings {
        archive: archive(args, &identity),
        archive_secret: args.history_repository_secret.clone(),
        connect: ConnectSettings {
            kubeconfig: if in_cluster {
                Vec::new()
            } else {
                kubeconfig(args.kubeconfig.as_ref())
            },
            context: args.context.clone(),
            ..ConnectSettings::new(clock::now)
        },
        source,
        namespace: args.namespace.clone(),
        identity,
        listen: Some(args.listen),
        default_account: args.default_service_account.clone(),
        workers: args.workers,
        per_application: if args.no_application_metrics {
            PerApplication::Together
        } else {
            PerApplication::Each
        },
        webhook_secret: args.webhook_secret_file.clone(),
        remote_hosts: args.allow_remote.clone(),
    })
}

fn archive(args: &ControllerArgs, identity: &str) -> ArchiveSettings {
    let file = args.checkpoint_key.clone().map(KeySource::File);
    let secret = args.checkpoint_key_secret.clone().map(KeySource::Secret);
    ArchiveSettings {
        identity: identity.to_owned(),
        directory: args.history_directory.clone(),
        repository: args.history_repository.clone().map(Secret::new),
        rotate_bytes: args.history_file_size << 20,
        fail_closed: args.history_fail_closed,
        keep: args.history_keep,
        keep_age: args.history_keep_age,
        key: file.or(secret),
        checkpoint_every: args.checkpoint_every,
        checkpoint_interval: args.checkpoint_interval,
        ..ArchiveSettings::default()
    }
}

/// Returns how logs are written.
pub(super) fn log_format(format: LogFormatArg) -> LogFormat {
    match format {
        LogFormatArg::Json => LogFormat::Json,
        LogFormatArg::Text => LogFormat::Text,
    }
}

/// Two processes of one pod name, an old and a new one, are two holders: hence the random part.
fn identity() -> Result<String, getrandom::Error> {
    let host = environment("HOSTNAME").map_or_else(
        || "plimsoll".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let mut random = [0_u8; 4];
    getrandom::fill(&mut random)?;
    Ok(format!("{host}-{:08x}", u32::from_be_bytes(random)))
}
