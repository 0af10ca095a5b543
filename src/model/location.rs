//! A place in a user's file.
//!
//! Enters: file, line and column.
//! Leaves: `Location`, printed as `file:line:column`.
//! Never: the text of the file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a file of the repository; line and column count from 1, and 0 means not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// Path from the root of the repository, `/`-separated.
    pub file: String,
    /// Line, from 1; 0 where it is not known.
    #[serde(default)]
    pub line: u32,
    /// Column, from 1; 0 where it is not known.
    #[serde(default)]
    pub column: u32,
}

impl Location {
    /// Returns the place at the start of `line` of `file`.
    pub fn line(file: &str, line: u32) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column: 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}
