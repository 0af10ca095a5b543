//! The lines of block text, put together.
//!
//! Enters: lines without their indentation. Leaves: the text that they mean. Never: where the lines come from.

/// What happens to the line breaks at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chomping {
    /// `-`: they are left out.
    Strip,
    /// Nothing: one stays.
    Clip,
    /// `+`: all stay.
    Keep,
}

/// Block text while its lines are read.
#[derive(Debug)]
pub(super) struct BlockLines<'t> {
    text: String,
    folds: bool,
    /// The break behind the last line that was not empty.
    last: Option<&'t str>,
    /// The breaks of the empty lines behind it.
    empty: String,
    /// Whether that line began with a blank.
    was_indented: bool,
}

impl<'t> BlockLines<'t> {
    /// Of folded text (`>`), or of literal text (`|`).
    pub(super) fn new(folds: bool) -> Self {
        Self {
            text: String::new(),
            folds,
            last: None,
            empty: String::new(),
            was_indented: false,
        }
    }

    /// The breaks of empty lines, to add to.
    pub(super) fn empty(&mut self) -> &mut String {
        &mut self.empty
    }

    /// Adds a line that is not empty, without its break.
    pub(super) fn line(&mut self, content: &str) {
        let is_indented = content.starts_with([' ', '\t']);
        let joins = self.folds && !self.was_indented && !is_indented;
        match self.last {
            // Between two lines that begin with text, one line feed folds to a space, and several to one less.
            Some("\n") if joins && self.empty.is_empty() => self.text.push(' '),
            Some("\n") if joins => {}
            Some(line_break) => self.text.push_str(line_break),
            None => {}
        }
        self.text.push_str(&self.empty);
        self.empty.clear();
        self.text.push_str(content);
        self.was_indented = is_indented;
    }

    /// Says what break stands behind the last line; `None` at the end of the input.
    pub(super) fn end_line(&mut self, line_break: Option<&'t str>) {
        self.last = line_break;
    }

    pub(super) fn finish(mut self, chomping: Chomping) -> String {
        if chomping != Chomping::Strip {
            self.text.push_str(self.last.unwrap_or_default());
        }
        if chomping == Chomping::Keep {
            self.text.push_str(&self.empty);
        }
        self.text
    }
}
