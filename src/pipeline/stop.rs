//! What ends a reconcile before it is done.
//!
//! Enters: the end of the round that works on the Application, news of it, a person's wish.
//! Leaves: `Stop`, asked between objects, and while the API server is only asked.
//! Never: an end in the midst of a write.

use tokio_util::sync::CancellationToken;

/// How one reconcile can be ended.
///
/// News ends it at its next write: a set that is only being planned is planned to its end, for news can come more often
/// than planning takes. A person who ends or pauses, and a deletion, end the planning too: of thousands of objects it
/// takes minutes, and nothing is written by it.
#[derive(Clone, Debug)]
pub struct Stop {
    asking: CancellationToken,
    writing: CancellationToken,
}

impl Stop {
    /// Returns a stop that comes with that of a round.
    pub fn of(round: &CancellationToken) -> Self {
        let asking = round.child_token();
        Self {
            writing: asking.child_token(),
            asking,
        }
    }

    /// There is news that the reconcile does not know: it ends at its next object.
    pub fn news(&self) {
        self.writing.cancel();
    }

    /// A person does not want it to go on.
    pub fn end(&self) {
        self.asking.cancel();
    }

    /// Returns what ends writes, at the next object.
    pub(super) fn writing(&self) -> &CancellationToken {
        &self.writing
    }

    /// Returns what ends questions, at once.
    pub(super) fn asking(&self) -> &CancellationToken {
        &self.asking
    }
}
