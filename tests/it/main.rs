//! Hermetic tests.

mod source;
