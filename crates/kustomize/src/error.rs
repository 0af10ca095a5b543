//! What a build that cannot finish says.
//! Enters: what was being done, where, and why it failed.
//! Leaves: one `Error`: kind, file, line, column, field path, hint, cause; or several.

use std::fmt;

use crate::shown::Shown;

/// A place in a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Path of the file inside the tree.
    pub file: String,
    /// Line, from 1; 0 where only the file is known.
    pub line: u32,
    /// Column, from 1; 0 where only the line is known.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// What kind of thing went wrong; for callers that decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file that is not well-formed YAML or JSON.
    Syntax,
    /// A kustomization file that cannot be used as it stands.
    Kustomization,
    /// A file or directory that is missing, or may not be read.
    Load,
    /// An object without a proper kind, apiVersion or name.
    Object,
    /// Two objects with one identity, or an identity that matches several objects.
    Identity,
    /// A generator that cannot make its object.
    Generator,
    /// A patch that cannot be read or applied.
    Patch,
    /// A name, variable or replacement that cannot be resolved.
    Reference,
    /// A transformer or validator that cannot be configured or applied.
    Transformer,
    /// A remote resource that could not be fetched, or is not allowed.
    Remote,
    /// A Helm chart that could not be rendered, or is not allowed.
    Charts,
    /// Something that needs plugins or containers, which are not supported.
    Plugin,
    /// A limit of size, depth or count was exceeded.
    Limit,
    /// Several errors at once.
    Several,
}

/// Why a build failed. The message is a fragment that fits "failed to {error}".
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    location: Option<Location>,
    field: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    several: Vec<Error>,
}

impl Error {
    /// Returns an error of a kind; the message is a lowercase fragment that fits "failed to {message}".
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            location: None,
            field: None,
            hint: None,
            source: None,
            several: Vec::new(),
        }))
    }

    /// Returns one error for several; a single one stays itself.
    #[must_use]
    pub fn several(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        let mut error = Self::new(
            ErrorKind::Several,
            format!("build: {} errors", errors.len()),
        );
        error.0.several = errors;
        error
    }

    /// Adds the place, unless one nearer to the cause is known.
    #[must_use]
    pub fn at(mut self, file: &str, line: u32, column: u32) -> Self {
        if self.0.location.is_none() {
            self.0.location = Some(Location {
                file: file.to_owned(),
                line,
                column,
            });
        }
        self
    }

    /// Adds the path of the field, unless one is known.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        if self.0.field.is_none() {
            self.0.field = Some(field.into());
        }
        self
    }

    /// Adds what the reader can do about it, unless it is said already.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if self.0.hint.is_none() {
            self.0.hint = Some(Shown(&hint.into()).to_string());
        }
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, without place and cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it went wrong.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// The path of the field that is to blame, such as `patches[1].target.name`.
    #[must_use]
    pub fn field_path(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What the reader can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The single errors; empty unless the kind is [`ErrorKind::Several`].
    #[must_use]
    pub fn all(&self) -> &[Self] {
        &self.0.several
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.0.message))?;
        if let Some(field) = &self.0.field {
            write!(f, " (field {})", Shown(field))?;
        }
        if let Some(location) = &self.0.location {
            write!(f, " at {location}")?;
        }
        for error in &self.0.several {
            write!(f, "\n- {error}")?;
            let mut cause = std::error::Error::source(error);
            while let Some(next) = cause {
                write!(f, ": {next}")?;
                cause = next.source();
            }
            if let Some(hint) = error.advice() {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("location", &self.0.location)
            .field("field", &self.0.field)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .field("several", &self.0.several)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<crate::files::FilesError> for Error {
    fn from(source: crate::files::FilesError) -> Self {
        Self::new(ErrorKind::Load, "read the tree").caused_by(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_nearest_to_the_cause_wins() {
        let error = Error::new(ErrorKind::Patch, "apply a patch")
            .at("/a.yaml", 3, 2)
            .at("/b.yaml", 1, 1);
        assert_eq!(error.to_string(), "apply a patch at /a.yaml:3:2");
    }

    #[test]
    fn several_errors_are_listed() {
        let one = || Error::new(ErrorKind::Patch, "apply a patch");
        assert_eq!(Error::several(vec![one()]).to_string(), "apply a patch");
        assert_eq!(
            Error::several(vec![one(), one()]).to_string(),
            "build: 2 errors\n- apply a patch\n- apply a patch"
        );
    }
}
