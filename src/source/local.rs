//! The disk as files, for the command line.
//!
//! Enters: absolute paths.
//! Leaves: bytes, names, real paths; links are followed as the system does.
//! Never: in the controller, where an Application must not read the controller's disk.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kustomize::{EntryKind, Files, FilesError};

/// The whole disk as a tree whose root is `/`.
///
/// # Caveats
/// Nothing is refused because of where it lies: it is for a person who renders what the person may read.
/// What stands at a path is found out once: one value is for one build, not for a process that goes on.
#[derive(Debug)]
pub struct LocalFiles {
    max_file_bytes: u64,
    max_files: usize,
    /// What was found. The system looks at each part of a path to follow links, and a build asks for every file, and for
    /// some twice.
    known: Mutex<BTreeMap<String, Found>>,
}

/// What stands at a path.
#[derive(Clone, Debug)]
struct Found {
    real: String,
    /// None where only the way through it was asked for.
    kind: Option<EntryKind>,
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
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// Takes what is above a real path, as [`Self::absolute`] returns one, for the directories that they are.
    pub fn remember_above(&self, real: &str) {
        let mut known = self.lock();
        let mut here = real;
        while let Some((parent, _)) = here
            .rsplit_once('/')
            .filter(|(parent, _)| !parent.is_empty())
        {
            known.insert(
                parent.to_owned(),
                Found::new(parent, Some(EntryKind::Directory)),
            );
            here = parent;
        }
    }

    /// Returns the real path of a directory, or `None` where there is nothing.
    fn directory(&self, path: &str) -> Result<Option<String>, FilesError> {
        let known = self.lock().get(path).map(|found| found.real.clone());
        if known.is_some() {
            return Ok(known);
        }
        let real = follow(path)?;
        if let Some(real) = &real {
            self.lock().insert(path.to_owned(), Found::new(real, None));
        }
        Ok(real)
    }

    /// Looks at what stands at a path.
    fn look(&self, path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        if matches!(name, "" | "." | "..") {
            return end(path);
        }
        let Some(parent) = self.directory(if parent.is_empty() { "/" } else { parent })? else {
            return Ok(None);
        };
        let real = format!("{}/{name}", parent.trim_end_matches('/'));
        match fs::symlink_metadata(&real) {
            Ok(found) if found.is_symlink() => end(path),
            Ok(found) => Ok(Some((real, kind(path, found.file_type())?))),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(explain(path, error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Found>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(Found {
            real,
            kind: Some(kind),
        }) = self.lock().get(path)
        {
            return Ok(Some((real.clone(), *kind)));
        }
        let found = self.look(path)?;
        if let Some((real, kind)) = &found {
            let mut known = self.lock();
            if *kind == EntryKind::Directory && real != path {
                known.insert(real.clone(), Found::new(real, Some(*kind)));
            }
            known.insert(path.to_owned(), Found::new(real, Some(*kind)));
        }
        Ok(found)
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

impl Found {
    fn new(real: &str, kind: Option<EntryKind>) -> Self {
        Self {
            real: real.to_owned(),
            kind,
        }
    }
}

/// Follows every link of a path; `None` where there is nothing.
fn follow(path: &str) -> Result<Option<String>, FilesError> {
    match fs::canonicalize(path) {
        Ok(real) => text(path, real).map(Some),
        Err(error) if is_nothing(&error) => Ok(None),
        Err(error) => Err(explain(path, error)),
    }
}

/// What stands where a path leads to when every link of it is followed.
fn end(path: &str) -> Result<Option<(String, EntryKind)>, FilesError> {
    let Some(real) = follow(path)? else {
        return Ok(None);
    };
    let found = fs::metadata(&real).map_err(|error| explain(path, error))?;
    Ok(Some((real, kind(path, found.file_type())?)))
}

fn kind(path: &str, found: fs::FileType) -> Result<EntryKind, FilesError> {
    if found.is_dir() {
        Ok(EntryKind::Directory)
    } else if found.is_file() {
        Ok(EntryKind::File)
    } else {
        // To read a pipe or a device may never end.
        Err(unusable(path, Unusable::NeitherFileNorDirectory))
    }
}

/// A file where a directory should be is nothing, as in every other tree.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn text(path: &str, real: PathBuf) -> Result<String, FilesError> {
    match real.into_os_string().into_string() {
        Ok(real) => Ok(real),
        Err(_not_utf8) => Err(unusable(path, Unusable::PathNotText)),
    }
}

fn explain(path: &str, error: io::Error) -> FilesError {
    let path = path.to_owned();
    if is_nothing(&error) {
        return FilesError::Missing { path };
    }
    FilesError::Read {
        path,
        source: Box::new(error),
    }
}

fn unusable(path: &str, source: Unusable) -> FilesError {
    FilesError::Read {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
