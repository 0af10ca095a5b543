//! Time and memory of a piece of work, or of a process.
//! Enters: what to run. Leaves: seconds, bytes, what was printed.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What one run of a process took.
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// Most memory that it held at one time, in bytes, as the system says.
    pub(crate) peak: u64,
    pub(crate) output: Vec<u8>,
}

/// Runs `PROGRAM build DIRECTORY`. `None` when it takes longer than `most`.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn process(program: &Path, directory: &Path, most: Duration) -> io::Result<Option<Run>> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .arg("build")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let status_file = format!("/proc/{}/status", child.id());
    let Some(mut pipe) = child.stdout.take() else {
        return Err(io::Error::other("the process has no output"));
    };
    let reader = std::thread::spawn(move || {
        let mut output = Vec::new();
        pipe.read_to_end(&mut output).map(|_| output)
    });
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        peak = peak.max(high_water(&status_file));
        // Finer at the beginning, so that a short run is not rounded up.
        let pause = if started.elapsed() < Duration::from_millis(50) {
            100
        } else {
            2_000
        };
        std::thread::park_timeout(Duration::from_micros(pause));
    };
    let seconds = started.elapsed().as_secs_f64();
    let output = reader
        .join()
        .map_err(|_panic| io::Error::other("the reader ended"))??;
    check(status, program, directory)?;
    Ok(Some(Run {
        seconds,
        peak,
        output,
    }))
}

/// Runs `PROGRAM build DIRECTORY` for its time alone: who looks at a process that takes two milliseconds slows it down.
/// For what is known to end, as [`process`] found before.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn seconds(program: &Path, directory: &Path) -> io::Result<f64> {
    let mut command = Command::new(program);
    command.arg("build").arg(directory);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let seconds = started.elapsed().as_secs_f64();
    check(status, program, directory)?;
    Ok(seconds)
}

fn check(status: ExitStatus, program: &Path, directory: &Path) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    let (program, directory) = (program.display(), directory.display());
    Err(io::Error::other(format!(
        "{program} build {directory}: {status}"
    )))
}

fn high_water(status_file: &str) -> u64 {
    // A process that has just ended has no such file.
    let text = std::fs::read_to_string(status_file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// The least seconds of several runs: what the machine does beside only adds.
pub(crate) fn least<T>(runs: usize, mut work: impl FnMut() -> T) -> (f64, T) {
    let mut best = f64::INFINITY;
    loop {
        let mut result = None;
        for _ in 0..runs.max(1) {
            drop(result.take());
            let started = Instant::now();
            result = Some(work());
            best = best.min(started.elapsed().as_secs_f64());
        }
        if let Some(result) = result {
            return (best, result);
        }
    }
}

/// The exponent with which `y` grows with `x`: the slope of the line nearest to their logarithms.
pub(crate) fn exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = f64::from(u32::try_from(logs.len()).unwrap_or(u32::MAX));
    let mean_x = logs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = logs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    above / below
}
