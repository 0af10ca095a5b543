//! The disk as files, for the command line.
//!
//! Enters: absolute paths.
//! Leaves: bytes, names, real paths; links are followed as the system does.
//! Never: in the controller, where an Application must not read the controller's disk.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use kustomize::{EntryKind, Files, FilesError};

/// The whole disk as a tree whose root is `/`.
///
/// # Caveats
/// Nothing is refused because of where it lies: it is for a person who renders what the person may read.
#[derive(Clone, Copy, Debug)]
pub struct LocalFiles {
    max_file_bytes: u64,
    max_files: usize,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Unusable {
    #[error("the directory holds more than {0} names")]
    TooManyNames(usize),
    #[error("a name in the directory is not UTF-8")]
    NameNotText,
    #[error("where it leads to is not UTF-8")]
    PathNotText,
    #[error("it is neither a file nor a directory")]
    NeitherFileNorDirectory,
}

impl LocalFiles {
    /// Returns the disk, with the largest file in bytes and the most names of one directory.
    pub fn new(max_file_bytes: u64, max_files: usize) -> Self {
        Self {
            max_file_bytes,
            max_files,
        }
    }

    /// Returns the path of a directory as the tree has it, links followed: the form in which it is handed to a build.
    ///
    /// # Errors
    /// When there is nothing, or its path is not UTF-8.
    pub fn absolute(directory: &Path) -> Result<String, FilesError> {
        let shown = directory.display().to_string();
        let real = fs::canonicalize(directory).map_err(|error| explain(&shown, error))?;
        text(&shown, real)
    }
}

impl Files for LocalFiles {
    fn resolve(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            // A file where a directory should be is nothing, as in every other tree.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(explain(path, error)),
        };
        let kind = fs::metadata(&real)
            .map_err(|error| explain(path, error))?
            .file_type();
        let kind = if kind.is_dir() {
            EntryKind::Directory
        } else if kind.is_file() {
            EntryKind::File
        } else {
            // To read a pipe or a device may never end.
            return Err(unusable(path, Unusable::NeitherFileNorDirectory));
        };
        Ok(Some((text(path, real)?, kind)))
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, FilesError> {
        // Asked before it is opened: to open a pipe may never end.
        let metadata = fs::metadata(path).map_err(|error| explain(path, error))?;
        if metadata.is_dir() {
            return Err(FilesError::Missing {
                path: path.to_owned(),
            });
        }
        if !metadata.is_file() {
            return Err(unusable(path, Unusable::NeitherFileNorDirectory));
        }
        let file = fs::File::open(path).map_err(|error| explain(path, error))?;
        let expected = metadata.len().min(self.max_file_bytes);
        let mut content = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
        // One byte more than allowed shows that there is more, whatever the size was said to be.
        let limit = self.max_file_bytes;
        file.take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| explain(path, error))?;
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if size > limit {
            let size = fs::metadata(path).map_or(size, |metadata| metadata.len());
            return Err(FilesError::TooLarge {
                path: path.to_owned(),
                size,
                limit,
            });
        }
        Ok(content.into())
    }

    fn list(&self, path: &str) -> Result<Vec<String>, FilesError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| explain(path, error))? {
            let entry = entry.map_err(|error| explain(path, error))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(unusable(path, Unusable::NameNotText));
            };
            names.push(name);
            if names.len() > self.max_files {
                return Err(unusable(path, Unusable::TooManyNames(self.max_files)));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn text(path: &str, real: PathBuf) -> Result<String, FilesError> {
    match real.into_os_string().into_string() {
        Ok(real) => Ok(real),
        Err(_not_utf8) => Err(unusable(path, Unusable::PathNotText)),
    }
}

fn explain(path: &str, error: io::Error) -> FilesError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FilesError::Missing { path },
        _ => FilesError::Read {
            path,
            source: Box::new(error),
        },
    }
}

fn unusable(path: &str, source: Unusable) -> FilesError {
    FilesError::Read {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
