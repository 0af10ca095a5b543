//! `plimsoll build`: upstream's `kustomize build`.
//!
//! Enters: a directory and upstream's flags.
//! Leaves: the same bytes; exit 1 on an error, with nothing on standard output.
//! Never: a program executed, a chart fetched.

use std::path::Path;

use super::{
    Exit, Failure,
    args::{BuildArgs, LoadRestrictorArg, ReorderArg},
    input, output,
};
use crate::model::text;

pub(super) fn run(args: &BuildArgs) -> Result<Exit, Failure> {
    // Upstream exits with 1 whatever went wrong.
    build(args).map(|()| Exit::Ok).map_err(|failure| Failure {
        exit: Exit::Negative,
        ..failure
    })
}

fn build(args: &BuildArgs) -> Result<(), Failure> {
    refuse_unsupported(args)?;
    let files = input::files();
    let path = input::absolute(Path::new(&args.directory))?;
    let options = kustomize::Options {
        load_restrictions: match args.load_restrictor {
            LoadRestrictorArg::RootOnly => kustomize::LoadRestrictions::RootOnly,
            LoadRestrictorArg::None => kustomize::LoadRestrictions::None,
        },
        reorder: args.reorder.map(|order| match order {
            ReorderArg::Legacy => kustomize::Reorder::Legacy,
            ReorderArg::None => kustomize::Reorder::None,
        }),
        managed_by_label: args.enable_managedby_label,
        alpha_plugins: args.enable_alpha_plugins,
        ..kustomize::Options::default()
    };
    let built = kustomize::build(&files, &path, &options).map_err(|error| {
        let message = if args.stack_trace {
            causes(&error)
        } else {
            text::chain(&error)
        };
        Failure::new(Exit::Negative, message)
    })?;
    for warning in &built.warnings {
        output::message(&warning.message);
    }
    match &args.output {
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

fn causes(error: &dyn std::error::Error) -> String {
    let mut lines = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        lines.push(format!("  caused by: {error}"));
        cause = error.source();
    }
    lines.join("\n")
}

fn refuse_unsupported(args: &BuildArgs) -> Result<(), Failure> {
    let charts = args.enable_helm || args.helm_command.is_some();
    if charts {
        return Err(Failure::new(Exit::Negative, "charts are not rendered yet")
            .hint("render the chart with helm template and name the result under resources"));
    }
    let execution = args.enable_exec
        || args.network
        || !args.mount.is_empty()
        || !args.env.is_empty()
        || args.as_current_user;
    if execution {
        return Err(Failure::new(
            Exit::Negative,
            "nothing is executed by this build: no exec plugin, no container",
        )
        .hint("run the function beforehand and commit its output"));
    }
    if let Some(host) = args.allow_remote.first() {
        return Err(Failure::new(
            Exit::Negative,
            format!("remote resources from {host} are not fetched yet"),
        )
        .hint("commit a copy of the remote base"));
    }
    Ok(())
}
