//! Random choices.
//!
//! Enters: proptest's generator. Leaves: numbers, yes or no, one of several. Never: another source of chance.

use proptest::prelude::Rng;
use proptest::test_runner::TestRng;

pub(crate) struct Choose {
    rng: TestRng,
}

impl Choose {
    pub(crate) fn new(rng: TestRng) -> Self {
        Self { rng }
    }

    /// A number below a bound, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let number = usize::try_from(self.rng.next_u32()).unwrap();
        number % bound
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(crate) fn pick<'t, T>(&mut self, several: &'t [T]) -> &'t T {
        &several[self.below(several.len())]
    }

    /// One of several texts.
    pub(crate) fn word(&mut self, several: &[&str]) -> String {
        (*self.pick(several)).to_owned()
    }

    /// Several things, at least and at most so many.
    pub(crate) fn some<T>(
        &mut self,
        least: usize,
        most: usize,
        mut one: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|_| one(self)).collect()
    }
}
