//! Apply: writes what was planned.
//!
//! Enters: a Writer, one wave of a plan or the deletes of a prune plan, a stop.
//! Leaves: `Applied`, an outcome for every object; one failure does not end the wave.
//! Never: an object that was not planned; a decision about what a failure means.

mod delete;
mod wave;

pub use delete::delete;
pub use wave::apply;

/// Objects of one wave that are written at once; the connection bounds the sum over all Applications.
/// 20 and 50 at once cost the API server the same (research: API costs); 16 leaves room for others.
const AT_ONCE: usize = 16;
