//! The demo: the main job, played on a real control plane.
//!
//! Enters: `--keep`, and `KUBECONFIG` for a cluster of the reader's own.
//! Leaves: a story with timings; exit 0 only if every step happened.
//! Never: a step that is told and did not happen.

mod control_plane;
mod print;
mod repository;
mod stage;
mod story;

use std::process::ExitCode;

use print::Printer;

fn main() -> ExitCode {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let keep = std::env::args().any(|argument| argument == "--keep");
    let printer = Printer::new();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.fail(&format!("start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let played = runtime.block_on(async {
        tokio::select! {
            played = story::play(&printer, keep) => played,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer.fail(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
