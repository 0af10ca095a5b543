//! Reading from the tree: what a directory may read, what was read, what is remote.
//! Enters: paths as they stand in a kustomization.
//! Leaves: bytes and directories; the list of everything looked for.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use crate::built::Warning;
use crate::error::{Error, ErrorKind};
use crate::files::{EntryKind, Files, join};
use crate::kustomization::{Kustomization, NAMES};
use crate::merge::Schema;
use crate::options::{LoadRestrictions, Options, RemotePin, RemoteReference};
use crate::remote;
use crate::yaml;

/// The files of the tree, or of something fetched.
#[derive(Clone)]
pub(crate) enum Tree<'a> {
    Own(&'a dyn Files),
    /// Fetched files, and how the repository is called where a place in it is named.
    Fetched(Arc<dyn Files>, Arc<str>),
}

impl Tree<'_> {
    pub(crate) fn files(&self) -> &dyn Files {
        match self {
            Self::Own(files) => *files,
            Self::Fetched(files, _) => files.as_ref(),
        }
    }

    /// A path as messages and origins name it.
    fn named(&self, path: &str) -> String {
        match self {
            Self::Own(_) => path.to_owned(),
            Self::Fetched(_, repository) => format!("{repository}/{path}"),
        }
    }
}

/// A directory with a kustomization.
pub(crate) struct Directory<'a> {
    pub(crate) tree: Tree<'a>,
    /// Real path inside the tree.
    pub(crate) root: String,
    parent: Option<Rc<Self>>,
    restrictions: LoadRestrictions,
    /// The text that named the repository, if it was fetched.
    repository: Option<String>,
    depth: usize,
}

/// What a build gathers beside objects.
pub(crate) struct Loader<'a> {
    pub(crate) options: &'a Options,
    pub(crate) schema: Arc<Schema>,
    pub(crate) schema_is_set: bool,
    /// Whether upstream has looked into the built-in schema, or seen that it must: a schema that comes later is added to it then, and
    /// takes its place otherwise.
    pub(crate) built_in_is_used: bool,
    pub(crate) read: BTreeSet<String>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) remotes: Vec<RemotePin>,
    pub(crate) bytes: usize,
    kustomizations: usize,
}

/// What a part with `..` in it usually comes from.
pub(crate) const INDENTATION: &str =
    "check the indentation of the list: two entries may have become one";

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Load, message)
}

