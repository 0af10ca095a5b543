//! From arguments to an exit code.
//!
//! Enters: parsed arguments.
//! Leaves: an exit code; a failure is printed once.
//! Never: a panic that reaches the person without a code.

use clap::{Parser as _, error::ErrorKind};

use super::{
    Exit, Failure,
    args::{Cli, Verb},
    build,
    build_args::BuildArgs,
    command, controller, crds, diff, get, history, output, render, report, rollback, tenant, tree,
    why,
};

/// Runs the command line and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Exit {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let is_build = arguments.get(1).is_some_and(|verb| verb == "build");
    let parsed = if is_build {
        BuildArgs::read(&arguments[1..]).map(Verb::Build)
    } else {
        Cli::try_parse_from(arguments).map(|cli| cli.verb)
    };
    let chosen = match parsed {
        Ok(chosen) => chosen,
        Err(error) => {
            let exit = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                // As upstream, whatever went wrong.
                _ if is_build => Exit::Negative,
                _ => Exit::Usage,
            };
            output::usage(&error);
            return exit;
        }
    };
    match verb(&chosen) {
        Ok(exit) => exit,
        Err(failure) => {
            output::failure(&failure);
            failure.exit
        }
    }
}

fn verb(verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Build(args) => build::run(args),
        Verb::Render(args) => render::run(args),
        Verb::Crds(args) => crds::run(args),
        Verb::Tenant(args) => tenant::run(args),
        Verb::Diff(args) => wait(|| diff::run(args)),
        Verb::Get(args) => wait(|| get::run(args)),
        Verb::Tree(args) => wait(|| tree::run(args)),
        Verb::Why(args) => wait(|| why::run(args)),
        Verb::History(args) => wait(|| history::run(args)),
        Verb::Report(args) => wait(|| report::run(args)),
        Verb::Sync(args) => wait(|| command::sync(args)),
        Verb::Release(args) => wait(|| command::release(args)),
        Verb::Approve(args) => wait(|| command::approve(args)),
        Verb::Rollback(args) => wait(|| rollback::run(args)),
        Verb::Cancel(args) => wait(|| command::cancel(args)),
        Verb::Pause(args) => wait(|| command::pause(args)),
        Verb::Resume(args) => wait(|| command::resume(args)),
        Verb::Controller(args) => {
            crate::controller::bound_memory();
            wait(|| controller::run(args))
        }
    }
}

/// Runs what waits to its end.
///
/// It is begun here and in no caller: the frame of one verb's work does not lie on the stack of another, where touching it
/// takes a part of the time of a small `build`.
#[inline(never)]
pub(super) fn wait<T, W>(work: impl FnOnce() -> W) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    // Two provider features in one graph would make the choice ambiguous; the first one installed stays.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Bug, format!("start the runtime: {error}")))?;
    runtime.block_on(work())
}
