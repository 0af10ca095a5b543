//! Text, JSON, YAML, messages.
//!
//! Enters: finished text or values.
//! Leaves: bytes on the streams; a closed pipe ends quietly.
//! Never: a format of its own.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::cli::{Exit, Failure};

/// Prints data.
pub(in crate::cli) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a line for the person beside the data.
pub(in crate::cli) fn message(text: &str) {
    let mut out = io::stderr().lock();
    // Nobody reads it if it cannot be written.
    let _written = writeln!(out, "{text}");
}

pub(in crate::cli) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Bug, format!("write JSON: {error}")))?;
    out.push('\n');
    text(&out)
}

pub(in crate::cli) fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let out = serde_yaml::to_string(value)
        .map_err(|error| Failure::new(Exit::Bug, format!("write YAML: {error}")))?;
    text(&out)
}

/// Prints why a verb failed.
pub(in crate::cli) fn failure(failure: &Failure) {
    message(&format!("Error: {}", failure.message));
    for hint in &failure.hints {
        message(&format!("  next: {hint}"));
    }
}

/// Prints help, or what is wrong with the arguments.
pub(in crate::cli) fn usage(error: &clap::Error) {
    // Nobody reads it if it cannot be written.
    let _written = error.print();
}
