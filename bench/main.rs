//! The benchmark: Plimsoll beside a plain loop that applies the same objects, on a real control plane.
//!
//! Enters: sizes as arguments; `--help` lists them.
//! Leaves: a table on the terminal and, with `--json`, a file: time, requests, CPU, memory, the machine.
//! Never: a figure that was not measured in this run; a verdict on a time.

mod arguments;
mod audit;
mod bare;
mod fleet;
mod hostile;
mod larger;
mod process;
mod report;
mod run;
mod soak;
mod start;
mod stub;
mod webhook;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let arguments = arguments::Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::fail(&format!("start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let ran = runtime.block_on(async {
        tokio::select! {
            ran = run::run(&arguments) => ran,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::fail(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
