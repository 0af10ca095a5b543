//! `plimsoll build`: upstream's `kustomize build`.
//!
//! Enters: a directory or a repository, and upstream's flags.
//! Leaves: the same bytes; exit 1 on an error, with nothing on standard output.
//! Never: a program executed, a chart fetched; a host asked that was not named.

use std::{path::Path, sync::Arc, time::Duration};

use kustomize::{Built, LoadRestrictions, Options, Reorder};

use super::{
    Exit, Failure,
    build_args::{BuildArgs, LoadRestrictorArg, ReorderArg},
    input, output, settings,
};
use crate::{
    clock,
    model::text,
    source::{self, Mirrors, RemoteBases},
};

pub(super) fn run(args: &BuildArgs) -> Result<Exit, Failure> {
    // Upstream exits with 1 whatever went wrong.
    build(args).map(|()| Exit::Ok).map_err(|failure| Failure {
        exit: Exit::Negative,
        ..failure
    })
}

fn build(args: &BuildArgs) -> Result<(), Failure> {
    let [directory] = args.directory.as_slice() else {
        return Err(Failure::new(
            Exit::Negative,
            "specify one path to kustomization.yaml",
        ));
    };
    if directory.is_empty() {
        return Err(Failure::new(
            Exit::Negative,
            "open a directory: its path is empty",
        ));
    }
    refuse_unsupported(args)?;
    warn_of_old_flags(args);
    let files = input::files();
    let path = if kustomize::is_repository(directory) {
        directory.clone()
    } else {
        let path = input::absolute(Path::new(directory))?;
        files.remember_above(&path);
        path
    };
    let options = Options {
        load_restrictions: match args.load_restrictor {
            LoadRestrictorArg::RootOnly => LoadRestrictions::RootOnly,
            LoadRestrictorArg::None => LoadRestrictions::None,
        },
        reorder: args.reorder.map(|order| match order {
            ReorderArg::Legacy => Reorder::Legacy,
            ReorderArg::None => Reorder::None,
        }),
        managed_by_label: args.enable_managedby_label || settings::managed_by_label(),
        alpha_plugins: args.enable_alpha_plugins,
        ..Options::default()
    };
    let built = if args.allow_remote.is_empty() {
        // Neither a runtime nor a cache: a small tree is built in less time than they take to start.
        kustomize::build(&files, &path, &options)
    } else {
        build_with_remote(&path, options, &args.allow_remote)?
    };
    let built = built.map_err(|error| failure(&error, args.stack_trace))?;
    for warning in &built.warnings {
        output::message(&warning.message);
    }
    write(&built, args.output.as_deref().map(Path::new))
}

/// Builds on a thread that may wait for servers.
fn build_with_remote(
    path: &str,
    options: Options,
    allowed: &[String],
) -> Result<Result<Built, kustomize::Error>, Failure> {
    source::configure_process()?;
    let cache = settings::cache().ok_or_else(|| {
        Failure::new(Exit::Negative, "find a directory for what is fetched")
            .hint("set HOME, or XDG_CACHE_HOME")
    })?;
    let mut fetching = source::Settings::new(cache);
    // The person names the host, and connects as the person.
    fetching.egress.allow_hosts = allowed.to_vec();
    fetching.egress.only_hosts = Some(Vec::new());
    let (path, allowed) = (path.to_owned(), allowed.to_vec());
    super::dispatch::wait(|| async move {
        let mirrors = Mirrors::open(fetching)?;
        let remote = RemoteBases::new(
            mirrors.clone(),
            allowed,
            // One build asks a server once for each reference.
            Duration::MAX,
            clock::now(),
            tokio::runtime::Handle::current(),
        );
        let options = Options {
            remote: Some(Arc::new(remote)),
            ..options
        };
        let task =
            tokio::task::spawn_blocking(move || kustomize::build(&input::files(), &path, &options));
        let built = task
            .await
            .map_err(|error| Failure::new(Exit::Bug, format!("wait for the renderer: {error}")));
        mirrors.close().await;
        built
    })
}

fn failure(error: &kustomize::Error, stack_trace: bool) -> Failure {
    let message = if stack_trace {
        causes(error)
    } else {
        text::chain(error)
    };
    let failure = Failure::new(Exit::Negative, message);
    match error.advice() {
        Some(advice) => failure.hint(advice),
        None => failure,
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(format!("  caused by: {error}"));
        cause = error.source();
    }
    lines.join("\n")
}

fn write(built: &Built, target: Option<&Path>) -> Result<(), Failure> {
    match target.filter(|target| !target.as_os_str().is_empty()) {
        None => output::text(&built.to_yaml()),
        Some(target) if target.is_dir() => built
            .file_names()
            .into_iter()
            .zip(&built.resources)
            .try_for_each(|(name, resource)| {
                input::write(&target.join(name), resource.to_yaml().as_bytes())
            }),
        Some(target) => input::write(target, built.to_yaml().as_bytes()),
    }
}

/// Says what upstream says of flags that it keeps for old scripts.
fn warn_of_old_flags(args: &BuildArgs) {
    if args.reorder.is_some() {
        output::message(
            "Flag --reorder has been deprecated, use the new 'sortOptions' field in kustomization.yaml instead.",
        );
    }
    if args.enable_managedby_label {
        output::message(
            "Flag --enable-managedby-label has been deprecated, use the `managedByLabel` option in the `buildMetadata` \
             field of kustomization.yaml instead.",
        );
    }
}

fn refuse_unsupported(args: &BuildArgs) -> Result<(), Failure> {
    let refused = |flag: &str, why: &str, instead: &str| {
        Err(Failure::new(Exit::Negative, format!("take --{flag}: {why}")).hint(instead))
    };
    let charts = [
        ("enable-helm", args.enable_helm),
        ("helm-command", args.helm_command.is_some()),
        ("helm-api-versions", !args.helm_api_versions.is_empty()),
        ("helm-kube-version", args.helm_kube_version.is_some()),
        ("helm-debug", args.helm_debug),
    ];
    if let Some((flag, _)) = charts.iter().find(|(_, given)| *given) {
        return refused(
            flag,
            "charts are not rendered yet",
            "render the chart with `helm template`, commit the result and name it under resources",
        );
    }
    let executed = [
        ("enable-exec", args.enable_exec),
        ("network", args.network),
        ("network-name", args.network_name.is_some()),
        ("mount", !args.mount.is_empty()),
        ("env", !args.env.is_empty()),
        ("as-current-user", args.as_current_user),
    ];
    if let Some((flag, _)) = executed.iter().find(|(_, given)| *given) {
        return refused(
            flag,
            "nothing is executed by a build, no plugin and no container",
            "run the function beforehand, commit its output and name it under resources",
        );
    }
    Ok(())
}
