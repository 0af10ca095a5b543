//! `kustomize build` over a directory on disk.
//!
//! usage: `kustomize_build [-o FILE|DIR] [--reorder legacy|none] [--load-restrictor LoadRestrictionsNone]
//! [--enable-managedby-label] [--enable-alpha-plugins] [DIR]`

use std::error::Error as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use kustomize::{EntryKind, Files, FilesError, LoadRestrictions, Options, Reorder, build};

/// The whole disk.
struct Disk;

fn failed(path: &str, source: std::io::Error) -> FilesError {
    FilesError::Read {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

impl Files for Disk {
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        let kind = if real.is_dir() {
            EntryKind::Directory
        } else {
            EntryKind::File
        };
        Ok(Some((real.to_string_lossy().into_owned(), kind)))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError> {
        std::fs::read(path)
            .map(Arc::from)
            .map_err(|error| failed(path, error))
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        let entries = std::fs::read_dir(path).map_err(|error| failed(path, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(path, error))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

struct Arguments {
    directory: String,
    output: Option<PathBuf>,
    options: Options,
}

fn arguments() -> Result<Arguments, String> {
    let mut result = Arguments {
        directory: ".".to_owned(),
        output: None,
        options: Options::default(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with('-') => {
                (flag.to_owned(), Some(value.to_owned()))
            }
            _ => (word, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| format!("{flag} needs a value"))
        };
        match flag.as_str() {
            "build" => {}
            "-o" | "--output" => result.output = Some(PathBuf::from(value()?)),
            "--reorder" => {
                result.options.reorder = match value()?.as_str() {
                    "legacy" => Some(Reorder::Legacy),
                    "none" => Some(Reorder::None),
                    other => return Err(format!("--reorder {other}: it is legacy or none")),
                }
            }
            "--load-restrictor" => {
                result.options.load_restrictions = match value()?.as_str() {
                    "LoadRestrictionsNone" => LoadRestrictions::None,
                    "LoadRestrictionsRootOnly" => LoadRestrictions::RootOnly,
                    other => return Err(format!("--load-restrictor {other}: unknown")),
                }
            }
            "--enable-managedby-label" => result.options.managed_by_label = true,
            "--enable-alpha-plugins" => result.options.alpha_plugins = true,
            other if other.starts_with('-') => return Err(format!("{other}: unknown flag")),
            directory => directory.clone_into(&mut result.directory),
        }
    }
    Ok(result)
}

fn run() -> Result<(), String> {
    let arguments = arguments()?;
    let directory = std::path::absolute(&arguments.directory).map_err(|error| error.to_string())?;
    let directory = std::fs::canonicalize(&directory).unwrap_or(directory);
    let built =
        build(&Disk, &directory.to_string_lossy(), &arguments.options).map_err(|error| {
            let mut text = format!("failed to {error}");
            let mut cause = error.source();
            while let Some(next) = cause {
                text.push_str(": ");
                text.push_str(&next.to_string());
                cause = next.source();
            }
            if let Some(advice) = error.advice() {
                text.push_str("\nhint: ");
                text.push_str(advice);
            }
            text
        })?;
    let mut stderr = std::io::stderr();
    for warning in &built.warnings {
        writeln!(stderr, "{}", warning.message).map_err(|error| error.to_string())?;
    }
    match arguments.output {
        None => std::io::stdout()
            .write_all(built.to_yaml().as_bytes())
            .map_err(|error| error.to_string()),
        Some(path) if path.is_dir() => write_each(&built, &path).map_err(|error| error.to_string()),
        Some(path) => std::fs::write(path, built.to_yaml()).map_err(|error| error.to_string()),
    }
}

/// One file for each object, named as upstream names them.
fn write_each(built: &kustomize::Built, directory: &Path) -> std::io::Result<()> {
    for (name, resource) in built.file_names().into_iter().zip(&built.resources) {
        std::fs::write(directory.join(name), resource.to_yaml())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => match writeln!(std::io::stderr(), "Error: {message}") {
            Ok(()) | Err(_) => ExitCode::FAILURE,
        },
    }
}