impl<'a> Loader<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self {
            options,
            schema: Schema::built_in(),
            schema_is_set: false,
            built_in_is_used: false,
            read: BTreeSet::new(),
            warnings: Vec::new(),
            remotes: Vec::new(),
            bytes: 0,
            kustomizations: 0,
        }
    }

    pub(crate) fn limits(&self) -> yaml::Limits {
        let limits = &self.options.limits;
        yaml::Limits {
            bytes: limits.file_bytes,
            depth: limits.depth,
            documents: limits.documents,
            nodes: limits.nodes,
        }
    }

    pub(crate) fn warn(&mut self, file: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            file: file.to_owned(),
            message: message.into(),
        });
    }

    /// The directory where a build begins: of the tree, or of a repository.
    pub(crate) fn top(&mut self, files: &'a dyn Files, path: &str) -> Result<Directory<'a>, Error> {
        if let Some(reference) = remote::parse_git(path) {
            return self.enter_repository(None, path, &reference);
        }
        if remote::is_url(path) {
            return Err(failed(format!("open {path}: it is no repository"))
                .hint("build a directory, or the URL of a git repository"));
        }
        let absolute = join("/", path)
            .ok_or_else(|| failed(format!("open {path}: it leads out of the tree")))?;
        self.read.insert(absolute.clone());
        match files.resolve(&absolute)? {
            Some((root, EntryKind::Directory)) => Ok(Directory {
                tree: Tree::Own(files),
                root,
                parent: None,
                restrictions: self.options.load_restrictions,
                repository: None,
                depth: 0,
            }),
            Some((_, EntryKind::File)) => Err(failed(format!(
                "open {path}: it is a file, not a directory"
            ))),
            None => Err(failed(format!("open {path}: there is nothing"))),
        }
    }

    /// The kind of what stands at a path of a directory.
    pub(crate) fn kind_of(
        &mut self,
        directory: &Directory<'a>,
        path: &str,
    ) -> Result<Option<EntryKind>, Error> {
        let Some(absolute) = join(&directory.root, path) else {
            return Err(failed(format!("find {path}: it leads out of the tree")));
        };
        self.note(directory, &absolute);
        Ok(directory
            .tree
            .files()
            .resolve(&absolute)?
            .map(|(_, kind)| kind))
    }

    fn note(&mut self, directory: &Directory<'a>, path: &str) {
        if matches!(directory.tree, Tree::Own(_)) {
            self.read.insert(path.to_owned());
        }
    }

    /// The content of a file, and its path.
    ///
    /// # Errors
    /// When the file is missing, too large, or may not be read from here.
    pub(crate) fn load(
        &mut self,
        directory: &Directory<'a>,
        path: &str,
    ) -> Result<(Arc<[u8]>, String), Error> {
        if remote::is_url(path) {
            return self.load_remote(path);
        }
        if path.is_empty() {
            return Err(failed("read a file: its path is empty"));
        }
        let Some(absolute) = join(&directory.root, path) else {
            return Err(failed(format!("read {path}: it leads out of the tree")));
        };
        self.note(directory, &absolute);
        let real = match directory.tree.files().resolve(&absolute)? {
            Some((real, EntryKind::File)) => real,
            Some((_, EntryKind::Directory)) => {
                return Err(failed(format!("read {path}: it is a directory")));
            }
            None => return Err(failed(format!("read {path}: there is no such file"))),
        };
        if directory.restrictions == LoadRestrictions::RootOnly && !is_below(&real, &directory.root)
        {
            return Err(failed(format!("read {path}: it is not in or below {}", directory.root))
                .hint("move the file, make its directory a base, or build with --load-restrictor LoadRestrictionsNone"));
        }
        self.note(directory, &real);
        let content = directory.tree.files().read(&real)?;
        self.count(&real, content.len())?;
        Ok((content, directory.tree.named(&real)))
    }

    fn count(&mut self, path: &str, size: usize) -> Result<(), Error> {
        let limits = &self.options.limits;
        if size > limits.file_bytes {
            let message = format!(
                "read {path}: {size} bytes, the limit is {}",
                limits.file_bytes
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > limits.total_bytes {
            let message = format!(
                "read {path}: with it the build has read more than {} bytes",
                limits.total_bytes
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        Ok(())
    }

    fn load_remote(&mut self, url: &str) -> Result<(Arc<[u8]>, String), Error> {
        let remote = self.options.remote.as_ref().ok_or_else(|| refused(url))?;
        let (content, pin) = remote.fetch_file(url)?;
        self.pin(pin);
        self.count(url, content.len())?;
        Ok((content, url.to_owned()))
    }

    fn pin(&mut self, pin: RemotePin) {
        if pin.moves {
            self.warn(
                "",
                format!(
                    "{} can lead elsewhere tomorrow; today it is {}",
                    pin.reference, pin.pin
                ),
            );
        }
        self.remotes.push(pin);
    }

    /// A directory named in another one, or in a repository.
    ///
    /// # Errors
    /// When there is none, it leads to a cycle, or it is remote and that is not allowed.
    pub(crate) fn enter(
        &mut self,
        from: &Rc<Directory<'a>>,
        path: &str,
    ) -> Result<Directory<'a>, Error> {
        if path.is_empty() {
            return Err(failed("open a directory: its path is empty"));
        }
        let depth = from.depth + 1;
        if depth > self.options.limits.directories {
            let message = format!(
                "open {path}: kustomizations nest deeper than {}",
                self.options.limits.directories
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if let Some(reference) = remote::parse_git(path) {
            return self.enter_repository(Some(from), path, &reference);
        }
        if remote::is_url(path) {
            return Err(failed(format!(
                "open {}: it is neither a file nor a repository",
                remote::shown(path)
            )));
        }
        if path.starts_with('/') {
            return Err(failed(format!("open {path}: it is absolute"))
                .hint("write it relative to the kustomization"));
        }
        if is_ambiguous(path) {
            return Err(failed(format!(
                "open {path}: a part of it holds `..` beside other characters"
            ))
            .hint(INDENTATION));
        }
        let Some(absolute) = join(&from.root, path) else {
            return Err(failed(format!("open {path}: it leads out of the tree")));
        };
        self.note(from, &absolute);
        let root = match from.tree.files().resolve(&absolute)? {
            Some((root, EntryKind::Directory)) => root,
            Some((_, EntryKind::File)) => return Err(failed(format!("open {path}: it is a file"))),
            None => return Err(failed(format!("open {path}: there is nothing"))),
        };
        let mut here = Some(from);
        while let Some(directory) = here {
            if is_below(&directory.root, &root) {
                return Err(failed(format!(
                    "open {path}: {root} contains {}, which is being built",
                    directory.root
                ))
                .hint("a kustomization cannot be its own base"));
            }
            // What contains a repository is another tree.
            here = directory
                .parent
                .as_ref()
                .filter(|_| directory.repository.is_none());
        }
        Ok(Directory {
            tree: from.tree.clone(),
            root,
            parent: Some(Rc::clone(from)),
            restrictions: from.restrictions,
            repository: None,
            depth,
        })
    }

    fn enter_repository(
        &mut self,
        from: Option<&Rc<Directory<'a>>>,
        text: &str,
        reference: &RemoteReference,
    ) -> Result<Directory<'a>, Error> {
        let shown = remote::shown(text);
        let mut here = from;
        while let Some(directory) = here {
            if directory
                .repository
                .as_ref()
                .is_some_and(|repository| repository.starts_with(text))
            {
                return Err(failed(format!("open {shown}: it is being built")));
            }
            here = directory.parent.as_ref();
        }
        let remote = self.options.remote.as_ref().ok_or_else(|| refused(text))?;
        let fetched = remote.fetch_tree(reference)?;
        let name = fetched.pin.url.clone();
        self.pin(fetched.pin);
        let inner = match reference {
            RemoteReference::Git { path, .. } => path.as_str(),
            RemoteReference::Https { .. } => "",
        };
        let absolute = join("/", inner)
            .ok_or_else(|| failed(format!("open {shown}: it leads out of the repository")))?;
        let root = match fetched.files.resolve(&absolute)? {
            Some((root, EntryKind::Directory)) => root,
            Some((_, EntryKind::File)) => {
                return Err(failed(format!("open {shown}: it is a file")));
            }
            None => {
                return Err(failed(format!(
                    "open {shown}: the repository has no {absolute}"
                )));
            }
        };
        Ok(Directory {
            tree: Tree::Fetched(fetched.files, name.into()),
            root,
            parent: from.cloned(),
            restrictions: LoadRestrictions::RootOnly,
            repository: Some(text.to_owned()),
            depth: from.map_or(0, |from| from.depth + 1),
        })
    }

    /// The path of the kustomization file of a directory.
    ///
    /// # Errors
    /// When there are several.
    pub(crate) fn find_kustomization(
        &mut self,
        directory: &Directory<'a>,
    ) -> Result<Option<String>, Error> {
        let mut found: Vec<String> = Vec::new();
        for name in NAMES {
            let Some(path) = join(&directory.root, name) else {
                continue;
            };
            self.note(directory, &path);
            if let Some((real, EntryKind::File)) = directory.tree.files().resolve(&path)?
                && (directory.restrictions == LoadRestrictions::None
                    || is_below(&real, &directory.root))
            {
                found.push(path);
            }
        }
        match found.len() {
            0 => Ok(None),
            1 => Ok(found.pop()),
            _ => Err(Error::new(
                ErrorKind::Kustomization,
                format!(
                    "choose a kustomization file in {}: there are {}",
                    directory.root,
                    found.join(" and ")
                ),
            )),
        }
    }

    /// Reads the kustomization of a directory.
    ///
    /// # Errors
    /// When there is none, several, or it cannot be used.
    pub(crate) fn kustomization(
        &mut self,
        directory: &Directory<'a>,
    ) -> Result<Kustomization, Error> {
        let file = self.find_kustomization(directory)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Kustomization,
                format!(
                    "find a kustomization file in {}: there is none",
                    directory.root
                ),
            )
            .hint("it must be named kustomization.yaml, kustomization.yml or Kustomization")
        })?;
        self.kustomizations += 1;
        if self.kustomizations > self.options.limits.kustomizations {
            let message = format!(
                "read {file}: with it the build has read more than {} kustomizations",
                self.options.limits.kustomizations
            );
            return Err(Error::new(ErrorKind::Limit, message)
                .hint("name each base once, in the kustomization that needs it"));
        }
        let name = file.rsplit('/').next().unwrap_or(&file).to_owned();
        let (content, _) = self.load(directory, &name)?;
        let file = directory.tree.named(&file);
        let node = crate::documents::settings(&content, &file, &self.limits())?;
        let kustomization = Kustomization::read(&node, &file)?;
        for warning in kustomization.warnings.clone() {
            self.warn(&file, warning);
        }
        Ok(kustomization)
    }
}

fn refused(text: &str) -> Error {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.split(['/', ':', '?']).next().unwrap_or(host);
    Error::new(
        ErrorKind::Remote,
        format!(
            "fetch {}: remote resources are not allowed here",
            remote::shown(text)
        ),
    )
    .hint(format!(
        "allow the host with --allow-remote {host}, or copy the files into the repository"
    ))
}

/// Whether a path is a directory or lies below it.
fn is_below(path: &str, directory: &str) -> bool {
    directory == "/"
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a part holds `..` beside other characters, as a slip of indentation makes it.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    path.split('/')
        .any(|part| part != ".." && part.contains(".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_by_whole_parts() {
        assert!(is_below("/a/b", "/a"));
        assert!(is_below("/a", "/a"));
        assert!(!is_below("/ab", "/a"));
    }
}
