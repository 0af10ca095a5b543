//! Tests of the door: tables by kind and by row, and laws.
//!
//! Enters: JSON as a cluster would give it.
//! Leaves: nothing.
//! Never: a clock.

mod classify;
