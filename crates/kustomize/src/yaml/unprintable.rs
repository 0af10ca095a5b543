//! Why a value cannot be printed.
//!
//! Enters, leaves: nothing; these are words. Never: a text that could.

use thiserror::Error as ThisError;

/// A value that upstream fails to print. The message is a fragment that fits "failed to {error}".
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("print the value at {pointer:?}: {kind}")]
pub struct Unprintable {
    /// Where it stands: a JSON pointer.
    pub pointer: String,
    /// Why it cannot be printed.
    pub kind: UnprintableKind,
}

/// Why a value cannot be printed.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum UnprintableKind {
    /// A control character between U+007F and U+009F, or a non-character, which YAML text may only hold as an escape.
    #[error("the control character U+{:04X} is not allowed", u32::from(*.0))]
    ControlCharacter(char),
    /// A key of more than 1,024 characters as JSON.
    #[error("a key is longer than 1,024 characters")]
    LongKey,
    /// A key with U+0085, which counts as a line break.
    #[error("a key holds the line break U+0085")]
    KeyWithLineBreak,
}
