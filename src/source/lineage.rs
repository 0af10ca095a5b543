//! What a reference has gone through.
//!
//! Enters: the commits that it was at, one after another.
//! Leaves: where each stands, so that of two of them is known which descends from which, without a walk from one to the other.
//! Never: a word about commits that the reference was not seen at.

use std::sync::Arc;

/// Where a commit stands among those that a reference of a mirror was at since the mirror began, or since the reference
/// last moved to one that does not descend from the one before.
///
/// Descent is transitive: each step is checked once, when it is fetched, so a commit that is thousands of steps old costs
/// no walk over what came since.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Which line it is on; no two lines are the same allocation.
    line: Arc<Line>,
    step: u64,
}

#[derive(Debug)]
struct Line;

impl Lineage {
    /// Begins a line.
    pub(super) fn begin() -> Self {
        Self {
            line: Arc::new(Line),
            step: 0,
        }
    }

    /// Returns where a commit stands that descends from the last one of the line, which this is.
    pub(super) fn next(&self) -> Self {
        Self {
            line: Arc::clone(&self.line),
            step: self.step + 1,
        }
    }

    /// Says whether this commit is known to be `older`, or to descend from it. False says nothing.
    pub fn follows(&self, older: &Self) -> bool {
        Arc::ptr_eq(&self.line, &older.line) && self.step >= older.step
    }
}

#[cfg(test)]
mod tests {
    use super::Lineage;

    #[test]
    fn what_stands_later_on_the_same_line_follows() {
        let first = Lineage::begin();
        let second = first.next();
        assert!(second.follows(&first) && first.follows(&first));
        assert!(second.next().follows(&first));
        assert!(!first.follows(&second));
    }

    #[test]
    fn nothing_follows_what_stands_on_another_line() {
        let (here, there) = (Lineage::begin(), Lineage::begin());
        assert!(!there.next().follows(&here) && !here.follows(&there));
    }
}
