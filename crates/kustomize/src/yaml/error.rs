//! What is wrong with a YAML text, and where.
//! Enters: a place and a kind. Leaves: `Error`, a fragment that fits "failed to {error}". Never: the name of the file; the caller adds it.

use thiserror::Error as ThisError;

/// A YAML text that cannot be read, or a part of it that cannot be printed.
#[derive(Debug, Clone, PartialEq, ThisError)]
#[error("read YAML at line {line}, column {column}: {kind}")]
pub struct Error {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// The kinds of [`Error`]. Each message is a clause: what stands there, or what is missing.
#[derive(Debug, Clone, PartialEq, ThisError)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is larger than [`super::Limits::bytes`].
    #[error("the text is larger than {0} bytes")]
    Bytes(usize),
    /// Collections nest deeper than [`super::Limits::depth`].
    #[error("collections are nested deeper than {0} levels")]
    Depth(usize),
    /// There are more documents than [`super::Limits::documents`].
    #[error("there are more than {0} documents")]
    Documents(usize),
    /// There are more nodes than [`super::Limits::nodes`], aliases expanded.
    #[error("there are more than {0} nodes, with aliases expanded")]
    Nodes(usize),

    /// Nearly all of a large text would come from aliases: made to grow, not to be read.
    #[error("aliases stand for {aliased} nodes, and in a text of this size for {limit} at most")]
    Aliases {
        /// Nodes that aliases stand for, so far.
        aliased: usize,
        /// How many they may stand for, by the nodes so far.
        limit: usize,
    },

    /// A byte that is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// A byte order mark of UTF-16, and then something else.
    #[error("the text is not UTF-16, as its first bytes announce")]
    NotUtf16,
    /// A control character, written as itself.
    #[error("the control character U+{:04X} is not allowed", u32::from(*.0))]
    ControlCharacter(char),
    /// A line that begins with `---` and goes on with something other than a comment.
    #[error("a document separator is followed by {0:?}")]
    DocumentSeparator(String),
    /// A directive that is unknown, repeated, or badly written.
    #[error("the directive cannot be used: {0}")]
    Directive(&'static str),

    /// A tab where only spaces can indent.
    #[error("a tab stands where only spaces can indent")]
    Tab,
    /// A character that nothing begins with.
    #[error("nothing can begin with the character {0:?}")]
    UnexpectedCharacter(char),
    /// A key without its colon.
    #[error("a key is not followed by ':' on its line")]
    ExpectedColon,
    /// A colon where no mapping can begin.
    #[error("a mapping cannot begin here; the value may need quotes")]
    MappingNotAllowed,
    /// A dash where no list can begin.
    #[error("a list cannot begin here")]
    SequenceNotAllowed,
    /// Something other than a key where the next key of a mapping should be.
    #[error("a key is missing, or is indented differently from the keys before it")]
    ExpectedKey,
    /// Something other than a dash where the next item of a list should be.
    #[error("a '-' is missing, or is indented differently from those before it")]
    ExpectedItem,
    /// Nothing where a value should be.
    #[error("a value is missing")]
    ExpectedValue,
    /// An inline list or mapping that does not go on.
    #[error("',' or '{0}' is missing")]
    ExpectedComma(char),
    /// A directive without a document.
    #[error("'---' is missing after the directives")]
    ExpectedDocument,

    /// A quoted text without its end.
    #[error("the quoted text has no end")]
    UnclosedQuote,
    /// A `---` or `...` at the beginning of a line of a quoted text.
    #[error("a document marker stands inside a quoted text")]
    MarkerInQuote,
    /// A backslash with something unknown behind it.
    #[error("the escape sequence is unknown or incomplete")]
    Escape,
    /// A `|` or `>` that is followed by something else than its indicators and a comment.
    #[error("the line of a block text holds more than its indicators and a comment")]
    BlockHeader,
    /// A `|0`.
    #[error("the indentation of a block text cannot be 0")]
    BlockIndentation,

    /// An anchor or alias without a proper name.
    #[error("the name of an anchor must consist of letters, digits, '-' and '_'")]
    AnchorName,
    /// An alias to something that does not exist before it.
    #[error("the anchor {0:?} is unknown")]
    UnknownAnchor(String),
    /// An alias inside what it stands for.
    #[error("the anchor {0:?} contains itself")]
    RecursiveAnchor(String),
    /// A tag that is badly written.
    #[error("the tag is badly written")]
    Tag,
    /// A tag whose handle no directive defines.
    #[error("the tag handle {0:?} is unknown")]
    TagHandle(String),
    /// A `<<` whose value is neither a mapping nor a list of mappings.
    #[error("'<<' needs a mapping or a list of mappings")]
    MergeValue,
    /// Two `<<` in one mapping.
    #[error("'<<' occurs twice in one mapping")]
    MergeTwice,

    /// A key that stands twice in one mapping.
    #[error("the key {key:?} is already defined at line {line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line where it stands first, from 1; 0 where that is not known.
        line: u32,
    },
    /// A key that is not text, where JSON needs text.
    #[error("the key {0:?} is not text; quotes make it so")]
    NonTextKey(String),
    /// Infinity or not-a-number, which JSON cannot hold.
    #[error("the number {0} cannot be written as JSON")]
    NotFinite(String),
    /// A date whose time zone is a day away from UTC.
    #[error("the date {0} cannot be written as JSON")]
    Date(String),
    /// A text that its tag does not fit.
    #[error("{text:?} is not what its tag says ({tag})")]
    TagMismatch {
        /// The tag, in its short form.
        tag: &'static str,
        /// The text.
        text: String,
    },
    /// A block text that begins with a tab, which upstream cannot read again once it has printed it.
    #[error("a block text that begins with a tab cannot be printed; write it in double quotes")]
    TabInBlock,
    /// A `!!binary` that is not base64.
    #[error("the binary value is not base64")]
    Base64,
}
