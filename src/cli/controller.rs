//! `plimsoll controller`.
//!
//! Enters: arguments.
//! Leaves: a controller that runs until it is told to stop.
//! Never: a stop in the middle of an object.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, args::ControllerArgs, settings};
use crate::{controller, model::text, source, telemetry};

pub(super) async fn run(args: &ControllerArgs) -> Result<Exit, Failure> {
    telemetry::install(settings::log_format(args.log_format), &args.log)
        .map_err(|error| Failure::new(Exit::Usage, text::chain(&error)))?;
    let settings =
        settings::controller(args).map_err(|error| Failure::new(Exit::Bug, text::chain(&error)))?;
    source::configure_process()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = settings.namespace,
        identity = settings.identity,
        workers = settings.workers,
        default_service_account = settings.default_account.as_deref().unwrap_or("none"),
        "starting"
    );
    let stop = CancellationToken::new();
    let signals = stop_on_signals(stop.clone())?;
    let ran = tokio::select! {
        ran = controller::run(settings, stop.clone()) => ran,
        () = signals => Ok(()),
    };
    ran.map_err(|error| Failure::new(Exit::Unreachable, text::chain(&error)))?;
    tracing::info!("stopped");
    Ok(Exit::Ok)
}

/// The first signal asks for a stop; the second ends at once.
fn stop_on_signals(stop: CancellationToken) -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(Exit::Bug, format!("listen for signals: {error}")))
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("told to stop at once");
    })
}
